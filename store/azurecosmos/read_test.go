package azurecosmos

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
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
			page := strings.ReplaceAll(body, "2024-02-", fmt.Sprintf("2024-%02d-", number%10+1))
			if number++; number%10 == 0 {
				return cloud.Answer{Body: page}
			}
			return cloud.Answer{Body: page, Header: map[string]string{"X-Ms-Continuation": fmt.Sprint(number)}}
		}
		return f.store(Options{})
	}, 0.01)
}

// Pitfall 2: whatever goes wrong is an error that says what to do, and never an
// empty answer.
func TestPitfall02FailuresAreErrors(t *testing.T) {
	html := cloud.Answer{Status: 502, Body: "<html>bad gateway</html>", Header: map[string]string{"Content-Type": "text/html"}}
	status := func(a cloud.Answer, n int) cloud.Answer {
		a.Status = n
		return a
	}
	with := func(a cloud.Answer, name, value string) cloud.Answer {
		a.Header = map[string]string{name: value}
		return a
	}
	for _, test := range []struct {
		name  string
		a     cloud.Answer
		code  hotreader.Code
		says  string
		tries int
	}{
		{"no container", with(refuse(404, "NotFound", `Message: {"Errors":["Resource Not Found. Learn more: https://aka.ms/cosmosdb-tsg-not-found"]}`+"\r\nActivityId: 1, Request URI: /apps/x"), "x-ms-substatus", "1003"),
			hotreader.CodeNotFound, `there is no container "hot" in a database "twin" of account.documents.azure.com:443; check COSMOS_DB_DATABASE, COSMOS_DB_CONTAINER`, 1},
		{"key", refuse(401, "Unauthorized", "The input authorization token can't serve the request. Please check that the expected payload is built as per the protocol"),
			hotreader.CodeConfig, "COSMOS_DB_KEY is a key of account.documents.azure.com", 1},
		{"role", refuse(403, "Forbidden", "Request blocked by Auth: principal [x] does not have required RBAC permissions to perform action [Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/executeQuery]"),
			hotreader.CodeForbidden, `executeQuery]; give the identity the role "Cosmos DB Built-in Data Reader"`, 1},
		{"firewall", refuse(403, "Forbidden", "Request originated from IP 1.2.3.4 through public internet. This is blocked by your Cosmos DB account firewall settings."),
			hotreader.CodeForbidden, "let the account's firewall pass", 1},
		{"throttled", refuse(429, "429", "Request rate is large"), hotreader.CodeThrottled, "raise its throughput or ask less often", maxThrottled},
		{"no index", refuse(400, "BadRequest", `Message: {"errors":[{"severity":"Error","message":"The order by query does not have a corresponding composite index that it can be served from."}]}`),
			hotreader.CodeConfig, "corresponding composite index that it can be served from.; include /timestamp/? and /device_id/? in its indexing policy", 1},
		{"no range index", refuse(400, "BadRequest", `Message: {"Errors":["Order-by over correlated collections is not supported without a range index."]}`), hotreader.CodeConfig, "include /timestamp/?", 1},
		{"cross partition", refuse(400, "BadRequest", "Cross partition query is required but disabled."), hotreader.CodeConfig, "its partition key must be /device_id", 1},
		{"syntax", refuse(400, "BadRequest", `Message: {"errors":[{"severity":"Error","location":{"start":1,"end":2},"code":"SC1001","message":"Syntax error, incorrect syntax near 'x'."}]}`),
			hotreader.CodeConfig, "Syntax error, incorrect syntax near 'x'.", 1},
		{"met", refuse(449, "RetryWith", "conflict"), hotreader.CodeUnavailable, "status 449: RetryWith: conflict (activity 00000000-activity)", maxThrottled},
		{"time-out", refuse(408, "RequestTimeout", "slow"), hotreader.CodeUnavailable, "status 408", maxTries},
		{"gone", refuse(410, "Gone", "moved"), hotreader.CodeUnavailable, "status 410", maxTries},
		{"service", refuse(503, "ServiceUnavailable", "busy"), hotreader.CodeUnavailable, "busy", maxTries},
		{"failure", refuse(500, "InternalServerError", "sorry"), hotreader.CodeStore, "sorry (activity 00000000-activity)", maxTries},
		{"gateway", html, hotreader.CodeUnavailable, "status 502, and not from Cosmos DB", maxTries},
		{"a page of a portal", status(html, 403), hotreader.CodeProtocol, "status 403 with text/html, and not from Cosmos DB; check COSMOS_DB_ENDPOINT", 1},
		{"redirect", with(status(html, 302), "Location", "https://elsewhere.example/"), hotreader.CodeProtocol, "status 302", 1},
		{"HTML", cloud.Answer{Body: "<html>welcome</html>", Header: map[string]string{"Content-Type": "text/html"}}, hotreader.CodeProtocol, "answered with text/html, which Cosmos DB does not", 1},
		{"other JSON", cloud.Answer{Body: `{"items":[]}`}, hotreader.CodeCorrupt, "page 1 of the answer is malformed: it has no Documents", 1},
		{"teapot", refuse(418, "x", "y"), hotreader.CodeProtocol, "status 418: x: y", 1},
		{"refused", cloud.Answer{Fail: &net.OpError{Op: "dial", Err: errors.New("connection refused")}}, hotreader.CodeUnavailable, "account.documents.azure.com:443 was not reached: dial: connection refused", maxTries},
		{"authority", cloud.Answer{Fail: x509.UnknownAuthorityError{}}, hotreader.CodeConfig, "account.documents.azure.com:443 is not trusted: x509: certificate signed by unknown authority", 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t)
			f.Serve = func(cloud.Sent) cloud.Answer { return test.a }
			_, err := rows(t, f.store(Options{}), qN)
			cloud.WantError(t, test.name, err, test.code, test.says, "cosmos: query container twin/hot: ")
			if len(f.Requests) != test.tries {
				t.Errorf("%s: tried %d times, want %d", test.name, len(f.Requests), test.tries)
			}
			for _, line := range []string{"ActivityId", "Request URI", "\n", docsKey} {
				if err != nil && strings.Contains(err.Error(), line) {
					t.Errorf("%s: it says %q", test.name, err)
				}
			}
		})
	}
}

func TestOptionsThatCannotBe(t *testing.T) {
	for _, test := range []struct {
		o    Options
		says string
	}{
		{Options{Database: "d"}, "set COSMOS_DB_DATABASE and COSMOS_DB_CONTAINER"},
		{Options{Container: "c"}, "set COSMOS_DB_DATABASE"},
		{Options{Database: "a/b", Container: "c"}, "which Cosmos DB does not allow"},
		{Options{Database: "d", Container: "c", Layout: layout.Layout{DeviceKey: "x", TimeKey: "x"}}, `device_key and time_key are both "x"`},
		{Options{Database: "d", Container: "c", Layout: layout.Layout{TimeFormat: layout.Formats{"julian"}}}, `"julian" is unknown; use iso8601`},
		{Options{Database: "d", Container: "c", PageItems: -1}, "negative"},
	} {
		f := newFake(t)
		s := New(f.client(), test.o)
		_, reading := rows(t, s, qN)
		writing := s.Write(t.Context(), "d", nil)
		creating := CreateContainer(t.Context(), f.client(), test.o)
		for _, err := range []error{reading, writing, creating} {
			if hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%+v: %v, want %q", test.o, err, test.says)
			}
		}
	}
}

// The caller's own end is what is told, whatever failed because of it.
func TestDeadlineAndCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		f := newFake(t)
		f.Serve = func(cloud.Sent) cloud.Answer {
			time.Sleep(2 * time.Second)
			return cloud.Answer{Fail: errors.New("net/http: request canceled")}
		}
		for _, err := range hotreader.NewReader(f.store(Options{})).Read(ctx, qN) {
			if hotreader.CodeOf(err) != hotreader.CodeDeadline || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v", err)
			}
		}
		if len(f.Requests) != 1 {
			t.Errorf("%d requests", len(f.Requests))
		}
	})
}

// A real server, a real client: who redirects does not get the signature, and a
// certificate of an unknown authority ends the matter at once.
func TestSignatureStaysWithTheEndpoint(t *testing.T) {
	visited := 0
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visited++ }))
	defer elsewhere.Close()
	server := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	read := func(endpoint string) error {
		c, err := NewClient(ClientOptions{Endpoint: endpoint, Key: docsKey})
		if err != nil {
			t.Fatal(err)
		}
		_, err = rows(t, New(c, Options{Database: "d", Container: "c"}), qN)
		return err
	}
	if err := read(server.URL); hotreader.CodeOf(err) != hotreader.CodeProtocol || visited > 0 {
		t.Errorf("error %v, %d visits", err, visited)
	}
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visited++ }))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	if err := read(secure.URL); hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), "not trusted") || visited > 0 {
		t.Errorf("error %v, %d visits", err, visited)
	}
	// And what speaks no TLS at all.
	if err := read(strings.Replace(server.URL, "http:", "https:", 1)); hotreader.CodeOf(err) != hotreader.CodeConfig {
		t.Errorf("error %v", err)
	}
	server.Close()
	if err := read(server.URL); hotreader.CodeOf(err) != hotreader.CodeUnavailable {
		t.Errorf("error %v", err)
	}
}

func TestRetryAfter(t *testing.T) {
	for _, c := range []struct {
		ms, s string
		want  time.Duration
	}{
		{"1500", "", 1500 * time.Millisecond}, {"0.5", "", 500 * time.Microsecond}, {"", "3", 3 * time.Second}, {"20", "3", 20 * time.Millisecond},
		{"", "", 0}, {"soon", "", 0}, {"-1", "-1", 0}, {"1e300", "99999999", 0}, {"NaN", "", 0}, {"", "Wed, 21 Oct 2015 07:28:00 GMT", 0},
	} {
		h := http.Header{}
		h.Set("x-ms-retry-after-ms", c.ms)
		h.Set("Retry-After", c.s)
		if got := retryAfter(h); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestHugeAnswerIsRefused(t *testing.T) {
	f := newFake(t, cloud.Answer{Body: strings.Repeat(" ", paging.MaxBody+1)})
	if _, err := rows(t, f.store(Options{}), qN); hotreader.CodeOf(err) != hotreader.CodeProtocol {
		t.Errorf("error %v", err)
	}
	f.Done()
}

// An answer that stops after its head ends.
func TestSilence(t *testing.T) {
	cloud.Silent(t, "application/json", func(over http.RoundTripper) hotreader.Source {
		c, err := NewClient(ClientOptions{Endpoint: "https://account.documents.azure.com", Key: docsKey, Transport: over})
		if err != nil {
			t.Fatal(err)
		}
		return New(c, Options{Database: "twin", Container: "hot"})
	})
}
