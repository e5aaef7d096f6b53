package gcpfirestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"time"

	"hotreader"
	"hotreader/internal/retries"
	"hotreader/store/internal/failure"
	"hotreader/store/internal/paging"
	"hotreader/store/internal/timekey"
)

const (
	// slack is how many documents are asked for beyond those needed: a row can
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

// A reading is one read of a collection.
//
// Of several documents of one instant the one that was updated last wins, by its
// update time and then its id.
//
// An answer that breaks off is asked for again from after the last document
// that came. For that all readers share a budget, or a thousand of them would
// ask a Firestore that has too much to do four thousand times. A single reader has
// no need of it, for a retry that brings the rest of a page is given back.
//
// Documents without the device's or the time's field, and those whose time is of
// another type than the layout says, are not in the index that is read and so are
// not seen. That is what looks are for.
type reading struct {
	store     *Store
	query     query
	decoder   decoder
	request   []byte
	buf       []byte // of the stream
	documents int    // that came
	when      []byte // of the document that came last, in buf
	name      []byte
	cursor    []byte // after it; nil = none came
	drawn     int    // retries, on the budget, since a request was answered whole
}

func (s *Store) newReading() paging.Answer { return &reading{store: s} }

// Begin implements paging.Answer.
func (r *reading) Begin(a *paging.Ask) bool {
	low, high, ok := bounds(a.Codec, a.Query.Start, a.Query.End)
	if !ok {
		return false
	}
	r.documents, r.when, r.name, r.cursor = 0, nil, nil, nil
	r.decoder.prepare(&r.store.Layout, a)
	r.query = r.store.query(a.Value, low, deviceValue(a.Value, a.Number))
	r.query.fields, r.query.high, r.query.descending = r.decoder.paths(), high, a.Query.Backward()
	return true
}

// Release implements paging.Answer.
func (r *reading) Release() {
	kept := reading{store: r.store, request: r.request[:0], decoder: r.decoder}
	kept.decoder.release()
	if cap(r.buf) <= maxPooled {
		kept.buf = r.buf
	}
	*r = kept
}

// Page implements paging.Answer.
func (r *reading) Page(ctx context.Context, n int, o *timekey.Order) (items int, more bool, err error) {
	if n == 0 {
		n = maxPage
	}
	s, stats := r.store, hotreader.StatsOf(ctx)
	s.client.retries.Deposit()
	for left, tries := n, 0; ; {
		before := r.documents
		size, err := r.ask(ctx, left, o)
		stats.Reads.Add(1)
		stats.Bytes.Add(size)
		came := r.documents - before
		left -= came
		if o.Stopped() {
			return n, false, nil
		}
		if err == nil {
			s.client.retries.Return(r.drawn)
			r.drawn = 0
			return n, left == 0, nil // fewer than asked for: that was all
		}
		if came > 0 {
			tries = 0
		}
		if tries++; tries >= maxTries || ctx.Err() != nil || !again(err) {
			return 0, false, err
		}
		if err := s.pause(ctx, tries, err, &s.client.retries); err != nil {
			return 0, false, err
		}
		if r.drawn++; left == 0 {
			return n, true, nil
		}
	}
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
	return retries.Wait(ctx, long)
}

// runQuery returns the call of a query.
func (s *Store) runQuery(parent string, request []byte) *call {
	return &call{method: runQuery, database: s.databasePath, routing: "parent=" + url.QueryEscape(parent), request: request}
}

// ask asks for at most limit documents and passes their rows to o.
func (r *reading) ask(ctx context.Context, limit int, o *timekey.Order) (size int64, err error) {
	s := r.store
	r.request = appendQuery(append(r.request[:0], make([]byte, headerBytes)...), &r.query, limit, r.cursor)
	answer, err := s.client.call(ctx, s.runQuery(r.query.parent, r.request), r.buf)
	if err != nil {
		return 0, err
	}
	came, done := 0, false
	err = answer.each(ctx, func() { r.keep(o) }, func(m []byte) error {
		d := &r.decoder
		if err := d.message(m, o.Slot()); err != nil {
			return &failure.Damaged{Err: err}
		}
		if d.document {
			if came++; came > limit || done || d.time == nil {
				return &failure.Damaged{Err: fmt.Errorf("document %d of %d asked for is not one of the answer", came, limit)}
			}
			if came == 1 && r.cursor != nil && bytes.Equal(r.cursor, appendCursor(nil, d.time, d.name)) {
				return &failure.Damaged{Err: errors.New("it begins where the one before ended, so reading on would never end")}
			}
			r.documents++
			r.when, r.name = d.time, d.name
			if !r.row(o) {
				return io.EOF
			}
		}
		done = done || d.done
		return nil
	})
	r.keep(o)
	answer.close()
	r.buf = answer.buf
	return answer.read, err
}

// row passes the document on that was decoded last.
func (r *reading) row(o *timekey.Order) bool {
	d := &r.decoder
	if d.native && d.timely {
		return o.AddAt(d.at, d.rank)
	}
	return o.Add(d.key, d.rank)
}

// keep copies what refers to the stream's memory, for that is going.
func (r *reading) keep(o *timekey.Order) {
	o.Keep()
	r.decoder.arena = r.decoder.arena[:0]
	if r.name != nil {
		r.cursor = appendCursor(r.cursor[:0], r.when, r.name)
		r.when, r.name = nil, nil
	}
}
