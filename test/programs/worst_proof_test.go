//go:build proof && linux

package programs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"hotreader"
	"hotreader/catalog"
	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/store/memstore"
	"hotreader/test/serving"
)

// A shape is a kind of answer, asked for in the way that takes the most of a program.
type shape struct {
	name, method, path, body string
	headers                  []string
	refused                  bool // it may be more than an answer or a query may have
}

const (
	wideProperties = 100 // as many as a query may name
	fleetDevices   = 20
	fleetRows      = 450
	oneDay         = "start=2023-11-14T22:13:20Z&end=2023-11-15T22:13:20Z"
)

// wide names the properties p00, p01, ….
func wide(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("p%02d", i))
	}
	return names
}

func quoted(names []string) string { return `"` + strings.Join(names, `","`) + `"` }

// asked is the body of POST /read.
func asked(device, more string) string {
	return `{"source_cloud":"aws","target_layer":"L3-Hot-Read","message_type":"query","timestamp":"2026-01-01T00:00:00Z","trace_id":"t-1","payload":{"iot_device_id":"` + device +
		`","start_time":"2020-01-01T00:00:00Z","end_time":"2030-01-01T00:00:00Z","selected_properties":[` + quoted(wide(wideProperties)) + `]` + more + `}}`
}

func tool(name, arguments string) shape {
	return shape{"MCP, " + name, http.MethodPost, "/mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + name + `","arguments":` + arguments + `}}`,
		[]string{"Content-Type", "application/json", "Accept", "application/json, text/event-stream"}, false}
}

func prometheus(name, query, step string, refused bool) shape {
	form := url.Values{"query": {query}, "start": {fmt.Sprint(serving.At(0).Unix())}, "end": {fmt.Sprint(serving.At(fleetRows).Unix())}, "time": {fmt.Sprint(serving.At(fleetRows).Unix())}, "step": {step}}
	path := "/api/v1/query_range?"
	if strings.HasSuffix(query, "]") {
		path = "/api/v1/query?"
	}
	return shape{name: "Prometheus, " + name, method: http.MethodGet, path: path + form.Encode(), headers: []string{"Accept-Encoding", "gzip"}, refused: refused}
}

func history(name, device, more string, properties int) shape {
	return shape{name: name, method: http.MethodGet, path: "/v1/devices/" + device + "/history?property=" + strings.Join(wide(properties), ",") + "&" + more}
}

var shapes = []shape{
	history("JSON", "wide", oneDay, wideProperties),
	history("JSON, large texts", "texts", oneDay, wideProperties),
	history("JSON, compressed", "wide", oneDay, wideProperties),
	history("CSV", "wide", oneDay+"&format=csv", wideProperties),
	history("downsampling", "wide", oneDay+"&points=4000", wideProperties),
	{name: "row stream", method: http.MethodPost, path: "/read", body: asked("wide", ""), headers: []string{"Accept", "application/vnd.hotreader.rows"}},
	{name: "row stream, large texts", method: http.MethodPost, path: "/read", body: asked("texts", ""), headers: []string{"Accept", "application/vnd.hotreader.rows"}},
	{name: "TwinMaker's JSON", method: http.MethodPost, path: "/read", body: asked("wide", "")},
	{name: "interpolation", method: http.MethodPost, path: "/read", body: asked("ends", `,"interpolation":{"interpolationType":"LINEAR","intervalInSeconds":1}`)},
	{name: "latest values", method: http.MethodPost, path: "/read", body: strings.Replace(asked("wide", ""), `"query"`, `"query_last_entry"`, 1)},
	{name: "devices", method: http.MethodGet, path: "/v1/devices"},
	prometheus("the largest answer", `{device=~"fleet-.*"}`, "4", false),
	prometheus("all samples of some series", `{device=~"fleet-0."}[1h]`, "1", true),
	prometheus("all series at each step", `{device=~"fleet-.*"}`, "1", true),
	prometheus("sums of sums", `sum by (device) (sum by (device, __name__) ({device=~"fleet-0[0-2]"}) * 1.000001)`, "1", true),
	prometheus("a range at each step", `max_over_time({device=~"fleet-0[0-2]"}[5m])`, "4", true),
	tool("history", `{"device":"wide","start":"2023-11-14T00:00:00Z","end":"2023-11-16T00:00:00Z","points":200}`),
	tool("stats", `{"device":"wide","start":"2023-11-14T00:00:00Z","end":"2023-11-16T00:00:00Z"}`),
}

var coldShapes = []shape{
	history("cold JSON, sorted", "cold", oneDay, 4),
	history("cold JSON, sorted, downsampled", "cold", oneDay+"&points=400", 4),
	history("cold Parquet", "wide", oneDay, wideProperties),
	history("cold Parquet, few properties", "wide", oneDay, 4),
	history("cold Parquet, backward", "wide", oneDay+"&order=desc", wideProperties),
}

// fill writes what shapes ask for.
func fill(t testing.TB, store *memstore.Store) {
	t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	row := func(i, properties int, value func() hotreader.Value) hotreader.Record {
		r := hotreader.Record{Time: serving.At(i)}
		for _, name := range wide(properties) {
			r.Fields = append(r.Fields, hotreader.Field{Name: name, Value: value()})
		}
		return r
	}
	number := func() hotreader.Value { return hotreader.Float64Value(random.NormFloat64()) }
	devices := map[string][]hotreader.Record{}
	for i := range 5000 {
		devices["wide"] = append(devices["wide"], row(i, wideProperties, number))
	}
	for i := range 200 {
		devices["texts"] = append(devices["texts"], row(i, wideProperties, func() hotreader.Value {
			text := make([]byte, 5<<10)
			for i := range text {
				text[i] = byte(' ' + random.IntN(90))
			}
			return hotreader.StringValue(text)
		}))
	}
	long := func() hotreader.Value { return hotreader.NumberValue([]byte("9007199254740993")) }
	devices["ends"] = []hotreader.Record{row(0, wideProperties, long), row(3e7, wideProperties, long)}
	for d := range fleetDevices {
		for i := range fleetRows {
			id := fmt.Sprintf("fleet-%02d", d)
			devices[id] = append(devices[id], row(i, wideProperties, number))
		}
	}
	for id, records := range devices {
		if err := store.Write(t.Context(), id, records); err != nil {
			t.Fatal(err)
		}
	}
}

// objects plays Cloud Storage, S3 and Azure's blobs with objects that are the worst to read.
func objects(t testing.TB) (address string) {
	t.Helper()
	var lines, file bytes.Buffer
	random := rand.New(rand.NewPCG(3, 4))
	for _, i := range random.Perm(80_000) { // in no order
		fmt.Fprintf(&lines, `{"device_id":"cold","timestamp":%q,"p00":%v,"p01":%v,"p02":%v,"p03":%v}`+"\n", serving.At(i).Format(time.RFC3339Nano), random.NormFloat64(), random.NormFloat64(), random.NormFloat64(), random.NormFloat64())
	}
	schema := parquet.Group{"device_id": parquet.String(), "timestamp": parquet.Timestamp(parquet.Millisecond)}
	for _, name := range wide(wideProperties) {
		schema[name] = parquet.Optional(parquet.Leaf(parquet.DoubleType))
	}
	s := parquet.NewSchema("item", schema)
	w := parquet.NewGenericWriter[any](&file, s, parquet.Compression(&parquet.Snappy), parquet.PageBufferSize(1<<20), parquet.MaxRowsPerRowGroup(20_000))
	for i := range 40_000 {
		var row parquet.Row
		for c, name := range s.Columns() {
			v := parquet.ValueOf(random.NormFloat64()).Level(0, 1, c)
			switch name[0] {
			case "device_id":
				v = parquet.ValueOf("wide").Level(0, 0, c)
			case "timestamp":
				v = parquet.ValueOf(serving.At(i).UnixMilli()).Level(0, 0, c)
			}
			row = append(row, v)
		}
		if _, err := w.WriteRows([]parquet.Row{row}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{"a.jsonl": lines.Bytes(), "b.parquet": file.Bytes()}
	return serving.Listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name := filepath.Base(r.URL.Path); all[name] != nil {
			w.Header().Set("ETag", `"1"`)
			if span := r.Header.Get("X-Ms-Range"); span != "" {
				r.Header.Set("Range", span)
				r.Header.Del("If-Match") // as Azure's lists have it, without quotes
			}
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(all[name]))
			return
		}
		item, list := `{"name":%q,"size":"%d","generation":"1","updated":"2024-01-01T00:00:00Z"}`, `{"items":[%s]}`
		switch q := r.URL.Query(); {
		case q.Has("list-type"):
			item, list = `<Contents><Key>%s</Key><Size>%d</Size><ETag>"1"</ETag></Contents>`, `<ListBucketResult>%s</ListBucketResult>`
		case q.Has("comp"):
			item, list = `<Blob><Name>%s</Name><Properties><Content-Length>%d</Content-Length><Etag>1</Etag></Properties></Blob>`, `<EnumerationResults><Blobs>%s</Blobs></EnumerationResults>`
		}
		var items []string
		for name, body := range all {
			items = append(items, fmt.Sprintf(item, name, len(body)))
		}
		slices.Sort(items)
		fmt.Fprintf(w, list, strings.Join(items, strings.Repeat(",", strings.Count(list, "{"))))
	}))
}

// ask asks for a shape as one of many callers. Nothing of the answer is read before hold
// is closed.
func (s *shape) ask(ctx context.Context, at string, caller int, begun func(), hold <-chan struct{}) (status int, n int64, err error) {
	r, err := http.NewRequestWithContext(ctx, s.method, at+s.path, strings.NewReader(s.body))
	if err != nil {
		begun()
		return 0, 0, err
	}
	for i := 0; i < len(s.headers); i += 2 {
		r.Header.Set(s.headers[i], s.headers[i+1])
	}
	if s.name == "JSON, compressed" {
		r.Header.Set("Accept-Encoding", "gzip")
	}
	r.Header.Set(identity.TokenHeader, [...]string{serving.Token, serving.Rotated}[caller%2]) // no token gets all places
	r.Header.Set("X-Forwarded-For", fmt.Sprintf("10.0.0.%d", caller))                         // nor does an address
	resp, err := (&http.Transport{DisableCompression: true}).RoundTrip(r)
	begun()
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	select {
	case <-hold:
	case <-time.After(10 * time.Second):
	}
	n, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, n, err
}

// places is how many answers a program makes at once.
const places = 16

// atOnce asks for a shape from all places and more, and takes the answers slowly.
func (s *shape) atOnce(t *testing.T, at string) (ok, busy int64, most int64) {
	t.Helper()
	var all, begun sync.WaitGroup
	var fine, overloaded, longest atomic.Int64
	hold := make(chan struct{})
	begun.Add(places)
	for caller := range places {
		all.Go(func() {
			status, n, err := s.ask(t.Context(), at, caller, begun.Done, hold)
			switch {
			case err != nil || status != http.StatusOK && status != http.StatusServiceUnavailable && status != http.StatusUnprocessableEntity && status != http.StatusRequestEntityTooLarge:
				t.Errorf("%s: status %d, %v", s.name, status, err)
			case status == http.StatusOK:
				fine.Add(1)
			default:
				overloaded.Add(1)
			}
			longest.Store(max(longest.Load(), n))
		})
	}
	begun.Wait()
	time.Sleep(300 * time.Millisecond)
	close(hold)
	all.Wait()
	return fine.Load(), overloaded.Load(), longest.Load()
}

// The most memory that the programs need, for each kind of answer, where all places are
// taken and nobody takes the answers, beside what the deployer gives them.
func TestProofMemory(t *testing.T) {
	peer := serving.NewPeer(t, serving.Token, func(o *httpapi.Options) { o.Rate = -1 })
	fill(t, peer.Store)
	bucket := objects(t)
	run := func(p program, megabytes int, env map[string]string, shapes []shape) {
		for _, s := range shapes {
			server := serving.Start(t, p.name, env).WaitReady(t)
			peak := serving.WatchMemory(t, server.Pid())
			ok, busy, most := s.atOnce(t, server.URL)
			held := peak()
			server.Kill(t)
			t.Logf("| %s | %s | %d | %d | %.1f | %d | %d |", p.name, s.name, ok, busy, float64(most)/1e6, held>>20, megabytes)
			if ok == 0 && !s.refused {
				t.Errorf("%s, %s: %d answers", p.name, s.name, ok)
			}
			if held > int64(megabytes)<<20 {
				t.Errorf("%s, %s: %d MB, more than the %d that it is given", p.name, s.name, held>>20, megabytes)
			}
		}
	}
	t.Logf("| program | answer | whole | refused | MB of one | MB of memory | given |")
	both := []string{"INTER_CLOUD_TOKEN", serving.Token + "," + serving.Rotated, "HOTREADER_LOG_LEVEL", "error", "HOTREADER_RATE", "1000"}
	run(azure, 2048, serving.With(azure.twin(peer), both...), shapes)
	google := serving.With(cloudRun.twin(peer), append(both, "GOMEMLIMIT", fmt.Sprint(512<<20/10*9))...) // as the program does it by its cgroup
	run(cloudRun, 512, google, shapes)
	empty := serving.NewPeer(t, serving.Token)
	cold := func(p program, hot, url string, more ...string) map[string]string {
		twin := `{"config":{"digital_twin_name":"factory"},"config_providers":{"layer_3_hot_provider":"` + hot + `","layer_3_cold_provider":"` + p.cloud + `","layer_4_provider":"` + p.cloud + `"}}`
		return serving.With(p.twin(empty), append(more, "DIGITAL_TWIN_INFO", twin, "HOTREADER_COLD", url+"?endpoint="+bucket)...)
	}
	run(cloudRun, 512, cold(cloudRun, "aws", "gs://b", append(both, "GOMEMLIMIT", google["GOMEMLIMIT"])...), coldShapes)
	run(azure, 2048, cold(azure, "aws", "azblob://a/c", append(both, "AZURE_STORAGE_KEY", "a2V5")...), coldShapes)
	lambdaMemory(t, lambda.twin(peer), "history", "history of a fleet", "interpolation", "interpolated fleet", "history, from the end")
	lambdaMemory(t, cold(lambda, "azure", "s3://b", "AWS_REGION", "eu-central-1", "AWS_ACCESS_KEY_ID", "k", "AWS_SECRET_ACCESS_KEY", "s"), "history", "history, from the end", "cold JSON, sorted")
}

// lambdaMemory is TestProofMemory for the functions on AWS, which answer one query at a
// time, of some kinds.
func lambdaMemory(t *testing.T, env map[string]string, kinds ...string) {
	t.Helper()
	const megabytes = 512
	var devices []catalog.Device
	for d := range fleetDevices {
		devices = append(devices, catalog.Device{ID: fmt.Sprintf("fleet-%02d", d), Type: "mixer", Properties: []catalog.Property{{Name: "p00", Type: hotreader.Double}}})
	}
	packed, err := catalog.Build(append(devices, catalog.Device{ID: "wide"}, catalog.Device{ID: "ends"}, catalog.Device{ID: "cold"}))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), catalog.File)
	if err := os.WriteFile(file, packed, 0o600); err != nil {
		t.Fatal(err)
	}
	properties := func(n int) string {
		all := map[string]any{"key": map[string]any{"definition": map[string]any{"isExternalId": true}}}
		for _, name := range wide(n) {
			all[name] = map[string]any{"definition": map[string]any{"dataType": map[string]any{"type": "DOUBLE"}}}
		}
		text, _ := json.Marshal(all) // of texts
		return string(text)
	}
	event := func(kind, more string) []byte {
		return []byte(`{"workspaceId":"w","componentTypeId":"factory-` + kind + `","selectedProperties":[` + quoted(wide(10)) + `],"properties":` + properties(10) + serving.AllTime + more + `}`)
	}
	events := map[string][]byte{
		"cold JSON, sorted":     event("cold", ""),
		"history":               event("wide", ""),
		"history of a fleet":    event("mixer", ""),
		"interpolation":         event("ends", `,"interpolation":{"interpolationType":"LINEAR","intervalInSeconds":1}`),
		"interpolated fleet":    event("mixer", `,"interpolation":{"interpolationType":"LINEAR","intervalInSeconds":1}`),
		"history, from the end": event("wide", `,"orderByTime":"DESCENDING"`),
	}
	for _, name := range kinds {
		f := serving.Function(t, "hot-reader", serving.With(env, "HOTREADER_CATALOG", file, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", fmt.Sprint(megabytes), "HOTREADER_LOG_LEVEL", "error"))
		peak := serving.WatchMemory(t, f.Pid())
		var most int
		for range 3 {
			answer, err := f.Invoke(t.Context(), events[name], 28*time.Second)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			most = max(most, len(answer))
		}
		held := peak()
		t.Logf("| hotreader-lambda | %s (cold: %v) | 1 | 0 | %.1f | %d | %d |", name, env["HOTREADER_COLD"] != "", float64(most)/1e6, held>>20, megabytes)
		if held > megabytes<<20 {
			t.Errorf("hotreader-lambda, %s: %d MB, more than it is given", name, held>>20)
		}
	}
}

// A slow is a Source of which a row comes each tenth of a second.
type slow struct{ hotreader.Source }

func (s slow) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		for row, err := range s.Source.Scan(ctx, q) {
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
				yield(hotreader.Row{}, ctx.Err())
				return
			}
			if !yield(row, err) {
				return
			}
		}
	}
}

// No answer comes later than a second after its time, of 28 s, however slow the store is.
func TestProofTime(t *testing.T) {
	peer := serving.NewPeer(t, serving.Token, func(o *httpapi.Options) { o.Rate, o.MaxTime = -1, time.Hour })
	fill(t, peer.Store)
	late := serving.NewPeer(t, serving.Token, func(o *httpapi.Options) {
		o.Rate, o.MaxTime, o.Source, o.Lister = -1, time.Hour, slow{peer.Store}, peer.Store
	})
	for _, p := range servers {
		server := serving.Start(t, p.name, serving.With(p.twin(late), "HOTREADER_RATE", "1000", "INTER_CLOUD_TOKEN", serving.Token+","+serving.Rotated)).WaitReady(t)
		done := make(chan struct{})
		close(done)
		var all sync.WaitGroup
		for i, s := range shapes {
			all.Go(func() {
				began := time.Now()
				status, n, err := s.ask(t.Context(), server.URL, i, func() {}, done)
				took := time.Since(began)
				t.Logf("| %s | %s | %d | %d bytes | %.1f s |", p.name, s.name, status, n, took.Seconds())
				if err != nil || took > 29*time.Second {
					t.Errorf("%s, %s: status %d after %s, %v", p.name, s.name, status, took, err)
				}
			})
		}
		all.Wait()
	}
}
