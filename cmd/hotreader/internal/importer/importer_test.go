package importer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"hotreader"
	"hotreader/cmd/hotreader/internal/importer/sniff"
	"hotreader/codec/plain"
)

// cancelled is a store that ^C hits while it writes.
type cancelled struct {
	hotreader.Store
	cancel context.CancelFunc
}

func (c *cancelled) Write(ctx context.Context, _ string, _ []hotreader.Record) error {
	c.cancel()
	return ctx.Err()
}

func TestWriteUnderWayIsAcknowledged(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	into := &target{store: &cancelled{cancel: cancel}}
	if _, err := into.write(ctx, "d", nil); err != nil {
		t.Errorf("the write that ^C hit: %v", err)
	}
	if _, err := into.write(ctx, "d", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("the next one: %v", err)
	}
}

func TestMarked(t *testing.T) {
	for text, want := range map[string]bool{
		"20,5": true, "-20,5": true, "+0,75": true, "1.234,50": true, "1,234.5": true, "7,0": true, "1 234": true, "1'234.5": true, "1 234,5": true, " 20,5 ": true, "1\u00a0234": true, "1,234,567": true,
		"": false, ",": false, ",5": false, "5,": false, "a,b": false, "4,5 °C": false, "12:00,5": false, "1.2.3": false, "192.168.1.1": false, "1, 2": false, "2026-01-01": false,
		"1," + strings.Repeat("0", 40): false,
	} {
		if got := marked([]byte(text)); got != want {
			t.Errorf("marked(%q) = %v", text, got)
		}
	}
}

// items is a store as clouds have: an item that is written replaces another whole.
type items struct {
	rows   map[string]string
	writes int
	merges bool
}

func (s *items) Scan(context.Context, hotreader.Query) iter.Seq2[hotreader.Row, error] { return nil }
func (s *items) Close() error                                                          { return nil }

func (s *items) Write(_ context.Context, device string, records []hotreader.Record) error {
	s.writes++
	seen := map[time.Time]bool{}
	for _, r := range records {
		if seen[r.Time] {
			return errors.New("one request names an item twice")
		}
		seen[r.Time] = true
		s.rows[device+" "+r.Time.Format("15:04:05")] = shown(r)
	}
	return nil
}

func shown(r hotreader.Record) string {
	var all []string
	for _, f := range r.Fields {
		all = append(all, f.Name+"="+f.Value.String())
	}
	return strings.Join(all, " ")
}

// merger is such a store that can merge, too.
type merger struct{ *items }

func (m merger) Merge(ctx context.Context, device string, records []hotreader.Record) error {
	m.merges = true
	return m.Write(ctx, device, records)
}

func importText(t *testing.T, text string, store hotreader.Store, change func(*Options)) (Result, error) {
	t.Helper()
	o := Options{Files: []string{"-"}, In: strings.NewReader(text), Device: "d", SkipAfter: -1, Store: "items:",
		Sniff: sniff.Options{HeaderLine: sniff.FindHeader}, Open: func(context.Context, string) (hotreader.Store, error) { return store, nil }}
	if change != nil {
		change(&o)
	}
	return Run(t.Context(), o)
}

// Where a store takes whole items, lines of one instant that follow each other are one
// item, wherever batches end.
func TestItemsOfSeveralLines(t *testing.T) {
	var text strings.Builder
	text.WriteString("time,sensor,value\n")
	const rows = 1500
	for i := range rows {
		for _, name := range []string{"a", "b", "c"} {
			fmt.Fprintf(&text, "%s,%s,%d\n", time.Unix(int64(i), 0).UTC().Format(time.DateTime), name, i)
		}
	}
	store := &items{rows: map[string]string{}}
	result, err := importText(t, text.String(), store, func(o *Options) { o.Key, o.Value = "sensor", "value" })
	if err != nil || result.Written != rows || result.Lines != 3*rows || len(store.rows) != rows {
		t.Fatalf("%v, %+v, %d items", err, result, len(store.rows))
	}
	for i := range rows {
		at := time.Unix(int64(i), 0).UTC().Format("15:04:05")
		if got, want := store.rows["d "+at], fmt.Sprintf("a=%d b=%d c=%d", i, i, i); got != want {
			t.Fatalf("%s: %s, want %s", at, got, want)
		}
	}
	if slices.ContainsFunc(result.Notes, func(s string) bool { return strings.Contains(s, "--merge") }) {
		t.Errorf("it warns: %q", result.Notes)
	}
}

func TestItemsOutOfOrder(t *testing.T) {
	const text = "time,a,b\n2026-01-01 00:00,1,\n2026-01-01 00:01,2,\n2026-01-01 00:00,,3\n"
	store := &items{rows: map[string]string{}}
	result, err := importText(t, text, store, nil)
	if err != nil || store.rows["d 00:00:00"] != "a=1 b=3" || len(result.Notes) != 1 || !strings.Contains(result.Notes[0], "1 lines go against the file's order of time") {
		t.Errorf("%v, %v, %q", err, store.rows, result.Notes)
	}
	result, err = importText(t, text, merger{store}, func(o *Options) { o.Writing = Merging })
	if err != nil || !store.merges || len(result.Notes) > 0 || result.Written != 2 {
		t.Errorf("%v, %+v", err, result)
	}
	if _, err = importText(t, text, store, func(o *Options) { o.Writing = Merging }); err == nil || !strings.Contains(err.Error(), "cannot merge") {
		t.Errorf("a store that cannot merge: %v", err)
	}
}

// null is a store that keeps nothing.
type null struct{ items }

func (null) Write(context.Context, string, []hotreader.Record) error { return nil }
func (null) Update(_ context.Context, _ string, records []hotreader.Record, _ hotreader.Mode) (hotreader.Changes, error) {
	return hotreader.Changes{Added: int64(len(records))}, nil
}

// endless is a file of so many lines, which is never in memory.
type endless struct {
	line func(i int) string
	i, n int
	rest string
}

func (e *endless) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if e.rest == "" {
			if e.i == e.n {
				break
			}
			e.rest = e.line(e.i)
			e.i++
		}
		more := copy(p[n:], e.rest)
		e.rest = e.rest[more:]
		n += more
	}
	if n == 0 {
		err = io.EOF
	}
	return n, err
}

// What an import holds does not grow with the file.
func TestMemory(t *testing.T) {
	const n = 300_000
	at := func(i int) string { return time.Unix(int64(i), 0).UTC().Format(time.RFC3339) }
	for name, line := range map[string]func(i int) string{
		"table": func(i int) string {
			if i == 0 {
				return "time,a,b\n"
			}
			return at(i) + ",1.5,on\n"
		},
		"any order": func(i int) string {
			if i == 0 {
				return "time,a\n"
			}
			return at(i*7919%n) + ",1\n"
		},
		"JSON": func(i int) string { return `{"time":"` + at(i) + `","a":1.5}` + "\n" },
		"array": func(i int) string {
			return "[,"[min(i, 1):][:1] + `{"time":"` + at(i) + `","a":1.5}` + []string{"", "]"}[i/(n-1)]
		},
	} {
		t.Run(name, func(t *testing.T) {
			var most uint64
			o := Options{Files: []string{"-"}, In: &endless{line: line, n: n}, Device: "d", SkipAfter: -1, Store: "null:",
				Sniff: sniff.Options{HeaderLine: sniff.FindHeader}, Open: func(context.Context, string) (hotreader.Store, error) { return &null{}, nil }}
			calls := 0
			o.Progress = func(int64, int64) {
				if calls++; calls%50 == 0 {
					runtime.GC()
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					most = max(most, m.HeapAlloc)
				}
			}
			var before runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			result, err := Run(t.Context(), o)
			if err != nil || result.Lines < n-1 {
				t.Fatalf("%d lines, %v", result.Lines, err)
			}
			if grown := int64(most) - int64(before.HeapAlloc); grown > 16<<20 {
				t.Errorf("it holds %d MB", grown>>20)
			}
		})
	}
}

// Files that are packed are read by their names, or by what they begin with.
func TestPacked(t *testing.T) {
	const text = "time,a\n2026-01-01,1\n"
	dir := t.TempDir()
	pack := func(name string, open func(io.Writer) (io.WriteCloser, error)) string {
		file, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		w, err := open(file)
		if err == nil {
			_, err = io.WriteString(w, text)
		}
		if err = errors.Join(err, w.Close(), file.Close()); err != nil {
			t.Fatal(err)
		}
		return file.Name()
	}
	gz := func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }
	zst := func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }
	for _, file := range []string{pack("a.csv.gz", gz), pack("a.csv.zst", zst), pack("unnamed", gz), pack("unnamed2", zst)} {
		store := &items{rows: map[string]string{}}
		if _, err := importText(t, "", store, func(o *Options) { o.Files = []string{file} }); err != nil || store.rows["d 00:00:00"] != "a=1" {
			t.Errorf("%s: %v, %v", file, err, store.rows)
		}
	}
	whole, err := os.ReadFile(filepath.Join(dir, "a.csv.gz"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ content, want string }{
		"cut.csv.gz": {string(whole[:len(whole)-6]), "cut short"}, "false.gz": {text, "not gzip"}, "false.zst": {text, "damaged"},
		"book.xlsx": {"PK\x03\x04rest", "save the sheet as CSV"}, "old.xls": {"\xd0\xcf\x11\xe0\x00\x00", "not text"}, "older.xls": {"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + strings.Repeat("\x00", 16) + "\x3e\x00\x03\x00\xfe\xff\x09\x00" + strings.Repeat("\x00", 400), "not text"}, "home.db": {"SQLite format 3\x00", "not text"},
		"data.parquet": {"PAR1\x15\x04", "not text"}, "page.png": {"\x89PNG\r\n\x1a\n\x00", "not text"},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := importText(t, "", &items{rows: map[string]string{}}, func(o *Options) { o.Files = []string{filepath.Join(dir, name)} })
		if !errors.Is(err, hotreader.CodeInvalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzRoundTrip: what we write as JSON lines or CSV reads back as the same texts.
func FuzzRoundTrip(f *testing.F) {
	f.Add("plain", "p")
	f.Add("=1+\"2\",\n", "a,b")
	f.Add("''=x", "=p")
	f.Add(" é\x00\u2028", "\"")
	f.Fuzz(func(t *testing.T, text, name string) {
		if !utf8.ValidString(text) || !utf8.ValidString(name) || name != strings.Join(strings.Fields(name), " ") || name == "" || len(name) > 100 || strings.ContainsAny(name+text, "\r\x00") {
			return
		}
		if name = "p" + name; strings.TrimSpace(text) != text || strings.Contains(name, ":") {
			return
		}
		row := hotreader.Row{Time: time.Unix(1767225600, 0), Values: []hotreader.Value{hotreader.StringValue([]byte(text)), hotreader.NumberValue([]byte("1.50"))}}
		for _, format := range []plain.Format{plain.JSONL, plain.CSV} {
			e, err := plain.NewEncoder(format, []string{name, "other"})
			if err != nil {
				t.Fatal(err)
			}
			store := &items{rows: map[string]string{}}
			out := string(e.AppendRow(e.AppendHead(nil), row, true))
			_, err = importText(t, out, store, func(o *Options) {
				o.Sniff.Time, o.PlainPairs = "time", true
				o.Types = map[string]hotreader.Type{name: hotreader.AnyString}
			})
			want := fmt.Sprintf("%s=%q other=1.50", name, text)
			if text == "" && format == plain.CSV {
				want = "other=1.50"
			}
			if got := store.rows["d 00:00:00"]; err != nil || got != want {
				t.Errorf("%q: %s, %v; want %s", out, got, err, want)
			}
		}
	})
}

// A name that comes twice is found without a walk over the fields before it.
func TestManyKeysOfARecord(t *testing.T) {
	r := rows{columns: &columns{o: &Options{}, guess: &sniff.Guess{JSON: true}}}
	for range 2 {
		r.begin()
		for _, name := range []string{"a", "b"} {
			if err := r.take(&column{name: name}, raw{}); err != nil {
				t.Error(err)
			}
		}
		r.fields[0].column = nil
		if err := r.take(&column{name: "c"}, raw{}); err != nil {
			t.Error(err)
		}
		if err := r.take(&column{name: "a"}, raw{}); err == nil || err.Error() != `"a" comes twice` {
			t.Errorf("%v", err)
		}
	}
}
