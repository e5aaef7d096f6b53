package httpapi

import (
	"context"
	"encoding/binary"
	"time"

	"hotreader"
	"hotreader/internal/pagetoken"
)

const (
	pagePurpose = "hotreader history page"
	pageMAC     = 16

	instantBytes = 8 + 4 // seconds, nanoseconds

	pageVersion  = 3 // then the instant of the last row
	movedVersion = 4 // then also start and end
)

// paged is the query of a history whose answer may have several pages.
type paged struct {
	hotreader.Query        // with the types that the request declares
	start, end      string // as they were written, if they count from now; else ""
	points          int    // about how many rows are picked from the whole range; 0 = it does not say
}

// moves reports whether the range would be another one on the next page. Tokens then
// hold that of the first page.
func (q *paged) moves() bool { return q.start != "" || q.end != "" }

// grid divides the range, that of the first page, where the request says how many rows
// it needs. So all pages have the same intervals.
func (q *paged) grid() {
	if q.points > 0 {
		q.Pick = hotreader.Points(q.Start, q.End, q.points)
	}
}

// sign returns the next_token for the page of q after the row at last: version, time,
// and a keyed hash over these and q, so that the token is valid for no other query.
func (a *api) sign(q *paged, last time.Time) string {
	b := appendInstant([]byte{pageVersion}, last)
	if q.moves() {
		b[0] = movedVersion
		b = appendInstant(appendInstant(b, q.Start), q.End)
	}
	return pagetoken.Sign(b, a.pages.Keys(pagePurpose)[0], q.message(b), pageMAC)
}

// verify returns the time in a next_token if sign made it for q, and gives q the range
// of the page before.
func (a *api) verify(ctx context.Context, q *paged, token string) (time.Time, error) {
	version, size := byte(pageVersion), 1+instantBytes
	if q.moves() {
		version, size = movedVersion, 1+3*instantBytes
	}
	b, sum, ok := pagetoken.Split(token, pageMAC)
	if !ok || len(b) != size || b[0] != version || !a.signed(ctx, pagePurpose, q.message(b), sum) {
		return time.Time{}, errPage()
	}
	if q.moves() {
		q.Start, q.End = readInstantBytes(b[1+instantBytes:]), readInstantBytes(b[1+2*instantBytes:])
	}
	return readInstantBytes(b[1:]), nil
}

// signed reports whether sum is ours: that of message with one of the keys for purpose.
func (a *api) signed(ctx context.Context, purpose string, message, sum []byte) bool {
	return pagetoken.Signed(a.pages.Keys(purpose), message, sum) ||
		a.pages.Renew(ctx) && pagetoken.Signed(a.pages.Keys(purpose), message, sum)
}

// appendInstant appends t; an open bound, the zero time, has a value of its own.
func appendInstant(b []byte, t time.Time) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(t.Unix()))
	return binary.BigEndian.AppendUint32(b, uint32(t.Nanosecond()))
}

func readInstantBytes(b []byte) time.Time {
	return time.Unix(int64(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint32(b[8:]))).UTC()
}

func errPage() error {
	return invalid("the next_token does not belong to this query; send it with the same device, properties, types, start, end, order, points, pick and every as before, or begin without it")
}

// message returns what is signed: a position, and the parts of the query that must be
// the same on every page. Bounds that count from now are the same as texts.
func (q *paged) message(position []byte) []byte {
	b := pagetoken.AppendText(nil, string(position))
	b = pagetoken.AppendText(b, q.Device)
	b = binary.AppendUvarint(b, uint64(len(q.Properties)))
	for i, p := range q.Properties {
		b = append(pagetoken.AppendText(b, p), byte(typeOf(&q.Query, i)))
	}
	b = q.appendBound(q.appendBound(b, q.Start, q.start), q.End, q.end)
	b = append(b, byte(q.Order))
	switch {
	case q.points > 0:
		b = binary.AppendUvarint(append(b, 0), uint64(q.points))
	case q.Pick.Kind != hotreader.PickAll: // of a grid that begins in 1970
		b = binary.AppendUvarint(append(b, byte(q.Pick.Kind)), uint64(q.Pick.Every))
	}
	return b
}

func (q *paged) appendBound(b []byte, t time.Time, relative string) []byte {
	if q.moves() {
		b = pagetoken.AppendText(b, relative)
	}
	if relative != "" {
		return b
	}
	return appendInstant(b, t)
}

func typeOf(q *hotreader.Query, property int) hotreader.Type {
	if q.Types == nil {
		return hotreader.Untyped
	}
	return q.Types[property]
}
