package wire

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
)

// errPrivate refuses a connection into our own network, whatever name led there.
var errPrivate = errors.New("the provider's address is not public; set allow_private_address if that is meant")

// public reports whether an address is one of the public internet. Everything
// the IANA registries of special addresses keep for something else is not, nor is what
// embeds an IPv4 address: a tunnel would lead to that one.
func public(a netip.Addr) bool {
	if a = a.Unmap(); a.Zone() != "" || !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	if a.Is4() {
		return public4(a.As4())
	}
	return public6(a.As16())
}

// public4 refuses what netip does not know about: RFC 6890 and its updates.
func public4(b [4]byte) bool {
	switch {
	case b[0] == 0, // this network
		b[0] == 100 && b[1]&0xc0 == 64,                // carrier-grade NAT, 100.64/10; cloud metadata of some
		b[0] == 192 && b[1] == 0 && b[2] == 0,         // protocol assignments
		b[0] == 192 && b[1] == 0 && b[2] == 2,         // documentation
		b[0] == 192 && b[1] == 88 && b[2] == 99,       // 6to4 relays
		b[0] == 198 && b[1]&0xfe == 18,                // benchmarks, 198.18/15
		b[0] == 198 && b[1] == 51 && b[2] == 100,      // documentation
		b[0] == 203 && b[1] == 0 && b[2] == 113,       // documentation
		b[0] == 168 && b == [4]byte{168, 63, 129, 16}, // Azure's metadata, in public space
		b[0] >= 240: // reserved and broadcast
		return false
	}
	return true
}

// public6 accepts 2000::/3 alone, the only block that is routed, and of it not
// the tunnels and the documentation.
func public6(b [16]byte) bool {
	if b[0]&0xe0 != 0x20 {
		return false // 64:ff9b::/96, fec0::/10, 100::/64, ::/96 and all that is unassigned
	}
	switch {
	case b[0] == 0x20 && b[1] == 0x01 && b[2]&0xfe == 0, // 2001::/23: Teredo, ORCHID, benchmarks
		b[0] == 0x20 && b[1] == 0x01 && b[2] == 0x0d && b[3] == 0xb8, // documentation
		b[0] == 0x20 && b[1] == 0x02,                                 // 6to4
		b[0] == 0x3f && b[1] == 0xff && b[2]&0xf0 == 0:               // documentation, RFC 9637
		return false
	}
	return true
}

// guard is a dialer's Control: it sees the address that was resolved, so that a
// name that changes between a check and the connection gains nothing.
func guard(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("read the address dialed: %w", err)
	}
	if !public(to.Addr()) {
		return errPrivate
	}
	return nil
}
