package httpapi

import (
	"container/list"
	"fmt"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// Strangers are too many in any state, also where nothing further happens.
func TestStrangersInAnyState(t *testing.T) {
	states := []http.ConnState{http.StateNew, http.StateActive, http.StateIdle, http.StateActive}
	for n := range 2 * len(states) {
		known, states := n%2 == 1, states[:n/2+1]
		t.Run(fmt.Sprintf("%v, known: %t", states, known), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &strangers{at: map[net.Conn]*list.Element{}, open: map[net.Conn]bool{}}
				near, far := net.Pipe()
				defer far.Close()
				for _, state := range states {
					s.see(near, state)
				}
				if known {
					callerKnown(s.context(t.Context(), near))
				}
				for range maxStrangers {
					s.see(new(net.TCPConn), http.StateNew)
				}
				for _, c := range []struct {
					later time.Duration
					open  bool
				}{{patience - 1, true}, {1, known}} {
					time.Sleep(c.later)
					synctest.Wait()
					if open := near.SetDeadline(time.Time{}) == nil; open != c.open {
						t.Errorf("open: %t", open)
					}
				}
			})
		})
	}
}
