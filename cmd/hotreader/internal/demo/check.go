package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"hotreader"
	"hotreader/cmd/hotreader/internal/machine"
	"hotreader/codec/twinmaker"
	"hotreader/config"
	"hotreader/function"
	"hotreader/internal/component"
)

// Result is what the check of one route found, and a route of demo --json.
type Result struct {
	L4     string        `json:"l4"`
	L3     string        `json:"l3"`
	Way    string        `json:"way"`        // local, remote
	Points int           `json:"points"`     // compared
	Pages  int           `json:"pages"`      // answers that were asked for
	Bytes  int64         `json:"wire_bytes"` // 0 if local
	Millis float64       `json:"ms"`
	OK     bool          `json:"ok"`
	Wrong  string        `json:"wrong,omitempty"` // the first difference
	Took   time.Duration `json:"-"`               // in reading, without the comparing
}

// maxResults is what each history page is asked for: three pages and a rest.
const maxResults = 4000

// Check reads through the route from the twin's cloud l4 to the hot storage of
// l3, with every kind of request that TwinMaker sends, and compares each point with what
// was written. The error is one of the route; a difference is in the Result.
func (c *Clouds) Check(ctx context.Context, l4, l3 int) (r Result, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() {
		c.checked[l4][l3] = checked{r, time.Now()}
		if err != nil {
			c.checked[l4][l3].Wrong = err.Error()
		}
	}()
	r = Result{L4: Names[l4], L3: Names[l3], Way: "local"}
	f, err := newReader(c, l4, l3)
	if err != nil {
		return r, err
	}
	stats := &hotreader.Stats{}
	k := check{ctx: hotreader.WithStats(ctx, stats), result: &r, function: f, truth: c.All[l3].truth}
	for _, way := range []func() error{k.ascending, k.descending, k.filtered, k.interpolated, k.lastEntry} {
		if err = way(); err != nil || r.Wrong != "" {
			break
		}
	}
	if f.remote {
		r.Way, r.Bytes = "remote", stats.Bytes.Load()
	}
	r.OK, r.Millis = err == nil && r.Wrong == "", float64(r.Took.Microseconds())/1000
	return r, err
}

// reader is a cloud's reader function, as its main puts it together.
type reader struct {
	devices twinmaker.Devices
	answers twinmaker.Responder
	remote  bool
}

func newReader(c *Clouds, l4, l3 int) (*reader, error) {
	environment := map[string]string{
		"_HANDLER":   string(config.History),
		"AWS_REGION": "eu-central-1",
		"DIGITAL_TWIN_INFO": fmt.Sprintf(`{"config":{"digital_twin_name":"demo"},"config_providers":`+
			`{"layer_3_hot_provider":%q,"layer_4_provider":%q}}`, Names[l3], Names[l4]),
	}
	if l3 == l4 {
		environment["DYNAMODB_TABLE_NAME"] = "demo-hot-iot-data"
		environment["HOTREADER_COLD"] = c.All[l4].bucket.String()
	} else {
		environment["REMOTE_READER_URL"] = c.All[l3].URL + "/read"
		environment["INTER_CLOUD_TOKEN"] = c.All[l3].Token
	}
	set, err := config.Lambda(func(name string) string { return environment[name] })
	if err != nil {
		return nil, err
	}
	src, err := function.Parts{
		Local:    func() (hotreader.Source, error) { return c.All[l4].store, nil },
		Objects:  func(string) (hotreader.Source, error) { return c.All[l4].cold, nil },
		Identity: function.Identity{Token: set.Token},
	}.Source(set)
	if err != nil {
		return nil, err
	}
	f := &reader{devices: twinmaker.Devices{Twin: set.Twin}, remote: set.Remote}
	f.answers.Reader = hotreader.NewReader(src)
	if set.Remote {
		f.answers.Keys = func() [][]byte { return set.Token.Keys("twinmaker nextToken") }
	}
	return f, nil
}

// check is the check of one route under way.
type check struct {
	ctx      context.Context
	result   *Result
	function *reader
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

func (k *check) ascending() error { return k.whole("ascending") }

func (k *check) descending() error { return k.whole("descending") }

func (k *check) whole(order string) error {
	got, err := k.history(names(), object{"orderByTime": strings.ToUpper(order), "maxResults": maxResults})
	if err != nil {
		return err
	}
	for _, name := range names() {
		want := k.series(name, nil)
		if order == "descending" {
			slices.Reverse(want)
		}
		k.compare(order, name, got[name], want, hotreader.Same)
	}
	return nil
}

// filtered asks for the hot hours of the running machine.
func (k *check) filtered() error {
	const limit = "78.5"
	got, err := k.history([]string{"temperature", "speed"}, object{
		"maxResults": 500,
		"propertyFilters": []object{
			{"propertyName": "temperature", "operator": ">=", "value": object{"doubleValue": json.Number(limit)}},
			{"propertyName": "running", "operator": "=", "value": object{"booleanValue": true}},
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
		k.compare("filtered", name, got[name], k.series(name, keep), hotreader.Same)
	}
	return nil
}

// interpolated asks for a value each 20 seconds.
func (k *check) interpolated() error {
	const every = 20 * time.Second
	got, err := k.history([]string{"temperature", "vibration"}, object{
		"maxResults":    1000,
		"interpolation": object{"interpolationType": "LINEAR", "intervalInSeconds": int(every / time.Second)},
	})
	if err != nil {
		return err
	}
	for _, name := range []string{"temperature", "vibration"} {
		k.compare("interpolated", name, got[name], k.between(k.series(name, nil), every), nearly)
	}
	return nil
}

// between returns the values on the lines between known points.
func (k *check) between(known []point, every time.Duration) (all []point) {
	i := 0
	for at := k.start(); !at.After(k.end()); at = at.Add(every) {
		for i+1 < len(known) && !known[i+1].time.After(at) {
			i++
		}
		a := known[i]
		switch {
		case a.time.Equal(at):
			all = append(all, point{at, a.value})
		case a.time.Before(at) && i+1 < len(known):
			b := known[i+1]
			x, _ := a.value.Float64()
			y, _ := b.value.Float64()
			share := float64(at.Sub(a.time)) / float64(b.time.Sub(a.time))
			all = append(all, point{at, hotreader.Float64Value(x + (y-x)*share)})
		}
	}
	return all
}

func (k *check) start() time.Time { return k.truth[0].Time.Truncate(time.Second) }
func (k *check) end() time.Time   { return k.truth[len(k.truth)-1].Time }

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
			wrong("point %d is of %s, expected %s", i+1, stamp(g.time), stamp(w.time))
			return
		}
		if !same(g.value, w.value) {
			wrong("at %s got %v, expected %v", stamp(g.time), g.value, w.value)
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

// entityID and componentName are those of the event.
const entityID, componentName = "4f1c3e0a-pump", "telemetry"

type object = map[string]any

// event returns an event as TwinMaker sends it, with the fields that are
// double, deprecated or unknown.
func (k *check) event(selected []string, more object) ([]byte, error) {
	definitions := object{component.ExternalID: object{
		"definition": object{"dataType": object{"type": "STRING"}, "isExternalId": true, "isStoredExternally": false},
		"value":      object{"stringValue": Device},
	}}
	for _, p := range machine.Properties() {
		definitions[p.Name] = object{"definition": object{
			"dataType": object{"type": p.Type.String(), "unitOfMeasure": p.Unit}, "isTimeSeries": true, "isStoredExternally": true,
		}}
	}
	e := object{
		"workspaceId": "demo-twinmaker", "entityId": entityID, "componentName": componentName, "componentTypeId": "demo-" + Device,
		"selectedProperties": selected, "properties": definitions,
		"startTime": stamp(k.start()), "endTime": stamp(k.end()), "startDateTime": k.start().Unix(), "endDateTime": k.end().Unix(),
		"requestId": "2c9d1b56-0d0e-4b7e-9b36-0f6d8b8d4f11",
	}
	maps.Copy(e, more)
	return json.Marshal(e)
}

// ask lets the function answer an event, and reads the answer.
func (k *check) ask(event []byte, decode func(context.Context, []byte) (twinmaker.Request, error), answer func(context.Context, []byte, twinmaker.Request) ([]byte, error), into any) error {
	began := time.Now()
	req, err := decode(k.ctx, event)
	if err != nil {
		return err
	}
	body, err := answer(k.ctx, nil, req)
	k.result.Took += time.Since(began)
	if err != nil {
		return err
	}
	k.result.Pages++
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("the answer is not what TwinMaker reads: %w", err)
	}
	return nil
}

// page is an answer to a history.
type page struct {
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

// points adds the points of a page to those that came, and returns how many.
func (p *page) points(got map[string][]point) (n int, err error) {
	for _, series := range p.PropertyValues {
		ref := series.Reference
		if ref.EntityID != entityID || ref.ComponentName != componentName {
			return n, fmt.Errorf("the answer speaks of %q, %q", ref.EntityID, ref.ComponentName)
		}
		for _, v := range series.Values {
			value, err := typed(ref.PropertyName, v.Value)
			if err != nil {
				return n, err
			}
			got[ref.PropertyName] = append(got[ref.PropertyName], point{v.Time, value})
			n++
		}
	}
	return n, nil
}

// history asks for a series, page after page.
func (k *check) history(selected []string, more object) (map[string][]point, error) {
	got := map[string][]point{}
	limit, _ := more["maxResults"].(int)
	for more = maps.Clone(more); ; {
		event, err := k.event(selected, more)
		if err != nil {
			return nil, err
		}
		var answer page
		if err := k.ask(event, k.function.devices.DecodeHistory, k.function.answers.AppendHistory, &answer); err != nil {
			return nil, err
		}
		n, err := answer.points(got)
		switch {
		case err != nil:
			return nil, err
		case n > limit:
			return nil, fmt.Errorf("a page of at most %d points has %d", limit, n)
		case answer.NextToken == nil:
			return got, nil
		case *answer.NextToken == "" || n == 0:
			return nil, fmt.Errorf("a page of %d points carries the nextToken %q", n, *answer.NextToken)
		}
		more["nextToken"] = *answer.NextToken
	}
}

// lastEntry asks for the newest value of each property.
func (k *check) lastEntry() error {
	event, err := k.event(names(), nil)
	if err != nil {
		return err
	}
	var answer struct {
		PropertyValues map[string]struct {
			Value map[string]json.RawMessage `json:"propertyValue"`
		} `json:"propertyValues"`
	}
	if err := k.ask(event, k.function.devices.DecodeLastEntry, k.function.answers.AppendLastEntry, &answer); err != nil {
		return err
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
		k.compare("latest values", name, got, []point{newest}, hotreader.Same)
	}
	return nil
}

// typed reads a value of TwinMaker's and expects it under the key of the
// property's type.
func typed(property string, value map[string]json.RawMessage) (hotreader.Value, error) {
	keys := map[hotreader.Type]string{hotreader.Double: "doubleValue", hotreader.Integer: "integerValue",
		hotreader.Boolean: "booleanValue", hotreader.ShortString: "stringValue"}
	all := machine.Properties()
	i := slices.IndexFunc(all, func(p machine.Property) bool { return p.Name == property })
	if i < 0 {
		return hotreader.Value{}, fmt.Errorf("the property %q was not asked for", property)
	}
	raw, ok := value[keys[all[i].Type]]
	if !ok || len(value) != 1 {
		return hotreader.Value{}, fmt.Errorf("%s, a %v, comes as %s", property, all[i].Type, value)
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
