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

// Encoder writes rows as a stream. Each frame is one Write, so that a writer can send
// it at once. An Encoder is not safe for concurrent use.
type Encoder struct {
	w io.Writer
	s *encoderState // nil after Close
}

// encoderState is an Encoder's state, whose buffers the next Encoder reuses.
type encoderState struct {
	// The rows of the frame that is being filled.
	cols    []column
	seconds []int64 // of each row's time, since 1970
	nanos   []int64
	text    int // bytes
	bound   int // upper bound of the rows' bytes on the wire

	descending bool
	limit      int // maximum rows of this frame
	most       int // maximum rows of any frame
	sent       int // bytes
	total      uint64
	columns    []string
	warnings   []hotreader.Warning // for the end mark
	last       int64               // second of the last row
	lastNanos  int64
	err        error

	// For writing a frame.
	p     *packer
	ints  intWriter
	gaps  []int64
	out   []byte
	frame []byte
	began bool // the header has been written
	crc   uint32
}

// column collects the values of one column for one frame.
type column struct {
	kinds   []byte
	nums    numbers
	text    []byte
	lengths []int64
	bools   []byte
	nbools  int
}

var encoderStates = sync.Pool{New: func() any { return new(encoderState) }}

// NewEncoder returns an Encoder of the answer to q. It writes nothing before the first
// frame is full or Flush, End or Fail is called. Close must be called.
func NewEncoder(w io.Writer, q hotreader.Query) *Encoder {
	s := encoderStates.Get().(*encoderState)
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

func (s *encoderState) reset() {
	s.seconds, s.nanos, s.text, s.bound = s.seconds[:0], s.nanos[:0], 0, 0
	for i := range s.cols {
		c := &s.cols[i]
		c.kinds, c.text, c.lengths, c.bools, c.nbools = c.kinds[:0], c.text[:0], c.lengths[:0], c.bools[:0], 0
		c.nums.reset()
	}
}

// Row adds a row, which must come after the last one in the query's order. It copies
// what it keeps. An error is an *hotreader.Error: the writer's; or CodeTooLarge for a
// row of more than MaxRowBytes, or CodeInternal for one that breaks the rules of
// hotreader.Row. After the latter two the caller must call Fail.
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
				s.reset() // it holds half of the row
				return invalidRow("%.40q in column %d is no number", text, i+1)
			}
		case hotreader.String:
			if !utf8.Valid(text) {
				s.reset()
				return invalidRow("a string in column %d is not valid UTF-8", i+1)
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

func invalidRow(format string, args ...any) error {
	return &hotreader.Error{Op: "wire: encode a row", Code: hotreader.CodeInternal, Err: fmt.Errorf(format, args...)}
}

func (s *encoderState) check(row hotreader.Row) error {
	if len(row.Values) != len(s.cols) {
		return invalidRow("it has %d values for %d columns", len(row.Values), len(s.cols))
	}
	sec := row.Time.Unix()
	if sec < firstSecond || sec > lastSecond {
		return invalidRow("its time is in the year %d", row.Time.UTC().Year())
	}
	if s.total > 0 && !s.isNext(sec, int64(row.Time.Nanosecond())) {
		return invalidRow("its time %s does not come after %s", row.Time.UTC().Format(time.RFC3339Nano), time.Unix(s.last, s.lastNanos).UTC().Format(time.RFC3339Nano))
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

// isNext reports whether an instant comes after the last row's in the query's order.
func (s *encoderState) isNext(sec, nanos int64) bool {
	if sec == s.last {
		return nanos != s.lastNanos && nanos > s.lastNanos != s.descending
	}
	return sec > s.last != s.descending
}

// farApart reports whether two seconds are too many nanoseconds apart for one frame.
func farApart(a, b int64) bool {
	const far = 1 << 62 / 1_000_000_000
	d := b - a
	return d > far || d < -far
}

const (
	rowRoom   = 16 // bytes of a row besides its text: time, kinds
	valueRoom = 4  // bytes of a value besides its text
)

// Bound returns an upper bound of a row's bytes on the wire.
func Bound(row hotreader.Row) int {
	n := rowRoom + valueRoom*len(row.Values)
	for _, v := range row.Values {
		n += len(v.Text())
	}
	return n
}

// Bound returns an upper bound of the stream's bytes if it ended now, without its
// header, its end mark and some bytes for each frame.
func (e *Encoder) Bound() int { return e.s.sent + e.s.bound }

// Flush writes the buffered rows as a frame, if there are any.
func (e *Encoder) Flush() error {
	s := e.s
	if s.err != nil || len(s.seconds) == 0 {
		return s.err
	}
	rows := len(s.seconds)
	s.frame = binary.AppendUvarint(s.frame[:0], uint64(rows))
	s.frame = s.appendTimes(s.frame)
	for i := range s.cols {
		s.frame = s.appendColumn(s.frame, &s.cols[i], rows)
	}
	s.write(e.w, frameRows)
	s.reset()
	return s.err
}

// End writes the buffered rows and the end mark. more = a budget cut the answer short
// after its last row; there must be one.
func (e *Encoder) End(more bool) error {
	if err := e.Flush(); err != nil {
		return err
	}
	s := e.s
	if more && s.total == 0 {
		return invalidRow("there is more, but nothing before it")
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

// Warn sets the warnings in the end mark.
func (e *Encoder) Warn(all []hotreader.Warning) { e.s.warnings = all }

func (s *encoderState) appendWarnings(dst []byte) []byte {
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

// Fail writes the buffered rows and an error frame: err's code, its RetryAfter and,
// if the caller can change the cause, its text.
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

func (s *encoderState) finish() error {
	if s.err != nil {
		return s.err
	}
	s.err = &hotreader.Error{Op: "wire: encode", Code: hotreader.CodeInternal, Err: fmt.Errorf("the stream has ended")}
	return nil
}

// Close releases the Encoder. No method may be called after it. It writes nothing: the
// peer takes a stream without End or Fail for broken off.
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
		encoderStates.Put(s)
	}
}

func (s *encoderState) size() int {
	n := 8 * (cap(s.seconds) + cap(s.nanos))
	for _, c := range s.cols[:cap(s.cols)] {
		n += cap(c.kinds) + cap(c.text) + 8*cap(c.lengths) + 16*cap(c.nums.all) + cap(c.nums.text) + 8*cap(c.nums.m) + cap(c.nums.buf)
	}
	return n
}

// write writes s.frame as a frame of type kind; before the first one, the header.
func (s *encoderState) write(w io.Writer, kind byte) {
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
		if code == hotreader.CodeInternal { // without a code: the connection's
			code = hotreader.CodeUnavailable
		}
		s.err = &hotreader.Error{Op: "wire: send", Code: code, Err: err}
	}
}

// appendTimes appends the first row's time, and the gaps between rows as multiples of
// their greatest common divisor.
func (s *encoderState) appendTimes(dst []byte) []byte {
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
		if gap == before { // most are, and this saves the slow divisions
			continue
		}
		before = gap
		for a := gap; a != 0; {
			unit, a = a, unit%a
		}
	}
	before = 0
	units := int64(0)
	for i, gap := range s.gaps {
		if gap != before {
			before, units = gap, gap/unit
		}
		s.gaps[i] = units
	}
	dst = binary.AppendUvarint(dst, uint64(unit))
	return s.ints.append(dst, s.gaps, s.p)
}

// appendColumn appends one column of n rows.
func (s *encoderState) appendColumn(dst []byte, c *column, n int) []byte {
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
		s.out = s.out[:0] // free until write
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
