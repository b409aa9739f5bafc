package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"onemind/internal/catalog"
	"onemind/internal/postgres"
	"onemind/internal/secret"
	"onemind/internal/sqlite"
)

// catalogImportPOC is `catalog import-poc`.
func (c *cli) catalogImportPOC() *cobra.Command {
	var withKeys, dry bool
	var note string
	cmd := &cobra.Command{Use: "import-poc FILE...", Short: "Take over models, providers and settings of the earlier system", Args: cobra.MinimumNArgs(1),
		Long: `Reads exports of the earlier system's tables ai_models, provider_config and
system_config and applies them together as one revision. A file is JSON, an object
with the tables as members or the rows of one table, or CSV with a header row; the
rows of one table are told by the file's name, such as ai_models_rows.csv.

What is known here already is changed in place, and another price becomes a new
version. What is not carried over is said on standard error.`,
		RunE: c.with(func(ctx context.Context, b *books, args []string) error {
			export, err := readPOC(args)
			if err != nil {
				return err
			}
			export.WithKeys = withKeys
			var notes []string
			edit := func(d *catalog.Draft) (err error) {
				notes, err = export.Apply(d)
				return err
			}
			if dry {
				changes, err := b.catalog.Preview(edit)
				if err != nil {
					return everyRule(err)
				}
				c.notes(notes)
				return c.found(changes)
			}
			if note == "" {
				note = "import of the earlier system"
			}
			before := b.catalog.Snapshot().Revision
			rev, err := b.catalog.Edit(ctx, catalog.Editor{Actor: "cli", Note: note}, 0, edit)
			if err != nil {
				return everyRule(err)
			}
			c.notes(notes)
			text := fmt.Sprintf("revision %d (%d changes)\n", rev.Number, len(rev.Changes))
			if rev.Number == before {
				text = fmt.Sprintf("nothing to change: revision %d\n", rev.Number)
			}
			return c.print(map[string]any{"revision": rev.Number, "changed": rev.Number != before, "notes": notes}, text)
		})}
	cmd.Flags().BoolVar(&withKeys, "with-keys", false, "take over the providers' keys, which lie in the export in plain text")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "show what would change and change nothing; exit 3 if anything")
	cmd.Flags().StringVar(&note, "note", "", "why, for the list of revisions")
	return cmd
}

// readPOC reads all files before anything is changed.
func readPOC(paths []string) (*catalog.POC, error) {
	whole := &catalog.POC{}
	for _, path := range paths {
		data, err := os.ReadFile(path) //nolint:gosec // the operator names it
		if err != nil {
			return nil, err
		}
		one, err := catalog.ParsePOC(path, data)
		if err != nil {
			return nil, everyRule(err)
		}
		whole.Merge(one)
	}
	return whole, nil
}

// everyRule says every broken rule, where an answer would name the first one.
func everyRule(err error) error {
	var rules catalog.Invalid
	if errors.As(err, &rules) {
		return errors.New(rules.Error())
	}
	return err
}

func (c *cli) notes(notes []string) {
	for _, note := range notes {
		fmt.Fprintln(c.err, "note:", note)
	}
}

// found prints changes; any at all is a finding.
func (c *cli) found(changes []catalog.Change) error {
	if err := c.print(changes, changesText(changes)); err != nil {
		return err
	}
	if len(changes) > 0 {
		return errFound
	}
	return nil
}

// migrateImport is `migrate import`.
func (c *cli) migrateImport() *cobra.Command {
	var from string
	cmd := &cobra.Command{Use: "import --from sqlite:PATH", Short: "Move an embedded installation into the empty Postgres of DATABASE_URL", Args: cobra.NoArgs,
		Long: `Copies users, API keys, the ledger, the catalog with its history and every
conversation from an embedded database into the Postgres of DATABASE_URL, which
nobody may have used yet. Both books are proved and compared before anything is
committed; on a difference nothing is changed. The embedded server has to be
stopped, and ONEMIND_SECRET_KEY has to be the key of the embedded installation.
People sign in again afterwards.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.load(cmd)
			if err != nil {
				return err
			}
			done, err := c.moveIn(cmd.Context(), cfg, from)
			if err != nil {
				return err
			}
			var text strings.Builder
			for _, t := range done.Tables {
				fmt.Fprintf(&text, "%-20s %10d\n", t.Table, t.Rows)
			}
			fmt.Fprintf(&text, "Equal on both sides: rows, catalog revision %d, %d ledger entries adding up to %s. Took %s.\n",
				done.Revision, done.Books.Transactions, done.Books.Entries, done.Took.Round(time.Millisecond))
			return c.print(done, text.String())
		}}
	cmd.Flags().StringVar(&from, "from", "", "the embedded database, such as sqlite:./data/onemind.db (required)")
	_ = cmd.MarkFlagRequired("from") // the flag is there
	return cmd
}

// moveIn opens both databases and copies one into the other.
func (c *cli) moveIn(ctx context.Context, cfg *config, from string) (done postgres.Imported, err error) {
	if !cfg.postgres() {
		return done, errors.New("DATABASE_URL: must name the Postgres to import into, such as postgres://user:password@host/onemind")
	}
	path, ok := strings.CutPrefix(from, "sqlite:")
	if path = strings.TrimPrefix(path, "//"); !ok || path == "" {
		return done, fmt.Errorf("--from: must be sqlite: and the path of the file, not %q", from)
	}
	if _, err := os.Stat(path); err != nil { // opening would make one
		return done, fmt.Errorf("--from: %w", err)
	}
	file, err := sqlite.Open(ctx, path)
	if errors.Is(err, sqlite.ErrLocked) {
		return done, fmt.Errorf("--from: the server of %s is running; stop it first", filepath.Dir(path))
	}
	if err != nil {
		return done, fmt.Errorf("--from: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := opensWith(ctx, file, filepath.Join(filepath.Dir(path), "secret.key"), cfg.get("ONEMIND_SECRET_KEY")); err != nil {
		return done, err
	}
	db, err := postgres.Open(ctx, postgres.Config{URL: cfg.get("DATABASE_URL"), Direct: cfg.get("DATABASE_DIRECT_URL"), Migrate: true, Log: newLog(cfg)})
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = file.Export(ctx, func(e *sqlite.Export) (err error) {
		done, err = db.Import(ctx, e, func(table string, rows int64) { fmt.Fprintf(c.err, "%s: %d rows\n", table, rows) })
		return err
	})
	switch {
	case errors.Is(err, postgres.ErrUsed):
		err = fmt.Errorf("DATABASE_URL: %w", err)
	case errors.Is(err, postgres.ErrOpenHolds):
		err = fmt.Errorf("--from: %w; start the server of %s once more, so that it settles them, stop it and import again", err, filepath.Dir(path))
	}
	return done, err
}

// opensWith makes sure that the keys given open what the embedded installation
// sealed and find the API keys it digested. Where it made its own key, that lies
// beside the database.
func opensWith(ctx context.Context, file *sqlite.DB, own, keys string) error {
	refusal := fmt.Errorf("ONEMIND_SECRET_KEY: does not open the keys of the embedded installation; set it to the content of %s (further keys may stand before it)", own)
	box, err := secret.New(keys)
	if err != nil {
		return fmt.Errorf("ONEMIND_SECRET_KEY: %w", err)
	}
	data, err := os.ReadFile(own) //nolint:gosec // beside the database that the operator names
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read the embedded installation's key: %w", err)
	}
	given := rawKeys(keys)
	for _, key := range rawKeys(string(data)) {
		if !slices.Contains(given, key) {
			return refusal
		}
	}
	locked := catalog.New(catalog.Config{Store: file.Catalog(), Sealer: box})
	if err := locked.Start(ctx); err != nil {
		return fmt.Errorf("load the catalog of the embedded installation: %w", err)
	}
	if err := locked.LastError(); errors.Is(err, secret.ErrUnknownKey) || errors.Is(err, secret.ErrBroken) {
		return refusal
	}
	return nil
}

// rawKeys takes a list of keys apart, as they are whatever stands around them.
func rawKeys(text string) []string {
	var all []string
	for key := range strings.SplitSeq(strings.TrimSpace(text), ",") {
		if raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(key)); err == nil && len(raw) > 0 {
			all = append(all, string(raw))
		}
	}
	return all
}
