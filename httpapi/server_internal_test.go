package httpapi

import (
	"container/list"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"hotreader/test/authority"
)

// A connection that closes before its caller is known, as one over HTTP/2 may, is forgotten.
func TestClosedConnectionsAreForgotten(t *testing.T) {
	s := &strangers{at: map[net.Conn]*list.Element{}, open: map[net.Conn]bool{}}
	for _, end := range []http.ConnState{http.StateClosed, http.StateHijacked} {
		c := new(net.TCPConn)
		ctx := s.context(t.Context(), c)
		for _, state := range []http.ConnState{http.StateNew, http.StateActive, end} {
			s.see(c, state)
		}
		callerKnown(ctx)
		if len(s.open) != 0 || len(s.at) != 0 || s.waiting.Len() != 0 {
			t.Errorf("%s: it is still held", end)
		}
	}
}

// The oldest stranger's connection is closed below TLS, which would say goodbye first: here to
// a client that takes nothing.
func TestClosingIsBelowTLS(t *testing.T) {
	served := authority.New(t).Issue(t, nil)
	served.SessionTicketsDisabled = true
	synctest.Test(t, func(t *testing.T) {
		s := &strangers{at: map[net.Conn]*list.Element{}, open: map[net.Conn]bool{}}
		near, far := net.Pipe()
		defer far.Close()
		over := tls.Server(near, served)
		go tls.Client(far, &tls.Config{InsecureSkipVerify: true}).Handshake()
		if err := over.Handshake(); err != nil {
			t.Fatal(err)
		}
		s.see(over, http.StateNew)
		time.Sleep(patience)
		began := time.Now()
		for range maxStrangers {
			s.see(new(net.TCPConn), http.StateNew)
		}
		if _, err := near.Write(nil); err != io.ErrClosedPipe || time.Since(began) > 0 {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}
