package demo

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"hotreader"
)

var now = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func startClouds(t *testing.T, o Options) *Clouds {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	for i := range o.Listeners {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		o.Listeners[i] = l
	}
	clouds, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := clouds.Close(); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
	return clouds
}

// The check must find any difference between what is stored and what is said
// to have been written, on a local route as on a remote one.
func TestCheckFindsDifferences(t *testing.T) {
	clouds := startClouds(t, Options{Seed: 3, Now: now})
	cloud := clouds.All[2]
	written := cloud.truth
	set := func(r *hotreader.Record, name string, v hotreader.Value) {
		r.Fields = slices.Clone(r.Fields)
		for i := range r.Fields {
			if r.Fields[i].Name == name {
				r.Fields[i].Value = v
				return
			}
		}
		r.Fields = append(r.Fields, hotreader.Field{Name: name, Value: v})
	}
	for _, c := range []struct {
		name   string
		change func(truth []hotreader.Record) []hotreader.Record
		want   string
	}{
		{"a row less", func(r []hotreader.Record) []hotreader.Record { return slices.Delete(r, 100, 101) }, "ascending temperature: point 1"},
		{"the last row less", func(r []hotreader.Record) []hotreader.Record { return r[:len(r)-1] }, "latest values "}, // the event's end is the truth's, so its row is not asked for

		{"a row more", func(r []hotreader.Record) []hotreader.Record {
			more := r[len(r)-1]
			more.Time = more.Time.Add(-time.Nanosecond)
			return slices.Insert(r, len(r)-1, more)
		}, "ascending temperature: point "},
		{"a nanosecond", func(r []hotreader.Record) []hotreader.Record { r[7].Time = r[7].Time.Add(1); return r }, "ascending temperature: point 8 is of "},
		{"a whole number", func(r []hotreader.Record) []hotreader.Record {
			set(&r[9], "speed", hotreader.Int64Value(-1))
			return r
		}, "expected -1"},
		{"a boolean", func(r []hotreader.Record) []hotreader.Record {
			set(&r[9], "running", hotreader.BoolValue(!field(r[9], "running").Bool()))
			return r
		}, "ascending running: at "},
		{"a text", func(r []hotreader.Record) []hotreader.Record {
			set(&r[2000], "state", hotreader.StringValue([]byte("asleep")))
			return r
		}, `expected "asleep"`},
		{"a digit far behind", func(r []hotreader.Record) []hotreader.Record {
			v := field(r[9], "vibration")
			set(&r[9], "vibration", hotreader.NumberValue(append(slices.Clone(v.Text()), "00000000000000000001"...)))
			return r
		}, "ascending vibration: at "},
	} {
		cloud.truth = c.change(slices.Clone(written))
		for l4 := 1; l4 <= 2; l4++ {
			r, err := clouds.Check(t.Context(), l4, 2)
			if err != nil || !strings.Contains(r.Wrong, c.want) {
				t.Errorf("%s, route %d: %q, %v; want %q", c.name, l4, r.Wrong, err, c.want)
			}
		}
	}
	cloud.truth = written
	if r, err := clouds.Check(t.Context(), 1, 2); err != nil || r.Wrong != "" || r.Way != "remote" || r.Bytes == 0 {
		t.Errorf("unchanged: %+v, %v", r, err)
	}
}

func TestCompare(t *testing.T) {
	points := func(values ...string) []point {
		var all []point
		for i, v := range values {
			all = append(all, point{now.Add(time.Duration(i) * time.Second), hotreader.NumberValue([]byte(v))})
		}
		return all
	}
	for _, c := range []struct {
		got, want []point
		wrong     string
	}{
		{points("1", "2.50"), points("1.0", "2.5"), ""},
		{points("1", "2"), points("1", "3"), "w p: at 2026-03-02T12:00:01Z got 2, expected 3"},
		{points("1"), points("1", "3"), "w p: 1 of 2 points are missing, the first of 2026-03-02T12:00:01Z"},
		{points("1", "2", "3"), points("1"), "w p: 2 points too many, the first of 2026-03-02T12:00:01Z"},
		{points("1", "2")[1:], points("1"), "w p: point 1 is of 2026-03-02T12:00:01Z, expected 2026-03-02T12:00:00Z"},
		{nil, nil, "w p: nothing was there to compare"},
	} {
		k := check{result: &Result{}}
		k.compare("w", "p", c.got, c.want, hotreader.Same)
		if k.result.Wrong != c.wrong {
			t.Errorf("got %q, want %q", k.result.Wrong, c.wrong)
		}
		if k.result.Points != len(c.got) {
			t.Errorf("%d points are counted, want %d", k.result.Points, len(c.got))
		}
	}
	if nearly(hotreader.Int64Value(1), hotreader.NumberValue([]byte("1.000001"))) {
		t.Error("1 is taken for 1.000001")
	}
}

// A dead cloud is an error of its routes, never a short success.
func TestCheckOfADeadCloud(t *testing.T) {
	clouds := startClouds(t, Options{Seed: 3, Now: now})
	if err := clouds.All[1].server.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := clouds.Check(t.Context(), 0, 1)
	if !errors.Is(err, hotreader.CodeUnavailable) {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestTickWrites(t *testing.T) {
	clouds := startClouds(t, Options{Seed: 3, Now: now})
	clouds.Live(now)
	for range 3 {
		if _, err := clouds.Tick(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range clouds.All {
		n := 0
		for row, err := range hotreader.NewReader(c.history()).Read(context.Background(), hotreader.Query{Device: Device, Properties: []string{"state"}}) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n > Rows && row.Time.Before(now) {
				t.Errorf("%s: new row at %v", c.Name, row.Time)
			}
		}
		if n != Rows+3 {
			t.Errorf("%s: %d rows, want %d", c.Name, n, Rows+3)
		}
	}
}

// The page gets the clouds and the last check of each route, also while pumps report.
func TestPage(t *testing.T) {
	clouds := startClouds(t, Options{Seed: 3, Now: now})
	clouds.Live(now.Add(time.Second))
	for range 3 {
		if _, err := clouds.Tick(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r, err := clouds.Check(t.Context(), 0, 1); err != nil || !r.OK {
			t.Fatalf("%v: %v", r, err)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, clouds.All[2].URL+"/page/demo.json", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var told struct {
		Clouds []Cloud
		Routes []checked
	}
	if err := json.NewDecoder(answer.Body).Decode(&told); err != nil || len(told.Clouds) != 3 || told.Clouds[2].Token != clouds.All[2].Token {
		t.Fatalf("%v: %v", told, err)
	}
	if len(told.Routes) != 1 || !told.Routes[0].OK || told.Routes[0].Points < Rows || time.Since(told.Routes[0].Checked) > time.Minute {
		t.Errorf("%+v", told.Routes)
	}
}
