package exporter

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/store/coldstore"
)

var began = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// series is so many rows, as real machines have them: one number every five minutes, some
// gaps, digits of doubles.
func series(n int) (all []hotreader.Record) {
	for i := range n {
		at := began.Add(time.Duration(i+i/1000*7) * 5 * time.Minute)
		fields := []hotreader.Field{{Name: "temperature", Value: hotreader.Float64Value(85 + 20*math.Sin(float64(i)/250) + float64(i%17)/3)}}
		if i%10 == 0 {
			fields = append(fields, hotreader.Field{Name: "state", Value: hotreader.StringValue([]byte([]string{"running", "", `é "7"`}[i/10%3]))})
		}
		all = append(all, hotreader.Record{Time: at, Fields: fields})
	}
	return all
}

// odd are rows of values that no plain column holds.
func odd() (all []hotreader.Record) {
	values := map[string][]hotreader.Value{
		"mixed":    {number("1.50"), hotreader.StringValue([]byte("1.5")), hotreader.BoolValue(true), hotreader.StringValue([]byte(`{"a":[1]}`)), hotreader.StringValue([]byte("true")), {}},
		"wide":     {number("12345678901234567890.123456789012345678"), number("-0.1"), {}, number("1e-300"), number("0"), number("2e+5")},
		"long":     {number("9007199254740993"), number("-1"), number("9223372036854775807"), {}, number("0"), number("-0")},
		"texts":    {hotreader.StringValue([]byte("7")), hotreader.StringValue(nil), hotreader.StringValue([]byte("\u2028\x00\"\\")), {}, {}, {}},
		"on":       {hotreader.BoolValue(true), hotreader.BoolValue(false), {}, {}, {}, hotreader.BoolValue(true)},
		"a.b/c=d":  {number("1"), number("2.50"), number("1e3"), number("-4"), {}, number("0.1")},
		"Wasser °": {number("1"), {}, {}, {}, {}, {}},
	}
	for i := range 6 {
		r := hotreader.Record{Time: began.Add(time.Duration(i) * time.Nanosecond)}
		for _, name := range slices.Sorted(maps.Keys(values)) {
			if v := values[name][i]; !v.IsNull() {
				r.Fields = append(r.Fields, hotreader.Field{Name: name, Value: v})
			}
		}
		all = append(all, r)
	}
	return all
}

func number(digits string) hotreader.Value { return hotreader.NumberValue([]byte(digits)) }

// An item that comes later and cannot be read has no copy: nothing can be deleted, whether it
// came after the export or after a run that did not come to its end.
func TestNothingIsDeletableAfterALateItemThatIsUnreadable(t *testing.T) {
	for name, c := range map[string]struct {
		puts    int // of the run before the item came
		already bool
	}{
		"after the export":              {9, true},
		"after the plan":                {1, false},
		"after an object":               {2, false},
		"after the last of the objects": {3, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, map[string][]hotreader.Record{"d": series(10)})
			f.ObjectRows = 5
			whole := f.Target
			f.Target = &cut{whole, c.puts}
			if r, err := f.run(t); c.already != (err == nil) || c.already && !r[0].Delete {
				t.Fatalf("%+v, %v", r, err)
			}
			f.Target, f.Source = whole, warning{f.source}
			if r := f.must(t)[0]; r.Delete || r.Already != c.already || len(r.Warnings) != 1 || c.already != (len(r.Notes) == 1) {
				t.Errorf("%+v", r)
			}
			if f.Source = f.source; c.already {
				return
			}
			if r := f.must(t)[0]; r.Delete || !r.Already || len(r.Warnings) != 1 || r.Warnings[0].Reason != hotreader.Unreadable {
				t.Errorf("the manifest does not say it: %+v", r)
			}
		})
	}
}

// A record that comes after an export has no copy: nothing of that range can be deleted then.
func TestNothingIsDeletableAfterALateRecord(t *testing.T) {
	f := newFixture(t, map[string][]hotreader.Record{"d": series(100)})
	if r := f.must(t); !r[0].Delete {
		t.Fatalf("%+v", r)
	}
	late := series(2)[1:]
	late[0].Time = late[0].Time.Add(-time.Millisecond)
	if err := f.source.Write(t.Context(), "d", late); err != nil {
		t.Fatal(err)
	}
	if r := f.must(t)[0]; !r.Already || r.Delete || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "has changed in this range since") {
		t.Errorf("%+v", r)
	}
}

// What was exported is read from cold storage as it was in the source, in both orders, also in
// parts, and a run once more changes nothing.
func TestExport(t *testing.T) {
	f := newFixture(t, map[string][]hotreader.Record{"machine-1": series(22_683), "a/b=c %ü": odd(), "..": odd()[:1], "machine-11": series(1)})
	for _, r := range f.must(t) {
		if !r.Delete || r.Already || len(r.Notes)+len(r.Warnings) > 0 {
			t.Errorf("%+v", r)
		}
	}
	before := tree(t, f.dir)
	for _, d := range f.Devices {
		for _, q := range []hotreader.Query{
			{}, {Order: hotreader.Descending},
			{Start: began.Add(1), End: began.Add(4)},
			{Start: began.AddDate(0, 1, 0).Add(time.Second), End: began.AddDate(0, 2, 0)},
		} {
			q.Device, q.Properties = d.ID, d.Properties
			if want, got := rowsOf(t, f.source, q), rowsOf(t, f.cold(t), q); !slices.Equal(want, got) {
				t.Errorf("%s: %d rows, want %d\n%.1000q\n%.1000q", d.ID, len(got), len(want), got, want)
			}
		}
	}
	for _, r := range f.must(t) {
		if !r.Already || !r.Delete {
			t.Errorf("again: %+v", r)
		}
	}
	if after := tree(t, f.dir); !maps.Equal(before, after) {
		t.Errorf("a second run changed the target")
	}
	if n := len(before); n != 10+3+2*4 {
		t.Errorf("%d objects", n)
	}
}

// A day out of a year costs a list, the file's end and its row group; objects and row groups
// of other days, and other columns, are not fetched.
func TestDayOutOfAYear(t *testing.T) {
	f := newFixture(t, map[string][]hotreader.Record{"d": series(100_000)})
	f.ObjectRows, f.GroupRows = 50_000, 2000
	f.must(t)
	stats := new(hotreader.Stats)
	q := hotreader.Query{Device: "d", Properties: []string{"state"}, Start: began.AddDate(0, 8, 0), End: began.AddDate(0, 8, 1)}
	rows := 0
	for _, err := range f.cold(t).Scan(hotreader.WithStats(t.Context(), stats), q) {
		if err != nil {
			t.Fatal(err)
		}
		rows++
	}
	if reads, bytes := stats.Reads.Load(), stats.Bytes.Load(); rows < 280 || reads > 4 || bytes > 40_000 {
		t.Errorf("%d rows: %d requests, %d bytes", rows, reads, bytes)
	}
}

// Without times an export goes on where the last one ended; columns keep their types.
func TestGoesOn(t *testing.T) {
	f := newFixture(t, map[string][]hotreader.Record{"d": series(3000)})
	f.Start, f.End = time.Time{}, began.AddDate(0, 0, 5)
	first := f.must(t)[0]
	f.End = time.Time{}
	f.Now = began.AddDate(0, 0, 8).Add(time.Hour)
	second := f.must(t)[0]
	if want := began.AddDate(0, 0, 7).Add(-1); !second.Start.Equal(first.End.Add(1)) || !second.End.Equal(want) || first.Rows+second.Rows != 7*288-14 && second.Rows == 0 {
		t.Errorf("%+v\n%+v", first, second)
	}
	write := func(at time.Time, v hotreader.Value) {
		if err := f.source.Write(t.Context(), "d", []hotreader.Record{{Time: at, Fields: []hotreader.Field{{Name: "temperature", Value: v}}}}); err != nil {
			t.Fatal(err)
		}
	}
	write(began.AddDate(0, 0, 7).Add(1000), number("9007199254740993.5"))
	f.Now = began.AddDate(0, 0, 9)
	if r := f.must(t)[0]; len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "the column temperature is JSON; in the files before it is DOUBLE") {
		t.Errorf("%+v", r)
	}
	f.Now = began.AddDate(0, 0, 10)
	if r := f.must(t)[0]; len(r.Notes) != 0 || r.Rows == 0 {
		t.Errorf("%+v", r)
	}
	q := hotreader.Query{Device: "d", Properties: f.Devices[0].Properties, End: began.AddDate(0, 0, 9).Add(-1)}
	if want, got := rowsOf(t, f.source, q), rowsOf(t, f.cold(t), q); !slices.Equal(want, got) {
		t.Errorf("%d rows, want %d", len(got), len(want))
	}
}

// What keeps an export from being made, and what it says.
func TestRefuses(t *testing.T) {
	put := func(key, body string) func(t *testing.T, f *fixture) {
		return func(t *testing.T, f *fixture) {
			if _, err := f.Target.Put(t.Context(), key, []byte(body)); err != nil {
				t.Fatal(err)
			}
		}
	}
	exported := func(t *testing.T, f *fixture) { f.must(t) }
	for name, c := range map[string]struct {
		before []func(t *testing.T, f *fixture)
		change func(f *fixture)
		code   hotreader.Code
		says   string
	}{
		"other data":         {before: do(put("2026/03/a.jsonl", "{}")), code: hotreader.CodeConfig, says: "holds other data, as 2026/03/a.jsonl"},
		"data of a mover":    {before: do(exported, put("zzz/x.json", "[]")), code: hotreader.CodeConfig, says: "holds other data, as zzz/x.json"},
		"somebody's devices": {before: do(put("device_id=a/part-0.parquet", "x")), code: hotreader.CodeConfig, says: "other data"},
		"no manifest has it": {before: do(exported, put("device_id=d/"+rangeName+".parquet", "x")), code: hotreader.CodeConfig, says: "no manifest has it"},
		"overlap": {before: do(exported), change: func(f *fixture) { f.Start = began.Add(time.Hour) }, code: hotreader.CodeInvalid,
			says: "2025-01-01T00:00:00Z to 2026-12-30T23:59:59.999999999Z has been exported already"},
		"column's name":  {change: func(f *fixture) { f.Devices[0].Properties = []string{"timestamp"} }, code: hotreader.CodeInvalid, says: "the property timestamp"},
		"no properties":  {change: func(f *fixture) { f.Devices[0].Properties = nil }, code: hotreader.CodeInvalid, says: "no property is selected"},
		"lost object":    {before: do(exported, func(t *testing.T, f *fixture) { f.remove(t, ".parquet") }), code: hotreader.CodeCorrupt, says: "is not there as its manifest"},
		"bytes zeroed":   {before: do(exported, func(t *testing.T, f *fixture) { f.spoil(t, ".parquet", func(b []byte) { clear(b) }) }), code: hotreader.CodeCorrupt, says: ".parquet is damaged: its bytes are not"},
		"a byte flipped": {before: do(exported, func(t *testing.T, f *fixture) { f.spoil(t, ".parquet", func(b []byte) { b[len(b)/2] ^= 1 }) }), code: hotreader.CodeCorrupt, says: "put back an earlier version of the object"},
		"checksum taken out": {before: do(exported, func(t *testing.T, f *fixture) {
			f.spoil(t, manifestEnd, func(b []byte) { copy(b, bytes.ReplaceAll(b, []byte(`"sha256"`), []byte(`"sha257"`))) })
		}), code: hotreader.CodeCorrupt, says: ".parquet is damaged"},
		"broken manifest": {before: do(put("device_id=d/_"+rangeName+".manifest.json", "{}")), code: hotreader.CodeCorrupt, says: "is no manifest"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, map[string][]hotreader.Record{"d": series(10)})
			for _, b := range c.before {
				b(t, f)
			}
			if c.change != nil {
				c.change(f)
			}
			if _, err := f.run(t); hotreader.CodeOf(err) != c.code || !strings.Contains(fmt.Sprint(err), c.says) {
				t.Errorf("%v: %v", hotreader.CodeOf(err), err)
			}
		})
	}
}

// Somebody else may write into the target. What no export writes there is not followed:
// nothing is read, written or called deletable because of it, and nothing breaks.
func TestForgedManifests(t *testing.T) {
	for name, forge := range map[string]func(m *manifest){
		"another device":          func(m *manifest) { m.Device = "e" },
		"a device that is a path": func(m *manifest) { m.Device = "../d" },
		"a device with a NUL":     func(m *manifest) { m.Device = "d\x00" },
		"an earlier start":        func(m *manifest) { m.Start = time.Time{} },
		"a later end":             func(m *manifest) { m.End = m.End.AddDate(1000, 0, 0) },
		"no objects":              func(m *manifest) { m.Objects = nil },
		"more rows":               func(m *manifest) { m.Rows++ },
		"more rows of an object": func(m *manifest) {
			m.Objects[0].Rows += 1 << 62
			m.Rows += 1 << 62
			m.Objects[1].Rows += 1 << 62
			m.Rows += 1 << 62
		},
		"an object without rows":    func(m *manifest) { m.Rows -= m.Objects[0].Rows; m.Objects[0].Rows = 0 },
		"less than no rows":         func(m *manifest) { m.Rows -= m.Objects[0].Rows + 1; m.Objects[0].Rows = -1 },
		"an object twice":           func(m *manifest) { m.Objects[1] = m.Objects[0]; m.Rows = 4 },
		"objects in no order":       func(m *manifest) { slices.Reverse(m.Objects) },
		"an object outside":         func(m *manifest) { m.Objects[0].Key = "../" + m.Objects[0].Key },
		"an object elsewhere":       func(m *manifest) { m.Objects[0].Key = "device_id=e/" + rangeName + parquetEnd },
		"an object after the end":   func(m *manifest) { m.Objects[1].To = m.End.Add(1) },
		"an object before its time": func(m *manifest) { m.Objects[0].To = m.Objects[0].From.Add(-1) },
		"no row groups":             func(m *manifest) { m.GroupRows = 0 },
		"less than no bytes":        func(m *manifest) { m.Objects[0].Bytes = -1 },
		"all bytes that there are":  func(m *manifest) { m.Objects[0].Bytes = math.MaxInt64 },
		"no columns":                func(m *manifest) { m.Columns = nil },
		"times as texts":            func(m *manifest) { m.Columns[0].Type = varchar },
		"two columns of the time":   func(m *manifest) { m.Columns[1].Name, m.Properties[0] = timeColumn, timeColumn },
		"a column twice":            func(m *manifest) { m.Columns = append(m.Columns, m.Columns[1]) },
		"a column of nothing":       func(m *manifest) { m.Columns[1].Name = "secret" },
		"more than there may be":    func(m *manifest) { m.Source = strings.Repeat("x", maxManifest) },
	} {
		for _, end := range []string{planEnd, manifestEnd} {
			f := newFixture(t, map[string][]hotreader.Record{"d": series(4), "e": series(4)})
			f.ObjectRows, f.Devices = 2, f.Devices[:1]
			f.must(t)
			path := "device_id=d/_" + coldstore.RangeName(began, f.Now.AddDate(0, 0, -1).Add(-1))
			m := new(manifest)
			if err := json.Unmarshal([]byte(tree(t, f.dir)[path+end]), m); err != nil {
				t.Fatal(err)
			}
			forge(m)
			f.remove(t, "_")
			if _, err := f.Target.Put(t.Context(), path+end, marshalled(t, m)); err != nil {
				t.Fatal(err)
			}
			before := tree(t, f.dir)
			_, err := f.run(t)
			if hotreader.CodeOf(err) != hotreader.CodeCorrupt || !strings.Contains(err.Error(), "is no manifest") || !maps.Equal(before, tree(t, f.dir)) {
				t.Errorf("%s, %s: %v", name, end, err)
			}
		}
	}
}

// Of three bytes a list makes an object: what a manifest takes is bounded by what it lists, too.
func TestManifestOfNothings(t *testing.T) {
	for list, of := range map[string]string{"objects": "{},", "columns": "{},", "warnings": "{},", "properties": `"",`} {
		for _, n := range []int{maxThings - 9, maxManifest/3 - 99} {
			text := []byte(`{"` + list + `":[` + strings.Repeat(of, n)[:3*n-1] + `]}`)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := decode(text, "d", "_x")
			if runtime.ReadMemStats(&after); err == nil || after.TotalAlloc-before.TotalAlloc > 400<<20 {
				t.Errorf("%d %s took %d bytes, %v", n, list, after.TotalAlloc-before.TotalAlloc, err)
			}
		}
	}
}

func marshalled(t *testing.T, v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A plan cannot have more of the source held than a plan of ours: an object ends by its
// bytes, whatever rows it is said to have.
func TestForgedPlanOfOneHugeObject(t *testing.T) {
	f := newFixture(t, map[string][]hotreader.Record{"d": series(1)})
	f.Devices[0].Properties = []string{"v"}
	s := &endless{value: hotreader.StringValue(bytes.Repeat([]byte("x"), 1<<20))}
	f.Source, f.ObjectSize = s, 8<<20
	m := &manifest{Format: formatName, Source: f.From, Device: "d", Start: began, End: f.Now, Rows: 1 << 40, GroupRows: 1,
		Properties: []string{"v"}, Columns: []column{{timeColumn, micros}, {"v", varchar}}, Objects: []object{{From: began, To: f.Now, Rows: 1 << 40}}}
	m.Objects[0].Key = m.objectKey(&m.Objects[0])
	if _, err := f.Target.Put(t.Context(), m.key(planEnd), marshalled(t, m)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.run(t); err == nil || !strings.Contains(err.Error(), "the source changed") || s.rows > 9 {
		t.Errorf("%d rows, %v", s.rows, err)
	}
}

// endless is a source without an end.
type endless struct {
	hotreader.Source
	value hotreader.Value
	rows  int
}

func (e *endless) Scan(context.Context, hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		for yield(hotreader.Row{Time: began.Add(time.Duration(e.rows) * time.Second), Values: []hotreader.Value{e.value}}, nil) {
			e.rows++
		}
	}
}

// What was copied from one store is no copy of another.
func TestOfAnotherStore(t *testing.T) {
	f := newFixture(t, map[string][]hotreader.Record{"d": series(10)})
	f.must(t)
	f.From = "bolt:other.db"
	if r := f.must(t)[0]; !r.Already || r.Delete || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "was made from mem:") {
		t.Errorf("%+v", r)
	}
}

func do(all ...func(t *testing.T, f *fixture)) []func(t *testing.T, f *fixture) { return all }

// A store that changes between plan and end is reported, whatever changed; so is a copy that is
// not what the store has.
func TestChanges(t *testing.T) {
	at := began.Add(8000 * 5 * time.Minute)
	for name, c := range map[string]struct {
		record hotreader.Record
		spoil  string
		says   string
	}{
		"a late row":        {hotreader.Record{Time: at.Add(1), Fields: []hotreader.Field{{Name: "temperature", Value: number("1")}}}, "", "the source changed"},
		"in a whole object": {hotreader.Record{Time: began.Add(1), Fields: []hotreader.Field{{Name: "temperature", Value: number("1")}}}, "", "the source changed"},
		"another value":     {hotreader.Record{Time: at, Fields: []hotreader.Field{{Name: "temperature", Value: number("1")}}}, "", "the source changed"},
		"another kind":      {hotreader.Record{Time: at, Fields: []hotreader.Field{{Name: "temperature", Value: hotreader.BoolValue(true)}}}, "", "the source changed"},
		"behind the last":   {hotreader.Record{Time: began.AddDate(1, 0, 0), Fields: []hotreader.Field{{Name: "temperature", Value: number("1")}}}, "", "the source changed"},
		"an object's rows":  {spoil: ".parquet", says: "does not hold what the source has"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, map[string][]hotreader.Record{"d": series(10_000)})
			whole := f.Target
			f.Target = &cut{whole, 3}
			if _, err := f.run(t); err == nil {
				t.Fatal("it was not stopped")
			}
			f.Target = whole
			if c.spoil != "" {
				other := newFixture(t, map[string][]hotreader.Record{"d": series(2500)})
				other.source.Write(t.Context(), "d", []hotreader.Record{{Time: began, Fields: []hotreader.Field{{Name: "temperature", Value: number("7")}}}})
				other.must(t)
				f.copy(t, other, c.spoil)
			} else if err := f.source.Write(t.Context(), "d", []hotreader.Record{c.record}); err != nil {
				t.Fatal(err)
			}
			_, err := f.run(t)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
			for name := range tree(t, f.dir) {
				if strings.HasSuffix(name, manifestEnd) {
					t.Errorf("a manifest was written")
				}
			}
		})
	}
}

// A property that the store has meanwhile is reported, and that the range may not be deleted; so
// are values that cannot be copied.
func TestWhatIsLost(t *testing.T) {
	f := newFixture(t, map[string][]hotreader.Record{"d": series(10)})
	whole := f.Target
	f.Target = &cut{whole, 1}
	if _, err := f.run(t); err == nil {
		t.Fatal("it was not stopped")
	}
	f.Target = whole
	f.Devices[0].Properties = append(f.Devices[0].Properties, "late")
	if r := f.must(t)[0]; r.Delete || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "the property late is not in this export") {
		t.Errorf("%+v", r)
	}
	f = newFixture(t, map[string][]hotreader.Record{"d": series(10)})
	f.Source = warning{f.source}
	for _, already := range []bool{false, true} {
		if r := f.must(t)[0]; r.Delete || r.Already != already || len(r.Warnings) != 1 {
			t.Errorf("%+v", r)
		}
	}
}

// warning is a source that leaves something out.
type warning struct{ hotreader.Source }

func (w warning) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	hotreader.StatsOf(ctx).Warn(hotreader.Warning{Reason: hotreader.Unreadable, Property: "temperature", Count: 2, Detail: "bytes"})
	return w.Source.Scan(ctx, q)
}
