package azurecosmos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hotreader"
)

var update = flag.Bool("update", false, "write the golden files anew")

var qN = hotreader.Query{Device: "d", Properties: []string{"n"}}

func TestPitfall01EveryPageIsFollowed(t *testing.T) {
	const pagesN, perPage = 12, 700
	var answers []answer
	var tokens []string // that were given, one a page
	for p := range pagesN {
		items := make([]string, perPage)
		for i := range items {
			at := time.Date(2024, 1, 1, 0, 0, p*perPage+i, 0, time.UTC).Format(time.RFC3339Nano)
			items[i] = n(at, fmt.Sprint(p*perPage+i))
		}
		token := ""
		if p < pagesN-1 {
			token = fmt.Sprintf(`{"token":"+RID:~%d#RT:1","range":{"min":"","max":"FF"}}`, p)
			tokens = append(tokens, token)
		}
		answers = append(answers, pageOf(token, items...))
		if p == 5 || p == 7 { // a page may be empty and still not the last
			answers = append(answers, pageOf("empty "+token))
			tokens = append(tokens, "empty "+token)
		}
	}
	f := newFake(t, answers...)
	got, err := rows(t, f.store(Options{}), qN)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != pagesN*perPage {
		t.Fatalf("%d rows came, want %d", len(got), pagesN*perPage)
	}
	for i, line := range got {
		if !strings.HasSuffix(line, fmt.Sprintf(" %d", i)) {
			t.Fatalf("row %d is %s", i, line)
		}
	}
	f.done()
	for i, r := range f.requests {
		want := ""
		if i > 0 {
			want = tokens[i-1]
		}
		if token := r.header.Get("X-Ms-Continuation"); token != want {
			t.Errorf("request %d goes on at %q, want %q", i, token, want)
		}
		if r.body != f.requests[0].body {
			t.Errorf("request %d asks something else: %s", i, r.body)
		}
	}
}

func TestPagesThatNeverEndAreAnError(t *testing.T) {
	f := newFake(t, pageOf("same", n("2024-01-01T00:00:00Z", "1")), pageOf("same", n("2024-01-01T00:00:00Z", "1")))
	if _, err := rows(t, f.store(Options{}), qN); hotreader.CodeOf(err) != hotreader.CodeCorrupt {
		t.Errorf("error %v, want %v", err, hotreader.CodeCorrupt)
	}
	// A page that found nothing in its time may say to go on where it began, but
	// not for ever.
	f = newFake(t, pageOf("a", n("2024-01-01T00:00:00Z", "1")), pageOf("a"), pageOf("a"), pageOf("", n("2024-01-01T00:00:01Z", "2")))
	wantRows(t, f.store(Options{}), qN, "00:00:00 1", "00:00:01 2")
	f = newFake(t)
	f.serve = func(sent) answer { return pageOf("same") }
	if _, err := rows(t, f.store(Options{}), qN); hotreader.CodeOf(err) != hotreader.CodeCorrupt {
		t.Errorf("error %v, want %v", err, hotreader.CodeCorrupt)
	}
}

func TestPitfall03TimesAreInstants(t *testing.T) {
	// In the container's order, which is that of bytes.
	items := []string{
		n("2024-01-01T00:00:00", "0"),
		n("2024-01-01T00:00:01+00:00", "10"),
		n("2024-01-01T00:00:01.123456Z", "12"),
		n("2024-01-01T00:00:01.12Z", "11"),
		n("2024-01-01T00:00:01.5Z", "13"),
		n("2024-01-01T00:00:02.000Z", "20"),
		n("2024-01-01T00:00:02.25Z", "22"),
		n("2024-01-01T00:00:02.2Z", "21"),
		n("2024-01-01T00:00:03Z", "30"),
	}
	all := []string{
		"00:00:00 0", "00:00:01 10", "00:00:01.12 11", "00:00:01.123456 12", "00:00:01.5 13",
		"00:00:02 20", "00:00:02.2 21", "00:00:02.25 22", "00:00:03 30",
	}
	for _, descending := range []bool{false, true} {
		items, want := slices.Clone(items), slices.Clone(all)
		q := qN
		if descending {
			slices.Reverse(items)
			slices.Reverse(want)
			q.Order = hotreader.Descending
		}
		for a := range len(items) + 1 {
			for b := a; b <= len(items); b++ {
				f := newFake(t, pageOf("a", items[:a]...), pageOf("b", items[a:b]...), pageOf("", items[b:]...))
				wantRows(t, f.store(Options{}), q, want...)
				f.done()
			}
		}
	}
	// Bounds inside a second: the container is asked for whole seconds, the
	// answer keeps to the instants.
	at := func(s string) time.Time {
		t, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			panic(err)
		}
		return t
	}
	f := newFake(t, pageOf("", items[1:8]...))
	q := qN
	q.Start, q.End = at("2024-01-01T01:00:01.12+01:00"), at("2023-12-31T23:00:02.2-01:00")
	wantRows(t, f.store(Options{}), q, all[2:7]...)
	if body := f.requests[0].body; !strings.Contains(body, `{"name":"@lo","value":"2024-01-01T00:00:01"},{"name":"@hi","value":"2024-01-01T00:00:02~"}`) {
		t.Errorf("asked %s", body)
	}
}

// A second may be spread over many pages, and its rows own their bytes by then.
func TestSecondOverManyPages(t *testing.T) {
	var answers []answer
	var want []string
	for i := range 30 {
		item := fmt.Sprintf(`{"t":"2024-01-01T00:00:00.%02dZ","p0":"text \u00e9 %d","p1":true}`, i+10, i)
		token := fmt.Sprint(i)
		if i == 29 {
			token = ""
		}
		answers = append(answers, pageOf(token, item))
		want = append(want, fmt.Sprintf("00:00:00.%s %q true", strings.TrimRight(fmt.Sprint(i+10), "0"), fmt.Sprintf("text é %d", i)))
	}
	f := newFake(t, answers...)
	wantRows(t, f.store(Options{}), hotreader.Query{Device: "d", Properties: []string{"n", "m"}}, want...)
	f.done()
}

// One item of a page that cannot be read does not cost the page.
func TestUnreadableItemsAreCountedAndPassedOver(t *testing.T) {
	f := newFake(t, pageOf("",
		n("2024-01-01T00:00:00Z", "1"),
		`{"p0":2}`,                                     // no time
		`{"t":5,"p0":3}`,                               // time of the wrong kind
		`{"t":null,"p0":3}`,                            //
		n("yesterday", "4"),                            // no time at all
		n("2024-01-01T00:00:00+01:00", "5"),            // not UTC
		`{"t":"2024-01-01T00:00:05Z","p0":[6]}`,        // no value of ours
		`{"t":"2024-01-01T00:00:05.5Z","p0":{"a":{}}}`, // nor this
		`{"t":"2024-01-01T00:00:06Z","p0":null}`,
		n("2024-01-01T00:00:07Z", "8")))
	var stats hotreader.Stats
	var got []string
	for row, err := range hotreader.NewReader(f.store(Options{})).Read(hotreader.WithStats(t.Context(), &stats), qN) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, row.Values[0].String())
	}
	if want := []string{"1", "8"}; !slices.Equal(got, want) {
		t.Errorf("values %v, want %v", got, want)
	}
	if s := stats.Skipped(); s != 7 {
		t.Errorf("%d skipped, want 7", s)
	}
	if r, l, reads, b := stats.Rows.Load(), stats.Looked.Load(), stats.Reads.Load(), stats.Bytes.Load(); r != 2 || l != 5 || reads != 1 || b < 100 {
		t.Errorf("stats: %d rows, %d looked at, %d reads, %d bytes", r, l, reads, b)
	}
}

// TestRequest compares what is sent with golden files: the emulator looks at
// little of it, Cosmos DB at all. A change there is a change of what a query
// costs, or of what a container must be like.
func TestRequest(t *testing.T) {
	at := time.Date(2024, 2, 3, 4, 5, 6, 700_000_000, time.UTC)
	hostile := []string{"name", "a.b", "Ключ", `x"] FROM c --`, `back\slash`, "new\nline\x01", "timestamp", "device_id", "id", `"`, "@d", "🌡️"}
	for _, test := range []struct {
		name string
		o    Options
		q    hotreader.Query
	}{
		{"whole", Options{}, hotreader.Query{Device: "d", Properties: []string{"temperature"}}},
		{"range", Options{}, hotreader.Query{Device: "d", Properties: []string{"a", "b"}, Start: at, End: at.Add(time.Hour)}},
		{"from", Options{}, hotreader.Query{Device: "d", Properties: []string{"a"}, Start: at, Order: hotreader.Descending}},
		{"until", Options{PageItems: 250}, hotreader.Query{Device: "d", Properties: []string{"a"}, End: at}},
		{"limit", Options{}, hotreader.Query{Device: "d", Properties: []string{"a"}, Limit: 1000}},
		{"limit by pages", Options{PageItems: 250}, hotreader.Query{Device: "d", Properties: []string{"a"}, Limit: 1000}},
		{"newest since 1899", Options{}, hotreader.Query{Device: "d", Properties: []string{"a"}, Limit: 1, Order: hotreader.Descending,
			Start: time.Date(1899, 12, 31, 0, 0, 0, 0, time.UTC), End: at}},
		{"last", Options{}, hotreader.Query{Device: "d", Properties: []string{"a", "b"}, Last: true}},
		{"filters", Options{}, hotreader.Query{Device: "d", Properties: []string{"a"}, Filters: []hotreader.Filter{
			{Property: "b", Op: hotreader.Greater, Value: hotreader.Int64Value(1)}, {Property: "a", Op: hotreader.Less, Value: hotreader.Int64Value(1)}}}},
		{"names", Options{}, hotreader.Query{Device: "d é\"\\\n🌡\x7f", Properties: hostile}},
		{"layout", Options{Database: "a b", Container: "é%", DeviceKey: `d"`, TimeKey: "when at"}, hotreader.Query{Device: "d", Properties: []string{"a"}}},
		{"epoch_ms", Options{TimeFormat: EpochMillis}, hotreader.Query{Device: "d", Properties: []string{"a"}, Start: at, End: at.Add(time.Microsecond)}},
		{"epoch_s", Options{TimeFormat: EpochSecs, DeviceKey: "dev", TimeKey: "t"},
			hotreader.Query{Device: "d", Properties: []string{"a"}, Start: at, End: at.Add(time.Second)}},
	} {
		synctest.Test(t, func(t *testing.T) { // so that the date, and the signature, are always the same
			f := newFake(t, pageOf("", `{}`))
			wantRows(t, f.store(test.o), test.q)
			r := f.requests[0]
			var b bytes.Buffer
			fmt.Fprintf(&b, "%s %s\n", r.method, r.url)
			if err := r.header.Write(&b); err != nil {
				t.Fatal(err)
			}
			var body struct {
				Query      string
				Parameters []struct {
					Name  string
					Value json.RawMessage
				}
			}
			d := json.NewDecoder(strings.NewReader(r.body))
			d.DisallowUnknownFields()
			if err := d.Decode(&body); err != nil {
				t.Fatalf("%s: %v: %s", test.name, err, r.body)
			}
			fmt.Fprintf(&b, "\n%s\n", body.Query)
			for _, p := range body.Parameters {
				fmt.Fprintf(&b, "%s = %s\n", p.Name, p.Value)
			}
			golden(t, filepath.Join("testdata", "request "+test.name+".txt"), bytes.ReplaceAll(b.Bytes(), []byte("\r\n"), []byte("\n")))
		})
	}
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s (-update writes it anew):\n got %s\nwant %s", path, got, want)
	}
}

// Pitfalls 22 and 26: whatever is asked, a query names one partition, which is
// that of its device, and carries no leave to look into others.
func TestPitfall22QueriesStayInTheirPartition(t *testing.T) {
	for _, device := range []string{"d", "é", "🌡️", `"],["`, "a\r\nX-Injected: 1", `\`, "\x00\x7f", strings.Repeat("é", 1024), "</script>", "\u2028"} {
		for _, q := range []hotreader.Query{
			{Properties: []string{"n"}},
			{Properties: []string{"n"}, Last: true},
			{Properties: []string{"n"}, Limit: 3, Order: hotreader.Descending},
			{Properties: []string{`n"] FROM c WHERE true --`}},
		} {
			q.Device = device
			f := newFake(t, pageOf("more", `{}`), pageOf("", `{}`))
			wantRows(t, f.store(Options{}), q)
			for _, r := range f.requests {
				header := r.header.Get("X-Ms-Documentdb-Partitionkey")
				var partition []string
				if err := json.Unmarshal([]byte(header), &partition); err != nil || !slices.Equal(partition, []string{device}) {
					t.Errorf("%q: partition %q: %v", device, header, err)
				}
				if strings.ContainsFunc(header, func(r rune) bool { return r < ' ' || r > '~' }) {
					t.Errorf("%q: no header may carry %q", device, header)
				}
				for name := range r.header {
					if strings.Contains(strings.ToLower(name), "crosspartition") {
						t.Errorf("%q: the query may leave its partition: %s", device, name)
					}
				}
				var body struct {
					Query      string
					Parameters []struct{ Name, Value string }
				}
				if err := json.Unmarshal([]byte(r.body), &body); err != nil {
					t.Fatal(err)
				}
				if len(body.Parameters) != 1 || body.Parameters[0].Name != "@d" || body.Parameters[0].Value != device {
					t.Errorf("%q: parameters %v", device, body.Parameters)
				}
				if !strings.Contains(body.Query, ` FROM c WHERE c["device_id"]=@d ORDER BY c["timestamp"] `) {
					t.Errorf("%q: query %s", device, body.Query)
				}
			}
		}
	}
}

// FuzzNames: whatever a property is called, the query's text has the same
// meaning but for that name: its literals are as many, and the name is one.
func FuzzNames(f *testing.F) {
	for _, name := range []string{"n", `"`, `\`, `\"`, `"]`, "\n\x00", "'", `\u0022`, "é🌡️"} {
		f.Add(name)
	}
	s := New(&Client{}, Options{Database: "d", Container: "c"})
	f.Fuzz(func(t *testing.T, name string) {
		if (&hotreader.Query{Device: "d", Properties: []string{name}}).Check() != nil {
			return
		}
		var body struct{ Query string }
		if err := json.Unmarshal(s.queryBody(&hotreader.Query{Device: "d"}, []string{name}, "", ""), &body); err != nil {
			t.Fatal(err)
		}
		rest, ok := strings.CutPrefix(body.Query, `SELECT c["timestamp"] AS t,c[`)
		if !ok {
			t.Fatal(body.Query)
		}
		end := 1 // of the literal, by the query language's own rules
		for rest[end] != '"' {
			if rest[end] == '\\' {
				end++
			}
			end++
		}
		var got string
		if err := json.Unmarshal([]byte(rest[:end+1]), &got); err != nil || got != name {
			t.Fatalf("%s names %q, %v", rest[:end+1], got, err)
		}
		if want := `] AS p0 FROM c WHERE c["device_id"]=@d ORDER BY c["timestamp"] ASC`; rest[end+1:] != want {
			t.Fatalf("behind the name: %s", rest[end+1:])
		}
	})
}

// The properties that are keys can be selected like any other.
func TestKeysAsProperties(t *testing.T) {
	f := newFake(t, pageOf("", `{"t":"2024-01-01T00:00:00Z","p0":"d","p1":"2024-01-01T00:00:00Z","p2":"d_x"}`))
	wantRows(t, f.store(Options{}), hotreader.Query{Device: "d", Properties: []string{"device_id", "timestamp", "id"}},
		`00:00:00 "d" "2024-01-01T00:00:00Z" "d_x"`)
}

func TestNumbersAsTime(t *testing.T) {
	f := newFake(t, pageOf("", `{"t":-0.5,"p0":1}`, `{"t":1.5,"p0":2}`, `{"t":"1970-01-01T00:00:00Z","p0":3}`, `{"t":1.7E9,"p0":4}`, `{"t":1700000000.25,"p0":5}`))
	wantRows(t, f.store(Options{TimeFormat: EpochSecs}), qN, "23:59:59.5 1", "00:00:01.5 2", "22:13:20 4", "22:13:20.25 5")
	f = newFake(t, pageOf("", `{"t":1700000000250.5,"p0":5}`))
	wantRows(t, f.store(Options{TimeFormat: EpochMillis}), qN, "22:13:20.2505 5")
}

// A last entry, and any query for few rows, costs a small read.
func TestSmallQueriesReadLittle(t *testing.T) {
	// A container of 5,000 rows, one a second; b is in every 100th, c in none.
	container := func(r sent) answer {
		from, _ := strconv.Atoi(r.header.Get("X-Ms-Continuation"))
		most, err := strconv.Atoi(r.header.Get("X-Ms-Max-Item-Count"))
		if err != nil {
			panic(err)
		}
		if most < 0 {
			most = 5000
		}
		var items []string
		for i := from; i < min(from+most, 5000); i++ {
			at := time.Date(2024, 1, 1, 0, 0, 5000, 0, time.UTC)
			if strings.Contains(r.body, " DESC") {
				at = at.Add(-time.Duration(i) * time.Second)
			} else {
				at = at.Add(time.Duration(i) * time.Second)
			}
			item := fmt.Sprintf(`{"t":%q`, at.Format(time.RFC3339Nano))
			for k, name := range []string{"n", "b"} {
				alias := strings.Index(r.body, fmt.Sprintf(`c[\"%s\"] AS p`, name))
				if alias < 0 || k == 1 && (i == 0 || i%100 > 0) {
					continue
				}
				item += fmt.Sprintf(`,"p%c":%d`, r.body[alias+len(`c[\"n\"] AS p`)], 1+k*i)
			}
			items = append(items, item+"}")
		}
		token := ""
		if from+most < 5000 {
			token = fmt.Sprint(from + most)
		}
		return pageOf(token, items...)
	}
	for _, test := range []struct {
		name  string
		q     hotreader.Query
		rows  int
		pages string
	}{
		{"last", hotreader.Query{Properties: []string{"n"}, Last: true}, 1, "[8]"},
		{"last, one older", hotreader.Query{Properties: []string{"n", "b"}, Last: true}, 2, "[8 64 512]"},
		{"last, one nowhere", hotreader.Query{Properties: []string{"n", "c"}, Last: true}, 1, "[8 64 512 424]"},
		{"newest", hotreader.Query{Properties: []string{"n"}, Order: hotreader.Descending, Limit: 1}, 1, "[8]"},
		{"a hundred", hotreader.Query{Properties: []string{"n"}, Limit: 100}, 100, "[107]"},
		{"a hundred sparse", hotreader.Query{Properties: []string{"b"}, Limit: 10}, 10, "[17 136 1088]"},
		{"all", hotreader.Query{Properties: []string{"n"}}, 5000, "[-1]"},
		{"filtered", hotreader.Query{Properties: []string{"n"}, Limit: 1, Filters: []hotreader.Filter{{Property: "b", Op: hotreader.Greater, Value: hotreader.Int64Value(1)}}}, 1, "[64 512]"},
	} {
		f := newFake(t)
		f.serve = container
		test.q.Device = "d"
		got, err := rows(t, f.store(Options{}), test.q)
		if err != nil || len(got) != test.rows {
			t.Errorf("%s: %d rows, %v; want %d", test.name, len(got), err, test.rows)
		}
		var asked []string
		for _, r := range f.requests {
			asked = append(asked, r.header.Get("X-Ms-Max-Item-Count"))
		}
		if got := fmt.Sprint(asked); got != test.pages {
			t.Errorf("%s: pages of %v items were asked for, want %v", test.name, got, test.pages)
		}
	}
}

func TestNothingCanBeInRange(t *testing.T) {
	f := newFake(t)
	q := qN
	q.End = time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC)
	wantRows(t, f.store(Options{}), q)
	q.Start, q.End = time.Date(10001, 1, 1, 0, 0, 0, 0, time.UTC), time.Time{}
	wantRows(t, f.store(Options{}), q)
	if len(f.requests) > 0 {
		t.Error("the container was asked")
	}
}

// Pitfall 2: within the wrong partition there is nothing, and that must not pass
// for an answer. The container is looked at once, and only when there is reason.
func TestPitfall02NothingInTheWrongPartitionIsAnError(t *testing.T) {
	f := newFake(t, pageOf(""), partitioned("/id"))
	_, err := rows(t, f.store(Options{}), qN)
	if hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), "partition key is /id; it must be /device_id") {
		t.Errorf("error %v", err)
	}
	f.done()
	if r := f.requests[1]; r.method != "GET" || r.url != "https://account.documents.azure.com:443/dbs/twin/colls/hot" {
		t.Errorf("asked %s %s", r.method, r.url)
	}

	f = newFake(t, pageOf(""), partitioned("/device_id"), pageOf(""), pageOf("", n("2024-01-01T00:00:00Z", "1")))
	s := f.store(Options{})
	wantRows(t, s, qN)
	wantRows(t, s, qN) // is not asked again
	wantRows(t, s, qN, "00:00:00 1")
	f.done()

	// Quoted, as Cosmos DB needs it for some names, and allows it for all.
	for _, c := range []struct{ path, key string }{{`/"device_id"`, ""}, {`/"my device"`, "my device"}} {
		f = newFake(t, pageOf(""), partitioned(c.path))
		wantRows(t, f.store(Options{DeviceKey: c.key}), qN)
		f.done()
	}
	f = newFake(t, pageOf(""), answer{body: `{"id":"hot","partitionKey":{"paths":["/device_id","/day"],"kind":"MultiHash","version":2}}`})
	if _, err := rows(t, f.store(Options{}), qN); hotreader.CodeOf(err) != hotreader.CodeConfig {
		t.Errorf("a key of two levels: %v", err)
	}

	// An identity that may query but not look at the container gets its answer.
	f = newFake(t, pageOf(""), refuse(403, "Forbidden", "no"), pageOf(""), partitioned("/device_id"))
	s = f.store(Options{})
	wantRows(t, s, qN)
	wantRows(t, s, qN)
	f.done()
}

// Stopping frees the page at once and asks for no other.
func TestStoppingEarly(t *testing.T) {
	f := newFake(t, pageOf("more", n("2024-01-01T00:00:00Z", "1"), n("2024-01-01T00:00:01Z", "2"), n("2024-01-01T00:00:02Z", "3")))
	for range hotreader.NewReader(f.store(Options{})).Read(t.Context(), qN) {
		break
	}
	f.done()
}

// A body that breaks off is asked for again; if it goes on breaking off, that
// is an error and never a short success.
func TestBodyBreaksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good := pageOf("", n("2024-01-01T00:00:00Z", "1"), n("2024-01-01T00:00:01Z", "2"))
		cut := good
		cut.cut = 80
		f := newFake(t, cut, good)
		wantRows(t, f.store(Options{}), qN, "00:00:00 1", "00:00:01 2")
		f.done()
		f = newFake(t, cut, cut, cut, cut)
		if got, err := rows(t, f.store(Options{}), qN); hotreader.CodeOf(err) != hotreader.CodeUnavailable || len(got) > 0 {
			t.Errorf("rows %v, error %v; want %v", got, err, hotreader.CodeUnavailable)
		}
		f.done()
	})
}

// Wherever a good page is cut, the read ends with an error, also if nobody
// noticed that the connection broke.
func TestCutPageIsNeverAShortSuccess(t *testing.T) {
	whole := pageOf("", n("2024-01-01T00:00:00Z", "1"), n("2024-01-01T00:00:01Z", "2"), n("2024-01-01T00:00:02Z", "3")).body
	for i := range whole {
		f := newFake(t, answer{body: whole[:i]})
		if got, err := rows(t, f.store(Options{}), qN); hotreader.CodeOf(err) != hotreader.CodeCorrupt {
			t.Fatalf("cut at byte %d: rows %v, error %v", i, got, err)
		}
	}
}

// Pitfall 24: 429 is tried again, after the time that Cosmos DB says, within
// the caller's own.
func TestPitfall24ThrottlingIsHonoured(t *testing.T) {
	slow := refuse(429, "TooManyRequests", `Message: {"Errors":["Request rate is large. More Request Units may be needed, so no changes were made."]}`+"\r\nActivityId: x")
	slow.header = map[string]string{"x-ms-retry-after-ms": "400.5", "x-ms-substatus": "3200"}
	page := func(token, at string) answer { return pageOf(token, n("2024-01-01T00:00:0"+at+"Z", at)) }
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, slow, slow, page("k", "1"), slow, page("", "2"))
		start := time.Now()
		wantRows(t, f.store(Options{}), qN, "00:00:01 1", "00:00:02 2")
		if took := time.Since(start); took < 1200*time.Millisecond || took > 1500*time.Millisecond {
			t.Errorf("it took %v, want three times 400 ms and a little", took)
		}
		f.done()
	})
	synctest.Test(t, func(t *testing.T) { // no end of it
		f := newFake(t)
		f.serve = func(sent) answer { return slow }
		_, err := rows(t, f.store(Options{}), qN)
		e, ok := errors.AsType[*hotreader.Error](err)
		if !ok || e.Code != hotreader.CodeThrottled || e.RetryAfter != 400*time.Millisecond+500*time.Microsecond {
			t.Errorf("error %v (%+v)", err, e)
		}
		if !strings.Contains(err.Error(), "Request rate is large") || strings.Contains(err.Error(), "ActivityId") {
			t.Errorf("it says: %v", err)
		}
		if len(f.requests) != maxThrottled {
			t.Errorf("%d requests, want %d", len(f.requests), maxThrottled)
		}
	})
	synctest.Test(t, func(t *testing.T) { // it would take longer than the caller has
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		f := newFake(t, slow)
		start := time.Now()
		for _, err := range hotreader.NewReader(f.store(Options{})).Read(ctx, qN) {
			if hotreader.CodeOf(err) != hotreader.CodeThrottled {
				t.Errorf("error %v", err)
			}
		}
		if took := time.Since(start); took > 0 {
			t.Errorf("it waited %v in vain", took)
		}
		f.done()
	})
	synctest.Test(t, func(t *testing.T) { // the caller goes away while waiting
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		f := newFake(t, slow)
		start := time.Now()
		for _, err := range hotreader.NewReader(f.store(Options{})).Read(ctx, qN) {
			if hotreader.CodeOf(err) != hotreader.CodeCanceled {
				t.Errorf("error %v", err)
			}
		}
		if took := time.Since(start); took != 100*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}

// Who is alone reads to the end of a container that throttles each page, with
// many times the retries that a crowd has: those that work are given back.
func TestThrottlingOfEachPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		const pages, refusals = 50, 5
		for i := range pages {
			token := ""
			if i < pages-1 {
				token = strconv.Itoa(i)
			}
			f.answers = append(f.answers, slices.Repeat([]answer{refuse(429, "TooManyRequests", "Request rate is large")}, refusals)...)
			f.answers = append(f.answers, pageOf(token, n(fmt.Sprintf("2024-01-01T00:00:%02dZ", i), "1")))
		}
		if got, err := rows(t, f.store(Options{}), qN); err != nil || len(got) != pages {
			t.Errorf("%d rows, %v", len(got), err)
		}
		f.done()
	})
}

// An error in the middle comes behind the rows before it.
func TestErrorComesLast(t *testing.T) {
	f := newFake(t, pageOf("k", n("2024-01-01T00:00:00Z", "1"), n("2024-01-01T00:00:01Z", "2")), answer{body: `{"Documents":`})
	got, err := rows(t, f.store(Options{}), qN)
	if want := []string{"00:00:00 1"}; !slices.Equal(got, want) {
		t.Errorf("rows %v, want %v: the last second may not be whole", got, want)
	}
	if hotreader.CodeOf(err) != hotreader.CodeCorrupt {
		t.Errorf("error %v", err)
	}
}

func TestCancelledBetweenRows(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f := newFake(t, pageOf("k", n("2024-01-01T00:00:00Z", "1"), n("2024-01-01T00:00:01Z", "2"), n("2024-01-01T00:00:02Z", "3")))
	count := 0
	for _, err := range hotreader.NewReader(f.store(Options{})).Read(ctx, qN) {
		if err != nil {
			if hotreader.CodeOf(err) != hotreader.CodeCanceled || !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
			break
		}
		count++
		cancel()
	}
	if count != 1 {
		t.Errorf("%d rows after the first was the last", count)
	}
}

// Ten pages of 5,000 rows allocate no more than ten pages of 50.
func TestReadingDoesNotAllocate(t *testing.T) {
	q := hotreader.Query{Device: "d", Properties: bigColumns}
	measure := func(perPage int) float64 {
		body := bigPage(perPage)
		number := 0
		f := newFake(t)
		f.serve = func(sent) answer {
			if number++; number%10 == 0 {
				return answer{body: body}
			}
			return answer{body: body, header: map[string]string{"X-Ms-Continuation": fmt.Sprint(number)}}
		}
		s := f.store(Options{})
		return testing.AllocsPerRun(3, func() {
			count := 0
			for _, err := range hotreader.NewReader(s).Read(t.Context(), q) {
				if err != nil {
					t.Fatal(err)
				}
				count++
			}
			if count < 9*perPage {
				t.Fatalf("%d rows", count)
			}
		})
	}
	few, many := measure(50), measure(5000)
	if perRow := (many - few) / (10 * 4950); perRow > 0.01 {
		t.Errorf("%.3f allocations a row: %v for 500 rows, %v for 50,000", perRow, few, many)
	}
}
