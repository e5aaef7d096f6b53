package promapi_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"hotreader"
	"hotreader/catalog"
	"hotreader/promapi"
	"hotreader/store/memstore"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// asked is a Reader that remembers what it was asked.
type asked struct {
	hotreader.Reader
	mu  sync.Mutex
	all []hotreader.Query
}

func (a *asked) Read(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	a.mu.Lock()
	a.all = append(a.all, q)
	a.mu.Unlock()
	return a.Reader.Read(ctx, q)
}

type fixture struct {
	t     *testing.T
	store *memstore.Store
	asked *asked
	api   *promapi.API
}

// start returns an API over a store with rows of one property. change may change the
// options.
func start(t *testing.T, change func(*promapi.Options)) *fixture {
	t.Helper()
	f := &fixture{t: t, store: memstore.New()}
	f.asked = &asked{Reader: hotreader.NewReader(f.store)}
	o := promapi.Options{Reader: f.asked, Lister: f.store}
	if change != nil {
		change(&o)
	}
	api, err := promapi.New(o)
	if err != nil {
		t.Fatal(err)
	}
	f.api = api
	return f
}

// put stores values of a device a second apart, the first at noon.
func (f *fixture) put(device, property string, values ...hotreader.Value) {
	f.t.Helper()
	var rows []hotreader.Record
	for i, v := range values {
		rows = append(rows, hotreader.Record{Time: noon.Add(time.Duration(i) * time.Second), Fields: []hotreader.Field{{Name: property, Value: v}}})
	}
	if err := f.store.Write(f.t.Context(), device, rows); err != nil {
		f.t.Fatal(err)
	}
}

func number(digits string) hotreader.Value { return hotreader.NumberValue([]byte(digits)) }
func text(s string) hotreader.Value        { return hotreader.StringValue([]byte(s)) }

// get asks for a path, with parameters as names and values.
func (f *fixture) get(path string, parameters ...string) (int, string) {
	f.t.Helper()
	form := url.Values{}
	for i := 0; i < len(parameters); i += 2 {
		form.Add(parameters[i], parameters[i+1])
	}
	w := httptest.NewRecorder()
	f.api.ServeHTTP(w, httptest.NewRequest(http.MethodGet, promapi.Prefix+path+"?"+form.Encode(), nil))
	if !json.Valid(w.Body.Bytes()) {
		f.t.Fatalf("%s: no JSON: %s", path, w.Body)
	}
	return w.Code, strings.TrimSpace(w.Body.String())
}

func (f *fixture) query(expression string, after time.Duration) string {
	f.t.Helper()
	_, body := f.get("query", "query", expression, "time", fmt.Sprintf("%.3f", float64(noon.Add(after).UnixMilli())/1000))
	return body
}

func opened(t *testing.T, devices []catalog.Device) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Of(devices)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNames(t *testing.T) {
	f := start(t, nil)
	names := map[string]string{
		"temperature": `{"__name__":"temperature","device":"d"}`, "a:b_9": `{"__name__":"a:b_9","device":"d"}`, "Ab": `{"__name__":"Ab","device":"d"}`,
		"Water Temp, °C": `{"__name__":"Water_Temp___C","device":"d","property":"Water Temp, °C"}`,
		"9lives":         `{"__name__":"_9lives","device":"d","property":"9lives"}`,
		"_9lives":        `{"__name__":"_9lives","device":"d"}`,
		"a.b":            `{"__name__":"a_b","device":"d","property":"a.b"}`,
		"a-b":            `{"__name__":"a_b","device":"d","property":"a-b"}`,
		"温":              `{"__name__":"_","device":"d","property":"温"}`,
	}
	row := hotreader.Record{Time: noon}
	for property := range names {
		row.Fields = append(row.Fields, hotreader.Field{Name: property, Value: number("1")})
	}
	if err := f.store.Write(t.Context(), "d", []hotreader.Record{row}); err != nil {
		t.Fatal(err)
	}
	for property, want := range names {
		if _, got := f.get("series", "match[]", `{device="d"}`); !strings.Contains(got, want) {
			t.Errorf("%q: no %s in %s", property, want, got)
		}
	}
	if got := f.query("a_b", time.Second); strings.Count(got, `"metric"`) != 2 {
		t.Errorf("two properties whose names become one are %s", got)
	}
	for property := range names {
		got := f.query(fmt.Sprintf("{%q}", property), time.Second)
		legal, told := !strings.Contains(names[property], `"property"`), strings.Contains(got, `select the property of this name with {property=`)
		if strings.Contains(got, `"metric"`) != legal || told == legal {
			t.Errorf("{%q}: the property's own name is a metric's, or nothing says what to ask for: %s", property, got)
		}
		if got := f.query(fmt.Sprintf("{property=%q}", property), time.Second); !legal && strings.Count(got, `"metric"`) != 1 {
			t.Errorf("{property=%q}: %s", property, got)
		}
	}
}

// TestWarnings: what an answer lacks or changes, it says.
func TestWarnings(t *testing.T) {
	list := []catalog.Device{{ID: "d", Properties: []catalog.Property{{Name: "v", Type: hotreader.Double}, {Name: "i", Type: hotreader.Integer}, {Name: "s", Type: hotreader.ShortString}, {Name: "c", Type: hotreader.Double, Constant: "5"}}}}
	for _, c := range []struct {
		name, property, expression string
		catalog                    bool
		values                     []hotreader.Value
		want                       string // in the answer; "" = no warnings
	}{
		{"numbers", "v", "v", false, []hotreader.Value{number("1.50"), number("123456789012345")}, ""},
		{"digits", "v", "v", false, []hotreader.Value{number("9007199254740993")}, `"v: 1 value with digits that a float64 cannot hold: rounded (device d)"`},
		{"many digits, none lost", "v", "v", false, []hotreader.Value{number("0.10000000000000000000"), number("1e300")}, ""},
		{"beyond", "v", "v[1m]", false, []hotreader.Value{number("1e400"), number("1")}, `"v: 1 value left out: beyond a float64 (device d)"`},
		{"texts", "v", "v[1m]", false, []hotreader.Value{text("on"), text("off")}, `"v: 2 values left out: a text is no sample (device d)"`},
		{"a number before one that is beyond", "v", "v", false, []hotreader.Value{number("1"), number("7"), number("1e999"), number("-1e999")}, `,"7"]}]},"warnings":["v: 2 values left out: beyond`},
		{"a number before one of a wrong type", "i", "i", true, []hotreader.Value{number("7"), number("1.5")}, `,"7"]}]},"warnings":["i: 1 value left out, not of`},
		{"a number before a text", "v", "v", false, []hotreader.Value{number("7"), text("off")}, `,"7"]}]},"warnings":["v: `},
		{"text of a text property", "s", `{device="d"}`, true, []hotreader.Value{text("on")}, `"s: left out: a text is no sample (device d)"`},
		{"constant", "v", `c`, true, []hotreader.Value{number("1")}, `"c: left out: a constant, which is not reported, is no series (device d)"`},
		{"wrong type", "i", `i[1m]`, true, []hotreader.Value{number("1.5"), number("1")}, `"i: 1 value left out, not of the property's type; the type is INTEGER, what is stored is DOUBLE; declared as DOUBLE, no number would be left out (device d)"`},
		{"kinds that mix", "v", "v[1m]", false, []hotreader.Value{number("1"), text("off")}, `declare a type to get one kind; as dataType in the project's config_iot_devices.json, or with import --type v=string (device d)`},
		{"a number written as text", "v", "v", true, []hotreader.Value{text("1.5")}, ""},
		{"nothing stored", "x", "v", true, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := start(t, func(o *promapi.Options) {
				if c.catalog {
					o.Catalog = opened(t, list)
				}
			})
			f.put("d", c.property, c.values...)
			got := f.query(c.expression, 30*time.Second)
			if c.want == "" && strings.Contains(got, "warnings") || !strings.Contains(got, c.want) || !strings.Contains(got, `"success"`) {
				t.Errorf("%s; want %s", got, c.want)
			}
		})
	}
}

// TestEmptyAnswersAreExplained: a name that is mistyped, or a range that has no rows.
func TestEmptyAnswersAreExplained(t *testing.T) {
	list := []catalog.Device{
		{ID: "Presse 1", Type: "press", Properties: []catalog.Property{{Name: "Vorlauftemperatur", Type: hotreader.Double}, {Name: "Stückzahl", Type: hotreader.Long}, {Name: "Zustand", Type: hotreader.ShortString}}},
		{ID: "Presse 2", Type: "cutter", Properties: []catalog.Property{{Name: "Druck", Type: hotreader.Double}}},
		{ID: "other", Properties: []catalog.Property{{Name: "secret"}}},
	}
	for _, c := range []struct {
		expression string
		want       string // the infos; "" = none
	}{
		{"vorlauftemperatur", "no series is selected; did you mean Vorlauftemperatur instead of vorlauftemperatur?"},
		{`sum(rate(Vorlauftemperatr{type="press"}[5m]))`, "no series is selected; did you mean Vorlauftemperatur instead of Vorlauftemperatr?"},
		{`Vorlauftemperatur{device="Presse1"}`, `no series is selected; did you mean device="Presse 1" instead of device="Presse1"?`},
		{`Vorlauftemperatur{type="pres"}`, `no series is selected; did you mean type="press" instead of type="pres"?`},
		{`{property="Stückzal"}`, `no series is selected; did you mean {property="Stückzahl"} instead of property="Stückzal"?`},
		{`{property="Vorlauftemperatur"}`, `no series is selected; did you mean Vorlauftemperatur instead of property="Vorlauftemperatur"?`},
		{"Stckzahl", `no series is selected; did you mean {property="Stückzahl"} instead of Stckzahl?`},
		{`Vorlauftemperatur{devise="Presse 1"}`, "no series has a label devise; there are device, property, twin, type"},
		{`Druck{device="Presse 1"}`, `no series is selected; did you mean device="Presse 2" instead of device="Presse 1"?`},
		{"pressure", `no series is selected; there are Druck, Vorlauftemperatur, Zustand, {property="Stückzahl"}`},
		{"secrets", `no series is selected; there are Druck, Vorlauftemperatur, Zustand, {property="Stückzahl"}`},
		{"Vorlauftemperatur offset 1h", `device="Presse 1" has no value from 2026-03-02T10:55:01Z to 2026-03-02T11:00:01Z; its newest is of 2026-03-02T12:00:01.000Z`},
		{`{device=~"Presse.*",__name__=~"V.*|D.*"} offset -1h`, `device="Presse 1" has no value from 2026-03-02T12:55:01Z to 2026-03-02T13:00:01Z; its newest is of 2026-03-02T12:00:01.000Z`},
		{"Vorlauftemperatur > 100", ""},
		{"absent(vorlauftemperatur)", ""},
		{"vorlauftemperatur or Vorlauftemperatur", ""},
		{"Zustand", ""}, // a warning says what it is
		{"Druck", ""},   // there has never been one
		{`nothing{device="nobody"}`, "no series is selected; check the names and the labels, and their case"},
	} {
		f := start(t, func(o *promapi.Options) {
			o.Catalog, o.May = opened(t, list), func(_ context.Context, device string) bool { return device != "other" }
		})
		f.put("Presse 1", "Vorlauftemperatur", number("60"), number("61"))
		var answer struct{ Infos []string }
		body := f.query(c.expression, time.Second)
		if err := json.Unmarshal([]byte(body), &answer); err != nil || strings.Join(answer.Infos, " ") != c.want {
			t.Errorf("%s: %s; want %s", c.expression, body, c.want)
		}
	}
}

// TestWarningsOfManyDevicesAreOne, else a twin's answer would be warnings.
func TestWarningsOfManyDevicesAreOne(t *testing.T) {
	f := start(t, nil)
	for i := range 20 {
		f.put(fmt.Sprintf("d%02d", i), "v", text("on"))
	}
	if got := f.query("v", time.Second); !strings.Contains(got, `"warnings":["v: 20 values left out: a text is no sample (device d00 and 19 more)"]`) {
		t.Error(got)
	}
}

// TestValues: booleans are 0 and 1; of several rows in a millisecond the last counts.
func TestValues(t *testing.T) {
	f := start(t, nil)
	f.put("d", "running", hotreader.BoolValue(true), hotreader.BoolValue(false))
	for i, at := range []time.Duration{0, 100_000, 999_999, 1_000_000} {
		if err := f.store.Write(t.Context(), "ms", []hotreader.Record{{Time: noon.Add(at), Fields: []hotreader.Field{{Name: "v", Value: hotreader.Int64Value(int64(i))}}}}); err != nil {
			t.Fatal(err)
		}
	}
	for expression, want := range map[string]string{
		"running[10s]": `[[1772452800,"1"],[1772452801,"0"]]`, "v[10s]": `[[1772452800,"2"],[1772452800.001,"3"]]`,
		"v @ 1772452800": `"2"]`, "v @ 1772452800.001": `"3"]`,
	} {
		if got := f.query(expression, 2*time.Second); !strings.Contains(got, want) {
			t.Errorf("%s is %s; want %s", expression, got, want)
		}
	}
}

// TestWhatIsRead: a plain selector reads a row a step; all else reads what it looks at; a
// selector that is repeated is read once.
func TestWhatIsRead(t *testing.T) {
	f := start(t, nil)
	f.put("d", "v", number("1"))
	for _, c := range []struct {
		expression string
		reads      int
		pick       hotreader.PickKind
	}{
		{"v", 1, hotreader.PickLast}, {"sum(v) > 1", 1, hotreader.PickLast}, {"v offset 1m", 1, hotreader.PickLast}, {"v @ end()", 1, hotreader.PickLast},
		{"v / v + v", 1, hotreader.PickLast}, {"v - v offset 1m", 2, hotreader.PickLast}, {"rate(v[1m])", 1, hotreader.PickAll}, {"max_over_time(v[1m:1s])", 1, hotreader.PickAll},
		{"v + max_over_time(v[1m:1s])", 2, hotreader.PickAll}, {`v{device="other"}`, 0, 0}, {`other`, 0, 0}, {"1", 0, 0},
	} {
		f.asked.all = nil
		if status, body := f.get("query_range", "query", c.expression, "start", "1772452800", "end", "1772456400", "step", "60"); status != http.StatusOK {
			t.Fatal(body)
		}
		f.asked.all = slices.DeleteFunc(f.asked.all, func(q hotreader.Query) bool { return q.Last }) // of an answer that is empty: where the newest row is
		if len(f.asked.all) != c.reads {
			t.Errorf("%s: %d reads; want %d", c.expression, len(f.asked.all), c.reads)
		}
		for _, q := range f.asked.all {
			if q.Pick.Kind != c.pick || c.pick == hotreader.PickLast && q.Pick.Every != time.Minute {
				t.Errorf("%s: reads %+v", c.expression, q.Pick)
			}
		}
	}
}

// TestFewerRows: a day of a row a second, drawn at steps of 15 s, reads no more than a
// tenth of the rows.
func TestFewerRows(t *testing.T) {
	f := start(t, nil)
	var rows []hotreader.Record
	for i := range 86_400 {
		rows = append(rows, hotreader.Record{Time: noon.Add(time.Duration(i) * time.Second), Fields: []hotreader.Field{{Name: "v", Value: hotreader.Int64Value(int64(i))}}})
	}
	if err := f.store.Write(t.Context(), "d", rows); err != nil {
		t.Fatal(err)
	}
	stats := new(hotreader.Stats)
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, promapi.Prefix+"query_range?query=v&start=1772452800&end=1772539200&step=15", nil)
	f.api.ServeHTTP(w, r.WithContext(hotreader.WithStats(t.Context(), stats)))
	if n := strings.Count(w.Body.String(), "],["); w.Code != http.StatusOK || n != 5760 {
		t.Fatalf("%d, %d points", w.Code, n+1)
	}
	if n := stats.Rows.Load(); n > 8640 {
		t.Errorf("%d rows were read", n)
	}
}

func TestLimits(t *testing.T) {
	f := start(t, func(o *promapi.Options) {
		var all []catalog.Device
		for i := range catalog.MaxDevices {
			all = append(all, catalog.Device{ID: fmt.Sprint("d", i), Type: "t", Properties: []catalog.Property{{Name: "v", Type: hotreader.Double}}})
		}
		all[0] = catalog.Device{ID: "w", Type: "water", Properties: []catalog.Property{{Name: "v", Type: hotreader.Double}, {Name: "Water Temp [°C]"}}}
		o.Catalog, o.Samples = opened(t, all), 1000
	})
	many := make([]hotreader.Value, 1500)
	for i := range many {
		many[i] = number("1")
	}
	f.put("d1", "v", many...)
	for _, c := range []struct {
		path, expression string
		status           int
		want             string
	}{
		{"query", "sum(v)", 422, "the query selects 10000 series; at most 2000"},
		{"query", `sum(v{device=~"d1..."}) + sum(v{device=~"d2..."}) + sum(v{device=~"d3..."})`, 422, "series; at most 2000"},
		{"query", `{__name__=~".+"}`, 422, "the query selects 10001 series"},
		{"query", `rate(v{device="d1"}[1h])`, 422, "reads more than 1000 samples"},
		{"query", `count_over_time(vector(1)[1y:1ms])`, 400, "a subquery is evaluated at 31536000000 times; at most 1000000"},
		{"query", `sum_over_time(sum_over_time(vector(1)[20d:10s])[20d:1s])`, 400, "a subquery is evaluated at"},
		{"query", `count_over_time(vector(1)[1h:1s])`, 422, "too many samples"},
		{"query", `v{device="nobody"}`, 200, `"result":[]`},
		{"query_range", "1", 400, "more than 11000 points"},
		{"query", "sum(", 400, "parse error"},
		{"query", "on", 400, `if a property has this name, select it with {__name__=\"on\"}`},
		{"query", "Water Temp [°C]", 400, `unexpected identifier \"Temp\"; for the property \"Water Temp [°C]\", select it with {property=\"Water Temp [°C]\"}`},
		{"query", `sum(Water Temp [°C]{device="w"})`, 400, `select it with {property=\"Water Temp [°C]\"}`},
		{"query", `water temp{device="w"}`, 400, `select it with {property=\"Water Temp [°C]\"}`},
		{"query", `{property="Water Temp [°C]"} Temp`, 400, `unexpected identifier \"Temp\""`},
		{"query", "rate(group_left[5m])", 400, `{__name__=\"group_left\"}`},
		{"query", strings.Repeat("-", 16_000) + "1", 200, ""},
		{"query", strings.Repeat("(", 8000) + "1" + strings.Repeat(")", 8000), 200, ""},
		{"query", strings.Repeat("abs(", 3200) + "vector(1)" + strings.Repeat(")", 3200), 200, ""},
		{"query", strings.Repeat("vector(1)+", 1600) + "1", 200, ""},
		{"query", strings.Repeat("-", 17_000) + "1", 400, "more than 16384 bytes"},
		{"query", `label_replace(vector(1),"a","` + strings.Repeat("$1", 65) + `","device","(.*)")`, 400, "of 67 others, 64 bytes of text counted as one; at most 64"},
		{"query", strings.Repeat(`label_join(`, 7) + "vector(1)" + strings.Repeat(`,"a","","a","a")`, 7), 400, "of 128 others"},
		{"query", `label_join(vector(1),"a","` + strings.Repeat("s", 4096) + `"` + strings.Repeat(`,"a"`, 3) + `)`, 400, "at most 64"},
		{"query", `label_replace(vector(1),"a","` + strings.Repeat("s", 8192) + `","a",".*")`, 400, "at most 64"},
		{"query", `label_join(vector(1),"a"," beside ","b","c")`, 200, ""},
		{"query", `count({device=~"` + strings.Repeat("[ab]{1000}", 1500) + `"})`, 400, "add up to 1500000"},
		{"query", `count({device=~"(?:a??){1000}` + strings.Repeat("x", 100) + `"})`, 400, "add up to 1000 "},
		{"query", `v{device=~"d[0-9]{4,5}x"}`, 200, ""},
		{"query", "count({device=~`(?i)" + strings.Repeat(`\W`, 8000) + "`})", 400, "add up to 8000 "},
		{"query", "count({device=~`(?i)" + strings.Repeat(`\pL`, 300) + "`})", 400, "add up to 300 "},
		{"query", "count({device=~`" + strings.Repeat("[a-\U0001ffff]", 300) + "`})", 400, "add up to 300 "},
		{"query", "count({device=~`" + strings.Repeat("[^a]", 300) + "`})", 400, "add up to 300 "},
		{"query", `sum(rate(v{device=~"pump-[^/]+-\\D[^x]*"}[5m])) - 1`, 200, ""},
		{"series", `1`, 400, "no match[]"},
		{"query", strings.Repeat(`label_replace(`, 300) + "vector(1)" + strings.Repeat(`,"a","$1$1","a","(.*)")`, 300), 400, "at most 64"},
		{"query", strings.Repeat(`label_replace(`, 300) + "vector(1)" + strings.Repeat(`,"a","x$1","a","(.*)")`, 300), 200, "xxx"},
		{"query", strings.Repeat(`label_join(`, 6) + "vector(1)" + strings.Repeat(`,"a","","a","a")`, 6), 200, ""},
		{"query", "sum(rate(Stückzahl[5m]))", 400, `{property=\"Stückzahl\"}`},
		{"query", "pump.temp > 1", 400, `{property=\"pump.temp\"}`},
		{"query", "v ! 1", 400, `'!': ' '"`},
		{"rules", "1", 200, `{"groups":[]}`},
		{"alerts", "1", 200, `{"alerts":[]}`},
		{"targets", "1", 404, "no such path"},
	} {
		began := time.Now()
		status, body := f.get(c.path, "query", c.expression, "time", "1772454000", "start", "1740916800", "end", "1772452800", "step", "0.001")
		if status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%.80s: %d %.300s; want %d, %s", c.expression, status, body, c.status, c.want)
		}
		if took := time.Since(began); took > time.Minute { // half a second at most on an idle machine; what has no bound takes hours
			t.Errorf("%.80s: took %s", c.expression, took)
		}
	}
}

// TestCallersDevices: other devices are as if they were not there.
func TestCallersDevices(t *testing.T) {
	may := func(_ context.Context, device string) bool { return strings.HasPrefix(device, "mine") }
	f := start(t, func(o *promapi.Options) { o.May = may })
	for _, device := range []string{"mine-1", "mine-2", "other"} {
		f.put(device, "v", number("1"))
	}
	f.put("other", "secret", number("1"))
	for _, c := range []struct{ path, query string }{{"query", "sum by (device) (v)"}, {"series", ""}, {"label/device/values", ""}, {"label/__name__/values", ""}, {"metadata", ""}, {"query", `v{device="other"}`}, {"query", "secret"}} {
		_, body := f.get(c.path, "query", c.query, "match[]", `{device=~".+"}`, "time", "1772452801")
		if strings.Contains(body, "other") || strings.Contains(body, "secret") || c.path == "series" && !strings.Contains(body, "mine-2") {
			t.Errorf("%s %s: %s", c.path, c.query, body)
		}
	}
	for _, q := range f.asked.all {
		if q.Device == "other" {
			t.Error("another device was read")
		}
	}
}

// failing is a Reader that fails.
type failing struct{ err error }

func (f failing) Read(context.Context, hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return hotreader.Fail(f.err)
}

func TestErrors(t *testing.T) {
	secret := errors.New("secret")
	for _, c := range []struct {
		code   hotreader.Code
		status int
		kind   string
	}{
		{hotreader.CodeStore, 500, "internal"}, {hotreader.CodeDeadline, 503, "timeout"}, {hotreader.CodeCanceled, 499, "canceled"}, {hotreader.CodeThrottled, 429, "unavailable"},
	} {
		f := start(t, func(o *promapi.Options) {
			o.Reader = failing{&hotreader.Error{Op: "x", Code: c.code, Err: secret, RetryAfter: 1500 * time.Millisecond}}
			if c.status == 429 {
				o.Problem = func(context.Context, error) (int, string) { return 429, "too many" }
			}
		})
		f.put("d", "v", number("1"))
		status, body := f.get("query", "query", "v", "time", "1772452801")
		if status != c.status || !strings.Contains(body, `"status":"error","errorType":"`+c.kind+`"`) || strings.Contains(body, "secret") {
			t.Errorf("%s: %d %s", c.code, status, body)
		}
	}
	for status, kind := range map[int]string{400: "bad_data", 401: "bad_data", 403: "bad_data", 404: "not_found", 413: "execution", 429: "unavailable", 500: "internal", 503: "unavailable"} {
		w := httptest.NewRecorder()
		start(t, nil).api.Refuse(w, httptest.NewRequest(http.MethodGet, promapi.Prefix+"query", nil), &hotreader.Error{Err: secret, RetryAfter: time.Second}, status, "No.")
		if want := `{"status":"error","errorType":"` + kind + `","error":"No."}`; w.Code != status || strings.TrimSpace(w.Body.String()) != want || w.Header().Get("Retry-After") != "1" {
			t.Errorf("refused with %d: %d %v %s; want %s", status, w.Code, w.Header(), w.Body, want)
		}
	}
	f := start(t, func(o *promapi.Options) { o.Lister = nil })
	if status, body := f.get("query", "query", "v"); status != 404 || !strings.Contains(body, "no list of devices") {
		t.Errorf("without a list: %d %s", status, body)
	}
}

// TestRequests: forms, methods, compression.
func TestRequests(t *testing.T) {
	f := start(t, nil)
	f.put("d", "v", number("1"))
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		want                     string
	}{
		{"a form", "POST", "query", "query=v&time=1772452801", 200, `"1"]`},
		{"a long form", "POST", "query", "query=" + strings.Repeat("x", 300_000), 413, "bad_data"},
		{"another method", "DELETE", "query", "", 405, "bad_data"},
		{"buildinfo", "GET", "status/buildinfo", "", 200, `"version":"3.`},
		{"metadata", "GET", "metadata?metric=v", "", 200, `{"v":[{"type":"unknown","help":"Property v","unit":""}]}`},
		{"another metric's", "GET", "metadata?metric=w", "", 200, `{}`},
		{"a negative limit", "GET", "labels?limit=-1", "", 400, "bad_data"},
		{"a time of no year", "GET", "query?query=v&time=1e12", "", 400, "bad_data"},
		{"no number", "GET", "query?query=v&time=NaN", "", 400, "bad_data"},
		{"a step of nothing", "GET", "query_range?query=v&start=0&end=1&step=NaN", "", 400, "bad_data"},
		{"a range beyond all", "GET", "query?query=count_over_time(v[290y])&time=1772452801", "", 200, `"1"]`},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(c.method, promapi.Prefix+c.path, strings.NewReader(c.body))
		if c.method == http.MethodPost {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		f.api.ServeHTTP(w, r)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s: %d %.300s; want %d, %s", c.name, w.Code, w.Body, c.status, c.want)
		}
	}
	many := `vector(1)/3`
	for i := range 4 {
		many += fmt.Sprintf(` or label_replace(vector(1)/3,"a","%d","","")`, i)
	}
	for expression, least := range map[string]int{"vector(1)": 100_000, many: 1 << 20} {
		var bodies []string
		for encoding, want := range map[string]string{"GZIP": "gzip", "gzip;q=0": ""} {
			w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, promapi.Prefix+"query_range?start=0&end=11000&step=1&query="+url.QueryEscape(expression), nil)
			r.Header.Set("Accept-Encoding", encoding)
			f.api.ServeHTTP(w, r)
			var body io.Reader = w.Body
			if got := w.Header(); got.Get("Content-Encoding") != want || got.Get("Content-Length") != strconv.Itoa(w.Body.Len()) || (want == "") != (w.Body.Len() > least) {
				t.Errorf("%s: %s, %d bytes", encoding, got, w.Body.Len())
			} else if want != "" {
				body, _ = gzip.NewReader(body)
			}
			text, err := io.ReadAll(body)
			if err != nil {
				t.Error(err)
			}
			bodies = append(bodies, string(text))
		}
		if bodies[0] != bodies[1] || !json.Valid([]byte(bodies[0])) {
			t.Errorf("%.40s: two forms of %d and %d bytes differ", expression, len(bodies[0]), len(bodies[1]))
		}
	}
}

// faulty is a Reader with a defect.
type faulty struct{}

func (faulty) Read(context.Context, hotreader.Query) iter.Seq2[hotreader.Row, error] {
	panic("a defect")
}

// A panic in one of the goroutines that read ends the query, not the program.
func TestPanic(t *testing.T) {
	f := start(t, func(o *promapi.Options) { o.Reader = faulty{} })
	f.put("d", "v", number("1"))
	for range 2 {
		if status, body := f.get("query", "query", "v", "time", "1772452800"); status != 500 || !strings.Contains(body, `"error":"internal"`) {
			t.Errorf("%d %s", status, body)
		}
	}
}

// However many selectors there are, over however many devices: the time that there is
// ends the choice.
func TestSelectorsAreBounded(t *testing.T) {
	var devices []catalog.Device
	for i := range 10_000 {
		devices = append(devices, catalog.Device{ID: fmt.Sprintf("d%05d", i), Properties: []catalog.Property{{Name: fmt.Sprintf("v%d", i)}}})
	}
	f := start(t, func(o *promapi.Options) { o.Catalog, o.MaxTime = opened(t, devices), 200*time.Millisecond })
	var many []string
	for i := range 100 {
		many = append(many, "match[]", fmt.Sprintf(`{device=~".*(%d|[0-9]+.*x|.*y.*z).*"}`, i))
	}
	for _, path := range []string{"series", "labels", "label/device/values"} {
		began := time.Now()
		if status, body := f.get(path, many...); status != 503 || !strings.Contains(body, "did not end within its time") {
			t.Errorf("%s: %d %.200s", path, status, body)
		}
		if took := time.Since(began); took > time.Minute { // a busy machine may take its share
			t.Errorf("%s took %s", path, took)
		}
		if status, body := f.get(path, "match[]", `{device=~"`+strings.Repeat("[ab]{1000}", 1000)+`"}`, "match[]", `{device=~"`+strings.Repeat("[ab]{1000}", 1000)+`"}`); status != 400 || !strings.Contains(body, "more than 16384 bytes") {
			t.Errorf("%s: %d %.200s", path, status, body)
		}
		if status, body := f.get(path, append(many, "match[]", "v")...); status != 400 || !strings.Contains(body, "given 101 times; at most 100") {
			t.Errorf("%s: %d %.200s", path, status, body)
		}
	}
}

// An answer that is larger than it may be is refused, on each path, and never cut.
func TestAnswerIsBounded(t *testing.T) {
	ask := func(most int, path string) (int, string) {
		f := start(t, func(o *promapi.Options) { o.Answer = most })
		for i := range 30 {
			f.put(fmt.Sprintf("device-%02d", i), fmt.Sprintf("property_%02d", i), number("1"), number("2"), number("3"))
		}
		return f.get(path, "query", `{__name__=~".+"}`, "match[]", `{__name__=~".+"}`, "time", "1772452802", "start", "1772452800", "end", "1772452802", "step", "1")
	}
	for _, path := range []string{"query", "query_range", "series", "label/device/values", "metadata"} {
		status, whole := ask(0, path)
		if at, body := ask(len(whole), path); status != 200 || at != 200 || body != whole {
			t.Errorf("%s: %d, %d %.200s", path, status, at, body)
		}
		if status, body := ask(300, path); status != 422 || !strings.Contains(body, "the answer has more than 300 bytes") {
			t.Errorf("%s: %d %.200s", path, status, body)
		}
	}
}
