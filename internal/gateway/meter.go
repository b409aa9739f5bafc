package gateway

import (
	"sync/atomic"
	"time"

	"onemind/internal/llm"
)

// keptText bounds how much of an answer is kept for a tokenizer that may be
// needed at the end, in bytes. What goes beyond is estimated from the density
// of what was kept, so that a 600,000-token answer costs bounded memory.
const keptText = 256 << 10

// meter is the running count of one answer. add is called from the stream's
// goroutine only; output and chunks may be read from others.
type meter struct {
	first  time.Duration // until the first content; 0: none yet
	output atomic.Int64  // bytes of output: text, reasoning, tool calls
	chunks atomic.Int64  // events with output
	kept   []byte        // raw text of the answer, still JSON-escaped
	texts  int64         // bytes of text seen, kept or not
	next   int64         // chunks at which the cap is looked at again
}

func (m *meter) add(ev *llm.Event, since time.Duration) {
	if ev.Output == 0 {
		return
	}
	if m.first == 0 {
		m.first = max(since, 1)
	}
	m.output.Add(int64(ev.Output))
	m.chunks.Add(1)
	for _, part := range [...][]byte{ev.Content, ev.Reasoning} {
		m.texts += int64(len(part))
		if len(m.kept)+len(part) <= keptText {
			m.kept = append(m.kept, part...)
		}
	}
}

// over tells cheaply whether an answer may have passed cap tokens: providers
// send at most one token more than their limit and at least a token per chunk, and
// no tokenizer makes tokens of more than 16 bytes on average.
func (m *meter) over(limit int64) bool {
	chunks := m.chunks.Load()
	return (chunks > limit || m.output.Load() > 16*limit) && chunks >= m.next
}

// doubt puts the next look at the cap off until the answer is a quarter longer.
func (m *meter) doubt() { m.next = m.chunks.Load()*5/4 + 1 }

func (m *meter) text() string { return llm.Unescape(m.kept) }

// other is the output that is no text: tool calls, in bytes.
func (m *meter) other() int64 { return max(0, m.output.Load()-m.texts) }

// tokens counts what was delivered.
func (m *meter) tokens(c Counter) int64 {
	if m.output.Load() == 0 {
		return 0
	}
	n := c.Text(m.text())
	if kept := int64(len(m.kept)); m.texts > kept && kept > 0 {
		n = n * m.texts / kept
	}
	return max(1, n+(m.other()+3)/4)
}

// sofar is a count good enough for a crash: what a settlement without us may use.
func (m *meter) sofar() int64 {
	if chunks := m.chunks.Load(); chunks > 0 {
		return max(1, min(chunks, m.output.Load()), m.output.Load()/5)
	}
	return 0
}
