package route

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"hotreader"
	"hotreader/store/memstore"
	"hotreader/store/storetest"
)

// pagedStore is a store of one device that answers in pages of page rows; each page
// takes wait.
type pagedStore struct {
	rows []hotreader.Row // of all columns, ascending
	page int
	wait time.Duration

	// fail is called before each page; its error ends the read.
	fail func(q hotreader.Query, number int) error

	pages   atomic.Int64 // fetched
	looked  atomic.Int64
	running atomic.Int64 // reads
	mu      sync.Mutex
	queries []hotreader.Query
	peak    int64 // the most reads at once
}

var storeColumns = []string{"a", "b", "c"}

func (s *pagedStore) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return s.ScanPages(ctx, q, func(hotreader.Query, int, time.Duration) bool { return true })
}

func (s *pagedStore) ScanPages(ctx context.Context, q hotreader.Query, next func(hotreader.Query, int, time.Duration) bool) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		n := s.running.Add(1)
		defer s.running.Add(-1)
		s.mu.Lock()
		s.queries = append(s.queries, q)
		s.peak = max(s.peak, n)
		s.mu.Unlock()
		from, to := 0, len(s.rows)
		if !q.Start.IsZero() {
			from = sort.Search(len(s.rows), func(i int) bool { return !s.rows[i].Time.Before(q.Start) })
		}
		if !q.End.IsZero() {
			to = sort.Search(len(s.rows), func(i int) bool { return s.rows[i].Time.After(q.End) })
		}
		down := q.Backward()
		columns := q.Columns()
		values := make([]hotreader.Value, len(columns))
		var first time.Time
		for i := 0; ; i++ {
			if i%s.page == 0 {
				timer := time.NewTimer(s.wait)
				select {
				case <-timer.C:
				case <-ctx.Done():
				}
				timer.Stop()
				s.pages.Add(1)
				hotreader.StatsOf(ctx).Reads.Add(1)
				if s.fail != nil && ctx.Err() == nil {
					if err := s.fail(q, i/s.page); err != nil {
						yield(hotreader.Row{}, err)
						return
					}
				}
			}
			if err := ctx.Err(); err != nil {
				yield(hotreader.Row{}, &hotreader.Error{Op: "shelf", Code: hotreader.CodeOf(err), Err: err})
				return
			}
			if i >= to-from {
				return
			}
			at := from + i
			if down {
				at = to - 1 - i
			}
			row := s.rows[at]
			for k, name := range columns {
				values[k] = hotreader.Value{}
				if at := slices.Index(storeColumns, name); at >= 0 {
					values[k] = row.Values[at]
				}
			}
			if i%s.page == 0 {
				first = row.Time
			}
			s.looked.Add(1)
			if !yield(hotreader.Row{Time: row.Time, Values: values}, nil) {
				return
			}
			clear(values) // a row is valid until the next one only
			if i%s.page == s.page-1 {
				if rest, ok := q.Behind(row.Time); ok && !next(rest, s.page, row.Time.Sub(first).Abs()) {
					return
				}
			}
		}
	}
}

// even returns n rows, one every second.
func even(n int) []hotreader.Row {
	stored := make([]hotreader.Row, n)
	for i := range stored {
		stored[i] = hotreader.Row{Time: at(i), Values: []hotreader.Value{hotreader.Int64Value(int64(i)),
			hotreader.StringValue(fmt.Appendf(nil, "row %d", i)), hotreader.BoolValue(i%3 == 0)}}
	}
	return stored
}

func all() hotreader.Query { return hotreader.Query{Device: "d", Properties: storeColumns} }

// paged gives any Source pages.
type paged struct {
	hotreader.Source
	items int
}

func (p paged) ScanPages(ctx context.Context, q hotreader.Query, next func(hotreader.Query, int, time.Duration) bool) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		s := &run{ctx: ctx, query: q}
		var first time.Time
		for row, err := range p.Scan(ctx, q) {
			if err == nil {
				if s.rows%p.items == 0 {
					first = row.Time
				}
				s.rows++
				s.last = row.Time
			}
			if !yield(row, err) || err != nil {
				return
			}
			if s.rows%p.items == 0 {
				if rest, more := s.rest(); more && !next(rest, p.items, s.last.Sub(first).Abs()) {
					return
				}
			}
		}
	}
}

func TestAheadConformance(t *testing.T) {
	for _, c := range []struct{ items, parts int }{{7, 4}, {300, 8}} {
		t.Run(fmt.Sprintf("pages of %d", c.items), func(t *testing.T) {
			storetest.Run(t, storetest.Harness{New: func(testing.TB) (hotreader.Source, hotreader.Writer) {
				store := memstore.New()
				return Ahead(paged{store, c.items}, AheadOptions{Parts: c.parts}), store
			}})
		})
	}
}

func TestAheadLeavesOthersAlone(t *testing.T) {
	store := memstore.New()
	if got := Ahead(store, AheadOptions{}); got != hotreader.Source(store) {
		t.Errorf("a store without pages became a %T", got)
	}
}

// Twenty pages of 20 ms: one, then three times up to eight.
func TestAheadWaits(t *testing.T) {
	for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
		for _, open := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				stored := even(20 * 500)
				s := &pagedStore{rows: stored, page: 500, wait: 20 * time.Millisecond}
				q := all()
				q.Order = order
				if !open {
					q.Start, q.End = stored[0].Time, stored[len(stored)-1].Time
				}
				begin := time.Now()
				got, err := collect(t.Context(), Ahead(s, AheadOptions{}), q)
				took := time.Since(begin)
				if order == hotreader.Descending {
					slices.Reverse(got)
				}
				if err == nil {
					err = same(got, stored)
				}
				if err != nil {
					t.Fatal(err)
				}
				longest, pages, probed := 80*time.Millisecond, int64(22), int64(0)
				switch {
				case open && order == hotreader.Descending: // nothing says where the rows end
					longest, pages = 100*time.Millisecond, 32
				case open:
					probed = 1
				}
				if took > longest {
					t.Errorf("%v open %v: took %s, one after the other 400 ms", order, open, took)
				}
				if n := s.looked.Load(); n != int64(len(stored))+probed {
					t.Errorf("%v open %v: %d rows were looked at, there are %d", order, open, n, len(stored))
				}
				if s.peak > 9+probed || s.pages.Load() > pages+probed { // the first page's read ends while eight begin
					t.Errorf("%v open %v: %d pages, %d at once", order, open, s.pages.Load(), s.peak)
				}
			})
		}
	}
}

// A query that fits one page, or has a limit, costs what it costs without Ahead.
func TestAheadSmallQueries(t *testing.T) {
	limited, last, small, wide := all(), all(), all(), all()
	limited.Limit, last.Last = 1200, true
	small.Start, small.End = at(1000), at(1499)
	for _, c := range []struct {
		name string
		q    hotreader.Query
		stop int
	}{{"limit", limited, -1}, {"last entry", last, -1}, {"within a page", small, -1}, {"stopped in the first page", wide, 499}} {
		var cost [2]int64
		for i, wrap := range []func(s *pagedStore) hotreader.Source{
			func(s *pagedStore) hotreader.Source { return s },
			func(s *pagedStore) hotreader.Source { return Ahead(s, AheadOptions{}) },
		} {
			s := &pagedStore{rows: even(10_000), page: 500}
			n := 0
			for _, err := range hotreader.NewReader(wrap(s)).Read(t.Context(), c.q) {
				if err != nil {
					t.Fatal(err)
				}
				if n++; n == c.stop {
					break
				}
			}
			cost[i] = s.pages.Load()
		}
		if cost[0] != cost[1] {
			t.Errorf("%s: %d pages, want %d", c.name, cost[1], cost[0])
		}
	}
}

// Ahead reads at most a page more than the values that the caller can take.
func TestAheadValues(t *testing.T) {
	s := &pagedStore{rows: even(50_000), page: 500}
	n := 0
	for _, err := range hotreader.NewReader(Ahead(s, AheadOptions{Values: 6000})).Read(t.Context(), all()) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 2000 {
			break
		}
	}
	if s.pages.Load() > 6 {
		t.Errorf("%d pages for what four hold", s.pages.Load())
	}
}

// Stopping at any row leaves nothing running, and what was read is counted.
func TestAheadStops(t *testing.T) {
	before := runtime.NumGoroutine()
	for _, stop := range []int{1, 9, 10, 11, 12, 35, 99, 100, 101, 555} {
		s := &pagedStore{rows: even(1000), page: 10, wait: time.Microsecond}
		stats := new(hotreader.Stats)
		n := 0
		for _, err := range hotreader.NewReader(Ahead(s, AheadOptions{})).Read(hotreader.WithStats(t.Context(), stats), all()) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == stop {
				break
			}
		}
		if left := s.running.Load(); left != 0 {
			t.Errorf("stopped at row %d: %d reads are still under way", stop, left)
		}
		if stats.Rows.Load() != int64(stop) || stats.Looked.Load() != s.looked.Load() || stats.Reads.Load() != s.pages.Load() {
			t.Errorf("stopped at row %d: %d rows, %d looked at, %d reads counted, want %d, %d, %d", stop,
				stats.Rows.Load(), stats.Looked.Load(), stats.Reads.Load(), stop, s.looked.Load(), s.pages.Load())
		}
	}
	for range 10_000 { // on a busy machine they take a while
		if runtime.NumGoroutine() <= before {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines before, %d after", before, after)
	}
}

// While the caller does nothing, what is read ahead is bounded, however long a part is.
func TestAheadIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// The first page covers an hour; then come a hundred rows a second.
		stored := even(10)
		for i := range stored {
			stored[i].Time = at(i * 360)
		}
		for i := range 400_000 {
			row := stored[i%10]
			row.Time = at(3600).Add(time.Duration(i) * 10 * time.Millisecond)
			stored = append(stored, row)
		}
		s := &pagedStore{rows: stored, page: 10}
		n := 0
		for _, err := range hotreader.NewReader(Ahead(s, AheadOptions{})).Read(t.Context(), all()) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == 11 || n == 5000 {
				time.Sleep(time.Hour)
				if held := s.looked.Load() - int64(n); held > 24*(queuedChunks+3)*chunkRows {
					t.Errorf("%d rows are held behind row %d", held, n)
				}
			}
		}
		if n != len(stored) {
			t.Errorf("%d rows, want %d", n, len(stored))
		}
	})
}

// The end of the context ends the read at once, with the context's error.
func TestAheadContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &pagedStore{rows: even(5000), page: 100, wait: 20 * time.Millisecond}
		r := Ahead(s, AheadOptions{})
		ctx, cancel := context.WithTimeout(t.Context(), 70*time.Millisecond)
		defer cancel()
		got, err := collect(ctx, r, all())
		if hotreader.CodeOf(err) != hotreader.CodeDeadline || len(got) < 600 || same(got, s.rows[:len(got)]) != nil {
			t.Errorf("%d rows, then %v", len(got), err)
		}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		n := 0
		for _, err := range hotreader.NewReader(r).Read(ctx, all()) {
			if n++; n == 250 {
				stop()
			}
			if (n == 251) != (err != nil) || n == 251 && hotreader.CodeOf(err) != hotreader.CodeCanceled {
				t.Errorf("row %d: %v", n, err)
			}
		}
		if n != 251 || s.running.Load() != 0 {
			t.Errorf("%d rows, %d reads under way", n, s.running.Load())
		}
	})
}

// A store that throttles parallel reads is read page by page. One that always throttles
// fails as it does without Ahead.
func TestAheadThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s *pagedStore
		s = &pagedStore{rows: even(2000), page: 100, wait: 20 * time.Millisecond, fail: func(hotreader.Query, int) error {
			if s.running.Load() > 2 {
				return failure(hotreader.CodeThrottled)
			}
			return nil
		}}
		got, err := collect(t.Context(), Ahead(s, AheadOptions{}), all())
		if err == nil {
			err = same(got, s.rows)
		}
		if err != nil {
			t.Error(err)
		}
		s.fail = func(q hotreader.Query, number int) error {
			if q.Start.After(at(700)) {
				return failure(hotreader.CodeThrottled)
			}
			return nil
		}
		got, err = collect(t.Context(), Ahead(s, AheadOptions{}), all())
		if hotreader.CodeOf(err) != hotreader.CodeThrottled || same(got, s.rows[:len(got)]) != nil || len(got) < 700 {
			t.Errorf("%d rows, then %v", len(got), err)
		}
	})
}

// The caller can recover a panic of the store, as without Ahead.
func TestAheadPanics(t *testing.T) {
	s := &pagedStore{rows: even(2000), page: 100, fail: func(q hotreader.Query, _ int) error {
		if !q.Start.IsZero() && q.Start.After(at(300)) {
			panic("a defect")
		}
		return nil
	}}
	defer func() {
		if fault := recover(); fault != "a defect" || s.running.Load() != 0 {
			t.Errorf("recovered %v, %d reads under way", fault, s.running.Load())
		}
	}()
	_, err := collect(t.Context(), Ahead(s, AheadOptions{}), all())
	t.Errorf("no panic but %v", err)
}

// For any data, query and pages, the rows, the error and the counts are the store's.
func TestAheadAnswersAsTheStore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		gaps := rapid.SampledFrom([]time.Duration{1, time.Millisecond, 400 * time.Millisecond, time.Second, time.Second, time.Second, time.Minute, 1000 * time.Hour})
		kinds := rapid.SampledFrom([]hotreader.Value{{}, {}, hotreader.NumberValue([]byte("1.50")), hotreader.NumberValue([]byte("7")),
			hotreader.StringValue([]byte("7")), hotreader.StringValue([]byte("x")), hotreader.BoolValue(true), hotreader.BoolValue(false)})
		s := &pagedStore{page: rapid.IntRange(1, 9).Draw(t, "page")}
		now, rows := at(0), rapid.IntRange(0, 300).Draw(t, "rows")
		for len(s.rows) < rows {
			gap, n := gaps.Draw(t, "gap"), rapid.IntRange(1, 60).Draw(t, "run")
			a, b := kinds.Draw(t, "a"), kinds.Draw(t, "b")
			for i := range n {
				now = now.Add(gap)
				c := hotreader.Value{}
				if i%7 == 0 {
					c = kinds.Draw(t, "c")
				}
				s.rows = append(s.rows, hotreader.Row{Time: now, Values: []hotreader.Value{a, b, c}})
			}
		}
		q := hotreader.Query{Device: "d", Properties: []string{"c", "a"},
			Order: rapid.SampledFrom([]hotreader.Order{hotreader.Ascending, hotreader.Descending}).Draw(t, "order")}
		if rapid.Bool().Draw(t, "typed") {
			q.Types = []hotreader.Type{hotreader.Untyped, hotreader.Double}
		}
		if rapid.Bool().Draw(t, "filtered") {
			q.Filters = []hotreader.Filter{{Property: "b", Op: hotreader.NotEqual, Value: hotreader.BoolValue(true)}}
		}
		if len(s.rows) > 0 && rapid.Bool().Draw(t, "narrow") {
			i := rapid.IntRange(0, len(s.rows)-1).Draw(t, "start")
			q.Start, q.End = s.rows[i].Time, s.rows[rapid.IntRange(i, len(s.rows)-1).Draw(t, "end")].Time
		}
		var stats [2]hotreader.Stats
		want, err := collect(hotreader.WithStats(context.Background(), &stats[0]), s, q)
		if err != nil {
			t.Fatal(err)
		}
		code := rapid.SampledFrom([]hotreader.Code{"", hotreader.CodeThrottled, hotreader.CodeStore}).Draw(t, "code")
		bad := rapid.IntRange(0, 20).Draw(t, "bad")
		var pages atomic.Int64
		s.fail = func(hotreader.Query, int) error {
			if n := int(pages.Add(1)); code != "" && n > 1 && n >= bad && (n < bad+3 || code == hotreader.CodeStore) {
				return failure(code)
			}
			return nil
		}
		r := Ahead(s, AheadOptions{Parts: rapid.IntRange(1, 8).Draw(t, "parts"), Values: rapid.SampledFrom([]int{0, 0, 10, 100}).Draw(t, "values")})
		got, err := collect(hotreader.WithStats(context.Background(), &stats[1]), r, q)
		if s.running.Load() != 0 {
			t.Fatal("reads are still under way")
		}
		if err != nil {
			if code == "" || hotreader.CodeOf(err) != code || !strings.HasSuffix(err.Error(), "broke") {
				t.Fatal(err)
			}
			want = want[:min(len(got), len(want))]
		}
		if err := same(got, want); err != nil {
			t.Fatal(err)
		}
		if n := stats[1].Rows.Load(); n != int64(len(got)) {
			t.Fatalf("%d rows counted of %d", n, len(got))
		}
		if a, b := stats[1].Skipped(), stats[0].Skipped(); code == "" && a != b {
			t.Fatalf("%d values counted as skipped, want %d", a, b)
		}
	})
}

// Rows are copied into buffers that are reused, so only parts allocate, about one a page.
func TestAheadAllocatesNothingForARow(t *testing.T) {
	s := &pagedStore{rows: even(40_000), page: 2000}
	r := Ahead(s, AheadOptions{})
	read := func() {
		n := 0
		for range hotreader.NewReader(r).Read(t.Context(), all()) {
			n++
		}
		if n != len(s.rows) {
			t.Errorf("%d rows", n)
		}
	}
	read()
	if perRow := testing.AllocsPerRun(5, read) / float64(len(s.rows)); perRow > 0.1 {
		t.Errorf("%.3f allocations a row", perRow)
	}
}
