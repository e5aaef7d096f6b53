// Package endpoint says where may be spoken in plain text.
package endpoint

import (
	"net/netip"
	"strings"
)

// Loopback reports whether host, without a port, is this machine. An emulator
// there may be asked over http: what is said to it does not leave the machine.
// A name other than localhost is not looked up, for it may lead elsewhere later.
func Loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.Unmap().IsLoopback()
}
