package cost

import (
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"hotreader"
	"hotreader/config"
	"hotreader/function"
	"hotreader/store/awsdynamodb"
	"hotreader/store/azurecosmos"
	"hotreader/store/gcpfirestore"
)

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Max(math.Abs(a), math.Abs(b)) }

// The price in the error of a query that looks at too many rows is that of these figures.
func TestRowPrices(t *testing.T) {
	f := Listed()
	item := f["item_bytes"].Value + 4*f["item_property_bytes"].Value
	for _, c := range []struct {
		f    config.Function
		want float64
	}{
		{config.Function{L3: config.AWS}, f["dynamodb_read_million"].Value * item / 8192},
		{config.Function{L3: config.Azure}, f["cosmos_ru_million"].Value * f["cosmos_row_ru"].Value},
		{config.Function{L3: config.GCP}, f["firestore_read_million"].Value},
	} {
		if got := function.RowLimit(&c.f); math.Abs(got.Million-c.want) > c.want/20 || got.Date != Date {
			t.Errorf("%s: %v USD of %s for a million rows, want %v of %s", got.Store, got.Million, got.Date, c.want, Date)
		}
	}
}

// Estimated by hand, item by item, from the figures as they are.
func TestBillsReckonedByHand(t *testing.T) {
	f := Listed()
	for _, c := range []struct {
		route Route
		query Query
		want  map[string]float64
	}{
		{Route{AWS, AWS}, Mix()[0], map[string]float64{
			"DynamoDB":                 0.5 * 0.125,               // 8 rows of 200 B are one block of 4 KB
			"X-Ray":                    5,                         // one trace each
			"logs":                     1.3 * 0.50,                // 1,300 B each
			"Lambda reader/requests":   0.20,                      //
			"Lambda reader/GB-seconds": 26e3 * 0.5 * 0.0000133334, // 5 ms, a page's 20, and 0.04 for the rows
		}},
		{Route{Azure, Azure}, Mix()[1], map[string]float64{
			"Cosmos DB":                   (2.8 + 3600*0.04) * 0.25, // one page
			"Functions reader/executions": 0.40,
			"Functions reader/GB-seconds": 1e6 * 2 * 0.000026, // a second at least, of 2 GB
			"logs":                        3 * 2.30,
		}},
		{Route{AWS, GCP}, Mix()[1], map[string]float64{
			"Firestore":                3600 * 0.30,
			"bytes out gcp":            (1000 + 3600*4*0.72) * 1e6 / (1 << 30) * 0.12,
			"bytes out aws":            1 * 0.09,
			"Cloud Run API/requests":   0.40,
			"Cloud Run API/seconds":    1e5 * (0.000024 + 0.5*0.0000025), // 25 ms and 5 for the rows are 100
			"logs gcp":                 1800 * 1e6 / (1 << 30) * 0.50,
			"logs aws":                 1.3 * 0.50,
			"X-Ray":                    5,
			"Lambda reader/requests":   0.20,
			"Lambda reader/GB-seconds": 130e3 * 0.5 * 0.0000133334, // 5 + 80 + 25 + 4.46, and 15.4 of its own: 130
		}},
		{Route{GCP, GCP}, Query{Rows: 86_400, Properties: 4, Points: 4000}, map[string]float64{
			"Firestore":                 86_400 * 0.30, // one answer, all rows for it
			"Cloud Run reader/requests": 0.40,
			"Cloud Run reader/seconds":  2e5 * (0.000024 + 0.5*0.0000025), // 5, 9 pages in two rounds, and 121 for the rows: 200
			"logs":                      1800 * 1e6 / (1 << 30) * 0.50,
		}},
		{Route{GCP, AWS}, Mix()[0], map[string]float64{
			"DynamoDB":                  0.0625,
			"API Gateway":               3.50,
			"Lambda API/requests":       0.20,
			"Lambda API/GB-seconds":     26e3 * 0.5 * 0.0000133334,
			"logs aws":                  1.7 * 0.50,
			"logs gcp":                  1800 * 1e6 / (1 << 30) * 0.50,
			"bytes out aws":             (1000 + 4*0.72) / 1e3 * 0.09,
			"bytes out gcp":             1000 * 1e6 / (1 << 30) * 0.12,
			"X-Ray":                     5,
			"Cloud Run reader/requests": 0.40,
			"Cloud Run reader/seconds":  2e5 * (0.000024 + 0.5*0.0000025), // 5 + 80 + 25 are 200
		}},
	} {
		b := f.Of(c.route, c.query)
		want := 0.0
		for _, usd := range c.want {
			want += usd
		}
		for _, i := range b.Items {
			usd, ok := 0.0, false
			for _, name := range []string{i.What, i.What + " " + i.Cloud, i.What + "/" + i.Unit} {
				if v, has := c.want[name]; has {
					usd, ok = v, true
				}
			}
			if !ok || !near(i.USD, usd) {
				t.Errorf("%v %s: %s %s is %v for %v %s, want %v", c.route, c.query.Name, i.What, i.Cloud, i.USD, i.Quantity, i.Unit, usd)
			}
		}
		if !near(b.USD, want) {
			t.Errorf("%v %s: %v in all, want %v", c.route, c.query.Name, b.USD, want)
		}
	}
}

// A history that needs several answers. Beside the store what was read ahead is
// read again; from another cloud all that was left.
func TestFullAnswers(t *testing.T) {
	f, large := Listed(), Mix()[2]
	full := 5.5e6 / (4 * 65.5) // rows of an answer
	b := f.Of(Route{AWS, GCP}, large)
	want := 0.0
	for n := range 5 {
		want += 100_000 - float64(n)*full
	}
	if b.Answers != 5 || !near(b.Read, want) {
		t.Errorf("remote: %d answers, %v rows; want 5, %v", b.Answers, b.Read, want)
	}
	b = f.Of(Route{AWS, AWS}, large)
	if b.Answers != 5 || b.Read <= 100_000 || b.Read > 100_000+4*5243 {
		t.Errorf("local: %d answers, %v rows", b.Answers, b.Read)
	}
	if b = f.Of(Route{GCP, GCP}, large); b.Answers != 2 || b.Read < 100_000 || b.Read > 200_000 {
		t.Errorf("local on gcp: %d answers, %v rows", b.Answers, b.Read)
	}
}

func TestBillsAddUp(t *testing.T) {
	f := Listed()
	for _, r := range Routes() {
		for _, q := range Mix() {
			b, sum := f.Of(r, q), 0.0
			for n, i := range b.Items {
				sum += i.USD
				if i.USD <= 0 || i.Quantity <= 0 || n > 0 && i.USD > b.Items[n-1].USD {
					t.Errorf("%v %s: %+v", r, q.Name, i)
				}
				if i.Cloud != r.Twin && i.Cloud != r.Hot {
					t.Errorf("%v %s: an item on %s", r, q.Name, i.Cloud)
				}
			}
			if !near(sum, b.USD) || b.USD == 0 {
				t.Errorf("%v %s: items are %v, the bill says %v", r, q.Name, sum, b.USD)
			}
		}
	}
}

// Each figure counts: half as much more of it changes a bill. What is dearer
// never makes a bill less.
func TestEveryFigureCounts(t *testing.T) {
	all := func(f Figures) (usd []float64) {
		for _, r := range Routes() {
			usd = append(usd, f.Month(r))
			for _, q := range Mix() {
				usd = append(usd, f.Of(r, q).USD)
			}
		}
		for _, s := range f.Stored(10_000, 1e12, Days) {
			usd = append(usd, s.Month, s.Read)
			for _, r := range s.Restores {
				usd = append(usd, r.USD, r.Hours)
			}
		}
		return usd
	}
	before := all(Listed())
	for name, figure := range Listed() {
		other := figure.Value*1.5 + 1e-4
		if name == "traced" { // which is all there is, a share of 1
			other = 0.5
		}
		more, err := Listed().With(fmt.Appendf(nil, `{%q: %v}`, name, other))
		if err != nil {
			t.Fatal(err)
		}
		after, changed := all(more), false
		for i := range after {
			changed = changed || !near(after[i], before[i])
			if after[i] < before[i] && !near(after[i], before[i]) && figure.From == "list" {
				t.Errorf("%s: dearer by half, and a bill is %v instead of %v", name, after[i], before[i])
			}
		}
		if !changed {
			t.Errorf("%s changes nothing", name)
		}
	}
}

func TestFiguresSayWhereTheyAreFrom(t *testing.T) {
	performance, err := os.ReadFile("../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range Listed() {
		if f.Unit == "" || f.Value < 0 || !slices.Contains([]string{"list", "measured", "deployed", "assumed"}, f.From) {
			t.Errorf("%s: %+v", name, f)
		}
		if f.From == "list" && !strings.HasPrefix(f.Source, "https://") || f.From == "assumed" && f.Source != "" || f.From == "measured" && f.Source == "" {
			t.Errorf("%s is %s, of %q", name, f.From, f.Source)
		}
	}
	measured := func(row string) float64 {
		t.Helper()
		m := regexp.MustCompile(row).FindSubmatch(performance)
		if m == nil {
			t.Fatalf("docs/performance.md has no %s", row)
		}
		v, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	wire := measured(`(?m)^\| bytes between clouds: three .*\| (\d+\.\d+) B \|`)
	if got := Listed()["point_wire_bytes"].Value; got != wire {
		t.Errorf("point_wire_bytes is %v, docs/performance.md has %v", got, wire)
	}
	if got, want := Listed()["point_json_bytes"].Value, wire*measured(`TwinMaker JSON ÷ that \|[^|]*\| (\d+) \|`); math.Abs(got-want) > 0.5 {
		t.Errorf("point_json_bytes is %v, docs/performance.md has %v", got, want)
	}
	if got, want := Listed()["row_cpu_us"].Value, measured(`the whole bootstrap .*\n\| \| a row \|[^|]*\| (\d\.\d+) µs`); got != want {
		t.Errorf("row_cpu_us is %v, docs/performance.md has %v", got, want)
	}
}

// What the deployer makes is what the estimate is of.
func TestDeployedFigures(t *testing.T) {
	for _, cloud := range Clouds() {
		text, err := os.ReadFile("../../deploy/terraform/" + cloud + "/variables.tf")
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(`(?s)variable "memory_mb" \{.*?default\s+= (\d+)`).FindSubmatch(text)
		if m == nil || string(m[1]) != fmt.Sprint(Listed()[cloud+"_memory_mb"].Value) {
			t.Errorf("%s: %q, want %v", cloud, m, Listed()[cloud+"_memory_mb"].Value)
		}
	}
}

// A query for latest values asks the store for as many rows as are estimated.
func TestLastEntryReadsSoManyRows(t *testing.T) {
	for name, value := range map[string]string{"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": ""} {
		t.Setenv(name, value)
	}
	limit := -1.0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct{ Limit float64 }
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			t.Error(err)
		}
		if limit < 0 { // what follows looks at what is there, for nothing was found
			limit = q.Limit
		}
		_, _ = w.Write([]byte(`{"Count":0,"ScannedCount":0,"Items":[]}`))
	}))
	defer s.Close()
	client, err := awsdynamodb.NewFunctionClient(awsdynamodb.ClientOptions{Endpoint: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	q := hotreader.Query{Device: "d", Properties: []string{"a", "b", "c", "d"}, Last: true}
	for _, err := range hotreader.NewReader(awsdynamodb.New(client, awsdynamodb.Options{Table: "rows"})).Read(t.Context(), q) {
		t.Fatal(err)
	}
	if want := Listed()["last_rows"].Value; limit != want {
		t.Errorf("%v rows, want %v", limit, want)
	}

	cosmos, err := azurecosmos.NewClient(azurecosmos.ClientOptions{Endpoint: "https://a.invalid", Key: "c2VjcmV0", Transport: transport(func(r *http.Request) {
		limit, err = strconv.ParseFloat(r.Header.Get("X-Ms-Max-Item-Count"), 64)
	})})
	if err != nil {
		t.Fatal(err)
	}
	limit = -1
	for range hotreader.NewReader(azurecosmos.New(cosmos, azurecosmos.Options{Database: "d", Container: "c"})).Read(t.Context(), q) {
	}
	if want := Listed()["last_rows"].Value; limit != want {
		t.Errorf("Cosmos DB: %v rows, want %v (%v)", limit, want, err)
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan float64, 10)
	g := grpc.NewServer()
	firestorepb.RegisterFirestoreServer(g, &firestore{asked: asked})
	go func() { _ = g.Serve(l) }()
	defer g.Stop()
	google, err := gcpfirestore.NewClient(t.Context(), gcpfirestore.ClientOptions{Endpoint: "http://" + l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	defer google.Close()
	for range hotreader.NewReader(gcpfirestore.New(google, gcpfirestore.Options{Project: "p", Collection: "c"})).Read(t.Context(), q) {
	}
	if got, want := <-asked, Listed()["firestore_last_rows"].Value; got != want {
		t.Errorf("Firestore: %v documents, want %v", got, want)
	}
}

// transport sees a request and rejects it.
type transport func(*http.Request)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) {
	f(r)
	return &http.Response{StatusCode: http.StatusNotFound, Header: http.Header{"Content-Type": {"application/json"}}, Body: http.NoBody, Request: r}, nil
}

// firestore sees how many documents are asked for, and rejects the request.
type firestore struct {
	firestorepb.UnimplementedFirestoreServer
	asked chan float64
}

func (f *firestore) RunQuery(r *firestorepb.RunQueryRequest, _ firestorepb.Firestore_RunQueryServer) error {
	f.asked <- float64(r.GetStructuredQuery().GetLimit().GetValue())
	return status.Error(codes.PermissionDenied, "no")
}

func TestOwnFigures(t *testing.T) {
	f, err := Listed().With([]byte(`{"firestore_read_million": 0.6, "traced": {"value": 0, "unit": "any"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if g := f["firestore_read_million"]; g.Value != 0.6 || g.From != "given" || g.Unit == "" || f["traced"].Value != 0 {
		t.Errorf("%+v, %+v", g, f["traced"])
	}
	before, after := Listed().Of(Route{GCP, GCP}, Mix()[1]), f.Of(Route{GCP, GCP}, Mix()[1])
	if !near(after.USD-before.USD, 3600*0.3) {
		t.Errorf("%v and %v", before.USD, after.USD)
	}
	if f.Of(Route{AWS, AWS}, Mix()[0]).USD > 1.5 {
		t.Error("without traces a last entry still costs more than 1.50")
	}
	// What --list --json prints, given back, changes nothing.
	printed, err := json.Marshal(Listed())
	if err != nil {
		t.Fatal(err)
	}
	if f, err = Listed().With(printed); err != nil || f["traced"] != Listed()["traced"] {
		t.Errorf("%+v, %v", f["traced"], err)
	}
	for file, want := range map[string]string{
		`[]`:                               "expected an object",
		`{"firestore_reads_million": 1}`:   "did you mean firestore_read_million",
		`{"traced": "x"}`:                  "traced: expected a number",
		`{"traced": null}`:                 "expected a number",
		`{"traced": {}}`:                   "expected a number",
		`{"traced": -1}`:                   "less than nothing",
		`{"traced": 1.5}`:                  "traced: 1.5 is more than 1",
		`{"last_rows": 1001}`:              "more than 1000",
		`{"point_json_bytes": 1e300}`:      "more than 1e+06",
		`{"point_json_bytes": 0}`:          "more than 0",
		`{"traced": -1, "aws_egress": 3 }`: `"aws_egress" is no figure`,
	} {
		if _, err := Listed().With([]byte(file)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", file, err, want)
		}
	}
}

func TestMonth(t *testing.T) {
	for r, want := range map[Route]float64{{AWS, AWS}: 3.60, {GCP, GCP}: 0.06, {AWS, GCP}: 4.06, {Azure, AWS}: 2.20, {Azure, Azure}: 0} {
		if got := Listed().Month(r); !near(got, want) {
			t.Errorf("%v: %v, want %v", r, got, want)
		}
	}
}
