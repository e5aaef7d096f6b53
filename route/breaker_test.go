package route

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hotreader"
)

// scriptedPeer fails with err, or succeeds if that is nil, after a while.
type scriptedPeer struct {
	err   error
	takes time.Duration
	calls int
}

func (m *scriptedPeer) reader() hotreader.Source {
	return readerFunc(func(ctx context.Context, q hotreader.Query, yield func(hotreader.Row, error) bool) {
		m.calls++
		select {
		case <-time.After(m.takes):
		case <-ctx.Done():
			yield(hotreader.Row{}, ctx.Err())
			return
		}
		if m.err != nil {
			yield(hotreader.Row{}, m.err)
			return
		}
		for _, row := range series(2) {
			if !yield(row, nil) {
				return
			}
		}
	})
}

// outage makes a read every 15 seconds for a minute: five, which fail.
func outage(t *testing.T, r hotreader.Source) {
	for i := range 5 {
		if i > 0 {
			time.Sleep(15 * time.Second)
		}
		collect(t.Context(), r, query())
	}
}

func TestBreakerOpensAndCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer := &scriptedPeer{err: failure(hotreader.CodeUnavailable)}
		b := NewBreaker(peer.reader(), BreakerOptions{})
		read := func() error { _, err := collect(t.Context(), b, query()); return err }

		for range 100 { // many, but not for long
			read()
		}
		time.Sleep(time.Minute - 1)
		if read(); b.Open() {
			t.Fatal("open before a minute of failure")
		}
		time.Sleep(1)
		if read(); !b.Open() {
			t.Fatal("closed after a minute of failure")
		}

		peer.calls = 0
		time.Sleep(5 * time.Second)
		err := read()
		e, _ := errors.AsType[*hotreader.Error](err)
		if e == nil || e.Code != hotreader.CodeUnavailable || e.RetryAfter != 10*time.Second || peer.calls != 0 {
			t.Fatalf("open: %v (%+v), %d calls", err, e, peer.calls)
		}

		time.Sleep(10 * time.Second) // the probe fails: open for another 15 s
		if err := read(); err == nil || peer.calls != 1 || !b.Open() {
			t.Fatalf("probe: %v, %d calls, open %v", err, peer.calls, b.Open())
		}
		time.Sleep(14 * time.Second)
		if read(); peer.calls != 1 {
			t.Fatal("a read went through before 15 s")
		}

		time.Sleep(time.Second)
		peer.err = nil
		for range 2 {
			if err := read(); err != nil {
				t.Fatal(err)
			}
		}
		peer.err = failure(hotreader.CodeUnavailable)
		for range 60 { // closed, and with a clean record
			if read(); b.Open() {
				t.Fatal("open, though it has only just closed")
			}
			time.Sleep(time.Second)
		}
		if read(); !b.Open() {
			t.Error("closed after another minute of failure")
		}
	})
}

// One bad page, which three queries try four times each, does not open the breaker while
// other pages are read, even if that goes on for an hour.
func TestBreakerOnePageShutsOutNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tried := 0
		b := NewBreaker(readerFunc(func(ctx context.Context, q hotreader.Query, yield func(hotreader.Row, error) bool) {
			if q.Device == "bad" {
				tried++
				yield(hotreader.Row{}, failure(hotreader.CodeCorrupt))
				return
			}
			yield(series(1)[0], nil)
		}), BreakerOptions{})
		r := NewRetry(b, RetryOptions{})
		bad, good := query(), query()
		bad.Device = "bad"
		for i := range 120 {
			for range 3 {
				if _, err := collect(t.Context(), r, bad); hotreader.CodeOf(err) != hotreader.CodeCorrupt {
					t.Fatalf("the bad page: %v", err)
				}
			}
			if i == 0 && tried != 12 {
				t.Fatalf("the bad page was tried %d times, want 3·4", tried)
			}
			if _, err := collect(t.Context(), b, good); err != nil {
				t.Fatalf("another device: %v", err)
			}
			time.Sleep(30 * time.Second)
		}
	})
}

// A probe whose rows the caller abandons is a success.
func TestBreakerProbeAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer := &scriptedPeer{err: failure(hotreader.CodeUnavailable)}
		b := NewBreaker(peer.reader(), BreakerOptions{Probes: 1})
		outage(t, b)
		time.Sleep(15 * time.Second)
		peer.err = nil
		for range hotreader.NewReader(b).Read(t.Context(), query()) {
			break
		}
		if b.state != closed {
			t.Error("not closed")
		}
	})
}

// From an outage to its end: one probe at a time, until the second that succeeds. Open
// says beforehand whether a read would fail at once, and a failed probe is not a new
// opening.
func TestBreakerClosesWithTheSecondProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer := &blockingPeer{err: failure(hotreader.CodeUnavailable)}
		b := NewBreaker(peer.reader(), BreakerOptions{})
		refuses := func(when string, want bool) {
			t.Helper()
			if b.Open() != want {
				t.Errorf("%s: open %v", when, !want)
			}
			if want {
				if _, err := collect(t.Context(), b, query()); err == nil || !strings.Contains(err.Error(), "left alone") {
					t.Errorf("%s: %v", when, err)
				}
			}
		}
		refuses("well", false)
		outage(t, b)
		refuses("just opened", true)
		time.Sleep(15 * time.Second)
		for _, c := range []struct {
			name    string
			ends    error
			through int64
		}{
			{"a probe that says nothing", failure(hotreader.CodeCanceled), 1},
			{"a probe that fails", peer.err, 1},
			{"the first that works", nil, 1},
			{"another that fails", peer.err, 1},
			{"the first that works again", nil, 1},
			{"the second", nil, 1},
			{"closed", nil, 3},
		} {
			refuses("before "+c.name, false)
			before := peer.calls.Load()
			end := peer.begin(t, b, 3)
			through := peer.calls.Load() - before
			if through != c.through {
				t.Errorf("%s: %d of 3 were let through, want %d", c.name, through, c.through)
			}
			refuses("beside "+c.name, through == 1)
			for range through {
				end(c.ends)
			}
			if c.ends == peer.err {
				refuses("after "+c.name, true)
				time.Sleep(15 * time.Second)
			}
		}
		refuses("at the end", false)
		if n := b.Openings(); n != 1 {
			t.Errorf("it opened %d times", n)
		}
		if outage(t, b); b.Openings() != 2 {
			t.Errorf("it opened %d times, want twice", b.Openings())
		}
	})
}

func TestBreakerCountsOnlyThePeersFailures(t *testing.T) {
	opens := map[hotreader.Code]bool{
		hotreader.CodeUnavailable: true, hotreader.CodeOverloaded: true, hotreader.CodeStore: true,
		hotreader.CodeCorrupt: true, hotreader.CodeProtocol: true, hotreader.CodeDeadline: true, hotreader.CodeInternal: true,
	}
	for _, code := range hotreader.Codes() {
		synctest.Test(t, func(t *testing.T) {
			peer := &scriptedPeer{err: failure(code), takes: FairTime}
			b := NewBreaker(peer.reader(), BreakerOptions{})
			outage(t, b)
			if b.Open() != opens[code] {
				t.Errorf("%s: open %v", code, b.Open())
			}
		})
	}
}

// A caller opens the breaker only if it waits long enough, wherever its time passes.
func TestBreakerAndHastyCallers(t *testing.T) {
	within := func(d time.Duration, src hotreader.Source) hotreader.Source {
		return readerFunc(func(ctx context.Context, q hotreader.Query, yield func(hotreader.Row, error) bool) {
			ctx, cancel := context.WithTimeout(ctx, d)
			defer cancel()
			src.Scan(ctx, q)(yield)
		})
	}
	cut := &hotreader.Error{Code: hotreader.CodeUnavailable, Err: failure(hotreader.CodeDeadline)}
	for name, c := range map[string]struct {
		peer  scriptedPeer
		time  time.Duration // of the caller
		opens bool
	}{
		"a deadline before the peer's answer": {scriptedPeer{takes: 200 * time.Millisecond}, 100 * time.Millisecond, false},
		"almost enough":                       {scriptedPeer{takes: time.Hour}, FairTime - 1, false},
		"enough":                              {scriptedPeer{takes: time.Hour}, FairTime, true},
		"an attempt of half the time":         {scriptedPeer{err: cut, takes: 2 * time.Second}, 4 * time.Second, false},
		"the peer's own deadline":             {scriptedPeer{err: cut, takes: FairTime}, time.Hour, true},
		"a peer that fails at once":           {scriptedPeer{err: failure(hotreader.CodeUnavailable)}, 100 * time.Millisecond, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := NewBreaker(c.peer.reader(), BreakerOptions{})
				if outage(t, within(c.time, b)); b.Open() != c.opens {
					t.Errorf("open: %v", b.Open())
				}
			})
		})
	}

	// Their probes keep out no caller with time, whose probe keeps out all.
	synctest.Test(t, func(t *testing.T) {
		peer := &scriptedPeer{err: failure(hotreader.CodeUnavailable)}
		b := NewBreaker(peer.reader(), BreakerOptions{Probes: 1})
		outage(t, b)
		time.Sleep(15 * time.Second)
		peer.err, peer.takes, peer.calls = nil, 3*time.Second, 0
		for _, d := range []time.Duration{time.Second, time.Second, time.Minute, time.Second, time.Minute} {
			go collect(t.Context(), within(d, b), query())
			synctest.Wait()
		}
		if peer.calls != 2 {
			t.Errorf("%d reads got through, want that of the first caller and of the first with time", peer.calls)
		}
		time.Sleep(4 * time.Second)
		if synctest.Wait(); b.state != closed {
			t.Error("the hasty probe decided")
		}
	})
}

// Which reads open the breaker. Each read comes every after the one before; it fails
// (x), succeeds (.), or does not count (~).
func TestBreakerStreak(t *testing.T) {
	for _, c := range []struct {
		name  string
		every time.Duration
		reads string
		opens bool
	}{
		{"a minute and five failures", 15 * time.Second, "xxxxx", true},
		{"four failures", 20 * time.Second, "xxxx", false},
		{"the fifth comes later", 20 * time.Second, "xxxxx", true},
		{"three quarters of a minute", 15 * time.Second, "xxxx", false},
		{"many in less than a minute", time.Second, strings.Repeat("x", 60), false},
		{"many in a minute", time.Second, strings.Repeat("x", 61), true},
		{"worked in between", 15 * time.Second, "xxxx.xxxx", false},
		{"worked before", 15 * time.Second, "xxxx.xxxxx", true},
		{"a few of many work", 15 * time.Second, strings.Repeat("xxxx.", 20), false},
		{"silence in between", 15 * time.Second, "xx~xx~x", true},
		{"silence counts for nothing", 15 * time.Second, "xx~~~xx", false},
		{"silence at the end of a minute", 10 * time.Second, "xxxxx~~~", false},
		{"a minute apart", time.Minute, "xxxxx", true},
		{"more than a minute apart", time.Minute + 1, strings.Repeat("x", 20), false},
		{"an hour apart", time.Hour, strings.Repeat("x", 20), false},
		{"silence does not bridge a pause", 15 * time.Second, "xxxx~~~~x", false},
		{"begun anew after a pause", 15 * time.Second, "xxxx~~~~xxxxx", true},
		{"not yet after a pause", 15 * time.Second, "xxxx~~~~xxxx", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				peer := &scriptedPeer{}
				b := NewBreaker(peer.reader(), BreakerOptions{})
				for i, read := range c.reads {
					if i > 0 {
						time.Sleep(c.every)
					}
					if b.Open() {
						t.Fatalf("open after %q", c.reads[:i])
					}
					switch read {
					case 'x':
						peer.err = failure(hotreader.CodeUnavailable)
					case '.':
						peer.err = nil
					case '~':
						peer.err = failure(hotreader.CodeCanceled)
					}
					collect(t.Context(), b, query())
				}
				if b.Open() != c.opens {
					t.Errorf("open %v after %q", b.Open(), c.reads)
				}
			})
		})
	}
}

// blockingPeer answers with err at once or, if ends is set, with the next error from
// there.
type blockingPeer struct {
	err   error
	ends  chan error
	calls atomic.Int64
}

func (h *blockingPeer) reader() hotreader.Source {
	return readerFunc(func(ctx context.Context, q hotreader.Query, yield func(hotreader.Row, error) bool) {
		h.calls.Add(1)
		err := h.err
		if h.ends != nil {
			err = <-h.ends
		}
		if err != nil {
			yield(hotreader.Row{}, err)
		}
	})
}

// begin starts n reads, which block; end lets one of them end with an error, or nil.
func (h *blockingPeer) begin(t *testing.T, r hotreader.Source, n int) (end func(error)) {
	ends := make(chan error)
	h.ends = ends
	for range n {
		go collect(t.Context(), r, query())
	}
	synctest.Wait()
	h.ends = nil
	return func(err error) {
		ends <- err
		synctest.Wait()
	}
}

// Reads that were running when another one succeeded: if they fail later, that does not
// count; if they succeed, that ends a streak as usual.
func TestBreakerReadsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer := &blockingPeer{err: failure(hotreader.CodeUnavailable)}
		b := NewBreaker(peer.reader(), BreakerOptions{})
		end := peer.begin(t, b, 7)
		end(nil)
		endsStreaks(t, b, peer, end)
	})
}

// endsStreaks ends six reads that began before one that worked: five failures, which
// must not open the breaker, and a success, which must end a streak.
func endsStreaks(t *testing.T, b *Breaker, peer *blockingPeer, end func(error)) {
	t.Helper()
	for range 5 {
		end(peer.err)
		time.Sleep(15 * time.Second)
	}
	if b.Open() {
		t.Error("opened by reads begun before one that worked")
	}
	for range 4 {
		collect(t.Context(), b, query())
		time.Sleep(15 * time.Second)
	}
	end(nil)
	if collect(t.Context(), b, query()); b.Open() {
		t.Error("opened though an old read worked in between")
	}
}

// Reads begun before the breaker opened end later. If it is open or half open then, they
// change nothing. If it has closed again, their failures do not count, but a success ends
// a streak.
func TestBreakerLateResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer := &blockingPeer{err: failure(hotreader.CodeUnavailable)}
		b := NewBreaker(peer.reader(), BreakerOptions{Probes: 1})
		late := peer.begin(t, b, 9)
		outage(t, b)
		if late(nil); !b.Open() {
			t.Error("a late success closed it")
		}

		time.Sleep(15 * time.Second)
		probe := peer.begin(t, b, 1)
		late(peer.err)
		late(nil)
		if b.state != halfOpen || !b.probe {
			t.Fatal("a late result counted as the probe's")
		}
		probe(nil)
		if b.state != closed {
			t.Fatal("not closed by its probe")
		}

		endsStreaks(t, b, peer, late)
	})
}

// A retry around an open breaker waits as long as the breaker says, or gives up if that
// is too long.
func TestRetryAroundBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer := &scriptedPeer{err: failure(hotreader.CodeUnavailable)}
		b := NewBreaker(peer.reader(), BreakerOptions{})
		outage(t, b)
		peer.err = nil
		r := NewRetry(b, RetryOptions{})
		short, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := collect(short, r, query()); hotreader.CodeOf(err) != hotreader.CodeUnavailable || !strings.Contains(err.Error(), "left alone") {
			t.Errorf("got %v", err)
		}
		got, err := collect(t.Context(), r, query())
		if err != nil || len(got) != 2 {
			t.Errorf("%d rows, %v", len(got), err)
		}
	})
}
