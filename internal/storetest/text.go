package storetest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"onemind/internal/account"
	"onemind/internal/catalog"
	"onemind/internal/chat"
)

// oddTexts is what people and providers send and some databases refuse.
func oddTexts() []string {
	return []string{
		"null \x00 inside", "\x00", "\xff\xfe no UTF-8 \xe2\x82", `written: \u0000 \\u0000 \ud800 \`, "�\ufffe 😀\U0010ffff",
		`' " \ ; -- $1 & | ! <-> :* ( %`, "ﾞ ﾟ ١٢٣ ½ ŉ ﷺ ⑴", strings.Repeat("long", 200_000),
	}
}

// No act of a conversation fails because of the bytes in a text.
func chatText(t *testing.T, s chat.Store) {
	ctx := context.Background()
	for i, text := range oddTexts() {
		c := conversationOf("u", fmt.Sprint("c", i), text, i)
		r := runOf("u", c.ID, fmt.Sprint("run", i), i)
		r.Key, r.Digest, r.Prompt, r.System, r.Images = fmt.Sprint(i)+text[:min(len(text), 50)], text, text, text, []string{text}
		r.Answers[0].Model, r.Answers[0].ModelName, r.Answers[1].ErrorText = text, text, text
		if _, _, err := s.CreateRun(ctx, r, &c); err != nil {
			t.Fatalf("create a run with %.40q: %v", text, err)
		}
		a := r.Answers[0]
		a.State, a.Text, a.Reasoning, a.FinishReason, a.ErrorText = chat.Done, text, text, text, text
		check(t, s.FinishAnswer(ctx, a))
		check(t, s.Select(ctx, "u", r.ID, []string{text}))
		c.Title += "!"
		check(t, s.UpdateConversation(ctx, c))
		if got, err := s.RunByKey(ctx, "u", r.Key); err != nil || got.ID != r.ID {
			t.Errorf("the run by its key of %.40q: %q, %v", text, got.ID, err)
		}
		_, _, err := s.Conversations(ctx, "u", chat.Page{Query: text, Limit: 10})
		check(t, err)
		_, err = s.Conversation(ctx, "u", "none"+text)
		fails(t, "a conversation that is not there", err, chat.ErrNoConversation)
	}
	runs, err := s.Runs(ctx, "u", "c2")
	check(t, err)
	if len(runs) != 1 || !strings.Contains(runs[0].Prompt, "no UTF-8") || !strings.Contains(runs[0].Answers[0].Text, "no UTF-8") {
		t.Errorf("what can be kept of a text is lost: %+v", runs)
	}
}

func accountText(t *testing.T, s account.Store) {
	ctx := context.Background()
	for i, text := range oddTexts() {
		u := userOf(fmt.Sprint("u", i))
		u.Name = text
		check(t, s.CreateUser(ctx, u))
		was, err := s.UserByID(ctx, u.ID)
		check(t, err)
		u.Name += "!"
		check(t, s.UpdateUser(ctx, was, u))
		check(t, s.CreateKey(ctx, account.Key{ID: fmt.Sprint("key", i), User: u.ID, Name: text, Hash: fmt.Sprint("h", i), CreatedAt: epoch()}))
		_, err = s.UserByEmail(ctx, "nobody"+text)
		fails(t, "a user by address", err, account.ErrNoUser)
		_, err = s.KeyByHash(ctx, "none"+text)
		fails(t, "a key by hash", err, account.ErrNoKey)
		_, err = s.Users(ctx, account.Filter{Query: text[:min(len(text), 1000)], Limit: 10})
		check(t, err)
	}
}

func sessionText(t *testing.T, s account.Sessions) {
	ctx := context.Background()
	for i, text := range oddTexts() {
		v := sessionOf("u", i)
		v.UserAgent, v.Address = text, text
		check(t, s.CreateSession(ctx, v))
		_, err := s.SessionByHash(ctx, v.Hash)
		check(t, err)
		_, err = s.SessionByHash(ctx, "none"+text)
		fails(t, "a session by hash", err, account.ErrNoSession)
	}
}

func catalogText(t *testing.T, s catalog.Store) {
	ctx := context.Background()
	for i, text := range oddTexts() {
		next := revisionOf(text, Document())
		next.Author, next.Changes[0].Fields[0].Before = text, text
		next.Providers[0].Name, next.Models[0].Name, next.Models[0].Aliases, next.Models[0].Rules.Drop = text, text, []string{text}, []string{text}
		next.Models[0].Prices[0].Version, next.Models[0].Prices[0].Source = fmt.Sprint("gpt-4o@odd", i), text
		next.Plans[0].Models, next.Settings.DefaultPlan = []string{text}, text
		check(t, s.Save(ctx, int64(i), next, nil, []catalog.Audit{{Actor: text, Action: "save", Object: text, Before: text, After: text, Address: text, At: epoch()}}))
		_, err := s.Load(ctx)
		check(t, err)
		_, err = s.Revision(ctx, int64(i+1))
		check(t, err)
	}
}
