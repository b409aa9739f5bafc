package gateway

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"onemind/internal/catalog"
	"onemind/internal/llm"
)

func keyRoute() *catalog.Route {
	return &catalog.Route{Model: &catalog.Model{ID: "gpt-4o", Upstream: "gpt-4o-2024-08-06"},
		Provider: &catalog.Provider{ID: "openai", Protocol: "openai", BaseURL: "https://api.openai.com/v1"}, Version: "gpt-4o@1"}
}

const keyBody = `{"model":"gpt-4o","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":[{"type":"text","text":"What is it?"},` +
	`{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}],"tools":[{"type":"function","function":{"name":"look","parameters":{"type":"object"}}}],` +
	`"temperature":0.5,"seed":7,"user":"u-1","stream":false}`

func chatKey(body string) string {
	return replyKey("ann", keyRoute(), &llm.Request{Body: []byte(body)})
}

// Two users never share an answer, whatever they ask and whatever their names are.
func TestCacheLeaksBetweenUsers(t *testing.T) {
	req := &llm.Request{Body: []byte(keyBody)}
	seen := map[string]string{}
	for _, user := range []string{"ann", "bob", "ann ", "annc", "an", "Ann", "chat", "\x00", "ann\x00"} {
		key := replyKey(user, keyRoute(), req)
		if other, ok := seen[key]; ok {
			t.Errorf("%q and %q have the same key", user, other)
		}
		if len(key) != 64 {
			t.Errorf("the key of %q is %q", user, key)
		}
		seen[key] = user
	}
	if key := replyKey("", keyRoute(), req); key != "" {
		t.Errorf("a request of nobody has the key %s", key)
	}
	// A store that mixes its keys up gives nothing either.
	other := recording{head: recordHead{Key: replyKey("ann", keyRoute(), req), Finish: "stop"}, body: []byte("{}")}
	s := newShelf()
	bob := replyKey("bob", keyRoute(), req)
	s.values[bob] = other.pack()
	if l, err := newCache(s).begin(t.Context(), bob, req); err != nil || l.hit() != nil {
		t.Errorf("bob is given what was kept under another key: %v", err)
	}
}

// Whatever can change an answer changes the key.
func TestCacheKeyTellsApart(t *testing.T) {
	is := chatKey(keyBody)
	for what, change := range map[string][2]string{
		"system prompt":  {"Be brief.", "Be brief"},
		"text":           {"What is it?", "What is it ?"},
		"image":          {"AAAA", "AAAB"},
		"tools":          {`"name":"look"`, `"name":"see"`},
		"tool schema":    {`{"type":"object"}`, `{"type":"object","properties":{}}`},
		"no tools":       {`"tools":`, `"x":`},
		"temperature":    {"0.5", "0.50"},
		"seed":           {`"seed":7`, `"seed":8`},
		"seed as a text": {`"seed":7`, `"seed":"7"`},
		"user":           {`"u-1"`, `"u-2"`},
		"model":          {`"model":"gpt-4o"`, `"model":"openai/gpt-4o"`},
		"another member": {`"seed":7`, `"seed":7,"top_p":1`},
		"a null":         {`"seed":7`, `"seed":7,"top_p":null`},
		"order of texts": {`{"role":"system","content":"Be brief."},`, ``},
		"stream inside":  {`"type":"text"`, `"type":"text","stream":true`},
	} {
		body := strings.Replace(keyBody, change[0], change[1], 1)
		if body == keyBody {
			t.Fatalf("%s: nothing is changed", what)
		}
		if key := chatKey(body); key == is || len(key) != 64 {
			t.Errorf("%s: the key is %q", what, key)
		}
	}
	for what, change := range map[string]func(*catalog.Route, *llm.Request){
		"model id":  func(r *catalog.Route, _ *llm.Request) { r.Model.ID = "gpt-4o-mini" },
		"upstream":  func(r *catalog.Route, _ *llm.Request) { r.Model.Upstream = "gpt-4o-2024-11-20" },
		"provider":  func(r *catalog.Route, _ *llm.Request) { r.Provider.ID = "azure" },
		"address":   func(r *catalog.Route, _ *llm.Request) { r.Provider.BaseURL += "/" },
		"protocol":  func(r *catalog.Route, _ *llm.Request) { r.Provider.Protocol = "demo" },
		"price":     func(r *catalog.Route, _ *llm.Request) { r.Version = "gpt-4o@2" },
		"rules":     func(r *catalog.Route, _ *llm.Request) { r.Model.Rules.Set = map[string]string{"top_k": "1"} },
		"clamp":     func(r *catalog.Route, _ *llm.Request) { r.Model.Rules.Clamp = map[string]llm.Range{"t": {Max: 1}} },
		"operation": func(_ *catalog.Route, q *llm.Request) { q.Op = llm.Embeddings },
		"native": func(_ *catalog.Route, q *llm.Request) {
			q.Native = &llm.Native{Protocol: "anthropic", Body: []byte("{}")}
		},
		"native's body": func(_ *catalog.Route, q *llm.Request) {
			q.Native = &llm.Native{Protocol: "anthropic", Body: []byte(`{"a":1}`)}
		},
		"other protocol": func(_ *catalog.Route, q *llm.Request) { q.Native = &llm.Native{Protocol: "gemini", Body: []byte("{}")} },
	} {
		route, req := keyRoute(), &llm.Request{Body: []byte(keyBody)}
		change(route, req)
		if key := replyKey("ann", route, req); key == is || len(key) != 64 {
			t.Errorf("%s: the key is %q", what, key)
		}
	}
}

// What says how an answer is delivered or paid makes no difference.
func TestCacheKeyIsTheSame(t *testing.T) {
	is := chatKey(keyBody)
	for what, body := range map[string]string{
		"stream":         strings.Replace(keyBody, `"stream":false`, `"stream":true,"stream_options":{"include_usage":true}`, 1),
		"what is paid":   strings.Replace(keyBody, `"stream":false`, `"max_cost":"0.01","max_cost_nano_usd":5,"models":["b"],"resumable":true`, 1),
		"space":          strings.ReplaceAll(keyBody, `,"`, " ,\n\t\""),
		"order":          strings.Replace(strings.Replace(keyBody, `"seed":7,`, "", 1), `{"model"`, `{"seed":7,"model"`, 1),
		"order inside":   strings.Replace(keyBody, `{"role":"system","content":"Be brief."}`, `{"content":"Be brief.","role":"system"}`, 1),
		"escaped a name": strings.Replace(keyBody, `"seed"`, `"\u0073eed"`, 1),
	} {
		if body == keyBody {
			t.Fatalf("%s: nothing is changed", what)
		}
		if key := chatKey(body); key != is {
			t.Errorf("%s: another key", what)
		}
	}
}

func TestCacheKeyIsRefused(t *testing.T) {
	for what, req := range map[string]*llm.Request{
		"several answers": {Body: []byte(keyBody), N: 2},
		"a form":          {Body: []byte(keyBody), Type: "multipart/form-data"},
		"images":          {Body: []byte(keyBody), Op: llm.Images},
		"speech":          {Body: []byte(keyBody), Op: llm.Transcripts},
		"no JSON":         {Body: []byte(`{"a":`)},
		"a list":          {Body: []byte(`[]`)},
		"nothing":         {},
		"native no JSON":  {Body: []byte(keyBody), Native: &llm.Native{Protocol: "gemini", Body: []byte("x")}},
	} {
		if key := replyKey("ann", keyRoute(), req); key != "" {
			t.Errorf("%s: the key is %s", what, key)
		}
	}
}

// The order of members makes no difference at any depth; any other change does.
func TestCacheKeyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := genObject(4).Draw(t, "body")
		dice := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		one, two := shuffled(value, dice), shuffled(value, dice)
		if chatKey(one) != chatKey(two) {
			t.Fatalf("%s and %s have different keys", one, two)
		}
		other := genObject(4).Draw(t, "other")
		if same := reflect.DeepEqual(value, other); same != (chatKey(shuffled(other, dice)) == chatKey(one)) {
			t.Fatalf("%s and %v: the same is %v", one, other, same)
		}
	})
}

func genObject(depth int) *rapid.Generator[map[string]any] {
	return rapid.Custom(func(t *rapid.T) map[string]any {
		return rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "c", "é", "x\"y"}), genValue(depth-1), 0, 4).Draw(t, "object")
	})
}

func genValue(depth int) *rapid.Generator[any] {
	leaves := rapid.OneOf(rapid.Just[any](nil), rapid.Bool().AsAny(), rapid.IntRange(-3, 3).AsAny(), rapid.SampledFrom([]string{"", "a", "{", "1"}).AsAny())
	if depth == 0 {
		return leaves
	}
	return rapid.OneOf(leaves, genObject(depth).AsAny(), rapid.SliceOfN(rapid.Deferred(func() *rapid.Generator[any] { return genValue(depth - 1) }), 0, 3).AsAny())
}

// shuffled writes JSON with the members in any order.
func shuffled(value any, dice *rand.Rand) string {
	switch v := value.(type) {
	case map[string]any:
		var parts []string
		for name, member := range v {
			quoted, _ := json.Marshal(name)
			parts = append(parts, string(quoted)+" : "+shuffled(member, dice))
		}
		dice.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		return "{" + strings.Join(parts, " ,\n") + "}"
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = shuffled(e, dice)
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	raw, _ := json.Marshal(value)
	return string(raw)
}

func FuzzCacheCanonical(f *testing.F) {
	for _, seed := range []string{keyBody, `{}`, `{"a":{"b":[1,2.50,{"d":null,"c":true}]},"a":2}`, `{"é":"\ud800"}`, `{"stream":{"a":[]}}`, `{"a":[[[`, `[]`, `{"a":1,}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		once, ok := canonical(body)
		if !ok {
			return
		}
		if !json.Valid(once) {
			t.Fatalf("%q became %q", body, once)
		}
		if twice, ok := canonical(once); !ok || string(twice) != string(once) {
			t.Fatalf("%q became %q and then %q", body, once, twice)
		}
		var was, is map[string]any
		if json.Unmarshal(body, &was) != nil || json.Unmarshal(once, &is) != nil {
			return
		}
		for name := range was {
			if ours([]byte(name)) {
				delete(was, name)
			}
		}
		if !reflect.DeepEqual(was, is) {
			t.Fatalf("%q became %q", body, once)
		}
	})
}
