package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"onemind/internal/chat"
	"onemind/internal/money"
	"onemind/internal/replay"
)

func chatRun(t *testing.T, s chat.Store) {
	ctx := context.Background()
	c := conversationOf("u", "c1", "Trains", 0)
	first, second := runOf("u", "c1", "run1", 1), runOf("u", "c1", "run2", 2)
	createRun(t, s, first, &c)
	createRun(t, s, second, nil)
	plain := chat.Run{ID: "run3", Conversation: "c1", User: "u", Owner: "boot1", Prompt: "Hi", CreatedAt: epoch().Add(time.Hour)}
	createRun(t, s, plain, nil)
	runs, err := s.Runs(ctx, "u", "c1")
	check(t, err)
	if want := []chat.Run{first, second, plain}; !reflect.DeepEqual(runs, want) {
		t.Errorf("runs\n%+v, want\n%+v", runs, want)
	}
	if runs, err := s.Runs(ctx, "v", "c1"); len(runs) != 0 || err != nil && !errors.Is(err, chat.ErrNoConversation) {
		t.Errorf("another user's runs: %+v, %v", runs, err)
	}
	for _, user := range []string{"u", ""} {
		if got, err := s.Run(ctx, user, "run1"); err != nil || !reflect.DeepEqual(got, first) {
			t.Errorf("run for %q: %v\n%+v", user, err, got)
		}
	}
	if got, err := s.RunByKey(ctx, "u", "key-run2"); err != nil || !reflect.DeepEqual(got, second) {
		t.Errorf("run by key: %v\n%+v", err, got)
	}
	_, err = s.Run(ctx, "v", "run1")
	fails(t, "another user's run", err, chat.ErrNoRun)
	_, err = s.RunByKey(ctx, "v", "key-run2")
	fails(t, "another user's key", err, chat.ErrNoRun)
	_, err = s.RunByKey(ctx, "u", "")
	fails(t, "no key", err, chat.ErrNoRun)
	_, _, err = s.CreateRun(ctx, runOf("u", "none", "run9", 3), nil)
	fails(t, "a run in no conversation", err, chat.ErrNoConversation)
	_, _, err = s.CreateRun(ctx, runOf("v", "c1", "run9", 3), nil)
	fails(t, "a run in another user's conversation", err, chat.ErrNoConversation)
	_, err = s.Run(ctx, "", "run9")
	fails(t, "a refused run", err, chat.ErrNoRun)

	check(t, s.Select(ctx, "u", "run1", []string{"run1-a", "run1-b"}))
	fails(t, "another user's selection", s.Select(ctx, "v", "run1", nil), chat.ErrNoRun)
	first.Selected = []string{"run1-a", "run1-b"}
	if got, err := s.Run(ctx, "u", "run1"); err != nil || !reflect.DeepEqual(got, first) {
		t.Errorf("selected: %v\n%+v", err, got)
	}
	check(t, s.Select(ctx, "u", "run1", nil))
	if got, err := s.Run(ctx, "u", "run1"); err != nil || len(got.Selected) != 0 {
		t.Errorf("selected nothing: %v, %v", err, got.Selected)
	}
}

// However many devices send under one key at once, one run is made, in one new
// conversation, and all get it.
func chatKeyRace(t *testing.T, s chat.Store) {
	ctx := context.Background()
	var made atomic.Int64
	var senders sync.WaitGroup
	got := make([]string, 10)
	for i := range got {
		senders.Go(func() {
			c := conversationOf("u", fmt.Sprint("c", i), "Trains", 0)
			r := runOf("u", c.ID, fmt.Sprint("run", i), 1)
			r.Key = "same"
			stored, created, err := s.CreateRun(ctx, r, &c)
			if err != nil {
				t.Error(err)
				return
			}
			if created {
				made.Add(1)
			}
			if len(stored.Answers) != 2 || stored.Key != "same" {
				t.Errorf("stored %+v", stored)
			}
			got[i] = stored.ID
		})
	}
	senders.Wait()
	for _, id := range got {
		if id != got[0] {
			t.Fatalf("not all got the same run: %v", got)
		}
	}
	list, _, err := s.Conversations(ctx, "u", chat.Page{Limit: 20})
	check(t, err)
	if made.Load() != 1 || len(list) != 1 {
		t.Errorf("%d runs made, in %d conversations", made.Load(), len(list))
	}
	c := conversationOf("v", "other", "Trains", 0)
	r := runOf("v", "other", "theirs", 1)
	r.Key = "same"
	createRun(t, s, r, &c)
}

func chatAnswers(t *testing.T, s chat.Store) {
	ctx := context.Background()
	c := conversationOf("u", "c1", "Trains", 0)
	r := runOf("u", "c1", "run1", 1)
	createRun(t, s, r, &c)
	a := r.Answers[0]
	a.State, a.Text, a.Reasoning, a.FinishReason = chat.Done, "The maglev. 🚄", "Hm.", "stop"
	a.Tokens, a.Estimated, a.Charge, a.FirstTokenMS, a.TotalMS = money.Tokens{Input: 1, CachedInput: 2, CacheWrite: 3, Output: 4, Reasoning: 5, Images: 6}, true, 77, 8, 9
	a.ServedBy, a.SubstituteCode = "other", "provider_overloaded"
	check(t, s.FinishAnswer(ctx, a))
	b := r.Answers[1]
	b.State, b.ErrorCode, b.ErrorText, b.Retryable, b.RetryAfter = chat.Stopped, "", "", false, 0
	check(t, s.FinishAnswer(ctx, b))
	fails(t, "an answer that is not there", s.FinishAnswer(ctx, chat.Answer{ID: "none", State: chat.Done}), chat.ErrNoAnswer)
	check(t, s.FinishRun(ctx, "run1", epoch().Add(time.Hour)))
	fails(t, "a run that is not there", s.FinishRun(ctx, "none", epoch()), chat.ErrNoRun)
	r.Answers, r.FinishedAt = []chat.Answer{a, b}, epoch().Add(time.Hour)
	if got, err := s.Run(ctx, "u", "run1"); err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("%v:\n%+v, want\n%+v", err, got, r)
	}
}

func chatUnfinished(t *testing.T, s chat.Store) {
	ctx := context.Background()
	c := conversationOf("u", "c1", "Trains", 0)
	check(t, s.CreateConversation(ctx, c))
	for i, minute := range []int{5, 3, 4, 1} {
		r := runOf("u", "c1", fmt.Sprint("run", i), minute)
		if i == 2 {
			r.Owner = "boot2"
		}
		createRun(t, s, r, nil)
	}
	check(t, s.FinishRun(ctx, "run3", epoch().Add(time.Hour)))
	for owner, want := range map[string][]string{"boot2": {"run1", "run0"}, "boot1": {"run2"}, "boot3": {"run1", "run2", "run0"}} {
		runs, err := s.Unfinished(ctx, owner)
		check(t, err)
		var ids []string
		for _, r := range runs {
			ids = append(ids, r.ID)
			if len(r.Answers) != 2 {
				t.Errorf("%s comes with %d answers, want 2", r.ID, len(r.Answers))
			}
		}
		if !reflect.DeepEqual(ids, want) {
			t.Errorf("unfinished without those of %s: %v, want %v", owner, ids, want)
		}
	}
}

// Deleting takes everything with it: runs, answers, what the search knows and,
// where the store keeps them too, the logs.
func chatDelete(t *testing.T, s chat.Store) {
	ctx := context.Background()
	for _, id := range []string{"c1", "c2"} {
		c := conversationOf("u", id, "Trains", 0)
		createRun(t, s, runOf("u", id, "run-"+id, 1), &c)
	}
	logs, _ := s.(replay.Store)
	if logs != nil {
		check(t, logs.AppendEvents(ctx, "run-c1", events("run-c1", 1, 2)))
	}
	check(t, s.DeleteConversation(ctx, "u", "c1"))
	fails(t, "deleting again", s.DeleteConversation(ctx, "u", "c1"), chat.ErrNoConversation)
	_, err := s.Conversation(ctx, "u", "c1")
	fails(t, "the conversation", err, chat.ErrNoConversation)
	_, err = s.Run(ctx, "", "run-c1")
	fails(t, "its run", err, chat.ErrNoRun)
	_, err = s.RunByKey(ctx, "u", "key-run-c1")
	fails(t, "its key", err, chat.ErrNoRun)
	fails(t, "its answer", s.FinishAnswer(ctx, chat.Answer{ID: "run-c1-a"}), chat.ErrNoAnswer)
	if logs != nil {
		logged(t, logs, "run-c1", 0, 0)
	}
	if got := pages(t, s, "u", "trains", 10); got != "c2" {
		t.Errorf("the search finds %q", got)
	}
}
