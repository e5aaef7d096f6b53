// Package coldstore reads history from object storage: what movers of hot storage,
// Firehose, Spark and others put there as JSON or Parquet. It never writes.
//
// Objects are placed in time by their keys, and by the statistics of Parquet; those
// outside a query's range are not fetched.
package coldstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"hotreader"
	"hotreader/layout"
	"hotreader/store/internal/timekey"
)

// Format says what objects hold. What is not said is found out, object by object.
type Format string

// The formats.
const (
	AnyFormat Format = ""
	Mover     Format = "mover"   // JSON arrays of items
	JSONLines Format = "jsonl"   // JSON objects, one after the other; plain, gzip or zstd
	Parquet   Format = "parquet" // Parquet
	Export    Format = "export"  // DynamoDB's export to S3, in its JSON
)

// Formats lists the formats.
var Formats = []Format{Mover, JSONLines, Parquet, Export}

// DefaultLate is how far from its event a row may arrive, unless Options say otherwise.
const DefaultLate = 24 * time.Hour

// Options say what a Store reads.
type Options struct {
	Prefix string        // of all keys; a slash ends it, unless it is empty
	Format Format        // of all objects
	Late   time.Duration // how far the date of arrival in a key may be from a row's time; 0 = DefaultLate, less than 0 = not at all
	Layout layout.Layout // of the items
}

// Store is a hotreader.Source over a Bucket. It is safe for concurrent use.
type Store struct {
	bucket Bucket
	prefix string
	format Format
	late   time.Duration
	layout layout.Layout
	dates  layout.Template       // of the device's field
	habit  atomic.Pointer[habit] // of the keys; nil = not known, or not needed
	most   int64                 // see maxHeld
	held   atomic.Int64          // bytes that all scans hold, of rows and of pages of Parquet
	room   int64                 // for them
	first  atomic.Pointer[scan]  // holds more than there is room for; nil = none does
	tail   atomic.Int64          // bytes of the longest footer of late
}

// New returns a Store of what a bucket holds. An error is of CodeConfig.
func New(b Bucket, o Options) (*Store, error) {
	s := &Store{bucket: b, prefix: o.Prefix, format: o.Format, late: max(0, cmp.Or(o.Late, DefaultLate)), layout: o.Layout.WithDefaults(), most: maxHeld, room: room()}
	if s.prefix != "" && !strings.HasSuffix(s.prefix, "/") {
		s.prefix += "/"
	}
	err := o.Layout.Check("")
	if o.Format != AnyFormat && !isFormat(o.Format) {
		err = errors.Join(err, fmt.Errorf("format %q is unknown; use one of %v", o.Format, Formats))
	}
	if err != nil {
		return nil, &hotreader.Error{Op: "cold storage " + b.String(), Code: hotreader.CodeConfig, Err: err}
	}
	s.dates, _ = layout.ParseTemplate(s.layout.Partition) // checked
	return s, nil
}

func isFormat(f Format) bool { return strings.Contains(fmt.Sprint(Formats), string(f)) }

// Sort lets each scan hold so many bytes of rows that lie in no order of time, instead of
// 32 MB. It is for before the first scan.
func (s *Store) Sort(bytes int64) { s.most = bytes }

// Close does nothing.
func (s *Store) Close() error { return nil }

// maxAgain is how often a read begins again because an object was replaced.
const maxAgain = 5

// Scan implements hotreader.Source. Where an object is replaced while it is read, the rest
// is listed again. If one is gone, the place of its rows is unknown: that is an error.
func (s *Store) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		q, must := q.Closed(time.Now()), ""
		for again := 0; ; again++ {
			r := &scan{store: s, query: q, columns: q.Columns(), stats: hotreader.StatsOf(ctx), must: must}
			err := r.all(ctx, yield)
			if r.stopped || err == nil {
				return
			}
			c, was := errors.AsType[*changed](err)
			if !was || again == maxAgain || r.must != "" { // what was replaced is not listed any more
				yield(hotreader.Row{}, s.fail(ctx, err))
				return
			}
			if q, must = r.rest, c.key; !r.more {
				return // all rows have come
			}
		}
	}
}

// all reads all parts, and leaves nothing running.
func (s *scan) all(ctx context.Context, yield func(hotreader.Row, error) bool) error {
	inner, cancel := context.WithCancel(ctx)
	defer func() {
		s.running.Wait()
		s.release()
	}()
	defer cancel()
	s.ctx = inner
	return s.run(yield)
}

// release gives back what is held at the scan's end.
func (s *scan) release() {
	s.store.held.Add(-s.held.Load() - s.pages.Load())
	s.store.first.CompareAndSwap(s, nil)
}

// room returns how much memory the scans of a Store may hold together: a quarter of what
// the program may take.
func room() int64 { return min(512<<20, debug.SetMemoryLimit(-1)/4) }

// hold counts bytes of rows that the scan holds.
func (s *scan) hold(n int64) {
	s.held.Add(n)
	s.store.held.Add(n)
}

// full reports whether all scans hold more than there is room for.
func (s *scan) full() bool { return s.store.held.Load() > s.store.room }

// open counts bytes of a list, or of a page of Parquet before they are taken.
func (s *scan) open(n int64) error {
	own := s.pages.Add(n)
	if s.store.held.Add(n); n <= 0 {
		return nil
	}
	return s.fits(own)
}

// fits returns an error if there is no room for what a scan holds. One scan may go on where
// there is none, so that scans do not all fail because of what the others hold.
func (s *scan) fits(own int64) error {
	op := "cold storage: read " + s.store.bucket.String()
	switch {
	case !s.full():
		return nil
	case own > s.store.room:
		return &hotreader.Error{Op: op, Code: hotreader.CodeTooLarge, Err: fmt.Errorf("the query needs more memory for cold storage than there is (%s); ask for fewer properties or a shorter range", size(s.store.room))}
	case s.store.first.Load() == s, s.store.first.CompareAndSwap(nil, s):
		return nil
	}
	return &hotreader.Error{Op: op, Code: hotreader.CodeOverloaded, RetryAfter: 5 * time.Second, Err: errors.New("other queries take the memory for cold storage; ask again")}
}

// fail makes err an *hotreader.Error.
func (s *Store) fail(ctx context.Context, err error) error {
	op := "cold storage: read " + s.bucket.String()
	if ctx.Err() != nil {
		return &hotreader.Error{Op: op, Code: hotreader.CodeOf(ctx.Err()), Err: ctx.Err()}
	}
	e, ok := errors.AsType[*hotreader.Error](err)
	if !ok {
		return &hotreader.Error{Op: op, Code: hotreader.CodeStore, Err: err}
	}
	if e.Op == "" {
		e = &hotreader.Error{Op: op, Code: e.Code, Err: err, RetryAfter: e.RetryAfter}
	}
	return e
}

// bad returns an error of an object.
func bad(o *Object, code hotreader.Code, format string, args ...any) error {
	return &hotreader.Error{Op: "cold storage: read " + o.Key, Code: code, Err: fmt.Errorf(format, args...)}
}

// times returns what reads the times of items.
func (s *Store) times() timekey.Times { return timekey.NewTimes(s.layout) }

// zone returns that of the layout's clock.
func (s *scan) zone() *time.Location {
	codec := timekey.NewestCodec(s.store.layout)
	return codec.Zone()
}
