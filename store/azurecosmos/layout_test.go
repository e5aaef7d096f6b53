package azurecosmos

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/layout"
	"hotreader/store/storetest/cloud"
)

// asked is what a request asks for, and the partition that it names.
func asked(t *testing.T, r cloud.Sent) string {
	t.Helper()
	var body struct {
		Query      string
		Parameters []struct{ Value json.RawMessage }
	}
	if err := json.Unmarshal([]byte(r.Body), &body); err != nil {
		t.Fatal(err)
	}
	text := body.Query
	for _, p := range body.Parameters {
		text += " " + string(p.Value)
	}
	return r.Header.Get("X-Ms-Documentdb-Partitionkey") + " " + text
}

// An empty answer costs one small look, which tells what it means; an id that may be a
// number is looked for as one.
func TestLooks(t *testing.T) {
	whole := `{"id":"x","_rid":"r","device_id":17,"timestamp":"2024-01-01T00:00:00Z","n":1}`
	f := newFake(t, pageOf(""), pageOf("more"), pageOf(""), pageOf("", whole), pageOf("", n("2024-01-01T00:00:00Z", "1")))
	q := qN
	q.Device = "17"
	cloud.WantRows(t, f.looking(Options{}), q, "00:00:00 1")
	f.Done()
	const rows, items = `SELECT c["timestamp"] AS t,c["n"] AS p0 FROM c WHERE c["device_id"]=@d ORDER BY c["timestamp"] ASC`,
		`SELECT * FROM c WHERE c["device_id"]=@d ORDER BY c["_ts"] DESC`
	want := []string{`["17"] ` + rows + ` "17"`, `["17"] ` + items + ` "17"`, `["17"] ` + items + ` "17"`, "[17] " + items + " 17", "[17] " + rows + " 17"}
	for i, r := range f.Requests {
		if got := asked(t, r); got != want[i] {
			t.Errorf("request %d: %s, want %s", i, got, want[i])
		}
	}
	if most := f.Requests[1].Header.Get("X-Ms-Max-Item-Count"); most != "2" {
		t.Errorf("a look asks for %s items", most)
	}
	// What is not spelled as Cosmos DB spells it is no number.
	for _, device := range []string{"017", "1.0", "1e3", "9007199254740993", "+1", "NaN", "Inf", ""} {
		if numeric(device) {
			t.Errorf("%q may be a number", device)
		}
	}

	// Damaged, endless and refused looks are errors of the query.
	for name, answers := range map[string][]cloud.Answer{
		"malformed": {pageOf(""), {Body: `{"Documents":[`}}, "no end of them": append([]cloud.Answer{pageOf("")}, slices.Repeat([]cloud.Answer{pageOf("again")}, maxStill)...),
	} {
		_, err := cloud.Rows(t.Context(), newFake(t, answers...).looking(Options{}), qN)
		cloud.WantError(t, name, err, hotreader.CodeCorrupt, name)
	}
	_, err := cloud.Rows(t.Context(), newFake(t, pageOf(""), refuse(403, "Forbidden", "no")).looking(Options{}), qN)
	cloud.WantError(t, "refused", err, hotreader.CodeForbidden)
}

// Times of another type are looked for once an hour, by a condition that an index
// serves.
func TestLookAside(t *testing.T) {
	for _, test := range []struct {
		l  layout.Layout
		at string // the time's field; "" = nothing is asked
	}{
		{layout.Layout{}, `c["timestamp"]`},
		{layout.Layout{TimeKey: "a.b", TimeFormat: layout.Formats{layout.EpochSecs}}, `c["a"]["b"]`},
		{layout.Layout{TimeFormat: layout.Formats{layout.EpochSecs, layout.ISO8601}}, `c["timestamp"]`},
		{layout.Layout{TimeKey: "_ts", TimeFormat: layout.Formats{layout.EpochSecs}}, ""},
	} {
		f := newFake(t)
		row := `{"t":"2024-01-01T00:00:00Z","p0":1}`
		if test.l.TimeFormat != nil {
			row = `{"t":1704067200,"p0":1}`
		}
		f.Serve = func(r cloud.Sent) cloud.Answer { return pageOf("", row) }
		f.Looks = func(r cloud.Sent) (cloud.Answer, bool) {
			return pageOf("", `{"id":"old","timestamp":null,"a":{"b":"x"}}`), strings.Contains(r.Body, "SELECT *")
		}
		s := New(f.client(), Options{Database: "twin", Container: "hot", Layout: test.l})
		stats := new(hotreader.Stats)
		for range 2 {
			if _, err := cloud.Rows(hotreader.WithStats(t.Context(), stats), s, qN); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		for _, r := range f.Looked {
			got = append(got, asked(t, r))
		}
		var want []string
		for _, order := range []string{"ASC", "DESC"} {
			if test.at != "" {
				want = append(want, fmt.Sprintf(`["d"] SELECT * FROM c WHERE c["device_id"]=@d AND IS_DEFINED(%[1]s) ORDER BY %[1]s %[2]s "d"`, test.at, order))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%+v: looks %q, want %q", test.l, got, want)
		}
		if w := stats.Warnings(); test.at != "" && (len(w) == 0 || w[0].Reason != hotreader.MixedTimes) {
			t.Errorf("%+v: warnings %v", test.l, w)
		}
	}
}

// Which of two items was written later is asked for where they disagree, from their
// second on, and nowhere else.
func TestLaterWrites(t *testing.T) {
	disagree := []string{n("2024-01-01T00:00:00Z", "0"), n("2024-01-01T00:00:01Z", "1"), n("2024-01-01T00:00:01.000Z", "2")}
	ranked := func(at, id string, seconds, n int) string {
		return fmt.Sprintf(`{"t":%q,"s":%d,"i":%q,"p0":%d}`, at, seconds, id, n)
	}
	f := newFake(t, pageOf("", disagree...), pageOf("", ranked("2024-01-01T00:00:01Z", "b", 999, 1), ranked("2024-01-01T00:00:01.000Z", "a", 1704067201, 2)))
	cloud.WantRows(t, f.store(Options{}), qN, "00:00:00 0", "00:00:01 2")
	f.Done()
	want := `["d"] SELECT c["timestamp"] AS t,c["_ts"] AS s,c["id"] AS i,c["n"] AS p0 FROM c WHERE c["device_id"]=@d AND c["timestamp"]>=@lo ORDER BY c["timestamp"] ASC "d" "2024-01-01T00:00:01"`
	if got := asked(t, f.Requests[1]); got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
	// Within a second of writing the greater id is the later one.
	f = newFake(t, pageOf("", disagree[1:]...), pageOf("", ranked("2024-01-01T00:00:01Z", "9", 17, 1), ranked("2024-01-01T00:00:01.000Z", "10", 17, 2)))
	cloud.WantRows(t, f.store(Options{}), qN, "00:00:01 1")
	f = newFake(t, pageOf("", disagree[0], n("2024-01-01T00:00:00.000Z", "0")))
	cloud.WantRows(t, f.store(Options{}), qN, "00:00:00 0") // they agree
}

// A narrow item's value goes into the column of its name; a text that nothing can hold
// is counted for it.
func TestNarrowItems(t *testing.T) {
	l := layout.Layout{NameKey: "name", ValueKey: "v"}
	q := hotreader.Query{Device: "d", Properties: []string{"a", "b"}}
	stats := new(hotreader.Stats)
	f := newFake(t, pageOf("", `{"v":1,"t":"2024-01-01T00:00:00Z","n":"b"}`, `{"t":"2024-01-01T00:00:00Z","n":"a","v":[1,{"x":"é"}]}`,
		`{"t":"2024-01-01T00:00:01Z","n":"other","v":3}`, `{"t":"2024-01-01T00:00:01Z","v":3}`, `{"t":"2024-01-01T00:00:01Z","n":"b","v":"\ud800"}`, `{"t":"2024-01-01T00:00:01Z","n":"a","v":true}`))
	got, err := cloud.Rows(hotreader.WithStats(t.Context(), stats), f.store(Options{Layout: l}), q)
	if want := []string{`00:00:00 "[1,{\"x\":\"é\"}]" 1`, "00:00:01 true null"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("rows %q, %v; want %q", got, err, want)
	}
	if w := stats.Warnings(); !slices.Contains(w, hotreader.Warning{Reason: hotreader.Unreadable, Property: "b", Count: 1, Detail: "bytes, or another kind that no answer can hold"}) {
		t.Errorf("warnings %v", w)
	}
	f = newFake(t, pageOf("", `{"t":"2024-01-01T00:00:00Z#a#b","v":1}`, `{"t":"2024-01-01T00:00:01Z#b","v":2}`))
	q.Properties = []string{"b", "a#b"}
	cloud.WantRows(t, f.store(Options{Layout: layout.Layout{TimeSuffix: "#{property}", ValueKey: "v"}}), q, "00:00:00 null 1", "00:00:01 2 null")
}

// What a layout writes: nested objects, partitions, one property an item, ids without
// what Cosmos DB forbids in them.
func TestWriteByLayout(t *testing.T) {
	records := []hotreader.Record{
		cloud.Record(base, cloud.Number("a", "1"), cloud.Text("b.c", "x"), hotreader.Field{Name: "none"}),
		cloud.Record(base.Add(24*time.Hour), cloud.Number("a", "2")),
	}
	for _, test := range []struct {
		l    layout.Layout
		want []string
	}{
		{layout.Layout{DeviceKey: "head.id", TimeKey: "head.at", Properties: layout.Properties{Paths: map[string]string{"a": "body.a"}}, TimeFormat: layout.Formats{"epoch_ms"}}, []string{
			`["d"] {"id":"d_1706933106700","head":{"id":"d","at":1706933106700},"body":{"a":1},"b.c":"x"}`,
			`["d"] {"id":"d_1707019506700","head":{"id":"d","at":1707019506700},"body":{"a":2}}`}},
		{layout.Layout{Partition: "{device}#{yyyy-MM-dd}", TimePrefix: "T#", TimeSuffix: "#{property}", ValueKey: "v", TimeFormat: layout.Formats{"iso8601+09:00"}}, []string{
			`["d#2024-02-03"] {"id":"d_T~232024-02-03T13:05:06.7+09:00~23a","device_id":"d#2024-02-03","timestamp":"T#2024-02-03T13:05:06.7+09:00#a","v":1}`,
			`["d#2024-02-03"] {"id":"d_T~232024-02-03T13:05:06.7+09:00~23b.c","device_id":"d#2024-02-03","timestamp":"T#2024-02-03T13:05:06.7+09:00#b.c","v":"x"}`,
			`["d#2024-02-04"] {"id":"d_T~232024-02-04T13:05:06.7+09:00~23a","device_id":"d#2024-02-04","timestamp":"T#2024-02-04T13:05:06.7+09:00#a","v":2}`}},
		{layout.Layout{NameKey: "m.name", ValueKey: "m.v"}, []string{
			`["d"] {"m":{"name":"a","v":1},"id":"d_2024-02-03T04:05:06.7Z_a","device_id":"d","timestamp":"2024-02-03T04:05:06.7Z"}`,
			`["d"] {"m":{"name":"b.c","v":"x"},"id":"d_2024-02-03T04:05:06.7Z_b.c","device_id":"d","timestamp":"2024-02-03T04:05:06.7Z"}`,
			`["d"] {"m":{"name":"a","v":2},"id":"d_2024-02-04T04:05:06.7Z_a","device_id":"d","timestamp":"2024-02-04T04:05:06.7Z"}`}},
	} {
		made, err := requestsOf(New(&Client{}, Options{Database: "d", Container: "c", Single: true, Layout: test.l}), records)
		var got []string
		for _, r := range made {
			got = append(got, r.header.Get("X-Ms-Documentdb-Partitionkey")+" "+string(r.body))
		}
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%v\n got %s\nwant %s", err, strings.Join(got, "\n     "), strings.Join(test.want, "\n     "))
		}
	}
	for says, l := range map[string]layout.Layout{
		`two of its properties would be at "a"`: {TimeKey: "a.ts"},
		"is not within what epoch_s:text keeps": {TimeFormat: layout.Formats{"epoch_s:text"}},
		"written with id as a key":              {DeviceKey: "id"},
		"written with _ts as a key":             {TimeKey: "_ts", TimeFormat: layout.Formats{"epoch_s"}},
	} {
		r := records[0]
		if strings.Contains(says, "within") {
			r.Time = time.Unix(-1, 0)
		}
		err := newFake(t).store(Options{Layout: l}).Write(t.Context(), "d", []hotreader.Record{r})
		if hotreader.CodeOf(err) == "" || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, want %q", err, says)
		}
	}
}

// The indexes of a layout's container are those of the paths that queries compare.
func TestCreateContainerOfLayout(t *testing.T) {
	made := cloud.Answer{Status: 201, Body: `{}`}
	for l, want := range map[*layout.Layout]string{
		{DeviceKey: "SystemProperties.iothub-connection-device-id", TimeKey: "Body.ts", NameKey: "Body.name", ValueKey: "Body.value"}: `"paths":["/SystemProperties/\"iothub-connection-device-id\""],"kind":"Hash","version":2},"indexingPolicy":{"indexingMode":"consistent",` +
			`"includedPaths":[{"path":"/SystemProperties/\"iothub-connection-device-id\"/?"},{"path":"/Body/ts/?"},{"path":"/Body/name/?"}]`,
		{TimeKey: "_ts", TimeFormat: layout.Formats{layout.EpochSecs}}: `"includedPaths":[{"path":"/device_id/?"}]`,
	} {
		f := newFake(t, made, made)
		if err := CreateContainer(t.Context(), f.client(), Options{Database: "twin", Container: "hot", Layout: *l}); err != nil {
			t.Fatal(err)
		}
		if got := f.Requests[1].Body; !strings.Contains(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// A continuation of any length is carried to the next page, and it is asked for a short
// one (see the golden requests).
func TestLongContinuations(t *testing.T) {
	token := strings.Repeat("x", 300<<10)
	f := newFake(t, pageOf(token, n("2024-01-01T00:00:00Z", "1")), pageOf("", n("2024-01-01T00:00:01Z", "2")))
	cloud.WantRows(t, f.store(Options{}), qN, "00:00:00 1", "00:00:01 2")
	if f.Requests[1].Header.Get("X-Ms-Continuation") != token {
		t.Error("the continuation did not arrive")
	}
	_, err := cloud.Rows(t.Context(), newFake(t, cloud.Answer{Status: 431, Header: map[string]string{"Content-Type": "text/html"}}).store(Options{}), qN)
	cloud.WantError(t, "too long", err, hotreader.CodeProtocol, "so long a head")
}

// An emulator may speak http or https; who asks it the wrong way learns of the other.
func TestTLSOfEmulators(t *testing.T) {
	for endpoint, says := range map[string]string{
		"http://localhost:8081": "reset; it was asked over http: if it speaks https, say tls=true", "https://127.0.0.1:8081": "reset; for an emulator set SSL_CERT_FILE",
	} {
		f := newFake(t)
		f.Serve = func(cloud.Sent) cloud.Answer { return cloud.Answer{Fail: errors.New("connection reset")} }
		c, err := NewClient(ClientOptions{Endpoint: endpoint, Key: docsKey, Transport: f})
		if err != nil {
			t.Fatal(err)
		}
		_, err = cloud.Rows(t.Context(), New(c, Options{Database: "d", Container: "c"}), qN)
		cloud.WantError(t, endpoint, err, hotreader.CodeUnavailable, says)
	}
}

// Long and forbidden keys make ids that are short and allowed, and apart.
func TestItemIDsOfLongKeys(t *testing.T) {
	seen := map[string]bool{}
	for _, device := range []string{"d", strings.Repeat("é", 1000), strings.Repeat("é", 1001)} {
		for _, key := range []string{"k", "a#b", strings.Repeat("/", 400), strings.Repeat("é", 600), strings.Repeat("é", 601)} {
			id := itemID(device, key)
			if len(id) > maxIDBytes || strings.ContainsAny(id, `/\?#`) || seen[id] || !bytes.Equal([]byte(id), bytes.ToValidUTF8([]byte(id), nil)) {
				t.Errorf("the id of %.10q and %.10q is %q", device, key, id)
			}
			seen[id] = true
		}
	}
}
