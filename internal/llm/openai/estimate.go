package openai

import (
	"encoding/binary"
	"math/bits"
)

// What parts of a request cost that are no text, in tokens. All are upper
// estimates: they size the hold and never the charge.
const (
	perRequest   = 32
	perMessage   = 16   // OpenAI adds 3 to 4 for each message, others up to 10
	perTool      = 32   // the frame around a tool's schema
	perImage     = 1600 // a large image in tiles of 512 pixels, and Anthropic's limit
	perImageLow  = 100  // OpenAI: 85 in low detail
	perFile      = 1600 // and a token for every 20 bytes: a PDF page of 60 KB is up to 3,000
	bytesPerFile = 20
	bytesOfAudio = 100 // base64 bytes per token
)

// weight estimates how many tokens a tokenizer would make of a request.
type weight struct {
	halves int64 // of tokens, from text
	whole  int64 // tokens, from everything else
}

func (w *weight) tokens() int64 { return perRequest + w.whole + (w.halves+1)/2 }

// text weighs a text by its bytes: two small letters or spaces to a token at
// most, anything else one to a token. Tokenizers give English four and a half bytes to a
// token, but capitals, rare letters, digits, signs and most scripts may stand
// alone: o200k makes a token of every 1.3 to 1.6 letters of "qXzJkVwQ" or base64.
func (w *weight) text(raw []byte) {
	w.halves += 2*int64(len(raw)) - int64(plain(raw))
}

// plain counts the spaces and the small letters but j, k, q, v, w, x and z,
// eight bytes at a time.
func plain(raw []byte) int {
	n := 0
	for i := 0; i < len(raw); i += 8 {
		var w uint64
		if i+8 <= len(raw) {
			w = binary.LittleEndian.Uint64(raw[i:])
		} else {
			var last [8]byte
			copy(last[:], raw[i:])
			w = binary.LittleEndian.Uint64(last[:])
		}
		low := w &^ tops // no sum below carries into its neighbour
		marks := between(low, 'a', 'y')&^between(low, 'j', 'k')&^between(low, 'q', 'q')&^between(low, 'v', 'x') | between(low, ' ', ' ')
		n += bits.OnesCount64(marks & tops &^ w)
	}
	return n
}

// A byte of 1 and the top bit, in each of eight bytes.
const ones, tops = 0x0101010101010101, 0x8080808080808080

// between marks the top bit of the bytes of low, all below 0x80, that are from
// first to last.
func between(low uint64, first, last uint64) uint64 {
	return (low + ones*(0x80-first)) &^ (low + ones*(0x7f-last))
}
