package storetest

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"onemind/internal/chat"
	"onemind/internal/money"
)

// Chats holds a chat.Store to its words. open gives one without conversations.
func Chats(t *testing.T, open func(*testing.T) chat.Store) {
	t.Run("conversations", func(t *testing.T) { chatConversations(t, open(t)) })
	t.Run("list", func(t *testing.T) { chatList(t, open(t)) })
	t.Run("search", func(t *testing.T) { chatSearch(t, open(t)) })
	t.Run("run", func(t *testing.T) { chatRun(t, open(t)) })
	t.Run("one key, many sends", func(t *testing.T) { chatKeyRace(t, open(t)) })
	t.Run("answers", func(t *testing.T) { chatAnswers(t, open(t)) })
	t.Run("unfinished", func(t *testing.T) { chatUnfinished(t, open(t)) })
	t.Run("delete", func(t *testing.T) { chatDelete(t, open(t)) })
	t.Run("odd texts", func(t *testing.T) { chatText(t, open(t)) })
}

func conversationOf(user, id, title string, minute int) chat.Conversation {
	at := epoch().Add(time.Duration(minute) * time.Minute)
	return chat.Conversation{ID: id, User: user, Title: title, CreatedAt: at, UpdatedAt: at}
}

// runOf makes a run with two waiting answers, and something in every field.
func runOf(user, conversation, id string, minute int) chat.Run {
	warm := 0.7
	at := epoch().Add(time.Duration(minute) * time.Minute)
	return chat.Run{ID: id, Conversation: conversation, User: user, Key: "key-" + id, Digest: "digest", Owner: "boot1", Prompt: "What is " + id + "?",
		Images: []string{"data:image/png;base64,AAAA"}, System: "Be brief.", MaxTokens: 100, MaxCost: money.Credit, Temperature: &warm, RetryOf: "ans_0",
		CreatedAt: at, Answers: []chat.Answer{
			{ID: id + "-b", Run: id, Model: "gpt-4o", ModelName: "GPT-4o", State: chat.Waiting, CreatedAt: at},
			{ID: id + "-a", Run: id, Model: "small", ModelName: "Small", State: chat.Failed, ErrorCode: "rate_limited", ErrorText: "Slow down.", Retryable: true, RetryAfter: 3, CreatedAt: at},
		}}
}

func createRun(t testing.TB, s chat.Store, r chat.Run, fresh *chat.Conversation) {
	t.Helper()
	got, created, err := s.CreateRun(context.Background(), r, fresh)
	if err != nil || !created {
		t.Fatalf("create run %s: created %v, %v", r.ID, created, err)
	}
	if !reflect.DeepEqual(got, r) {
		t.Fatalf("stored\n%+v, want\n%+v", got, r)
	}
}

func chatConversations(t *testing.T, s chat.Store) {
	ctx := context.Background()
	want := conversationOf("u", "c1", "Trains", 1)
	want.Models = []string{"gpt-4o", "small"}
	check(t, s.CreateConversation(ctx, want))
	if got, err := s.Conversation(ctx, "u", "c1"); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v:\n%+v, want\n%+v", err, got, want)
	}
	want.Title, want.Pinned = "Boats", true
	check(t, s.UpdateConversation(ctx, want))
	if got, err := s.Conversation(ctx, "u", "c1"); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("updated: %v:\n%+v, want\n%+v", err, got, want)
	}
	theirs := want
	theirs.User, theirs.Title = "v", "Mine now"
	fails(t, "another user's update", s.UpdateConversation(ctx, theirs), chat.ErrNoConversation)
	fails(t, "another user's delete", s.DeleteConversation(ctx, "v", "c1"), chat.ErrNoConversation)
	_, err := s.Conversation(ctx, "v", "c1")
	fails(t, "another user's read", err, chat.ErrNoConversation)
	_, err = s.Conversation(ctx, "u", "c2")
	fails(t, "one that is not there", err, chat.ErrNoConversation)
	if got, err := s.Conversation(ctx, "u", "c1"); err != nil || got.Title != "Boats" {
		t.Errorf("after others tried: %+v, %v", got, err)
	}
}

// pages reads a list to its end and gives the ids.
func pages(t testing.TB, s chat.Store, user, query string, limit int) string {
	t.Helper()
	var ids []string
	p := chat.Page{Query: query, Limit: limit}
	for range 50 {
		list, next, err := s.Conversations(context.Background(), user, p)
		check(t, err)
		for _, c := range list {
			ids = append(ids, c.ID)
		}
		if len(list) > limit {
			t.Fatalf("%d on a page of %d", len(list), limit)
		}
		if next == "" {
			return strings.Join(ids, " ")
		}
		p.Cursor = next
	}
	t.Fatal("the list has no end")
	return ""
}

func chatList(t *testing.T, s chat.Store) {
	ctx := context.Background()
	for i := range 7 {
		c := conversationOf("u", fmt.Sprint("c", i), "Title", i/2) // pairs of the same minute
		c.Pinned = i == 2 || i == 5
		check(t, s.CreateConversation(ctx, c))
	}
	check(t, s.CreateConversation(ctx, conversationOf("v", "theirs", "Title", 9)))
	for limit := 1; limit <= 8; limit++ {
		if got := pages(t, s, "u", "", limit); got != "c5 c2 c6 c4 c3 c1 c0" {
			t.Errorf("by %d: %s", limit, got)
		}
	}
	createRun(t, s, runOf("u", "c0", "run1", 60), nil)
	if got := pages(t, s, "u", "", 3); got != "c5 c2 c0 c6 c4 c3 c1" {
		t.Errorf("after a run: %s", got)
	}
	list, _, err := s.Conversations(ctx, "u", chat.Page{Limit: 3})
	check(t, err)
	if c := list[2]; !c.UpdatedAt.Equal(epoch().Add(time.Hour)) || !reflect.DeepEqual(c.Models, []string{"gpt-4o", "small"}) || c.Snippet != "" {
		t.Errorf("touched by a run: %+v", c)
	}
	if _, _, err := s.Conversations(ctx, "u", chat.Page{Cursor: "nonsense", Limit: 3}); err == nil {
		t.Error("a cursor that is none is accepted")
	}
}

func chatSearch(t *testing.T, s chat.Store) {
	ctx := context.Background()
	for i, text := range []struct{ title, prompt, answer string }{
		{"Railways", "Which train is the fastest?", "The Shanghai maglev. 100% of its track is elevated_rail."},
		{"Cooking", "How do I train a sourdough?", "Über Nacht gehen lassen. Don't hurry: it's \"done\" when it's done."},
		{"中文问题", "上海的磁悬浮列车有多快？", "最高时速四百三十公里。"},
	} {
		c := conversationOf("u", fmt.Sprint("c", i), text.title, i)
		r := runOf("u", c.ID, fmt.Sprint("run", i), i)
		r.Prompt = text.prompt
		createRun(t, s, r, &c)
		a := r.Answers[0]
		a.State, a.Text = chat.Done, "draft about zebras"
		check(t, s.FinishAnswer(ctx, a))
		a.Text = text.answer
		check(t, s.FinishAnswer(ctx, a))
	}
	other := conversationOf("v", "theirs", "Train of thought", 9)
	check(t, s.CreateConversation(ctx, other))
	for query, want := range map[string]string{
		"train":         "c1 c0",
		"TRAIN":         "c1 c0",
		"railways":      "c0",
		"rail":          "c0", // the beginning of a word is enough
		"train maglev":  "c0", // each word somewhere in the conversation
		"train zebras":  "",   // what an answer said before it was replaced
		"über":          "c1",
		"uber":          "c1", // without its marks
		"上海":            "c2",
		"磁悬浮":           "c2",
		"悬磁":            "",
		"100%":          "c0",
		"%":             "",
		"\"done\" OR (": "", // nothing in a query is an operator
		"hurry, it's":   "c1",
		"* AND NEAR":    "",
		"nowhere":       "",
		"   ":           "c2 c1 c0",
		"train' --":     "c1 c0",
		"\x00train":     "c1 c0",
	} {
		if got := pages(t, s, "u", query, 10); got != want {
			t.Errorf("%q finds %q, want %q", query, got, want)
		}
	}
	if got := pages(t, s, "u", "train", 1); got != "c1 c0" {
		t.Errorf("by one: %q", got)
	}
	list, _, err := s.Conversations(ctx, "u", chat.Page{Query: "maglev", Limit: 10})
	check(t, err)
	if len(list) != 1 || !strings.Contains(list[0].Snippet, "maglev") {
		t.Errorf("the snippet does not show the match: %+v", list)
	}
	check(t, s.UpdateConversation(ctx, chat.Conversation{ID: "c0", User: "u", Title: "Aeroplanes"}))
	if got := pages(t, s, "u", "railways", 10) + pages(t, s, "u", "aeroplanes", 10); got != "c0" {
		t.Errorf("after a new title: %q", got)
	}
}
