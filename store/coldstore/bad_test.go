package coldstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"hotreader"
	"hotreader/store/coldstore"
	"hotreader/store/coldstore/buckettest"
	"hotreader/store/coldstore/folder"
)

var day = time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC)

// ramp returns rows of a device, a minute apart.
func ramp(n int) []hotreader.Record {
	records := make([]hotreader.Record, n)
	for i := range records {
		records[i] = hotreader.Record{Time: day.Add(time.Duration(i) * time.Minute), Fields: []hotreader.Field{{Name: "v", Value: hotreader.Int64Value(int64(i))}}}
	}
	return records
}

// count reads all rows of v in both orders.
func count(t *testing.T, s hotreader.Source, want int) error {
	t.Helper()
	for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
		n := 0
		for r, err := range s.Scan(t.Context(), hotreader.Query{Device: "d", Properties: []string{"v"}, Order: order}) {
			if err != nil {
				return err
			}
			i := n
			if order == hotreader.Descending {
				i = want - 1 - n
			}
			if n++; r.Values[0].String() != fmt.Sprint(i) {
				t.Fatalf("%v: row %d is %v", order, i, r.Values[0])
			}
		}
		if n != want {
			t.Errorf("%v: %d rows, want %d", order, n, want)
		}
	}
	return nil
}

// What is damaged is an error, and never a shorter answer.
func TestDamagedObjects(t *testing.T) {
	records := ramp(3000)
	json := lines("d", records)
	array := func(b []byte) []byte {
		return append(append([]byte("["), bytes.ReplaceAll(bytes.TrimSpace(b), []byte("\n"), []byte(","))...), ']')
	}
	parquets := parquetFile(t, "d", records)
	flip := func(b []byte, from, to int) []byte {
		b = bytes.Clone(b)
		for i := from; i < to; i++ {
			b[i] ^= 0xa5
		}
		return b
	}
	const run = "d/2024-03-01T00:00:00Z-2024-03-03T01:59:00Z/"
	for name, c := range map[string]struct {
		key  string
		body []byte
		code hotreader.Code // "" = exact
	}{
		"an array":                     {run + "chunk-00000.json", array(json), ""},
		"an array, half written":       {run + "chunk-00000.json", array(json)[:9000], hotreader.CodeCorrupt},
		"an array, cut after an item":  {run + "chunk-00000.json", bytes.TrimSuffix(array(json), []byte("]")), hotreader.CodeCorrupt},
		"an array, nothing written":    {run + "chunk-00000.json", nil, hotreader.CodeCorrupt},
		"two arrays":                   {run + "chunk-00000.json", append(array(json), array(json)...), hotreader.CodeCorrupt},
		"a comma too many":             {run + "chunk-00000.json", []byte(`[{"timestamp":"2024-03-01T00:00:00Z"},]`), hotreader.CodeCorrupt},
		"no comma":                     {run + "chunk-00000.json", []byte(`[{"timestamp":"2024-03-01T00:00:00Z"}{}]`), hotreader.CodeCorrupt},
		"no JSON":                      {run + "chunk-00000.json", []byte("<Error>AccessDenied</Error>"), hotreader.CodeCorrupt},
		"numbers":                      {run + "chunk-00000.json", []byte("[1,2]"), hotreader.CodeCorrupt},
		"lines":                        {"year=2024/a.jsonl", json, ""},
		"objects without line ends":    {"2024/03/stream-1-2024-03-01-00-00-00-7f", bytes.ReplaceAll(json, []byte("\n"), nil), ""},
		"lines, half an item":          {"dt=2024-03-01/a.jsonl", json[:len(json)-5], hotreader.CodeCorrupt},
		"an item that never ends":      {"dt=2024-03-01/a.jsonl", append([]byte(`{"v":"`), bytes.Repeat([]byte("x"), 20<<20)...), hotreader.CodeCorrupt},
		"gzip":                         {"a.json.gz", gzipped(json), ""},
		"gzip of two members":          {"a.gz", append(gzipped(json[:bytes.IndexByte(json, '\n')+1]), gzipped(json[bytes.IndexByte(json, '\n')+1:])...), ""},
		"gzip, cut off":                {"a.json.gz", gzipped(json)[:500], hotreader.CodeCorrupt},
		"gzip, without its end":        {"a.json.gz", gzipped(json)[:len(gzipped(json))-8], hotreader.CodeCorrupt},
		"gzip of blanks":               {"a.json.gz", gzipped(bytes.Repeat([]byte("\n"), 9<<20)), hotreader.CodeCorrupt},
		"zstd":                         {"a.json.zst", zstandard(json), ""},
		"zstd, cut off":                {"a.json.zst", zstandard(json)[:500], hotreader.CodeCorrupt},
		"no device":                    {"a.jsonl", []byte(`{"timestamp":"2024-03-01T00:00:00Z","v":1}`), hotreader.CodeUnreadable},
		"no time":                      {"a.jsonl", []byte(`{"device_id":"d","v":1}`), hotreader.CodeUnreadable},
		"a time of another form":       {"a.jsonl", []byte(`{"device_id":"d","timestamp":1709251200,"v":1}`), hotreader.CodeUnreadable},
		"Parquet":                      {"a.parquet", parquets, ""},
		"Parquet by another name":      {"year=2024/month=3/day=1/a", parquets, ""},
		"Parquet, nothing written":     {"a.parquet", nil, hotreader.CodeCorrupt},
		"Parquet, half written":        {"a.parquet", parquets[:len(parquets)/2], hotreader.CodeCorrupt},
		"Parquet, its footer broken":   {"a.parquet", flip(parquets, len(parquets)-300, len(parquets)-8), hotreader.CodeCorrupt},
		"Parquet, its footer too long": {"a.parquet", flip(parquets, len(parquets)-8, len(parquets)-4), hotreader.CodeCorrupt},
		"Parquet, its pages broken":    {"a.parquet", flip(parquets, 4, 4000), hotreader.CodeCorrupt},
		"Parquet of other columns":     {"a.parquet", otherColumns(t), hotreader.CodeUnreadable},
		"JSON by the name of Parquet":  {"a.parquet", json, hotreader.CodeCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := write(filepath.Join(dir, c.key), c.body, 0); err != nil {
				t.Fatal(err)
			}
			err := count(t, open(t, dir, coldstore.Options{Late: -1}), len(records))
			if hotreader.CodeOf(err) != c.code {
				t.Fatalf("the error is %v, want one of %q", err, c.code)
			}
			if err != nil && !strings.Contains(err.Error(), c.key) {
				t.Errorf("%v does not name the object", err)
			}
		})
	}
}

func otherColumns(t *testing.T) []byte {
	type other struct {
		When  int64   `parquet:"when"`
		Value float64 `parquet:"v"`
	}
	var out bytes.Buffer
	if err := parquet.Write(&out, []other{{1, 2}}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// A meddler does something to a folder when an object is about to be read.
type meddler struct {
	coldstore.Bucket
	before func(key string)
}

func (m meddler) Read(ctx context.Context, o *coldstore.Object, at, n int64) (io.ReadCloser, error) {
	m.before(o.Key)
	return m.Bucket.Read(ctx, o, at, n)
}

// An object that is gone when it is to be read is an error; where one was replaced, the
// rest is read anew.
func TestObjectsThatChange(t *testing.T) {
	for _, gone := range []bool{true, false} {
		dir := t.TempDir()
		records := ramp(100)
		for i := range 4 {
			if err := write(filepath.Join(dir, fmt.Sprintf("dt=2024-03-01/%d.jsonl", i)), lines("d", records[25*i:25*i+25]), i); err != nil {
				t.Fatal(err)
			}
		}
		b, err := folder.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		done := false
		s, err := coldstore.New(meddler{b, func(key string) {
			if key != "dt=2024-03-01/2.jsonl" || done {
				return
			}
			done = true
			if gone {
				os.Remove(filepath.Join(dir, key))
			} else if err := write(filepath.Join(dir, key), lines("d", records[50:75]), 9); err != nil {
				t.Error(err)
			}
		}}, coldstore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		err = count(t, s, len(records))
		if gone != errors.Is(err, hotreader.CodeUnavailable) || !gone && err != nil {
			t.Errorf("gone %v: %v", gone, err)
		}
	}
}

// An archive says that an object must be restored first.
type archive struct {
	coldstore.Bucket
	key string
}

func (a archive) List(ctx context.Context, prefix, after string) iter.Seq2[coldstore.Page, error] {
	return func(yield func(coldstore.Page, error) bool) {
		for page, err := range a.Bucket.List(ctx, prefix, after) {
			for i := range page.Objects {
				if page.Objects[i].Key == a.key {
					page.Objects[i].Archive = "DEEP_ARCHIVE"
				}
			}
			if !yield(page, err) {
				return
			}
		}
	}
}

// What is archived is an error before any row; the latest value does not need it.
func TestArchivedObjects(t *testing.T) {
	dir := t.TempDir()
	for i, key := range []string{"dt=2024-01-01/a.jsonl", "dt=2024-03-01/a.jsonl"} {
		if err := write(filepath.Join(dir, key), []byte(fmt.Sprintf(`{"device_id":"d","timestamp":"%sT00:00:00Z","v":0}`, key[3:13])), i); err != nil {
			t.Fatal(err)
		}
	}
	b, err := folder.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	s, err := coldstore.New(archive{b, "dt=2024-01-01/a.jsonl"}, coldstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	q := hotreader.Query{Device: "d", Properties: []string{"v"}}
	for r, err := range s.Scan(t.Context(), q) {
		if !errors.Is(err, hotreader.CodeNotRestored) || !strings.Contains(err.Error(), "1 object of 58 bytes lies in archive storage (DEEP_ARCHIVE), from 2023-12-31T00:00:00Z to 2024-01-02T23:59:59Z; a restore costs about 0.01 USD (list prices of 2026-11-23) and takes up to 12 h; ask for it with hotreader restore: a query never does") {
			t.Errorf("%v, %v", r, err)
		}
	}
	q.Last = true
	for r, err := range hotreader.NewReader(s).Read(t.Context(), q) {
		if err != nil || !r.Time.Equal(day) {
			t.Errorf("%v, %v", r, err)
		}
	}
	q.Last, q.Start = false, day
	for r, err := range s.Scan(t.Context(), q) {
		if err != nil || !r.Time.Equal(day) {
			t.Errorf("%v, %v", r, err)
		}
	}
}

// Clocks that are apart: a row whose key has a date of arrival up to a day before or
// after it is found, and so is one of a device whose clock is ahead of ours.
func TestClocksApart(t *testing.T) {
	ahead := time.Now().UTC().Truncate(time.Second).Add(20 * time.Hour)
	m := new(buckettest.Memory)
	for at, arrived := range map[time.Time]time.Time{day: day.Add(23 * time.Hour), day.Add(48 * time.Hour): day.Add(25 * time.Hour), ahead: ahead.Add(-20 * time.Hour)} {
		m.Put(arrived.Format("2006/01/02/15/")+at.Format("150405"), item("d", at.Format(time.RFC3339), ramp(1)[0].Fields))
	}
	s := store(t, m, coldstore.Options{})
	for _, at := range []time.Time{day, day.Add(48 * time.Hour), ahead} {
		for _, q := range []hotreader.Query{{Start: at, End: at}, {Start: at.Add(-time.Hour), Last: true, End: at}, {Start: ahead}, {Last: true}} {
			if q.Device, q.Properties = "d", []string{"v"}; q.End.IsZero() {
				at = ahead
			}
			n := 0
			for r, err := range hotreader.NewReader(s).Read(t.Context(), q) {
				if n++; err != nil || !r.Time.Equal(at) {
					t.Errorf("%+v: %v, %v", q, r.Time, err)
				}
			}
			if n != 1 {
				t.Errorf("%+v: %d rows", q, n)
			}
		}
	}
}
