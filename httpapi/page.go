package httpapi

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"

	"hotreader"
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
	b = append(b, mac(a.o.Token.Keys(pagePurpose)[0], b, q)...)
	return base64.RawURLEncoding.EncodeToString(b)
}

// verify returns the position of a next_token that sign made for q.
func (a *api) verify(q *hotreader.Query, token string) (position, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	n := len(q.Properties)
	if err != nil || strings.ContainsAny(token, "\r\n") || len(b) != pageHead+n+pageMAC || b[0] != pageVersion { // the decoder passes over line ends
		return position{}, errPage()
	}
	body, sum := b[:pageHead+n], b[pageHead+n:]
	for _, key := range a.o.Token.Keys(pagePurpose) {
		if !hmac.Equal(sum, mac(key, body, q)) {
			continue
		}
		p := position{behind: time.Unix(int64(binary.BigEndian.Uint64(b[1:])), int64(binary.BigEndian.Uint32(b[9:]))).UTC()}
		for _, t := range body[pageHead:] {
			p.types = append(p.types, hotreader.Type(t))
		}
		return p, nil
	}
	return position{}, errPage()
}

func errPage() error {
	return invalid("the next_token does not belong to this query; send it with the same device, properties, start, end and order as before, or begin without it")
}

// mac hashes what must be the same from page to page.
func mac(key, body []byte, q *hotreader.Query) []byte {
	b := binary.AppendUvarint(nil, uint64(len(body)))
	b = append(b, body...)
	text := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	text(q.Device)
	b = binary.AppendUvarint(b, uint64(len(q.Properties)))
	for _, p := range q.Properties {
		text(p)
	}
	for _, t := range [2]time.Time{q.Start, q.End} {
		b = binary.BigEndian.AppendUint64(b, uint64(t.Unix())) // the zero time has a second of its own
		b = binary.BigEndian.AppendUint32(b, uint32(t.Nanosecond()))
	}
	h := hmac.New(sha256.New, key)
	h.Write(append(b, byte(q.Order)))
	return h.Sum(nil)[:pageMAC]
}
