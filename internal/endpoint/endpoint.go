// Package endpoint says where may be spoken in plain text.
package endpoint

import (
	"net/netip"
	"net/url"
	"strings"
)

// Loopback reports whether host, without a port, is this machine. An emulator
// there may be asked over http: what is said to it does not leave the machine.
// A name other than localhost is not looked up, for it may lead elsewhere later.
func Loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.Unmap().IsLoopback()
}

// Wrong says what is wrong with the scheme of a URL that data is to be sent to,
// as "is not https"; "" = nothing.
func Wrong(u *url.URL) string {
	switch {
	case u.Scheme == "https" || u.Scheme == "http" && Loopback(u.Hostname()):
		return ""
	case u.Scheme == "http":
		return "is not https; http is for an emulator on this machine"
	}
	return "is not https"
}
