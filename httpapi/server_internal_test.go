package httpapi

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hotreader/test/authority"
)

// A connection that closes before its caller is known is forgotten.
func TestClosedConnectionsAreForgotten(t *testing.T) {
	s := newStrangers()
	for _, end := range []http.ConnState{http.StateClosed, http.StateHijacked} {
		c := new(net.TCPConn)
		ctx := s.context(t.Context(), c)
		for _, state := range []http.ConnState{http.StateNew, http.StateActive, end} {
			s.see(c, state)
		}
		callerKnown(ctx)
		if len(s.at) != 0 || s.opened.Len() != 0 || s.waiting.Len() != 0 {
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
		s := newStrangers()
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
		for range maxWaiting {
			s.see(new(net.TCPConn), http.StateNew)
		}
		if _, err := near.Write(nil); err != io.ErrClosedPipe || time.Since(began) > 0 {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

// What takes few bytes to send and many to hold ends its connection.
func TestRequestsAreSlim(t *testing.T) {
	s := httptest.NewUnstartedServer(nil)
	s.Config = Server(http.NotFoundHandler())
	s.Start()
	defer s.Close()
	fields := ""
	for i := range maxFields - 1 {
		fields += fmt.Sprintf("X-%d: \r\n", i)
	}
	for head, want := range map[string]string{
		fields: "HTTP/1.1 404", fields + "X-A: \r\nX-B: \r\n": "", "Transfer-Encoding: chunked\r\nTrailer: A,B\r\n": "", "Transfer-Encoding: chunked\r\n": "HTTP/1.1 404",
	} {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n0\r\n\r\n", head)
		if got, _ := io.ReadAll(c); !strings.HasPrefix(string(got), want) || want == "" && len(got) > 0 {
			t.Errorf("%.60q: %.60q", head, got)
		}
		_ = c.Close()
	}
}
