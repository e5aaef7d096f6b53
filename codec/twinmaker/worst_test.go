package twinmaker_test

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"time"

	"hotreader"
	"hotreader/codec/twinmaker"
	"hotreader/store/memstore"
)

// The most that a query can ask for with the least that is stored: two rows of a hundred
// properties, and a step a second for a year between them. The page takes memory of its
// own size, not of its size for each property; and no longer than it may.
func TestWorstInterpolation(t *testing.T) {
	const budget = 8 << 20
	start := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	q := hotreader.Query{Device: "d", Start: start, End: start.AddDate(2, 0, 0)}
	var first, last []hotreader.Field
	for i := range 100 {
		name := fmt.Sprintf("p%02d", i)
		q.Properties, q.Types = append(q.Properties, name), append(q.Types, hotreader.Long)
		first = append(first, hotreader.Field{Name: name, Value: hotreader.NumberValue([]byte("1"))})
		last = append(last, hotreader.Field{Name: name, Value: hotreader.NumberValue([]byte("9007199254740993"))})
	}
	s := memstore.New()
	if err := s.Write(t.Context(), "d", []hotreader.Record{{Time: start, Fields: first}, {Time: start.AddDate(1, 0, 0), Fields: last}}); err != nil {
		t.Fatal(err)
	}
	r := twinmaker.Responder{Reader: hotreader.NewReader(s), MaxBytes: budget}
	req := twinmaker.Request{Query: q, Interpolation: time.Second, Ref: twinmaker.Reference{EntityID: "e", ComponentName: "c"}}

	defer debug.SetGCPercent(debug.SetGCPercent(10))
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var peak atomic.Uint64
	ctx, done := context.WithCancel(t.Context())
	sampled := make(chan struct{})
	go func() {
		defer close(sampled)
		for ctx.Err() == nil {
			runtime.ReadMemStats(&now)
			peak.Store(max(peak.Load(), now.HeapAlloc))
			time.Sleep(5 * time.Millisecond)
		}
	}()
	began := time.Now()
	whole, err := r.AppendHistory(t.Context(), nil, req)
	long := time.Since(began)
	done()
	<-sampled
	if took := int64(peak.Load()) - int64(before.HeapAlloc); err != nil || len(whole) < budget/2 || len(whole) > budget || took > 7*budget {
		t.Errorf("%d bytes with %d MB of memory, %v", len(whole), took>>20, err)
	}

	late, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	began = time.Now()
	part, err := r.AppendHistory(late, nil, req)
	if err == nil && len(part) >= len(whole) || err != nil && hotreader.CodeOf(err) != hotreader.CodeDeadline {
		t.Errorf("out of time: %d bytes of %d, %v", len(part), len(whole), err)
	}
	if took := time.Since(began); took > long {
		t.Errorf("out of time after 20 ms, it took %s; the whole took %s", took, long)
	}
}
