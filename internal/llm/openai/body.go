package openai

import (
	"slices"
	"strconv"

	"onemind/internal/fault"
	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// outbound writes the body a provider gets: the caller's members as they stand,
// without our own and without nulls (which mean "not set", and which some
// providers reject), and with the model, the cap and the stream's options as
// the target wants them. It copies bytes once and decodes nothing. Beside it come
// the parameters that it did not write as the caller did.
func outbound(to *llm.Target, req *llm.Request) (dst []byte, changes []llm.Change, err error) {
	dst = make([]byte, 0, len(req.Body)+192+len(to.Upstream))
	dst = append(dst, `{"model":`...)
	dst = llm.AppendQuoted(dst, to.Upstream)
	if req.Stream {
		dst = append(dst, `,"stream":true`...)
	}
	if to.Cap > 0 {
		dst = appendMember(dst, capParameter(to), nil)
		dst = strconv.AppendInt(dst, to.Cap, 10)
	}
	var obfuscation []byte
	var given []string
	s := scan.New(req.Body, scan.ClientDepth)
	if s.Peek() != '{' {
		return nil, nil, fault.New(fault.Invalid, "invalid_json", "The body has to be a JSON object.")
	}
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		name, start := s.Name, s.At
		value, found := valueOf(&s)
		if ok = value != nil; !ok || string(value) == "null" {
			continue
		}
		switch use(to, name) {
		case refused:
			if string(name) == "n" && string(value) == "1" { // what they all do without being asked
				continue
			}
			return nil, nil, unsupported(string(name))
		case dropped:
			changes = append(changes, llm.Change{Name: string(name), Asked: asked(value), Rule: "drop"})
		case options:
			obfuscation = scan.Find(value, "include_obfuscation")
		case kept:
			if len(to.Rules.Set) > 0 {
				given = append(given, string(name))
			}
			if bound, ok := clamped(to, name, value); ok {
				changes = append(changes, llm.Change{Name: string(name), Asked: asked(value), Sent: string(bound), Rule: "clamp"})
				dst = appendMember(dst, string(name), bound)
				continue
			}
			if out := found &^ wanted(to, found); out != 0 {
				changes = append(changes, out.changes()...)
				messages := scan.New(value, scan.ClientDepth)
				dst = appendWithout(appendMember(dst, "messages", nil), &messages, out)
				continue
			}
			dst = append(append(dst, ','), s.Data[start:s.Pos]...)
		}
	}
	if !s.End() {
		return nil, nil, fault.New(fault.Invalid, "invalid_json", "The body is not valid JSON: %s (byte %d).", s.Bad, s.Pos)
	}
	if req.Stream && !to.Rules.NoStreamOptions {
		dst = append(dst, `,"stream_options":{"include_usage":true`...)
		if obfuscation != nil && string(obfuscation) != "null" {
			dst = append(append(dst, `,"include_obfuscation":`...), obfuscation...)
		}
		dst = append(dst, '}')
	}
	dst, changes = appendSet(dst, changes, to, given)
	return append(dst, '}'), changes, nil
}

// maxAsked bounds what a receipt repeats of a parameter, in bytes.
const maxAsked = 200

// asked is a value as a receipt shows it.
func asked(value []byte) string {
	if len(value) > maxAsked {
		return `"..."`
	}
	return string(value)
}

// clamped gives the nearest value that a rule allows, if it does not allow this one.
func clamped(to *llm.Target, name, value []byte) ([]byte, bool) {
	if len(to.Rules.Clamp) == 0 {
		return nil, false
	}
	bounds, ok := to.Rules.Clamp[string(name)]
	if !ok {
		return nil, false
	}
	return bounds.Nearest(value)
}

// What becomes of a caller's member.
type fate int

const (
	kept    fate = iota
	left         // it is ours, or written anew
	dropped      // it has no effect at this provider
	options      // stream_options: merged
	refused      // the model rejects it
)

func use(to *llm.Target, name []byte) fate {
	for _, r := range to.Rules.Refuse {
		if string(name) == r {
			return refused
		}
	}
	if written(name) {
		return left
	}
	if string(name) == "stream_options" {
		return options
	}
	for _, d := range to.Rules.Drop {
		if string(name) == d {
			return dropped
		}
	}
	return kept
}

// written reports whether a member is never copied from the caller.
func written(name []byte) bool {
	switch string(name) {
	case "model", "stream", "max_tokens", "max_completion_tokens", "max_cost", "max_cost_nano_usd", "models", "resumable":
		return true
	}
	return false
}

func unsupported(name string) error {
	err := fault.New(fault.Invalid, "unsupported_parameter", "'%s' is not supported by this model.", name)
	err.Field = name
	return err
}

func capParameter(to *llm.Target) string {
	if to.Rules.CapParameter != "" {
		return to.Rules.CapParameter
	}
	return "max_tokens"
}

// appendSet adds the members that the rules set and the caller did not name.
func appendSet(dst []byte, changes []llm.Change, to *llm.Target, given []string) ([]byte, []llm.Change) {
	names := make([]string, 0, 8)
	for name, value := range to.Rules.Set {
		if !written([]byte(name)) && name != "stream_options" && !slices.Contains(given, name) && scan.Valid([]byte(value), scan.ClientDepth) {
			names = append(names, name)
		}
	}
	slices.Sort(names) // the same request is the same bytes: providers cache by prefix
	for _, name := range names {
		dst = appendMember(dst, name, []byte(to.Rules.Set[name]))
		changes = append(changes, llm.Change{Name: name, Sent: asked([]byte(to.Rules.Set[name])), Rule: "set"})
	}
	return dst, changes
}

func appendMember(dst []byte, name string, value []byte) []byte {
	dst = llm.AppendQuoted(append(dst, ','), name)
	return append(append(dst, ':'), value...)
}
