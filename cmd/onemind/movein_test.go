package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"onemind/internal/account"
	"onemind/internal/catalog"
	"onemind/internal/chat"
	"onemind/internal/credit"
	"onemind/internal/money"
	"onemind/internal/postgres"
	"onemind/internal/secret"
	"onemind/internal/servers"
	"onemind/internal/sqlite"
)

// invoke runs one command and gives what it wrote and its error.
func invoke(t *testing.T, command func(*cli) *cobra.Command, args ...string) (out, errs string, err error) {
	t.Helper()
	var o, e bytes.Buffer
	cmd := command(&cli{in: strings.NewReader(""), out: &o, err: &e})
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(t.Context())
	return o.String(), e.String(), err
}

// written is a file with the text of a test in it.
func written(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// booksOf opens the books that the environment names, until the test ends.
func booksOf(t *testing.T) *books {
	t.Helper()
	cfg, err := load("", nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := open(t.Context(), cfg, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func TestCatalogImportPOC(t *testing.T) {
	t.Setenv("ONEMIND_DATA_DIR", t.TempDir())
	models := written(t, "ai_models_rows.csv", "provider,model_id,input_price_per_million,output_price_per_million,max_output_tokens,context_window\nopenai,gpt-4o,3,12,16384,128000\n")
	providers := written(t, "provider_config.json", `[{"provider": "openai", "api_key_encrypted": "sk-plain-text-of-openai", "timeout_seconds": 60}]`)
	out, errs, err := invoke(t, (*cli).catalogImportPOC, "--dry-run", models, providers)
	if !errors.Is(err, errFound) || !strings.Contains(out, "add price gpt-4o@2") || !strings.Contains(errs, "keys of openai are not imported") {
		t.Fatalf("dry run: %v\n%s%s", err, out, errs)
	}
	out, errs, err = invoke(t, (*cli).catalogImportPOC, models, providers)
	if err != nil || !strings.HasPrefix(out, "revision 2 (") || strings.Contains(out+errs, "sk-plain") {
		t.Fatalf("import: %v\n%s%s", err, out, errs)
	}
	if out, _, err = invoke(t, (*cli).catalogImportPOC, models, providers); err != nil || out != "nothing to change: revision 2\n" {
		t.Errorf("again: %v\n%s", err, out)
	}
	out, errs, err = invoke(t, (*cli).catalogImportPOC, "--with-keys", providers)
	if err != nil || strings.Contains(out+errs, "sk-plain") {
		t.Fatalf("with keys: %v\n%s%s", err, out, errs)
	}
	bad := written(t, "ai_models.json", `[{"provider": "openai"}, {"model_id": "m", "context_window": 0}]`)
	_, _, err = invoke(t, (*cli).catalogImportPOC, providers, bad)
	for _, want := range []string{"ai_models.json: ai_models row 1: model_id is required", "row 2: provider is required", "row 2: context_window must be"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v, want %q", err, want)
		}
	}
	snap := booksOf(t).catalog.Snapshot()
	if keys := snap.Keys("openai"); snap.Revision != 3 || len(keys) != 1 || keys[0].Last4 != "enai" {
		t.Errorf("revision %d, keys %+v", snap.Revision, keys)
	}
	if r, err := snap.Route("gpt-4o"); err != nil || r.Rates.Input != 3*money.Dollar {
		t.Errorf("route = %+v, %v", r, err)
	}
}

// odd are texts that databases do not agree on.
const odd = "Zürich \x00 日本語の列車 🚂 naïve\u2028 \\u0000 \"quoted\" \xff end"

// embedded is an installation that was lived in.
type embedded struct {
	dir, path string
	user      account.User
	key       string
	balance   credit.Balance
	receipts  []credit.Receipt
	document  catalog.Document
}

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// liveIn makes an embedded installation with everything that moves.
func liveIn(t *testing.T, dir string) embedded {
	t.Helper()
	e := embedded{dir: dir}
	e.path = filepath.Join(e.dir, "onemind.db")
	t.Setenv("ONEMIND_DATA_DIR", e.dir)
	b := booksOf(t)
	ctx := t.Context()
	var err error
	e.user, err = b.accounts.Create(ctx, account.NewUser{Email: "ann@example.org", Name: odd[:6], Password: password, Role: account.Admin})
	fatal(t, err)
	_, err = b.accounts.Create(ctx, account.NewUser{Email: "bob@example.org", Password: password, Role: account.Member})
	fatal(t, err)
	_, e.key, err = b.accounts.CreateKey(ctx, e.user.ID, account.NewKey{Name: "laptop", CreditsPerDay: int64(money.Dollar), ResponseCache: true})
	fatal(t, err)
	_, _, _, err = b.accounts.Login(ctx, "ann@example.org", password, account.Device{}, time.Now())
	fatal(t, err)
	for i, text := range []string{
		"providers: [{id: openai, api_keys: [sk-first-key-of-openai, sk-second-key-of-openai]}]\n",
		"models: [{id: gpt-4o, prices: {input: 3, output: 12}}]\n", "models: [{id: gpt-4o, prices: {input: 4, output: 16}}]\n",
	} {
		file, err := catalog.ParseYAML("edit.yaml", []byte(text))
		fatal(t, err)
		_, err = b.catalog.Edit(ctx, catalog.Editor{Actor: e.user.ID, Note: fmt.Sprint("edit ", i)}, 0, func(d *catalog.Draft) error { return file.Apply(d, false) })
		fatal(t, err)
	}
	spend(t, b.ledger, e.user.ID)
	converse(t, b.stores.database, e.user.ID)
	e.balance, err = b.ledger.Balance(ctx, e.user.ID)
	fatal(t, err)
	e.receipts, _, err = b.ledger.Receipts(ctx, e.user.ID, credit.Page{Limit: 100})
	fatal(t, err)
	e.document = b.catalog.Snapshot().Document()
	return e
}

// spend grants in two months, one of them long ago, and settles five holds, one of them free.
func spend(t *testing.T, l *credit.Ledger, user string) {
	t.Helper()
	for i, at := range []time.Time{time.Date(2024, 2, 29, 23, 59, 59, 0, time.UTC), time.Now()} {
		_, err := l.Grant(t.Context(), credit.Entry{User: user, Kind: credit.Grant, Amount: 5 * money.Dollar, Ref: fmt.Sprint("grant", i), Reason: "welcome " + odd[:3], Actor: "cli", At: at})
		fatal(t, err)
	}
	for i := range 5 {
		ref := fmt.Sprint("answer", i)
		held, err := l.Hold(t.Context(), credit.Hold{Ref: ref, User: user, Owner: "boot", AtLeast: 1, AtMost: money.Credit, Terms: []byte(`{}`), At: time.Now()})
		fatal(t, err)
		_, _, err = l.Settle(t.Context(), credit.Receipt{ID: ref, User: user, RequestID: "request", Model: "gpt-4o", Outcome: credit.Finished, Hold: held,
			Charge: money.Amount(i) * 1_234_567, Tokens: money.Tokens{Input: 10, Output: 20}, StartedAt: time.Now(), FinishedAt: time.Now()})
		fatal(t, err)
	}
}

// converse stores a conversation whose last answer has a megabyte.
func converse(t *testing.T, s chat.Store, user string) {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Millisecond)
	warm := 0.7
	c := chat.Conversation{ID: "conversation", User: user, Title: odd, Pinned: true, CreatedAt: now, UpdatedAt: now, Models: []string{"gpt-4o"}}
	for i, text := range []string{"Bonjour " + odd, strings.Repeat("lokomotive ", 100_000) + odd} {
		r := chat.Run{ID: fmt.Sprint("run", i), Conversation: c.ID, User: user, Key: fmt.Sprint("key", i), Digest: "digest", Owner: "boot", Prompt: odd,
			Images: []string{"data:image/png;base64,AAAA"}, System: odd, MaxTokens: 10, MaxCost: money.Credit, Temperature: &warm, CreatedAt: now.Add(time.Duration(i) * time.Second),
			Answers: []chat.Answer{{ID: fmt.Sprint("answer", i), Run: fmt.Sprint("run", i), Model: "gpt-4o", ModelName: "GPT-4o", State: chat.Streaming, CreatedAt: now}}}
		create := &c
		if i > 0 {
			create = nil
		}
		_, _, err := s.CreateRun(t.Context(), r, create)
		fatal(t, err)
		a := r.Answers[0]
		a.State, a.Text, a.Reasoning, a.Tokens, a.Charge, a.TotalMS = chat.Done, text, odd, money.Tokens{Input: 10, Output: 20}, 1_234_567, 42
		fatal(t, s.FinishAnswer(t.Context(), a))
		fatal(t, s.FinishRun(t.Context(), r.ID, now.Add(time.Minute)))
		fatal(t, s.Select(t.Context(), user, r.ID, []string{a.ID}))
	}
}

func TestMoveIn(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a Postgres")
	}
	dir, remove, err := servers.Dir()
	fatal(t, err)
	t.Cleanup(remove)
	pg, err := servers.NewPostgres(t.Context(), dir)
	fatal(t, err)
	t.Cleanup(pg.Kill)
	pooler, err := servers.NewPooler(t.Context(), dir, pg)
	fatal(t, err)
	t.Cleanup(pooler.Kill)
	from := liveInAndLeave(t)
	// target names a new database in the environment.
	target := func(t *testing.T, name string) {
		fatal(t, pg.CreateDatabase(t.Context(), name))
		key, err := os.ReadFile(filepath.Join(from.dir, "secret.key"))
		fatal(t, err)
		t.Setenv("DATABASE_URL", pg.URL(name))
		t.Setenv("ONEMIND_SINGLE_INSTANCE", "true")
		t.Setenv("ONEMIND_SECRET_KEY", secret.Generate()+","+strings.TrimSpace(string(key)))
	}
	refused := func(t *testing.T, want ...string) {
		t.Helper()
		_, errs, err := invoke(t, (*cli).migrateImport, "--from", "sqlite:"+from.path)
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error = %v, want one line with %q\n%s", err, w, errs)
			}
		}
	}

	t.Run("refuses a wrong call", func(t *testing.T) {
		if _, _, err := invoke(t, (*cli).migrateImport, "--from", "sqlite:"+from.path); err == nil || !strings.Contains(err.Error(), "DATABASE_URL: must name the Postgres") {
			t.Errorf("without a Postgres: %v", err)
		}
		target(t, "wrong")
		for _, bad := range []string{"sqlite:", from.path, "sqlite:" + from.path + ".none"} {
			if _, _, err := invoke(t, (*cli).migrateImport, "--from", bad); err == nil || !strings.Contains(err.Error(), "--from: ") {
				t.Errorf("--from %s: %v", bad, err)
			}
		}
		t.Setenv("ONEMIND_SECRET_KEY", secret.Generate())
		refused(t, "ONEMIND_SECRET_KEY: does not open", filepath.Join(from.dir, "secret.key"))
		own := filepath.Join(from.dir, "secret.key") // without it, the sealed keys themselves tell
		fatal(t, os.Rename(own, own+".away"))
		refused(t, "ONEMIND_SECRET_KEY: does not open")
		fatal(t, os.Rename(own+".away", own))
	})
	t.Run("refuses a server that runs", func(t *testing.T) {
		target(t, "running")
		db, err := sqlite.Open(t.Context(), from.path)
		fatal(t, err)
		refused(t, "the server of "+from.dir+" is running; stop it first")
		fatal(t, db.Close())
	})
	t.Run("takes back a copy that differs", func(t *testing.T) {
		fatal(t, pg.CreateDatabase(t.Context(), "short"))
		db, err := postgres.Open(t.Context(), postgres.Config{URL: pg.URL("short"), Migrate: true})
		fatal(t, err)
		defer db.Close()
		file, err := sqlite.Open(t.Context(), from.path)
		fatal(t, err)
		defer file.Close()
		err = file.Export(t.Context(), func(e *sqlite.Export) error {
			_, err := db.Import(t.Context(), forgetful{e}, func(string, int64) {})
			return err
		})
		if !errors.Is(err, postgres.ErrDiffers) || !strings.Contains(err.Error(), "answers has 1 rows here and 2 there") {
			t.Errorf("a copy without one answer: %v", err)
		}
		if n, err := db.CountUsers(t.Context()); n != 0 || err != nil {
			t.Errorf("%d users are left, %v", n, err)
		}
	})
	t.Run("moves everything", func(t *testing.T) {
		target(t, "moved")
		t.Setenv("DATABASE_URL", pooler.URL("moved")) // the copy keeps to one transaction, so that it may go through
		booksOf(t)                                    // a first start, or `onemind migrate`, has put the built-in catalog there
		out, errs, err := invoke(t, (*cli).migrateImport, "--from", "sqlite:"+from.path)
		if err != nil {
			t.Fatalf("%v\n%s", err, errs)
		}
		if !strings.Contains(out, "Equal on both sides: rows, catalog revision 4, 6 ledger entries") || !strings.Contains(errs, "answers: 2 rows") {
			t.Errorf("printed\n%s%s", out, errs)
		}
		from.arrived(t, booksOf(t))
		refused(t, "DATABASE_URL: the database is in use: it has 3 users, 8 ledger entries, 2 conversations and catalog revision 5")
	})
	t.Run("refuses an open hold", func(t *testing.T) {
		target(t, "holding")
		db, err := sqlite.OpenBeside(t.Context(), from.path)
		fatal(t, err)
		_, err = db.Hold(t.Context(), credit.Hold{Ref: "open", User: from.user.ID, Owner: "boot", AtLeast: 1, AtMost: money.Credit, Terms: []byte(`{}`), At: time.Now()})
		fatal(t, err)
		fatal(t, db.Close())
		refused(t, "--from: holds are open: 1 answers hold $0.01 there; start the server of "+from.dir+" once more")
	})
}

// forgetful is a source that loses the first answer.
type forgetful struct{ *sqlite.Export }

func (f forgetful) Rows(table string, columns []string) iter.Seq2[[]any, error] {
	return func(yield func([]any, error) bool) {
		lost := table != "answers"
		for values, err := range f.Export.Rows(table, columns) {
			if lost && !yield(values, err) {
				return
			}
			lost = true
		}
	}
}

// liveInAndLeave makes the installation in a test of its own, whose books and
// settings are closed before it moves.
func liveInAndLeave(t *testing.T) (e embedded) {
	t.Helper()
	home := t.TempDir()
	t.Run("live in", func(t *testing.T) { e = liveIn(t, home) })
	if e.key == "" {
		t.FailNow()
	}
	return e
}

// arrived checks that all that people had is where they now are.
func (e embedded) arrived(t *testing.T, b *books) {
	t.Helper()
	ctx := t.Context()
	if _, _, u, err := b.accounts.Login(ctx, "ann@example.org", password, account.Device{}, time.Now()); err != nil || u.ID != e.user.ID || u.Role != account.Admin || u.Name != e.user.Name {
		t.Errorf("login: %v, %+v", err, u)
	}
	if id, err := b.accounts.IdentifyKey(ctx, e.key, time.Now()); err != nil || id.User.ID != e.user.ID {
		t.Errorf("API key: %v, %+v", err, id)
	}
	if balance, err := b.ledger.Balance(ctx, e.user.ID); err != nil || balance != e.balance {
		t.Errorf("balance: %v, %+v, want %+v", err, balance, e.balance)
	}
	if receipts, _, err := b.ledger.Receipts(ctx, e.user.ID, credit.Page{Limit: 100}); err != nil || !reflect.DeepEqual(receipts, e.receipts) {
		t.Errorf("receipts: %v\n%+v, want\n%+v", err, receipts, e.receipts)
	}
	snap := b.catalog.Snapshot()
	if changes := catalog.Diff(e.document, snap.Document()); len(changes) > 0 || b.catalog.LastError() != nil || len(snap.Keys("openai")) != 2 || snap.Keys("openai")[0].Last4 != "enai" {
		t.Errorf("catalog: %v, %v, keys %+v", changes, b.catalog.LastError(), snap.Keys("openai"))
	}
	if r, err := b.catalog.Revision(ctx, 2); err != nil || r.Note != "edit 0" || len(r.Models) == 0 {
		t.Errorf("revision 2: %v, %+v", err, r.Note)
	}
	e.readable(t, b.stores.database)
	e.goesOn(t, b)
}

// readable checks conversations and the search.
func (e embedded) readable(t *testing.T, s chat.Store) {
	t.Helper()
	for _, query := range []string{"zur", "日本", "bonj", "lokomotive", "naive"} {
		if found, _, err := s.Conversations(t.Context(), e.user.ID, chat.Page{Query: query, Limit: 10}); err != nil || len(found) != 1 || found[0].Snippet == "" || !found[0].Pinned {
			t.Errorf("search for %s: %v, %+v", query, err, found)
		}
	}
	runs, err := s.Runs(t.Context(), e.user.ID, "conversation")
	if err != nil || len(runs) != 2 {
		t.Fatalf("runs: %v, %d", err, len(runs))
	}
	stored := strings.ReplaceAll(strings.ToValidUTF8(odd, "\uFFFD"), "\x00", "")
	for i, r := range runs {
		a := r.Answers[0]
		if r.Prompt != stored || *r.Temperature != 0.7 || r.FinishedAt.IsZero() || len(r.Images) != 1 || !slices.Equal(r.Selected, []string{a.ID}) || a.Reasoning != stored || !strings.HasSuffix(a.Text, stored) {
			t.Errorf("run %d: %+v", i, r)
		}
	}
	if len(runs[1].Answers[0].Text) < 1<<20 {
		t.Errorf("the long answer has %d bytes", len(runs[1].Answers[0].Text))
	}
}

// goesOn checks that what comes next has numbers of its own, and happens once.
func (e embedded) goesOn(t *testing.T, b *books) {
	t.Helper()
	ctx := t.Context()
	again := credit.Entry{User: e.user.ID, Kind: credit.Grant, Amount: 5 * money.Dollar, Ref: "grant0", Reason: "welcome " + odd[:3], Actor: "cli", At: time.Now()}
	if entry, err := b.ledger.Grant(ctx, again); err != nil || entry.At.Year() != 2024 {
		t.Errorf("a grant a second time: %v, %+v", err, entry)
	}
	if held, err := b.ledger.Hold(ctx, credit.Hold{Ref: "answer1", User: e.user.ID, AtLeast: 1, AtMost: money.Credit, Terms: []byte(`{}`), At: time.Now()}); err != nil || held != money.Credit {
		t.Errorf("a hold that was settled before: %v, %v", held, err)
	}
	again.Ref = "new"
	_, err := b.ledger.Grant(ctx, again)
	fatal(t, err)
	_, err = b.ledger.Hold(ctx, credit.Hold{Ref: "new answer", User: e.user.ID, Owner: "boot", AtLeast: 1, AtMost: money.Credit, Terms: []byte(`{}`), At: time.Now()})
	fatal(t, err)
	_, _, err = b.ledger.Settle(ctx, credit.Receipt{ID: "new answer", User: e.user.ID, Outcome: credit.Finished, Charge: 1, StartedAt: time.Now(), FinishedAt: time.Now()})
	fatal(t, err)
	_, err = b.accounts.Create(ctx, account.NewUser{Email: "eve@example.org", Password: password, Role: account.Member})
	fatal(t, err)
	c := chat.Conversation{ID: "next", User: e.user.ID, Title: "Next", CreatedAt: time.Now(), UpdatedAt: time.Now()}
	_, _, err = b.stores.CreateRun(ctx, chat.Run{ID: "next run", Conversation: "next", User: e.user.ID, Prompt: "Hi", CreatedAt: time.Now()}, &c)
	fatal(t, err)
	file, err := catalog.ParseYAML("edit.yaml", []byte("models: [{id: gpt-4o, prices: {input: 5, output: 20}}]\n"))
	fatal(t, err)
	rev, err := b.catalog.Edit(ctx, catalog.Editor{Actor: "cli"}, 0, func(d *catalog.Draft) error { return file.Apply(d, false) })
	if err != nil || rev.Number != 5 {
		t.Errorf("the next revision is %d, %v", rev.Number, err)
	}
	if report, err := b.ledger.Check(context.WithoutCancel(ctx)); err != nil || !report.OK {
		t.Errorf("books: %v, %v", err, report.Problems)
	}
}
