package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"hotreader"
)

// Decoder reads a stream of rows. It is not safe for concurrent use.
type Decoder struct {
	s *decoderState // nil after Close
}

// decoderState is a Decoder's state, whose buffers the next Decoder reuses.
type decoderState struct {
	r          *bufio.Reader
	c          cursor
	frame      []byte
	n          int // columns
	descending bool
	began      bool // the header has been read
	crc        uint32
	rows, next int    // rows of this frame, and the next one to return
	total      uint64 // rows of all frames
	columns    []string
	warnings   []hotreader.Warning // of the end mark
	started    bool                // a row came
	last       time.Time
	more       bool
	failed     bool
	err        error

	// The frame's rows.
	base   time.Time // of the first row
	gaps   []int64
	offset []int64 // nanoseconds from base, of each further row
	cols   []cells
	values []hotreader.Value
	scaled []int64 // numbers
	steps  []int64 // the correction of each
	sizes  []int64 // of texts
	bools  []byte
	nums   []span
	strs   []span
}

var decoderStates = sync.Pool{New: func() any { return &decoderState{r: bufio.NewReaderSize(nil, 16<<10)} }}

// NewDecoder returns a Decoder of the answer to q. Close must be called.
func NewDecoder(r io.Reader, q hotreader.Query) *Decoder {
	s := decoderStates.Get().(*decoderState)
	s.r.Reset(r)
	s.c.p = packers.Get().(*packer)
	s.columns = q.Columns()
	n := len(s.columns)
	s.n, s.descending = n, q.Backward()
	s.began, s.started, s.more, s.failed, s.err = false, false, false, false, nil
	s.rows, s.next, s.total, s.crc = 0, 0, 0, 0
	s.warnings = nil
	if cap(s.cols) < n {
		s.cols = append(s.cols[:cap(s.cols)], make([]cells, n-cap(s.cols))...)
	}
	s.cols = s.cols[:n]
	s.values = slices.Grow(s.values[:0], n)[:n]
	return &Decoder{s}
}

// Read returns the next row, valid until the next call, or what ended the stream:
// io.EOF after the end mark; the error that the peer sent; or an *hotreader.Error of
// CodeUnavailable if the stream ended without an end mark, CodeCorrupt if it is
// damaged, CodeProtocol if it is not what was asked for.
func (d *Decoder) Read() (hotreader.Row, error) {
	s := d.s
	for s.next == s.rows {
		if s.err == nil {
			s.readFrame()
		}
		if s.err != nil {
			return hotreader.Row{}, s.err
		}
	}
	i := s.next
	s.next++
	for k := range s.cols {
		c := &s.cols[k]
		switch kind := hotreader.Kind(c.kinds[i]); kind {
		case hotreader.Null:
			s.values[k] = hotreader.Value{}
		case hotreader.Bool:
			s.values[k] = hotreader.BoolValue(c.spans[i].to == 1)
		case hotreader.Number:
			at := c.spans[i]
			s.values[k] = hotreader.NumberValue(c.text[at.from:at.to:at.to])
		case hotreader.String:
			at := c.spans[i]
			s.values[k] = hotreader.StringValue(c.text[at.from:at.to:at.to])
		}
	}
	t := s.base
	if i > 0 {
		t = t.Add(time.Duration(s.offset[i-1]))
	}
	return hotreader.Row{Time: t, Values: s.values}, nil
}

// More reports, after io.EOF, whether the peer's budgets cut the answer short. The
// rest must be asked for, from after the last row.
func (d *Decoder) More() bool { return d.s.more }

// Warnings returns, after io.EOF, the peer's warnings.
func (d *Decoder) Warnings() []hotreader.Warning { return d.s.warnings }

// Failed reports whether the peer sent the error that Read returned.
func (d *Decoder) Failed() bool { return d.s.failed }

// Close releases the Decoder and the last row. No method may be called after it. It
// does not close the reader.
func (d *Decoder) Close() {
	s := d.s
	if s == nil {
		return
	}
	d.s = nil
	packers.Put(s.c.p)
	s.c.p, s.c.b = nil, nil
	s.r.Reset(nil)
	clear(s.values)
	const keep = 16 << 20
	size := cap(s.frame) + cap(s.c.raw) + cap(s.c.bits) + 8*(cap(s.gaps)+cap(s.offset)+cap(s.scaled)+cap(s.steps)+cap(s.sizes)+cap(s.nums)+cap(s.strs))
	for _, c := range s.cols[:cap(s.cols)] {
		size += cap(c.kinds) + 8*cap(c.spans) + cap(c.text)
	}
	if size <= keep {
		decoderStates.Put(s)
	}
}

func (s *decoderState) fail(code hotreader.Code, format string, args ...any) {
	s.err = &hotreader.Error{Op: "wire: decode", Code: code, Err: fmt.Errorf(format, args...)}
}

// brokeOff fails because the stream ended too early.
func (s *decoderState) brokeOff(err error) {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		s.fail(hotreader.CodeUnavailable, "the answer broke off after %d rows, without an end mark", s.total)
		return
	}
	code := hotreader.CodeUnavailable
	if c := hotreader.CodeOf(err); c != hotreader.CodeInternal {
		code = c
	}
	s.fail(code, "the answer broke off after %d rows: %w", s.total, err)
}

func (s *decoderState) readHeader() {
	var h [headerLen]byte
	n, err := io.ReadFull(s.r, h[:])
	switch {
	case n > 0 && string(h[:min(n, len(magic))]) != magic[:min(n, len(magic))]:
		s.fail(hotreader.CodeProtocol, "this is no row stream; it begins with %q", h[:n])
		return
	case err != nil:
		s.brokeOff(err)
		return
	case h[4] != Version:
		s.fail(hotreader.CodeProtocol, "the stream has version %d; expected version %d", h[4], Version)
		return
	}
	at := headerLen - 4
	s.crc = crc32.Update(0, castagnoli, h[:at])
	switch {
	case s.crc != binary.LittleEndian.Uint32(h[at:]):
		s.fail(hotreader.CodeCorrupt, "the header's checksum is wrong")
	case h[5]&^flagDescending != 0:
		s.fail(hotreader.CodeProtocol, "the header has unknown flags %#x", h[5])
	case h[5]&flagDescending != 0 != s.descending:
		s.fail(hotreader.CodeProtocol, "the rows come in the other order than was asked for")
	case int(h[6]) != s.n:
		s.fail(hotreader.CodeProtocol, "the rows have %d columns; %d were asked for", h[6], s.n)
	}
	s.began = true
}

func (s *decoderState) readFrame() {
	if !s.began {
		if s.readHeader(); s.err != nil {
			return
		}
	}
	kind, ok := s.readBody()
	if !ok {
		return
	}
	s.c.b, s.c.bad = s.frame, ""
	switch kind {
	case frameRows:
		s.readRows()
		if s.c.bad == "" && len(s.c.b) > 0 {
			s.c.fail("%d bytes are left over", len(s.c.b))
		}
	case frameEnd:
		s.readEnd()
	case frameError:
		s.readError()
	default:
		s.fail(hotreader.CodeProtocol, "a frame of unknown type %q", kind)
	}
	if s.c.bad != "" {
		s.rows, s.next = 0, 0
		s.fail(hotreader.CodeCorrupt, "the frame after %d rows is damaged: %s", s.total, s.c.bad)
	}
}

// readBody reads a frame's body into s.frame and verifies its checksum. It returns the
// frame's type.
func (s *decoderState) readBody() (kind byte, ok bool) {
	var head [1 + binary.MaxVarintLen32]byte
	n := 0
	for n < 2 || head[n-1] >= 0x80 {
		if n == len(head) {
			s.fail(hotreader.CodeCorrupt, "the frame after %d rows has a broken length", s.total)
			return 0, false
		}
		b, err := s.r.ReadByte()
		if err != nil {
			s.brokeOff(err)
			return 0, false
		}
		head[n] = b
		n++
	}
	size, _ := binary.Uvarint(head[1:n])
	if size > maxFrameBytes {
		s.fail(hotreader.CodeCorrupt, "the frame after %d rows has %d bytes, at most %d are allowed", s.total, size, maxFrameBytes)
		return 0, false
	}
	// The buffer grows as bytes come, so that a false length costs no memory.
	const step = 64 << 10
	s.frame = s.frame[:0]
	for want := int(size) + 4; len(s.frame) < want; {
		at := len(s.frame)
		k := min(want-at, max(step, at))
		s.frame = slices.Grow(s.frame, k)[:at+k]
		if _, err := io.ReadFull(s.r, s.frame[at:]); err != nil {
			s.brokeOff(err)
			return 0, false
		}
	}
	sum := binary.LittleEndian.Uint32(s.frame[size:])
	s.frame = s.frame[:size]
	s.crc = crc32.Update(crc32.Update(s.crc, castagnoli, head[:n]), castagnoli, s.frame)
	if s.crc != sum {
		s.fail(hotreader.CodeCorrupt, "the checksum of the frame after %d rows is wrong", s.total)
		return 0, false
	}
	return head[0], true
}

func (s *decoderState) readEnd() {
	c := &s.c
	total := c.uvarint()
	flags := c.byte()
	s.readWarnings()
	if c.bad != "" {
		return
	}
	if total != s.total {
		s.fail(hotreader.CodeCorrupt, "%d rows came; the end mark says %d", s.total, total)
		return
	}
	s.more = flags&flagMore != 0
	if s.more && total == 0 {
		s.fail(hotreader.CodeProtocol, "the peer says there is more, but sent nothing before it")
		return
	}
	if _, err := s.r.ReadByte(); err == nil {
		s.fail(hotreader.CodeProtocol, "bytes follow the end mark")
		return
	}
	s.err = io.EOF
}

func (s *decoderState) readWarnings() {
	c := &s.c
	for range c.size("the count of warnings", maxWarnings) {
		column := c.size("a column", s.n)
		w := hotreader.Warning{Reason: hotreader.Reason(c.take(c.size("a reason's length", 32)))}
		w.Count = int64(c.size("a count", 1<<40))
		w.Detail = clip(string(c.take(c.size("a detail's length", maxDetail+len("…")))), maxDetail)
		if strings.Trim(string(w.Reason), "abcdefghijklmnopqrstuvwxyz_") != "" { // a peer's text must not forge log lines
			c.fail("a reason is no word")
		}
		if c.bad != "" {
			return
		}
		if column > 0 {
			w.Property = s.columns[column-1]
		}
		s.warnings = append(s.warnings, w)
	}
}

func (s *decoderState) readError() {
	c := &s.c
	code := hotreader.Code(c.take(c.size("a code's length", 64)))
	millis := c.size("a time to wait", int(maxRetryAfter/time.Millisecond))
	text := clip(string(c.take(c.size("a message's length", 16<<10))), maxDetail)
	if c.bad != "" {
		return
	}
	if !slices.Contains(hotreader.Codes(), code) {
		s.fail(hotreader.CodeProtocol, "the peer failed after %d rows with the unknown code %.64q: %s", s.total, code, text)
		return
	}
	s.failed = true
	s.err = &hotreader.Error{Op: "wire: decode", Code: code, Err: fmt.Errorf("the peer failed after %d rows: %s", s.total, text),
		RetryAfter: time.Duration(millis) * time.Millisecond}
}

func (s *decoderState) readRows() {
	c := &s.c
	n := c.size("the count of rows", min(MaxFrameRows, max(maxFrameCells/s.n, 1)))
	if c.bad == "" && n == 0 {
		c.fail("it has no rows")
	}
	s.readTimes(n)
	text := 0
	for i := range s.cols {
		if c.bad != "" {
			return
		}
		s.readColumn(&s.cols[i], n)
		if text += len(s.cols[i].text); text > maxFrameText {
			c.fail("it has more than %d bytes of text", maxFrameText)
		}
	}
	if c.bad != "" {
		return
	}
	s.rows, s.next = n, 0
	s.total += uint64(n)
}

const (
	firstSecond = -62167219200 // 0000-01-01T00:00:00Z
	lastSecond  = 253402300799 // 9999-12-31T23:59:59Z
)

func (s *decoderState) readTimes(n int) {
	c := &s.c
	seconds, nanos := c.varint(), c.uvarint()
	if c.bad != "" {
		return
	}
	if seconds < firstSecond || seconds > lastSecond || nanos > 999_999_999 {
		c.fail("its first time is out of range")
		return
	}
	s.base = time.Unix(seconds, int64(nanos)).UTC()
	order := s.base.Compare(s.last)
	if s.descending {
		order = -order
	}
	if s.started && order <= 0 {
		c.fail("its first time does not come after the last one")
		return
	}
	s.started, s.last = true, s.base
	s.offset = s.offset[:0]
	if n == 1 {
		return
	}
	const far = 1 << 62
	unit := c.uvarint()
	if c.bad == "" && (unit == 0 || unit > far) {
		c.fail("its unit of time is out of range")
	}
	s.gaps = c.ints(s.gaps, n-1)
	if c.bad != "" {
		return
	}
	sum := int64(0)
	for _, gap := range s.gaps {
		if gap < 1 || uint64(gap) > far/unit || sum > far-gap*int64(unit) {
			c.fail("its times are not in order, or too far apart")
			return
		}
		sum += gap * int64(unit)
		if s.descending {
			s.offset = append(s.offset, -sum)
		} else {
			s.offset = append(s.offset, sum)
		}
	}
	s.last = s.base.Add(time.Duration(s.offset[n-2]))
	if u := s.last.Unix(); u < firstSecond || u > lastSecond {
		c.fail("its last time is out of range")
	}
}
