//go:build linux

package serving

import (
	"fmt"
	"net"
	"strconv"
	"testing"
)

// A port is its test's alone: connections are refused, nobody else is given it,
// and who knows its number may listen there.
func TestPort(t *testing.T) {
	port := Port(t)
	address := fmt.Sprintf("127.0.0.1:%d", port)
	if c, err := net.Dial("tcp", address); err == nil {
		c.Close()
		t.Fatal("somebody listens")
	}
	for range 2000 {
		l, err := net.Listen("tcp", "127.0.0.2:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if _, given, _ := net.SplitHostPort(l.Addr().String()); given == strconv.Itoa(port) {
			t.Fatal("it was given away")
		}
	}
	if hold(t, port) {
		t.Fatal("another test was given it, too")
	}
	for _, address := range []string{address, address, fmt.Sprintf(":%d", port)} { // a program that is started again
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
}
