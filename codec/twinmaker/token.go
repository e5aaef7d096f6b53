package twinmaker

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"hotreader"
	"hotreader/internal/pagetoken"
)

// A nextToken is
//
//	base64url( version byte | kind byte | fates | position | HMAC-SHA256 )
//
// without padding. That of a Fleet has before the position the device that it is in,
// how many devices the page had, and the device's own fates. The hash covers all before it and the query that the token belongs
// to (binding), so that neither can be changed. Only this package reads a token. Any
// change to the position's or the binding's format must change the version.
const tokenVersion = 2

// position is where the next page begins.
type position struct {
	kind  byte
	fates []fate // of the properties' values on the pages so far

	// Of a Fleet.
	device  string // that is being read or, for devicePosition, has been
	own     []fate // of this device's values
	devices int    // on the page

	// Without interpolation: after the row at last. types are the declared and the
	// inferred types so far.
	last  time.Time
	types []hotreader.Type

	// With interpolation: at step. Rows up to read have been read; zero = none.
	step   int64
	read   time.Time
	tracks []track
}

const (
	rowsPosition byte = iota + 1
	stepsPosition
	devicePosition // of a Fleet: at the device after
)

// publicKey signs if no key is given. It protects against mistakes, not against
// forgery. A forged token cannot name a device, so its caller reaches nothing that it
// may not query anyway.
const publicKey = "hotreader: nextToken without a key"

func (r *Responder) keys() ([][]byte, error) {
	if r.Keys == nil {
		return [][]byte{[]byte(publicKey)}, nil
	}
	keys := r.Keys()
	if len(keys) == 0 {
		return nil, &hotreader.Error{Op: "twinmaker: nextToken", Code: hotreader.CodeConfig, Err: errors.New("there is no key to sign it with")}
	}
	return keys, nil
}

// appendToken appends the signed token of a position.
func appendToken(dst []byte, key, binding []byte, p *position) ([]byte, error) {
	raw := []byte{tokenVersion, p.kind}
	raw = appendFates(raw, p.fates)
	if p.device != "" {
		raw = pagetoken.AppendText(raw, p.device)
		raw = appendFates(append(raw, byte(min(p.devices, maxSideBySide))), p.own)
	}
	switch p.kind {
	case rowsPosition:
		raw = appendInstant(raw, p.last)
		for _, t := range p.types {
			raw = append(raw, byte(t))
		}
	case stepsPosition:
		raw = binary.AppendVarint(raw, p.step)
		raw = appendInstant(raw, p.read)
		for i := range p.tracks {
			raw = p.tracks[i].append(raw)
		}
	}
	token := pagetoken.Sign(raw, key, append(binding, raw...), sha256.Size)
	if n := len(token); n > MaxTokenChars {
		return dst, &hotreader.Error{Op: "twinmaker: nextToken", Code: hotreader.CodeTooLarge,
			Err: fmt.Errorf("it would have %d characters, at most %d are allowed; select fewer properties", n, MaxTokenChars)}
	}
	return append(dst, token...), nil
}

func appendFates(b []byte, fates []fate) []byte {
	for _, f := range fates {
		b = append(b, byte(f))
	}
	return b
}

// parseToken verifies the token of a request and returns its position.
func parseToken(req *Request, keys [][]byte, binding []byte) (*position, error) {
	text := req.NextToken
	fail := func(msg string) (*position, error) {
		return nil, &hotreader.Error{Op: "twinmaker: history", Code: hotreader.CodeInvalid, Err: errors.New("nextToken " + msg + "; ask again without it, from the first page")}
	}
	if len(text) > MaxTokenChars {
		return fail(fmt.Sprintf("has %d characters, at most %d are allowed", len(text), MaxTokenChars))
	}
	payload, sum, ok := pagetoken.Split(text, sha256.Size)
	if !ok || len(payload) < 2 {
		return fail("is not one of ours, or was cut or changed")
	}
	if payload[0] != tokenVersion {
		return fail(fmt.Sprintf("is of version %d, this reader's are of version %d", payload[0], tokenVersion))
	}
	if !pagetoken.Signed(keys, append(binding, payload...), sum) {
		return fail("was made for another query, or was changed")
	}
	in := &tokenReader{rest: payload[2:]}
	p := in.position(payload[1], req)
	if in.bad || len(in.rest) > 0 || p.kind == stepsPosition && req.Interpolation == 0 || p.kind == rowsPosition && req.Interpolation > 0 {
		return fail("is damaged")
	}
	return p, nil
}

// position reads a position after its kind.
func (r *tokenReader) position(kind byte, req *Request) *position {
	q, n := &req.Query, len(req.Query.Properties)
	p := &position{kind: kind, fates: r.fates(n)}
	if req.Fleet != nil {
		p.device, p.devices = string(r.bytes(hotreader.MaxDeviceBytes)), int(r.byte())
		p.own = r.fates(n)
	}
	switch kind {
	case rowsPosition:
		p.last = r.instant()
		p.types = make([]hotreader.Type, n)
		for i := range p.types {
			p.types[i] = hotreader.Type(r.byte())
			if t := declared(q, i); t != hotreader.FirstKind && t != p.types[i] || p.types[i] > hotreader.ShortString && p.types[i] != hotreader.FirstKind {
				r.bad = true
			}
		}
		r.within(q, p.last)
	case stepsPosition:
		p.step = r.varint()
		p.read = r.instant()
		if !p.read.IsZero() {
			r.within(q, p.read)
		}
		p.tracks = make([]track, n)
		for i := range p.tracks {
			p.tracks[i].parse(r)
		}
	default:
		r.bad = r.bad || kind != devicePosition || req.Fleet == nil
	}
	r.bad = r.bad || req.Fleet != nil && p.device == ""
	return p
}

// binding returns the query that a token belongs to, as bytes to be signed. The size of
// a page is not part of it.
func binding(req *Request) []byte {
	q := &req.Query
	b := append([]byte("hotreader nextToken"), 0, tokenVersion)
	text := func(s string) { b = pagetoken.AppendText(b, s) }
	text(q.Device)
	b = binary.AppendUvarint(b, uint64(len(q.Properties)))
	for i, p := range q.Properties {
		text(p)
		b = append(b, byte(declared(q, i)))
	}
	b = appendInstant(b, q.Start)
	b = appendInstant(b, q.End)
	b = append(b, byte(q.Order))
	filters := slices.Concat(q.Filters, req.DeviceFilters)
	b = binary.AppendUvarint(b, uint64(len(filters)))
	for _, f := range filters {
		text(f.Property)
		b = append(b, byte(f.Op), byte(f.Value.Kind()))
		text(f.Value.String())
	}
	b = binary.AppendVarint(b, int64(req.Interpolation))
	b = binary.AppendVarint(append(appendInstant(b, q.Pick.Origin), byte(q.Pick.Kind)), int64(q.Pick.Every))
	text(req.Ref.EntityID)
	text(req.Ref.ComponentName)
	text(strings.Join(req.Ref.ExternalNames, "\x00"))
	if req.Ref.ComponentPath != "" {
		text("path " + req.Ref.ComponentPath)
	}
	if req.Fleet != nil {
		text("type " + req.Fleet.Type)
	}
	return b
}

// declared is the type that the query declares for its property i; FirstKind where
// it declares none, for clients take no series that mixes kinds.
func declared(q *hotreader.Query, i int) hotreader.Type {
	if i < len(q.Types) && q.Types[i] != hotreader.Untyped {
		return q.Types[i]
	}
	return hotreader.FirstKind
}

// appendInstant appends an instant of any year, and the zero time as itself.
func appendInstant(b []byte, t time.Time) []byte {
	b = binary.AppendVarint(b, t.Unix())
	return binary.AppendUvarint(b, uint64(t.Nanosecond()))
}

// within checks that an instant is in q's range: reading goes on after it, and must not
// leave the range.
func (r *tokenReader) within(q *hotreader.Query, t time.Time) {
	if !q.Start.IsZero() && t.Before(q.Start) || !q.End.IsZero() && t.After(q.End) {
		r.bad = true
	}
}

// tokenReader parses a verified token. It still trusts nothing, since the key may be
// known to others (see publicKey).
type tokenReader struct {
	rest []byte
	bad  bool
}

func (r *tokenReader) byte() byte {
	if len(r.rest) == 0 {
		r.bad = true
		return 0
	}
	c := r.rest[0]
	r.rest = r.rest[1:]
	return c
}

func (r *tokenReader) fates(n int) []fate {
	fates := make([]fate, n)
	for i := range fates {
		if fates[i] = fate(r.byte()); fates[i] > given|missed {
			r.bad = true
		}
	}
	return fates
}

func (r *tokenReader) varint() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *tokenReader) bytes(most int) []byte {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 || n > uint64(most) || n > uint64(len(r.rest)-size) {
		r.bad = true
		return nil
	}
	b := r.rest[size : size+int(n)]
	r.rest = r.rest[size+int(n):]
	return b
}

func (r *tokenReader) instant() time.Time {
	seconds := r.varint()
	nanos, n := binary.Uvarint(r.rest)
	// A little more than the years 0 to 9999.
	if n <= 0 || nanos > 999_999_999 || seconds < -62_200_000_000 || seconds > 253_500_000_000 {
		r.bad = true
		return time.Time{}
	}
	r.rest = r.rest[n:]
	return time.Unix(seconds, int64(nanos)).UTC()
}
