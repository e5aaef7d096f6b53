package boltstore

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
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

type block struct{ key, value []byte }

func blocksOf(t testing.TB, rows []entry, packed bool) (blocks []block) {
	t.Helper()
	err := encode(rows, packed, func(key, value []byte) error {
		blocks = append(blocks, block{key, value})
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
		if rows, err = d.entries(rows, b.key, b.value); err != nil {
			t.Fatalf("block at %x: %v", b.key, err)
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
	const key = "72" + "8000000065dfc8c4" + "00000000" // r, 2024-02-28T23:59:00Z
	const value = "01" + "57888618" +                  // version, checksum
		"02" + "04" + // milliseconds, 4 rows
		"00" + "0300ac02" + "16" + "2d312e3530" + "0b" + "c3a9" + // at the key, two properties 0 and 300, -1.50 and é
		"e807" + "00" + "06" + "32" + "03" + // 1,000 later, the same two, 2 and an empty text
		"f99f12" + "0201" + "05" + // 299,001 later, one property 1, true
		"dfd403" + "01" // 59,999 later, none
	if got := hex.EncodeToString(blocks[0].key); got != key {
		t.Errorf("the key is\n%s, want\n%s", got, key)
	}
	if got := hex.EncodeToString(blocks[0].value); got != value {
		t.Errorf("the block is\n%s, want\n%s", got, value)
	}
	if !sameEntries(entriesOf(t, blocks), rows) {
		t.Error("the block does not read back as it was")
	}
}

func TestKeysSortAsInstants(t *testing.T) {
	times := []time.Time{
		time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(1899, 12, 31, 0, 0, 0, 5, time.UTC),
		time.Unix(-1, 999_999_999), time.Unix(0, 0), time.Unix(0, 1), base, base.Add(1), base.Add(time.Second),
		time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
	}
	var before []byte
	for _, tm := range times {
		key := appendKey(nil, tm)
		if bytes.Compare(before, key) >= 0 {
			t.Errorf("the key of %v does not sort behind that of the time before", tm)
		}
		if got, ok := keyTime(key); !ok || !got.Equal(tm) || got.Location() != time.UTC {
			t.Errorf("the key of %v reads as %v, %t", tm, got, ok)
		}
		before = key
	}
	for _, bad := range []string{"", "r", "n1234567890ab", "r123456789012345",
		string(appendKey(nil, time.Unix(lastSecond+1, 0))), string(appendKey(nil, time.Unix(firstSecond-1, 0))), string(append(appendKey(nil, base)[:9], 0xff, 0xff, 0xff, 0xff))} {
		if got, ok := keyTime([]byte(bad)); ok {
			t.Errorf("the key %q reads as %v", bad, got)
		}
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

// TestBlockDamage: every byte of a block counts.
func TestBlockDamage(t *testing.T) {
	b := blocksOf(t, rowsOf(50, time.Minute), true)[0]
	var d decoder
	for i := range b.value {
		for _, flip := range []byte{0x01, 0x80, 0xff} {
			value := bytes.Clone(b.value)
			value[i] ^= flip
			if _, err := d.entries(nil, b.key, value); err == nil {
				t.Errorf("byte %d changed by %#x is not noticed", i, flip)
			}
		}
		if _, err := d.entries(nil, b.key, b.value[:i]); err == nil {
			t.Errorf("a block cut at %d is not noticed", i)
		}
	}
	for i := range b.key {
		key := bytes.Clone(b.key)
		key[i] ^= 1
		if _, err := d.entries(nil, key, b.value); err == nil {
			t.Errorf("byte %d of the key changed is not noticed", i)
		}
	}
	if _, err := d.entries(nil, b.key, append(bytes.Clone(b.value), 0)); !errors.Is(err, errCheck) {
		t.Errorf("a byte too many: %v, want %v", err, errCheck)
	}
	newer := bytes.Clone(b.value)
	newer[0] = blockVersion + 1
	if _, err := d.entries(nil, b.key, newer); !errors.Is(err, errVersion) {
		t.Errorf("a later version: %v, want %v", err, errVersion)
	}
}

// FuzzBlock gives the decoder any bytes, with a checksum that fits so that they
// are looked at. What it accepts must read the same in both directions, and
// come out the same when it is written and read again.
func FuzzBlock(f *testing.F) {
	for _, rows := range [][]entry{rowsOf(3, time.Second), rowsOf(40, 1), rowsOf(1, 1), {{base, nil, nil}, {base.Add(longestGap), []uint64{7, 1 << 20}, []byte{3, 2}}}} {
		b := blocksOf(f, rows, true)[0]
		f.Add(b.value[5:])
	}
	f.Add([]byte{0, 1, 0, 1})
	f.Add([]byte{3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0})
	f.Add([]byte{0, 2, 0, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, rest []byte) {
		key := appendKey(nil, base)
		value := append(make([]byte, 5, 5+len(rest)), rest...)
		value[0] = blockVersion
		binary.LittleEndian.PutUint32(value[1:], checksum(key, value))

		var d decoder
		rows, err := d.entries(nil, key, value)
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
		up, upErr := scanBlock(t, key, value, false)
		down, downErr := scanBlock(t, key, value, true)
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
func scanBlock(t *testing.T, key, value []byte, descending bool) (rows []string, err error) {
	q := hotreader.Query{Device: "d", Properties: []string{"a", "b", "c"}}
	for range q.Properties {
		q.Types = append(q.Types, hotreader.AnyString)
	}
	sieve, err := hotreader.NewSieve(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	sc := &scan{table: []int{0, 2, -1, 1}, values: make([]hotreader.Value, len(q.Properties))}
	_, err = sc.block(&q, sieve, key, value, descending, func(r hotreader.Row, _ error) bool {
		rows = append(rows, fmt.Sprint(r.Time.UnixNano(), r.Values))
		return true
	})
	return rows, err
}
