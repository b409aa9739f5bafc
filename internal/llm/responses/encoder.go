package responses

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"onemind/internal/llm"
)

// Encoder writes one answer in this dialect. It serves one answer, from one
// goroutine.
type Encoder struct {
	id      string // behind the prefixes of the response and its items
	model   string
	created int64 // Unix time
	echo    []byte
	tail    []byte // the echoes that stand behind the output

	dst   []byte // where events go
	quiet bool   // a whole answer: there are no events
	seq   int64
	begun bool
	over  bool

	items   []*item
	current *item  // the reasoning or message that is being written
	last    *item  // the call that is being written
	pending seal   // came, and belongs to no item yet
	half    []byte // a thinking block that has no signature yet
}

// NewEncoder returns an Encoder for the answer with an id by a model, both as
// the caller shall see them, to a request that Parse accepted.
func NewEncoder(id, model string, request []byte) *Encoder {
	for _, prefix := range []string{"resp_", "req_", "ans_", "chatcmpl-"} {
		id = strings.TrimPrefix(id, prefix)
	}
	e := &Encoder{id: id, model: model, created: time.Now().Unix()}
	e.echo, e.tail = echoes(request)
	return e
}

// Event appends the events that one event of a chat's answer becomes.
func (e *Encoder) Event(dst []byte, ev *llm.Event) []byte {
	if e.over {
		return dst
	}
	e.dst = dst
	e.begin()
	e.read(ev.Data)
	return e.take()
}

// End appends what ends a stream: the ends of all items and the response with
// its usage and receipt.
func (e *Encoder) End(dst []byte, end llm.Ending) []byte {
	if e.over {
		return dst
	}
	e.dst = dst
	e.begin()
	status := ended(&end)
	e.closeAll(status)
	e.over = true
	e.open("response." + status)
	e.dst = append(e.dst, `,"response":`...)
	e.dst = e.appendResponse(e.dst, status, &end, nil)
	e.close()
	return e.take()
}

// Whole gives a whole answer in this dialect. Body is a chat completion: no
// engine is spoken to in the Responses dialect, so that native is never set.
func (e *Encoder) Whole(body []byte, native bool, end llm.Ending) ([]byte, error) {
	if native {
		return nil, errors.New("write a response: the answer is in a dialect of its own")
	}
	e.quiet = true
	if !e.read(body) {
		return nil, errors.New("write a response: the answer is no chat completion")
	}
	status := ended(&end)
	e.closeAll(status)
	return e.appendResponse(nil, status, &end, nil), nil
}

// The statuses of a response, which are also how its last event is named.
const (
	completed  = "completed"
	incomplete = "incomplete"
	failed     = "failed"
	inProgress = "in_progress"
)

// ended gives the status that a finish reason means.
func ended(end *llm.Ending) string {
	if end.Capped || end.Finish == "length" || end.Finish == "content_filter" {
		return incomplete
	}
	return completed
}

func (e *Encoder) take() []byte {
	dst := e.dst
	e.dst = nil
	return dst
}

// begin says that there is a response, once.
func (e *Encoder) begin() {
	if e.begun {
		return
	}
	e.begun = true
	for _, kind := range [...]string{"response.created", "response.in_progress"} {
		e.open(kind)
		e.dst = append(e.dst, `,"response":`...)
		e.dst = e.appendResponse(e.dst, inProgress, nil, nil)
		e.close()
	}
}

// open begins an event.
func (e *Encoder) open(kind string) {
	e.dst = append(append(e.dst, "event: "...), kind...)
	e.dst = append(append(e.dst, "\ndata: {\"type\":\""...), kind...)
	e.dst = strconv.AppendInt(append(e.dst, `","sequence_number":`...), e.seq, 10)
	e.seq++
}

// about begins an event of an item.
func (e *Encoder) about(kind string, it *item) {
	e.open(kind)
	e.dst = append(e.appendID(append(e.dst, `,"item_id":"`...), it), `","output_index":`...)
	e.dst = strconv.AppendInt(e.dst, int64(it.index), 10)
}

// text appends a string member, given still escaped.
func (e *Encoder) text(name string, raw []byte) {
	e.dst = append(append(append(e.dst, `,"`...), name...), `":"`...)
	e.dst = append(append(e.dst, raw...), '"')
}

// number appends a member.
func (e *Encoder) number(name string, n int) {
	e.dst = append(append(append(e.dst, `,"`...), name...), `":`...)
	e.dst = strconv.AppendInt(e.dst, int64(n), 10)
}

// close ends an event.
func (e *Encoder) close() { e.dst = append(e.dst, "}\n\n"...) }
