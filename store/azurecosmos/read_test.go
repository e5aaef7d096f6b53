package azurecosmos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hotreader"
	"hotreader/layout"
	"hotreader/store/internal/paging"
	"hotreader/store/internal/timekey"
	"hotreader/store/storetest/cloud"
)

var update = flag.Bool("update", false, "write the golden files anew")

// ask asks for a device's properties.
func ask(device string, columns ...string) *paging.Ask {
	return &paging.Ask{Query: &hotreader.Query{Device: device}, Value: device, Columns: columns, Codec: &timekey.NewCodecs(layout.Layout{})[0]}
}

var qN = hotreader.Query{Device: "d", Properties: []string{"n"}}

func TestEmptyPagesMayStandStill(t *testing.T) {
	// A page that found nothing in its time may say to go on where it began, but
	// not for ever.
	f := newFake(t, pageOf("a", n("2024-01-01T00:00:00Z", "1")), pageOf("a"), pageOf("a"), pageOf("", n("2024-01-01T00:00:01Z", "2")))
	cloud.WantRows(t, f.store(Options{}), qN, "00:00:00 1", "00:00:01 2")
}

// TestRequest compares what is sent with golden files: the emulator looks at
// little of it, Cosmos DB at all. A change there is a change of what a query
// costs, or of what a container must be like.
func TestRequest(t *testing.T) {
	hostile := []string{"name", "a.b", "Ключ", `x"] FROM c --`, `back\slash`, "new\nline\x01", "timestamp", "device_id", "id", `"`, "@d", "🌡️"}
	queries := cloud.Requests()
	queries["limit by pages"] = queries["limit"]
	queries["names"] = hotreader.Query{Device: "d é\"\\\n🌡\x7f", Properties: hostile}
	queries["layout"] = hotreader.Query{Device: "d", Properties: []string{"a"}}
	for _, name := range []string{"paths", "narrow", "narrow by suffix", "dated", "own time"} {
		queries[name] = hotreader.Query{Device: "d", Properties: []string{"a", "b.c"}, Start: queries["range"].Start, End: queries["range"].End}
	}
	options := map[string]Options{
		"until": {PageItems: 250}, "limit by pages": {PageItems: 250},
		"layout": {Database: "a b", Container: "é%", Layout: layout.Layout{DeviceKey: `d"`, TimeKey: "when at"}},
		"paths": {Layout: layout.Layout{DeviceKey: "SystemProperties.iothub-connection-device-id", TimeKey: "Body.ts",
			Properties: layout.Properties{Base: "Body"}, TimeFormat: layout.Formats{"epoch_ms:text"}}},
		"narrow":           {Layout: layout.Layout{NameKey: "sensor.name", ValueKey: "v", TimePrefix: "READING#", TimeFormat: layout.Formats{"iso8601_minute"}}},
		"narrow by suffix": {Layout: layout.Layout{TimeSuffix: "#{property}", ValueKey: "v"}},
		"dated":            {Layout: layout.Layout{Partition: "site-4#{device}#{yyyy-MM-dd}", TimeFormat: layout.Formats{"iso8601_blank+09:00"}}},
		"own time":         {Layout: layout.Layout{TimeKey: "_ts", TimeFormat: layout.Formats{layout.EpochSecs}}},
		"epoch_ms":         {Layout: layout.Layout{TimeFormat: layout.Formats{layout.EpochMillis}}},
		"epoch_s":          {Layout: layout.Layout{TimeFormat: layout.Formats{layout.EpochSecs}, DeviceKey: "dev", TimeKey: "t"}},
	}
	for name, q := range queries {
		synctest.Test(t, func(t *testing.T) { // so that the date, and the signature, are always the same
			f := newFake(t, pageOf("", `{}`))
			cloud.WantRows(t, f.store(options[name]), q)
			r := f.Requests[0]
			var b bytes.Buffer
			fmt.Fprintf(&b, "%s %s\n", r.Method, r.URL)
			if err := r.Header.Write(&b); err != nil {
				t.Fatal(err)
			}
			var body struct {
				Query      string
				Parameters []struct {
					Name  string
					Value json.RawMessage
				}
			}
			d := json.NewDecoder(strings.NewReader(r.Body))
			d.DisallowUnknownFields()
			if err := d.Decode(&body); err != nil {
				t.Fatalf("%s: %v: %s", name, err, r.Body)
			}
			fmt.Fprintf(&b, "\n%s\n", body.Query)
			for _, p := range body.Parameters {
				fmt.Fprintf(&b, "%s = %s\n", p.Name, p.Value)
			}
			cloud.Golden(t, *update, "testdata/request "+name+".txt", strings.ReplaceAll(b.String(), "\r\n", "\n"))
		})
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
			cloud.WantRows(t, f.store(Options{}), q)
			for _, r := range f.Requests {
				header := r.Header.Get("X-Ms-Documentdb-Partitionkey")
				var partition []string
				if err := json.Unmarshal([]byte(header), &partition); err != nil || !slices.Equal(partition, []string{device}) {
					t.Errorf("%q: partition %q: %v", device, header, err)
				}
				if strings.ContainsFunc(header, func(r rune) bool { return r < ' ' || r > '~' }) {
					t.Errorf("%q: no header may carry %q", device, header)
				}
				for name := range r.Header {
					if strings.Contains(strings.ToLower(name), "crosspartition") {
						t.Errorf("%q: the query may leave its partition: %s", device, name)
					}
				}
				var body struct {
					Query      string
					Parameters []struct{ Name, Value string }
				}
				if err := json.Unmarshal([]byte(r.Body), &body); err != nil {
					t.Fatal(err)
				}
				if q.Last { // the newest not after a day from now
					body.Query = strings.Replace(body.Query, ` AND c["timestamp"]<=@hi`, "", 1)
					body.Parameters = slices.DeleteFunc(body.Parameters, func(p struct{ Name, Value string }) bool { return p.Name == "@hi" })
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
	for _, name := range []string{"n", "a.b", "a.", `"`, `\`, `\"`, `"]`, "\n\x00", "'", `\u0022`, "é🌡️"} {
		f.Add(name)
	}
	s := New(&Client{}, Options{Database: "d", Container: "c"})
	f.Fuzz(func(t *testing.T, name string) {
		if (&hotreader.Query{Device: "d", Properties: []string{name}}).Check() != nil {
			return
		}
		var body struct{ Query string }
		if err := json.Unmarshal(s.request(s.rows(ask("d", name), "", "")).body, &body); err != nil {
			t.Fatal(err)
		}
		rest, ok := strings.CutPrefix(body.Query, `SELECT c["timestamp"] AS t,c[`)
		if !ok {
			t.Fatal(body.Query)
		}
		var places []string
		for rest = "[" + rest; strings.HasPrefix(rest, "["); rest = strings.TrimPrefix(rest, "??c") {
			end := 2 // of the literal, by the query language's own rules
			for rest[end] != '"' {
				if rest[end] == '\\' {
					end++
				}
				end++
			}
			var got string
			if err := json.Unmarshal([]byte(rest[1:end+1]), &got); err != nil || rest[end+1] != ']' {
				t.Fatalf("%s: %v", rest, err)
			}
			places, rest = append(places, got), rest[end+2:]
		}
		want := []string{name}
		if parts := strings.Split(name, "."); len(parts) > 1 && !slices.Contains(parts, "") {
			want = append(want, parts...)
		}
		if !slices.Equal(places, want) {
			t.Fatalf("%s names %q, want %q", body.Query, places, want)
		}
		if want := ` AS p0 FROM c WHERE c["device_id"]=@d ORDER BY c["timestamp"] ASC`; rest != want {
			t.Fatalf("behind the name: %s", rest)
		}
	})
}

func TestNumbersAsTime(t *testing.T) {
	f := newFake(t, pageOf("", `{"t":-0.5,"p0":1}`, `{"t":1.5,"p0":2}`, `{"t":"1970-01-01T00:00:00Z","p0":3}`, `{"t":1.7E9,"p0":4}`, `{"t":1700000000.25,"p0":5}`))
	cloud.WantRows(t, f.store(Options{Layout: layout.Layout{TimeFormat: layout.Formats{layout.EpochSecs}}}), qN, "23:59:59.5 1", "00:00:01.5 2", "22:13:20 4", "22:13:20.25 5")
	f = newFake(t, pageOf("", `{"t":1700000000250.5,"p0":5}`))
	cloud.WantRows(t, f.store(Options{Layout: layout.Layout{TimeFormat: layout.Formats{layout.EpochMillis}}}), qN, "22:13:20.2505 5")
}

// Pitfall 2: within the wrong partition there is nothing, and that must not pass
// for an answer. The container is looked at once, and only when there is reason.
func TestPitfall02NothingInTheWrongPartitionIsAnError(t *testing.T) {
	f := newFake(t, pageOf(""), pageOf(""), partitioned("/id"))
	_, err := rows(t, f.looking(Options{}), qN)
	if hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), "partition key is /id; it must be /device_id") || !strings.Contains(err.Error(), "hotreader inspect --store") {
		t.Errorf("error %v", err)
	}
	f.Done()
	if r := f.Requests[2]; r.Method != "GET" || r.URL != "https://account.documents.azure.com:443/dbs/twin/colls/hot" {
		t.Errorf("asked %s %s", r.Method, r.URL)
	}

	f = newFake(t, pageOf(""), pageOf(""), partitioned("/device_id"), pageOf(""), pageOf(""), pageOf(""), pageOf("", n("2024-01-01T00:00:00Z", "1")))
	s, other := f.looking(Options{}), qN
	other.Device = "e"
	cloud.WantRows(t, s, qN)
	cloud.WantRows(t, s, other) // the container is not asked again
	cloud.WantRows(t, s, other) // and within a minute nothing is looked at again
	cloud.WantRows(t, s, qN, "00:00:00 1")
	f.Done()

	// Quoted, as Cosmos DB needs it for some names, and allows it for all.
	for _, c := range []struct{ path, key string }{
		{`/"device_id"`, ""}, {`/"my device"`, "my device"}, {"/SystemProperties/\"iothub-connection-device-id\"", "SystemProperties.iothub-connection-device-id"},
		{`/"a"/b`, "a.b"}, {`/"a.b"`, `a\.b`},
	} {
		f = newFake(t, pageOf(""), pageOf(""), partitioned(c.path))
		cloud.WantRows(t, f.looking(Options{Layout: layout.Layout{DeviceKey: c.key}}), qN)
		f.Done()
	}
	f = newFake(t, pageOf(""), pageOf(""), cloud.Answer{Body: `{"id":"hot","partitionKey":{"paths":["/device_id","/day"],"kind":"MultiHash","version":2}}`})
	if _, err := rows(t, f.looking(Options{}), qN); hotreader.CodeOf(err) != hotreader.CodeConfig {
		t.Errorf("a key of two levels: %v", err)
	}

	// An identity that may query but not look at the container gets its answer.
	f = newFake(t, pageOf(""), pageOf(""), refuse(403, "Forbidden", "no"), pageOf(""), pageOf(""), partitioned("/device_id"))
	s = f.looking(Options{})
	cloud.WantRows(t, s, qN)
	cloud.WantRows(t, s, other)
	f.Done()
}

// Pitfall 24: 429 is tried again, after the time that Cosmos DB says, within
// the caller's own.
func TestPitfall24ThrottlingIsHonoured(t *testing.T) {
	slow := refuse(429, "TooManyRequests", `Message: {"Errors":["Request rate is large. More Request Units may be needed, so no changes were made."]}`+"\r\nActivityId: x")
	slow.Header = map[string]string{"x-ms-retry-after-ms": "400.5", "x-ms-substatus": "3200"}
	page := func(token, at string) cloud.Answer { return pageOf(token, n("2024-01-01T00:00:0"+at+"Z", at)) }
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, slow, slow, page("k", "1"), slow, page("", "2"))
		start := time.Now()
		cloud.WantRows(t, f.store(Options{}), qN, "00:00:01 1", "00:00:02 2")
		if took := time.Since(start); took < 1200*time.Millisecond || took > 1500*time.Millisecond {
			t.Errorf("it took %v, want three times 400 ms and a little", took)
		}
		f.Done()
	})
	synctest.Test(t, func(t *testing.T) { // no end of it
		f := newFake(t)
		f.Serve = func(cloud.Sent) cloud.Answer { return slow }
		_, err := rows(t, f.store(Options{}), qN)
		e, ok := errors.AsType[*hotreader.Error](err)
		if !ok || e.Code != hotreader.CodeThrottled || e.RetryAfter != 400*time.Millisecond+500*time.Microsecond {
			t.Errorf("error %v (%+v)", err, e)
		}
		if !strings.Contains(err.Error(), "Request rate is large") || strings.Contains(err.Error(), "ActivityId") {
			t.Errorf("it says: %v", err)
		}
		if len(f.Requests) != maxThrottled {
			t.Errorf("%d requests, want %d", len(f.Requests), maxThrottled)
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
		f.Done()
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
			f.Answers = append(f.Answers, slices.Repeat([]cloud.Answer{refuse(429, "TooManyRequests", "Request rate is large")}, refusals)...)
			f.Answers = append(f.Answers, pageOf(token, n(fmt.Sprintf("2024-01-01T00:00:%02dZ", i), "1")))
		}
		if got, err := rows(t, f.store(Options{}), qN); err != nil || len(got) != pages {
			t.Errorf("%d rows, %v", len(got), err)
		}
		f.Done()
	})
}

// Ten pages of 5,000 rows allocate no more than ten pages of 50.
func TestReadingDoesNotAllocate(t *testing.T) {
	cloud.WantAllocations(t, bigColumns, 500, 50_000, func(rows int) hotreader.Source {
		body, number := bigPage(rows/10), 0
		f := newFake(t)
		f.Serve = func(cloud.Sent) cloud.Answer {
			if number++; number%10 == 0 {
				return cloud.Answer{Body: body}
			}
			return cloud.Answer{Body: body, Header: map[string]string{"X-Ms-Continuation": fmt.Sprint(number)}}
		}
		return f.store(Options{})
	}, 0.01)
}
