package httpapi

import (
	"container/list"
	"net"
	"net/http"
	"testing"
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
