package boltstore

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"hotreader"
)

func openTemp(t testing.TB) *Store {
	t.Helper()
	s := openAt(t, filepath.Join(t.TempDir(), "rows.bolt"))
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

func openAt(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func closeStore(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func mustWrite(t testing.TB, s *Store, device string, records []hotreader.Record) {
	t.Helper()
	if err := s.Write(t.Context(), device, records); err != nil {
		t.Fatal(err)
	}
}

// readings returns rows a minute apart, of about 30 bytes each.
func readings(n int) []hotreader.Record {
	records := make([]hotreader.Record, n)
	for i := range records {
		records[i] = hotreader.Record{Time: base.Add(time.Duration(i) * time.Minute), Fields: []hotreader.Field{
			{Name: "temperature", Value: hotreader.NumberValue(fmt.Appendf(nil, "%d.%08d", 60+i%40, i*7919%100_000_000))},
			{Name: "state", Value: hotreader.StringValue([]byte("running"))},
		}}
	}
	return records
}

// TestBlocksStayFull: however rows come, a scan does not suffer from it.
func TestBlocksStayFull(t *testing.T) {
	const n = 5000
	shuffled := readings(n)
	rand.New(rand.NewPCG(1, 2)).Shuffle(n, func(i, k int) { shuffled[i], shuffled[k] = shuffled[k], shuffled[i] })
	backwards := readings(n)
	slices.Reverse(backwards)
	for _, c := range []struct {
		name    string
		records []hotreader.Record
		batch   int
		full    float64 // of blockBytes, on average
	}{
		{"all at once", readings(n), n, 0.93},
		{"in batches", readings(n), 100, 0.93},
		{"one by one", readings(600), 1, 0.7}, // few blocks, of which the last is being filled
		{"backwards", backwards, 100, 0.45},
		{"backwards at once", backwards, n, 0.9},
		{"in no order", shuffled, 50, 0.45},
		{"twice", append(readings(n), readings(n)...), 1000, 0.8},
	} {
		s := openTemp(t)
		for batch := range slices.Chunk(c.records, c.batch) {
			mustWrite(t, s, "d", batch)
		}
		var d decoder
		blocks, bytes, rows := 0, 0, 0
		err := s.db.View(func(tx *bolt.Tx) error {
			return tx.Bucket(bucketName).ForEach(func(k, v []byte) error {
				if k[0] != blockKind {
					return nil
				}
				if len(v) > blockBytes {
					t.Errorf("%s: a block has %d bytes, at most %d are allowed", c.name, len(v), blockBytes)
				}
				entries, err := d.decode(v)
				blocks++
				bytes += len(v)
				rows += len(entries)
				return err
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		if want := min(len(c.records), n); rows != want {
			t.Errorf("%s: %d rows are stored, want %d", c.name, rows, want)
		}
		if full := float64(bytes) / float64(blocks*blockBytes); full < c.full {
			t.Errorf("%s: %d blocks are full to %.2f on average, want %.2f", c.name, blocks, full, c.full)
		}
	}
}

// TestWriteAcrossBlocks writes random batches of rows so long that a block holds
// only a few, or one is longer than a block, and reads random ranges.
func TestWriteAcrossBlocks(t *testing.T) {
	s := openTemp(t)
	device := 0
	rapid.Check(t, func(rt *rapid.T) {
		device++
		name := strconv.Itoa(device)
		model := make(map[int]hotreader.Value) // by seconds from base
		for range rapid.IntRange(1, 6).Draw(rt, "writes") {
			var batch []hotreader.Record
			from, step := rapid.IntRange(-200, 200).Draw(rt, "from"), rapid.IntRange(-3, 3).Draw(rt, "step")
			for i := range rapid.IntRange(1, 80).Draw(rt, "rows") {
				length := rapid.SampledFrom([]int{0, 10, 400, 1500, blockBytes - 40, blockBytes + 1, 3 * blockBytes}).Draw(rt, "length")
				text := append(bytes.Repeat([]byte{'x'}, length), strconv.Itoa(len(model))...)
				sec := from + i*step
				model[sec] = hotreader.StringValue(text)
				batch = append(batch, hotreader.Record{Time: base.Add(time.Duration(sec) * time.Second), Fields: []hotreader.Field{{Name: "v", Value: model[sec]}}})
			}
			if err := s.Write(t.Context(), name, batch); err != nil {
				rt.Fatal(err)
			}
		}
		for range 4 {
			from := rapid.IntRange(-450, 450).Draw(rt, "start")
			to := from + rapid.IntRange(0, 900).Draw(rt, "seconds")
			q := hotreader.Query{Device: name, Properties: []string{"v"}, Order: hotreader.Order(rapid.IntRange(0, 1).Draw(rt, "order")),
				Start: base.Add(time.Duration(from) * time.Second), End: base.Add(time.Duration(to) * time.Second)}
			var want []int
			for sec := range model {
				if sec >= from && sec <= to {
					want = append(want, sec)
				}
			}
			slices.Sort(want)
			if q.Order == hotreader.Descending {
				slices.Reverse(want)
			}
			n := 0
			for row, err := range hotreader.NewReader(s).Read(t.Context(), q) {
				if err != nil {
					rt.Fatal(err)
				}
				if n == len(want) {
					rt.Fatalf("more than %d rows came", n)
				}
				if sec := want[n]; !row.Time.Equal(base.Add(time.Duration(sec)*time.Second)) || !hotreader.Same(row.Values[0], model[sec]) {
					rt.Fatalf("row %d is at %v with %d bytes, want second %d with %d", n, row.Time, len(row.Values[0].Text()), sec, len(model[sec].Text()))
				}
				n++
			}
			if n != len(want) {
				rt.Fatalf("%d rows came, want %d", n, len(want))
			}
		}
	})
}

// TestReadWhileBlocksChange: blocks are split and rewritten under readers, to
// whom every row that was there before comes, once and in order.
func TestReadWhileBlocksChange(t *testing.T) {
	s := openTemp(t)
	const n = 20_000
	stored := readings(n)
	mustWrite(t, s, "d", stored)
	var names []string // a few, so that some come late
	for i := range 40 {
		names = append(names, strconv.Itoa(i))
	}
	done := make(chan struct{})
	var writer, readers sync.WaitGroup
	writer.Go(func() {
		defer close(done)
		r := rand.New(rand.NewPCG(3, 4))
		for range 40 {
			// Between the rows, in front and behind; the property is another one.
			var batch []hotreader.Record
			at := base.Add(time.Duration(r.IntN(n+2000)-1000) * time.Minute)
			for i := range 200 {
				batch = append(batch, hotreader.Record{Time: at.Add(time.Duration(i)*time.Second*7 + 1), Fields: []hotreader.Field{{Name: names[r.IntN(len(names))], Value: hotreader.BoolValue(true)}}})
			}
			if err := s.Write(t.Context(), strconv.Itoa(r.IntN(500)), batch[:3]); err != nil {
				t.Error(err)
				return
			}
			if err := s.Write(t.Context(), "d", batch); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for g := range 4 {
		readers.Go(func() {
			for ended := false; !ended; {
				select {
				case <-done:
					ended = true
				default:
				}
				q := hotreader.Query{Device: "d", Properties: []string{"temperature"}, Order: hotreader.Order(g % 2)}
				i := 0
				for row, err := range hotreader.NewReader(s).Read(t.Context(), q) {
					if err != nil {
						t.Error(err)
						return
					}
					want := stored[i]
					if q.Order == hotreader.Descending {
						want = stored[n-1-i]
					}
					if !row.Time.Equal(want.Time) || !hotreader.Same(row.Values[0], want.Fields[0].Value) {
						t.Errorf("%v: row %d is %v %v, want %v", q.Order, i, row.Time, row.Values, want.Time)
						return
					}
					if i++; i%2000 == 0 && !ended {
						time.Sleep(time.Millisecond) // so that much is written meanwhile
					}
				}
				if i != n {
					t.Errorf("%v: %d rows came, want %d", q.Order, i, n)
				}
				for _, err := range hotreader.NewReader(s).Read(t.Context(), hotreader.Query{Device: "none", Properties: []string{"v"}}) {
					t.Errorf("a device that is not there: %v", err)
				}
			}
		})
	}
	readers.Wait()
	writer.Wait()
}

// TestWriteInParts: a call larger than a transaction.
func TestWriteInParts(t *testing.T) {
	s := openTemp(t)
	var records []hotreader.Record
	for i := range 2*writeRows + 7 {
		records = append(records, hotreader.Record{Time: base.Add(time.Duration(i) * time.Second), Fields: []hotreader.Field{{Name: "n", Value: hotreader.Int64Value(int64(i))}}})
	}
	// The last of all stands, though its instant belongs to the first part.
	records = append(records, hotreader.Record{Time: base, Fields: []hotreader.Field{{Name: "n", Value: hotreader.Int64Value(-1)}}})
	mustWrite(t, s, "d", records)
	n := 0
	for row, err := range hotreader.NewReader(s).Read(t.Context(), hotreader.Query{Device: "d", Properties: []string{"n"}}) {
		if err != nil {
			t.Fatal(err)
		}
		want := int64(n)
		if n == 0 {
			want = -1
		}
		if !row.Time.Equal(base.Add(time.Duration(n)*time.Second)) || !hotreader.Same(row.Values[0], hotreader.Int64Value(want)) {
			t.Fatalf("row %d is %v %v", n, row.Time, row.Values)
		}
		n++
	}
	if n != 2*writeRows+7 {
		t.Errorf("%d rows came, want %d", n, 2*writeRows+7)
	}
}

func TestWriteRefuses(t *testing.T) {
	s := openTemp(t)
	one := func(v hotreader.Value) []hotreader.Record {
		return []hotreader.Record{{Time: base, Fields: []hotreader.Field{{Name: "v", Value: v}}}}
	}
	for _, c := range []struct {
		what    string
		records []hotreader.Record
		code    hotreader.Code
	}{
		{"a number that is none", one(hotreader.NumberValue([]byte("NaN"))), hotreader.CodeInvalid},
		{"a number without digits", one(hotreader.NumberValue(nil)), hotreader.CodeInvalid},
		{"text that is not UTF-8", one(hotreader.StringValue([]byte("\xff"))), hotreader.CodeInvalid},
		{"a record too large", one(hotreader.StringValue([]byte(strings.Repeat("x", maxRecord+1)))), hotreader.CodeTooLarge},
	} {
		err := s.Write(t.Context(), "d", c.records)
		if hotreader.CodeOf(err) != c.code || !strings.HasPrefix(err.Error(), "boltstore: write "+s.path+": ") {
			t.Errorf("%s: the error is %v, want one of %s that names the file", c.what, err, c.code)
		}
	}
	for range hotreader.NewReader(s).Read(t.Context(), hotreader.Query{Device: "d", Properties: []string{"v"}}) {
		t.Error("something was stored nevertheless")
	}
	// As large as it may be, it fits, and comes back.
	text := strings.Repeat("x", maxRecord-20)
	mustWrite(t, s, "d", one(hotreader.StringValue([]byte(text))))
	for row, err := range hotreader.NewReader(s).Read(t.Context(), hotreader.Query{Device: "d", Properties: []string{"v"}}) {
		if err != nil || string(row.Values[0].Text()) != text {
			t.Errorf("%d bytes came back, %v", len(row.Values[0].Text()), err)
		}
	}
}

// TestTooManyProperties: a device has a bounded number of them.
func TestTooManyProperties(t *testing.T) {
	s := openTemp(t)
	record := func(from, to int) []hotreader.Record {
		r := hotreader.Record{Time: base}
		for i := from; i < to; i++ {
			r.Fields = append(r.Fields, hotreader.Field{Name: strconv.Itoa(i), Value: hotreader.BoolValue(true)})
		}
		return []hotreader.Record{r}
	}
	for from := 0; from < maxNames; from += 1024 {
		mustWrite(t, s, "d", record(from, from+1024))
	}
	if err := s.Write(t.Context(), "d", record(maxNames, maxNames+1)); hotreader.CodeOf(err) != hotreader.CodeTooLarge {
		t.Errorf("one property more: the error is %v, want one of %s", err, hotreader.CodeTooLarge)
	}
	if err := s.Write(t.Context(), "d", record(maxNames-1, maxNames)); err != nil {
		t.Errorf("those it has can still be written: %v", err)
	}
}

// TestReadDoesNotAllocateByRow: what a read allocates does not grow with its
// rows, but for a handful of objects with each 128 KB of them.
func TestReadDoesNotAllocateByRow(t *testing.T) {
	s := openTemp(t)
	const n = 50_000
	mustWrite(t, s, "d", readings(n))
	types := []hotreader.Type{hotreader.Double, hotreader.ShortString}
	for _, q := range []hotreader.Query{
		{Types: types},
		{Types: types, Order: hotreader.Descending},
		{Types: types, Filters: []hotreader.Filter{{Property: "state", Op: hotreader.Equal, Value: hotreader.StringValue([]byte("running"))}}},
	} {
		q.Device, q.Properties = "d", []string{"temperature", "state"}
		allocations := testing.AllocsPerRun(3, func() {
			rows := 0
			for _, err := range hotreader.NewReader(s).Read(t.Context(), q) {
				if err != nil {
					t.Fatal(err)
				}
				rows++
			}
			if rows != n {
				t.Fatalf("%d rows came, want %d", rows, n)
			}
		})
		if perRow := allocations / n; perRow > 0.01 {
			t.Errorf("%v with %d filters: %.0f allocations, %.3f for each row", q.Order, len(q.Filters), allocations, perRow)
		}
	}
}
