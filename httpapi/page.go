package httpapi

import (
	"encoding/binary"
	"time"

	"hotreader"
	"hotreader/internal/pagetoken"
)

const (
	pageVersion = 3
	pagePurpose = "hotreader history page"
	pageHead    = 1 + 8 + 4 // version, seconds, nanoseconds
	pageMAC     = 16
)

// sign returns the next_token for the page of q after the row at last: version, time,
// and a keyed hash over these and q, so that the token is valid for no other query.
func (a *api) sign(q *hotreader.Query, last time.Time) string {
	b := appendInstant([]byte{pageVersion}, last)
	return pagetoken.Sign(b, a.o.Token.Keys(pagePurpose)[0], pageMessage(b, q), pageMAC)
}

// verify returns the time in a next_token if sign made it for q.
func (a *api) verify(q *hotreader.Query, token string) (time.Time, error) {
	b, sum, ok := pagetoken.Split(token, pageMAC)
	if !ok || len(b) != pageHead || b[0] != pageVersion || !pagetoken.Signed(a.o.Token.Keys(pagePurpose), pageMessage(b, q), sum) {
		return time.Time{}, errPage()
	}
	return time.Unix(int64(binary.BigEndian.Uint64(b[1:])), int64(binary.BigEndian.Uint32(b[9:]))).UTC(), nil
}

// appendInstant appends t; an open bound, the zero time, has a value of its own.
func appendInstant(b []byte, t time.Time) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(t.Unix()))
	return binary.BigEndian.AppendUint32(b, uint32(t.Nanosecond()))
}

func errPage() error {
	return invalid("the next_token does not belong to this query; send it with the same device, properties, types, start, end and order as before, or begin without it")
}

// pageMessage returns what is signed: a position, and the parts of the query that
// must be the same on every page.
func pageMessage(position []byte, q *hotreader.Query) []byte {
	b := pagetoken.AppendText(nil, string(position))
	b = pagetoken.AppendText(b, q.Device)
	b = binary.AppendUvarint(b, uint64(len(q.Properties)))
	for i, p := range q.Properties {
		b = append(pagetoken.AppendText(b, p), byte(typeOf(q, i)))
	}
	return append(appendInstant(appendInstant(b, q.Start), q.End), byte(q.Order))
}

func typeOf(q *hotreader.Query, property int) hotreader.Type {
	if q.Types == nil {
		return hotreader.Untyped
	}
	return q.Types[property]
}
