package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"

	"hotreader"
	"hotreader/test/golden"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func num(digits string) hotreader.Value { return hotreader.NumberValue([]byte(digits)) }
func str(text string) hotreader.Value   { return hotreader.StringValue([]byte(text)) }

var yes, no, null = hotreader.BoolValue(true), hotreader.BoolValue(false), hotreader.Value{}

func query(columns int, order hotreader.Order) hotreader.Query {
	q := hotreader.Query{Device: "d", Order: order}
	for i := range columns {
		q.Properties = append(q.Properties, fmt.Sprintf("p%d", i))
	}
	return q
}

// series returns rows one second apart; row i has the i-th value of each column.
func series(columns ...[]hotreader.Value) []hotreader.Row {
	rows := make([]hotreader.Row, len(columns[0]))
	for i := range rows {
		rows[i].Time = epoch.Add(time.Duration(i) * time.Second)
		for _, c := range columns {
			rows[i].Values = append(rows[i].Values, c[i])
		}
	}
	return rows
}

func encode(t testing.TB, q hotreader.Query, rows []hotreader.Row, more bool) []byte {
	t.Helper()
	var buf bytes.Buffer
	e := NewEncoder(&buf, q)
	defer e.Close()
	for _, row := range rows {
		if err := e.Row(row); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.End(more); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func decode(q hotreader.Query, stream io.Reader) (rows []hotreader.Row, more bool, err error) {
	d := NewDecoder(stream, q)
	defer d.Close()
	for {
		row, err := d.Read()
		if err == io.EOF {
			return rows, d.More(), nil
		}
		if err != nil {
			if _, again := d.Read(); again != err {
				return rows, false, fmt.Errorf("after %w the decoder says %w", err, again)
			}
			return rows, false, err
		}
		rows = append(rows, row.Clone())
	}
}

// same compares texts byte by byte: 1.50 is not 1.5 here.
func same(t testing.TB, got, want []hotreader.Row) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d rows came back, %d were sent", len(got), len(want))
	}
	for i := range want {
		if !got[i].Time.Equal(want[i].Time) || got[i].Time.Location() != time.UTC {
			t.Fatalf("row %d: time %v, want %v", i, got[i].Time, want[i].Time)
		}
		for k, v := range want[i].Values {
			if w := got[i].Values[k]; w.Kind() != v.Kind() || !bytes.Equal(w.Text(), v.Text()) || w.Bool() != v.Bool() {
				t.Fatalf("row %d, column %d: %v came back, %v was sent", i, k, w, v)
			}
		}
	}
}

func roundTrip(t testing.TB, q hotreader.Query, rows []hotreader.Row) []byte {
	t.Helper()
	stream := encode(t, q, rows, false)
	got, _, err := decode(q, bytes.NewReader(stream))
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, rows)
	return stream
}

func TestDigitsComeOutAsTheyWentIn(t *testing.T) {
	long := strings.Repeat("9", 5000)
	for name, digits := range map[string][]string{
		"trailing zeros":       {"1.50", "1.5", "1.500", "2", "2.0", "0", "0.0", "0.00", "100", "1000"},
		"two decimals":         {"1.50", "2.00", "-3.10", "0.05", "-0.05", "99999.99", "0.00"},
		"shortest":             {"1.5", "2", "-3.1", "0.05", "-0.05", "99999.99", "0"},
		"always a decimal":     {"1.5", "2.0", "-3.1", "0.05", "-0.05", "99999.99", "0.0"},
		"exponents":            {"1e5", "1E5", "1e+5", "1.5e-3", "1", "-2e0", "0e0"},
		"negative zero":        {"-0", "0", "-0.0", "-0.00", "1"},
		"38 digits":            {"99999999999999999999999999999999999999", "1", "-0.0000000000000000000000000000000000001"},
		"18 and 19 digits":     {"999999999999999999", "-999999999999999999", "9999999999999999999", "0.999999999999999999", "-9.99999999999999999"},
		"64 bits and beyond":   {"9223372036854775807", "-9223372036854775808", "9223372036854775808", "18446744073709551616", "-1"},
		"scales far apart":     {"123456789012345678", "0.000000000000000001", "1", "0.5"},
		"float noise":          {"74.93588199999998", "74.935882", "75.1", "74.93588200000002", "0.30000000000000004", "0.3"},
		"mostly noise":         {"74.93588199999998", "74.93588200000002", "0.30000000000000004", "1.1"},
		"no float's shortest":  {"74.935882", "74.935883", "74.935881999999982", "74.935884", "74.935885", "74.935886", "74.935887", "74.935888"},
		"noise of nothing":     {"0.00000000000000004", "-0.00000000000000004", "0.1", "0.2"},
		"text after noise":     {"0.30000000000000004", "1e5", "0.3", "0.1", "0.2", "74.9358819999999", "0.7"},
		"longer than any":      {long, "0." + long, "-" + long, "1"},
		"one":                  {"7"},
		"one odd":              {"7e7"},
		"counting":             {"1", "2", "3", "4", "5", "6", "7", "8"},
		"far jumps":            {"0", "999999999999999999", "-999999999999999999", "5", "-999999999999999999"},
		"more decimals sorted": {"0.1", "0.12", "0.123", "0.1234", "0.12345"},
	} {
		t.Run(name, func(t *testing.T) {
			var values []hotreader.Value
			for _, d := range digits {
				values = append(values, num(d))
			}
			roundTrip(t, query(1, hotreader.Ascending), series(values))
			// The same among many others, where they are the exceptions.
			for i := range 300 {
				values = append(values, num(fmt.Sprintf("%d.%02d", 20+i%7, i%100)))
			}
			roundTrip(t, query(1, hotreader.Ascending), series(values))
		})
	}
}

func TestKindsAndGaps(t *testing.T) {
	mixed := []hotreader.Value{num("1"), str("1"), yes, null, no, str(""), num("2.50"), null, str("é\x00\U0001F600"), yes, num("1e5")}
	nulls := make([]hotreader.Value, len(mixed))
	bools := []hotreader.Value{yes, no, yes, yes, no, no, yes, no, yes, yes, no}
	words := []hotreader.Value{str("RUNNING"), str("RUNNING"), str(""), null, str("IDLE"), str("IDLE"), null, str("STOP"), str("a"), str("b"), str("c")}
	sparse := []hotreader.Value{null, null, null, null, null, num("5"), null, null, null, null, null}
	for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
		rows := series(mixed, nulls, bools, words, sparse)
		if order == hotreader.Descending {
			for i := range rows {
				rows[i].Time = epoch.Add(-time.Duration(i*i*i) * time.Millisecond).Add(-time.Duration(i))
			}
		}
		for n := range rows {
			roundTrip(t, query(5, order), rows[:n])
		}
	}
	text := str(strings.Repeat("é", MaxRowBytes/2))
	roundTrip(t, query(1, hotreader.Ascending), series([]hotreader.Value{text, str("x"), text}))
	// Text of every length, and a hundred columns.
	var lengths []hotreader.Value
	for i := range 5000 {
		lengths = append(lengths, str(strings.Repeat("x", i%300)))
	}
	roundTrip(t, query(1, hotreader.Ascending), series(lengths))
	var columns [][]hotreader.Value
	for i := range hotreader.MaxProperties {
		var c []hotreader.Value
		for j := range 3000 {
			c = append(c, hotreader.Int64Value(int64(i*j)))
		}
		columns = append(columns, c)
	}
	roundTrip(t, query(len(columns), hotreader.Ascending), series(columns...))
}

func TestTimes(t *testing.T) {
	for name, times := range map[string][]time.Time{
		"all ages":     {firstTime, time.Time{}, time.Date(1582, 10, 15, 0, 0, 0, 0, time.UTC), time.Unix(-1, 999999999), time.Unix(0, 0), epoch, lastTime},
		"nanoseconds":  {epoch, epoch.Add(1), epoch.Add(2), epoch.Add(1000), epoch.Add(time.Hour)},
		"three units":  {epoch, epoch.Add(6 * time.Second), epoch.Add(16 * time.Second), epoch.Add(31 * time.Second)},
		"two alone":    {firstTime, lastTime},
		"another zone": {epoch.In(time.FixedZone("", 3600)), epoch.Add(time.Minute)},
	} {
		t.Run(name, func(t *testing.T) {
			var up, down []hotreader.Row
			for i := range times {
				up = append(up, hotreader.Row{Time: times[i], Values: []hotreader.Value{num("1")}})
				down = append(down, hotreader.Row{Time: times[len(times)-1-i], Values: []hotreader.Value{num("1")}})
			}
			roundTrip(t, query(1, hotreader.Ascending), up)
			roundTrip(t, query(1, hotreader.Descending), down)
		})
	}
}

// walks returns random walks rounded to two decimals, whose entropy is 0.69 bytes a point.
func walks(n int) []hotreader.Row {
	r := rand.New(rand.NewPCG(1, 2))
	at := [3]float64{20, 60, 5}
	rows := make([]hotreader.Row, n)
	for i := range rows {
		rows[i].Time = epoch.Add(time.Duration(i) * time.Second)
		for k, sigma := range []float64{0.10, 0.30, 0.05} {
			at[k] += r.NormFloat64() * sigma
			rows[i].Values = append(rows[i].Values, num(strconv.FormatFloat(at[k], 'f', 2, 64)))
		}
	}
	return rows
}

// readings returns numbers of eight decimals, without trailing zeros. One in twenty has
// the rounding error of a float64 sum.
func readings(n int) []hotreader.Row {
	r := rand.New(rand.NewPCG(3, 4))
	rows := make([]hotreader.Row, n)
	at := 75.0
	for i := range rows {
		at += r.NormFloat64()
		f := math.Round(at*1e8) / 1e8
		if i%20 == 7 {
			f = math.Nextafter(f, 0)
		}
		rows[i] = hotreader.Row{Time: epoch.Add(time.Duration(i) * 5 * time.Minute), Values: []hotreader.Value{hotreader.Float64Value(f)}}
	}
	return rows
}

// The sizes of streams are promises: they must not grow unnoticed.
func TestBytesPerPoint(t *testing.T) {
	shortest := walks(10000)
	for i := range shortest {
		for k, v := range shortest[i].Values {
			f, _ := v.Float64()
			shortest[i].Values[k] = hotreader.Float64Value(f)
		}
	}
	words := make([]hotreader.Row, 10000)
	for i := range words {
		words[i] = hotreader.Row{Time: epoch.Add(time.Duration(i) * time.Second), Values: []hotreader.Value{str([]string{"RUNNING", "IDLE"}[i/700%2]), hotreader.BoolValue(i%5 > 0)}}
	}
	for _, c := range []struct {
		name string
		rows []hotreader.Row
		most float64
	}{{"two decimals", walks(10000), 0.75}, {"as few decimals as needed", shortest, 0.75}, {"eight decimals", readings(20000), 3.9}, {"words and booleans", words, 0.2}} {
		n := len(c.rows[0].Values)
		stream := roundTrip(t, query(n, hotreader.Ascending), c.rows)
		got := float64(len(stream)) / float64(n*len(c.rows))
		t.Logf("%s: %.3f bytes a point", c.name, got)
		if got > c.most {
			t.Errorf("%s: %.3f bytes a point, at most %.2f were promised", c.name, got, c.most)
		}
	}
}

func TestFirstRowsAreNotHeldBack(t *testing.T) {
	var sizes []int
	w := writerFunc(func(p []byte) (int, error) { sizes = append(sizes, len(p)); return len(p), nil })
	e := NewEncoder(w, query(3, hotreader.Ascending))
	defer e.Close()
	at := map[int]int{} // frames behind each count of rows
	for i, row := range walks(10000) {
		if err := e.Row(row); err != nil {
			t.Fatal(err)
		}
		at[i+1] = len(sizes)
	}
	if err := e.End(false); err != nil {
		t.Fatal(err)
	}
	for rows, frames := range map[int]int{64: 0, 65: 1, 65 + 256: 2, 65 + 256 + 1024: 3, 65 + 256 + 1024 + 4096: 4} {
		if at[rows] != frames {
			t.Errorf("%d frames were written behind %d rows, want %d", at[rows], rows, frames)
		}
	}
	if len(sizes) != 7 { // 64, 256, 1024, 4096, 4096, the rest, the end mark
		t.Errorf("%d writes", len(sizes))
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestNoAllocationPerRow(t *testing.T) {
	rows := walks(20000)
	for i := range rows { // every way a value is kept
		rows[i].Values = append(rows[i].Values, []hotreader.Value{str("RUNNING"), yes, null, num("1e5"), num("0.30000000000000004")}[i%5])
	}
	q := query(4, hotreader.Ascending)
	stream := encode(t, q, rows, false)
	const most = 400 // for 20,000 rows; pools forget now and then, under the race detector more
	if n := testing.AllocsPerRun(5, func() {
		e := NewEncoder(io.Discard, q)
		for _, row := range rows {
			_ = e.Row(row)
		}
		_ = e.End(false)
		e.Close()
	}); n > most {
		t.Errorf("encoding allocates %v times", n)
	}
	if n := testing.AllocsPerRun(5, func() {
		d := NewDecoder(bytes.NewReader(stream), q)
		for {
			if _, err := d.Read(); err != nil {
				break
			}
		}
		d.Close()
	}); n > most {
		t.Errorf("decoding allocates %v times", n)
	}
}

// If a frame cannot be written, the next row returns the error, and so does every later
// call.
func TestFramesThatCannotBeWritten(t *testing.T) {
	boom := errors.New("boom")
	frames, rows := 0, 0
	e := NewEncoder(writerFunc(func(p []byte) (int, error) {
		if frames++; frames == 4 {
			return 0, boom
		}
		return len(p), nil
	}), query(3, hotreader.Ascending))
	defer e.Close()
	var err error
	for _, row := range walks(12000) {
		if err = e.Row(row); err != nil {
			break
		}
		rows++
	}
	if !errors.Is(err, boom) || hotreader.CodeOf(err) != hotreader.CodeUnavailable || rows != 64+256+1024+4096 {
		t.Errorf("%v behind %d rows", err, rows)
	}
	if !errors.Is(e.Flush(), boom) || !errors.Is(e.End(false), boom) || !errors.Is(e.Fail(errors.New("other")), boom) || frames != 4 {
		t.Errorf("it goes on behind a failure: %d frames", frames)
	}
}

// example returns a small stream with every kind of content.
func example() (hotreader.Query, []hotreader.Row) {
	return query(4, hotreader.Ascending), series(
		[]hotreader.Value{num("20.50"), num("20.75"), num("21.00"), num("20.90"), num("1e5"), num("20.95")},
		[]hotreader.Value{str("RUNNING"), str("RUNNING"), null, str("IDLE"), str("é"), str("")},
		[]hotreader.Value{yes, yes, no, yes, null, no},
		[]hotreader.Value{num("0.1"), num("0.2"), num("0.30000000000000004"), str("off"), no, num("0.4")})
}

func TestEveryCutIsAnError(t *testing.T) {
	q, rows := example()
	long := slices.Clone(rows)
	for i := range 200 { // several frames
		long = append(long, hotreader.Row{Time: epoch.Add(time.Hour).Add(time.Duration(i*i) * time.Millisecond), Values: rows[i%len(rows)].Values})
	}
	for _, rows := range [][]hotreader.Row{nil, rows, long} {
		stream := encode(t, q, rows, false)
		if got, _, err := decode(q, iotest.OneByteReader(bytes.NewReader(stream))); err != nil || len(got) != len(rows) {
			t.Fatalf("byte by byte: %d rows, %v", len(got), err)
		}
		for n := range stream {
			got, more, err := decode(q, bytes.NewReader(stream[:n]))
			if hotreader.CodeOf(err) != hotreader.CodeUnavailable || more {
				t.Fatalf("cut at %d of %d: %v", n, len(stream), err)
			}
			if want := fmt.Sprintf("after %d rows", len(got)); !strings.Contains(err.Error(), want) {
				t.Errorf("cut at %d: %v does not say %q", n, err, want)
			}
			same(t, got, rows[:len(got)])
			boom := errors.New("boom")
			if _, _, err := decode(q, io.MultiReader(bytes.NewReader(stream[:n]), iotest.ErrReader(boom))); !errors.Is(err, boom) || hotreader.CodeOf(err) != hotreader.CodeUnavailable {
				t.Fatalf("reset at %d: %v", n, err)
			}
		}
	}
}

func TestEveryFlipIsAnError(t *testing.T) {
	q, rows := example()
	stream := encode(t, q, rows, false)
	for n := range stream {
		for flip := 1; flip < 256; flip++ {
			damaged := bytes.Clone(stream)
			damaged[n] ^= byte(flip)
			got, _, err := decode(q, bytes.NewReader(damaged))
			if err == nil {
				t.Fatalf("byte %d with %#x flipped is not found", n, flip)
			}
			same(t, got, rows[:len(got)])
		}
	}
	for n := range stream { // and every byte lost or doubled
		if _, _, err := decode(q, bytes.NewReader(append(bytes.Clone(stream[:n]), stream[n+1:]...))); err == nil {
			t.Fatalf("byte %d is lost, and it is not found", n)
		}
		if _, _, err := decode(q, bytes.NewReader(append(bytes.Clone(stream[:n+1]), stream[n:]...))); err == nil {
			t.Fatalf("byte %d is doubled, and it is not found", n)
		}
	}
}

// Lost, doubled and exchanged frames are found, since each checksum covers all that came
// before it.
func TestEveryFrameIsNeededInItsPlace(t *testing.T) {
	q := query(3, hotreader.Ascending)
	var parts [][]byte
	e := NewEncoder(writerFunc(func(p []byte) (int, error) { parts = append(parts, bytes.Clone(p)); return len(p), nil }), q)
	defer e.Close()
	for _, row := range walks(1000) {
		_ = e.Row(row)
	}
	_ = e.End(false)
	for i := range parts {
		for j := range parts {
			mixed := append([][]byte(nil), parts...)
			if i == j {
				mixed = append(mixed[:i:i], mixed[i+1:]...)
			} else {
				mixed[i], mixed[j] = mixed[j], mixed[i]
			}
			if _, _, err := decode(q, bytes.NewReader(bytes.Join(mixed, nil))); err == nil {
				t.Errorf("frames %d and %d exchanged (or %d lost), and it is not found", i, j, i)
			}
		}
	}
	if len(parts) != 4 {
		t.Errorf("%d frames", len(parts))
	}
}

// seal makes a stream, with valid checksums, of frames given as type and body.
func seal(columns byte, frames ...string) []byte {
	out := append([]byte(magic), Version, 0, columns)
	crc := crc32.Update(0, castagnoli, out)
	out = binary.LittleEndian.AppendUint32(out, crc)
	for _, f := range frames {
		at := len(out)
		out = appendBytes(append(out, f[0]), []byte(f[1:]))
		crc = crc32.Update(crc, castagnoli, out[at:])
		out = binary.LittleEndian.AppendUint32(out, crc)
	}
	return out
}

// Frames with a valid checksum and invalid content are rejected.
func TestHostileFrames(t *testing.T) {
	u := func(n uint64) string { return string(binary.AppendUvarint(nil, n)) }
	first := "\x00\x00"           // 1970
	ints := "\x01\x00\x03"        // differences, from 0, tokens repeated …
	huge := u(math.MaxUint64 / 2) // where a length is expected
	bomb, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	zeros := bomb.EncodeAll(make([]byte, 64<<20), nil)
	for name, c := range map[string]struct {
		code   hotreader.Code
		frames []string
	}{
		"a length of 2^63":                       {hotreader.CodeCorrupt, []string{"R" + huge}},
		"rows of 2^63":                           {hotreader.CodeCorrupt, []string{"R" + huge + first}},
		"no rows":                                {hotreader.CodeCorrupt, []string{"R\x00" + first}},
		"4097 rows":                              {hotreader.CodeCorrupt, []string{"R" + u(4097) + first + "\x01" + ints + "\x02\x01"}},
		"the year 300000000":                     {hotreader.CodeCorrupt, []string{"R\x01" + huge + "\x00\x01"}},
		"a second of nanoseconds":                {hotreader.CodeCorrupt, []string{"R\x01\x00" + u(1e9) + "\x01"}},
		"no unit":                                {hotreader.CodeCorrupt, []string{"R\x02" + first + "\x00" + "\x00\x02\x03\x00\x01"}},
		"no gap":                                 {hotreader.CodeCorrupt, []string{"R\x02" + first + "\x01" + "\x00\x00\x03\x00\x01"}},
		"a gap back":                             {hotreader.CodeCorrupt, []string{"R\x02" + first + "\x01" + "\x00\x01\x03\x00\x01"}},
		"gaps beyond all time":                   {hotreader.CodeCorrupt, []string{"R\x02" + first + u(1<<62) + "\x00\x08\x03\x00\x01"}},
		"past the year 9999":                     {hotreader.CodeCorrupt, []string{"R\x02" + string(binary.AppendVarint(nil, lastSecond)) + "\x00" + u(2e9) + "\x00\x02\x03\x00\x01"}},
		"a sequence of order 3":                  {hotreader.CodeCorrupt, []string{"R\x02" + first + "\x01" + "\x03\x02\x03\x00\x01"}},
		"bits behind a sequence":                 {hotreader.CodeCorrupt, []string{"R\x02" + first + "\x01" + "\x00\x00\x03\x10\xff\x01"}},
		"an unknown presence":                    {hotreader.CodeCorrupt, []string{"R\x01" + first + "\x07"}},
		"a map of all":                           {hotreader.CodeCorrupt, []string{"R\x01" + first + "\x02\x00\x01\x02" + "\x01\x00\x00\x01\x00\x02\x00\x00"}},
		"a map with bits behind":                 {hotreader.CodeCorrupt, []string{"R\x02" + first + "\x01\x01\x02\x03\x00" + "\x02\x00\xfd"}},
		"an unknown kind":                        {hotreader.CodeCorrupt, []string{"R\x01" + first + "\x00\x05"}},
		"kind null among mixed":                  {hotreader.CodeCorrupt, []string{"R\x01" + first + "\x00\x04\x00\x00"}},
		"bits behind booleans":                   {hotreader.CodeCorrupt, []string{"R\x01" + first + "\x00\x01\x00\xff"}},
		"numbers in another way":                 {hotreader.CodeCorrupt, []string{"R\x01" + first + "\x00\x02\x09"}},
		"19 decimals":                            {hotreader.CodeCorrupt, []string{"R\x01" + first + "\x00\x02\x01\x13\x00\x01\x00\x00\x00"}},
		"more decimals than the scale":           {hotreader.CodeCorrupt, []string{"R\x01" + first + "\x00\x02\x01\x01\x02\x01\x00\x00\x00"}},
		"more corrections than numbers":          {hotreader.CodeCorrupt, []string{"R\x01" + first + "\x00\x02\x01\x01\x00\x01\x00\x00\x02"}},
		"a correction of nothing":                {hotreader.CodeCorrupt, []string{"R\x01" + first + "\x00\x02\x01\x01\x00\x01\x00\x00\x01\x02\x00\x00\x02"}},
		"a correction too far":                   {hotreader.CodeCorrupt, []string{"R\x01" + first + "\x00\x02\x01\x01\x00\x01\x02\x00\x01\x02\x00\x00\x7f"}},
		"a correction out of the column":         {hotreader.CodeCorrupt, []string{"R\x01" + first + "\x00\x02\x01\x01\x00\x01\x02\x00\x01\x02\x00\x01\x02"}},
		"a number that is none":                  {hotreader.CodeCorrupt, []string{"R\x01" + first + "\x00\x02\x00\x00\x01\x06\x00\x00NaN"}},
		"a string that is none":                  {hotreader.CodeCorrupt, []string{"R\x01" + first + "\x00\x03\x00\x01\x02\x00\x00\xff"}},
		"a text of -1 bytes":                     {hotreader.CodeCorrupt, []string{"R\x01" + first + "\x00\x03\x00\x01\x01\x00\x00"}},
		"a text of 2^62 bytes":                   {hotreader.CodeCorrupt, []string{"R\x01" + first + "\x00\x03\x00\x01" + u(1<<63-2) + "\x00\x03x"}},
		"4096 texts of 2 MB":                     {hotreader.CodeCorrupt, []string{"R" + u(4096) + first + "\x01\x00\x02\x03\x00" + "\x00\x03\x00\x00" + u(2<<21) + "\x03\x00\x03x"}},
		"a bomb":                                 {hotreader.CodeCorrupt, []string{"R\x01" + first + "\x00\x03\x00\x01" + u(2<<20) + "\x00\x02" + u(uint64(len(zeros))) + string(zeros)}},
		"a block of unknown kind":                {hotreader.CodeCorrupt, []string{"R\x01" + first + "\x00\x03\x00\x01\x02\x00\x09x"}},
		"a block longer than the frame":          {hotreader.CodeCorrupt, []string{"R\x01" + first + "\x00\x03\x00\x01\x02\x00\x02" + huge}},
		"bytes behind the columns":               {hotreader.CodeCorrupt, []string{"R\x01" + first + "\x01\x00"}},
		"the same instant in two frames":         {hotreader.CodeCorrupt, []string{"R\x01" + first + "\x01", "R\x01" + first + "\x01"}},
		"an end mark of another count":           {hotreader.CodeCorrupt, []string{"R\x01" + first + "\x01", "E\x02\x00\x00"}},
		"an end mark cut":                        {hotreader.CodeCorrupt, []string{"E\x00"}},
		"left out of a column that is not there": {hotreader.CodeCorrupt, []string{"E\x00\x00\x01\x02\x01a\x01"}},
		"left out for no word":                   {hotreader.CodeCorrupt, []string{"E\x00\x00\x01\x00\x02\x1b[\x01"}},
		"more left out than there can be":        {hotreader.CodeCorrupt, []string{"E\x00\x00" + u(1<<20)}},
		"more behind nothing":                    {hotreader.CodeProtocol, []string{"E\x00\x01\x00"}},
		"two end marks":                          {hotreader.CodeProtocol, []string{"E\x00\x00\x00", "E\x00\x00\x00"}},
		"a frame of unknown type":                {hotreader.CodeProtocol, []string{"Q"}},
		"an error of unknown code":               {hotreader.CodeProtocol, []string{"X\x04oops\x00\x00"}},
		"an error cut":                           {hotreader.CodeCorrupt, []string{"X\x05inv"}},
		"a wait of 300 million years":            {hotreader.CodeCorrupt, []string{"X\x05store" + huge + "\x00"}},
	} {
		t.Run(name, func(t *testing.T) {
			stream := seal(1, c.frames...)
			q := query(1, hotreader.Ascending)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, _, err := decode(q, bytes.NewReader(stream))
			runtime.ReadMemStats(&after)
			if hotreader.CodeOf(err) != c.code {
				t.Errorf("error %v, want one of %s", err, c.code)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20 {
				t.Errorf("%d bytes were allocated", n)
			}
		})
	}
	// The frames above are invalid only for the reason named: without it they are valid.
	for _, frames := range [][]string{
		{"R\x01" + first + "\x00\x03\x00\x01\x02\x00\x00x", "E\x01\x00\x00"},
		{"R\x01" + first + "\x00\x02\x01\x01\x00\x01\x02\x00\x01\x02\x00\x00\x02", "E\x01\x00\x00behind it there may be more, one day"},
		{"R\x02" + first + "\x01\x00\x02\x03\x00\x01", "E\x02\x01\x00"},
	} {
		if _, _, err := decode(query(1, hotreader.Ascending), bytes.NewReader(seal(1, frames...))); err != nil {
			t.Errorf("%q: %v", frames, err)
		}
	}
}

// A length of eight megabytes costs only as much memory as bytes come.
func TestPromisedLengthCostsNothing(t *testing.T) {
	stream := append(seal(1), 'R')
	stream = binary.AppendUvarint(stream, maxFrameBytes)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 10 {
		if _, _, err := decode(query(1, hotreader.Ascending), bytes.NewReader(stream)); hotreader.CodeOf(err) != hotreader.CodeUnavailable {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 {
		t.Errorf("%d bytes were allocated for ten", n)
	}
}

func TestHeader(t *testing.T) {
	q := query(2, hotreader.Ascending)
	good := seal(2, "E\x00\x00\x00")
	if _, _, err := decode(q, bytes.NewReader(good)); err != nil {
		t.Fatal(err)
	}
	version := bytes.Clone(good)
	version[4] = 1
	for name, c := range map[string]struct {
		stream []byte
		q      hotreader.Query
		words  string
	}{
		"HTML":               {[]byte("<html><body>Bad gateway</body></html>"), q, "<html>"},
		"a short JSON":       {[]byte("{}"), q, "{}"},
		"another version":    {version, q, "version 2"},
		"other columns":      {good, query(3, hotreader.Ascending), "2 columns; 3 were asked for"},
		"the other order":    {good, query(2, hotreader.Descending), "other order"},
		"descending for ask": {encode(t, query(2, hotreader.Descending), nil, false), q, "other order"},
	} {
		if _, _, err := decode(c.q, bytes.NewReader(c.stream)); hotreader.CodeOf(err) != hotreader.CodeProtocol || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v", name, err)
		}
	}
	last := q
	last.Last = true // newest first
	if _, _, err := decode(last, bytes.NewReader(encode(t, last, nil, false))); err != nil {
		t.Error(err)
	}
}

// What the end mark tells: whether there is more, and what was left out.
func TestEndMark(t *testing.T) {
	q, rows := example()
	for _, want := range [][]hotreader.Warning{nil, {{Property: "", Reason: hotreader.Unreadable, Count: 1, Detail: "item 7 holds \"x\""}},
		{{Property: "", Reason: hotreader.Unreadable, Count: 300}, {Property: q.Properties[0], Reason: hotreader.WrongType, Count: 7}}} {
		var buf bytes.Buffer
		e := NewEncoder(&buf, q)
		_ = e.Row(rows[0])
		e.Warn(want)
		if err := e.End(len(want) > 0); err != nil {
			t.Fatal(err)
		}
		e.Close()
		d := NewDecoder(&buf, q)
		_, first := d.Read()
		_, err := d.Read()
		if got := d.Warnings(); first != nil || !errors.Is(err, io.EOF) || !slices.Equal(got, want) || d.More() != (len(want) > 0) {
			t.Errorf("%v left out, more %v (%v, %v), want %v", got, d.More(), first, err, want)
		}
		d.Close()
	}
	e := NewEncoder(io.Discard, q)
	defer e.Close()
	if err := e.End(true); hotreader.CodeOf(err) != hotreader.CodeInternal {
		t.Errorf("more behind nothing: %v", err)
	}
}

func TestFail(t *testing.T) {
	q, rows := example()
	for _, code := range hotreader.Codes() {
		var buf bytes.Buffer
		e := NewEncoder(&buf, q)
		_ = e.Row(rows[0])
		cause := errors.New("table twin-hot-iot-data in eu-central-1")
		if err := e.Fail(&hotreader.Error{Op: "dynamodb", Code: code, Err: cause, RetryAfter: 1500 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		e.Close()
		got, _, err := decode(q, &buf)
		if len(got) != 1 || hotreader.CodeOf(err) != code {
			t.Errorf("%s: %d rows, %v", code, len(got), err)
		}
		if x, _ := errors.AsType[*hotreader.Error](err); x.RetryAfter != 1500*time.Millisecond {
			t.Errorf("%s: RetryAfter %v", code, x.RetryAfter)
		}
		told := strings.Contains(err.Error(), cause.Error())
		if want := code == hotreader.CodeInvalid || code == hotreader.CodeTooLarge || code == hotreader.CodeUnreadable || code == hotreader.CodeNotRestored; told != want {
			t.Errorf("%s: %v", code, err)
		}
	}
}

func TestEncoderRefusesWhatIsNoRow(t *testing.T) {
	one := []hotreader.Value{num("1")}
	for name, c := range map[string]struct {
		rows []hotreader.Row
		code hotreader.Code
	}{
		"too few values":   {[]hotreader.Row{{Time: epoch}}, hotreader.CodeInternal},
		"the same instant": {[]hotreader.Row{{Time: epoch, Values: one}, {Time: epoch, Values: one}}, hotreader.CodeInternal},
		"an instant back":  {[]hotreader.Row{{Time: epoch, Values: one}, {Time: epoch.Add(-1), Values: one}}, hotreader.CodeInternal},
		"year 10000":       {[]hotreader.Row{{Time: lastTime.Add(1), Values: one}}, hotreader.CodeInternal},
		"year -1":          {[]hotreader.Row{{Time: firstTime.Add(-1), Values: one}}, hotreader.CodeInternal},
		"NaN":              {[]hotreader.Row{{Time: epoch, Values: []hotreader.Value{num("NaN")}}}, hotreader.CodeInternal},
		"01":               {[]hotreader.Row{{Time: epoch, Values: []hotreader.Value{num("01")}}}, hotreader.CodeInternal},
		"1.":               {[]hotreader.Row{{Time: epoch, Values: []hotreader.Value{num("1.")}}}, hotreader.CodeInternal},
		"nothing":          {[]hotreader.Row{{Time: epoch, Values: []hotreader.Value{num("")}}}, hotreader.CodeInternal},
		"no UTF-8":         {[]hotreader.Row{{Time: epoch, Values: []hotreader.Value{str("\xff")}}}, hotreader.CodeInternal},
		"3 MB":             {[]hotreader.Row{{Time: epoch, Values: []hotreader.Value{str(strings.Repeat("x", MaxRowBytes+1))}}}, hotreader.CodeTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			q := query(1, hotreader.Ascending)
			var buf bytes.Buffer
			e := NewEncoder(&buf, q)
			defer e.Close()
			var err error
			for _, row := range c.rows {
				err = e.Row(row)
			}
			if hotreader.CodeOf(err) != c.code {
				t.Errorf("error %v, want one of %s", err, c.code)
			}
			if err := e.Fail(err); err != nil { // which still can be told
				t.Error(err)
			}
			if _, _, err := decode(q, &buf); hotreader.CodeOf(err) != c.code {
				t.Errorf("the peer reads %v, want %s", err, c.code)
			}
		})
	}
	e := NewEncoder(iotest.TruncateWriter(io.Discard, 0), hotreader.Query{})
	defer e.Close()
	if err := e.End(false); hotreader.CodeOf(err) != hotreader.CodeInternal {
		t.Errorf("no columns: %v", err)
	}
}

// Nothing of one stream shows in the next one that reuses its memory.
func TestStreamsSideBySide(t *testing.T) {
	for i := range 8 {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			for k := range 20 {
				roundTrip(t, query(3, hotreader.Ascending), walks(10+i*100+k))
				q, rows := example()
				roundTrip(t, q, rows)
				_, _, _ = decode(q, bytes.NewReader(encode(t, q, rows, false)[:60+k]))
			}
		})
	}
}

var goldens = map[string]func() (hotreader.Query, []hotreader.Row){
	"empty": func() (hotreader.Query, []hotreader.Row) { return query(1, hotreader.Ascending), nil },
	"small": func() (hotreader.Query, []hotreader.Row) {
		return query(1, hotreader.Ascending), series([]hotreader.Value{num("20.50"), num("20.75"), num("21.00")})
	},
	"everything": example,
	"walks":      func() (hotreader.Query, []hotreader.Row) { return query(3, hotreader.Ascending), walks(500) },
	"readings":   func() (hotreader.Query, []hotreader.Row) { return query(1, hotreader.Ascending), readings(500) },
	"descending": func() (hotreader.Query, []hotreader.Row) {
		q := query(2, hotreader.Descending)
		var rows []hotreader.Row
		for i := range 100 {
			rows = append(rows, hotreader.Row{Time: epoch.Add(-time.Duration(i*i) * time.Millisecond), Values: []hotreader.Value{
				str(strings.Repeat("state ", i%7)), []hotreader.Value{num(strconv.Itoa(i)), null, yes}[i%3]}})
		}
		return q, rows
	},
}

// The format on disk is the format: an old peer wrote these files.
func TestGolden(t *testing.T) {
	for name, make := range goldens {
		file := "testdata/" + name + ".rows"
		q, rows := make()
		stream := encode(t, q, rows, len(rows) > 0)
		want := golden.File(t, file, stream)
		got, more, err := decode(q, bytes.NewReader(want))
		if err != nil || more != (len(rows) > 0) {
			t.Fatalf("%s: more %v, %v", name, more, err)
		}
		same(t, got, rows)
	}
}

// FuzzDecoder reads arbitrary bytes, as they are and as frames with valid checksums. Rows
// that the decoder returns must keep the rules.
func FuzzDecoder(f *testing.F) {
	for name := range goldens {
		stream, err := os.ReadFile("testdata/" + name + ".rows")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(stream, byte(0))
		for rest := stream[headerLen:]; len(rest) > 0; {
			size, n := binary.Uvarint(rest[1:])
			body := append([]byte{rest[0]}, rest[1+n:1+n+int(size)]...)
			f.Add(body, stream[6])
			rest = rest[1+n+int(size)+4:]
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, columns byte) {
		if columns > hotreader.MaxProperties {
			return
		}
		stream := data
		if columns > 0 && len(data) > 0 {
			stream = seal(columns, string(data))
		}
		n := int(columns)
		if n == 0 {
			n = 1
			if len(stream) > 6 && stream[6] > 0 && stream[6] <= hotreader.MaxProperties {
				n = int(stream[6])
			}
		}
		q := query(n, hotreader.Ascending)
		if len(stream) > 5 && stream[5]&flagDescending != 0 {
			q.Order = hotreader.Descending
		}
		rows, _, err := decode(q, bytes.NewReader(stream))
		if err != nil {
			if _, ok := errors.AsType[*hotreader.Error](err); !ok {
				t.Fatalf("%T: %v", err, err)
			}
		}
		for i, row := range rows {
			if y := row.Time.Year(); y < 0 || y > 9999 {
				t.Fatalf("row %d of the year %d", i, y)
			}
			if i > 0 && row.Time.After(rows[i-1].Time) == (q.Order == hotreader.Descending) {
				t.Fatalf("row %d is out of order", i)
			}
			for _, v := range row.Values {
				if v.Kind() == hotreader.Number && !hotreader.IsNumber(v.Text()) || v.Kind() == hotreader.String && !utf8.Valid(v.Text()) {
					t.Fatalf("row %d has %v", i, v)
				}
			}
		}
		if len(rows) > 0 {
			roundTrip(t, q, rows)
		}
	})
}

// FuzzRoundTrip makes rows of arbitrary bytes: what goes in comes out.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("20.50|20.75|1e5|-0|0.30000000000000004|74.93588199999998|\xff|true||x|99999999999999999999999999"), uint16(3), int64(1000), false)
	f.Add([]byte("1|2|3|4|5|6|7|8"), uint16(1), int64(1), true)
	f.Add([]byte(strings.Repeat("1.25|1.50|", 200)), uint16(2), int64(math.MaxInt64/300), false)
	f.Fuzz(func(t *testing.T, data []byte, columns uint16, step int64, descending bool) {
		n := int(columns)%hotreader.MaxProperties + 1
		q := query(n, hotreader.Ascending)
		if descending {
			q.Order = hotreader.Descending
		}
		var rows []hotreader.Row
		at := time.Unix(0, 0).UTC()
		values := make([]hotreader.Value, 0, n)
		for part := range bytes.SplitSeq(data, []byte("|")) {
			var v hotreader.Value
			switch {
			case hotreader.IsNumber(part):
				v = hotreader.NumberValue(part)
			case string(part) == "true":
				v = yes
			case len(part) > 0 && utf8.Valid(part):
				v = hotreader.StringValue(part)
			}
			if values = append(values, v); len(values) < n {
				continue
			}
			rows = append(rows, hotreader.Row{Time: at, Values: values})
			values = make([]hotreader.Value, 0, n)
			gap := max(time.Duration(step), 1)
			step = step*3 + 7
			if descending {
				gap = -gap
			}
			next := at.Add(gap)
			if next.Before(firstTime) || next.After(lastTime) || next.Before(at) != descending {
				break
			}
			at = next
		}
		roundTrip(t, q, rows)
	})
}
