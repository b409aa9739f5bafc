package postgres

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"onemind/internal/catalog"
	"onemind/internal/credit"
)

var (
	// ErrUsed refuses an import into a database that somebody used.
	ErrUsed = errors.New("the database is in use")
	// ErrOpenHolds refuses an import of books that are not closed.
	ErrOpenHolds = errors.New("holds are open")
	// ErrDiffers ends an import whose copy is not what was copied.
	ErrDiffers = errors.New("the copy differs")
)

// A Source is another installation's database that nobody writes to.
type Source interface {
	// Rows gives every row of a table with these columns in this order, in the
	// order they were added. A value is a string, an int64, a float64, a bool, a
	// time.Time, bytes or nil; JSON is text. It may use the slice again.
	Rows(table string, columns []string) iter.Seq2[[]any, error]
	// Count gives the number of a table's rows without reading them.
	Count(table string) (int64, error)
	// Sums adds up the books; see credit.Store.
	Sums(ctx context.Context) (credit.Sums, error)
	// Document gives the catalog as its rows have it.
	Document() (catalog.Document, error)
}

// Imported is what an import did, proved before it was committed.
type Imported struct {
	Tables   []Copied      `json:"tables"`
	Books    credit.Sums   `json:"-"` // of the copy; the same as those of the source
	Revision int64         `json:"revision"`
	Searched int64         `json:"searched"` // texts that the search finds
	Took     time.Duration `json:"-"`
}

// Copied counts the rows of one table.
type Copied struct {
	Table string `json:"table"`
	Rows  int64  `json:"rows"`
}

// copiedTable is a table that moves in, with the columns it is copied by. Those
// that are numbered anew are left out.
type copiedTable struct {
	name    string
	columns string
	json    string // those of columns that are JSON here
	counter string // the column that a sequence fills, if any
}

// copiedTables lists what is copied, in the order that foreign keys ask for. Sessions
// and the events of runs are not: people sign in again, and answers hold the text.
// Nor are the sums of days: they are added up again.
func copiedTables() []copiedTable {
	return []copiedTable{
		{name: "users", columns: "id email name role suspended plan limits password created_at seen_at", json: "limits"},
		{name: "api_keys", columns: "id user_id name prefix hash created_at used_at credits_per_day response_cache"},
		{name: "provider_config", columns: "id name protocol base_url api_key_env keyless enabled allow_private_address max_concurrency connect_timeout_ms first_token_timeout_ms idle_timeout_ms whole_timeout_ms max_waiting max_wait_ms"},
		{name: "provider_keys", columns: "id provider_id sealed last4 created_at"},
		{name: "ai_models", columns: "id provider_id upstream_id name state context_window max_output_tokens capabilities aliases parameter_rules substitutes retires_on", json: "capabilities aliases parameter_rules substitutes"},
		{name: "ai_model_prices", counter: "n", columns: "n version model_id input_nano_usd cached_input_nano_usd cache_write_nano_usd output_nano_usd reasoning_nano_usd per_request_nano_usd per_image_nano_usd effective_at source as_of author created_at"},
		{name: "system_config", columns: "section name value", json: "value"},
		{name: "catalog_revisions", columns: "number author note created_at changes document", json: "changes document"},
		{name: "audit_log", counter: "id", columns: "id actor action object before after address created_at"},
		{name: "credits", columns: "user_id balance held"},
		{name: "credit_transactions", counter: "id", columns: "id user_id kind amount ref reason actor model created_at"},
		{name: "receipts", counter: "id", columns: "id ref user_id request_id run_id model outcome input_tokens output_tokens hold charge finished_at receipt key_id held_on"},
		{name: "conversations", columns: "id user_id title pinned models created_at updated_at", json: "models"},
		{name: "runs", counter: "n", columns: "n id conversation_id user_id idempotency_key digest owner prompt images system max_tokens max_cost temperature retry_of selected created_at finished_at", json: "images selected"},
		{name: "answers", columns: "id run_id position model model_name state text reasoning finish_reason error_code error_text retryable retry_after tokens estimated charge created_at first_token_ms total_ms served_by substitute_code", json: "tokens"},
	}
}

// Import copies another installation into this database, which nobody may have
// used: everything that lasts, in one transaction, with the search built anew.
// Before it commits it proves the books of both sides and compares rows and
// catalogs; on a difference nothing is changed. progress hears of each table and
// of every so many rows of a long one.
func (db *DB) Import(ctx context.Context, from Source, progress func(table string, rows int64)) (Imported, error) {
	setting, dsn := "DATABASE_DIRECT_URL", db.config.Direct
	if dsn == "" || dsn == db.config.URL {
		setting, dsn = "DATABASE_URL", db.config.URL
	}
	conn, err := connect(ctx, setting, dsn)
	if err != nil {
		return Imported{}, err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is lost
	start := time.Now()
	m := &moveIn{from: from, progress: progress}
	err = alone(ctx, conn, func(tx pgx.Tx) error {
		m.tx = tx
		for _, step := range []func(context.Context) error{m.closed, m.prepare, m.unused, m.copyAll, m.countOn, m.search, m.prove} {
			if err := step(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	m.done.Took = time.Since(start)
	if err != nil {
		return Imported{}, translate(err)
	}
	return m.done, nil
}

// moveIn is one import.
type moveIn struct {
	tx       pgx.Tx
	from     Source
	progress func(string, int64)
	done     Imported
}

// closed refuses books that are not in order, or not closed.
func (m *moveIn) closed(ctx context.Context) error {
	sums, err := m.from.Sums(ctx)
	if err != nil {
		return fmt.Errorf("sum the books of the source: %w", err)
	}
	if sums.OpenHolds > 0 {
		return fmt.Errorf("%w: %d answers hold %s there", ErrOpenHolds, sums.OpenHolds, sums.Open)
	}
	m.done.Books = sums
	return proved(ctx, "the source", sums)
}

// proved refuses books that do not add up.
func proved(ctx context.Context, side string, sums credit.Sums) error {
	report, err := credit.NewLedger(summed{sums: sums}, nil, nil).Check(ctx)
	if err == nil && !report.OK {
		err = fmt.Errorf("the books of %s are not clean: %s", side, strings.Join(report.Problems, "; "))
	}
	return err
}

// summed is books of which only the sums are known: a Ledger can prove them, and
// do nothing else.
type summed struct {
	credit.Store
	sums credit.Sums
}

// Sums gives them.
func (s summed) Sums(context.Context) (credit.Sums, error) { return s.sums, nil }

// prepare sets up the transaction: the months of entries are in UTC whatever the
// role's time zone, rows come slower than the role allows, and the catalog's
// triggers see no edit by hand.
func (m *moveIn) prepare(ctx context.Context) error {
	if _, err := exec(ctx, m.tx, `SELECT set_config('TimeZone', 'UTC', true), set_config('idle_in_transaction_session_timeout', '0', true)`); err != nil {
		return err
	}
	if err := m.tx.QueryRow(ctx, `SELECT id FROM onemind.catalog_state FOR UPDATE`).Scan(new(int)); err != nil {
		return fmt.Errorf("lock the catalog: %w", err)
	}
	return saving(ctx, m.tx)
}

// unused refuses a database that somebody used, and takes out the built-in catalog
// that a first start or a migration may have put in.
func (m *moveIn) unused(ctx context.Context) error {
	var users, entries, chats, revision, instances int64
	var author string
	if err := m.tx.QueryRow(ctx, `SELECT (SELECT count(*) FROM onemind.users), (SELECT count(*) FROM onemind.credit_transactions),
			(SELECT count(*) FROM onemind.conversations), coalesce((SELECT max(number) FROM onemind.catalog_revisions), 0),
			coalesce((SELECT min(author) FROM onemind.catalog_revisions WHERE number = 1), ''),
			(SELECT count(*) FROM onemind.instances WHERE seen_at > clock_timestamp() - interval '30 seconds')`).
		Scan(&users, &entries, &chats, &revision, &author, &instances); err != nil {
		return fmt.Errorf("look whether anybody used the database: %w", err)
	}
	if instances > 0 {
		return fmt.Errorf("%w: %d instances run on it; stop them first", ErrUsed, instances)
	}
	if users > 0 || entries > 0 || chats > 0 || revision > 1 || revision == 1 && author != "startup" {
		return fmt.Errorf("%w: it has %d users, %d ledger entries, %d conversations and catalog revision %d; an import needs a new one", ErrUsed, users, entries, chats, revision)
	}
	if revision == 0 {
		return nil
	}
	for _, sql := range []string{
		`ALTER TABLE onemind.ai_model_prices DISABLE TRIGGER ai_model_prices_immutable`,
		`ALTER TABLE onemind.audit_log DISABLE TRIGGER audit_log_immutable`,
		`DELETE FROM onemind.ai_model_prices`, `DELETE FROM onemind.ai_models`, `DELETE FROM onemind.provider_config`,
		`DELETE FROM onemind.system_config`, `DELETE FROM onemind.catalog_revisions`, `DELETE FROM onemind.audit_log`,
		`SET CONSTRAINTS ALL IMMEDIATE`, // no table may be altered while its triggers wait
		`ALTER TABLE onemind.ai_model_prices ENABLE TRIGGER ai_model_prices_immutable`,
		`ALTER TABLE onemind.audit_log ENABLE TRIGGER audit_log_immutable`,
	} {
		if _, err := exec(ctx, m.tx, sql); err != nil {
			return err
		}
	}
	return nil
}

func (m *moveIn) copyAll(ctx context.Context) error {
	if err := m.months(ctx); err != nil {
		return err
	}
	for _, t := range copiedTables() {
		rows, err := m.copy(ctx, t)
		if err != nil {
			return fmt.Errorf("copy %s: %w", t.name, err)
		}
		m.progress(t.name, rows)
		m.done.Tables = append(m.done.Tables, Copied{t.name, rows})
	}
	for _, sql := range []string{
		`INSERT INTO onemind.credit_refs (user_id, ref, entry_id, created_at) SELECT user_id, ref, id, created_at FROM onemind.credit_transactions`,
		// What was just written has no statistics, and the proof joins all of it.
		`ANALYZE onemind.credits, onemind.credit_transactions, onemind.credit_refs, onemind.receipts, onemind.runs, onemind.answers`,
	} {
		if _, err := exec(ctx, m.tx, sql); err != nil {
			return err
		}
	}
	return nil
}

// months makes the ledger's partition of every month that has an entry.
func (m *moveIn) months(ctx context.Context) error {
	made := map[time.Time]bool{}
	for values, err := range m.from.Rows("credit_transactions", []string{"created_at"}) {
		if err != nil {
			return fmt.Errorf("read the ledger's months: %w", err)
		}
		at, ok := values[0].(time.Time)
		if !ok || at.Year() < 2000 || at.Year() > 2200 {
			return fmt.Errorf("an entry of the ledger has the time %v", values[0])
		}
		if month := monthOf(at); !made[month] {
			made[month] = true
			if err := ensurePartition(ctx, m.tx, month); err != nil {
				return err
			}
		}
	}
	return nil
}

// rowsAtOnce is how often a long table is heard of.
const rowsAtOnce = 100_000

// copy streams one table.
func (m *moveIn) copy(ctx context.Context, t copiedTable) (rows int64, err error) {
	columns := strings.Fields(t.columns)
	isJSON := make([]bool, len(columns))
	for i, column := range columns {
		isJSON[i] = strings.Contains(" "+t.json+" ", " "+column+" ")
	}
	next, stop := iter.Pull2(m.from.Rows(t.name, columns))
	defer stop()
	return m.tx.CopyFrom(ctx, pgx.Identifier{"onemind", t.name}, columns, pgx.CopyFromFunc(func() ([]any, error) {
		values, err, more := next()
		if !more || err != nil {
			return nil, err
		}
		for i, value := range values {
			if text, ok := value.(string); ok {
				if text = clean(text); isJSON[i] {
					text = cleanJSON(text)
				}
				values[i] = text
			}
		}
		if rows++; rows%rowsAtOnce == 0 {
			m.progress(t.name, rows)
		}
		return values, nil
	}))
}

// countOn lets the sequences go on after the numbers that were copied.
func (m *moveIn) countOn(ctx context.Context) error {
	for _, t := range copiedTables() {
		sequence := "pg_get_serial_sequence('onemind." + t.name + "', '" + t.counter + "')"
		switch t.counter {
		case "":
			continue
		case "id":
			if t.name == "credit_transactions" { // it is shared by the partitions, and so no column's own
				sequence = "'onemind.credit_transactions_id'"
			}
		}
		if _, err := exec(ctx, m.tx, `SELECT setval(`+sequence+`, max(`+t.counter+`)) FROM onemind.`+t.name+` HAVING count(*) > 0`); err != nil {
			return err
		}
	}
	return nil
}

// textsAtOnce is how many texts are indexed in one statement. A text can be a
// megabyte, and its words another one.
const textsAtOnce = 50

// search builds what the search finds, in the order things were said.
func (m *moveIn) search(ctx context.Context) error {
	if _, err := exec(ctx, m.tx, `DECLARE texts NO SCROLL CURSOR FOR
		SELECT ref, source, conversation_id, user_id, body FROM (
			SELECT id AS ref, 'title' AS source, id AS conversation_id, user_id, title AS body, created_at, 0 AS place FROM onemind.conversations
			UNION ALL SELECT id, 'prompt', conversation_id, user_id, prompt, created_at, 1 FROM onemind.runs
			UNION ALL SELECT a.id, 'answer', r.conversation_id, r.user_id, a.text, r.created_at, 2 + a.position FROM onemind.answers a JOIN onemind.runs r ON r.id = a.run_id) AS t
		WHERE body <> '' ORDER BY created_at, place`); err != nil {
		return err
	}
	for {
		texts, err := list(ctx, m.tx, func(r *row) searchText {
			return searchText{ref: r.text(), source: r.text(), conversation: r.text(), user: r.text(), text: r.text()}
		}, fmt.Sprintf(`FETCH %d FROM texts`, textsAtOnce))
		if err != nil {
			return err
		}
		if len(texts) == 0 {
			break
		}
		refs, sources, chats, words := make([]string, len(texts)), make([]string, len(texts)), make([]string, len(texts)), make([]string, len(texts))
		for i, t := range texts {
			refs[i], sources[i], chats[i], words[i] = t.ref, t.source, t.conversation, vector(t.user, t.text)
		}
		if _, err := exec(ctx, m.tx, `INSERT INTO onemind.search_texts (ref, source, conversation_id, words)
			SELECT t.ref, t.source, t.chat, t.words::tsvector FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS t (ref, source, chat, words, n) ORDER BY t.n`,
			refs, sources, chats, words); err != nil {
			return err
		}
		if m.done.Searched += int64(len(texts)); m.done.Searched%rowsAtOnce == 0 {
			m.progress("search", m.done.Searched)
		}
	}
	m.progress("search", m.done.Searched)
	_, err := exec(ctx, m.tx, `CLOSE texts`)
	return err
}

// prove compares the copy with its source.
func (m *moveIn) prove(ctx context.Context) (err error) {
	for _, t := range m.done.Tables {
		var have int64
		if err := m.tx.QueryRow(ctx, `SELECT count(*) FROM onemind.`+t.Table).Scan(&have); err != nil {
			return fmt.Errorf("count %s: %w", t.Table, err)
		}
		there, err := m.from.Count(t.Table)
		if err != nil {
			return fmt.Errorf("count %s of the source: %w", t.Table, err)
		}
		if have != there {
			return fmt.Errorf("%w: %s has %d rows here and %d there", ErrDiffers, t.Table, have, there)
		}
	}
	sums, err := sum(ctx, m.tx)
	if err != nil {
		return err
	}
	if err := proved(ctx, "the copy", sums); err != nil {
		return err
	}
	if was := m.done.Books; sums.Accounts != was.Accounts || sums.Transactions != was.Transactions || sums.Entries != was.Entries || sums.Balances != was.Balances {
		return fmt.Errorf("%w: the books have %d accounts and %d entries adding up to %s here, %d, %d and %s there", ErrDiffers,
			sums.Accounts, sums.Transactions, sums.Entries, was.Accounts, was.Transactions, was.Entries)
	}
	theirs, err := m.from.Document()
	if err != nil {
		return fmt.Errorf("read the catalog of the source: %w", err)
	}
	ours, err := readDocument(ctx, m.tx)
	if err != nil {
		return err
	}
	if changes := catalog.Diff(theirs, ours); len(changes) > 0 {
		return fmt.Errorf("%w: %d rows of the catalog, the first: %s", ErrDiffers, len(changes), changes[0])
	}
	m.done.Revision, err = newest(ctx, m.tx)
	return err
}
