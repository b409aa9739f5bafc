package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"

	"github.com/jackc/pgx/v5"

	"onemind/internal/money"
)

// database is a connection or a transaction.
type database interface {
	querier
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// row reads the columns of a result from left to right: Go evaluates the calls
// in a composite literal in the order they stand there.
type row struct {
	values []any
	next   int
	err    error
}

func (r *row) take() any {
	if r.next >= len(r.values) {
		r.fail("it has %d columns only", len(r.values))
		return nil
	}
	r.next++
	return r.values[r.next-1]
}

func (r *row) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("column %d: "+format, append([]any{r.next}, args...)...)
	}
}

func (r *row) text() string {
	switch v := r.take().(type) {
	case string:
		return v
	case nil:
		return ""
	default:
		r.fail("%T is no text", v)
		return ""
	}
}

func (r *row) int() int64 {
	switch v := r.take().(type) {
	case int64:
		return v
	case int32:
		return int64(v)
	case nil:
		return 0
	default:
		r.fail("%T is no whole number", v)
		return 0
	}
}

func (r *row) amount() money.Amount { return money.Amount(r.int()) }

func (r *row) bool() bool {
	v, ok := r.take().(bool)
	if !ok {
		r.fail("is no boolean")
	}
	return v
}

func (r *row) bytes() []byte {
	switch v := r.take().(type) {
	case []byte:
		return v
	case nil:
		return nil
	default:
		r.fail("%T is no bytes", v)
		return nil
	}
}

func (r *row) time() time.Time {
	switch v := r.take().(type) {
	case time.Time:
		return v.UTC()
	case nil:
		return time.Time{}
	default:
		r.fail("%T is no time", v)
		return time.Time{}
	}
}

func (r *row) float() *float64 {
	switch v := r.take().(type) {
	case float64:
		return &v
	case nil:
		return nil
	default:
		r.fail("%T is no number", v)
		return nil
	}
}

// json reads a column of JSON, selected as text, into v; NULL leaves it as it is.
func (r *row) json(v any) {
	text := r.text()
	if text == "" || r.err != nil {
		return
	}
	if err := json.Unmarshal([]byte(text), v); err != nil {
		r.fail("read JSON: %w", err)
	}
}

// list gathers what read makes of every row.
func list[T any](ctx context.Context, q database, read func(*row) T, sql string, args ...any) ([]T, error) {
	rows, err := q.Query(ctx, sql, cleaned(args)...)
	if err != nil {
		return nil, fmt.Errorf("run %q: %w", short(sql), err)
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return nil, fmt.Errorf("read a row of %q: %w", short(sql), err)
		}
		r := row{values: values}
		v := read(&r)
		if r.err != nil {
			return nil, fmt.Errorf("read a row of %q: %w", short(sql), r.err)
		}
		all = append(all, v)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("run %q: %w", short(sql), err)
	}
	return all, nil
}

// first gives what read makes of the first row, and whether there was one.
func first[T any](ctx context.Context, q database, read func(*row) T, sql string, args ...any) (v T, found bool, err error) {
	all, err := list(ctx, q, read, sql, args...)
	if err != nil || len(all) == 0 {
		return v, false, err
	}
	return all[0], true, nil
}

// exists tells whether a query has a row.
func exists(ctx context.Context, q database, sql string, args ...any) (bool, error) {
	var one int
	err := q.QueryRow(ctx, sql, cleaned(args)...).Scan(&one)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("run %q: %w", short(sql), err)
	}
	return true, nil
}

// exec runs a statement and gives the number of rows it changed.
func exec(ctx context.Context, tx pgx.Tx, sql string, args ...any) (int64, error) {
	tag, err := tx.Exec(ctx, sql, cleaned(args)...)
	if err != nil {
		return 0, fmt.Errorf("run %q: %w", short(sql), err)
	}
	return tag.RowsAffected(), nil
}

// short is the beginning of a statement, for errors.
func short(sql string) string {
	text := strings.Join(strings.Fields(sql), " ")
	return text[:min(len(text), 80)]
}

// instant cuts a time to milliseconds, so that a value read back is the one that
// was given. A time that never came is NULL.
func instant(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return cut(t)
}

func cut(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Millisecond)
}

// clean makes a text one that Postgres takes: it refuses the null character and
// what is no UTF-8, and people and providers send both.
func clean(s string) string {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "")
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// cleaned cleans the texts among the arguments of a statement, in place.
func cleaned(args []any) []any {
	for i, arg := range args {
		switch v := arg.(type) {
		case string:
			args[i] = clean(v)
		case []string:
			texts := make([]string, len(v)) // the caller's own stays as it is
			for n, text := range v {
				texts[n] = clean(text)
			}
			args[i] = texts
		}
	}
	return args
}

// document writes a value as JSON that Postgres takes.
func document(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("write JSON: %w", err)
	}
	return cleanJSON(string(b)), nil
}

// cleanJSON takes out of a JSON text what Postgres refuses in it: an escaped null
// character, and half a pair of surrogates. A backslash before a u is an escape
// unless another backslash escapes it.
func cleanJSON(text string) string {
	if !strings.Contains(text, `\u`) {
		return text
	}
	var b strings.Builder
	b.Grow(len(text))
	for i := 0; i < len(text); {
		switch r, size := escaped(text[i:]); {
		case text[i] != '\\' || i+1 == len(text):
			b.WriteByte(text[i])
			i++
		case size == 0: // another escape
			b.WriteString(text[i : i+2])
			i += 2
		case r == 0:
			i += size
		case r == unicode.ReplacementChar:
			b.WriteString(`\ufffd`)
			i += size
		default:
			b.WriteString(text[i : i+size])
			i += size
		}
	}
	return b.String()
}

// escaped reads a \u escape at the beginning of a text, or a pair of them; half a
// pair is the replacement character. The size is 0 when there is none.
func escaped(text string) (r rune, size int) {
	one, ok := unit(text)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(one) {
		return one, 6
	}
	if two, ok := unit(text[6:]); ok {
		if r := utf16.DecodeRune(one, two); r != unicode.ReplacementChar {
			return r, 12
		}
	}
	return unicode.ReplacementChar, 6
}

func unit(text string) (rune, bool) {
	if len(text) < 6 || text[:2] != `\u` {
		return 0, false
	}
	n, err := strconv.ParseUint(text[2:6], 16, 16)
	return rune(n), err == nil
}

// documents writes several; the first error counts.
func documents(values ...any) ([]string, error) {
	texts := make([]string, len(values))
	for i, v := range values {
		var err error
		if texts[i], err = document(v); err != nil {
			return nil, err
		}
	}
	return texts, nil
}

// maxPage is the longest page of a list of money, maxList of one for operators.
const (
	maxPage = 200
	maxList = 1000
)

// page gives the bounds of a page: the smallest id that is too large, and the
// number of rows.
func page(before int64, limit, most int) (below, rows int64) {
	if before <= 0 {
		before = 1<<63 - 1
	}
	if limit <= 0 || limit > most {
		limit = most
	}
	return before, int64(limit)
}
