package llm_test

import (
	"strings"
	"testing"
	"time"

	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/llm/anthropic"
	"onemind/internal/llm/gemini"
	"onemind/internal/llm/openai"
	"onemind/internal/llm/responses"
)

// Clients show a parameter as what to change in the request. A limit's scope is none.
func TestOnlyParametersAreNamed(t *testing.T) {
	encoders := map[string]interface {
		Error(f *fault.Error, status int) []byte
		Trouble(dst []byte, f *fault.Error) []byte
	}{
		"chat":      openai.NewEncoder("a", &llm.Request{Model: "m", N: 1}),
		"responses": responses.NewEncoder("a", "m", []byte(`{"model":"m","input":"Hello"}`)),
		"messages":  anthropic.NewEncoder("a", "m"),
		"gemini":    gemini.NewEncoder("a", "m", false),
	}
	limited := fault.New(fault.Limited, "rate_limited", "The limit of 10 per minute for scope user_provider is reached.").After(time.Second)
	limited.Field = "user_provider"
	wrong := fault.New(fault.Invalid, "invalid_value", "'temperature' has to be from 0 to 2.")
	wrong.Field = "temperature"
	missing := fault.New(fault.NotFound, "model_not_found", "There is no such model.")
	missing.Field = "model"
	for name, e := range encoders {
		for _, tt := range []struct {
			f      *fault.Error
			status int
			told   bool // as a JSON string of its own, and not only within the sentence
		}{{limited, 429, false}, {wrong, 400, true}, {missing, 404, true}} {
			said := string(e.Error(tt.f, tt.status))
			if strings.Contains(said, `"`+tt.f.Field+`"`) != tt.told || !strings.Contains(said, tt.f.Text) {
				t.Errorf("%s: %s", name, said)
			}
		}
		if said := string(e.Trouble(nil, limited)); strings.Contains(said, `"user_provider"`) || !strings.Contains(said, limited.Text) {
			t.Errorf("%s: %s", name, said)
		}
	}
	if said := string(encoders["chat"].Error(limited, 429)); !strings.Contains(said, `"param":null`) {
		t.Error(said)
	}
}
