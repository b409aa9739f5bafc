package wire

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
)

// evilNames makes every name that DNS is asked for lead inside, as the owner of
// any domain can: "10.0.0.1.nip.test" to 10.0.0.1, "fd00--1.six.test" to fd00::1,
// the names of clouds to their metadata, and all others to this machine. The
// resolver belongs to the whole process: the test must not be parallel.
func evilNames(t *testing.T) {
	t.Helper()
	was := net.DefaultResolver
	t.Cleanup(func() { net.DefaultResolver = was })
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe() // no packets: the resolver takes it for DNS over TCP
		go answerNames(ours)
		return theirs, nil
	}}
}

// answerNames answers queries until the resolver hangs up.
func answerNames(conn net.Conn) {
	defer conn.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, query); err != nil || len(query) < 17 {
			return
		}
		answer := answerName(query)
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil {
			return
		}
	}
}

// answerName makes the answer of RFC 1035 to a query with one question.
func answerName(query []byte) []byte {
	var labels []string
	at := 12
	for query[at] != 0 {
		n := int(query[at])
		labels = append(labels, strings.ToLower(string(query[at+1:at+1+n])))
		at += 1 + n
	}
	kind := binary.BigEndian.Uint16(query[at+1:])
	question := query[12 : at+5]
	var records [][]byte
	for _, a := range evilAddresses(labels) {
		if a.Is4() && kind == 1 || a.Is6() && kind == 28 {
			records = append(records, a.AsSlice())
		}
	}
	b := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, byte(len(records)), 0, 0, 0, 0}, question...)
	for _, r := range records {
		b = append(b, 0xc0, 12, byte(kind>>8), byte(kind), 0, 1, 0, 0, 0, 0, 0, byte(len(r)))
		b = append(b, r...)
	}
	return b
}

func evilAddresses(labels []string) []netip.Addr {
	name := strings.Join(labels, ".")
	if ip, ok := strings.CutSuffix(name, ".nip.test"); ok {
		return []netip.Addr{netip.MustParseAddr(ip)}
	}
	if ip, ok := strings.CutSuffix(name, ".six.test"); ok {
		return []netip.Addr{netip.MustParseAddr(strings.ReplaceAll(ip, "-", ":"))}
	}
	switch name {
	case "metadata.google.internal", "instance-data.ec2.internal":
		return []netip.Addr{netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("fd00:ec2::254")}
	case "many.test": // whichever comes first, and all that are tried next
		return []netip.Addr{netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("::1"), netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("127.0.0.1")}
	}
	return []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}
}
