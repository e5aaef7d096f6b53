package httpapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hotreader"
	"hotreader/catalog"
	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/store/memstore"
)

func packed(t testing.TB, devices ...catalog.Device) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Of(devices)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// hall is a twin of which the store has the pump alone, and a device more.
func hall(t testing.TB) *catalog.Catalog {
	pump := []catalog.Property{
		{Name: "temperature", Type: hotreader.Double, Unit: "°C"},
		{Name: "on", Type: hotreader.Boolean},
		{Name: "state", Type: hotreader.ShortString},
		{Name: "maker", Type: hotreader.ShortString, Constant: `"Müller"`},
	}
	return packed(t,
		catalog.Device{ID: "pump", Type: "pumps", Properties: pump},
		catalog.Device{ID: "pump-2", Type: "pumps", Properties: pump},
		catalog.Device{ID: "plate", Properties: pump[3:]},
		catalog.Device{ID: odd, Properties: pump[:1]},
	)
}

type deviceList struct {
	Items []struct {
		ID         string
		Type       *string
		Properties int
	}
	Next *string `json:"next_token"`
}

// list asks for all pages of devices, and returns the ids of each.
func list(t testing.TB, s *httptest.Server, path string) (pages []string) {
	t.Helper()
	for at := path; ; {
		got := ask(t, s, "GET", at, "")
		var l deviceList
		if err := json.Unmarshal([]byte(got.body), &l); err != nil || got.status != 200 || !strings.Contains(got.body, `"next_token":`) {
			t.Fatalf("%s: %d %s: %v", at, got.status, got.body, err)
		}
		var ids []string
		for _, d := range l.Items {
			ids = append(ids, d.ID)
		}
		if pages = append(pages, strings.Join(ids, " ")); l.Next == nil {
			return pages
		}
		if len(ids) == 0 || *l.Next == "" {
			t.Fatalf("%s: an empty page, or token: %s", at, got.body)
		}
		at = next(t, "/v1/devices", got.header.Get("Link"))
	}
}

func TestDevices(t *testing.T) {
	known := serve(t, httpapi.Options{Catalog: hall(t)})
	some := serve(t, httpapi.Options{Catalog: hall(t), Devices: identity.Devices{"pump-*", odd, "nobody"}})
	stored := serve(t, httpapi.Options{})
	for _, c := range []struct {
		name string
		s    *httptest.Server
		path string
		want []string
	}{
		{"all", known, "/v1/devices", []string{odd + " plate pump pump-2"}},
		{"an empty token", known, "/v1/devices?next_token=", []string{odd + " plate pump pump-2"}},
		{"one by one", known, "/v1/devices?limit=1", []string{odd, "plate", "pump", "pump-2"}},
		{"as many as there are", known, "/v1/devices?limit=4", []string{odd + " plate pump pump-2"}},
		{"by prefix", known, "/v1/devices?prefix=p&limit=2", []string{"plate pump", "pump-2"}},
		{"by type", known, "/v1/devices?type=pumps&limit=1", []string{"pump", "pump-2"}},
		{"a type of its own", known, "/v1/devices?type=plate", []string{"plate"}},
		{"no such type", known, "/v1/devices?type=pump", []string{""}},
		{"no type", known, "/v1/devices?type=&prefix=pl", []string{"plate"}},
		{"of the token", some, "/v1/devices", []string{odd + " pump-2"}},
		{"of the token, one by one", some, "/v1/devices?limit=1", []string{odd, "pump-2"}},
		{"of a store", stored, "/v1/devices?prefix=p", []string{"pump"}},
		{"of a store, one by one", stored, "/v1/devices?prefix=o&limit=1", []string{"other"}},
	} {
		if got := list(t, c.s, c.path); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if got := ask(t, known, "GET", "/v1/devices?prefix=pump", ""); got.body != `{"items":[{"id":"pump","type":"pumps","properties":4},{"id":"pump-2","type":"pumps","properties":4}],"next_token":null}`+"\n" {
		t.Errorf("the list is %s", got.body)
	}
	for from, want := range map[*httptest.Server]string{known: `{"id":"plate","type":null,"properties":1,"names":["`, stored: `{"id":"pump","type":null,"properties":3,"names":["on","state","temperature"]}`} {
		if got := ask(t, from, "GET", "/v1/devices?prefix=p&names=true", ""); !strings.Contains(got.body, want) {
			t.Errorf("with names the list is %s", got.body)
		}
	}

	_, page, _ := strings.Cut(ask(t, known, "GET", "/v1/devices?limit=1", "").header.Get("Link"), "next_token=")
	token, _, _ := strings.Cut(page, ">")
	for path, want := range map[string]string{
		"/v1/devices?limit=0&order=asc&prefix=a&prefix=b": `the parameter "order" is unknown; known are: prefix, type, names, limit, next_token; the parameter "prefix" is given 2 times; limit is "0"`,
		"/v1/devices?next_token=" + token + "x":           "does not belong to this list",
		"/v1/devices?prefix=p&next_token=" + token:        "does not belong to this list",
		"/v1/devices?type=a&type=b":                       "given 2 times",
		"/v1/devices?names=1":                             `names is "1"; give true or false`,
		history + "&next_token=" + token:                  "does not belong to this query",
	} {
		if detail := problem(t, ask(t, known, "GET", path, ""), 400, hotreader.CodeInvalid); !strings.Contains(detail, want) {
			t.Errorf("%s: %q; want %q", path, detail, want)
		}
	}
	if detail := problem(t, ask(t, stored, "GET", "/v1/devices?type=pumps", ""), 400, hotreader.CodeInvalid); !strings.Contains(detail, "a catalogue is needed to know the devices' types") {
		t.Errorf("types without a catalogue: %s", detail)
	}
	neither := serve(t, httpapi.Options{Source: series{n: 1}})
	for _, path := range []string{"/v1/devices", "/v1/devices/pump"} {
		if detail := problem(t, ask(t, neither, "GET", path, ""), 404, hotreader.CodeNotFound); !strings.Contains(detail, "A catalogue is needed") {
			t.Errorf("%s without a catalogue: %s", path, detail)
		}
	}
}

// A list that is larger than an answer may be goes on in further pages.
func TestDevicesBeyondAnAnswer(t *testing.T) {
	var devices []catalog.Device
	for i := range 3000 {
		devices = append(devices, catalog.Device{ID: fmt.Sprintf("d%04d-%s", i, strings.Repeat("x", 100))})
	}
	s := serve(t, httpapi.Options{Catalog: packed(t, devices...), MaxAnswer: 100 << 10})
	n := 0
	for i, page := range list(t, s, "/v1/devices") {
		for id := range strings.FieldsSeq(page) {
			if id != devices[n].ID {
				t.Fatalf("page %d: device %d is %s", i, n, id)
			}
			n++
		}
	}
	if n != len(devices) {
		t.Errorf("%d devices", n)
	}
	wide := catalog.Device{ID: "wide"}
	for i := range 1000 {
		wide.Properties = append(wide.Properties, catalog.Property{Name: fmt.Sprintf("p%04d-%s", i, strings.Repeat("x", 100))})
	}
	s = serve(t, httpapi.Options{Source: store(t), Catalog: packed(t, wide), MaxAnswer: 100 << 10})
	for _, path := range []string{"/v1/devices/wide", "/v1/devices?names=true"} {
		if got := ask(t, s, "GET", path, ""); got.status != 413 || !strings.Contains(got.body, "more properties than an answer may name") {
			t.Errorf("%s: %d %.300s", path, got.status, got.body)
		}
	}
	s = serve(t, httpapi.Options{Source: store(t), Catalog: packed(t, wide)})
	if got := ask(t, s, "GET", "/v1/devices/wide", ""); got.status != 200 || !strings.Contains(got.body, "first and last are the times of the first 100 properties") {
		t.Errorf("%d %.300s", got.status, got.body)
	}
}

func TestDevice(t *testing.T) {
	store := store(t)
	if err := store.Write(t.Context(), "pump", []hotreader.Record{{Time: time.Now().AddDate(2000, 0, 0), Fields: []hotreader.Field{{Name: "on", Value: hotreader.BoolValue(true)}}}}); err != nil {
		t.Fatal(err)
	}
	known := serve(t, httpapi.Options{Source: store, Catalog: hall(t)})
	stored := serve(t, httpapi.Options{Source: store})
	const properties = `[{"name":"temperature","type":"DOUBLE","unit":"°C","value":null},{"name":"on","type":"BOOLEAN","unit":null,"value":null},` +
		`{"name":"state","type":"STRING","unit":null,"value":null},{"name":"maker","type":"STRING","unit":null,"value":"Müller"}]`
	const times = `,"first_time":"2026-01-01T00:00:00.000Z","last_time":"2026-01-01T00:00:03.000Z"}` // one wrong clock hides nothing
	for _, c := range []struct {
		s          *httptest.Server
		path, want string
	}{
		{known, "pump", `{"id":"pump","type":"pumps","properties":` + properties + times},
		{known, "pump-2", `{"id":"pump-2","type":"pumps","properties":` + properties + `,"first_time":null,"last_time":null}`},
		{known, "plate", `{"id":"plate","type":null,"properties":[{"name":"maker","type":"STRING","unit":null,"value":"Müller"}],"first_time":null,"last_time":null}`},
		{known, "halle%203%2Fpumpe%3F%23%C3%A9%252F", `{"id":"halle 3/pumpe?#é%2F","type":null,"properties":[{"name":"temperature","type":"DOUBLE","unit":"°C","value":null}],"first_time":"2026-01-01T00:00:00.000Z","last_time":"2026-01-01T00:00:00.000Z"}`},
		{known, "other", `{"id":"other","type":null,"properties":[{"name":"temperature","type":null,"unit":null,"value":null}],"first_time":"2026-01-01T00:00:00.000Z","last_time":"2026-01-01T00:00:00.000Z"}`},
		{stored, "pump", `{"id":"pump","type":null,"properties":[{"name":"on","type":null,"unit":null,"value":null},{"name":"state","type":null,"unit":null,"value":null},{"name":"temperature","type":null,"unit":null,"value":null}]` + times},
	} {
		if got := ask(t, c.s, "GET", "/v1/devices/"+c.path, ""); got.status != 200 || got.body != c.want+"\n" {
			t.Errorf("%s: %d %s\nwant %s", c.path, got.status, got.body, c.want)
		}
	}
	for _, s := range []*httptest.Server{known, stored} {
		if detail := problem(t, ask(t, s, "GET", "/v1/devices/pum", ""), 404, hotreader.CodeNotFound); !strings.Contains(detail, `there is no device "pum"`) {
			t.Errorf("no such device: %s", detail)
		}
	}
	some := serve(t, httpapi.Options{Source: store, Catalog: hall(t), Devices: identity.Devices{"pump"}})
	for _, path := range []string{"plate", "nobody"} {
		problem(t, ask(t, some, "GET", "/v1/devices/"+path, ""), 403, hotreader.CodeForbidden)
	}
	failing := serve(t, httpapi.Options{Source: series{n: 1, err: &hotreader.Error{Op: "store", Code: hotreader.CodeStore}}, Catalog: hall(t)})
	problem(t, ask(t, failing, "GET", "/v1/devices/pump", ""), 502, hotreader.CodeStore)
}

// The catalogue's types stand where the request declares none, in every shape of
// answer.
func TestDeclaredTypes(t *testing.T) {
	m := memstore.New()
	if err := m.Write(t.Context(), "pump", []hotreader.Record{
		{Time: at(t, "2026-01-01"), Fields: []hotreader.Field{{Name: "on", Value: num("1")}, {Name: "temperature", Value: str("20.5")}, {Name: "state", Value: str("up")}}},
		{Time: at(t, "2026-01-02"), Fields: []hotreader.Field{{Name: "temperature", Value: str("unavailable")}, {Name: "state", Value: num("7")}}},
	}); err != nil {
		t.Fatal(err)
	}
	s := serve(t, httpapi.Options{Source: m, Catalog: hall(t)})
	const payload = `{"iot_device_id":"pump","start_time":"2026-01-01","end_time":"2026-01-03","selected_properties":["temperature"]`
	for name, c := range map[string]struct{ method, path, body, want string }{
		"history":          {"GET", "/v1/devices/pump/history?property=temperature,state", "", `{"items":[{"time":"2026-01-01T00:00:00.000Z","temperature":20.5,"state":"up"}`},
		"a type asked for": {"GET", "/v1/devices/pump/history?property=temperature&type=text", "", `"temperature":"20.5"},{"time":"2026-01-02T00:00:00.000Z","temperature":"unavailable"}`},
		"latest":           {"GET", "/v1/devices/pump/latest?property=temperature", "", `{"items":[{"time":"2026-01-01T00:00:00.000Z","temperature":20.5}]`},
		"TwinMaker's JSON": {"POST", "/read", envelope(payload + "}"), `"value":{"doubleValue":20.5}`},
		"last entry":       {"POST", "/read", lastEntry(payload + "}"), `"doubleValue":20.5`},
		"declared there":   {"POST", "/read", envelope(payload + `,"property_types":{"temperature":"STRING"}}`), `"stringValue":"20.5"`},
	} {
		if got := ask(t, s, c.method, c.path, c.body); got.status != 200 || !strings.Contains(got.body, c.want) {
			t.Errorf("%s: %d %s\nwant %s", name, got.status, got.body, c.want)
		}
	}
	// A page's token is the query's, not the catalogue's: it outlives another one.
	const path = "/v1/devices/pump/history?property=state&limit=1"
	first, _ := getPage(t, s, path)
	if second, _ := getPage(t, serve(t, httpapi.Options{Source: m}), path+"&next_token="+first.NextToken); len(second.Items) != 1 {
		t.Errorf("after the catalogue is another one: %v", second)
	}
}

// counting counts the scans of a store.
type counting struct {
	hotreader.Source
	n *int
}

func (c counting) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	*c.n++
	return c.Source.Scan(ctx, q)
}

// glancing is a store that looks at an item which has none of the properties but state.
type glancing struct{ hotreader.Source }

func (g glancing) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		g.Source.Scan(ctx, q)(yield)
		for _, p := range q.Properties {
			if p != "state" {
				hotreader.StatsOf(ctx).Warn(hotreader.Warning{Reason: hotreader.UnknownProperty, Property: p, Detail: "at a glance"})
			}
		}
		if q.Device == "nobody" {
			hotreader.StatsOf(ctx).Warn(hotreader.Warning{Reason: hotreader.UnknownDevice, Detail: "at a glance"})
		}
	}
}

// What the catalogue does not list is an error, unless the store has it.
func TestUnknownByTheCatalogue(t *testing.T) {
	asked := 0
	s := serve(t, httpapi.Options{Source: counting{store(t), &asked}, Catalog: hall(t)})
	for _, c := range []struct{ path, want string }{
		{"pump/history?property=temp", `"unknown_property","property":"temp","message":"temp: no item that was looked at has this property; the catalogue does not list it for this device; did you mean temperature?"`},
		{"pump/history?property=temperature,vibration", `"unknown_property","property":"vibration","message":"vibration: no item that was looked at has this property; the catalogue does not list it for this device, but temperature, on, state, maker"`},
		{"pump/latest?property=temp&end=2026-01-02", `"unknown_property","property":"temp"`},
		{"pump/history?property=maker", `{"items":[],"next_token":null,"warnings":[{"code":"constant","property":"maker","message":"maker: a constant of the catalogue, which devices do not report; its value is \"Müller\""}]}`},
		{"pump/history?property=maker,temperature", `"code":"constant"`},
		{"pump/latest?property=maker,temperature", `"warnings":[{"code":"constant"`},
		{"nobody/history?property=temperature", `"unknown_device","message":"no data of this device is known; the catalogue does not list it"`},
		{"pmup-2/history?property=temperature", "the catalogue does not list it; did you mean pump-2?"},
		{"other/history?property=temperature", ""},                 // the store knows better
		{"pump-2/history?property=temperature", ""},                // it has not reported yet
		{"pump/history?property=state&start=2026-01-01T00:01", ""}, // not then
	} {
		asked = 0
		got := ask(t, s, "GET", "/v1/devices/"+c.path, "")
		if got.status != 200 || (c.want == "") == strings.Contains(got.body, `"warnings"`) || !strings.Contains(got.body, c.want) || asked != 1 {
			t.Errorf("%s: %d %s, %d scans; want %s", c.path, got.status, got.body, asked, c.want)
		}
	}
	// What the catalogue lists is known, whatever a store that looked at a few items says;
	// but where nothing was found it may be why.
	s = serve(t, httpapi.Options{Source: glancing{store(t)}, Catalog: hall(t)})
	for path, want := range map[string]string{
		"pump/history?property=vibration,temperature":        "the catalogue does not list it for this device, but",
		"pump/latest?property=vibration,temperature":         "the catalogue does not list it for this device, but",
		"pump/history?property=temperature":                  "",
		"pump/latest?property=temperature":                   "",
		"pump/history?property=temperature&start=2100-01-01": "at a glance",
		"pump/history?property=temperature,state&start=2100": "",
		"nobody/history?property=temperature":                "no data of this device is known; the catalogue does not list it",
		"nobody/latest?property=temperature":                 "no data of this device is known; the catalogue does not list it",
	} {
		got := ask(t, s, "GET", "/v1/devices/"+path, "")
		if (want == "") == strings.Contains(got.body, `"warnings"`) || !strings.Contains(got.body, want) || strings.Contains(got.body, "glance") && want != "at a glance" && !strings.Contains(path, "nobody") {
			t.Errorf("%s: %s; want %s", path, got.body, want)
		}
	}
	if got := ask(t, s, "GET", "/v1/devices/pump/history?property=maker&format=csv", ""); got.header.Get("Warning-Count") != "1" {
		t.Errorf("a constant as CSV: %+v", got)
	}
	for parameter, want := range map[string]bool{"": true, "?constants=true": true, "?constants=false": false} {
		if got := ask(t, s, "GET", "/v1/devices/pump"+parameter, ""); got.status != 200 || strings.Contains(got.body, "maker") != want || !strings.Contains(got.body, "temperature") {
			t.Errorf("%s: %d %s", parameter, got.status, got.body)
		}
	}
	got := ask(t, s, "POST", "/read", envelope(`{"iot_device_id":"nobody",`+all+`,"selected_properties":["temperature"]}`))
	if !strings.Contains(got.body, `"warnings":[{"code":"unknown_device"`) {
		t.Errorf("TwinMaker's JSON: %s", got.body)
	}
	stats := new(hotreader.Stats)
	q := hotreader.Query{Device: "pump", Properties: []string{"temp"}}
	for _, err := range caller(t, httpapi.Options{Source: store(t), Catalog: hall(t)}).Scan(hotreader.WithStats(t.Context(), stats), q) {
		t.Errorf("a row, or %v", err)
	}
	if w := stats.Warnings(); len(w) != 1 || w[0].Reason != hotreader.UnknownProperty || !strings.Contains(w[0].Detail, "did you mean temperature?") {
		t.Errorf("a row stream: %v", w)
	}
	// Each hint costs a comparison with all names of the device.
	stats, q.Properties = new(hotreader.Stats), []string{"tempe", "temper", "tempera", "temperat", "temperatu"}
	for _, err := range caller(t, httpapi.Options{Source: store(t), Catalog: hall(t)}).Scan(hotreader.WithStats(t.Context(), stats), q) {
		t.Errorf("a row, or %v", err)
	}
	if told := fmt.Sprint(stats.Warnings()); strings.Count(told, "did you mean") != 3 || strings.Count(told, "the catalogue does not list it") != 5 {
		t.Errorf("five mistyped names: %s", told)
	}
}

// wideLister takes a second for a list, and counts how many are made at once.
type wideLister struct {
	hotreader.Source
	now, most *atomic.Int64
}

func (l wideLister) Devices(context.Context, string, string, int) ([]hotreader.Listed, error) {
	defer l.now.Add(-1)
	l.most.Store(max(l.most.Load(), l.now.Add(1)))
	time.Sleep(time.Second)
	return []hotreader.Listed{{ID: "d"}}, nil
}

// TestListsAtOnce: a list may hold all devices, so few are made at once: 4, 3 of one caller.
func TestListsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := wideLister{series{n: 1}, new(atomic.Int64), new(atomic.Int64)}
		h, err := httpapi.New(httpapi.Options{Source: l, Answers: 32, Queue: 100, Wait: time.Minute, Token: static(t, current)})
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for range 24 {
			all.Go(func() {
				w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/v1/devices", nil)
				r.Header.Set(identity.TokenHeader, current)
				if h.ServeHTTP(w, r); w.Code != 200 {
					t.Errorf("a list: %d %s", w.Code, w.Body)
				}
			})
		}
		if all.Wait(); l.most.Load() != 3 {
			t.Errorf("%d lists at once", l.most.Load())
		}
	})
}
