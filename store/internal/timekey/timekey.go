// Package timekey is what stores share that keep a row's time in a field of their
// own: that field's text by a layout, and the order of instants, which that of such
// texts is not.
package timekey

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"hotreader"
	"hotreader/layout"
)

// A Codec reads and writes the field of the time.
type Codec struct {
	layout.Format
	prefix         string
	suffix, closes string          // the text after the time; if the property's name comes between, closes follows it
	named          bool            // the suffix has the property's name
	others         []layout.Format // of times that another scan reads
	first          *Codec          // whose scan counts what is unreadable in its range; nil = it is this one's
}

// A keyRange is what a scan asks for; "" = open.
type keyRange struct {
	low, high string
	numbers   bool
}

// firstRange returns the range of the first scan for q; nil if c's is the first, or if
// its keys are of another type.
func (c *Codec) firstRange(q *hotreader.Query) *keyRange {
	if c.first == nil || c.first.Kind != c.Kind {
		return nil
	}
	low, high, ok := c.first.Bounds(q.Start, q.End)
	if !ok {
		return nil
	}
	return &keyRange{low, high, c.Kind == layout.NumberTime}
}

func (r *keyRange) has(key []byte) bool {
	compare := bytes.Compare
	if r.numbers {
		compare = hotreader.CompareNumbers
	}
	return (r.low == "" || compare(key, []byte(r.low)) >= 0) && (r.high == "" || compare(key, []byte(r.high)) <= 0)
}

// NewCodecs returns a codec for each time format of l, which has passed its Check.
func NewCodecs(l layout.Layout) []Codec {
	var codecs []Codec
	for _, name := range l.WithDefaults().TimeFormat {
		c := Codec{prefix: l.TimePrefix}
		c.Format, _ = layout.ParseFormat(name) // checked before
		c.suffix, c.closes, c.named = strings.Cut(l.TimeSuffix, "{property}")
		codecs = append(codecs, c)
	}
	if len(codecs) == 2 {
		codecs[0].others = []layout.Format{codecs[1].Format}
		codecs[1].others = []layout.Format{codecs[0].Format}
		codecs[1].first = &codecs[0]
	}
	return codecs
}

// NewestCodec returns the codec that a Writer uses: of two formats the second, for its
// values stand where both have one.
func NewestCodec(l layout.Layout) Codec {
	codecs := NewCodecs(l)
	return codecs[len(codecs)-1]
}

// Bounds returns the keys that enclose [start, end], "" where it is open. They are as
// close as the format allows and never too close; Order leaves out what they hold beside
// the range. ok is false if nothing can be in the range.
func (c *Codec) Bounds(start, end time.Time) (low, high string, ok bool) {
	low, high, ok = c.Format.Bounds(start, end)
	if c.prefix == "" || !ok {
		return low, high, ok
	}
	if high == "" {
		high = ":" // which is more than every digit
	}
	return c.prefix + low, c.prefix + high, true
}

// Append appends the key of an instant, and of a property where keys name them.
func (c *Codec) Append(dst []byte, t time.Time, property string) []byte {
	dst = append(c.Format.Append(append(dst, c.prefix...), t), c.suffix...)
	if c.named {
		dst = append(append(dst, property...), c.closes...)
	}
	return dst
}

// Writable reports why a time cannot be written: it would come back as another.
func (c *Codec) Writable(t time.Time) error {
	if t.Before(c.First()) || t.After(c.Last()) {
		return fmt.Errorf("its time %s is not within what %s keeps, %s to %s", t.UTC().Format(time.RFC3339Nano), c.Name, c.First().Format(time.RFC3339), c.Last().Format(time.RFC3339))
	}
	if tick := int(c.Finest()); t.Nanosecond()%tick != 0 {
		return fmt.Errorf("its time %s is finer than %s keeps, which is %v", t.UTC().Format(time.RFC3339Nano), c.Name, c.Finest())
	}
	if _, ok := c.Format.Parse(c.Format.Append(nil, t)); !ok {
		return fmt.Errorf("its time %s would be read as one of a coarser unit than that of %s", t.UTC().Format(time.RFC3339Nano), c.Name)
	}
	return nil
}

// Named reports whether a key names a property.
func (c *Codec) Named() bool { return c.named }

// cut takes a key apart.
func (c *Codec) cut(key []byte) (text, property []byte, ok bool) {
	if text, ok = bytes.CutPrefix(key, []byte(c.prefix)); !ok || c.suffix == "" {
		return text, nil, ok
	}
	if !c.named {
		text, ok = bytes.CutSuffix(text, []byte(c.suffix))
		return text, nil, ok
	}
	text, property, ok = bytes.Cut(text, []byte(c.suffix))
	if !ok {
		return nil, nil, false
	}
	property, ok = bytes.CutSuffix(property, []byte(c.closes))
	return text, property, ok
}

// Property returns the name of the property in a key, nil if there is none.
func (c *Codec) Property(key []byte) []byte {
	_, property, _ := c.cut(key)
	return property
}

// foreign reports whether a key is one that another scan reads.
func (c *Codec) foreign(key []byte) bool {
	if text, _, ok := c.cut(key); ok {
		for i := range c.others {
			if _, ok := c.others[i].Parse(text); ok {
				return true
			}
		}
	}
	return false
}

// parser reads the keys of one scan, one after the other: most share the minute of the
// one before, and then only the rest is looked at.
type parser struct {
	*Codec
	minute [minuteLen]byte // the text of the last key's, in UTC; zero = none
	begin  int64           // when it began, in seconds since 1970
}

const (
	minuteLen = len("2006-01-02T15:04")
	secondLen = len("2006-01-02T15:04:05")
)

func (p *parser) parse(key []byte) (time.Time, bool) {
	if p.prefix != "" || p.suffix != "" {
		text, _, ok := p.cut(key)
		if !ok {
			return time.Time{}, false
		}
		key = text
	}
	if !p.Plain() || len(key) <= secondLen {
		return p.Parse(key)
	}
	minute := [minuteLen]byte(key)
	if minute == p.minute && minute[0] != 0 {
		if second, nanos, ok := parseSecond(key[minuteLen:]); ok {
			return time.Unix(p.begin+second, nanos).UTC(), true
		}
	}
	t, ok := hotreader.ParseStoredTime(key)
	if ok {
		p.begin = t.Unix() - int64(t.Second())
		p.minute = minute
	}
	return t, ok
}

// parseSecond reads what most often follows a minute: ":05Z", or with up to nine
// decimals.
func parseSecond(s []byte) (second, nanos int64, ok bool) {
	tens, ones := s[1]-'0', s[2]-'0'
	if s[0] != ':' || tens > 5 || ones > 9 {
		return 0, 0, false
	}
	i, unit := 3, int64(1_000_000_000)
	if s[i] == '.' {
		for i++; i < len(s) && s[i]-'0' <= 9 && unit > 1; i++ {
			unit /= 10
			nanos += int64(s[i]-'0') * unit
		}
		if i == 4 {
			return 0, 0, false
		}
	}
	return int64(tens)*10 + int64(ones), nanos, i == len(s)-1 && s[i] == 'Z'
}

// compareRanks orders two items of one instant by when they were written: as numbers
// where both are, else byte by byte.
func compareRanks(a, b []byte) int {
	if hotreader.IsNumber(a) && hotreader.IsNumber(b) {
		return hotreader.CompareNumbers(a, b)
	}
	return bytes.Compare(a, b)
}

// Times reads times in any of a layout's formats, for stores that keep rows in an order
// of their own.
type Times struct{ parsers []parser }

// NewTimes returns the Times of l, which has passed its Check.
func NewTimes(l layout.Layout) (t Times) {
	codecs := NewCodecs(l)
	for i := range codecs {
		t.parsers = append(t.parsers, parser{Codec: &codecs[i]})
	}
	return t
}

// Read reads a time.
func (t *Times) Read(v hotreader.Value) (time.Time, bool) {
	for i := range t.parsers {
		if p := &t.parsers[i]; p.Holds(v) {
			if at, ok := p.parse(v.Text()); ok {
				return at, true
			}
		}
	}
	return time.Time{}, false
}

// Property returns the property that a time's text names, nil if there is none.
func (t *Times) Property(v hotreader.Value) []byte { return t.parsers[0].Property(v.Text()) }
