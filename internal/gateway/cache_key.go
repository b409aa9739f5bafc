package gateway

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"slices"

	"onemind/internal/catalog"
	"onemind/internal/llm"
	"onemind/internal/llm/scan"
)

// replyVersion goes up whenever a key or a recording means something else than before.
const replyVersion = "onemind reply 1"

// replyKey is the name under which the answer to a request is kept: 64 hex digits
// over everything that can make a difference, or "" when the request is of a kind
// that is not cached. The user is part of it, so that nobody can be given what was
// said to another. route is the one that was asked for; an answer of a substitute is
// not kept.
//
// The order of members and the space between them make no difference; a number or a
// string that is spelt otherwise does.
func replyKey(user string, route *catalog.Route, req *llm.Request) string {
	if user == "" || req.N > 1 || req.Type != "" || req.Op != llm.Chat && req.Op != llm.Embeddings {
		return ""
	}
	body, ok := canonical(req.Body)
	if !ok {
		return ""
	}
	var protocol string
	var native []byte
	if req.Native != nil {
		protocol = req.Native.Protocol
		if native, ok = canonical(req.Native.Body); !ok {
			return ""
		}
	}
	rules, err := json.Marshal(route.Model.Rules) // maps come out sorted
	if err != nil {
		return ""
	}
	model, provider := route.Model, route.Provider
	h := sha256.New()
	for _, part := range [][]byte{[]byte(replyVersion), []byte(user), []byte(req.Op.String()), []byte(model.ID), []byte(model.Upstream),
		[]byte(provider.ID), []byte(provider.Protocol), []byte(provider.BaseURL), []byte(route.Version), rules, body, []byte(protocol), native} {
		var size [8]byte // so that no part can reach into the next
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		h.Write(size[:])
		h.Write(part)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// ours tells whether a top-level member says how an answer is delivered or paid and
// nothing about what it is.
func ours(name []byte) bool {
	switch string(name) {
	case "stream", "stream_options", "max_cost", "max_cost_nano_usd", "models", "resumable", "response_cache":
		return true
	}
	return false
}

// canonical writes a request's body with sorted members, without space and without
// the members that are ours. Numbers and strings stay as they are written.
func canonical(body []byte) ([]byte, bool) {
	s := scan.New(body, scan.UpstreamDepth)
	if s.Peek() != '{' {
		return nil, false
	}
	dst := appendCanonical(make([]byte, 0, len(body)), &s, ours)
	return dst, s.End()
}

// appendCanonical appends the value that comes next. What is wrong with it the
// scanner knows.
func appendCanonical(dst []byte, s *scan.Scanner, without func(name []byte) bool) []byte {
	switch s.Peek() {
	case '{':
		return appendObject(dst, s, without)
	case '[':
		dst = append(dst, '[')
		comma := false
		for ok := s.Enter(); ok; {
			if ok = s.Element(); !ok {
				break
			}
			if comma {
				dst = append(dst, ',')
			}
			comma = true
			dst = appendCanonical(dst, s, nil)
			ok = s.Bad == ""
		}
		return append(dst, ']')
	}
	return append(dst, s.Value()...)
}

// appendObject sorts an object's members. The same name twice keeps its order: whose
// value counts is up to the provider.
func appendObject(dst []byte, s *scan.Scanner, without func(name []byte) bool) []byte {
	type member struct{ name, value []byte }
	var members []member
	for ok := s.Enter(); ok; {
		if ok = s.Member(); !ok {
			break
		}
		name := s.Name
		if without != nil && without(name) {
			ok = s.Skip()
			continue
		}
		members = append(members, member{name, appendCanonical(nil, s, nil)})
		ok = s.Bad == ""
	}
	slices.SortStableFunc(members, func(a, b member) int { return bytes.Compare(a.name, b.name) })
	dst = append(dst, '{')
	for i, m := range members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(llm.AppendQuoted(dst, string(m.name)), ':')
		dst = append(dst, m.value...)
	}
	return append(dst, '}')
}
