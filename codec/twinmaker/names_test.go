package twinmaker

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iottwinmaker"
	"github.com/aws/aws-sdk-go-v2/service/iottwinmaker/types"

	"hotreader"
	"hotreader/store/memstore"
)

// rowsReader is a Reader over rows in memory, ascending by time.
type rowsReader struct {
	names []string
	rows  []hotreader.Row

	queries []hotreader.Query // that were asked
	yielded int
	before  func(ctx context.Context, i int) error // called before the i-th row of a read
}

func (r *rowsReader) Read(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	r.queries = append(r.queries, q)
	return func(yield func(hotreader.Row, error) bool) {
		for row, err := range hotreader.NewReader(rowsSource{r}).Read(ctx, q) {
			if err == nil {
				r.yielded++
			}
			if !yield(row, err) {
				return
			}
		}
	}
}

type rowsSource struct{ *rowsReader }

func (r rowsSource) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		at := make([]int, len(q.Columns()))
		for i, name := range q.Columns() {
			at[i] = slices.Index(r.names, name)
		}
		values := make([]hotreader.Value, len(at))
		for i := range r.rows {
			row := r.rows[i]
			if q.Backward() {
				row = r.rows[len(r.rows)-1-i]
			}
			if r.before != nil {
				if err := r.before(ctx, i); err != nil {
					yield(hotreader.Row{}, err)
					return
				}
			}
			for i, column := range at {
				values[i] = hotreader.Value{}
				if column >= 0 {
					values[i] = row.Values[column]
				}
			}
			if !yield(hotreader.Row{Time: row.Time, Values: values}, nil) {
				return
			}
		}
	}
}

// rowsOf parses rows: first a line of names, then lines with a time and the values
// (number, true, false, "text", - for none).
func rowsOf(t testing.TB, text string) *rowsReader {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(text), "\n")
	r := &rowsReader{names: strings.Fields(lines[0])}
	for _, line := range lines[1:] {
		fields := strings.Fields(line)
		if len(fields) != len(r.names)+1 {
			t.Fatalf("line %q does not have %d values", line, len(r.names))
		}
		row := hotreader.Row{Time: instant(t, fields[0])}
		for _, f := range fields[1:] {
			row.Values = append(row.Values, valueOf(t, f))
		}
		r.rows = append(r.rows, row)
	}
	return r
}

func valueOf(t testing.TB, text string) hotreader.Value {
	t.Helper()
	switch {
	case text == "-":
		return hotreader.Value{}
	case text == "true" || text == "false":
		return hotreader.BoolValue(text == "true")
	case strings.HasPrefix(text, `"`):
		return hotreader.StringValue([]byte(strings.Trim(text, `"`)))
	case hotreader.IsNumber([]byte(text)):
		return hotreader.NumberValue([]byte(text))
	}
	t.Fatalf("%q is no value", text)
	return hotreader.Value{}
}

func instant(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := hotreader.ParseTime([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// seconds returns n rows, one every second, of numbers that identify row and property.
func seconds(n int, names ...string) *rowsReader {
	start := time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC)
	r := &rowsReader{names: names}
	for i := range n {
		row := hotreader.Row{Time: start.Add(time.Duration(i) * time.Second)}
		for j := range names {
			row.Values = append(row.Values, hotreader.NumberValue(fmt.Appendf(nil, "%d.%d", i, j)))
		}
		r.rows = append(r.rows, row)
	}
	return r
}

// entity is the reference of most tests.
var entity = Reference{EntityID: "e", ComponentName: "c"}

func ask(properties ...string) Request {
	return Request{Query: hotreader.Query{Device: "d", Properties: properties}, Ref: entity}
}

// pageReader yields rows as they are, as cheaply as a Reader can.
type pageReader struct{ rows []hotreader.Row }

func (r *pageReader) Read(_ context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	types := slices.Repeat([]hotreader.Type{hotreader.AnyNumber}, len(q.Properties))
	copy(types, q.Types)
	return func(yield func(hotreader.Row, error) bool) {
		for i := range r.rows {
			if !yield(hotreader.Row{Time: r.rows[i].Time, Values: r.rows[i].Values, Types: types}, nil) {
				return
			}
		}
	}
}

// definitions are those of a component type as the deployer makes it: a time series, its
// latest value under another name, and a property with another name in the store.
const definitions = `{
	"deviceId":{"definition":{"isExternalId":true,"defaultValue":{"stringValue":"d"}}},
	"temperature":{"definition":{"dataType":{"type":"DOUBLE"},"isTimeSeries":true,"isStoredExternally":true}},
	"temperature_latest":{"definition":{"dataType":{"type":"DOUBLE"},"isTimeSeries":false,"configuration":{"storedAs":"temperature"}}},
	"speed":{"definition":{"dataType":{"type":"LONG"},"isTimeSeries":true,"configuration":{"storedAs":"v (m/s)"}}},
	"speed_latest":{"definition":{"dataType":{"type":"LONG"}}},
	"odd_latest":{"definition":{"dataType":{"type":"DOUBLE"},"isTimeSeries":true}},
	"alone_latest":{"definition":{"dataType":{"type":"DOUBLE"},"configuration":{}}}}`

func TestStoredNames(t *testing.T) {
	for _, c := range []struct {
		name, selected string
		properties     []string
		types          []hotreader.Type
		names          []Name // nil = the query's
	}{
		{"the configuration says it", `["temperature_latest"]`,
			[]string{"temperature"}, []hotreader.Type{hotreader.Double}, []Name{{"temperature_latest", 0}}},
		{"without it, the time series beside it", `["speed_latest"]`,
			[]string{"v (m/s)"}, []hotreader.Type{hotreader.Long}, []Name{{"speed_latest", 0}}},
		{"two of one", `["temperature","speed","temperature_latest"]`,
			[]string{"temperature", "v (m/s)"}, []hotreader.Type{hotreader.Double, hotreader.Long},
			[]Name{{"temperature", 0}, {"speed", 1}, {"temperature_latest", 0}}},
		{"its own time series, and none beside it", `["odd_latest","alone_latest"]`,
			[]string{"odd_latest", "alone_latest"}, []hotreader.Type{hotreader.Double, hotreader.Double}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			req, err := Devices{}.DecodeLastEntry(t.Context(), anEvent("startTime", "", "endTime", "",
				"properties", definitions, "selectedProperties", c.selected))
			if err != nil {
				t.Fatal(err)
			}
			if q := req.Query; !reflect.DeepEqual(q.Properties, c.properties) || !reflect.DeepEqual(q.Types, c.types) || q.Device != "d" {
				t.Errorf("query %+v", q)
			}
			if !reflect.DeepEqual(req.Names, c.names) {
				t.Errorf("names %+v, want %+v", req.Names, c.names)
			}
		})
	}
	t.Run("a filter's", func(t *testing.T) {
		req, err := Devices{}.DecodeHistory(t.Context(), anEvent("properties", definitions,
			"propertyFilters", `[{"propertyName":"speed","operator":">","value":{"longValue":3}}]`))
		if err != nil || len(req.Query.Filters) != 1 || req.Query.Filters[0].Property != "v (m/s)" {
			t.Errorf("%+v, %v", req.Query.Filters, err)
		}
	})
}

func TestStoredNamesRefused(t *testing.T) {
	for _, c := range []struct{ selected, properties, want string }{
		{`["temperature"]`, `{"temperature":{"definition":{"configuration":[]}}}`, "properties.temperature.definition.configuration is an array"},
		{`["temperature"]`, `{"temperature":{"definition":{"configuration":{"storedAs":""}}}}`, "configuration.storedAs"},
		{`["temperature","temperature_latest"]`, definitions, "two that are both \"temperature\""},
	} {
		_, err := Devices{}.DecodeHistory(t.Context(), anEvent("selectedProperties", c.selected, "properties", c.properties))
		if hotreader.CodeOf(err) != hotreader.CodeInvalid || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.properties, err, c.want)
		}
	}
	_, err := Devices{}.DecodeLastEntry(t.Context(), anEvent("startTime", "", "endTime", "", "selectedProperties", `["a","b"]`,
		"properties", `{"a":{"definition":{"dataType":{"type":"LONG"}}},"b":{"definition":{"dataType":{"type":"DOUBLE"},"configuration":{"storedAs":"a"}}}}`))
	if hotreader.CodeOf(err) != hotreader.CodeInvalid || !strings.Contains(err.Error(), "declared otherwise") {
		t.Errorf("got %v", err)
	}
	req := Request{Query: hotreader.Query{Device: "d", Properties: []string{"a"}}, Names: []Name{{"b", 1}}}
	if _, err := new(Responder).AppendLastEntry(t.Context(), nil, req); hotreader.CodeOf(err) != hotreader.CodeInvalid {
		t.Errorf("a name of no property: %v", err)
	}
}

// TestAnswersHaveTheNamesAsked: a property stored under another name has the requested
// name in the answer.
func TestAnswersHaveTheNamesAsked(t *testing.T) {
	store := memstore.New()
	number := func(text string) hotreader.Value { return hotreader.NumberValue([]byte(text)) }
	err := store.Write(t.Context(), "d", []hotreader.Record{{
		Time:   time.Date(2024, 3, 1, 6, 0, 0, 0, time.UTC),
		Fields: []hotreader.Field{{Name: "temperature", Value: number("21.5")}, {Name: "v (m/s)", Value: number("4")}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	r := Responder{Reader: hotreader.NewReader(store)}

	event := anEvent("startTime", "", "endTime", "", "properties", definitions,
		"selectedProperties", `["temperature_latest","temperature","speed_latest"]`)
	req, err := Devices{}.DecodeLastEntry(t.Context(), event)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := r.AppendLastEntry(t.Context(), nil, req)
	const want = `{"propertyValues":{` +
		`"temperature_latest":{"propertyReference":{"entityId":"e","componentName":"c","propertyName":"temperature_latest"},"propertyValue":{"doubleValue":21.5}},` +
		`"temperature":{"propertyReference":{"entityId":"e","componentName":"c","propertyName":"temperature"},"propertyValue":{"doubleValue":21.5}},` +
		`"speed_latest":{"propertyReference":{"entityId":"e","componentName":"c","propertyName":"speed_latest"},"propertyValue":{"longValue":4}}}}`
	if err != nil || string(answer) != want {
		t.Errorf("%s, %v\nwant %s", answer, err, want)
	}

	req, err = Devices{}.DecodeHistory(t.Context(), anEvent("properties", definitions, "selectedProperties", `["speed"]`))
	if err != nil {
		t.Fatal(err)
	}
	answer, err = r.AppendHistory(t.Context(), nil, req)
	if err != nil || !json.Valid(answer) || !strings.Contains(string(answer), `"propertyName":"speed"},"values":[{"time":"2024-03-01T06:00:00.000Z","value":{"longValue":4}}]`) {
		t.Errorf("%s, %v", answer, err)
	}
}

// sdkClient returns AWS's own client of TwinMaker, which gets answer's to every request.
// A nil answer is a failure.
func sdkClient(t *testing.T, answer func(request []byte) []byte) *iottwinmaker.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		request, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		body := answer(request)
		if body == nil {
			w.WriteHeader(http.StatusBadRequest)
			body = []byte(`{"__type":"ConnectorFailureException","message":"see the test"}`)
		}
		_, _ = w.Write(body)
	}))
	t.Cleanup(server.Close)
	return iottwinmaker.New(iottwinmaker.Options{
		Region:       "eu-central-1",
		BaseEndpoint: aws.String(server.URL),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}, nil
		}),
		// The client puts "data." in front of the host.
		HTTPClient: &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
		}}},
	})
}

// TestHistoryThroughTheSDK reads our answers with AWS's own client, page by page
// with its own paginator, and compares each point.
func TestHistoryThroughTheSDK(t *testing.T) {
	req := machineRequest(t)
	req.MaxResults = 5
	var err error
	client := sdkClient(t, func([]byte) []byte {
		var body []byte
		if body, err = (&Responder{Reader: machine(t)}).AppendHistory(context.Background(), nil, req); err != nil {
			t.Error(err)
		}
		return body
	})
	pages := iottwinmaker.NewGetPropertyValueHistoryPaginator(client, &iottwinmaker.GetPropertyValueHistoryInput{
		WorkspaceId: aws.String("w"), SelectedProperties: req.Query.Properties,
	})
	got := make([][]any, len(req.Query.Properties))
	n := 0
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n++
		req.NextToken = aws.ToString(page.NextToken)
		for i, p := range page.PropertyValues {
			ref := p.EntityPropertyReference
			if *ref.EntityId != "press" || *ref.ComponentName != "press-1" || *ref.PropertyName != req.Query.Properties[i] {
				t.Fatalf("reference %+v", ref)
			}
			for _, v := range p.Values {
				if _, err := time.Parse(time.RFC3339Nano, *v.Time); err != nil {
					t.Error(err)
				}
				got[i] = append(got[i], sdkValue(t, v.Value))
			}
		}
	}
	if n != 5 {
		t.Errorf("%d pages; want 5", n)
	}
	want := [][]any{
		{588.168, 592.4224, -0.0005},
		{true, false},
		{int32(7), int32(7), int32(-7)},
		{"run", "idle"},
		{int64(9007199254740993), int64(-9223372036854775808), int64(17), int64(1)},
	}
	want[3][1] = strings.ToValidUTF8(string(machine(t).rows[1].Values[4].Text()), "\ufffd")
	for i := range want {
		if i == 3 { // a run of bad bytes may become one mark or several
			for j, v := range got[i] {
				got[i][j] = strings.ReplaceAll(v.(string), "\ufffd\ufffd", "\ufffd")
			}
		}
		if !slices.Equal(got[i], want[i]) {
			t.Errorf("%s: %#v; want %#v", req.Query.Properties[i], got[i], want[i])
		}
	}
}

func sdkValue(t *testing.T, v *types.DataValue) any {
	t.Helper()
	switch {
	case v == nil:
		t.Fatal("a point without a value")
	case v.DoubleValue != nil:
		return *v.DoubleValue
	case v.IntegerValue != nil:
		return *v.IntegerValue
	case v.LongValue != nil:
		return *v.LongValue
	case v.BooleanValue != nil:
		return *v.BooleanValue
	case v.StringValue != nil:
		return *v.StringValue
	}
	t.Fatalf("value %+v", v)
	return nil
}

func TestLastEntryThroughTheSDK(t *testing.T) {
	req := machineRequest(t)
	req.Query.Properties = append(req.Query.Properties, "nobody-has-it")
	req.Query.Types = append(req.Query.Types, hotreader.Double)
	client := sdkClient(t, func([]byte) []byte {
		body, err := (&Responder{Reader: machine(t)}).AppendLastEntry(context.Background(), nil, req)
		if err != nil {
			t.Error(err)
		}
		return body
	})
	out, err := client.GetPropertyValue(t.Context(), &iottwinmaker.GetPropertyValueInput{WorkspaceId: aws.String("w"), SelectedProperties: req.Query.Properties})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"temperature": -0.0005, "running": false, "cycles": int32(-7), "total": int64(1)}
	for name, v := range want {
		p := out.PropertyValues[name]
		if p.PropertyReference == nil || *p.PropertyReference.PropertyName != name || sdkValue(t, p.PropertyValue) != v {
			t.Errorf("%s: %+v", name, p)
		}
	}
	if len(out.PropertyValues) != 5 {
		t.Errorf("%d properties; want 5", len(out.PropertyValues))
	}
}
