package httpapi

import (
	"encoding/binary"
	"time"

	"hotreader"
	"hotreader/internal/pagetoken"
)

// position is where a page ended: the time of its last row, and the types inferred
// so far, so that all pages of a series have the same ones.
type position struct {
	last  time.Time
	types []hotreader.Type
}

const (
	pageVersion = 1
	pagePurpose = "hotreader history page"
	pageHead    = 1 + 8 + 4 // version, seconds, nanoseconds
	pageMAC     = 16
)

// sign returns the next_token for the page of q after p: version, time, types, and
// a keyed hash over these and q, so that the token is valid for no other query.
func (a *api) sign(q *hotreader.Query, p position) string {
	b := []byte{pageVersion}
	b = binary.BigEndian.AppendUint64(b, uint64(p.last.Unix()))
	b = binary.BigEndian.AppendUint32(b, uint32(p.last.Nanosecond()))
	for _, t := range p.types {
		b = append(b, byte(t))
	}
	return pagetoken.Sign(b, a.o.Token.Keys(pagePurpose)[0], pageMessage(b, q), pageMAC)
}

// verify returns the position in a next_token if sign made it for q.
func (a *api) verify(q *hotreader.Query, token string) (position, error) {
	b, sum, ok := pagetoken.Split(token, pageMAC)
	if !ok || len(b) != pageHead+len(q.Properties) || b[0] != pageVersion || !pagetoken.Signed(a.o.Token.Keys(pagePurpose), pageMessage(b, q), sum) {
		return position{}, errPage()
	}
	p := position{last: time.Unix(int64(binary.BigEndian.Uint64(b[1:])), int64(binary.BigEndian.Uint32(b[9:]))).UTC()}
	for _, t := range b[pageHead:] {
		p.types = append(p.types, hotreader.Type(t))
	}
	return p, nil
}

func errPage() error {
	return invalid("the next_token does not belong to this query; send it with the same device, properties, start, end and order as before, or begin without it")
}

// pageMessage returns what is signed: a position, and the parts of the query that
// must be the same on every page.
func pageMessage(position []byte, q *hotreader.Query) []byte {
	b := pagetoken.AppendText(nil, string(position))
	b = pagetoken.AppendText(b, q.Device)
	b = binary.AppendUvarint(b, uint64(len(q.Properties)))
	for _, p := range q.Properties {
		b = pagetoken.AppendText(b, p)
	}
	for _, t := range [2]time.Time{q.Start, q.End} {
		b = binary.BigEndian.AppendUint64(b, uint64(t.Unix())) // an open bound, the zero time, has a value of its own
		b = binary.BigEndian.AppendUint32(b, uint32(t.Nanosecond()))
	}
	return append(b, byte(q.Order))
}
