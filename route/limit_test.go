package route

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hotreader"
)

func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most atomic.Int64
		slow := readerFunc(func(ctx context.Context, q hotreader.Query, yield func(hotreader.Row, error) bool) {
			n := running.Add(1)
			defer running.Add(-1)
			for {
				m := most.Load()
				if n <= m || most.CompareAndSwap(m, n) {
					break
				}
			}
			time.Sleep(600 * time.Millisecond)
			yield(series(1)[0], nil)
		})
		l := NewLimit(slow, LimitOptions{Reads: 3, Queue: 5})
		var served, refused, waited atomic.Int64
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				begin := time.Now()
				_, err := collect(t.Context(), l, query())
				e, _ := errors.AsType[*hotreader.Error](err)
				switch {
				case err == nil:
					served.Add(1)
				case e.Code != hotreader.CodeOverloaded || e.RetryAfter <= 0:
					t.Errorf("got %v", err)
				case time.Since(begin) == 0:
					refused.Add(1)
				default:
					waited.Add(1)
				}
			})
		}
		group.Wait()
		// Three run, five wait: three of them until 0.6 s, two in vain until 1 s.
		if served.Load() != 6 || refused.Load() != 12 || waited.Load() != 2 || most.Load() != 3 {
			t.Errorf("%d served, %d refused at once, %d after waiting, %d at once", served.Load(), refused.Load(), waited.Load(), most.Load())
		}
	})
}

// A place comes back however a read ends.
func TestLimitGivesPlacesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer := &moody{}
		l := NewLimit(peer.reader(), LimitOptions{Reads: 1})
		for range l.Read(t.Context(), query()) {
			break
		}
		func() {
			defer func() { _ = recover() }()
			for range l.Read(t.Context(), query()) {
				panic("the caller's")
			}
		}()
		peer.err = failure(hotreader.CodeStore)
		if _, err := collect(t.Context(), l, query()); hotreader.CodeOf(err) != hotreader.CodeStore {
			t.Errorf("got %v", err)
		}
		if len(l.places) != 0 {
			t.Error("a place is still taken")
		}

		l.places <- struct{}{}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := collect(ctx, l, query()); hotreader.CodeOf(err) != hotreader.CodeDeadline {
			t.Errorf("got %v", err)
		}
	})
}
