package route

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hotreader"
)

// moody is a peer that answers as it is told.
type moody struct {
	err   error
	calls int
}

func (m *moody) reader() hotreader.Reader {
	return readerFunc(func(ctx context.Context, q hotreader.Query, yield func(hotreader.Row, error) bool) {
		m.calls++
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

func TestBreakerOpensAndCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer := &moody{}
		b := NewBreaker(peer.reader(), BreakerOptions{})
		read := func() error { _, err := collect(t.Context(), b, query()); return err }

		for range 5 { // half of ten fail: the tenth opens it
			if err := read(); err != nil {
				t.Fatal(err)
			}
		}
		peer.err = failure(hotreader.CodeUnavailable)
		for i := range 5 {
			if b.Open() {
				t.Fatalf("open after %d failures of %d reads", i, 5+i)
			}
			read()
		}
		if !b.Open() {
			t.Fatal("closed after 5 failures of 10 reads")
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
		for range 9 { // closed, and with a clean record: nine failures say nothing
			read()
		}
		if b.Open() || peer.calls != 12 {
			t.Errorf("open %v after %d calls, want closed after 12", b.Open(), peer.calls)
		}
	})
}

// While a probe is under way others are refused, and one that is only
// cancelled proves nothing but gives its place back.
func TestBreakerProbesOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer := &moody{err: failure(hotreader.CodeUnavailable)}
		b := NewBreaker(peer.reader(), BreakerOptions{})
		for range 10 {
			collect(t.Context(), b, query())
		}
		time.Sleep(15 * time.Second)
		peer.err = nil
		for range b.Read(t.Context(), query()) {
			if _, err := collect(t.Context(), b, query()); hotreader.CodeOf(err) != hotreader.CodeUnavailable {
				t.Errorf("a second probe beside the first: %v", err)
			}
			break // abandoned: it had worked
		}
		peer.err = failure(hotreader.CodeCanceled)
		collect(t.Context(), b, query())
		peer.err = nil
		if _, err := collect(t.Context(), b, query()); err != nil {
			t.Error(err)
		}
		if peer.err = failure(hotreader.CodeUnavailable); b.state != closed {
			t.Error("not closed after two probes that worked")
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
			peer := &moody{err: failure(code)}
			b := NewBreaker(peer.reader(), BreakerOptions{})
			for range 30 {
				collect(t.Context(), b, query())
			}
			if b.Open() != opens[code] {
				t.Errorf("%s: open %v", code, b.Open())
			}
		})
	}
}

func TestBreakerForgetsAfterAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer := &moody{err: failure(hotreader.CodeUnavailable)}
		b := NewBreaker(peer.reader(), BreakerOptions{})
		for range 9 {
			collect(t.Context(), b, query())
		}
		time.Sleep(75 * time.Second)
		for range 9 {
			collect(t.Context(), b, query())
		}
		time.Sleep(75 * time.Second)
		for range 9 {
			time.Sleep(10 * time.Second) // never ten within a minute
			collect(t.Context(), b, query())
		}
		if b.Open() {
			t.Error("open though no minute saw ten reads")
		}
	})
}

// A read begun before the breaker opened ends when it is half open: its old
// failure must not count as the probe's.
func TestBreakerIgnoresLateResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := make(chan error)
		slow := true
		b := NewBreaker(readerFunc(func(ctx context.Context, q hotreader.Query, yield func(hotreader.Row, error) bool) {
			if slow {
				yield(hotreader.Row{}, <-late)
				return
			}
			yield(hotreader.Row{}, failure(hotreader.CodeUnavailable))
		}), BreakerOptions{})
		done := make(chan struct{})
		go func() { collect(t.Context(), b, query()); close(done) }()
		synctest.Wait()
		slow = false
		for range 10 {
			collect(t.Context(), b, query())
		}
		time.Sleep(15 * time.Second)
		b.mu.Lock()
		b.turn(probing)
		b.mu.Unlock()
		late <- failure(hotreader.CodeUnavailable)
		<-done
		if b.Open() {
			t.Error("a late failure opened it")
		}
	})
}

// Behind an open breaker a retry waits as long as the breaker says, or gives up
// if that is too long.
func TestRetryAroundBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer := &moody{err: failure(hotreader.CodeUnavailable)}
		b := NewBreaker(peer.reader(), BreakerOptions{})
		for range 10 {
			collect(t.Context(), b, query())
		}
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
