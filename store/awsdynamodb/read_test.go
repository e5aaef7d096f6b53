package awsdynamodb

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"hotreader"
)

var update = flag.Bool("update", false, "write the golden files anew")

var qN = hotreader.Query{Device: "d", Properties: []string{"n"}}

func TestPitfall01EveryPageIsFollowed(t *testing.T) {
	const pagesN, perPage = 12, 700
	var answers []answer
	for p := range pagesN {
		items := make([]string, perPage)
		for i := range items {
			at := time.Date(2024, 1, 1, 0, 0, p*perPage+i, 0, time.UTC).Format(time.RFC3339Nano)
			items[i] = n(at, fmt.Sprint(p*perPage+i))
		}
		key := ""
		if p < pagesN-1 {
			key = fmt.Sprintf("key %d", p)
		}
		answers = append(answers, pageOf(key, items...))
		if p == 5 { // a page may be empty and still not the last
			answers = append(answers, pageOf("key empty"))
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
		var want any
		switch {
		case i > 7:
			want = fmt.Sprintf("key %d", i-2)
		case i == 7:
			want = "key empty"
		case i > 0:
			want = fmt.Sprintf("key %d", i-1)
		}
		var key any
		if start, ok := r["ExclusiveStartKey"].(map[string]any); ok {
			key = start["timestamp"].(map[string]any)["S"]
			if device := start["device_id"].(map[string]any)["S"]; device != "d" {
				t.Errorf("request %d starts at device %v", i, device)
			}
		}
		if key != want {
			t.Errorf("request %d starts at %v, want %v", i, key, want)
		}
	}
}

// The last key goes back as it came, whatever it is made of.
func TestLastKeyIsPassedOnExactly(t *testing.T) {
	f := newFake(t,
		answer{body: `{"Count":0,"Items":[],"LastEvaluatedKey":{"device_id":{"S":"\u00e9\"\\\n"},"timestamp":{"N":"1700000000000.50"},"b":{"B":"AP8="}}}`},
		pageOf(""))
	wantRows(t, f.store(Options{}), qN)
	want := map[string]any{
		"device_id": map[string]any{"S": "é\"\\\n"},
		"timestamp": map[string]any{"N": "1700000000000.50"},
		"b":         map[string]any{"B": "AP8="},
	}
	if got := f.requests[1]["ExclusiveStartKey"]; !reflect.DeepEqual(got, want) {
		t.Errorf("start key %v, want %v", got, want)
	}
}

func TestPagesThatNeverEndAreAnError(t *testing.T) {
	f := newFake(t, pageOf("same"), pageOf("same"))
	_, err := rows(t, f.store(Options{}), qN)
	if hotreader.CodeOf(err) != hotreader.CodeCorrupt {
		t.Errorf("error %v, want %v", err, hotreader.CodeCorrupt)
	}
}

func TestPitfall03TimesAreInstants(t *testing.T) {
	// In the table's order, which is that of bytes.
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
	// Every way to cut the items into two or three pages: a second may begin in
	// one and end in another.
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
	// Bounds inside a second: the table is asked for whole seconds, the answer
	// keeps to the instants.
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
	values := f.requests[0]["ExpressionAttributeValues"].(map[string]any)
	want := map[string]any{
		":d":  map[string]any{"S": "d"},
		":lo": map[string]any{"S": "2024-01-01T00:00:01"},
		":hi": map[string]any{"S": "2024-01-01T00:00:02~"},
	}
	if !reflect.DeepEqual(values, want) {
		t.Errorf("asked for %v, want %v", values, want)
	}
}

// A second may be spread over many pages, and its rows own their bytes by then.
func TestSecondOverManyPages(t *testing.T) {
	var answers []answer
	var want []string
	for i := range 30 {
		item := fmt.Sprintf(`{"timestamp":{"S":"2024-01-01T00:00:00.%02dZ"},"n":{"S":"text \u00e9 %d"},"m":{"BOOL":true}}`, i+10, i)
		key := fmt.Sprint(i)
		if i == 29 {
			key = ""
		}
		answers = append(answers, pageOf(key, item))
		want = append(want, fmt.Sprintf("00:00:00.%s %q true", strings.TrimRight(fmt.Sprint(i+10), "0"), fmt.Sprintf("text é %d", i)))
	}
	f := newFake(t, answers...)
	wantRows(t, f.store(Options{}), hotreader.Query{Device: "d", Properties: []string{"n", "m"}}, want...)
	f.done()
}

func TestPitfall10OneRowAnInstant(t *testing.T) {
	items := []string{
		n("2024-01-01T00:00:00", "1"), n("2024-01-01T00:00:00+00:00", "2"), n("2024-01-01T00:00:00.000Z", "3"), n("2024-01-01T00:00:00Z", "4"),
		n("2024-01-01T00:00:01.5", "5"), n("2024-01-01T00:00:01.500Z", "6"),
	}
	f := newFake(t, pageOf("a", items[:3]...), pageOf("", items[3:]...))
	wantRows(t, f.store(Options{}), qN, "00:00:00 4", "00:00:01.5 6")
	slices.Reverse(items)
	f = newFake(t, pageOf("a", items[:4]...), pageOf("", items[4:]...))
	q := qN
	q.Order = hotreader.Descending
	wantRows(t, f.store(Options{}), q, "00:00:01.5 6", "00:00:00 4")
}

// One item of a page that cannot be read does not cost the page.
func TestUnreadableItemsAreCountedAndPassedOver(t *testing.T) {
	f := newFake(t, pageOf("",
		n("2024-01-01T00:00:00Z", "1"),
		`{"n":{"N":"2"}}`,                                             // no time
		`{"timestamp":{"N":"5"},"n":{"N":"3"}}`,                       // time of the wrong kind
		n("yesterday", "4"),                                           // no time at all
		n("2024-01-01T00:00:00+01:00", "5"),                           // not UTC
		`{"timestamp":{"S":"2024-01-01T00:00:05Z"},"n":{"SS":["6"]}}`, // no value of ours
		`{"timestamp":{"S":"2024-01-01T00:00:06Z"},"n":{"NULL":true}}`,
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
	if s := stats.Skipped(); s != 6 {
		t.Errorf("%d skipped, want 6", s)
	}
	if r, l, reads, b := stats.Rows.Load(), stats.Looked.Load(), stats.Reads.Load(), stats.Bytes.Load(); r != 2 || l != 4 || reads != 1 || b < 100 {
		t.Errorf("stats: %d rows, %d looked at, %d reads, %d bytes", r, l, reads, b)
	}
}

// TestRequest compares what is sent with golden files: a change there is a
// change of what a query costs, or of what a table must be like.
func TestRequest(t *testing.T) {
	at := time.Date(2024, 2, 3, 4, 5, 6, 700_000_000, time.UTC)
	hostile := []string{"name", "a.b", "Ключ", "#0", "timestamp", "device_id", "id", `"`}
	for _, test := range []struct {
		name string
		o    Options
		q    hotreader.Query
	}{
		{"whole", Options{}, hotreader.Query{Device: "d", Properties: []string{"temperature"}}},
		{"range", Options{}, hotreader.Query{Device: "d", Properties: []string{"a", "b"}, Start: at, End: at.Add(time.Hour)}},
		{"from", Options{}, hotreader.Query{Device: "d", Properties: []string{"a"}, Start: at, Order: hotreader.Descending}},
		{"until", Options{}, hotreader.Query{Device: "d", Properties: []string{"a"}, End: at}},
		{"limit", Options{}, hotreader.Query{Device: "d", Properties: []string{"a"}, Limit: 1000}},
		{"newest since 1899", Options{}, hotreader.Query{Device: "d", Properties: []string{"a"}, Limit: 1, Order: hotreader.Descending,
			Start: time.Date(1899, 12, 31, 0, 0, 0, 0, time.UTC), End: at}},
		{"last", Options{}, hotreader.Query{Device: "d", Properties: []string{"a", "b"}, Last: true}},
		{"filters", Options{}, hotreader.Query{Device: "d", Properties: []string{"a"}, Filters: []hotreader.Filter{
			{Property: "b", Op: hotreader.Greater, Value: hotreader.Int64Value(1)}, {Property: "a", Op: hotreader.Less, Value: hotreader.Int64Value(1)}}}},
		{"names", Options{}, hotreader.Query{Device: "d é", Properties: hostile}},
		{"epoch_ms", Options{TimeFormat: EpochMillis}, hotreader.Query{Device: "d", Properties: []string{"a"}, Start: at, End: at.Add(time.Microsecond)}},
		{"epoch_s", Options{TimeFormat: EpochSecs, DeviceKey: "dev", TimeKey: "t", Consistent: true},
			hotreader.Query{Device: "d", Properties: []string{"a"}, Start: at, End: at.Add(time.Second)}},
	} {
		f := newFake(t, pageOf(""))
		wantRows(t, f.store(test.o), test.q)
		if f.targets[0] != "DynamoDB_20120810.Query" {
			t.Errorf("%s: target %q", test.name, f.targets[0])
		}
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", "\t")
		if err := e.Encode(f.requests[0]); err != nil {
			t.Fatal(err)
		}
		golden(t, filepath.Join("testdata", "request "+test.name+".json"), b.Bytes())
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

// The attributes that are keys can be selected like any other.
func TestKeysAsProperties(t *testing.T) {
	f := newFake(t, pageOf("", `{"id":{"S":"d_x"},"timestamp":{"S":"2024-01-01T00:00:00Z"},"device_id":{"S":"d"}}`))
	wantRows(t, f.store(Options{}), hotreader.Query{Device: "d", Properties: []string{"device_id", "timestamp", "id"}},
		`00:00:00 "d" "2024-01-01T00:00:00Z" "d_x"`)
	f = newFake(t, pageOf("", `{"timestamp":{"N":"1.5"}}`))
	wantRows(t, f.store(Options{TimeFormat: EpochSecs}), hotreader.Query{Device: "d", Properties: []string{"timestamp"}}, "00:00:01.5 1.5")
}

// A last entry, and any query for few rows, costs a small read.
func TestSmallQueriesReadLittle(t *testing.T) {
	// A table of 5,000 rows, one a second; b is in every 1,000th, c in none.
	table := func(request map[string]any) answer {
		from := 0
		if key, ok := request["ExclusiveStartKey"].(map[string]any); ok {
			fmt.Sscan(key["timestamp"].(map[string]any)["S"].(string), &from)
		}
		limit := 5000
		if l, ok := request["Limit"].(float64); ok {
			limit = int(l)
		}
		var items []string
		for i := from; i < min(from+limit, 5000); i++ {
			at := time.Date(2024, 1, 1, 0, 0, 5000, 0, time.UTC)
			if request["ScanIndexForward"] == false {
				at = at.Add(-time.Duration(i) * time.Second)
			} else {
				at = at.Add(time.Duration(i) * time.Second)
			}
			item := n(at.Format(time.RFC3339Nano), fmt.Sprint(i))
			if i > 0 && i%100 == 0 {
				item = strings.Replace(item, `"n"`, `"b":{"N":"1"},"n"`, 1)
			}
			items = append(items, item)
		}
		key := ""
		if from+limit < 5000 {
			key = fmt.Sprint(from + limit)
		}
		return pageOf(key, items...)
	}
	for _, test := range []struct {
		name   string
		q      hotreader.Query
		rows   int
		limits []any // nil = none
	}{
		{"last", hotreader.Query{Properties: []string{"n"}, Last: true}, 1, []any{8.}},
		{"last, one older", hotreader.Query{Properties: []string{"n", "b"}, Last: true}, 2, []any{8., 64., 512.}},
		{"last, one nowhere", hotreader.Query{Properties: []string{"n", "c"}, Last: true}, 1, []any{8., 64., 512., 424.}},
		{"newest", hotreader.Query{Properties: []string{"n"}, Order: hotreader.Descending, Limit: 1}, 1, []any{8.}},
		{"a hundred", hotreader.Query{Properties: []string{"n"}, Limit: 100}, 100, []any{107.}},
		{"a hundred sparse", hotreader.Query{Properties: []string{"b"}, Limit: 10}, 10, []any{17., 136., 1088.}},
		{"all", hotreader.Query{Properties: []string{"n"}}, 5000, []any{nil}},
		{"filtered", hotreader.Query{Properties: []string{"n"}, Limit: 1, Filters: []hotreader.Filter{{Property: "b", Op: hotreader.Equal, Value: hotreader.Int64Value(1)}}}, 1, []any{64., 512.}},
	} {
		f := newFake(t)
		f.serve = table
		test.q.Device = "d"
		got, err := rows(t, f.store(Options{}), test.q)
		if err != nil || len(got) != test.rows {
			t.Errorf("%s: %d rows, %v; want %d", test.name, len(got), err, test.rows)
		}
		var limits []any
		for _, r := range f.requests {
			limits = append(limits, r["Limit"])
		}
		if !reflect.DeepEqual(limits, test.limits) {
			t.Errorf("%s: pages of %v items were asked for, want %v", test.name, limits, test.limits)
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
		t.Error("the table was asked")
	}
}

// Stopping frees the page at once and asks for no other.
func TestStoppingEarly(t *testing.T) {
	f := newFake(t, pageOf("more", n("2024-01-01T00:00:00Z", "1"), n("2024-01-01T00:00:01Z", "2"), n("2024-01-01T00:00:02Z", "3")))
	for range hotreader.NewReader(f.store(Options{})).Read(t.Context(), qN) {
		break
	}
	f.done()
}

// The same body is decoded whether or not it comes compressed, and a body whose
// checksum is wrong is never rows.
func TestChecksumAndCompression(t *testing.T) {
	good := pageOf("", n("2024-01-01T00:00:00Z", "1"))
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write([]byte(good.body))
	z.Close()
	f := newFake(t, answer{body: packed.String(), header: map[string]string{"Content-Encoding": "gzip"}})
	s := New(dynamodb.New(f.client().Options(), func(o *dynamodb.Options) { o.EnableAcceptEncodingGzip = true }), Options{Table: "t"})
	wantRows(t, s, qN, "00:00:00 1")

	bad := good
	bad.header = map[string]string{"X-Amz-Crc32": "12345"}
	f = newFake(t, bad, good)
	wantRows(t, f.store(Options{}), qN, "00:00:00 1")
	f.done()
	f = newFake(t, bad, bad, bad)
	if got, err := rows(t, f.store(Options{}), qN); hotreader.CodeOf(err) != hotreader.CodeCorrupt || len(got) > 0 {
		t.Errorf("rows %v, error %v; want %v", got, err, hotreader.CodeCorrupt)
	}
	f.done()
}

// A body that breaks off is asked for again; if it goes on breaking off, that
// is an error and never a short success.
func TestBodyBreaksOff(t *testing.T) {
	good := pageOf("", n("2024-01-01T00:00:00Z", "1"), n("2024-01-01T00:00:01Z", "2"))
	cut := good
	cut.cut = 80
	f := newFake(t, cut, good)
	wantRows(t, f.store(Options{}), qN, "00:00:00 1", "00:00:01 2")
	f.done()
	f = newFake(t, cut, cut, cut)
	if got, err := rows(t, f.store(Options{}), qN); hotreader.CodeOf(err) != hotreader.CodeUnavailable || len(got) > 0 {
		t.Errorf("rows %v, error %v; want %v", got, err, hotreader.CodeUnavailable)
	}
	f.done()
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

func TestPitfall24ThrottlingIsTriedAgain(t *testing.T) {
	slow := refusal(400, "ProvisionedThroughputExceededException", "slow down")
	f := newFake(t, slow, refusal(400, "ThrottlingException", "Rate exceeded"), pageOf("k", n("2024-01-01T00:00:00Z", "1")),
		refusal(500, "InternalServerError", "sorry"), pageOf("", n("2024-01-01T00:00:01Z", "2")))
	wantRows(t, f.store(Options{}), qN, "00:00:00 1", "00:00:01 2")
	f.done()
	f = newFake(t, slow, slow, slow)
	if _, err := rows(t, f.store(Options{}), qN); hotreader.CodeOf(err) != hotreader.CodeThrottled {
		t.Errorf("error %v, want %v", err, hotreader.CodeThrottled)
	}
	f.done()
}

// An error in the middle comes behind the rows before it.
func TestErrorComesLast(t *testing.T) {
	f := newFake(t, pageOf("k", n("2024-01-01T00:00:00Z", "1"), n("2024-01-01T00:00:01Z", "2")), answer{body: "<html>"})
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
		at := strings.Index(body, `"LastEvaluatedKey":{"device_id":{"S":"`) + len(`"LastEvaluatedKey":{"device_id":{"S":"`)
		last := strings.Replace(body, `,"LastEvaluatedKey":{"device_id":{"S":"d"},"timestamp":{"S":"2024-02-28T00:00:00Z"}}`, "", 1)
		number := 0
		f := newFake(t)
		f.serve = func(map[string]any) answer {
			if number++; number%10 == 0 {
				return answer{body: last}
			}
			return answer{body: body[:at] + fmt.Sprint(number) + body[at:]}
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
