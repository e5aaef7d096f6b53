package boltstore

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"hotreader"
)

var base = time.Date(2024, time.February, 28, 23, 59, 0, 0, time.UTC)

// rowsOf returns n entries a step apart, with two properties each.
func rowsOf(n int, step time.Duration) []entry {
	var rows []entry
	for i := range n {
		body := appendValue(nil, hotreader.NumberValue([]byte(fmt.Sprintf("%d.%08d", 60+i%40, i*7919%100_000_000))))
		body = appendValue(body, hotreader.BoolValue(i%2 == 0))
		rows = append(rows, entry{base.Add(time.Duration(i) * step), []uint64{0, 1}, body})
	}
	return rows
}

func blocksOf(rows []entry, packed bool) (blocks [][]byte) {
	for _, block := range encode(rows, packed) {
		blocks = append(blocks, block)
	}
	return blocks
}

func entriesOf(t testing.TB, blocks [][]byte) (rows []entry) {
	t.Helper()
	for i, b := range blocks {
		more, err := new(decoder).decode(b)
		if err != nil {
			t.Fatalf("block %d: %v", i, err)
		}
		rows = append(rows, more...)
	}
	return rows
}

func sameEntries(a, b []entry) bool {
	return slices.EqualFunc(a, b, func(x, y entry) bool {
		return x.time.Equal(y.time) && slices.Equal(x.ids, y.ids) && bytes.Equal(x.body, y.body)
	})
}

// TestBlockBytes pins the format: files written by one version are read by all
// later ones.
func TestBlockBytes(t *testing.T) {
	rows := []entry{
		{base, []uint64{0, 300}, appendValue(appendValue(nil, hotreader.NumberValue([]byte("-1.50"))), hotreader.StringValue([]byte("é")))},
		{base.Add(time.Second), []uint64{0, 300}, appendValue(appendValue(nil, hotreader.NumberValue([]byte("2"))), hotreader.StringValue(nil))},
		{base.Add(5*time.Minute + time.Millisecond), []uint64{1}, appendValue(nil, hotreader.BoolValue(true))},
		{base.Add(6 * time.Minute), nil, nil},
	}
	blocks := blocksOf(rows, true)
	if len(blocks) != 1 {
		t.Fatalf("%d blocks, want 1", len(blocks))
	}
	const value = "02" + "8000000065dfc8c4" + "00000000" + "04" + // milliseconds, from 2024-02-28T23:59:00Z, 4 rows
		"00" + "0300ac02" + "16" + "2d312e3530" + "0b" + "c3a9" + // at once, two properties 0 and 300, -1.50 and é
		"e807" + "00" + "06" + "32" + "03" + // 1,000 later, the same two, 2 and an empty text
		"f99f12" + "0201" + "05" + // 299,001 later, one property 1, true
		"dfd403" + "01" // 59,999 later, none
	if got := hex.EncodeToString(blocks[0]); got != value {
		t.Errorf("the block is\n%s, want\n%s", got, value)
	}
	if !sameEntries(entriesOf(t, blocks), rows) {
		t.Error("the block does not read back as it was")
	}
}

func TestTimesSortAsBytes(t *testing.T) {
	times := []time.Time{
		time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(1899, 12, 31, 0, 0, 0, 5, time.UTC),
		time.Unix(-1, 999_999_999), time.Unix(0, 0), time.Unix(0, 1), base, base.Add(1), base.Add(time.Second),
		time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
	}
	var before []byte
	var list refs
	for i, tm := range times {
		b := appendTime(nil, tm)
		if bytes.Compare(before, b) >= 0 {
			t.Errorf("%v does not sort behind the time before", tm)
		}
		if got := timeOf(b); !validTime(b) || !got.Equal(tm) || got.Location() != time.UTC {
			t.Errorf("%v reads as %v, valid %t", tm, got, validTime(b))
		}
		if got := list.floor(tm); got != i-1 {
			t.Errorf("the entry before %v is %d, want %d", tm, got, i-1)
		}
		r := ref{tm.UTC(), uint32(i), ^uint32(i)}
		list = appendRef(list, r)
		if got := list.at(i); got != r {
			t.Errorf("%v reads as %v", r, got)
		}
		if got := list.floor(tm); got != i || list.len() != i+1 {
			t.Errorf("the entry up to %v is %d of %d, want %d", tm, got, list.len(), i)
		}
		before = b
	}
	for _, bad := range [][]byte{appendTime(nil, time.Unix(lastSecond+1, 0)), appendTime(nil, time.Unix(firstSecond-1, 0)), append(appendTime(nil, base)[:8], 0xff, 0xff, 0xff, 0xff)} {
		if validTime(bad) {
			t.Errorf("%x is taken for a time", bad)
		}
	}
}

func TestBlocksOfUnevenRows(t *testing.T) {
	long := appendValue(nil, hotreader.StringValue(bytes.Repeat([]byte("x"), 3*blockBytes)))
	var many []uint64
	var manyBody []byte
	for i := range 500 {
		many = append(many, uint64(i*100))
		manyBody = appendValue(manyBody, hotreader.NumberValue(strconv.AppendInt(nil, int64(i), 10)))
	}
	for name, rows := range map[string][]entry{
		"one":             rowsOf(1, 1),
		"nanoseconds":     rowsOf(1000, 1),
		"odd steps":       rowsOf(1000, 333_333_333),
		"an age apart":    rowsOf(4, longestGap+1),
		"half an age":     rowsOf(4, longestGap),
		"long rows":       {{base, []uint64{2}, long}, {base.Add(1), []uint64{2}, long}, {base.Add(2), nil, nil}},
		"many properties": {{base, many, manyBody}, {base.Add(1), many, manyBody}, {base.Add(2), many[:1], manyBody[:2]}},
		"from the year 0": {{time.Unix(firstSecond, 0).UTC(), nil, nil}, {base, nil, nil}, {time.Unix(lastSecond, 999_999_999).UTC(), nil, nil}},
	} {
		for _, packed := range []bool{true, false} {
			blocks := blocksOf(rows, packed)
			if !sameEntries(entriesOf(t, blocks), rows) {
				t.Errorf("%s, packed %t: the blocks do not read back as they were", name, packed)
			}
			for _, b := range blocks {
				if len(b) > blockBytes && len(entriesOf(t, [][]byte{b})) > 1 {
					t.Errorf("%s, packed %t: a block has %d bytes", name, packed, len(b))
				}
			}
		}
	}
}

// TestMalformedBlocks: whatever the checksum says.
func TestMalformedBlocks(t *testing.T) {
	head := func(unit byte, first time.Time, rest ...byte) []byte {
		return append(appendTime([]byte{unit}, first), rest...)
	}
	long := binary.AppendUvarint([]byte{2, 0, 2, 0}, mostShared<<2|uint64(hotreader.String))
	long = append(append(long, make([]byte, mostShared)...), 1, 1)
	for what, block := range map[string][]byte{
		"nothing":                        nil,
		"no rows":                        head(0, base, 0),
		"an unknown unit":                head(4, base, 1, 0, 1),
		"a time before the year 0":       head(0, time.Unix(firstSecond-1, 0), 1, 0, 1),
		"a time after the year 9999":     head(0, time.Unix(lastSecond+1, 0), 1, 0, 1),
		"rows that go past 9999":         head(3, time.Unix(lastSecond, 0), 2, 0, 1, 1, 0),
		"more rows than there is room":   head(0, base, 0xff, 0xff, 0xff, 0x7f, 0, 1),
		"a number that does not end":     head(0, base, 1, 0xff),
		"two rows at one instant":        head(0, base, 2, 0, 1, 0, 0),
		"a first row that is later":      head(0, base, 1, 1, 1),
		"rows too far apart":             head(3, base, 2, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0),
		"no shape to repeat":             head(0, base, 1, 0, 0),
		"more properties than there are": head(0, base, 1, 0, 0xff, 0x7f, 0),
		"a value missing":                head(0, base, 1, 0, 2, 0),
		"a value of kind 0":              head(0, base, 1, 0, 2, 0, 0),
		"a boolean of 2":                 head(0, base, 1, 0, 2, 0, 2<<2|1),
		"a text longer than the block":   head(0, base, 1, 0, 2, 0, 9<<2|3, 'x'),
		"bytes after the last row":       head(0, base, 1, 0, 1, 0),
		"a block too large for its rows": head(0, base, long...),
	} {
		if rows, err := new(decoder).decode(block); err != errForm {
			t.Errorf("%s: %d rows, %v", what, len(rows), err)
		}
	}
}

// FuzzBlock gives the decoder any bytes, as if their checksum fitted. What it
// accepts must be in order, come out the same when it is written and read again,
// and have only values that Write would have taken.
func FuzzBlock(f *testing.F) {
	for _, rows := range [][]entry{rowsOf(3, time.Second), rowsOf(40, 1), rowsOf(1, 1), {{base, nil, nil}, {base.Add(longestGap), []uint64{7, 1 << 20}, []byte{3, 2}}}} {
		f.Add(blocksOf(rows, true)[0])
	}
	f.Add(append(appendTime([]byte{0}, base), 1, 0, 1))
	f.Add(append(appendTime([]byte{3}, base), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0))
	f.Add(append(appendTime([]byte{0}, base), 2, 0, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01))
	f.Add(append(appendTime([]byte{0}, base), 1, 0, 2, 0, 2<<2|2, '1', 'e'))
	f.Add(append(appendTime([]byte{0}, base), 1, 0, 2, 0, 1<<2|3, 0xff))
	f.Fuzz(func(t *testing.T, block []byte) {
		rows, err := new(decoder).decode(block)
		if err != nil {
			return
		}
		for i := 1; i < len(rows); i++ {
			if !rows[i-1].time.Before(rows[i].time) {
				t.Fatalf("row %d at %v is not behind %v", i, rows[i].time, rows[i-1].time)
			}
		}
		if again := entriesOf(t, blocksOf(rows, true)); !sameEntries(again, rows) {
			t.Fatalf("%d rows come out as %d others", len(rows), len(again))
		}
		names := []string{"a", "b", "c"}
		values := make([]hotreader.Value, len(names))
		for _, r := range rows {
			if err := r.values([]int{0, 2, -1, 1}, values); err != nil {
				continue
			}
			record := hotreader.Record{Time: r.time}
			for i, v := range values {
				record.Fields = append(record.Fields, hotreader.Field{Name: names[i], Value: v})
			}
			if err := hotreader.CheckRecords("d", []hotreader.Record{record}); err != nil && !r.time.IsZero() {
				t.Fatalf("a row that Write refuses: %v", err)
			}
		}
	})
}
