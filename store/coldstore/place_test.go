package coldstore_test

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parquet-go/parquet-go"

	"hotreader"
	"hotreader/layout"
	"hotreader/store/coldstore"
	"hotreader/store/coldstore/buckettest"
)

func newMemory(objects map[string][]byte) *buckettest.Memory {
	m := new(buckettest.Memory)
	for _, key := range slices.Sorted(maps.Keys(objects)) {
		m.Put(key, objects[key])
	}
	return m
}

// read reads a query, and returns how many rows came and what was asked.
func read(t *testing.T, m *buckettest.Memory, s *coldstore.Store, q hotreader.Query) (rows int, asked []string, bytes int64) {
	t.Helper()
	m.Asked()
	for _, err := range s.Scan(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		rows++
	}
	asked, bytes = m.Asked()
	return rows, asked, bytes
}

func store(t *testing.T, b coldstore.Bucket, o coldstore.Options) *coldstore.Store {
	t.Helper()
	s, err := coldstore.New(b, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A year of objects in each style of dates, and one day of it: only that day's are
// fetched, and where there are many and the prefix ends where the date begins, only they are
// listed.
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
			m.PageSize = pages
			for _, late := range []time.Duration{-1, 0} {
				s := store(t, m, coldstore.Options{Prefix: "cold", Late: late})
				begin := time.Date(2024, 5, 6, 0, 0, 0, 0, time.UTC)
				q := hotreader.Query{Device: "d", Properties: []string{"v"}, Start: begin, End: begin.Add(24*time.Hour - 1)}
				read(t, m, s, q) // learns how keys are written
				rows, asked, _ := read(t, m, s, q)
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
				if most <= 62 && !strings.Contains(style, "month=1/") && !strings.HasPrefix(style, "logs/") && lists > 1+most/pages {
					t.Errorf("%q, pages of %d, late %v: %d lists", style, pages, late, lists)
				}
			}
		}
	}
}

// However keys are written and however many there are: each row is found, by itself and in
// ranges that go beyond what keys can write.
func TestEveryRowIsFound(t *testing.T) {
	begin := time.Date(2025, 9, 20, 3, 0, 0, 0, time.UTC)
	hours := func(n, step int, form string) (keys []string) { // a text, and Go's format, in which HOUR is one without a zero
		before, format, _ := strings.Cut(form, "|")
		if !strings.HasSuffix(format, ".json") {
			format += "/T0405.jsonl"
		}
		for i := range n {
			begin = begin.Add(time.Second) // no two rows are of one instant
			at := begin.Add(time.Duration(i*step) * time.Hour)
			keys = append(keys, before+strings.ReplaceAll(at.Format(format), "HOUR", strconv.Itoa(at.Hour()))+" "+at.Format(time.RFC3339))
		}
		return keys
	}
	const mover = "/2006-01-02T15:04:05Z-2006-01-02T15:04:05Z/chunk-0.json"
	for name, keys := range map[string][]string{
		"a mover's device that looks like a year":  append(hours(30, 1, "0001|"+mover), hours(5, 1, "p|"+mover)...),
		"a mover's device that looks like Hive's":  append(hours(30, 1, "device_id=x|"+mover), hours(5, 1, "p|"+mover)...),
		"the device, then the date":                append(hours(30, 24, "|a/2006/01/02/15"), hours(5, 24, "|p/2006/01/02/15")...),
		"a site, then the date":                    append(hours(30, 24, "|site=a/dt=2006-01-02"), hours(5, 24, "|site=b/dt=2006-01-02")...),
		"no leading zeros":                         hours(300, 7, "|year=2006/month=1/day=2/hour=HOUR"),
		"no leading zeros in one part":             hours(300, 7, "|dt=2006-01-02-HOUR"),
		"a month that only later lacks its zero":   hours(300, 24, "|2006/1/02"),
		"another name amid the date":               append(hours(30, 24, "|year=2006/site=a/month=01"), hours(300, 24, "|year=2006/site=b/month=01")...),
		"dates of two lengths":                     append(hours(30, 24, "|dt=2006-01-02-15"), hours(300, 24, "|dt=2006-01-02")...),
		"dates, and a form that comes after them":  append(hours(300, 24, "|2006/01/02"), hours(5, 24, "late|")...),
		"dates, and a form that comes before them": append(hours(300, 24, "|2006/01/02"), hours(5, 24, "0007|")...),
		"Hive's devices, and a form after them":    append(hours(30, 24, "device_id=x/|2006"), hours(5, 24, "e|")...),
		"dates and what is no data":                append(hours(300, 24, "|dt=2006-01-02"), "_SUCCESS "),
		"as a mover's, of no device":               hours(30, 24, "|2006-01-02/rows/chunk-0.json"),
		"as a mover's other form, of no device":    hours(30, 24, "|2006-01-02/1_to_2_chunk0.json"),
		"a range named to the second":              {"p/2026-03-01T00:00:00Z-2026-03-01T10:00:00Z/chunk-0.json 2026-03-01T10:00:00.5Z"},
		// What is no date.
		"a device of digits":                  hours(30, 24, "1001|"),
		"a device of digits, then the date":   hours(30, 24, "1001/|2006/01/02/15"),
		"a device that may be a year":         hours(30, 24, "2001/|2006/01/02/15"),
		"a device that may be year and month": hours(30, 24, "1999/12/|2006/01/02/15"),
		"a number below a name":               hours(30, 24, "line-1/0007|"),
		"a year alone":                        hours(30, 24, "2001|"),
		"a number below Hive's device":        hours(30, 24, "device_id=p/0007|"),
		"a lot that may be a date":            hours(30, 24, "lot=20240115|"),
		"a number that is no year":            hours(30, 24, "y=0007|"),
		"the last partition":                  hours(30, 24, "dt=9999-12-31|"),
		"months, and days in them":            hours(300, 24, "|month=2006-01/day=2006-01-02"),
	} {
		t.Run(name, func(t *testing.T) {
			m := &buckettest.Memory{PageSize: 10}
			var instants []time.Time // of the device's rows
			for _, key := range keys {
				key, text, _ := strings.Cut(key, " ")
				device := "p"
				if at, err := time.Parse(time.RFC3339, text); strings.HasPrefix(key, "device_id=x/") || strings.HasPrefix(key, "0001/") {
					device = "x"
				} else if err == nil {
					instants = append(instants, at)
				}
				body := item(device, text, ramp(1)[0].Fields)
				if strings.Contains(key, "chunk") {
					body = []byte("[" + string(body) + "]")
				}
				m.Put(key, body)
			}
			s := store(t, m, coldstore.Options{Late: -1})
			found := func(q hotreader.Query) int {
				q.Device, q.Properties = "p", []string{"v"}
				n, _, _ := read(t, m, s, q)
				return n
			}
			for range 2 { // with what was learned, too
				for i, at := range instants {
					if i%5 > 0 {
						continue
					}
					if n := found(hotreader.Query{Start: at, End: at}); n != 1 {
						t.Errorf("%d rows at %v", n, at)
					}
				}
				for _, late := range []hotreader.Query{{}, {End: layout.Latest}, {Start: layout.Earliest, End: layout.Latest}, {Start: layout.Earliest.Add(time.Hour)}, {End: time.Date(2100, 12, 31, 23, 0, 0, 0, time.UTC)}} {
					if n := found(late); n != len(instants) {
						t.Errorf("%d rows of %d from %v to %v", n, len(instants), late.Start, late.End)
					}
				}
			}
		})
	}
}

// A form of keys that is new is found after a minute.
func TestHabitsAreLearnedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &buckettest.Memory{PageSize: 10}
		for n := range 30 {
			m.Put(fmt.Sprintf("dt=2024-03-%02d/a.jsonl", n+1), item("d", day.AddDate(0, 0, n).Format(time.RFC3339), ramp(1)[0].Fields))
		}
		s, q := store(t, m, coldstore.Options{Late: -1}), hotreader.Query{Device: "d", Properties: []string{"v"}, Start: day, End: day}
		read(t, m, s, q)
		m.Put("new.jsonl", item("d", day.Add(-time.Hour).Format(time.RFC3339), ramp(1)[0].Fields))
		q.Start = day.Add(-time.Hour)
		time.Sleep(time.Minute)
		if n, asked, _ := read(t, m, s, q); n != 2 {
			t.Errorf("%d rows, %q", n, asked)
		}
	})
}

// A row that is not where its key says is left out, and the warning says so.
func TestRowsThatCameTooLate(t *testing.T) {
	m := newMemory(map[string][]byte{
		"dt=2024-03-05/a.jsonl": item("d", "2024-03-05T00:00:00Z", ramp(1)[0].Fields),
		"dt=2024-03-09/a.jsonl": append(item("d", "2024-03-09T00:00:00Z", ramp(1)[0].Fields), item("d", "2024-03-05T12:00:00Z", ramp(1)[0].Fields)...),
	})
	for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
		got := spell(t, store(t, m, coldstore.Options{}), hotreader.Query{Device: "d", Order: order})
		if !strings.HasSuffix(got, "1 item unreadable; of the first, its timestamp is 2024-03-05T12:00:00Z, not within 2024-03-08T00:00:00Z to 2024-03-10T23:59:59Z, where its key or the file places it; late= widens a date (in dt=2024-03-09/a.jsonl)") {
			t.Errorf("%v: %s", order, got)
		}
		if got = spell(t, store(t, m, coldstore.Options{Late: 96 * time.Hour}), hotreader.Query{Device: "d", Order: order}); strings.Count(got, "\n") != 2 {
			t.Errorf("%v: %s", order, got)
		}
	}
}

// A hundred thousand objects of other times and devices are listed, not fetched, and not
// kept, whether their keys are in an order that helps or in none.
func TestAHundredThousandObjects(t *testing.T) {
	hour := func(n int) time.Time { return day.Add(time.Duration(n) * time.Hour) }
	for name, c := range map[string]struct {
		key   func(device, n int) string
		lists int
	}{
		"movers": {func(device, n int) string {
			return fmt.Sprintf("m-%d/%s-%s/chunk-00000.json", device, hour(n).Format(time.RFC3339), hour(n+1).Add(-time.Second).Format(time.RFC3339))
		}, 10},
		"dates below other names": {func(device, n int) string {
			return fmt.Sprintf("%03d/m-%d/%s/%05d.jsonl", n%1000, device, hour(n).Format("dt=2006-01-02"), n)
		}, 100},
	} {
		m := new(buckettest.Memory)
		var keys []string
		for device := range 10 {
			for n := range 10_000 {
				keys = append(keys, c.key(device, n))
			}
		}
		slices.Sort(keys)
		for _, key := range keys {
			m.Put(key, []byte("[")) // which would be an error
		}
		s := store(t, m, coldstore.Options{Late: -1})
		q := hotreader.Query{Device: "m-7", Properties: []string{"v"}, Start: day.Add(-time.Hour), End: day.Add(-time.Minute)}
		if name == "movers" {
			read(t, m, s, q) // learns how keys are written
		}
		heap := func() uint64 {
			var now runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&now)
			return now.HeapAlloc
		}
		before, most, lists := heap(), uint64(0), 0
		m.Before = func(string) {
			if lists++; lists == c.lists {
				now := heap()
				most = now - min(before, now)
			}
		}
		rows, asked, _ := read(t, m, s, q)
		if rows != 0 || len(asked) != c.lists || !strings.HasPrefix(asked[0], "list ") {
			t.Errorf("%s: %d rows, %d requests, %q", name, rows, len(asked), asked[:min(3, len(asked))])
		}
		if most > 8<<20 {
			t.Errorf("%s: %d bytes of memory at the end of the list", name, most)
		}
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
	needed := map[string]int64{} // bytes of the columns of each row group, by object, day and column
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
				needed[fmt.Sprint(key, i, c.MetaData.PathInSchema[0])] = c.MetaData.TotalCompressedSize
			}
		}
	}
	m := newMemory(objects)
	s := store(t, m, coldstore.Options{Prefix: "cold"})
	for at, column := range map[int]string{70: "temperature", 200: "pressure"} { // the latter does not lie beside the time
		from := begin.AddDate(0, 0, at)
		q := hotreader.Query{Device: "d", Properties: []string{column}, Start: from, End: from.Add(24*time.Hour - 1)}
		rows, asked, bytes := read(t, m, s, q)
		group := fmt.Sprint("cold/"+from.Format("year=2006/month=01/a.parquet"), from.Day()-1)
		touched := map[string]bool{}
		for _, a := range asked[1:] {
			touched[a] = true
		}
		need := needed[group+"timestamp"] + needed[group+column]
		if rows != int(24*time.Hour/each) || len(touched) != 1 || len(asked) > 4+len(touched) || float64(bytes) > 1.2*float64(need) {
			t.Errorf("day %d: %d rows; %d requests %q; %d bytes of %d needed", at, rows, len(asked), asked, bytes, need)
		}
		t.Logf("day %d: %d requests, %d objects, %d bytes of %d needed (%.2f)", at, len(asked), len(touched), bytes, need, float64(bytes)/float64(need))
		synctest.Test(t, func(t *testing.T) {
			m.Before = func(string) { time.Sleep(time.Second) } // a round trip
			asked := time.Now()
			for range s.Scan(t.Context(), q) {
				if took := time.Since(asked); took > 3*time.Second {
					t.Errorf("day %d: the first row after %v", at, took)
				}
				break
			}
		})
		m.Before = nil
	}
}

// Keys like a mover's may have ids, dates without marks or fewer digits than rows where a
// range is, and devices like dates.
func TestLikeMovers(t *testing.T) {
	for _, c := range []struct{ device, format, key, time string }{
		{"2001/03", "iso8601", "2001/03/2026-03-01T00:00:00Z-2026-03-02T00:00:00Z/chunk-%d.json", `"2026-03-01T10:00:%02dZ"`},
		{"p", "epoch_ms", "p/0-999/chunk-%d.json", "17723592%02d000"},
		{"p", "epoch_ms", "p/20260301000000-20260331235959/chunk-%d.json", "17723592%02d000"},
		{"p", "epoch_s", "p/20260301_to_20260331_chunk%d.json", "17723592%02d"},
		{"p", "epoch_s", "p/1772359200-1772359299/chunk-%d.json", "17723592%02d"},
		{"p", "iso8601", "p/2026-03-01T10:00:00.000Z-2026-03-01T10:00:29.123Z/chunk-%d.json", `"2026-03-01T10:00:%02d.1234Z"`},
	} {
		m := &buckettest.Memory{PageSize: 10}
		for i := range 30 {
			m.Put(fmt.Sprintf(c.key, i), fmt.Appendf(nil, `[{"device_id":%q,"timestamp":`+c.time+`,"v":1}]`, c.device, i))
		}
		s := store(t, m, coldstore.Options{Layout: layout.Layout{TimeFormat: layout.Formats{c.format}}})
		for range 2 { // with what was learned, too
			if n, _, _ := read(t, m, s, hotreader.Query{Device: c.device, Properties: []string{"v"}, Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), End: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)}); n != 30 {
				t.Errorf("%s: %d rows", c.key, n)
			}
		}
	}
}
