package boltstore

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"hash/crc32"
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

type block struct {
	first time.Time
	value []byte
}

func blocksOf(t testing.TB, rows []entry, packed bool) (blocks []block) {
	t.Helper()
	err := encode(rows, packed, func(first time.Time, value []byte) error {
		blocks = append(blocks, block{first, value})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return blocks
}

func entriesOf(t testing.TB, blocks []block) (rows []entry) {
	t.Helper()
	var d decoder
	for _, b := range blocks {
		var err error
		if rows, err = d.entries(rows, b.value); err != nil {
			t.Fatalf("block at %v: %v", b.first, err)
		}
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
	blocks := blocksOf(t, rows, true)
	if len(blocks) != 1 {
		t.Fatalf("%d blocks, want 1", len(blocks))
	}
	const value = "02" + "8000000065dfc8c4" + "00000000" + "04" + // milliseconds, from 2024-02-28T23:59:00Z, 4 rows
		"00" + "0300ac02" + "16" + "2d312e3530" + "0b" + "c3a9" + // at once, two properties 0 and 300, -1.50 and é
		"e807" + "00" + "06" + "32" + "03" + // 1,000 later, the same two, 2 and an empty text
		"f99f12" + "0201" + "05" + // 299,001 later, one property 1, true
		"dfd403" + "01" // 59,999 later, none
	if !blocks[0].first.Equal(base) {
		t.Errorf("the block is said to begin at %v", blocks[0].first)
	}
	if got := hex.EncodeToString(blocks[0].value); got != value {
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

// TestChecksum pins what is covered, and how.
func TestChecksum(t *testing.T) {
	k := keyOf(blockKind, 1, 258)
	if got := hex.EncodeToString(k[:]); got != "72"+"00000001"+"00000102" {
		t.Errorf("the key is %s", got)
	}
	if got := checksum("1234", key{'5', '6', '7', '8', '9', 0, 0, 0, 0}, nil); got != crc32.Checksum([]byte("123456789\x00\x00\x00\x00"), castagnoli) {
		t.Errorf("%#x is no CRC-32C", got)
	}
	if got := checksum("123456789", key{}, []byte("value")); got != crc32.Checksum([]byte("123456789"+"\x00\x00\x00\x00\x00\x00\x00\x00\x00"+"value"), castagnoli) {
		t.Errorf("%#x is no CRC-32C", got)
	}
}

func TestBlocksAreFilled(t *testing.T) {
	for _, packed := range []bool{true, false} {
		rows := rowsOf(10_000, 5*time.Minute)
		blocks := blocksOf(t, rows, packed)
		total := 0
		for i, b := range blocks {
			if len(b.value) > blockBytes {
				t.Errorf("packed %t: block %d has %d bytes, at most %d are allowed", packed, i, len(b.value), blockBytes)
			}
			if least := blockBytes * 9 / 10; len(b.value) < least && !(packed && i == len(blocks)-1) {
				t.Errorf("packed %t: block %d of %d has only %d bytes, want %d", packed, i, len(blocks), len(b.value), least)
			}
			total += len(b.value)
		}
		if perRow := float64(total) / float64(len(rows)); perRow > 18 { // 11 digits, a boolean, and what goes with them
			t.Errorf("packed %t: a row takes %.1f bytes", packed, perRow)
		}
		if !sameEntries(entriesOf(t, blocks), rows) {
			t.Errorf("packed %t: the blocks do not read back as they were", packed)
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
			if !sameEntries(entriesOf(t, blocksOf(t, rows, packed)), rows) {
				t.Errorf("%s, packed %t: the blocks do not read back as they were", name, packed)
			}
		}
	}
}

func TestMerge(t *testing.T) {
	e := func(n int, body string) entry { return entry{base.Add(time.Duration(n)), nil, []byte(body)} }
	for _, c := range []struct{ older, later, want []entry }{
		{nil, []entry{e(1, "b")}, []entry{e(1, "b")}},
		{[]entry{e(1, "a")}, []entry{e(1, "b")}, []entry{e(1, "b")}},
		{[]entry{e(1, "a"), e(3, "a")}, []entry{e(2, "b"), e(3, "b"), e(4, "b")}, []entry{e(1, "a"), e(2, "b"), e(3, "b"), e(4, "b")}},
		{[]entry{e(5, "a")}, []entry{e(1, "b"), e(2, "b")}, []entry{e(1, "b"), e(2, "b"), e(5, "a")}},
		{[]entry{e(1, "a")}, []entry{e(5, "b")}, []entry{e(1, "a"), e(5, "b")}},
	} {
		if got := merge(c.older, c.later); !sameEntries(got, c.want) {
			t.Errorf("merge(%v, %v) = %v, want %v", c.older, c.later, got, c.want)
		}
	}
}

// FuzzBlock gives the decoder any bytes, as if their checksum fitted. What it accepts must read the same in both directions, and
// come out the same when it is written and read again.
func FuzzBlock(f *testing.F) {
	for _, rows := range [][]entry{rowsOf(3, time.Second), rowsOf(40, 1), rowsOf(1, 1), {{base, nil, nil}, {base.Add(longestGap), []uint64{7, 1 << 20}, []byte{3, 2}}}} {
		b := blocksOf(f, rows, true)[0]
		f.Add(b.value)
	}
	f.Add(append(appendTime([]byte{0}, base), 1, 0, 1))
	f.Add(append(appendTime([]byte{3}, base), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0))
	f.Add(append(appendTime([]byte{0}, base), 2, 0, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01))
	f.Fuzz(func(t *testing.T, value []byte) {
		var d decoder
		rows, err := d.entries(nil, value)
		if err == nil {
			for i := 1; i < len(rows); i++ {
				if !rows[i-1].time.Before(rows[i].time) {
					t.Fatalf("row %d at %v is not behind %v", i, rows[i].time, rows[i-1].time)
				}
			}
			if again := entriesOf(t, blocksOf(t, rows, true)); !sameEntries(again, rows) {
				t.Fatalf("%d rows come out as %d others", len(rows), len(again))
			}
		}
		up, upErr := scanBlock(t, value, false)
		down, downErr := scanBlock(t, value, true)
		if (upErr != nil) != (err != nil) || (downErr != nil) != (err != nil) {
			t.Fatalf("decoding says %v, reading %v, backwards %v", err, upErr, downErr)
		}
		if slices.Reverse(down); err == nil && !slices.Equal(up, down) {
			t.Fatalf("forwards\n%q, backwards\n%q", up, down)
		}
	})
}

// scanBlock reads a block as Read does, and returns its rows as text. All
// properties are declared, so that the order does not matter.
func scanBlock(t *testing.T, value []byte, descending bool) (rows []string, err error) {
	q := hotreader.Query{Device: "d", Properties: []string{"a", "b", "c"}}
	for range q.Properties {
		q.Types = append(q.Types, hotreader.AnyString)
	}
	sieve, err := hotreader.NewSieve(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	sc := &scan{table: []int{0, 2, -1, 1}, values: make([]hotreader.Value, len(q.Properties))}
	_, err = sc.block(&q, sieve, value, descending, func(r hotreader.Row, _ error) bool {
		rows = append(rows, fmt.Sprint(r.Time.UnixNano(), r.Values))
		return true
	})
	return rows, err
}
