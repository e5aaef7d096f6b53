package tiers

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hotreader"
	"hotreader/config"
	"hotreader/store/coldstore"
	"hotreader/store/coldstore/buckettest"
)

// movers write keys and items as the predecessor's do, each on its cloud.
var movers = []struct {
	cloud     config.Cloud
	key, item string // of a first and a last time; of a time and its fields
}{
	{config.AWS, "machine/%[1]s-%[2]s/chunk-00000.json", `{%[2]s,"id":"machine_%[1]s","device_id":"machine","timestamp":"%[1]s"}`},
	{config.Azure, "machine/machine_%[1]s-machine_%[2]s/chunk-00000.json", `{"id":"machine_%[1]s","device_id":"machine","timestamp":"%[1]s",%[2]s,"_ts":1}`},
	{config.GCP, "machine/%[1]s_to_%[2]s_chunk0.json", `{"device_id":"machine",%[2]s,"timestamp":"%[1]s"}`},
}

var first = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// second is the time of a row.
func second(i int) time.Time { return first.Add(time.Duration(i) * time.Second) }

// object returns what a mover writes of records. On AWS numbers are texts.
func object(mover int, records []hotreader.Record) (key string, body []byte) {
	text := func(r hotreader.Record) string { return r.Time.Format("2006-01-02T15:04:05.000Z") }
	var items []string
	for _, r := range records {
		var fields []string
		for _, f := range r.Fields {
			value := f.Value.String()
			if f.Value.Kind() == hotreader.Number && movers[mover].cloud == config.AWS {
				value = `"` + value + `"`
			}
			fields = append(fields, fmt.Sprintf("%q:%s", f.Name, value))
		}
		items = append(items, fmt.Sprintf(movers[mover].item, text(r), strings.Join(fields, ",")))
	}
	return fmt.Sprintf(movers[mover].key, text(records[0]), text(records[len(records)-1])), []byte("[" + strings.Join(items, ", ") + "]")
}

// A paged is hot storage, read page by page, each as it is at that moment.
type paged struct {
	rows map[int]bool
	seen func() // before each page
}

func (p *paged) Scan(_ context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	const size = 2
	return func(yield func(hotreader.Row, error) bool) {
		for more := true; more; {
			p.seen()
			var page []int
			for i := range p.rows {
				if q.Contains(second(i)) {
					page = append(page, i)
				}
			}
			if slices.Sort(page); q.Backward() {
				slices.Reverse(page)
			}
			for _, i := range page[:min(size, len(page))] {
				if !yield(hotreader.Row{Time: second(i), Values: []hotreader.Value{hotreader.Int64Value(int64(i))}}, nil) {
					return
				}
			}
			if more = len(page) > size; more {
				q, more = q.Behind(second(page[size-1]))
			}
		}
	}
}

// A move is a history that movers move, step by step.
type move struct {
	hot           *paged
	cold, archive *buckettest.Memory
	steps         []func()
}

const moved = 10 // rows

// begun returns a history of which all is in hot storage. The mover to cold storage
// copies and deletes, is stopped in the middle of deleting, begins again with what is
// left and more, and so leaves objects that overlap; the one to the archive takes object
// after object.
func begun(mover int) *move {
	m := &move{hot: &paged{rows: map[int]bool{}}, cold: new(buckettest.Memory), archive: new(buckettest.Memory)}
	for i := range moved {
		m.hot.rows[i] = true
	}
	copied := func(from, to int) string {
		var records []hotreader.Record
		for i := from; i < to; i++ {
			records = append(records, hotreader.Record{Time: second(i), Fields: []hotreader.Field{{Name: "temperature", Value: hotreader.Int64Value(int64(i))}}})
		}
		key, body := object(mover, records)
		m.steps = append(m.steps, func() { m.cold.Put("cold/"+key, body) })
		return "cold/" + key
	}
	deleted := func(from, to int) {
		for i := from; i < to; i++ {
			m.steps = append(m.steps, func() { delete(m.hot.rows, i) })
		}
	}
	archived := func(key string) {
		_, name, _ := strings.Cut(key, "/")
		m.steps = append(m.steps, func() { m.cold.Copy(key, m.archive, "archive/"+name) }, func() { m.cold.Delete(key) })
	}
	a := copied(0, 4)
	deleted(0, 2)
	b := copied(2, 5)
	deleted(2, 5)
	archived(a)
	copied(5, 7)
	archived(b)
	deleted(5, 7)
	return m
}

// read reads after so many steps, with more steps once so many requests were made: each
// at one more request, or all at once.
func (m *move) read(t *testing.T, q hotreader.Query, before, at, during int, each bool) (lines []string, requests int) {
	for _, step := range m.steps[:before] {
		step()
	}
	left := m.steps[before : before+during]
	var mu sync.Mutex // objects are read side by side
	seen := func() {
		mu.Lock()
		defer mu.Unlock()
		for requests >= at && len(left) > 0 {
			left[0]()
			if left = left[1:]; each {
				break
			}
		}
		requests++
	}
	asked := func(string) { seen() }
	m.hot.seen, m.cold.Before, m.archive.Before = seen, asked, asked
	stores := map[string]hotreader.Source{"hot": m.hot}
	for name, b := range map[string]*buckettest.Memory{"cold": m.cold, "archive": m.archive} {
		s, err := coldstore.New(b, coldstore.Options{Prefix: name, Format: coldstore.Mover})
		if err != nil {
			t.Fatal(err)
		}
		stores[name] = s
	}
	return read(t, twin(t, allOnAWS(), stores), q), requests
}

// allOnAWS is a project of three tiers on one cloud.
func allOnAWS() *config.Project {
	return &config.Project{Twin: "hall", L3: config.AWS, L4: config.AWS, Cold: config.AWS, Archive: config.AWS,
		Options: config.Options{Cold: config.Objects{Bucket: "b", Prefix: "cold/"}, Archive: config.Objects{Bucket: "b", Prefix: "archive/"}}}
}

// A mover of each layout stops after any of its steps, and works on at any request of a
// read, from hot to cold storage and on to the archive: each time all rows come, each
// once.
func TestMoversAtEveryPoint(t *testing.T) { atEveryPoint(t, false) }

func atEveryPoint(t *testing.T, all bool) {
	for mover, m := range movers {
		for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
			t.Run(fmt.Sprint(m.cloud, " ", order), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { // a read waits before it asks again
					t.Logf("%d reads", everyPoint(t, mover, order, all))
				})
			})
		}
	}
}

func everyPoint(t *testing.T, mover int, order hotreader.Order, all bool) (reads int) {
	var want []string
	for i := range moved {
		want = append(want, line(hotreader.Row{Time: second(i), Values: []hotreader.Value{hotreader.Int64Value(int64(i))}}))
	}
	if order == hotreader.Descending {
		slices.Reverse(want)
	}
	q := hotreader.Query{Device: device, Properties: []string{"temperature"}, Start: first.Add(-time.Hour), End: first.Add(time.Hour), Order: order}
	total := len(begun(mover).steps)
	for before := range total + 1 {
		for at, requests := 0, 1; at < requests; at++ {
			for during := range total - before + 1 {
				if !all && during != 1 && during != total-before {
					continue
				}
				for _, each := range []bool{false, true} {
					if during < 2 && each {
						continue
					}
					got, n := begun(mover).read(t, q, before, at, during, each)
					reads, requests = reads+1, max(requests, n)
					if same(t, fmt.Sprintf("%d steps before, %d from request %d on (one each: %v)", before, during, at, each), got, want); t.Failed() {
						return reads
					}
				}
			}
		}
	}
	return reads
}
