package promapi

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"hotreader"
)

// run is what the selectors of one query share. It is the storage.Queryable and the
// storage.Querier that the engine asks for one expression.
type run struct {
	*call
	lookback time.Duration
	reduce   bool // selectors are evaluated at the steps alone, see reducible

	chosen  int                // series of all selectors
	samples atomic.Int64       // read for all of them
	sets    map[string]*loaded // selectors that the expression repeats
	unmet   []unmet
}

// readers is how many devices are read at once.
const readers = 8

// reducible reports whether the engine evaluates each instant selector of an
// expression at the query's steps, at an @, or at the one time of an instant query, and
// takes there the last sample before. Then the last row of each (t − step, t], t on the
// grid of those times, is all that it sees of the rows. Subqueries have a grid of their
// own, anchored and smoothed selectors look at more samples, info() selects by itself.
// The ranges of matrix selectors come whole in any case.
func reducible(expr parser.Expr) bool {
	ok := true
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.SubqueryExpr:
			ok = false
		case *parser.VectorSelector:
			ok = ok && !n.Anchored && !n.Smoothed
		case *parser.Call:
			ok = ok && n.Func.Name != "info"
		}
		return nil
	})
	return ok
}

// Querier implements storage.Queryable.
func (r *run) Querier(_, _ int64) (storage.Querier, error) { return r, nil }

// Close implements storage.Querier.
func (r *run) Close() error { return nil }

// LabelValues implements storage.Querier; the engine does not ask for them.
func (r *run) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// LabelNames implements storage.Querier; the engine does not ask for them.
func (r *run) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// Select implements storage.Querier. Nothing is read before the set is iterated over,
// and the same selector is read once.
func (r *run) Select(ctx context.Context, _ bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	want := window{start: hints.Start, end: hints.End}
	if r.reduce && hints.Range == 0 {
		want.pick = r.grid(hints)
	}
	var key strings.Builder
	fmt.Fprint(&key, want.start, want.end, want.pick.Kind, want.pick.Every)
	for _, m := range matchers {
		fmt.Fprintf(&key, " %s", m)
	}
	set := r.sets[key.String()]
	if set == nil {
		set = &loaded{}
		set.load = sync.OnceFunc(func() { set.series, set.err = r.read(ctx, want, matchers) })
		r.sets[key.String()] = set
	}
	return &seriesSet{loaded: set, at: -1}
}

// grid returns the Pick of the rows that an instant selector sees. hints.Start is a
// lookback before the first time of evaluation, open on the left, @ and offsets
// included. Samples have milliseconds, and those of a row are cut off: an interval ends
// before the millisecond after t.
func (r *run) grid(hints *storage.SelectHints) hotreader.Pick {
	every := hints.Step
	if every == 0 { // an instant query
		every = r.lookback.Milliseconds()
	}
	first := time.UnixMilli(hints.Start + r.lookback.Milliseconds() - 1)
	return hotreader.Pick{Kind: hotreader.PickLast, Origin: endOf(first), Every: time.Duration(every) * time.Millisecond}
}

// endOf returns the last instant of a millisecond.
func endOf(t time.Time) time.Time { return t.Add(time.Millisecond - 1) }

// window is what is read of each series.
type window struct {
	start, end int64 // milliseconds, both inclusive
	pick       hotreader.Pick
}

// Instants of rows are of the years 0 to 9999.
var firstInstant, lastInstant = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)

// query returns the query for the rows of a device, and whether there can be any.
func (w *window) query(device string) (hotreader.Query, bool) {
	start := time.UnixMilli(max(w.start, firstInstant.UnixMilli())).UTC()
	end := endOf(time.UnixMilli(min(w.end, lastInstant.UnixMilli()))).UTC()
	return hotreader.Query{Device: device, Start: start, End: end, Pick: w.pick}, !start.After(end)
}

// read reads the series that matchers select, those that have samples, in the order of
// their labels.
func (r *run) read(ctx context.Context, want window, matchers []*labels.Matcher) ([]storage.Series, error) {
	for _, m := range matchers {
		if m.Name == metricLabel && m.Type == labels.MatchEqual && metricName(m.Value) != m.Value {
			r.told.tell("", hotreader.Warning{Reason: noMetric, Property: m.Value, Detail: fmt.Sprintf("select the property of this name with {property=%q}", m.Value)})
		}
	}
	var parts []*part
	err := r.choose(matchers, func(s identity) {
		if why := noSeries(s.property); why != "" {
			r.told.tell(s.device.id, hotreader.Warning{Reason: why, Property: s.property.Name})
			return
		}
		if r.chosen++; r.chosen > r.api.o.Series {
			return
		}
		n := len(parts)
		if n == 0 || parts[n-1].device != s.device || len(parts[n-1].all) == hotreader.MaxProperties {
			parts = append(parts, &part{run: r, window: want, device: s.device})
			n++
		}
		parts[n-1].all = append(parts[n-1].all, &series{identity: s})
	})
	switch {
	case err != nil:
		return nil, err
	case r.chosen > r.api.o.Series:
		return nil, tooMuch("the query selects %d series; at most %d are read for one; select fewer, by device, type or metric", r.chosen, r.api.o.Series)
	}
	if err := readAll(ctx, parts); err != nil {
		return nil, err
	}
	var all []storage.Series
	for _, p := range parts {
		for _, s := range p.all {
			if len(s.samples) > 0 {
				s.set = s.identity.labels()
				all = append(all, s)
			}
		}
	}
	if len(all) == 0 {
		r.unmet = append(r.unmet, unmet{matchers, parts})
	}
	slices.SortFunc(all, func(a, b storage.Series) int { return labels.Compare(a.Labels(), b.Labels()) })
	return all, nil
}

// readAll reads parts, some at once. The first error ends it.
func readAll(ctx context.Context, parts []*part) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(readers, len(parts)) {
		all.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(parts) {
					return
				}
				if err := hotreader.Recovered(op, func() error { return parts[i].read(ctx) }); err != nil {
					cancel(err)
				}
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// loaded are the series of a selector, once they are read.
type loaded struct {
	load   func()
	series []storage.Series
	err    error
}

// seriesSet implements storage.SeriesSet.
type seriesSet struct {
	*loaded
	at int
}

func (s *seriesSet) Next() bool {
	s.load()
	s.at++
	return s.at < len(s.series)
}

func (s *seriesSet) At() storage.Series                { return s.series[s.at] }
func (s *seriesSet) Err() error                        { return s.err }
func (s *seriesSet) Warnings() annotations.Annotations { return nil } // the call has them
