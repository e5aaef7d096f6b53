package coldstore_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"hotreader"
	"hotreader/store/coldstore"
)

// A memory is a bucket in memory that writes down what is asked of it.
type memory struct {
	mu      sync.Mutex
	objects map[string][]byte
	virtual func(key string) []byte // of objects that are made when they are read
	page    int
	keys    []string
	asked   []string
	bytes   int64
}

func newMemory(objects map[string][]byte) *memory {
	m := &memory{objects: objects, page: 1000}
	for key := range objects {
		m.keys = append(m.keys, key)
	}
	slices.Sort(m.keys)
	return m
}

func (m *memory) String() string { return "memory:" }

func (m *memory) List(_ context.Context, prefix, after string) iter.Seq2[coldstore.Page, error] {
	return func(yield func(coldstore.Page, error) bool) {
		from, _ := slices.BinarySearch(m.keys, max(prefix, after+"\x00"))
		for more := true; more; {
			var page coldstore.Page
			for ; from < len(m.keys) && len(page.Objects) < m.page && strings.HasPrefix(m.keys[from], prefix); from++ {
				page.Objects = append(page.Objects, coldstore.Object{Key: m.keys[from], Size: int64(len(m.body(m.keys[from])))})
			}
			more = from < len(m.keys) && strings.HasPrefix(m.keys[from], prefix)
			page.More = more
			m.note("list "+prefix, 0)
			if !yield(page, nil) {
				return
			}
		}
	}
}

func (m *memory) body(key string) []byte {
	if m.virtual != nil {
		return m.virtual(key)
	}
	return m.objects[key]
}

func (m *memory) Read(_ context.Context, o *coldstore.Object, at, n int64) (io.ReadCloser, error) {
	m.note("read "+o.Key, n)
	return io.NopCloser(bytes.NewReader(m.body(o.Key)[at : at+n])), nil
}

func (m *memory) note(what string, n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = append(m.asked, what)
	m.bytes += n
}

// read reads a query, and returns how many rows came and what was asked.
func (m *memory) read(t *testing.T, s *coldstore.Store, q hotreader.Query) (rows int, asked []string) {
	t.Helper()
	m.asked, m.bytes = nil, 0
	for _, err := range s.Scan(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		rows++
	}
	return rows, m.asked
}

func store(t *testing.T, b coldstore.Bucket, o coldstore.Options) *coldstore.Store {
	t.Helper()
	s, err := coldstore.New(b, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A year of objects in each way of writing dates, and one day of it: only that day's are
// fetched, and where there are many, only they are listed.
func TestOneDayOfAYear(t *testing.T) {
	for _, style := range []string{"2006/01/02/15/", "logs/2006/01/02/15/", "year=2006/month=01/day=02/", "year=2006/month=01/day=02/hour=15/", "year=2006/month=1/day=2/",
		"dt=2006-01-02/", "date=20060102/", "year=2006/", "y=2006/m=01/", ""} {
		for _, pages := range []int{1000, 10} {
			objects := map[string][]byte{}
			for n := range 366 {
				at := time.Date(2024, 1, 1, 5, 0, 0, 0, time.UTC).AddDate(0, 0, n)
				objects[fmt.Sprintf("cold/%spart-%03d.jsonl", at.Format(style), n)] = item("d", at.Format(time.RFC3339), ramp(1)[0].Fields)
			}
			m := newMemory(objects)
			m.page = pages
			for _, late := range []time.Duration{-1, 0} {
				s := store(t, m, coldstore.Options{Prefix: "cold", Late: late})
				begin := time.Date(2024, 5, 6, 0, 0, 0, 0, time.UTC)
				q := hotreader.Query{Device: "d", Properties: []string{"v"}, Start: begin, End: begin.Add(24*time.Hour - 1)}
				m.read(t, s, q) // learns how keys are written
				rows, asked := m.read(t, s, q)
				lists := 0
				for _, a := range asked {
					if strings.HasPrefix(a, "list") {
						lists++
					}
				}
				most := map[string]int{"year=2006/": 366, "y=2006/m=01/": 62, "": 366}[style]
				if most == 0 {
					most = 3
				}
				if late < 0 && most == 3 {
					most = 1
				}
				if rows != 1 || len(asked)-lists > most {
					t.Errorf("%q, pages of %d, late %v: %d rows, %q", style, pages, late, rows, asked)
				}
				if most <= 62 && !strings.Contains(style, "month=1/") && lists > 1+most/pages {
					t.Errorf("%q, pages of %d, late %v: %d lists", style, pages, late, lists)
				}
			}
		}
	}
}

// A hundred thousand objects of other times and devices are listed, not fetched, and not
// kept.
func TestAHundredThousandObjects(t *testing.T) {
	m := newMemory(nil)
	m.virtual = func(string) []byte { return []byte("[") } // which would be an error
	for device := range 10 {
		for n := range 10_000 {
			at := day.Add(time.Duration(n) * time.Hour)
			m.keys = append(m.keys, fmt.Sprintf("m-%d/%s-%s/chunk-00000.json", device, at.Format(time.RFC3339), at.Add(time.Hour-time.Second).Format(time.RFC3339)))
		}
	}
	slices.Sort(m.keys)
	s := store(t, m, coldstore.Options{})
	q := hotreader.Query{Device: "m-7", Properties: []string{"v"}, Start: day.Add(-time.Hour), End: day.Add(-time.Minute)}
	m.read(t, s, q)
	if rows, asked := m.read(t, s, q); rows != 0 || len(asked) != 10 || asked[0] != "list m-7/" {
		t.Errorf("%d rows, %q", rows, asked)
	}
}

// A day out of a year in Parquet: few requests, few bytes beside those needed, and the
// first row after three round trips.
func TestADayOfAYearInParquet(t *testing.T) {
	type reading struct {
		Device      string    `parquet:"device_id,dict"`
		Time        time.Time `parquet:"timestamp,timestamp(millisecond)"`
		Temperature float64   `parquet:"temperature"`
		Pressure    float64   `parquet:"pressure"`
		Note        string    `parquet:"note"`
	}
	objects := map[string][]byte{}
	needed := map[string]int64{} // bytes of the columns of each row group, by object and day
	begin := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	const each = 5 * time.Second
	for month := range 12 {
		from := begin.AddDate(0, month, 0)
		var rows []reading
		step := each
		if month != 2 && month != 6 { // the others are not read
			step = time.Hour
		}
		for at := from; at.Before(begin.AddDate(0, month+1, 0)); at = at.Add(step) {
			n := at.Sub(begin) / each
			rows = append(rows, reading{"d", at, float64(n*7919%100_000) / 1000, float64(n*104729%1_000_000) / 7, fmt.Sprintf("note %d", n)})
		}
		var out bytes.Buffer
		if err := parquet.Write(&out, rows, parquet.MaxRowsPerRowGroup(int64(24*time.Hour/each)), parquet.Compression(&parquet.Snappy)); err != nil {
			t.Fatal(err)
		}
		key := path.Join("cold", from.Format("2006-01"), "a.parquet")
		key = strings.Replace(key, from.Format("2006-01"), from.Format("year=2006/month=01"), 1)
		objects[key] = out.Bytes()
		f, err := parquet.OpenFile(bytes.NewReader(out.Bytes()), int64(out.Len()))
		if err != nil {
			t.Fatal(err)
		}
		for i, g := range f.Metadata().RowGroups {
			for _, c := range g.Columns {
				if name := c.MetaData.PathInSchema[0]; name == "timestamp" || name == "temperature" {
					needed[fmt.Sprint(key, i)] += c.MetaData.TotalCompressedSize
				}
			}
		}
	}
	m := newMemory(objects)
	s := store(t, m, coldstore.Options{Prefix: "cold"})
	for _, at := range []int{70, 200} {
		from := begin.AddDate(0, 0, at)
		q := hotreader.Query{Device: "d", Properties: []string{"temperature"}, Start: from, End: from.Add(24*time.Hour - 1)}
		rows, asked := m.read(t, s, q)
		key := "cold/" + from.Format("year=2006/month=01/a.parquet")
		touched := map[string]bool{}
		for _, a := range asked[1:] {
			touched[a] = true
		}
		need := needed[fmt.Sprint(key, from.Day()-1)]
		if rows != int(24*time.Hour/each) || len(asked) > 4+len(touched) || float64(m.bytes) > 1.2*float64(need) {
			t.Errorf("day %d: %d rows; %d requests %q; %d bytes of %d needed", at, rows, len(asked), asked, m.bytes, need)
		}
		t.Logf("day %d: %d requests, %d objects, %d bytes of %d needed (%.2f)", at, len(asked), len(touched), m.bytes, need, float64(m.bytes)/float64(need))
		m.asked = nil
		for range s.Scan(t.Context(), q) {
			break
		}
		if len(m.asked) > 3 {
			t.Errorf("the first row took %q", m.asked)
		}
	}
}
