package route

import (
	"sync"
	"time"

	"hotreader"
)

// A chunk is full at any of these.
const (
	chunkCells = 1 << 13 // values
	chunkRows  = 1 << 11
	chunkText  = 1 << 17 // bytes; the last row may exceed it
)

// A chunk holds a copy of some rows of a part, value after value.
type chunk struct {
	times []time.Time
	kinds []hotreader.Kind
	ends  []uint32 // where each value ends in text
	text  []byte
}

// chunks keeps chunks for the next read, of any Source.
var chunks = sync.Pool{New: func() any { return new(chunk) }}

func newChunk() *chunk { return chunks.Get().(*chunk) }

func (c *chunk) release() {
	if cap(c.text) > 4*chunkText || cap(c.kinds) > 4*chunkCells {
		return
	}
	c.reset()
	chunks.Put(c)
}

func (c *chunk) reset() {
	c.times, c.kinds, c.ends, c.text = c.times[:0], c.kinds[:0], c.ends[:0], c.text[:0]
}

// size is about how many bytes c holds.
func (c *chunk) size() int { return 24*len(c.times) + 5*len(c.kinds) + len(c.text) }

func (c *chunk) full() bool {
	return len(c.times) >= chunkRows || len(c.kinds) >= chunkCells || len(c.text) >= chunkText
}

// bytes is how much memory c takes.
func (c *chunk) bytes() int64 {
	return int64(24*cap(c.times) + cap(c.kinds) + 4*cap(c.ends) + cap(c.text))
}

func (c *chunk) add(row hotreader.Row) {
	c.times = append(c.times, row.Time)
	for _, v := range row.Values {
		c.kinds = append(c.kinds, v.Kind())
		switch {
		case v.Kind() != hotreader.Bool:
			c.text = append(c.text, v.Text()...)
		case v.Bool():
			c.text = append(c.text, '1')
		default:
			c.text = append(c.text, '0')
		}
		c.ends = append(c.ends, uint32(len(c.text)))
	}
}

// row puts the values of row i into values.
func (c *chunk) row(i int, values []hotreader.Value) {
	i *= len(values)
	from := uint32(0)
	if i > 0 {
		from = c.ends[i-1]
	}
	for k := range values {
		to := c.ends[i+k]
		text := c.text[from:to:to]
		switch c.kinds[i+k] {
		case hotreader.Number:
			values[k] = hotreader.NumberValue(text)
		case hotreader.String:
			values[k] = hotreader.StringValue(text)
		case hotreader.Bool:
			values[k] = hotreader.BoolValue(text[0] == '1')
		default:
			values[k] = hotreader.Value{}
		}
		from = to
	}
}
