package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"hotreader"
)

// Encoder writes rows as a stream. Each frame is one Write, so that a writer
// that flushes after each has the rows on the way. An Encoder is not safe for
// concurrent use.
type Encoder struct {
	w io.Writer
	s *encoding // nil after Close
}

// encoding is what an Encoder keeps for the next one.
type encoding struct {
	// The rows of the frame that is being filled.
	cols    []column
	seconds []int64 // of each row's time, since 1970
	nanos   []int64
	text    int // bytes
	bound   int // bytes that they take on the wire, at the most

	descending bool
	limit      int // rows of this frame
	most       int // rows of any frame
	sent       int // bytes
	total      uint64
	columns    []string
	warnings   []hotreader.Warning // for the end mark
	last       int64               // second of the last row
	lastNanos  int64
	err        error

	// What packs and writes a frame.
	p     *packer
	ints  intWriter
	gaps  []int64
	out   []byte
	frame []byte
	began bool
	crc   uint32
}

// column collects one property's values for one frame.
type column struct {
	kinds   []byte
	nums    numbers
	text    []byte
	lengths []int64
	bools   []byte
	nbools  int
}

var encodings = sync.Pool{New: func() any { return new(encoding) }}

// NewEncoder returns an Encoder of the answer to q. Nothing is written before
// the first frame is full or Flush, End or Fail is called. Close must be
// called.
func NewEncoder(w io.Writer, q hotreader.Query) *Encoder {
	s := encodings.Get().(*encoding)
	columns := q.Columns()
	n := len(columns)
	if cap(s.cols) < n {
		s.cols = append(s.cols[:cap(s.cols)], make([]column, n-cap(s.cols))...)
	}
	s.cols = s.cols[:n]
	s.p = packers.Get().(*packer)
	s.descending = q.Backward()
	s.began, s.crc, s.sent, s.total, s.err = false, 0, 0, 0, nil
	s.columns, s.warnings = columns, nil
	s.limit = firstRows
	s.most = min(MaxFrameRows, max(maxFrameCells/max(n, 1), 1))
	s.reset()
	if n < 1 || n > hotreader.MaxProperties+hotreader.MaxFilters {
		s.err = &hotreader.Error{Op: "wire: encode", Code: hotreader.CodeInternal, Err: fmt.Errorf("%d columns", n)}
	}
	return &Encoder{w: w, s: s}
}

func (s *encoding) reset() {
	s.seconds, s.nanos, s.text, s.bound = s.seconds[:0], s.nanos[:0], 0, 0
	for i := range s.cols {
		c := &s.cols[i]
		c.kinds, c.text, c.lengths, c.bools, c.nbools = c.kinds[:0], c.text[:0], c.lengths[:0], c.bools[:0], 0
		c.nums.reset()
	}
}

// Row adds a row of the query's properties, behind the last one in the query's
// order. It copies what it keeps. An error is an *hotreader.Error: of the
// writer; or CodeTooLarge for a row of more than MaxRowBytes, or CodeInternal for
// one that breaks the rules of hotreader.Row, behind which Fail must follow.
func (e *Encoder) Row(row hotreader.Row) error {
	s := e.s
	if s.err != nil {
		return s.err
	}
	if err := s.check(row); err != nil {
		return err
	}
	n := len(s.seconds)
	if n > 0 && (n >= s.limit || s.text >= softFrameText || farApart(s.seconds[0], row.Time.Unix())) {
		if err := e.Flush(); err != nil {
			return err
		}
		s.limit = min(s.limit*4, s.most)
	}
	s.bound += Bound(row)
	s.last, s.lastNanos = row.Time.Unix(), int64(row.Time.Nanosecond())
	s.seconds = append(s.seconds, s.last)
	s.nanos = append(s.nanos, s.lastNanos)
	s.total++
	for i, v := range row.Values {
		c := &s.cols[i]
		c.kinds = append(c.kinds, byte(v.Kind()))
		text := v.Text()
		s.text += len(text)
		switch v.Kind() {
		case hotreader.Number:
			if !c.nums.add(text) {
				s.reset() // the row stands half in it
				return broken("%.40q in column %d is no number", text, i+1)
			}
		case hotreader.String:
			if !utf8.Valid(text) {
				s.reset()
				return broken("a string in column %d is not valid UTF-8", i+1)
			}
			c.text = append(c.text, text...)
			c.lengths = append(c.lengths, int64(len(text)))
		case hotreader.Bool:
			if c.nbools%8 == 0 {
				c.bools = append(c.bools, 0)
			}
			if v.Bool() {
				c.bools[c.nbools/8] |= 1 << (c.nbools % 8)
			}
			c.nbools++
		}
	}
	return nil
}

func broken(format string, args ...any) error {
	return &hotreader.Error{Op: "wire: encode a row", Code: hotreader.CodeInternal, Err: fmt.Errorf(format, args...)}
}

func (s *encoding) check(row hotreader.Row) error {
	if len(row.Values) != len(s.cols) {
		return broken("it has %d values for %d columns", len(row.Values), len(s.cols))
	}
	sec := row.Time.Unix()
	if sec < firstSecond || sec > lastSecond {
		return broken("its time is in the year %d", row.Time.UTC().Year())
	}
	if s.total > 0 && !s.behind(sec, int64(row.Time.Nanosecond())) {
		return broken("its time %s does not come behind %s", row.Time.UTC().Format(time.RFC3339Nano), time.Unix(s.last, s.lastNanos).UTC().Format(time.RFC3339Nano))
	}
	size := 0
	for _, v := range row.Values {
		size += len(v.Text())
	}
	if size > MaxRowBytes {
		return &hotreader.Error{Op: "wire: encode a row", Code: hotreader.CodeTooLarge,
			Err: fmt.Errorf("the row at %s has %d bytes, at most %d cross to another cloud", row.Time.UTC().Format(time.RFC3339Nano), size, MaxRowBytes)}
	}
	return nil
}

// behind reports whether an instant comes behind the last row's.
func (s *encoding) behind(sec, nanos int64) bool {
	if sec == s.last {
		return nanos != s.lastNanos && nanos > s.lastNanos != s.descending
	}
	return sec > s.last != s.descending
}

// farApart reports whether nanoseconds between two seconds may not fit a frame.
func farApart(a, b int64) bool {
	const far = 1 << 62 / 1_000_000_000
	d := b - a
	return d > far || d < -far
}

const (
	rowRoom   = 16 // of a row beside its text: time, kinds
	valueRoom = 4  // of a value beside its text
)

// Bound returns more bytes than a row takes on the wire.
func Bound(row hotreader.Row) int {
	n := rowRoom + valueRoom*len(row.Values)
	for _, v := range row.Values {
		n += len(v.Text())
	}
	return n
}

// Bound returns more bytes than the stream would have if it ended now, but for
// its header, its end and some for each frame.
func (e *Encoder) Bound() int { return e.s.sent + e.s.bound }

// Flush writes the rows that wait for a full frame, if any.
func (e *Encoder) Flush() error {
	s := e.s
	if s.err != nil || len(s.seconds) == 0 {
		return s.err
	}
	rows := len(s.seconds)
	s.frame = binary.AppendUvarint(s.frame[:0], uint64(rows))
	s.frame = s.times(s.frame)
	for i := range s.cols {
		s.frame = s.column(s.frame, &s.cols[i], rows)
	}
	s.write(e.w, frameRows)
	s.reset()
	return s.err
}

// End writes the rows that wait and the end mark. more tells that a budget cut
// the answer short, behind its last row; there must be one.
func (e *Encoder) End(more bool) error {
	if err := e.Flush(); err != nil {
		return err
	}
	s := e.s
	if more && s.total == 0 {
		return broken("there is more, but nothing it is behind")
	}
	var flags byte
	if more {
		flags |= flagMore
	}
	s.frame = append(binary.AppendUvarint(s.frame[:0], s.total), flags)
	s.frame = s.appendWarnings(s.frame)
	s.write(e.w, frameEnd)
	return s.finish()
}

// Warn gives the end mark the warnings that the answer comes with.
func (e *Encoder) Warn(all []hotreader.Warning) { e.s.warnings = all }

func (s *encoding) appendWarnings(dst []byte) []byte {
	all := s.warnings[:min(len(s.warnings), maxWarnings)]
	dst = binary.AppendUvarint(dst, uint64(len(all)))
	for _, w := range all {
		dst = binary.AppendUvarint(dst, uint64(slices.Index(s.columns, w.Property)+1))
		dst = appendBytes(dst, []byte(w.Reason))
		dst = binary.AppendUvarint(dst, uint64(w.Count))
		dst = appendBytes(dst, []byte(clip(w.Detail, maxDetail)))
	}
	return dst
}

// Fail writes the rows that wait, and err as their end: its code, retry-after,
// and, where the cause is the caller's, its words.
func (e *Encoder) Fail(err error) error {
	if ferr := e.Flush(); ferr != nil {
		return ferr
	}
	s := e.s
	p := NewProblem(err, "")
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	s.frame = appendBytes(s.frame[:0], []byte(p.Code))
	s.frame = binary.AppendUvarint(s.frame, uint64(max(p.RetryAfter, 0)/time.Millisecond))
	s.frame = appendBytes(s.frame, []byte(text))
	s.write(e.w, frameError)
	return s.finish()
}

func (s *encoding) finish() error {
	if s.err != nil {
		return s.err
	}
	s.err = &hotreader.Error{Op: "wire: encode", Code: hotreader.CodeInternal, Err: fmt.Errorf("the stream has ended")}
	return nil
}

// Close releases the Encoder, whose methods must not be called any more. It
// writes nothing: a stream without End or Fail is a broken one.
func (e *Encoder) Close() {
	s := e.s
	if s == nil {
		return
	}
	e.s = nil
	packers.Put(s.p)
	s.p = nil
	const keep = 16 << 20
	if s.size()+cap(s.out)+cap(s.frame)+8*cap(s.gaps) <= keep {
		encodings.Put(s)
	}
}

func (s *encoding) size() int {
	n := 8 * (cap(s.seconds) + cap(s.nanos))
	for _, c := range s.cols[:cap(s.cols)] {
		n += cap(c.kinds) + cap(c.text) + 8*cap(c.lengths) + 16*cap(c.nums.all) + cap(c.nums.text) + 8*cap(c.nums.m) + cap(c.nums.buf)
	}
	return n
}

// write sends s.frame as a frame of that type, behind the header if it is the
// first.
func (s *encoding) write(w io.Writer, kind byte) {
	out := s.out[:0]
	if !s.began {
		s.began = true
		var flags byte
		if s.descending {
			flags |= flagDescending
		}
		out = append(append(out, magic...), Version, flags, byte(len(s.cols)))
		s.crc = crc32.Update(0, castagnoli, out)
		out = binary.LittleEndian.AppendUint32(out, s.crc)
	}
	at := len(out)
	out = appendBytes(append(out, kind), s.frame)
	s.crc = crc32.Update(s.crc, castagnoli, out[at:])
	out = binary.LittleEndian.AppendUint32(out, s.crc)
	s.out = out
	s.sent += len(out)
	if _, err := w.Write(out); err != nil {
		code := hotreader.CodeOf(err)
		if code == hotreader.CodeInternal { // not an error of ours: the connection's
			code = hotreader.CodeUnavailable
		}
		s.err = &hotreader.Error{Op: "wire: send", Code: code, Err: err}
	}
}

// times appends the first row's time, and the gaps between rows as multiples of
// a unit that they share.
func (s *encoding) times(dst []byte) []byte {
	dst = binary.AppendVarint(dst, s.seconds[0])
	dst = binary.AppendUvarint(dst, uint64(s.nanos[0]))
	if len(s.seconds) == 1 {
		return dst
	}
	s.gaps = s.gaps[:0]
	unit, before := int64(0), int64(0)
	for i := 1; i < len(s.seconds); i++ {
		gap := (s.seconds[i]-s.seconds[i-1])*1_000_000_000 + s.nanos[i] - s.nanos[i-1]
		if s.descending {
			gap = -gap
		}
		s.gaps = append(s.gaps, gap)
		if gap == before { // as most are, and a division is slow
			continue
		}
		before = gap
		for a := gap; a != 0; {
			unit, a = a, unit%a
		}
	}
	before = 0
	times := int64(0)
	for i, gap := range s.gaps {
		if gap != before {
			before, times = gap, gap/unit
		}
		s.gaps[i] = times
	}
	dst = binary.AppendUvarint(dst, uint64(unit))
	return s.ints.append(dst, s.gaps, s.p)
}

// column appends one column of n rows.
func (s *encoding) column(dst []byte, c *column, n int) []byte {
	var counts [4]int
	for k := range counts {
		counts[k] = bytes.Count(c.kinds, []byte{byte(k)})
	}
	switch present := n - counts[hotreader.Null]; present {
	case 0:
		return append(dst, presentNone)
	case n:
		dst = append(dst, presentAll)
	default:
		dst = append(dst, presentMap)
		s.out = s.out[:0] // write has not begun
		for i, k := range c.kinds {
			if i%8 == 0 {
				s.out = append(s.out, 0)
			}
			if hotreader.Kind(k) != hotreader.Null {
				s.out[i/8] |= 1 << (i % 8)
			}
		}
		dst = s.p.pack(dst, s.out, false)
	}
	only := byte(kindsMixed)
	for k, count := range counts[1:] {
		if count == n-counts[hotreader.Null] {
			only = byte(k + 1)
		}
	}
	dst = append(dst, only)
	if only == kindsMixed {
		s.out = s.out[:0]
		for _, k := range c.kinds {
			if hotreader.Kind(k) != hotreader.Null {
				s.out = append(s.out, k)
			}
		}
		dst = s.p.pack(dst, s.out, false)
	}
	if counts[hotreader.Bool] > 0 {
		dst = s.p.pack(dst, c.bools, false)
	}
	if counts[hotreader.Number] > 0 {
		dst = c.nums.appendTo(dst, &s.ints, s.p)
	}
	if counts[hotreader.String] > 0 {
		dst = appendTexts(dst, c.text, c.lengths, &s.ints, s.p)
	}
	return dst
}
