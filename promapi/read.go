package promapi

import (
	"bytes"
	"context"
	"slices"
	"sort"
	"strconv"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"hotreader"
)

// series implements storage.Series.
type series struct {
	identity
	set     labels.Labels
	samples []sample

	texts, big, inexact int64 // values that are no samples, or other ones
}

// millis is an instant, in milliseconds since 1970. It is an alias, so that vet sees that
// the iterator's Seek is not io.Seeker's.
type millis = int64

type sample struct {
	time  millis
	value float64
}

// Labels implements storage.Series.
func (s *series) Labels() labels.Labels { return s.set }

// part is what one read brings: series of one device.
type part struct {
	run    *run
	window window
	device *device
	all    []*series
	buf    []byte
}

// read reads the part's series. Rows that were picked hide others. Where one has no sample,
// a number before it may be the sample; there, all rows are read.
func (p *part) read(ctx context.Context) error {
	q, some := p.window.query(p.device.id)
	if !some {
		return nil
	}
	p.ask(&q)
	stats, err := p.rows(ctx, q)
	if err == nil && q.Pick.Kind != hotreader.PickAll && p.hides() {
		q.Pick = hotreader.Pick{}
		stats, err = p.rows(ctx, q)
	}
	if err != nil {
		return err
	}
	for _, w := range stats.Warnings() {
		p.run.told.tell(p.device.id, w)
	}
	for _, s := range p.all {
		for _, w := range []hotreader.Warning{{Reason: aText, Count: s.texts}, {Reason: tooBig, Count: s.big}, {Reason: rounded, Count: s.inexact}} {
			if w.Property = s.property.Name; w.Count > 0 {
				p.run.told.tell(p.device.id, w)
			}
		}
	}
	return nil
}

// ask adds the properties of the series to a query.
func (p *part) ask(q *hotreader.Query) {
	for _, s := range p.all {
		q.Properties = append(q.Properties, s.property.Name)
		q.Types = append(q.Types, s.property.Type)
	}
}

// hides reports whether rows were read whose values are no samples.
func (p *part) hides() bool {
	return slices.ContainsFunc(p.all, func(s *series) bool { return s.texts+s.big > 0 })
}

// rows reads the rows of q, instead of those that were read before.
func (p *part) rows(ctx context.Context, q hotreader.Query) (*hotreader.Stats, error) {
	for _, s := range p.all {
		s.samples, s.texts, s.big, s.inexact = s.samples[:0], 0, 0, 0
	}
	stats := new(hotreader.Stats)
	defer hotreader.StatsOf(ctx).Add(stats)
	for row, err := range p.run.api.o.Reader.Read(hotreader.WithStats(ctx, stats), q) {
		if err != nil {
			return stats, err
		}
		at, added := row.Time.UnixMilli(), 0
		for i, s := range p.all {
			added += s.add(at, row.Values[i], &p.buf)
		}
		if most := p.run.api.o.Samples; p.run.samples.Add(int64(added)) > int64(most) {
			return stats, tooMuch("the query reads more than %d samples; ask for a shorter range, a longer step or fewer series", most)
		}
	}
	return stats, nil
}

// add adds a value as a sample. Of several in a millisecond the last wins. It returns
// how many samples came to the others.
func (s *series) add(at millis, v hotreader.Value, buf *[]byte) int {
	var f float64
	switch v.Kind() {
	case hotreader.Null:
		return 0
	case hotreader.String:
		s.texts++
		return 0
	case hotreader.Bool:
		if v.Bool() {
			f = 1
		}
	case hotreader.Number:
		var ok bool
		if f, ok = v.Float64(); !ok {
			s.big++
			return 0
		}
		if !exact(v.Text(), f, buf) {
			s.inexact++
		}
	}
	if n := len(s.samples); n > 0 && s.samples[n-1].time == at {
		s.samples[n-1].value = f
		return 0
	}
	s.samples = append(s.samples, sample{at, f})
	return 1
}

// sureDigits is how many decimal digits a float64 always gives back.
const sureDigits = 15

// exact reports whether the shortest form of f is the number that digits spell.
func exact(digits []byte, f float64, buf *[]byte) bool {
	if len(digits) <= sureDigits && !bytes.ContainsAny(digits, "eE") {
		return true
	}
	*buf = strconv.AppendFloat((*buf)[:0], f, 'e', -1, 64)
	return hotreader.CompareNumbers(digits, *buf) == 0
}

// Iterator implements storage.Series.
func (s *series) Iterator(old chunkenc.Iterator) chunkenc.Iterator {
	it, ok := old.(*iterator)
	if !ok {
		it = new(iterator)
	}
	it.samples, it.at = s.samples, -1
	return it
}

// iterator implements chunkenc.Iterator.
type iterator struct {
	samples []sample
	at      int
}

func (it *iterator) Next() chunkenc.ValueType {
	it.at++
	return it.kind()
}

func (it *iterator) kind() chunkenc.ValueType {
	if it.at >= len(it.samples) {
		it.at = len(it.samples)
		return chunkenc.ValNone
	}
	return chunkenc.ValFloat
}

func (it *iterator) Seek(t millis) chunkenc.ValueType {
	from := max(it.at, 0)
	if from == len(it.samples) || it.samples[from].time >= t { // most seeks go a step ahead, or nowhere
		it.at = from
		return it.kind()
	}
	it.at = from + sort.Search(len(it.samples)-from, func(i int) bool { return it.samples[from+i].time >= t })
	return it.kind()
}

func (it *iterator) At() (int64, float64) { return it.samples[it.at].time, it.samples[it.at].value }
func (it *iterator) AtT() int64           { return it.samples[it.at].time }
func (it *iterator) AtST() int64          { return 0 }
func (it *iterator) Err() error           { return nil }

func (it *iterator) AtHistogram(*histogram.Histogram) (int64, *histogram.Histogram) { return 0, nil }

func (it *iterator) AtFloatHistogram(*histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	return 0, nil
}
