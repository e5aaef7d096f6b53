package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"hotreader"
	"hotreader/cmd/hotreader/internal/machine"
	"hotreader/codec/twinmaker"
	"hotreader/config"
	"hotreader/internal/component"
	"hotreader/remote"
	"hotreader/route"
)

// Result is what the check of one route found.
type Result struct {
	L4, L3 string
	Remote bool
	Points int // compared
	Pages  int // answers that were asked for
	Bytes  int64
	Time   time.Duration // spent in reading, without the comparing
	Wrong  string        // the first difference; "" = all is right
}

// maxResults is what each history page is asked for: three pages and a rest.
const maxResults = 4000

// Check reads through the route from the twin's cloud l4 to the hot storage of
// l3, in every way that TwinMaker can ask, and compares each point with what
// was written. The error is one of the route; a difference is in the Result.
func (c *Clouds) Check(ctx context.Context, l4, l3 int) (Result, error) {
	r := Result{L4: Names[l4], L3: Names[l3]}
	f, err := newFunction(c, l4, l3)
	if err != nil {
		return r, err
	}
	r.Remote = f.remote
	stats := &hotreader.Stats{}
	k := check{ctx: hotreader.WithStats(ctx, stats), result: &r, function: f, truth: c.All[l3].truth}
	for _, way := range []func() error{k.ascending, k.descending, k.filtered, k.interpolated, k.lastEntry} {
		if err := way(); err != nil {
			return r, err
		}
		if r.Wrong != "" {
			break
		}
	}
	if f.remote {
		r.Bytes = stats.Bytes.Load()
	}
	return r, nil
}

// function is a cloud's reader function, as its main puts it together.
type function struct {
	devices twinmaker.Devices
	answers twinmaker.Responder
	remote  bool
}

func newFunction(c *Clouds, l4, l3 int) (*function, error) {
	environment := map[string]string{
		"_HANDLER":   string(config.History),
		"AWS_REGION": "eu-central-1",
		"DIGITAL_TWIN_INFO": fmt.Sprintf(`{"config":{"digital_twin_name":"demo"},"config_providers":`+
			`{"layer_3_hot_provider":%q,"layer_4_provider":%q}}`, Names[l3], Names[l4]),
	}
	if l3 == l4 {
		environment["DYNAMODB_TABLE_NAME"] = "demo-hot-iot-data"
	} else {
		environment["REMOTE_READER_URL"] = c.All[l3].URL + "/read"
		environment["INTER_CLOUD_TOKEN"] = c.All[l3].Token
	}
	set, err := config.Lambda(func(name string) string { return environment[name] })
	if err != nil {
		return nil, err
	}
	var far hotreader.Reader
	f := &function{devices: twinmaker.Devices{Twin: set.Twin}, remote: set.Remote}
	if set.Remote {
		there, err := remote.New(remote.Options{URL: set.RemoteURL, Token: set.Token, SourceCloud: string(set.L4)})
		if err != nil {
			return nil, err
		}
		far = route.NewRetry(route.NewBreaker(there, route.BreakerOptions{}), route.RetryOptions{})
		f.answers.Keys = func() [][]byte { return set.Token.Keys("twinmaker nextToken") }
	}
	f.answers.Reader, err = route.NewRouter(set.Route(), c.All[l4].store, far)
	return f, err
}

// check is the check of one route under way.
type check struct {
	ctx      context.Context
	result   *Result
	function *function
	truth    []hotreader.Record
}

// point is one value of a property at an instant.
type point struct {
	time  time.Time
	value hotreader.Value
}

// series returns what was written of a property in rows that pass keep.
func (k *check) series(property string, keep func(hotreader.Record) bool) []point {
	var points []point
	for _, r := range k.truth {
		if keep != nil && !keep(r) {
			continue
		}
		if v := field(r, property); !v.IsNull() {
			points = append(points, point{r.Time, v})
		}
	}
	return points
}

func field(r hotreader.Record, name string) hotreader.Value {
	for _, f := range r.Fields {
		if f.Name == name {
			return f.Value
		}
	}
	return hotreader.Value{}
}

func names() []string {
	var all []string
	for _, p := range machine.Properties() {
		all = append(all, p.Name)
	}
	return all
}

func (k *check) ascending() error {
	return k.whole("ascending", map[string]any{"orderByTime": "ASCENDING", "maxResults": maxResults}, false)
}

func (k *check) descending() error {
	return k.whole("descending", map[string]any{"orderByTime": "DESCENDING", "maxResults": maxResults}, true)
}

func (k *check) whole(what string, more map[string]any, backwards bool) error {
	got, err := k.history(names(), more)
	if err != nil {
		return err
	}
	for _, name := range names() {
		want := k.series(name, nil)
		if backwards {
			slices.Reverse(want)
		}
		k.compare(what, name, got[name], want, exactly)
	}
	return nil
}

// filtered asks for the hot hours of the running machine.
func (k *check) filtered() error {
	const limit = "78.5"
	got, err := k.history([]string{"temperature", "speed"}, map[string]any{
		"maxResults": 500,
		"propertyFilters": []map[string]any{
			{"propertyName": "temperature", "operator": ">=", "value": map[string]any{"doubleValue": json.Number(limit)}},
			{"propertyName": "running", "operator": "=", "value": map[string]any{"booleanValue": true}},
		},
	})
	if err != nil {
		return err
	}
	keep := func(r hotreader.Record) bool {
		t := field(r, "temperature")
		return !t.IsNull() && hotreader.CompareNumbers(t.Text(), []byte(limit)) >= 0 && field(r, "running").Bool()
	}
	for _, name := range []string{"temperature", "speed"} {
		k.compare("filtered", name, got[name], k.series(name, keep), exactly)
	}
	return nil
}

// interpolated asks for a value each 20 seconds.
func (k *check) interpolated() error {
	const every = 20 * time.Second
	got, err := k.history([]string{"temperature", "vibration"}, map[string]any{
		"maxResults":    1000,
		"interpolation": map[string]any{"interpolationType": "LINEAR", "intervalInSeconds": int(every / time.Second)},
	})
	if err != nil {
		return err
	}
	for _, name := range []string{"temperature", "vibration"} {
		known := k.series(name, nil)
		var want []point
		i := 0
		for at := k.start(); !at.After(k.end()); at = at.Add(every) {
			for i+1 < len(known) && !known[i+1].time.After(at) {
				i++
			}
			a := known[i]
			switch {
			case a.time.Equal(at):
				want = append(want, point{at, a.value})
			case a.time.Before(at) && i+1 < len(known):
				b := known[i+1]
				x, _ := a.value.Float64()
				y, _ := b.value.Float64()
				share := float64(at.Sub(a.time)) / float64(b.time.Sub(a.time))
				want = append(want, point{at, hotreader.Float64Value(x + (y-x)*share)})
			}
		}
		k.compare("interpolated", name, got[name], want, nearly)
	}
	return nil
}

func (k *check) start() time.Time { return k.truth[0].Time.Truncate(time.Second) }
func (k *check) end() time.Time   { return k.truth[len(k.truth)-1].Time }

func exactly(a, b hotreader.Value) bool { return hotreader.Same(a, b) }

// nearly allows for another order of computing: these values are not stored.
func nearly(a, b hotreader.Value) bool {
	x, okX := a.Float64()
	y, okY := b.Float64()
	return okX && okY && math.Abs(x-y) <= 1e-9*math.Max(1, math.Abs(y))
}

// compare looks at each point of one property, and keeps the first difference.
func (k *check) compare(what, property string, got, want []point, same func(a, b hotreader.Value) bool) {
	k.result.Points += len(got)
	if k.result.Wrong != "" {
		return
	}
	wrong := func(format string, args ...any) {
		k.result.Wrong = fmt.Sprintf("%s %s: ", what, property) + fmt.Sprintf(format, args...)
	}
	for i := range min(len(got), len(want)) {
		g, w := got[i], want[i]
		if !g.time.Equal(w.time) {
			wrong("point %d is of %s, want %s", i+1, stamp(g.time), stamp(w.time))
			return
		}
		if !same(g.value, w.value) {
			wrong("at %s got %v, want %v", stamp(g.time), g.value, w.value)
			return
		}
	}
	switch n := len(want) - len(got); {
	case n > 0:
		wrong("%d of %d points are missing, the first of %s", n, len(want), stamp(want[len(got)].time))
	case n < 0:
		wrong("%d points too many, the first of %s", -n, stamp(got[len(want)].time))
	case len(want) == 0:
		wrong("nothing was there to compare")
	}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999999999Z") }

// event returns an event as TwinMaker sends it, with the fields that are
// double, deprecated or unknown.
func (k *check) event(selected []string, more map[string]any) ([]byte, error) {
	definitions := map[string]any{
		component.ExternalID: map[string]any{
			"definition": map[string]any{"dataType": map[string]any{"type": "STRING"}, "isExternalId": true, "isStoredExternally": false},
			"value":      map[string]any{"stringValue": Device},
		},
	}
	for _, p := range machine.Properties() {
		definitions[p.Name] = map[string]any{"definition": map[string]any{
			"dataType": map[string]any{"type": p.Type.String(), "unitOfMeasure": p.Unit}, "isTimeSeries": true, "isStoredExternally": true,
		}}
	}
	e := map[string]any{
		"workspaceId":        "demo-twinmaker",
		"entityId":           "4f1c3e0a-pump",
		"componentName":      "telemetry",
		"componentTypeId":    "demo-" + Device,
		"selectedProperties": selected,
		"properties":         definitions,
		"startTime":          stamp(k.start()),
		"endTime":            stamp(k.end()),
		"startDateTime":      k.start().Unix(),
		"endDateTime":        k.end().Unix(),
		"requestId":          "2c9d1b56-0d0e-4b7e-9b36-0f6d8b8d4f11",
	}
	maps.Copy(e, more)
	return json.Marshal(e)
}

// history asks for a series, page after page.
func (k *check) history(selected []string, more map[string]any) (map[string][]point, error) {
	got := map[string][]point{}
	limit, _ := more["maxResults"].(int)
	ask := maps.Clone(more)
	for {
		event, err := k.event(selected, ask)
		if err != nil {
			return nil, err
		}
		began := time.Now()
		req, err := k.function.devices.DecodeHistory(k.ctx, event)
		if err != nil {
			return nil, err
		}
		body, err := k.function.answers.AppendHistory(k.ctx, nil, req)
		k.result.Time += time.Since(began)
		if err != nil {
			return nil, err
		}
		k.result.Pages++
		var page struct {
			PropertyValues []struct {
				Reference struct {
					EntityID      string `json:"entityId"`
					ComponentName string `json:"componentName"`
					PropertyName  string `json:"propertyName"`
				} `json:"entityPropertyReference"`
				Values []struct {
					Time  time.Time                  `json:"time"`
					Value map[string]json.RawMessage `json:"value"`
				} `json:"values"`
			} `json:"propertyValues"`
			NextToken *string `json:"nextToken"`
		}
		if err := json.Unmarshal(body, &page); err != nil {
			return nil, fmt.Errorf("the answer is not what TwinMaker reads: %w", err)
		}
		n := 0
		for _, p := range page.PropertyValues {
			if p.Reference.EntityID != "4f1c3e0a-pump" || p.Reference.ComponentName != "telemetry" {
				return nil, fmt.Errorf("the answer speaks of %q, %q", p.Reference.EntityID, p.Reference.ComponentName)
			}
			for _, v := range p.Values {
				value, err := typed(p.Reference.PropertyName, v.Value)
				if err != nil {
					return nil, err
				}
				got[p.Reference.PropertyName] = append(got[p.Reference.PropertyName], point{v.Time, value})
				n++
			}
		}
		switch {
		case n > limit:
			return nil, fmt.Errorf("a page of at most %d points has %d", limit, n)
		case page.NextToken == nil:
			return got, nil
		case *page.NextToken == "" || n == 0:
			return nil, fmt.Errorf("a page of %d points carries the nextToken %q", n, *page.NextToken)
		}
		ask["nextToken"] = *page.NextToken
	}
}

// lastEntry asks for the newest value of each property.
func (k *check) lastEntry() error {
	event, err := k.event(names(), nil)
	if err != nil {
		return err
	}
	began := time.Now()
	req, err := k.function.devices.DecodeLastEntry(k.ctx, event)
	if err != nil {
		return err
	}
	body, err := k.function.answers.AppendLastEntry(k.ctx, nil, req)
	k.result.Time += time.Since(began)
	if err != nil {
		return err
	}
	k.result.Pages++
	var answer struct {
		PropertyValues map[string]struct {
			Value map[string]json.RawMessage `json:"propertyValue"`
		} `json:"propertyValues"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("the answer is not what TwinMaker reads: %w", err)
	}
	for _, name := range names() {
		all := k.series(name, nil)
		newest := all[len(all)-1]
		var got []point
		if p, ok := answer.PropertyValues[name]; ok {
			v, err := typed(name, p.Value)
			if err != nil {
				return err
			}
			got = []point{{newest.time, v}} // this answer carries no times
		}
		k.compare("last entry", name, got, []point{newest}, exactly)
	}
	return nil
}

// typed reads a value of TwinMaker's and wants it under the key of the
// property's type.
func typed(property string, value map[string]json.RawMessage) (hotreader.Value, error) {
	keys := map[hotreader.Type]string{hotreader.Double: "doubleValue", hotreader.Integer: "integerValue",
		hotreader.Boolean: "booleanValue", hotreader.ShortString: "stringValue"}
	for _, p := range machine.Properties() {
		if p.Name != property {
			continue
		}
		raw, ok := value[keys[p.Type]]
		if !ok || len(value) != 1 {
			return hotreader.Value{}, fmt.Errorf("%s, a %v, comes as %s", property, p.Type, value)
		}
		switch {
		case hotreader.IsNumber(raw):
			return hotreader.NumberValue(raw), nil
		case string(raw) == "true" || string(raw) == "false":
			return hotreader.BoolValue(string(raw) == "true"), nil
		}
		text, err := strconv.Unquote(string(raw))
		if err != nil {
			return hotreader.Value{}, fmt.Errorf("%s comes as %s", property, raw)
		}
		return hotreader.StringValue([]byte(text)), nil
	}
	return hotreader.Value{}, fmt.Errorf("the property %q was not asked for", property)
}
