package responses

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"onemind/internal/llm/scan"
)

// sealPrefix opens what we write as encrypted_content. Engines sign their own
// reasoning and check it when it comes back; to the caller it is opaque, and
// only the encoding is ours.
const sealPrefix = "onemind1."

// seal is what an item of reasoning has to bring back in the next turn.
type seal struct {
	blocks     [][]byte // thinking blocks, JSON objects
	signatures []signature
}

// signature belongs to one call of a tool or, with "" for that, to what was said;
// both are JSON strings.
type signature struct{ call, value []byte }

// sealed gives the encrypted_content of s; empty when there is nothing to bring back.
func (s *seal) sealed() []byte {
	if len(s.blocks) == 0 && len(s.signatures) == 0 {
		return nil
	}
	raw := append(appendList([]byte(`{"thinking_blocks":[`), s.blocks), `],"thought_signatures":[`...)
	for i, one := range s.signatures {
		if i > 0 {
			raw = append(raw, ',')
		}
		raw = append(append(raw, `{"call_id":`...), one.call...)
		raw = append(append(raw, `,"signature":`...), one.value...)
		raw = append(raw, '}')
	}
	raw = append(raw, "]}"...)
	return base64.RawURLEncoding.AppendEncode([]byte(sealPrefix), raw)
}

// unseal reads an encrypted_content, or reports that it is none of ours.
func unseal(text string) (seal, bool) {
	coded, ours := strings.CutPrefix(text, sealPrefix)
	if !ours {
		return seal{}, false
	}
	raw, err := base64.RawURLEncoding.DecodeString(coded)
	if err != nil || !utf8.Valid(raw) || len(raw) == 0 || raw[0] != '{' {
		return seal{}, false
	}
	check := scan.New(raw, depth-8)
	if !check.Skip() || !check.End() || check.Nul {
		return seal{}, false
	}
	o, err := readObject("", raw, "thinking_blocks", "thought_signatures")
	if err != nil {
		return seal{}, false
	}
	var s seal
	if s.blocks, err = o.array("thinking_blocks"); err != nil {
		return seal{}, false
	}
	for _, b := range s.blocks {
		if b[0] != '{' {
			return seal{}, false
		}
	}
	list, err := o.array("thought_signatures")
	if err != nil {
		return seal{}, false
	}
	for _, raw := range list {
		one, err := readObject("", raw, "call_id", "signature")
		if err != nil {
			return seal{}, false
		}
		var g signature
		if g.call, err = one.need("call_id"); err != nil {
			return seal{}, false
		}
		if g.value, err = one.need("signature"); err != nil {
			return seal{}, false
		}
		s.signatures = append(s.signatures, g)
	}
	return s, true
}
