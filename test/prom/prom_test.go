package prom

import (
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"
)

// over are functions over ranges, each for a series of its kind.
var over = strings.Fields(`avg_over_time min_over_time max_over_time sum_over_time count_over_time last_over_time
	stddev_over_time stdvar_over_time present_over_time changes resets rate irate increase delta idelta deriv absent_over_time`)

// expressions are at least 150, no two alike.
func expressions() (all []string) {
	for i, f := range over {
		of := []string{"temperature", "count", `{__name__="Water_Temp"}`, "level", "running"}[i%5]
		all = append(all, fmt.Sprintf("%s(%s[5m])", f, of), fmt.Sprintf("%s(edge[1m])", f), fmt.Sprintf(`%s(temperature{type="pump"}[90s] offset 7m)`, f))
	}
	for _, f := range strings.Fields("abs ceil floor exp ln log2 log10 sqrt round sgn cos sin tan atan cosh deg rad timestamp absent scalar sort sort_desc minute hour day_of_week days_in_month") {
		all = append(all, fmt.Sprintf("%s(temperature)", f))
	}
	for _, a := range strings.Fields("sum avg min max count group stddev stdvar") {
		all = append(all, a+"(temperature)", a+" by (type) (temperature)", a+" without (device) (rate(count[5m]))", a+` by (property) ({__name__="Water_Temp"})`)
	}
	return append(all, strings.Split(strings.TrimSpace(fixed), "\n")...)
}

const fixed = `
temperature
temperature{device="pump-1"}
temperature{device=~"pump-[12]"}
temperature{device!="pump-1"}
temperature{device!~"pump-.*",type!=""}
temperature{type=""}
temperature{twin="hall",property=""}
temperature{nothing="x"}
temperature{nothing=""}
Water_Temp
Water_Temp{property="Water Temp"}
Water_Temp{property="Water-Temp"}
{device="pump-3",__name__!="state"}
{__name__=~"temp.*|level"}
running
edge
nothing
temperature offset 5m
temperature offset -5m
temperature offset 1ms
edge offset 1ms
edge offset -1ms
edge offset 59s999ms
temperature @ 1772433000
temperature @ 1772433000.123
edge @ 1772433060
edge @ 1772433060 offset 1ms
temperature @ start()
temperature @ end()
temperature @ end() offset 10m
rate(count[5m] @ end())
rate(count[5m] @ start() offset 3m)
sum(temperature @ 1772433000) + sum(temperature)
temperature - temperature offset 1m
temperature - temperature @ start()
temperature / temperature
timestamp(temperature offset 3m)
timestamp(temperature @ 1772433000)
timestamp(edge)
time() - timestamp(temperature)
time() - max by (device) (timestamp({__name__=~"temp.*|level"}))
rate(count[1ms])
count_over_time(edge[1ms])
count_over_time(edge[60s])
count_over_time(edge[60001ms])
count_over_time(edge[59999ms])
sum_over_time(edge[1m] offset 1ms)
rate(count[1m:15s])
max_over_time(temperature[10m:1m])
max_over_time(temperature[10m:7s] offset 90s)
avg_over_time(rate(count[5m])[30m:1m])
avg_over_time(rate(count[5m])[30m:])
max_over_time(sum(temperature)[20m:30s] @ end())
min_over_time(max_over_time(temperature[5m:30s])[15m:1m])
count_over_time(edge[5m:1m])
count_over_time(edge[5m:59s] offset 1ms)
sum_over_time((temperature > 20)[10m:15s])
quantile_over_time(0.9, temperature[10m])
quantile_over_time(2, temperature[10m])
predict_linear(temperature[10m], 600)
double_exponential_smoothing(temperature[10m], 0.5, 0.5)
mad_over_time(temperature[10m])
temperature > 20
temperature > bool 20
20 < temperature < 30
temperature == 20
temperature != 20
-temperature
temperature ^ 2
temperature % 7
temperature atan2 level
temperature + on (device) level
temperature + on (device) group_left count
temperature * on (device, type) group_left (property) {__name__="Water_Temp",property="Water Temp"}
count + ignoring (property) Water_Temp{property="Water Temp"}
temperature and on (device) running == 1
temperature unless on (device) running == 1
temperature or edge
running == 0 or on (device) temperature
temperature > 10 and temperature < 30
sum(temperature) / count(temperature)
avg(temperature) > bool avg(temperature offset 10m)
topk(2, temperature)
bottomk(2, temperature)
topk by (type) (1, temperature)
quantile(0.5, temperature)
quantile by (type) (0.9, temperature)
count_values("value", level)
count_values by (device) ("value", running)
sum by (nothing) (temperature)
sum(rate(count[5m])) by (device)
sum(increase(count[10m]))
rate(count[5m]) * 60
increase(count[1m])
changes(running[10m])
resets(count[30m])
avg_over_time(running[10m]) * 100
delta(temperature[10m])
clamp(temperature, 5, 25)
clamp_min(temperature, 10)
clamp_max(temperature, 10)
round(temperature, 0.5)
label_replace(temperature, "short", "$1", "device", "pump-(.*)")
label_join(temperature, "both", "/", "type", "device")
absent(nothing)
absent(nothing{a="b"})
absent_over_time(level{device="pump-2"}[5m])
scalar(temperature{device="pump-1"})
vector(1)
vector(time())
time()
1
1 + 1
1 / 0
-1 % 0
"text"
pi()
opening
opening / 1e12
sum(opening) * 1e300
exp(opening)
day_of_month()
hour(timestamp(temperature))
histogram_quantile(0.9, temperature)
sort(topk(3, temperature))
max(temperature) - min(temperature)
stddev(temperature{type="pump"})
temperature{device="edge"}
last_over_time(temperature{type="valve"}[10m])
temperature{device="valve 1"} offset 2m
sum(last_over_time(temperature[1h]))
temperature[1m]
edge[2m] offset 1ms
rate(temperature)
temperature +
temperature + on (device) {__name__=~"temperature|count"}
sum(temperature
{nothing=""}
temperature{device=~"("}
`

// reply is an answer. Warnings and infos of ours alone are taken out.
type reply struct {
	Status    string
	ErrorType string
	Data      struct {
		ResultType string
		Result     any
	}
	Warnings, Infos []string
}

func ask(t *testing.T, s sides, path, expression string) {
	t.Helper()
	ours, theirs := get(s.ours, path), get(s.theirs, path)
	var a, b reply
	if err := json.Unmarshal(ours.Body.Bytes(), &a); err != nil {
		t.Fatalf("%s: %v: %s", expression, err, ours.Body)
	}
	if err := json.Unmarshal(theirs.Body.Bytes(), &b); err != nil {
		t.Fatalf("%s: %v: %s", expression, err, theirs.Body)
	}
	a.Infos = slices.DeleteFunc(a.Infos, func(info string) bool { return !strings.HasPrefix(info, "PromQL info: ") })
	a.Warnings = slices.DeleteFunc(a.Warnings, func(w string) bool { return strings.Contains(w, "left out: a text") })
	ordered := strings.HasPrefix(expression, "sort")
	for _, r := range []*reply{&a, &b} {
		slices.Sort(r.Warnings)
		slices.Sort(r.Infos)
		if list, ok := r.Data.Result.([]any); ok && !ordered && r.Data.ResultType == "vector" {
			sort.Slice(list, func(i, k int) bool { return fmt.Sprint(list[i]) < fmt.Sprint(list[k]) })
		}
		if len(r.Warnings) == 0 {
			r.Warnings = nil
		}
		if len(r.Infos) == 0 {
			r.Infos = nil
		}
	}
	if ours.Code != theirs.Code || !reflect.DeepEqual(a, b) {
		t.Errorf("%s\n%s\nours:   %d %.1500s\ntheirs: %d %.1500s", expression, path, ours.Code, ours.Body, theirs.Code, theirs.Body)
	}
}

func TestResultsArePrometheus(t *testing.T) {
	s, all := both(t), expressions()
	slices.Sort(all)
	if n := len(slices.Compact(slices.Clone(all))); n < 150 || n != len(all) {
		t.Fatalf("%d expressions, %d of them different; want 150", len(all), n)
	}
	from := begin.Truncate(time.Minute)
	for _, expression := range all {
		escaped := url.QueryEscape(expression)
		for _, at := range []time.Duration{0, time.Hour, time.Hour + time.Millisecond, time.Hour - time.Millisecond, 47*time.Minute + 13*time.Second, span + 5*time.Minute, -time.Hour} {
			ask(t, s, fmt.Sprintf("query?query=%s&time=%.3f", escaped, float64(from.Add(at).UnixMilli())/1000), expression)
		}
		for _, r := range []struct {
			start, end time.Duration
			step       string
			more       string
		}{
			{0, span, "60", ""}, {30 * time.Minute, time.Hour, "15s", ""}, {time.Minute + time.Millisecond, 40 * time.Minute, "7.013", ""},
			{-10 * time.Minute, span + 20*time.Minute, "10m", ""}, {0, span, "5m", "&lookback_delta=1m"}, {time.Hour, time.Hour, "1", ""},
			{20 * time.Minute, 21 * time.Minute, "0.25", "&limit=2"},
		} {
			ask(t, s, fmt.Sprintf("query_range?query=%s&start=%.3f&end=%.3f&step=%s%s", escaped, float64(from.Add(r.start).UnixMilli())/1000, float64(from.Add(r.end).UnixMilli())/1000, r.step, r.more), expression)
		}
	}
	t.Logf("%d expressions", len(all))
}

// TestListsArePrometheus asks for series that have samples: the lists that a catalogue
// makes have others, too.
func TestListsArePrometheus(t *testing.T) {
	s := both(t)
	for _, path := range []string{
		"labels", "labels?match[]=edge", "labels?match[]=edge&match[]=opening", "labels?match[]={__name__=~\"Water.*\"}", "labels?limit=2",
		"label/__name__/values", "label/device/values", "label/type/values", "label/property/values", "label/twin/values", "label/nothing/values",
		"label/device/values?match[]=running", "label/device/values?match[]=running{device!=\"pump-1\"}&match[]=edge",
		"series?match[]=level", "series?match[]=count{device=\"pump-1\"}&match[]={__name__=\"level\"}", "series?match[]=nothing", "series", "series?match[]={nothing=\"\"}",
		"series?match[]=(", "series?match[]=level&limit=x", "query_range?query=1&start=0&end=1", "query_range?query=1&start=2&end=1&step=1",
		"query_range?query=1&start=0&end=1&step=0", "query_range?query=1&start=0&end=31536000&step=0.001", "query_range?query=1&start=a&end=1&step=1", "query",
	} {
		i := strings.IndexByte(path, '?')
		if i >= 0 {
			path = path[:i+1] + strings.NewReplacer("{", "%7B", "}", "%7D", "\"", "%22", "[", "%5B", "]", "%5D", "*", "%2A").Replace(path[i+1:])
		}
		ours, theirs := get(s.ours, path), get(s.theirs, path)
		var a, b struct {
			Status, ErrorType string
			Data              []any
		}
		if err := json.Unmarshal(ours.Body.Bytes(), &a); err != nil {
			t.Fatalf("%s: %v: %s", path, err, ours.Body)
		}
		if err := json.Unmarshal(theirs.Body.Bytes(), &b); err != nil {
			t.Fatalf("%s: %v: %s", path, err, theirs.Body)
		}
		for _, list := range [][]any{a.Data, b.Data} {
			sort.Slice(list, func(i, k int) bool { return fmt.Sprint(list[i]) < fmt.Sprint(list[k]) })
		}
		if ours.Code != theirs.Code || !reflect.DeepEqual(a, b) {
			t.Errorf("%s\nours:   %d %.800s\ntheirs: %d %.800s", path, ours.Code, ours.Body, theirs.Code, theirs.Body)
		}
	}
}
