package twinmaker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"hotreader"
	"hotreader/catalog"
	"hotreader/store/memstore"
)

// devicesOf returns a catalogue of n devices of the type mixer, from mixer-0000 on,
// and of one device without a type.
func devicesOf(t failer, n int) *catalog.Catalog {
	t.Helper()
	properties := []catalog.Property{{Name: "alarm_status", Type: hotreader.ShortString}, {Name: "a", Type: hotreader.Double}, {Name: "b", Type: hotreader.Double}}
	all := []catalog.Device{{ID: "boiler", Properties: properties}}
	for i := range n {
		all = append(all, catalog.Device{ID: mixer(i), Type: "mixer", Properties: properties})
	}
	c, err := catalog.Of(all)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mixer(i int) string { return fmt.Sprintf("mixer-%04d", i) }

// mixers is a request for all of them.
func mixers(c *catalog.Catalog, properties ...string) Request {
	return Request{
		Query: hotreader.Query{Properties: properties},
		Fleet: &Fleet{Type: "mixer", Catalog: c},
		Ref:   Reference{ExternalNames: []string{"alarm_key"}},
	}
}

// series are an answer's values by device and property, in the order in which they come.
type series struct {
	keys   []string
	values map[string][]string
}

func (s *series) add(t failer, a answer) (rows int) {
	t.Helper()
	page := map[string]bool{}
	for _, p := range a.PropertyValues {
		var ref struct {
			ExternalIDProperty map[string]string `json:"externalIdProperty"`
			PropertyName       string            `json:"propertyName"`
		}
		if err := json.Unmarshal(p.Reference, &ref); err != nil || len(ref.ExternalIDProperty) != 1 {
			t.Fatalf("reference %s, %v", p.Reference, err)
		}
		key := ref.ExternalIDProperty["alarm_key"] + "." + ref.PropertyName
		if page[key] {
			t.Fatalf("%s comes twice on a page", key)
		}
		page[key] = true
		if _, ok := s.values[key]; !ok {
			s.keys = append(s.keys, key)
			if s.values == nil {
				s.values = map[string][]string{}
			}
		} else if len(p.Values) == 0 {
			t.Fatalf("%s comes again, without a value", key)
		}
		rows += len(p.Values)
		s.values[key] = append(s.values[key], nil...)
		for _, v := range p.Values {
			for kind, value := range v.Value {
				s.values[key] = append(s.values[key], v.Time+" "+kind+" "+string(value))
			}
		}
		if s.values[key] == nil {
			s.values[key] = []string{}
		}
	}
	return rows
}

// walk reads all pages, as Grafana's plugin and iot-app-kit do.
func walk(t failer, r *Responder, req Request) (all series, pages int) {
	t.Helper()
	for {
		a, body := history(t, r, req)
		pages++
		rows := all.add(t, a)
		if len(body) > r.maxBytes() {
			t.Fatalf("a page of %d bytes, of %d", len(body), r.maxBytes())
		}
		if most := max(len(req.Query.Properties), req.MaxResults); req.MaxResults > 0 && rows > most {
			t.Fatalf("a page of %d points; want at most %d", rows, most)
		}
		if a.NextToken == nil {
			return all, pages
		}
		if rows == 0 || *a.NextToken == "" || len(*a.NextToken) > MaxTokenChars {
			t.Fatalf("page %d has %d points and the token %q", pages, rows, *a.NextToken)
		}
		req.NextToken = *a.NextToken
	}
}

// filled writes rows of some devices: rows[i] of the device i, of properties a and b, of
// which some rows lack one.
func filled(t failer, rows []int) *memstore.Store {
	t.Helper()
	store := memstore.New()
	for i, n := range rows {
		var records []hotreader.Record
		for k := range n {
			r := hotreader.Record{Time: time.Unix(1_700_000_000+int64(10*k), 0)}
			if (i+k)%5 != 4 {
				r.Fields = append(r.Fields, hotreader.Field{Name: "a", Value: hotreader.Float64Value(float64(i*1000 + k))})
			}
			if i%3 != 2 && k%2 == 0 {
				r.Fields = append(r.Fields, hotreader.Field{Name: "b", Value: hotreader.Float64Value(float64(k))})
			}
			records = append(records, r)
		}
		if err := store.Write(context.Background(), mixer(i), records); err != nil {
			t.Fatal(err)
		}
	}
	return store
}

// However it is paged, a fleet's answer is that of its devices, one after the other.
func TestFleetIsItsDevices(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOfN(rapid.SampledFrom([]int{0, 0, 1, 2, 7, 30}), 1, 70).Draw(t, "rows")
		store := hotreader.NewReader(filled(t, rows))
		req := mixers(devicesOf(t, len(rows)), "a", "b")
		req.Query.Order = rapid.SampledFrom([]hotreader.Order{hotreader.Ascending, hotreader.Descending}).Draw(t, "order")
		req.Query.Start = time.Unix(1_700_000_000, 0).UTC()
		if rapid.Bool().Draw(t, "filtered") {
			req.Query.Filters = []hotreader.Filter{{Property: "a", Op: hotreader.Less, Value: hotreader.Int64Value(20_003)}}
		}
		if rapid.Bool().Draw(t, "interpolated") {
			req.Interpolation = 7 * time.Second
		}
		var want series
		for i := range rows {
			one := req
			one.Fleet, one.Query.Device = nil, mixer(i)
			a, _ := history(t, &Responder{Reader: store}, one)
			if empty := !slices.ContainsFunc(a.PropertyValues, func(p struct {
				Reference json.RawMessage `json:"entityPropertyReference"`
				Values    []struct {
					Time  string                     `json:"time"`
					Value map[string]json.RawMessage `json:"value"`
				} `json:"values"`
			}) bool {
				return len(p.Values) > 0
			}); empty && req.Query.Filters != nil {
				continue // no row of the device passes
			}
			want.add(t, a)
		}
		req.MaxResults = rapid.SampledFrom([]int{0, 1, 4, 13, 200}).Draw(t, "maxResults")
		r := &Responder{Reader: store, MaxBytes: rapid.SampledFrom([]int{0, 40_000, 25_000}).Draw(t, "maxBytes")}
		got, _ := walk(t, r, req)
		slices.Sort(got.keys) // a property without values comes when its device is done
		slices.Sort(want.keys)
		if fmt.Sprint(got.keys) != fmt.Sprint(want.keys) {
			t.Fatalf("series\n%v; want\n%v", got.keys, want.keys)
		}
		for key, values := range want.values {
			if !slices.Equal(got.values[key], values) {
				t.Fatalf("%s: %v; want %v", key, got.values[key], values)
			}
		}
	})
}

// slow is a Reader whose reads take a while each.
type slow struct {
	hotreader.Reader
	takes time.Duration
	reads atomic.Int64
	now   atomic.Int64 // that are being read
	most  atomic.Int64
	rows  atomic.Int64
}

func (s *slow) Read(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		s.reads.Add(1)
		now := s.now.Add(1)
		defer s.now.Add(-1)
		for most := s.most.Load(); now > most && !s.most.CompareAndSwap(most, now); most = s.most.Load() {
		}
		if s.takes > 0 {
			select {
			case <-time.After(s.takes):
			case <-ctx.Done():
				yield(hotreader.Row{}, ctx.Err())
				return
			}
		}
		for row, err := range s.Reader.Read(ctx, q) {
			s.rows.Add(1)
			if !yield(row, err) {
				return
			}
		}
	}
}

func TestFleetSideBySide(t *testing.T) {
	store := hotreader.NewReader(filled(t, slices.Repeat([]int{1}, 64)))
	c := devicesOf(t, 64)
	synctest.Test(t, func(t *testing.T) {
		r := &slow{Reader: store, takes: 100 * time.Millisecond}
		began := time.Now()
		all, pages := walk(t, &Responder{Reader: r}, mixers(c, "a"))
		if len(all.keys) != 64 || pages != 1 || r.reads.Load() != 64 || r.most.Load() != 32 || time.Since(began) > 300*time.Millisecond {
			t.Errorf("%d series on %d pages: %d reads, %d at once, in %v", len(all.keys), pages, r.reads.Load(), r.most.Load(), time.Since(began))
		}
	})
}

// A page reads little more than it gives, however many devices there are: by number,
// and by bytes.
func TestFleetReadsWhatItGives(t *testing.T) {
	const n = catalog.MaxDevices - 1 // and a boiler
	rows := slices.Repeat([]int{3}, n)
	store, c := hotreader.NewReader(filled(t, rows)), devicesOf(t, n)
	req := mixers(c, "a")
	req.MaxResults = 1
	for range 20 {
		r := &slow{Reader: store}
		a, _ := history(t, &Responder{Reader: r}, req)
		if len(a.PropertyValues) != 1 || len(a.PropertyValues[0].Values) != 1 || a.NextToken == nil || r.reads.Load() > 2 || r.rows.Load() > 6 {
			t.Fatalf("%d series, %d reads of %d rows", len(a.PropertyValues), r.reads.Load(), r.rows.Load())
		}
		req.NextToken = *a.NextToken
	}
	// All are empty but the last.
	rows = make([]int, n)
	rows[n-1] = 1
	r := &slow{Reader: hotreader.NewReader(filled(t, rows))}
	req.NextToken = ""
	all, pages := walk(t, &Responder{Reader: r}, req)
	if len(all.keys) != n || len(all.values[mixer(n-1)+".a"]) != 1 || pages != 1 || r.reads.Load() > n+1 {
		t.Errorf("%d series on %d pages, %d reads", len(all.keys), pages, r.reads.Load())
	}
	// Devices of many rows: those that wait hold a share each.
	r = &slow{Reader: hotreader.NewReader(filled(t, slices.Repeat([]int{10_000}, 40)))}
	a, _ := history(t, &Responder{Reader: r, MaxBytes: 1 << 20}, mixers(devicesOf(t, 40), "a"))
	if most := int64(4 << 20 / minPoint); a.NextToken == nil || r.rows.Load() > most {
		t.Errorf("%d rows were read for a page; want at most %d", r.rows.Load(), most)
	}
	reads := r.reads.Load()
	req = mixers(devicesOf(t, 40), "a")
	req.NextToken = *a.NextToken
	if history(t, &Responder{Reader: r, MaxBytes: 1 << 20}, req); r.reads.Load()-reads > 12 {
		t.Errorf("%d reads for the second page, though the first had one device", r.reads.Load()-reads)
	}
}

// A page never takes longer than its time. Without a row it is an error, which says how
// far it came.
func TestFleetKeepsItsTime(t *testing.T) {
	store, c := hotreader.NewReader(filled(t, append(slices.Repeat([]int{0}, 200), 1, 1))), devicesOf(t, 202)
	full, fullDevices := hotreader.NewReader(filled(t, slices.Repeat([]int{1}, 200))), devicesOf(t, 200)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, err := (&Responder{Reader: &slow{Reader: store, takes: time.Second}}).AppendHistory(ctx, nil, mixers(c, "a"))
		said, ok := errors.AsType[*Said](err)
		if !errors.Is(err, hotreader.CodeDeadline) || !ok || !strings.Contains(said.Text, `64 of the 202 devices of the type "mixer"`) || ctx.Err() != nil {
			t.Errorf("%v, %v", err, ctx.Err())
		}
		r := &Responder{Reader: &slow{Reader: full, takes: time.Second}}
		var all series
		req, pages := mixers(fullDevices, "a"), 0
		for more := true; more; pages++ {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			body, err := r.AppendHistory(ctx, nil, req)
			if ctx.Err() != nil {
				t.Error("the page took longer than its time")
			}
			cancel()
			a, _ := parsed(t, body, err)
			if rows := all.add(t, a); rows == 0 {
				t.Fatal("an empty page")
			}
			if more = a.NextToken != nil; more {
				req.NextToken = *a.NextToken
			}
		}
		if len(all.keys) != 200 || pages != 4 {
			t.Errorf("%d devices on %d pages", len(all.keys), pages)
		}
	})
}

// failing is a Reader that fails for one device.
type failing struct {
	hotreader.Reader
	device string
	err    error // nil = it panics
}

func (f failing) Read(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	if q.Device != f.device {
		return f.Reader.Read(ctx, q)
	}
	if f.err == nil {
		panic("a defect")
	}
	return hotreader.Fail(f.err)
}

// No answer of some devices stands for one of all.
func TestFleetIsWholeOrFails(t *testing.T) {
	store, c := hotreader.NewReader(filled(t, slices.Repeat([]int{2}, 50))), devicesOf(t, 50)
	for _, code := range []hotreader.Code{hotreader.CodeThrottled, hotreader.CodeForbidden, hotreader.CodeDeadline, hotreader.CodeUnreadable} {
		fail := &hotreader.Error{Op: "store", Code: code}
		for _, device := range []string{mixer(0), mixer(17), mixer(49)} {
			body, err := (&Responder{Reader: failing{store, device, fail}}).AppendHistory(t.Context(), []byte("kept"), mixers(c, "a"))
			if !errors.Is(err, code) || string(body) != "kept" {
				t.Errorf("%s of %s: %.60s, %v", code, device, body, err)
			}
		}
	}
	defer func() {
		if v := recover(); v == nil || !strings.Contains(fmt.Sprint(v), "fleet_test.go") {
			t.Errorf("recovered %v; want the panic and its place", v)
		}
	}()
	_, _ = (&Responder{Reader: failing{store, mixer(17), nil}}).AppendHistory(t.Context(), nil, mixers(c, "a"))
}

// A property of which all values of all devices are left out is an error; else what is
// left out of some is not.
func TestFleetNothingLeft(t *testing.T) {
	write := func(values ...string) hotreader.Reader {
		store := memstore.New()
		for i, v := range values {
			if err := store.Write(t.Context(), mixer(i), []hotreader.Record{{Time: time.Unix(1, 0), Fields: []hotreader.Field{
				{Name: "a", Value: hotreader.StringValue([]byte(v))}, {Name: "b", Value: hotreader.Int64Value(1)}}}}); err != nil {
				t.Fatal(err)
			}
		}
		return hotreader.NewReader(store)
	}
	for _, c := range []struct {
		values []string
		fails  bool
	}{
		{[]string{"1", "x", "x"}, false}, {[]string{"x", "x", "1"}, false}, {[]string{"x", "x", "x"}, true},
	} {
		for _, maxResults := range []int{0, 2} {
			req := mixers(devicesOf(t, 3), "a", "b")
			req.Query.Types, req.MaxResults = []hotreader.Type{hotreader.Double, hotreader.Double}, maxResults
			var err error
			for more := true; more && err == nil; {
				var body []byte
				if body, err = (&Responder{Reader: write(c.values...)}).AppendHistory(t.Context(), nil, req); err == nil {
					a, _ := parsed(t, body, err)
					if more = a.NextToken != nil; more {
						req.NextToken = *a.NextToken
					}
				}
			}
			if c.fails != errors.Is(err, hotreader.CodeUnreadable) || !c.fails && err != nil {
				t.Errorf("%v, maxResults %d: %v", c.values, maxResults, err)
			}
		}
	}
}

// A fleet's nextToken belongs to its query, and goes on where the twin has other
// devices now.
func TestFleetTokens(t *testing.T) {
	store := hotreader.NewReader(filled(t, slices.Repeat([]int{3}, 10)))
	r := &Responder{Reader: store}
	req := mixers(devicesOf(t, 10), "a")
	for _, maxResults := range []int{3, 4} { // at a device's end, and within one
		req.MaxResults, req.NextToken = maxResults, ""
		a, _ := history(t, r, req)
		req.NextToken = *a.NextToken
		for name, change := range map[string]func(*Request){
			"another type": func(r *Request) { r.Fleet = &Fleet{Type: "boiler", Catalog: r.Fleet.Catalog} },
			"one device":   func(r *Request) { r.Fleet, r.Query.Device = nil, mixer(1) },
			"another filter": func(r *Request) {
				r.Query.Filters = []hotreader.Filter{{Property: "a", Value: hotreader.Int64Value(1)}}
			},
			"interpolated": func(r *Request) { r.Query.Start, r.Interpolation = time.Unix(1, 0), time.Second },
			"another component of it": func(r *Request) {
				r.Ref = Reference{EntityID: "e", ComponentPath: "a/b"}
			},
		} {
			other := req
			change(&other)
			if _, err := r.AppendHistory(t.Context(), nil, other); !errors.Is(err, hotreader.CodeInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		fewer, err := catalog.Of([]catalog.Device{{ID: mixer(5), Type: "mixer"}, {ID: mixer(0), Type: "mixer"}})
		if err != nil {
			t.Fatal(err)
		}
		again := req
		again.Fleet, again.MaxResults = &Fleet{Type: "mixer", Catalog: fewer}, 0
		rest, _ := walk(t, r, again)
		if fmt.Sprint(rest.keys) != "[mixer-0005.a]" {
			t.Errorf("behind mixer-0000, or in mixer-0001 that has gone: %v", rest.keys)
		}
	}
}

func TestDecodeFleets(t *testing.T) {
	asks := func(componentType string, more ...string) []byte {
		return anEvent(append([]string{"entityId", "", "componentName", "", "componentTypeId", `"` + componentType + `"`, "selectedProperties", `["alarm_status"]`,
			"properties", `{"alarm_key":{"definition":{"dataType":{"type":"STRING"},"isExternalId":true}},"alarm_status":{"definition":{}}}`}, more...)...)
	}
	entity := []string{"entityId", `"e"`, "componentName", `"c"`}
	last := []string{"startTime", "", "endTime", ""}
	lookup := func(context.Context, string, string, string) (Component, error) {
		return Component{ExternalID: mixer(7), TypeID: "t-mixer"}, nil
	}
	one := devicesOf(t, 1)
	d := Devices{Twin: "t", Catalog: devicesOf(t, 12)}
	for _, c := range []struct {
		name          string
		devices       Devices
		event         []byte
		last          bool
		device, fleet string
		says          string
	}{
		{name: "a shared type", devices: d, event: asks("t-mixer"), fleet: "mixer"},
		{name: "shared by one", devices: Devices{Twin: "t", Catalog: one}, event: asks("t-mixer"), fleet: "mixer"},
		{name: "a device's own type", devices: d, event: asks("t-boiler"), device: "boiler"},
		{name: "no catalogue", devices: Devices{Twin: "t"}, event: asks("t-mixer-1"), device: "mixer-1"},
		{name: "a filter on a device of it", devices: d, event: asks("t-mixer", "propertyFilters", `[{"propertyName":"alarm_key","operator":"=","value":{"stringValue":"`+mixer(3)+`"}}]`), fleet: "mixer"},
		{name: "a filter on nobody", devices: d, event: asks("t-mixer", "propertyFilters", `[{"propertyName":"alarm_key","operator":"=","value":{"stringValue":"mixer-99"}}]`), says: `propertyFilters select the device "mixer-99", which is not in the catalogue`},
		{name: "a filter on another type's", devices: d, event: asks("t-mixer", "propertyFilters", `[{"propertyName":"alarm_key","operator":"=","value":{"stringValue":"boiler"}}]`), says: `"boiler", which is not of the type "mixer"`},
		{name: "a filter on a number", devices: d, event: asks("t-mixer", "propertyFilters", `[{"propertyName":"alarm_key","operator":"=","value":{"integerValue":1}}]`), says: `value is 1, but property "alarm_key" is an external id; expected a stringValue`},
		{name: "a type that nobody has", devices: d, event: asks("t-mxer"), says: `componentTypeId "t-mxer" is of no device of the catalogue (did you mean "t-mixer"?); correct it`},
		{name: "a device that has a type", devices: d, event: asks("t-" + mixer(3)), says: "is of no device of the catalogue"},
		{name: "a type without the twin's name", devices: d, event: asks("mixer"), says: `componentTypeId is "mixer", without the twin's name; expected "t-mixer"`},
		{name: "another twin's", devices: d, event: asks("u-mixer"), says: `componentTypeId "u-mixer" does not begin with "t-"`},
		{name: "no external id", devices: d, event: asks("t-mixer", "properties", `{"alarm_status":{}}`), says: "no property of the component type says isExternalId"},
		{name: "latest values of many", devices: d, event: asks("t-mixer", last...), last: true, says: "shared by 12 devices, and a last-entry answer has one value"},
		{name: "latest values of one", devices: Devices{Twin: "t", Catalog: one}, event: asks("t-mixer", last...), last: true, device: mixer(0)},
		{name: "an entity of it", devices: d, event: asks("t-mixer", entity...), says: `componentTypeId "t-mixer" is shared by 12 devices`},
		{name: "an entity of it that TwinMaker knows", devices: Devices{Twin: "t", Catalog: d.Catalog, Lookup: lookup}, event: asks("t-mixer", entity...), device: mixer(7)},
		{name: "an entity of a type that nobody has", devices: d, event: asks("t-mxer", entity...), says: `componentTypeId "t-mxer" is of no device of the catalogue`},
	} {
		t.Run(c.name, func(t *testing.T) {
			decode := c.devices.DecodeHistory
			if c.last {
				decode = c.devices.DecodeLastEntry
			}
			req, err := decode(t.Context(), c.event)
			if c.says != "" {
				if !errors.Is(err, hotreader.CodeInvalid) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("error %v; want one that says %q", err, c.says)
				}
				return
			}
			if err != nil || req.Query.Device != c.device || (req.Fleet != nil) != (c.fleet != "") || req.Fleet != nil && req.Fleet.Type != c.fleet {
				t.Errorf("%+v, %v", req, err)
			}
			if want := map[bool]hotreader.Type{true: hotreader.ShortString}[c.devices.Catalog != nil]; err == nil && req.Query.Types[0] != want {
				t.Errorf("type %v; want the catalogue's %v", req.Query.Types[0], want)
			}
		})
	}
}

// TestConstants: a constant of the catalogue has no rows. Alone it is an error, beside
// others a warning, which names its value.
func TestConstants(t *testing.T) {
	list, err := catalog.Of([]catalog.Device{{ID: mixer(0), Type: "mixer", Properties: []catalog.Property{
		{Name: "a", Type: hotreader.Double}, {Name: "serial", Type: hotreader.ShortString, Constant: `"S-1"`}}}})
	if err != nil {
		t.Fatal(err)
	}
	r := &Responder{Reader: hotreader.NewReader(filled(t, []int{3}))}
	const says = `serial: a constant of the catalogue, which devices do not report; its value is "S-1", which TwinMaker has itself`
	for selected, fails := range map[string]bool{`["serial"]`: true, `["a","serial"]`: false} {
		event := anEvent("entityId", "", "componentName", "", "componentTypeId", `"t-mixer"`, "selectedProperties", selected, "startTime", `"2020-01-01T00:00:00Z"`,
			"properties", `{"deviceId":{"definition":{"dataType":{"type":"STRING"},"isExternalId":true}},"a":{"definition":{}},"serial":{"definition":{}}}`)
		req, err := Devices{Twin: "t", Catalog: list}.DecodeHistory(t.Context(), event)
		if err != nil {
			t.Fatal(err)
		}
		stats := new(hotreader.Stats)
		_, err = r.AppendHistory(hotreader.WithStats(t.Context(), stats), nil, req)
		if w := stats.Warnings(); len(w) != 1 || w[0].String() != says || fails != (err != nil) || fails && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, %v", selected, w, err)
		}
	}
}
