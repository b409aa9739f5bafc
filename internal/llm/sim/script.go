package sim

import "time"

// Script is how one call is answered. The zero Script answers at once with
// sixteen pieces and everything a well-behaved provider sends.
type Script struct {
	FirstDelay time.Duration // before the first byte
	PieceDelay time.Duration // before each further event

	Text      string // what is said; empty: Pieces numbered words
	Pieces    int    // how many, when there is no Text; 0 is 16
	PerEvent  int    // pieces in one event; 0 is 1
	Reasoning string // said before the text, as reasoning_content
	Calls     []Call // tool calls, said after the text, their arguments in fragments
	Echo      bool   // say the request's body
	Finish    string // finish reason; empty: "stop", "length" or "tool_calls" as it happened
	IgnoreCap bool   // say all of it, whatever max_tokens says

	Usage  UsageMode
	Cached int // of the prompt's tokens, how many are reported as cached

	Status     int    // answer with this status and Body instead
	Body       string // of the error; empty: an error of OpenAI's shape
	RetryAfter string // header of the error

	Break Break  // what goes wrong in the middle of a stream
	After int    // events before that
	Error string // JSON of the error object that Break Fails sends

	NoDone    bool   // leave out [DONE]
	NoFinish  bool   // leave out the finish reason
	CRLF      bool   // end lines with CR LF
	Comments  bool   // a comment before each event
	Plain     bool   // answer a request for a stream with one JSON body
	WriteSize int    // bytes per write, each flushed; 0: an event at a time
	Type      string // Content-Type instead of the right one

	// Told is called with the usage of an answer, once, when the answer's last word
	// on it has been written; nil for nobody. It must not call the Server.
	Told func(input, output int)
}

// Call is one tool call.
type Call struct{ Name, Arguments string }

// UsageMode is when usage is reported.
type UsageMode int

// The modes.
const (
	WhenAsked  UsageMode = iota // as OpenAI: a stream's last chunk if include_usage asks for it, and every whole answer
	Never                       // not at all
	EveryChunk                  // cumulative, in each chunk, as Gemini's compatible API
	Always                      // in the last chunk, asked or not
	ZeroFirst                   // zeros in each chunk and the truth in the last
)

// Break is what goes wrong.
type Break int

// The breaks.
const (
	None    Break = iota
	Cut           // the connection is closed without an end
	Reset         // the connection is reset; over a real listener only, else Cut
	Stall         // nothing more comes, until the client goes
	Fails         // an error object comes instead of the next event
	Garbage       // an event that is no JSON comes
	Noise         // an event that is no JSON comes, and the answer goes on behind it
)
