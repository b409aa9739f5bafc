package gemini_test

import (
	"errors"
	"strings"
	"testing"

	"onemind/internal/llm"
	"onemind/internal/llm/gemini"
	"onemind/internal/llm/wire"
)

// An error that Google writes into a stream without "data:", on one line or on
// several, is the failure that it names and no garbage.
func TestBareErrors(t *testing.T) {
	const object = "{\n  \"error\": {\n    \"code\": 503,\n    \"message\": \"The model is overloaded. Please try again later.\",\n    \"status\": \"UNAVAILABLE\"\n  }\n}"
	for name, said := range map[string]string{
		"one line":            strings.ReplaceAll(object, "\n", "") + "\n",
		"several lines":       object + "\n",
		"without a line end":  object,
		"carriage returns":    strings.ReplaceAll(object, "\n", "\r\n") + "\r\n\r\n",
		"a list":              "[" + object + "\n]\n",
		"a list on one line":  "[" + strings.ReplaceAll(object, "\n", "") + "]",
		"as data":             "data: " + strings.ReplaceAll(object, "\n", "") + "\n\n",
		"as data, in a list":  "data: [" + strings.ReplaceAll(object, "\n", "") + "]\n\n",
		"with what follows":   object + "\n\n" + benchGemini,
		"and an ordinary end": object + "\n" + benchEnd,
	} {
		w := wire.New(wire.Options{Transport: canned{"text/event-stream", benchGemini + said}})
		text := ""
		_, err := gemini.New(w).Stream(t.Context(), target(), ask(true), func(ev *llm.Event) error { text += ev.Text(); return nil })
		var f *llm.Failure
		if !errors.As(err, &f) || f.Class != llm.Overloaded || f.Status != 503 || f.Text != "The model is overloaded. Please try again later." || text != " capital" {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
}

// An image of some megabytes comes in one event.
func TestLargeImage(t *testing.T) {
	image := strings.Repeat("iVBORw0KGgoA", 800_000) // 9.6 MB of base64, 7.2 MB of PNG
	event := `data: {"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":"` + image + `"}}],"role":"model"},"index":0}]}` + "\r\n\r\n"
	w := wire.New(wire.Options{Transport: canned{"text/event-stream", benchGemini + event + benchGemini + benchEnd}})
	found := 0
	r, err := gemini.New(w).Stream(t.Context(), target(), ask(true), func(ev *llm.Event) error {
		found += strings.Count(string(ev.Data), `"data:image/png;base64,`+image+`"`)
		return nil
	})
	if err != nil || found != 1 || r.Images != 1 || r.Finish != "stop" {
		t.Errorf("%d found, %d images, %q, %v", found, r.Images, r.Finish, err)
	}
}
