package turns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"hotreader"
)

// by returns the caller with a token and an address that ends in n.
func by(token int, n byte) callerKey {
	return callerKey{fmt.Sprint(token), netip.AddrFrom4([4]byte{192, 0, 2, n})}
}

// idle reports whether l holds nothing of anybody.
func (l *Limit) idle() bool {
	for _, of := range l.tokens {
		if *of != (load{}) {
			return false
		}
	}
	return l.held == 0 && len(l.waiting) == 0 && len(l.callers) == 0
}

// queued starts requests one after the other and notes how each of them ended: with its
// name once it has a place, which it keeps until leave; else with name and error code.
type queued struct {
	l       *Limit
	mu      sync.Mutex
	results []string
	in      []*Place
	all     sync.WaitGroup
}

func (s *queued) enter(ctx context.Context, name string, who callerKey) {
	s.all.Go(func() {
		p, err := s.l.Enter(ctx, who.name, who.address)
		s.mu.Lock()
		defer s.mu.Unlock()
		if err != nil {
			s.results = append(s.results, name+" "+string(hotreader.CodeOf(err)))
			return
		}
		s.results = append(s.results, name)
		s.in = append(s.in, p)
	})
	synctest.Wait()
}

// crowd starts n requests, named name0, name1, …
func (s *queued) crowd(ctx context.Context, n int, name string, who callerKey) {
	for i := range n {
		s.enter(ctx, fmt.Sprint(name, i), who)
	}
}

// leave lets the first n of those that have a place leave it, one by one.
func (s *queued) leave(n int) {
	for range n {
		s.mu.Lock()
		p := s.in[0]
		s.in = s.in[1:]
		s.mu.Unlock()
		p.Leave()
		synctest.Wait()
	}
}

// end lets all leave.
func (s *queued) end() {
	for len(s.in) > 0 {
		s.leave(1)
	}
	s.all.Wait()
}

// wantResults compares the results since takeResults was last called.
func (s *queued) wantResults(t *testing.T, want string) {
	t.Helper()
	if got := s.takeResults(); got != want {
		t.Errorf("results %q, want %q", got, want)
	}
}

// takeResults returns the results since it was last called.
func (s *queued) takeResults() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	results := strings.Join(s.results, ", ")
	s.results = nil
	return results
}

// A limited number of requests has a place, a limited number waits for a limited time,
// and the others are rejected at once.
func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(3, 5, 0)
		var running, most, served, refused, waited atomic.Int64
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				begin := time.Now()
				p, err := l.Enter(t.Context(), by(0, 1).name, by(0, 1).address)
				if err != nil {
					e, _ := errors.AsType[*hotreader.Error](err)
					switch {
					case e == nil || e.Code != hotreader.CodeOverloaded || e.RetryAfter <= 0:
						t.Errorf("got %v", err)
					case time.Since(begin) == 0:
						refused.Add(1)
					default:
						waited.Add(1)
					}
					return
				}
				n := running.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				time.Sleep(600 * time.Millisecond)
				running.Add(-1)
				p.Leave()
				served.Add(1)
			})
		}
		group.Wait()
		// Three have a place, five wait: three of them until 0.6 s, two in vain
		// until 1 s.
		if served.Load() != 6 || refused.Load() != 12 || waited.Load() != 2 || most.Load() != 3 {
			t.Errorf("%d served, %d refused at once, %d after waiting, %d at once", served.Load(), refused.Load(), waited.Load(), most.Load())
		}
		if !l.idle() {
			t.Errorf("afterwards: %+v", l)
		}
	})
}

// A nil limit lets every request in.
func TestNoLimit(t *testing.T) {
	p, err := New(0, 5, time.Second).Enter(t.Context(), "1", netip.Addr{})
	if err != nil {
		t.Error(err)
	}
	p.Leave()
}

// A free place goes to the token that holds the fewest, within it to the caller that holds
// the fewest, then by age.
func TestLimitTakesTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &queued{l: New(4, 100, time.Minute)}
		s.crowd(t.Context(), 3, "greedy", by(0, 1))
		s.enter(t.Context(), "greedy's token", by(0, 2))
		s.wantResults(t, "greedy0, greedy1, greedy2, greedy's token")
		s.crowd(t.Context(), 40, "G", by(0, 1))
		s.crowd(t.Context(), 2, "n", by(0, 2)) // the neighbour
		s.crowd(t.Context(), 3, "o", by(1, 1)) // the other token
		s.wantResults(t, "")
		s.leave(6)
		// The other token twice. Then both have two, and the first token's third
		// place is gone: the greedy one has none there, then its neighbour none.
		// When each has one and no other token waits, age decides.
		s.wantResults(t, "o0, o1, G0, n0, o2, G1")
		s.leave(4)
		s.wantResults(t, "G2, n1, G3, G4")
		s.end()
	})
}

// A single caller may use the whole queue. Others get in nevertheless: the newest request
// of the caller with the most is rejected.
func TestLimitQueueIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &queued{l: New(1, 4, time.Minute)}
		s.crowd(t.Context(), 6, "g", by(0, 1))
		s.wantResults(t, "g0, g5 overloaded")
		s.crowd(t.Context(), 3, "o", by(1, 1))
		s.wantResults(t, "g4 overloaded, g3 overloaded, o2 overloaded")
		s.crowd(t.Context(), 2, "n", by(0, 2))
		s.wantResults(t, "g2 overloaded, n1 overloaded")
		s.leave(4)
		s.wantResults(t, "g1, o0, o1, n0")
		s.end()
	})
}

// Callers that never give their places back cannot hold all of them.
func TestLimitKeepsPlacesForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &queued{l: New(32, 256, 5*time.Second)}
		for range 40 {
			s.enter(t.Context(), "slow", by(0, 1))
		}
		for range 40 {
			s.enter(t.Context(), "neighbour", by(0, 2))
		}
		for range 40 {
			s.enter(t.Context(), "other", by(1, 1))
		}
		s.all.Wait()
		counts := map[string]int{}
		for name := range strings.SplitSeq(s.takeResults(), ", ") {
			counts[name]++
		}
		if counts["slow"] != 24 || counts["neighbour"] != 4 || counts["other"] != 4 {
			t.Errorf("places: %v", counts)
		}
		s.leave(32)
	})
}

// A request that leaves while it waits, or whose wait is over, leaves nothing in the
// limit, and a place that it got in that moment is not lost.
func TestLimitGivesPlacesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &queued{l: New(1, 3, time.Second)}
		s.enter(t.Context(), "a", by(0, 1))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		s.enter(ctx, "b", by(0, 2))
		gone, leave := context.WithCancel(t.Context())
		s.enter(gone, "c", by(0, 3))
		leave()
		synctest.Wait()
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		s.wantResults(t, "a, c canceled, b deadline")
		if len(s.l.callers) != 1 || len(s.l.waiting) != 0 {
			t.Errorf("%d callers, %d wait", len(s.l.callers), len(s.l.waiting))
		}
		s.leave(1)
		s.all.Wait()
	})
	// All events at the same time, in any order.
	rapid.Check(t, func(r *rapid.T) {
		seed := rapid.SliceOfN(rapid.IntRange(0, 3), 1, 60).Draw(r, "who")
		places := rapid.IntRange(1, 20).Draw(r, "places")
		synctest.Test(t, func(t *testing.T) {
			l := New(places, 8, 20*time.Millisecond)
			var running atomic.Int64
			var group sync.WaitGroup
			for i, n := range seed {
				group.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(5+i%4*5)*time.Millisecond)
					defer cancel()
					time.Sleep(time.Duration(i/8) * 5 * time.Millisecond)
					who := by(n%2, byte(n))
					p, err := l.Enter(ctx, who.name, who.address)
					if err != nil {
						return
					}
					if running.Add(1) > int64(places) {
						t.Error("too many")
					}
					time.Sleep(time.Duration(i%3) * 5 * time.Millisecond)
					running.Add(-1)
					p.Leave()
				})
			}
			group.Wait()
			if !l.idle() {
				t.Errorf("afterwards: %+v", l)
			}
		})
	})
}
