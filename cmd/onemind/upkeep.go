package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"onemind/internal/api"
	"onemind/internal/catalog"
	"onemind/internal/sqlite"
)

func (c *cli) migrate() *cobra.Command {
	up := &cobra.Command{Use: "migrate", Short: "Bring the database up to date (serve does it too)", Args: cobra.NoArgs,
		RunE: c.with(func(context.Context, *books, []string) error {
			return c.print(map[string]bool{"ok": true}, "up to date\n")
		})}
	status := &cobra.Command{Use: "status", Short: "Show which migrations were run", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.load(cmd)
			if err != nil {
				return err
			}
			list, err := migrations(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			var text strings.Builder
			for _, m := range list {
				state := "not applied"
				if !m.AppliedAt.IsZero() {
					state = m.AppliedAt.Format(time.RFC3339)
				}
				fmt.Fprintf(&text, "%04d  %-12s %s\n", m.Version, m.Name, state)
			}
			return c.print(list, text.String())
		}}
	up.AddCommand(status, c.migrateImport())
	return up
}

func (c *cli) ledgerCommand() *cobra.Command {
	root := &cobra.Command{Use: "ledger", Short: "Prove the books"}
	check := &cobra.Command{Use: "check", Short: "Check that entries, balances, holds and outcomes agree; exit 3 if not", Args: cobra.NoArgs,
		RunE: c.with(func(ctx context.Context, b *books, _ []string) error {
			r, err := b.ledger.Check(ctx)
			if err != nil {
				return err
			}
			word := "clean"
			if !r.OK {
				word = "NOT clean"
			}
			text := fmt.Sprintf("%s: %d accounts, %d entries adding up to %s, balances %s, %d open holds of %s, held %s\n",
				word, r.Accounts, r.Transactions, r.Entries, r.Balances, r.OpenHolds, r.Open, r.Held)
			for _, p := range r.Problems {
				text += "  " + p + "\n"
			}
			if err := c.print(api.LedgerReport(r), text); err != nil {
				return err
			}
			if !r.OK {
				return errFound
			}
			return nil
		})}
	root.AddCommand(check)
	return root
}

func (c *cli) configCommand() *cobra.Command {
	root := &cobra.Command{Use: "config", Short: "Show deployment settings"}
	explain := &cobra.Command{Use: "explain", Short: "Print every setting, its value and where it came from", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.load(cmd)
			if err != nil {
				return err
			}
			var text strings.Builder
			for _, e := range cfg.explain() {
				fmt.Fprintf(&text, "%-24s %-28s %s\n", e.Name, e.Value, e.Source)
			}
			return c.print(cfg.explain(), text.String())
		}}
	doc := &cobra.Command{Use: "doc", Short: "Print docs/configuration.md", Args: cobra.NoArgs, Hidden: true,
		RunE: func(*cobra.Command, []string) error { _, err := fmt.Fprint(c.out, configurationDoc()); return err }}
	root.AddCommand(explain, doc)
	return root
}

func (c *cli) catalogCommand() *cobra.Command {
	root := &cobra.Command{Use: "catalog", Short: "Export, compare and apply models, prices, providers, plans and settings as YAML"}
	var prune bool
	var note string
	read := func(b *books, path string, prune bool) (func(*catalog.Draft) error, error) {
		data, err := os.ReadFile(path) //nolint:gosec // the operator names it
		if err != nil {
			return nil, err
		}
		file, err := catalog.ParseYAML(path, data)
		if err != nil {
			return nil, err
		}
		return func(d *catalog.Draft) error { return file.Apply(d, prune) }, nil
	}
	apply := &cobra.Command{Use: "apply FILE", Short: "Change what the file names and leave the rest", Args: cobra.ExactArgs(1),
		RunE: c.with(func(ctx context.Context, b *books, args []string) error {
			edit, err := read(b, args[0], prune)
			if err != nil {
				return err
			}
			if note == "" {
				note = "apply " + filepath.Base(args[0])
			}
			before := b.catalog.Snapshot().Revision
			rev, err := b.catalog.Edit(ctx, catalog.Editor{Actor: "cli", Note: note}, 0, edit)
			if err != nil {
				return err
			}
			text := fmt.Sprintf("revision %d (%d changes)\n", rev.Number, len(rev.Changes))
			if rev.Number == before {
				text = fmt.Sprintf("nothing to change: revision %d\n", rev.Number)
			}
			return c.print(map[string]any{"revision": rev.Number, "changed": rev.Number != before}, text)
		})}
	apply.Flags().BoolVar(&prune, "prune", false, "remove what the file does not name")
	apply.Flags().StringVar(&note, "note", "", "why, for the list of revisions")
	export := &cobra.Command{Use: "export [FILE]", Short: "Write the catalog as YAML, without keys", Args: cobra.MaximumNArgs(1),
		RunE: c.with(func(_ context.Context, b *books, args []string) error {
			data, err := catalog.ExportYAML(b.catalog.Snapshot().Document())
			if err != nil {
				return err
			}
			if len(args) == 1 {
				return os.WriteFile(args[0], data, 0o600)
			}
			_, err = c.out.Write(data)
			return err
		})}
	diff := &cobra.Command{Use: "diff FILE", Short: "Show what apply would change; exit 3 if anything", Args: cobra.ExactArgs(1),
		RunE: c.with(func(_ context.Context, b *books, args []string) error {
			edit, err := read(b, args[0], prune)
			if err != nil {
				return err
			}
			changes, err := b.catalog.Preview(edit)
			if err != nil {
				return err
			}
			if err := c.print(changes, changesText(changes)); err != nil {
				return err
			}
			if len(changes) > 0 {
				return errFound
			}
			return nil
		})}
	diff.Flags().BoolVar(&prune, "prune", false, "as if what the file does not name were removed")
	root.AddCommand(apply, export, diff, c.catalogImportPOC())
	return root
}

func changesText(changes []catalog.Change) string {
	var text strings.Builder
	for _, ch := range changes {
		fmt.Fprintf(&text, "%s %s %s\n", ch.Op, ch.Kind, ch.ID)
		for _, f := range ch.Fields {
			fmt.Fprintf(&text, "    %s: %s -> %s\n", f.Field, f.Before, f.After)
		}
	}
	return text.String()
}

// finding is one line of doctor.
type finding struct {
	Check string `json:"check"`
	OK    bool   `json:"ok"`
	Text  string `json:"text"`
}

func (c *cli) doctor() *cobra.Command {
	return &cobra.Command{Use: "doctor", Short: "Check data directory, database, books, provider keys, ports and clock; exit 3 on a problem", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.load(cmd)
			if err != nil {
				return err
			}
			findings := diagnose(cmd.Context(), cfg)
			var text strings.Builder
			bad := false
			for _, f := range findings {
				mark := "ok  "
				if !f.OK {
					mark, bad = "FAIL", true
				}
				fmt.Fprintf(&text, "%s  %-16s %s\n", mark, f.Check, f.Text)
			}
			if err := c.print(findings, text.String()); err != nil {
				return err
			}
			if bad {
				return errFound
			}
			return nil
		}}
}

// diagnose looks at everything a start depends on and changes nothing that a start would not.
func diagnose(ctx context.Context, cfg *config) []finding {
	var list []finding
	add := func(check string, err error, good string) {
		if err != nil {
			good = plain(err)
		}
		list = append(list, finding{check, err == nil, good})
	}
	for _, w := range cfg.Warned {
		add("settings", errors.New(w), "")
	}
	dir := cfg.get("ONEMIND_DATA_DIR")
	add("data directory", writable(dir), dir+" is writable")
	add("clock", clock(time.Now()), time.Now().UTC().Format(time.RFC3339))
	running := false
	b, err := open(ctx, cfg, true)
	if errors.Is(err, sqlite.ErrLocked) {
		running = true
		b, err = open(ctx, cfg, false)
	}
	place := cfg.database()
	if cfg.postgres() {
		place = "Postgres answers, its schema fits"
	}
	add("database", err, place)
	if err == nil {
		list = append(list, sharedFindings(ctx, b)...)
		report, err := b.ledger.Check(ctx)
		if err == nil && !report.OK {
			err = errors.New(strings.Join(report.Problems, "; "))
		}
		add("books", err, fmt.Sprintf("%d entries, %d open holds", report.Transactions, report.OpenHolds))
		able := 0
		for _, m := range b.catalog.Snapshot().Models() {
			if m.Available {
				able++
			}
		}
		var none error
		if able == 0 {
			none = errors.New("no model can be called: set a provider key or enable the demo provider")
		}
		add("models", none, fmt.Sprintf("%d can be called, revision %d", able, b.catalog.Snapshot().Revision))
		add("close", b.close(), "closed cleanly")
	}
	if running {
		add("port", nil, "a server is running on this data directory")
	} else {
		add("port", free(ctx, cfg.get("ONEMIND_ADDR")), cfg.get("ONEMIND_ADDR")+" is free")
	}
	return list
}

// sharedFindings looks at what instances share.
func sharedFindings(ctx context.Context, b *books) (list []finding) {
	if b.stores.pg != nil {
		months, err := b.stores.pg.Partitions(ctx, time.Now())
		f := finding{"partitions", err == nil && months >= fewestMonths, fmt.Sprintf("%d months of the ledger ahead", months)}
		if err != nil {
			f.Text = plain(err)
		}
		list = append(list, f)
		if !b.stores.pg.Bus().Hears() {
			list = append(list, finding{"notifications", true, "DATABASE_DIRECT_URL is not set: changes are heard of through Redis and the poll only"})
		}
	}
	if r := b.stores.shared; r != nil {
		lines, err := r.client.Check(ctx)
		if err != nil {
			return append(list, finding{"redis", false, plain(err)})
		}
		for _, line := range lines {
			list = append(list, finding{"redis", true, line})
		}
	}
	for _, i := range b.together.crew.Instances(ctx) {
		if i.Boot != b.together.boot {
			list = append(list, finding{"instance", i.Healthy && i.Problem == "", fmt.Sprintf("%s serves revision %d %s", i.Name, i.Revision, i.Problem)})
		}
	}
	return list
}

func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "doctor-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// clock refuses a time before this program was written: certificates and limits depend on it.
func clock(now time.Time) error {
	if now.Year() < 2026 {
		return fmt.Errorf("the clock says %s: set it", now.UTC().Format(time.RFC3339))
	}
	return nil
}

func free(ctx context.Context, addr string) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return l.Close()
}
