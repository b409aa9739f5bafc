package sim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"onemind/internal/llm/sim"
)

// drawMany draws without asking anything, and gives what was drawn.
func drawMany(seed uint64, rate float64, calls int) map[string]int {
	c := &sim.Chaos{Seed: seed, Rate: rate}
	for range calls {
		c.Choose(&sim.Request{})
	}
	return c.Drawn()
}

// The same seed draws the same, another seed something else, and each trouble
// comes about as often as the rate says.
func TestChaosDraws(t *testing.T) {
	const calls, rate = 20_000, 0.05
	drawn := drawMany(1, rate, calls)
	if !maps.Equal(drawn, drawMany(1, rate, calls)) {
		t.Error("the same seed drew something else")
	}
	if maps.Equal(drawn, drawMany(2, rate, calls)) {
		t.Error("another seed drew the same")
	}
	drawn["stall"] = drawn[sim.ChaosStallFirst] + drawn[sim.ChaosStallMidway]
	for _, name := range []string{sim.ChaosLimited, sim.ChaosLimitedWait, sim.ChaosFailed, sim.ChaosReset, "stall", sim.ChaosCut, sim.ChaosGarbage, sim.ChaosNoUsage, sim.ChaosErrorIn200} {
		if got := float64(drawn[name]) / calls; got < 0.8*rate || got > 1.2*rate {
			t.Errorf("%s: %.3f of the calls, want %.2f", name, got, rate)
		}
	}
	if got := float64(drawn[sim.ChaosGood]) / calls; got < 0.52 || got > 0.58 {
		t.Errorf("%.3f of the calls were good, want 0.55", got)
	}
	if both := min(drawn[sim.ChaosStallFirst], drawn[sim.ChaosStallMidway]); float64(both) < calls*rate/3 {
		t.Errorf("one kind of stall came %d times only", both)
	}
	if none := drawMany(1, 0, 100); none[sim.ChaosGood] != 100 || len(none) != 1 {
		t.Errorf("at rate 0: %v", none)
	}
	if all := drawMany(1, 1, 1000); all[sim.ChaosGood] > 0 {
		t.Errorf("at rate 1: %v", all)
	}
}

// sight is what a client sees of one call: what went wrong, or the usage.
type sight struct {
	name          string
	input, output int
}

// look makes one call and says which trouble it looks like.
func look(t *testing.T, url string, stream bool, id string) sight {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	body := `{"model":"m","stream":` + strconv.FormatBool(stream) + `,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"one two three"}]}`
	r, err := http.NewRequestWithContext(ctx, "POST", url+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return sight{}
	}
	r.Header.Set("X-Request-Id", id)
	quiet := time.AfterFunc(2*time.Second, cancel) // a stall is told by its silence
	defer quiet.Stop()
	resp, err := http.DefaultClient.Do(r)
	if ctx.Err() != nil {
		return sight{name: sim.ChaosStallFirst}
	} else if err != nil {
		return sight{name: sim.ChaosReset}
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == 429 && resp.Header.Get("Retry-After") == "1":
		return sight{name: sim.ChaosLimitedWait}
	case resp.StatusCode == 429 && resp.Header["Retry-After"] == nil:
		return sight{name: sim.ChaosLimited}
	case resp.StatusCode == 500:
		return sight{name: sim.ChaosFailed}
	}
	data, err := io.ReadAll(resp.Body)
	switch {
	case ctx.Err() != nil && stream && bytes.Contains(data, []byte("word0")):
		return sight{name: sim.ChaosStallMidway}
	case ctx.Err() != nil:
		return sight{name: sim.ChaosStallFirst}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return sight{name: sim.ChaosCut}
	case err != nil:
		return sight{name: "unknown: " + err.Error()}
	}
	return readChaos(data, stream)
}

// readChaos reads an answer that came to its end.
func readChaos(data []byte, stream bool) sight {
	lines := []string{string(data)}
	if stream {
		lines = strings.Split(string(data), "\n\n")
	}
	s, done := sight{name: sim.ChaosNoUsage}, !stream
	for _, line := range lines {
		if line = strings.TrimPrefix(line, "data: "); line == "" {
			continue
		} else if line == "[DONE]" {
			done = true
			continue
		}
		var c chunk
		switch err := json.Unmarshal([]byte(line), &c); {
		case err != nil:
			s.name = sim.ChaosGarbage
		case c.Error != nil:
			return sight{name: sim.ChaosErrorIn200}
		case c.Usage != nil:
			s.input, s.output = c.Usage.PromptTokens, c.Usage.CompletionTokens
			if s.name == sim.ChaosNoUsage {
				s.name = sim.ChaosGood
			}
		}
	}
	if !done {
		s.name = "unknown: no end"
	}
	return s
}

// What clients see is what was drawn, and the tokens they are told add up to
// what the upstream says it told, also of an answer with garbage in it.
func TestChaosIsSeen(t *testing.T) {
	for _, stream := range []bool{true, false} {
		t.Run("stream "+strconv.FormatBool(stream), func(t *testing.T) {
			t.Parallel()
			chaos := &sim.Chaos{Seed: 7, Rate: 0.08, Header: "X-Request-Id"}
			server := httptest.NewServer(sim.New(sim.Options{Choose: chaos.Choose}))
			defer server.Close()
			const calls = 150
			seen := make([]sight, calls)
			var callers sync.WaitGroup
			for i := range calls {
				callers.Go(func() { seen[i] = look(t, server.URL, stream, strconv.Itoa(i)) })
			}
			callers.Wait()
			check(t, chaos, seen, stream)
		})
	}
}

func check(t *testing.T, chaos *sim.Chaos, seen []sight, stream bool) {
	t.Helper()
	names, drawn := map[string]int{}, chaos.Drawn()
	var input, output int64
	for i, s := range seen {
		names[s.name]++
		input, output = input+int64(s.input), output+int64(s.output)
		in, out, ok := chaos.ReportedTo(strconv.Itoa(i))
		if ok != (s.output > 0) || in != int64(s.input) || out != int64(s.output) {
			t.Errorf("call %d: reported %d and %d, seen %+v", i, in, out, s)
		}
	}
	if !stream { // one body has no middle: both stalls look the same
		drawn[sim.ChaosStallFirst] += drawn[sim.ChaosStallMidway]
		delete(drawn, sim.ChaosStallMidway)
		if drawn[sim.ChaosStallFirst] == 0 {
			delete(drawn, sim.ChaosStallFirst)
		}
	}
	if !maps.Equal(names, drawn) {
		t.Errorf("seen %v\ndrawn %v", names, drawn)
	}
	if in, out := chaos.Reported(); in != input || out != output || out == 0 {
		t.Errorf("reported %d and %d, seen %d and %d", in, out, input, output)
	}
}
