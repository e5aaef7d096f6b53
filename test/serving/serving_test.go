//go:build linux

package serving

import (
	"fmt"
	"net"
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
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if l.Addr().String() == address {
			t.Fatal("it was given away")
		}
	}
	for range 2 { // a program that is started again
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
}
