package responses_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// The members that OpenAI's SDK types require, by the type of an object.
func required() map[string][]string {
	return map[string][]string{
		"response": strings.Fields("id created_at error incomplete_details instructions metadata model object output parallel_tool_calls temperature tool_choice tools top_p status usage"),
		"usage":    strings.Fields("input_tokens input_tokens_details output_tokens output_tokens_details total_tokens"),

		"message": strings.Fields("id content role status type"), "output_text": strings.Fields("annotations text type"), "refusal": strings.Fields("refusal type"),
		"reasoning": strings.Fields("id summary type"), "summary_text": strings.Fields("text type"),
		"image_generation_call": strings.Fields("id type status result"),
		"function_call":         strings.Fields("arguments call_id name type id status"), "custom_tool_call": strings.Fields("call_id input name type id"),

		"response.created": {"response"}, "response.in_progress": {"response"}, "response.completed": {"response"}, "response.incomplete": {"response"}, "response.failed": {"response"},
		"error":                                  strings.Fields("code message param"),
		"response.output_item.added":             strings.Fields("item output_index"),
		"response.output_item.done":              strings.Fields("item output_index"),
		"response.content_part.added":            strings.Fields("content_index item_id output_index part"),
		"response.content_part.done":             strings.Fields("content_index item_id output_index part"),
		"response.output_text.delta":             strings.Fields("content_index delta item_id logprobs output_index"),
		"response.output_text.done":              strings.Fields("content_index item_id logprobs output_index text"),
		"response.refusal.delta":                 strings.Fields("content_index delta item_id output_index"),
		"response.refusal.done":                  strings.Fields("content_index item_id output_index refusal"),
		"response.reasoning_summary_part.added":  strings.Fields("item_id output_index part summary_index"),
		"response.reasoning_summary_part.done":   strings.Fields("item_id output_index part summary_index"),
		"response.reasoning_summary_text.delta":  strings.Fields("delta item_id output_index summary_index"),
		"response.reasoning_summary_text.done":   strings.Fields("item_id output_index summary_index text"),
		"response.function_call_arguments.delta": strings.Fields("delta item_id output_index"),
		"response.function_call_arguments.done":  strings.Fields("arguments item_id name output_index"),
		"response.custom_tool_call_input.delta":  strings.Fields("delta item_id output_index"),
		"response.custom_tool_call_input.done":   strings.Fields("input item_id output_index"),
	}
}

// has checks an object for the members of a type.
func has(t *testing.T, kind string, o map[string]any) {
	t.Helper()
	names, known := required()[kind]
	if !known {
		t.Fatalf("unknown type %q: %v", kind, o)
	}
	for _, name := range names {
		if _, ok := o[name]; !ok {
			t.Errorf("%s has no %s: %v", kind, name, o)
		}
	}
}

func decode(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal(raw, &o); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return o
}

func object(v any) map[string]any { o, _ := v.(map[string]any); return o }
func list(v any) []any            { l, _ := v.([]any); return l }
func word(v any) string           { s, _ := v.(string); return s }

func checkResponse(t *testing.T, r map[string]any) {
	t.Helper()
	has(t, "response", r)
	if u := object(r["usage"]); u != nil {
		has(t, "usage", u)
	}
	for _, it := range list(r["output"]) {
		checkItem(t, object(it))
	}
	for _, tool := range list(r["tools"]) {
		if tool := object(tool); tool["type"] == "function" {
			for _, name := range []string{"name", "parameters", "strict"} {
				if _, ok := tool[name]; !ok {
					t.Errorf("a function has no %s", name)
				}
			}
		}
	}
}

func checkItem(t *testing.T, it map[string]any) {
	t.Helper()
	has(t, word(it["type"]), it)
	for _, part := range append(list(it["content"]), list(it["summary"])...) {
		has(t, word(object(part)["type"]), object(part))
	}
}

// replay reads events as OpenAI's SDK does: it builds the response up from the
// deltas, and what that gives has to be what the last event says.
func replay(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	var built, last map[string]any
	ids := map[string]bool{}
	frames := strings.Split(strings.TrimSuffix(string(raw), "\n\n"), "\n\n")
	for i, frame := range frames {
		kind, data, ok := strings.Cut(strings.TrimPrefix(frame, "event: "), "\ndata: ")
		if !ok || strings.Contains(data, "\n") {
			t.Fatalf("no frame: %q", frame)
		}
		ev := decode(t, []byte(data))
		if ev["type"] != kind || ev["sequence_number"] != float64(i) {
			t.Fatalf("event %d: %s", i, frame)
		}
		has(t, kind, ev)
		if r := object(ev["response"]); r != nil {
			checkResponse(t, r)
			if i == 0 {
				built = r
			}
			last = r
		}
		switch {
		case (kind == "response.created") != (i == 0), (kind == "response.in_progress") != (i == 1):
			t.Fatalf("event %d is %s", i, kind)
		case kind == "response.completed", kind == "response.incomplete", kind == "response.failed":
			if i != len(frames)-1 || "response."+word(last["status"]) != kind {
				t.Fatalf("%s is event %d of %d: %v", kind, i, len(frames), last["status"])
			}
		case kind == "error":
		case i > 1:
			build(t, built, ids, kind, ev)
		}
	}
	if built == nil || last["status"] == "in_progress" {
		t.Fatalf("no end: %s", raw)
	}
	if got, want := fmt.Sprint(texts(built)), fmt.Sprint(texts(last)); got != want {
		t.Errorf("the deltas give %s, the response is %s", got, want)
	}
	return last
}

// build does what one event says.
func build(t *testing.T, built map[string]any, ids map[string]bool, kind string, ev map[string]any) {
	t.Helper()
	output := list(built["output"])
	at, _ := ev["output_index"].(float64)
	if kind == "response.output_item.added" {
		it := object(ev["item"])
		checkItem(t, it)
		if int(at) != len(output) || ids[word(it["id"])] || it["status"] != "in_progress" {
			t.Fatalf("%v", ev)
		}
		ids[word(it["id"])] = true
		built["output"] = append(output, it)
		return
	}
	if int(at) >= len(output) {
		t.Fatalf("no item at %v: %v", at, ev)
	}
	it := object(output[int(at)])
	if it["over"] != nil {
		t.Fatalf("%s behind the end of its item", kind)
	}
	if kind == "response.output_item.done" {
		done := object(ev["item"])
		checkItem(t, done)
		if done["id"] != it["id"] || fmt.Sprint(text(done)) != fmt.Sprint(text(it)) {
			t.Errorf("%v is done as %v", it, done)
		}
		done["over"] = true
		output[int(at)] = done
		return
	}
	if ev["item_id"] != it["id"] {
		t.Fatalf("%v is of no item %v", ev, it["id"])
	}
	part(t, it, kind, ev)
}

// part does what an event says of a part of an item.
func part(t *testing.T, it map[string]any, kind string, ev map[string]any) {
	t.Helper()
	where, name := "content", "text"
	index, _ := ev["content_index"].(float64)
	if strings.Contains(kind, "summary") {
		where = "summary"
		index, _ = ev["summary_index"].(float64)
	}
	if strings.Contains(kind, "refusal") {
		name = "refusal"
	}
	parts := list(it[where])
	switch kind {
	case "response.content_part.added", "response.reasoning_summary_part.added":
		if int(index) != len(parts) {
			t.Fatalf("%v", ev)
		}
		it[where] = append(parts, ev["part"])
	case "response.output_text.delta", "response.refusal.delta", "response.reasoning_summary_text.delta":
		p := object(parts[int(index)])
		p[name] = word(p[name]) + word(ev["delta"])
	case "response.output_text.done", "response.refusal.done", "response.reasoning_summary_text.done":
		if p := object(parts[int(index)]); broken(p[name]) != broken(ev[name]) {
			t.Errorf("%v: %v", p, ev)
		}
	case "response.content_part.done", "response.reasoning_summary_part.done":
		if broken(fmt.Sprint(parts[int(index)])) != broken(fmt.Sprint(ev["part"])) {
			t.Errorf("%v: %v", parts[int(index)], ev)
		}
	case "response.function_call_arguments.delta":
		it["arguments"] = word(it["arguments"]) + word(ev["delta"])
	case "response.custom_tool_call_input.delta":
		it["input"] = word(it["input"]) + word(ev["delta"])
	case "response.function_call_arguments.done":
		if broken(ev["arguments"]) != broken(it["arguments"]) || ev["name"] != it["name"] {
			t.Errorf("%v: %v", it, ev)
		}
	case "response.custom_tool_call_input.done":
		if broken(ev["input"]) != broken(it["input"]) {
			t.Errorf("%v: %v", it, ev)
		}
	default:
		t.Fatalf("unknown event %s", kind)
	}
}

// texts is what the items of a response say, whatever their status.
func texts(r map[string]any) []any {
	var all []any
	for _, it := range list(r["output"]) {
		all = append(all, text(object(it)))
	}
	return all
}

func text(it map[string]any) any {
	bare := maps.Clone(it)
	for _, name := range []string{"status", "over", "encrypted_content", "result"} {
		delete(bare, name)
	}
	names := slices.Sorted(maps.Keys(bare))
	var all []string
	for _, name := range names {
		all = append(all, name+"="+broken(fmt.Sprint(bare[name])))
	}
	return all
}

// broken takes out what half a surrogate pair becomes: engines split pairs over
// two chunks, which only the whole text puts together again.
func broken(v any) string {
	return strings.Map(func(r rune) rune {
		if r == '\uFFFD' || r > 0xFFFF {
			return -1
		}
		return r
	}, word(v))
}
