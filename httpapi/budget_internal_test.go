package httpapi

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestBudgetIsAContextWithADeadline: whatever ends it, at whatever time somebody
// begins to wait for it, and whatever is made of it.
func TestBudgetIsAContextWithADeadline(t *testing.T) {
	type name struct{}
	for _, c := range []struct {
		what string
		end  func(parent, cancel context.CancelFunc)
		want error
	}{
		{"nothing", func(_, _ context.CancelFunc) {}, nil},
		{"time", func(_, _ context.CancelFunc) { time.Sleep(time.Second) }, context.DeadlineExceeded},
		{"cancel", func(_, cancel context.CancelFunc) { cancel() }, context.Canceled},
		{"parent", func(parent, _ context.CancelFunc) { parent() }, context.Canceled},
		{"time, then cancel", func(_, cancel context.CancelFunc) { time.Sleep(time.Second + 1); cancel() }, context.DeadlineExceeded},
	} {
		for _, waits := range []string{"before", "after", "never"} {
			synctest.Test(t, func(t *testing.T) {
				parent, end := context.WithCancel(context.WithValue(t.Context(), name{}, "value"))
				defer end()
				var b budget
				b.begin(parent, time.Second, new(call))
				defer b.cancel()
				if at, ok := b.Deadline(); !ok || time.Until(at) != time.Second {
					t.Errorf("a deadline in %v, %v", time.Until(at), ok)
				}
				if err := b.Err(); err != nil {
					t.Fatal(err)
				}
				var child context.Context = &b
				if waits == "before" {
					var stop context.CancelFunc
					child, stop = context.WithCancel(&b)
					defer stop()
				}
				c.end(end, b.cancel)
				if waits == "after" {
					var stop context.CancelFunc
					child, stop = context.WithCancel(&b)
					defer stop()
				}
				synctest.Wait()
				want := c.want
				if c.what == "time, then cancel" && waits != "before" {
					want = context.Canceled // nobody has noticed that the time was up
				}
				for range 2 * mostLooks {
					for _, ctx := range []context.Context{&b, child} {
						err := ctx.Err()
						if !errors.Is(err, want) {
							t.Fatalf("ended by %s, waited for %s: %v, want %v", c.what, waits, err, want)
						}
					}
				}
				select {
				case <-child.Done():
					if c.want == nil {
						t.Error("it is done")
					}
				default:
					if c.want != nil {
						t.Errorf("ended by %s, waited for %s: it is not done", c.what, waits)
					}
				}
				if child.Value(name{}) != "value" || child.Value(traceKey{}) != b.call {
					t.Error("a value is lost")
				}
			})
		}
	}
	synctest.Test(t, func(t *testing.T) { // the parent has less time
		parent, end := context.WithTimeout(t.Context(), time.Millisecond)
		defer end()
		var b budget
		b.begin(parent, time.Second, nil)
		defer b.cancel()
		if at, _ := b.Deadline(); time.Until(at) != time.Millisecond {
			t.Errorf("a deadline in %v", time.Until(at))
		}
		<-b.Done()
		if err := b.Err(); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// TestBudgetIsSharedByGoroutines is for the race detector.
func TestBudgetIsSharedByGoroutines(t *testing.T) {
	var b budget
	b.begin(t.Context(), time.Minute, nil)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for b.Err() == nil {
				_ = b.Value(traceKey{})
			}
			<-b.Done()
		})
	}
	b.cancel()
	all.Wait()
	if err := b.Err(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
