package httpapi

import (
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
				s := newStrangers()
				near, far := net.Pipe()
				defer far.Close()
				for _, state := range states {
					s.see(near, state)
				}
				if known {
					callerKnown(s.context(t.Context(), near))
				}
				for range maxWaiting {
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

// However busy strangers are, the oldest of their connections make room for new ones; a caller's
// stays.
func TestStrangersInAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStrangers()
		open := func() (c, far net.Conn) {
			c, far = net.Pipe()
			s.see(c, http.StateNew)
			return c, far
		}
		oldest, _ := open()
		caller, _ := open()
		callerKnown(s.context(t.Context(), caller))
		for range maxStrangers - 1 {
			s.see(new(net.TCPConn), http.StateNew)
		}
		s.see(oldest, http.StateActive) // it is the busiest
		if err := oldest.SetDeadline(time.Time{}); err != nil {
			t.Errorf("ended too early: %v", err)
		}
		newest, _ := open()
		if oldest.SetDeadline(time.Time{}) == nil || newest.SetDeadline(time.Time{}) != nil || caller.SetDeadline(time.Time{}) != nil || s.opened.Len() != maxStrangers {
			t.Errorf("of %d connections another one than the oldest has ended", s.opened.Len())
		}
		for s.opened.Len() > 0 {
			s.see(s.opened.Front().Value.(*stranger).conn, http.StateClosed)
		}
		s.endWaiting()
	})
}
