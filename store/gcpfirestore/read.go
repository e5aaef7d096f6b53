package gcpfirestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/url"
	"time"

	"hotreader"
	"hotreader/internal/retries"
	"hotreader/store/internal/paging"
	"hotreader/store/internal/timekey"
)

const (
	// slack is how many documents are asked for beyond those wanted: a row can
	// only be passed on when the next one shows that its second is over. Each
	// document read has its price.
	slack = 3

	// maxPage bounds the documents of one request, and with that how long it
	// lives and what has been read for nothing when the caller stops.
	maxPage = 10_000

	// maxPooled bounds what a reading keeps between reads.
	maxPooled = 1 << 20

	// maxTries is how often a page is asked for in a row without a document
	// coming.
	maxTries = 4
)

// lastPause bounds the pause between two tries of a request, which doubles with
// each and of which a random part is waited.
const lastPause = 5 * time.Second

// Scan brings the collection's rows, page by page.
//
// A query for few rows, such as the last entry, asks for few documents, so that
// it costs a small read however long the device's history is. Rows of one second
// are held until the second is over, and no others. Of several documents of one
// instant the one with the greatest time text stands, of equal ones the one with
// the greatest id.
//
// An answer that breaks off is asked for again from behind the last document
// that came. For that all readers share a budget, or a thousand of them would
// ask a Firestore that has too much to do four thousand times. Who is alone has
// no need of it, for a retry that brings the rest of a page is given back.
//
// Documents without the device's or the time's field, and those whose time is of
// another type than Options.TimeFormat says, are not in the index that is read
// and so are not seen. If nothing at all comes, a few documents of the
// collection are looked at: where there are none, the error is of CodeNotFound,
// and where none is laid out as configured, of CodeConfig.
func (s *Store) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return s.ScanPages(ctx, q, nil)
}

// ScanPages implements route.Paged.
func (s *Store) ScanPages(ctx context.Context, q hotreader.Query, next func(rest hotreader.Query, items int, span time.Duration) bool) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		if err := s.check(); err != nil {
			yield(hotreader.Row{}, err)
			return
		}
		if err := checkDevice(q.Device); err != nil {
			yield(hotreader.Row{}, s.invalid(querying, err))
			return
		}
		r, ok := s.readings.Get().(*reading)
		if !ok {
			r = new(reading)
		}
		defer s.readings.Put(r)
		defer r.release()
		if !r.begin(ctx, s, &q, yield) {
			return
		}
		r.next = next
		if err := r.read(ctx); err != nil {
			yield(hotreader.Row{}, err)
		}
	}
}

// A reading is one read of a collection.
type reading struct {
	store     *Store
	query     query
	size      paging.Size
	limit     int // of the page
	decoder   decoder
	order     timekey.Order
	request   []byte
	buf       []byte // of the stream
	documents int    // that came
	when      []byte // of the document that came last, in buf
	name      []byte
	cursor    []byte // behind it; nil = none came

	next func(rest hotreader.Query, items int, span time.Duration) bool // may be nil
}

// begin prepares the reading. It returns false if no row can be in range.
func (r *reading) begin(ctx context.Context, s *Store, q *hotreader.Query, yield func(hotreader.Row, error) bool) bool {
	low, high, ok := bounds(s.format, q.Start, q.End)
	if !ok {
		return false
	}
	columns := q.Columns()
	r.store = s
	r.size = paging.Size{Query: q, Slack: slack, Most: maxPage}
	r.documents, r.cursor = 0, nil
	r.query.fields = append(r.query.fields[:0], fieldPath(s.timeKey))
	for _, name := range columns {
		if name != s.timeKey && !reserved(name) { // no document has a field of such a name
			r.query.fields = append(r.query.fields, fieldPath(name))
		}
	}
	r.query.device, r.query.low, r.query.high = q.Device, low, high
	r.query.descending = q.Backward()
	r.decoder.layout(columns, s.timeKey, s.format)
	r.order.Begin(ctx, s.format, q, len(columns), yield)
	return true
}

// release drops what the reading refers to, so that the pool does not keep it.
func (r *reading) release() {
	clear(r.query.fields)
	r.store, r.size, r.next, r.query = nil, paging.Size{}, nil, query{fields: r.query.fields[:0]}
	r.when, r.name, r.cursor = nil, nil, nil
	r.decoder.release()
	r.order.Release(maxPooled)
	if cap(r.buf) > maxPooled {
		r.buf = nil
	}
	if cap(r.decoder.arena) > maxPooled {
		r.decoder.arena = nil
	}
}

// read follows the pages to the end of the answer.
func (r *reading) read(ctx context.Context) error {
	s := r.store
	stats := hotreader.StatsOf(ctx)
	tries, left := 0, 0 // left: of a page that broke off
	drawn := 0          // retries of the page, on the budget
	for {
		if left == 0 {
			if r.limit = r.size.Next(r.order.Passed()); r.limit == 0 {
				r.limit = maxPage
			}
			left = r.limit
			s.client.retries.Deposit()
		}
		before := r.documents
		more, size, err := r.page(ctx, left)
		stats.Reads.Add(1)
		stats.Bytes.Add(size)
		came := r.documents - before
		if err == nil {
			s.client.retries.Return(drawn)
			drawn = 0
		}
		if !more {
			return nil
		}
		if err == nil && came < left {
			break // fewer than asked for: that was all
		}
		if err != nil {
			if came > 0 {
				tries = 0
			}
			if tries++; tries >= maxTries || ctx.Err() != nil || !again(err) {
				return s.fail(ctx, querying, err)
			}
			if err := s.pause(ctx, tries, err, &s.client.retries); err != nil {
				return s.fail(ctx, querying, err)
			}
			drawn++
		} else {
			tries = 0
		}
		if left -= came; left == 0 && r.next != nil {
			if rest, span, ok := r.order.Rest(); ok && !r.next(rest, r.limit, span) {
				return nil
			}
		}
	}
	if ctx.Err() != nil {
		return s.fail(ctx, querying, ctx.Err())
	}
	if r.documents == 0 && !s.known.Load() {
		return s.explainNothing(ctx)
	}
	r.order.Pass()
	return nil
}

// pause waits before a failed request is tried again, as long as the server
// asks for or, if it does not, the longer the more tries there were. It draws on
// budget, where there is one, and returns err if that is used up.
func (s *Store) pause(ctx context.Context, tries int, err error, budget *retries.Budget) error {
	long := min(s.firstPause<<min(tries-1, 10), lastPause)
	long = long/2 + rand.N(long/2)
	if st, ok := errors.AsType[*status](err); ok {
		long = max(long, st.retryAfter)
	}
	if end, ok := ctx.Deadline(); ok && time.Until(end) < long {
		return err // what is wrong says more than that the time is up
	}
	if budget != nil && !budget.Withdraw() {
		return err
	}
	wait := time.NewTimer(long)
	defer wait.Stop()
	select {
	case <-wait.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// routing is the header by which Google's front end finds the database.
func (s *Store) routing(name, resource string) string { return name + "=" + url.QueryEscape(resource) }

// page asks for at most limit documents and passes their rows on, but for those
// of the last second. more is false if no more rows are wanted.
func (r *reading) page(ctx context.Context, limit int) (more bool, size int64, err error) {
	s, d := r.store, &r.decoder
	r.request = s.appendQuery(append(r.request[:0], make([]byte, headerBytes)...), &r.query, limit, r.cursor)
	answer, err := s.client.call(ctx, runQuery, s.databasePath, s.routing("parent", s.parent), r.request, r.buf)
	if err != nil {
		return true, 0, err
	}
	defer func() {
		r.keep()
		answer.close()
		r.buf, size = answer.buf, answer.read
	}()
	for came, done := 0, false; ; {
		m, ok, err := answer.message()
		if err != nil {
			return true, 0, &damaged{err}
		}
		if !ok {
			r.keep()
			if err := answer.fill(); err == io.EOF {
				return true, 0, nil
			} else if err != nil {
				return true, 0, err
			}
			if ctx.Err() != nil {
				return true, 0, ctx.Err()
			}
			continue
		}
		if err := d.message(m, r.order.Slot()); err != nil {
			return true, 0, &damaged{err}
		}
		if d.document {
			if came++; came > limit || done || d.time == nil {
				return true, 0, &damaged{fmt.Errorf("document %d of %d asked for is not one of the answer", came, limit)}
			}
			if came == 1 && r.cursor != nil && bytes.Equal(r.cursor, appendCursor(nil, d.time, d.name)) {
				return true, 0, &damaged{errors.New("it begins where the one before ended, so reading on would never end")}
			}
			r.documents++
			r.when, r.name = d.time, d.name
			if !r.row() {
				return false, 0, nil
			}
		}
		done = done || d.done
	}
}

// row passes the document on that was decoded last.
func (r *reading) row() bool {
	d := &r.decoder
	r.order.Unreadable(d.skipped)
	if !d.timely {
		r.order.Unreadable(1)
		return true
	}
	if !r.store.known.Load() {
		r.store.known.Store(true)
	}
	return r.order.AddAt(d.at, d.text)
}

// keep copies what refers to the stream's memory, for that is going.
func (r *reading) keep() {
	r.order.Keep()
	r.decoder.arena = r.decoder.arena[:0]
	if r.name != nil {
		r.cursor = appendCursor(r.cursor[:0], r.when, r.name)
		r.when, r.name = nil, nil
	}
}

// sampleSize is how many documents explainNothing looks at.
const sampleSize = 5

// explainNothing tells an answer that is empty because there is nothing from one
// that is empty because something is wrong: of a collection that is not there,
// and of one whose documents are laid out otherwise, Firestore itself says
// nothing at all.
func (s *Store) explainNothing(ctx context.Context) error {
	request := s.appendSample(make([]byte, headerBytes), sampleSize)
	answer, err := s.client.call(ctx, runQuery, s.databasePath, s.routing("parent", s.parent), request, nil)
	if err != nil {
		return s.fail(ctx, querying, err)
	}
	defer answer.close()
	hotreader.StatsOf(ctx).Reads.Add(1)
	d := new(decoder)
	d.layout([]string{s.deviceKey}, s.timeKey, s.format)
	values := make([]hotreader.Value, 1)
	found := "" // what is wrong with the first document
	for {
		m, ok, err := answer.message()
		if err != nil {
			return s.fail(ctx, querying, &damaged{err})
		}
		if !ok {
			if err := answer.fill(); err == io.EOF {
				break
			} else if err != nil {
				return s.fail(ctx, querying, err)
			}
			continue
		}
		if err := d.message(m, values); err != nil {
			return s.fail(ctx, querying, &damaged{err})
		}
		switch {
		case !d.document:
			continue
		case values[0].Kind() == hotreader.String && d.timely:
			s.known.Store(true)
			return nil
		case found != "":
		case values[0].Kind() != hotreader.String:
			found = fmt.Sprintf("document %q has no string in the field %q", documentID(d.name), s.deviceKey)
		case d.time == nil:
			found = fmt.Sprintf("document %q has no field %q", documentID(d.name), s.timeKey)
		default:
			found = fmt.Sprintf("document %q has %s in the field %q, which is no time as %s has it", documentID(d.name), typeName(d.time), s.timeKey, s.format)
		}
	}
	e := &hotreader.Error{Op: s.op(querying), Code: hotreader.CodeConfig}
	if found == "" {
		e.Code = hotreader.CodeNotFound
		e.Err = fmt.Errorf("there is no such collection in database %s of project %s, or it holds no document yet; check FIRESTORE_COLLECTION, FIRESTORE_DATABASE and GOOGLE_CLOUD_PROJECT", s.database, s.project)
		return e
	}
	e.Err = fmt.Errorf("its documents are not laid out as configured: %s; see HOTREADER_DEVICE_KEY, HOTREADER_TIME_KEY and HOTREADER_TIME_FORMAT (%s)", found, s.format)
	return e
}

// documentID is the last part of a document's name.
func documentID(name []byte) []byte { return name[bytes.LastIndexByte(name, '/')+1:] }
