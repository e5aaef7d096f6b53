package httpapi

import (
	"container/list"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// Strangers are too many in any state, also where nothing further happens.
func TestStrangersInAnyState(t *testing.T) {
	states := []http.ConnState{http.StateNew, http.StateActive, http.StateIdle, http.StateActive}
	for n := range states {
		for _, known := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				s := &strangers{at: map[net.Conn]*list.Element{}, open: map[net.Conn]bool{}}
				near, far := net.Pipe()
				defer far.Close()
				for _, state := range states[:n+1] {
					s.see(near, state)
				}
				if known {
					callerKnown(s.context(t.Context(), near))
				}
				for range maxStrangers {
					s.see(new(net.TCPConn), http.StateNew)
				}
				time.Sleep(patience - 1)
				if near.SetDeadline(time.Time{}) != nil {
					t.Errorf("%v: it ended early", states[:n+1])
				}
				time.Sleep(1)
				synctest.Wait()
				if open := near.SetDeadline(time.Time{}) == nil; open != known {
					t.Errorf("%v, known: %t, open: %t", states[:n+1], known, open)
				}
			})
		}
	}
}
