package postgres_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"onemind/internal/chat"
	"onemind/internal/replay"
)

// Texts of any size are kept whole and found by what is at their beginning.
func TestLongTexts(t *testing.T) {
	db := open(t)
	ctx := t.Context()
	var words, random strings.Builder
	for i := range 200_000 {
		fmt.Fprintf(&words, "word%d ", i)
	}
	for i := range 50_000 {
		random.WriteRune('一' + rune(i*7919%20_000))
	}
	for i, text := range []string{words.String(), random.String(), strings.Repeat("好", 300_000), strings.Repeat("x", 3<<20), strings.Repeat("ab ", 500_000)} {
		c := conversationOf("u", fmt.Sprint("c", i), "Long")
		r := chat.Run{ID: fmt.Sprint("r", i), Conversation: c.ID, User: "u", Prompt: text, CreatedAt: time.Now(), Answers: []chat.Answer{{ID: fmt.Sprint("a", i), CreatedAt: time.Now()}}}
		if _, _, err := db.CreateRun(ctx, r, &c); err != nil {
			t.Fatalf("text %d: %v", i, err)
		}
		if err := db.FinishAnswer(ctx, chat.Answer{ID: fmt.Sprint("a", i), State: chat.Done, Text: text}); err != nil {
			t.Fatalf("text %d: %v", i, err)
		}
		if got, err := db.Run(ctx, "u", r.ID); err != nil || got.Answers[0].Text != text {
			t.Errorf("text %d comes back with %d bytes, %v", i, len(got.Answers[0].Text), err)
		}
		query := string([]rune(text)[:min(len([]rune(text)), 5)])
		found, _, err := db.Conversations(ctx, "u", chat.Page{Query: query, Limit: 10})
		if err != nil || len(found) == 0 || len(found[0].Snippet) > 1000 {
			t.Errorf("%q: %d found, %v", query, len(found), err)
		}
	}
}

// A search never walks through other people's texts.
func TestSearchPlan(t *testing.T) {
	name := fresh(t)
	db := opens(t, name)
	sql(t, name, `INSERT INTO onemind.conversations SELECT 'c' || n, 'other', 't', false, '[]', now(), now() FROM generate_series(1, 100000) n`)
	sql(t, name, `INSERT INTO onemind.search_texts (ref, source, conversation_id, words) SELECT 'c' || n, 'title', 'c' || n, ('''' || substr(md5('o' || n % 1000), 1, 8) || 'train'':1')::tsvector FROM generate_series(1, 100000) n`)
	sql(t, name, `ANALYZE onemind.search_texts`)
	if err := db.CreateConversation(t.Context(), conversationOf("u", "mine", "Train")); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	found, _, err := db.Conversations(t.Context(), "u", chat.Page{Query: "train", Limit: 10})
	if err != nil || len(found) != 1 || found[0].ID != "mine" {
		t.Errorf("%+v, %v", found, err)
	}
	t.Logf("one text among 100,000 of others in %s", time.Since(began))
}

// Old logs go and the rest stays, however many events there are.
func TestTrimMany(t *testing.T) {
	name := fresh(t)
	db := opens(t, name)
	sql(t, name, `INSERT INTO onemind.run_events SELECT 'old' || r, s, '{}', s = 50, now() - interval '1 hour' FROM generate_series(1, 2000) r, generate_series(1, 50) s`)
	sql(t, name, `INSERT INTO onemind.run_events SELECT 'open' || r, s, '{}', false, now() - interval '1 hour' FROM generate_series(1, 500) r, generate_series(1, 50) s`)
	sql(t, name, `INSERT INTO onemind.conversations VALUES ('c', 'u', 't', false, '[]', now(), now())`)
	sql(t, name, `INSERT INTO onemind.runs (id, conversation_id, user_id, idempotency_key, digest, owner, prompt, images, system, max_tokens, max_cost, retry_of, selected, created_at, finished_at)
		VALUES ('crashed', 'c', 'u', '', '', '', '', '[]', '', 0, 0, '', '[]', now() - interval '3 days', now() - interval '3 days')`)
	ctx := t.Context()
	if err := db.AppendEvents(ctx, "crashed", []replay.Event{{Seq: 1, Data: []byte("{}")}}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := db.TrimEvents(ctx, time.Now().Add(-10*time.Minute)); err != nil {
		t.Fatal(err)
	}
	t.Logf("2,001 of 2,501 logs with 125,001 events trimmed in %s", time.Since(began))
	if n := value[int](t, name, `SELECT count(DISTINCT run_id)::int FROM onemind.run_events`); n != 500 {
		t.Errorf("%d logs are left, want the 500 open ones", n)
	}
}
