package openai

import (
	"io"

	"onemind/internal/llm"
)

// stream passes the events of a streamed answer on.
func (k *call) stream() (llm.Result, error) {
	var a answer
	err := k.events(&a)
	result := llm.Result{Finish: a.finish}
	if a.hasUsage {
		usage := a.usage
		result.Usage = &usage
	}
	if err == nil {
		k.Drain()
	}
	return result, err
}

// events reads events until the stream ends. It gives nil for an answer that is
// complete, whatever became of the connection afterwards.
func (k *call) events(a *answer) error {
	var ev llm.Event
	for {
		came, err := k.Next()
		if err != nil {
			return k.over(err, a)
		}
		if isDone(came.Data) {
			return nil
		}
		if came.Trouble {
			return k.Complaint(came.Data)
		}
		if wrong := a.read(came.Data, &ev); wrong != "" {
			if came.Last { // what came last came in part
				return k.over(io.ErrUnexpectedEOF, a)
			}
			return k.Broken("The provider's stream cannot be read: %s", wrong)
		}
		if a.trouble != nil {
			return k.Complaint(a.trouble)
		}
		after, more := k.Ahead()
		ev.More = more && !isDone(after)
		if err := k.emit(&ev); err != nil {
			return err
		}
	}
}

func isDone(data []byte) bool { return string(data) == "[DONE]" }

// over judges a stream that ended without saying so.
func (k *call) over(err error, a *answer) error {
	if k.ctx.Err() != nil {
		return k.Ended()
	}
	if a.finish != "" {
		return nil // only the usage or the closing line is missing
	}
	return k.Cut(err)
}
