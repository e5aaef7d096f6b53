//go:build unix

package boltstore_test

import (
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"hotreader"
	"hotreader/store/boltstore"
)

// TestReadTakesTurns: reads that go on and on leave the processor to others
// sooner than Go would make them, which is after 10 ms.
func TestReadTakesTurns(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "rows.bolt"), boltstore.Options{})
	batch := make([]hotreader.Record, 200_000) // some milliseconds of reading
	for i := range batch {
		batch[i] = hotreader.Record{Time: base.Add(time.Duration(i) * time.Second),
			Fields: []hotreader.Field{{Name: "n", Value: hotreader.NumberValue([]byte(strconv.Itoa(i)))}}}
	}
	if err := s.Write(t.Context(), "d", batch); err != nil {
		t.Fatal(err)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var turns, stop atomic.Int64
	others := make(chan struct{})
	go func() {
		defer close(others)
		for stop.Load() == 0 {
			turns.Add(1)
			runtime.Gosched()
		}
	}()
	began, used := turns.Load(), processor(t)
	rows := 0
	for processor(t)-used < 300*time.Millisecond {
		for _, err := range hotreader.NewReader(s).Read(t.Context(), hotreader.Query{Device: "d", Properties: []string{"n"}}) {
			if err != nil {
				t.Fatal(err)
			}
			rows++
		}
	}
	took, n := processor(t)-used, turns.Load()-began
	stop.Store(1)
	<-others
	if each := took / time.Duration(max(n, 1)); each > 5*time.Millisecond {
		t.Errorf("%d rows took %s of the processor, and another goroutine had %d turns meanwhile, one in %s", rows, took, n, each)
	}
}

// processor returns how long this process has had processors.
func processor(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
