package httpapi

import (
	"encoding/binary"
	"time"

	"hotreader"
	"hotreader/internal/pagetoken"
)

// position is where a page ended: the instant of its last row, and the types
// that were inferred up to there, so that the whole series has one.
type position struct {
	behind time.Time
	types  []hotreader.Type
}

const (
	pageVersion = 1
	pagePurpose = "hotreader history page"
	pageHead    = 1 + 8 + 4 // version, seconds, nanoseconds
	pageMAC     = 16
)

// sign returns the next_token of q's page that ends at p: version, position,
// types, and a keyed hash of these and of q, so that it fits no other query.
func (a *api) sign(q *hotreader.Query, p position) string {
	b := []byte{pageVersion}
	b = binary.BigEndian.AppendUint64(b, uint64(p.behind.Unix()))
	b = binary.BigEndian.AppendUint32(b, uint32(p.behind.Nanosecond()))
	for _, t := range p.types {
		b = append(b, byte(t))
	}
	return pagetoken.Sign(b, a.o.Token.Keys(pagePurpose)[0], pageMessage(b, q), pageMAC)
}

// verify returns the position of a next_token that sign made for q.
func (a *api) verify(q *hotreader.Query, token string) (position, error) {
	b, sum, ok := pagetoken.Split(token, pageMAC)
	if !ok || len(b) != pageHead+len(q.Properties) || b[0] != pageVersion || !pagetoken.Signed(a.o.Token.Keys(pagePurpose), pageMessage(b, q), sum) {
		return position{}, errPage()
	}
	p := position{behind: time.Unix(int64(binary.BigEndian.Uint64(b[1:])), int64(binary.BigEndian.Uint32(b[9:]))).UTC()}
	for _, t := range b[pageHead:] {
		p.types = append(p.types, hotreader.Type(t))
	}
	return p, nil
}

func errPage() error {
	return invalid("the next_token does not belong to this query; send it with the same device, properties, start, end and order as before, or begin without it")
}

// pageMessage spells out a position and what must be the same from page to page.
func pageMessage(position []byte, q *hotreader.Query) []byte {
	b := pagetoken.AppendText(nil, string(position))
	b = pagetoken.AppendText(b, q.Device)
	b = binary.AppendUvarint(b, uint64(len(q.Properties)))
	for _, p := range q.Properties {
		b = pagetoken.AppendText(b, p)
	}
	for _, t := range [2]time.Time{q.Start, q.End} {
		b = binary.BigEndian.AppendUint64(b, uint64(t.Unix())) // the zero time has a second of its own
		b = binary.BigEndian.AppendUint32(b, uint32(t.Nanosecond()))
	}
	return append(b, byte(q.Order))
}
