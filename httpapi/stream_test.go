package httpapi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hotreader"
	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/store/memstore"
	"hotreader/test/transcript"
	"hotreader/wire"
)

// open requests a row stream.
func open(t testing.TB, s *httptest.Server, body string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/read", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(identity.TokenHeader, current)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", wire.MediaType+", application/json;q=0.5")
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// stream returns the rows of the stream that answers an envelope, which must be complete.
func stream(t testing.TB, s *httptest.Server, body string) (rows []string, more bool) {
	t.Helper()
	resp := open(t, s, body)
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || got != wire.MediaType {
		b, _ := io.ReadAll(resp.Body)
		t.Fatalf("%d %s %s", resp.StatusCode, got, b)
	}
	rows, more, err := decode(t, resp.Body, body)
	if err != nil {
		t.Fatal(err)
	}
	return rows, more
}

func decode(t testing.TB, r io.Reader, body string) (rows []string, more bool, err error) {
	t.Helper()
	e, err := wire.ParseEnvelope([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	q, err := e.Query()
	if err != nil {
		t.Fatal(err)
	}
	d := wire.NewDecoder(r, q)
	defer d.Close()
	for {
		row, err := d.Read()
		if errors.Is(err, io.EOF) {
			return rows, d.More(), nil
		} else if err != nil {
			return rows, false, err
		}
		rows = append(rows, fmt.Sprintf("%s %v", hotreader.AppendTime(nil, row.Time), row.Values))
	}
}

func TestRowStream(t *testing.T) {
	s := serve(t, httpapi.Options{})
	for _, c := range []struct{ name, body, want string }{
		{"ascending", envelope(pumpAll), "2026-01-01T00:00:00.000Z [73.90] 2026-01-01T00:00:01.000Z [74] 2026-01-01T00:00:01.000001Z [1E+2] 2026-01-01T00:00:03.000Z [12345678901234567890.123456789]"},
		{"descending, limited, typed", envelope(`{"iot_device_id":"pump",` + all + `,"selected_properties":["temperature","on"],"property_types":{"temperature":"INTEGER"},"order":"DESCENDING","max_results":5}`),
			"2026-01-01T00:00:03.000Z [12345678901234567890.123456789 null] 2026-01-01T00:00:02.000Z [null false]"},
		{"filtered", envelope(strings.Replace(pumpAll, "}", `,"filters":[{"propertyName":"state","operator":"=","value":{"stringValue":"=warm, up"}}]}`, 1)), `2026-01-01T00:00:01.000Z [74 "=warm, up"]`},
		{"nothing", envelope(strings.Replace(pumpAll, "pump", "nobody", 1)), ""},
		{"last entry", lastEntry(`{"iot_device_id":"pump","selected_properties":["temperature","on"]}`), "2026-01-01T00:00:03.000Z [12345678901234567890.123456789 null] 2026-01-01T00:00:02.000Z [null false]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rows, more := stream(t, s, c.body)
			if got := strings.Join(rows, " "); got != c.want || more {
				t.Errorf("more %v\n got %s\nwant %s", more, got, c.want)
			}
		})
	}
}

const seriesAll = `{"iot_device_id":"d","start_time":"2026-01-01T00:00:00Z","end_time":"2036-01-01T00:00:00Z","selected_properties":["a"]}`

func TestOldPeerAnswersJSONOnly(t *testing.T) {
	s := serve(t, httpapi.Options{NoRows: true})
	got := ask(t, s, "POST", "/read", envelope(pumpAll), "Accept", wire.MediaType+", application/json;q=0.5")
	if got.status != 200 || got.header.Get("Content-Type") != "application/json" || !strings.HasPrefix(got.body, `{"propertyValues":[`) {
		t.Errorf("%d %s %s", got.status, got.header.Get("Content-Type"), got.body)
	}
}

// TestByteBudget: no answer is larger than MaxAnswer; an answer that is cut says so, and
// the rest can be requested.
func TestByteBudget(t *testing.T) {
	const rows, most = 3000, 20_000
	s := serve(t, httpapi.Options{Source: series{n: rows}, MaxAnswer: most})

	got, pages := 0, 0
	for from, more := "2026-01-01T00:00:00Z", true; more; pages++ {
		resp := open(t, s, envelope(strings.Replace(seriesAll, "2026-01-01T00:00:00Z", from, 1)))
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > most {
			t.Errorf("a stream of %d bytes", len(b))
		}
		var page []string
		if page, more, err = decode(t, strings.NewReader(string(b)), envelope(seriesAll)); err != nil {
			t.Fatal(err)
		}
		for _, row := range page {
			if want := fmt.Sprintf("[%d.5]", got); !strings.HasSuffix(row, want) {
				t.Fatalf("row %d is %s", got, row)
			}
			got++
		}
		last, _, _ := strings.Cut(page[len(page)-1], " ")
		from = string(hotreader.AppendTime(nil, at(t, last).Add(1)))
	}
	if got != rows || pages < 2 {
		t.Errorf("%d rows on %d pages", got, pages)
	}

	path := "/v1/devices/d/history?property=a"
	for got, pages = 0, 0; ; pages++ {
		a := ask(t, s, "GET", path, "", "Accept", "text/csv")
		if a.status != 200 || len(a.body) > most {
			t.Fatalf("%d, %d bytes", a.status, len(a.body))
		}
		for _, line := range strings.Split(strings.TrimSpace(a.body), "\n")[1:] {
			if want := fmt.Sprintf(",%d.5", got); !strings.HasSuffix(line, want) {
				t.Fatalf("row %d is %s", got, line)
			}
			got++
		}
		link := a.header.Get("Link")
		if link == "" {
			break
		}
		path = next(t, path, link)
	}
	if got != rows || pages < 2 {
		t.Errorf("%d rows on %d pages", got, pages)
	}

	small := serve(t, httpapi.Options{Source: series{n: rows}, MaxAnswer: 100})
	problem(t, ask(t, small, "GET", path, "", "Accept", "text/csv"), 413, hotreader.CodeTooLarge)
	problem(t, ask(t, small, "POST", "/read", envelope(seriesAll), "Accept", wire.MediaType), 413, hotreader.CodeTooLarge)
	// The first latest value fits, the second does not: there is no
	// page to come, so half of it would be a short answer.
	half := memstore.New()
	for i, name := range []string{"a", "b"} {
		if err := half.Write(t.Context(), "pump", []hotreader.Record{{Time: time.Unix(int64(100-i), 0),
			Fields: []hotreader.Field{{Name: name, Value: hotreader.StringValue(bytes.Repeat([]byte("x"), 1000*(i+1)))}}}}); err != nil {
			t.Fatal(err)
		}
	}
	tight := serve(t, httpapi.Options{Source: half, MaxAnswer: 2500})
	problem(t, ask(t, tight, "POST", "/read", lastEntry(`{"iot_device_id":"pump","selected_properties":["a","b"]}`), "Accept", wire.MediaType), 413, hotreader.CodeTooLarge)
}

// TestLongStreamTakesLittleMemory: rows are sent as they come.
func TestLongStreamTakesLittleMemory(t *testing.T) {
	const rows = 300_000
	var least, most uint64
	runtime.GC()
	runtime.GC() // by then the pools have given back what earlier tests left in them
	s := serve(t, httpapi.Options{Source: series{n: rows, during: func(_ context.Context, i int) {
		if i%30_000 == 10_000 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			if least == 0 {
				least = m.HeapAlloc
			}
			least, most = min(least, m.HeapAlloc), max(most, m.HeapAlloc)
		}
	}}})
	resp := open(t, s, envelope(seriesAll))
	e, err := wire.ParseEnvelope([]byte(envelope(seriesAll)))
	if err != nil {
		t.Fatal(err)
	}
	q, err := e.Query()
	if err != nil {
		t.Fatal(err)
	}
	d := wire.NewDecoder(resp.Body, q)
	defer d.Close()
	n := 0
	for ; ; n++ {
		row, err := d.Read()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if n == rows-1 && row.Values[0].String() != "299999.5" {
			t.Errorf("the last row is %v", row)
		}
	}
	if n != rows || d.More() {
		t.Errorf("%d rows, more %v", n, d.More())
	}
	if grown := most - least; most == 0 || grown > 4<<20 {
		t.Errorf("the heap grew by %d bytes while %d rows went through", grown, rows)
	}
}

var errDisk = errors.New("disk sda1 on host db-7 is broken")

func TestStoreFails(t *testing.T) {
	failing := func(after int) httpapi.Options {
		return httpapi.Options{Source: series{n: 100_000, fail: after, err: &hotreader.Error{Op: "store", Code: hotreader.CodeStore, Err: errDisk}}}
	}
	for _, after := range []int{0, 10} {
		s := serve(t, failing(after))
		for _, got := range []answer{
			ask(t, s, "GET", history, ""),
			ask(t, s, "GET", history, "", "Accept", "text/csv"),
			ask(t, s, "POST", "/read", envelope(seriesAll)),
			ask(t, s, "POST", "/read", envelope(seriesAll), "Accept", wire.MediaType),
		} {
			if detail := problem(t, got, 502, hotreader.CodeStore); strings.Contains(detail, "sda1") {
				t.Errorf("the caller learns of the inside: %s", detail)
			}
		}
	}
	problem(t, ask(t, serve(t, failing(0)), "GET", "/v1/devices/d/latest?property=a", ""), 502, hotreader.CodeStore)

	// Rows are sent already: they stay, and the failure ends them.
	resp := open(t, serve(t, failing(50_000)), envelope(seriesAll))
	rows, _, err := decode(t, resp.Body, envelope(seriesAll))
	if resp.StatusCode != http.StatusOK || len(rows) != 50_000 || !errors.Is(err, hotreader.CodeStore) || strings.Contains(err.Error(), "sda1") {
		t.Errorf("%d, %d rows, %v", resp.StatusCode, len(rows), err)
	}
}

func TestPanic(t *testing.T) {
	panics := func(at int) (httpapi.Options, *transcript.Buffer) {
		log := &transcript.Buffer{}
		return httpapi.Options{Logger: logger(log), Source: series{n: 100_000, during: func(_ context.Context, i int) {
			if i == at {
				panic("secret detail")
			}
		}}}, log
	}
	o, log := panics(0)
	s := serve(t, o)
	for range 2 { // the server lives on
		got := ask(t, s, "GET", history, "")
		problem(t, got, 500, hotreader.CodeInternal)
		if strings.Contains(got.body, "secret detail") {
			t.Errorf("the caller learns of the inside: %s", got.body)
		}
	}
	if !strings.Contains(log.String(), "secret detail") || !strings.Contains(log.String(), "series.Scan") {
		t.Errorf("the log lacks the cause: %s", log)
	}

	o, _ = panics(50_000)
	resp := open(t, serve(t, o), envelope(seriesAll))
	if _, _, err := decode(t, resp.Body, envelope(seriesAll)); !errors.Is(err, hotreader.CodeUnavailable) {
		t.Errorf("a stream that was cut looks whole: %v", err)
	}
}

// blocks waits at row i until the query's time is up.
func blocks(at int) func(context.Context, int) {
	return func(ctx context.Context, i int) {
		if i == at {
			<-ctx.Done()
		}
	}
}

// handle asks the API without a server, so that its time may be synctest's.
func handle(t testing.TB, ctx context.Context, o httpapi.Options, method, path, body string, headers ...string) answer { //nolint:revive // t comes first in tests
	t.Helper()
	o.Token = static(t, current)
	h, err := httpapi.New(o)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(ctx, method, path, strings.NewReader(body))
	r.Header.Set(identity.TokenHeader, current)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return answer{w.Code, w.Header(), w.Body.String()}
}

func TestTimeBudget(t *testing.T) {
	up := &hotreader.Error{Op: "store", Code: hotreader.CodeDeadline, Err: context.DeadlineExceeded}
	const seriesHistory = "/v1/devices/d/history?property=a"
	for name, reader := range map[string]series{
		"not one row came":               {n: 10, err: up, during: blocks(0)},
		"a store has no word for it":     {n: 10, during: blocks(0), err: &hotreader.Error{Op: "store", Code: hotreader.CodeUnavailable, Err: io.ErrUnexpectedEOF}},
		"a store passes on the cause":    {n: 10, during: blocks(0), err: &hotreader.Error{Op: "store", Code: hotreader.CodeStore, Err: context.DeadlineExceeded}},
		"a store takes it for a hang-up": {n: 10, during: blocks(0), err: &hotreader.Error{Op: "store", Code: hotreader.CodeCanceled, Err: context.Canceled}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := httpapi.Options{Source: reader}
				began := time.Now()
				problem(t, handle(t, t.Context(), o, "GET", seriesHistory, ""), 504, hotreader.CodeDeadline)
				if took := time.Since(began); took > 29*time.Second {
					t.Errorf("API Gateway gave up before this answer: %v", took)
				}
				problem(t, handle(t, t.Context(), o, "GET", "/v1/devices/d/latest?property=a", ""), 504, hotreader.CodeDeadline)
				problem(t, handle(t, t.Context(), o, "POST", "/read", envelope(seriesAll)), 504, hotreader.CodeDeadline)
				problem(t, handle(t, t.Context(), o, "POST", "/read", envelope(seriesAll), "Accept", wire.MediaType), 504, hotreader.CodeDeadline)
			})
		})
	}
	// What came is the page, and says that there is more.
	for name, reader := range map[string]series{
		"a store fails":                     {n: 100_000, fail: 1000, err: up, during: blocks(1000)},
		"a store does not look at the time": {n: 100_000, during: blocks(1000)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := httpapi.Options{Source: reader}
				got := handle(t, t.Context(), o, "POST", "/read", envelope(seriesAll), "Accept", wire.MediaType)
				rows, more, err := decode(t, strings.NewReader(got.body), envelope(seriesAll))
				if err != nil || !more || len(rows) < 1000 || len(rows) > 1000+256 {
					t.Errorf("%d rows, more %v, %v", len(rows), more, err)
				}
				got = handle(t, t.Context(), o, "GET", seriesHistory, "")
				n := strings.Count(got.body, `"time"`)
				if got.status != 200 || n < 1000 || n > 1000+256 || !strings.Contains(got.body, `"next_token":"`) {
					t.Errorf("%d, %d rows, %.80s…", got.status, n, got.body)
				}
				got = handle(t, t.Context(), o, "POST", "/read", envelope(seriesAll))
				if got.status != 200 || !strings.Contains(got.body, `"nextToken":"`) {
					t.Errorf("%d, %.80s…", got.status, got.body)
				}
			})
		})
	}
}

// TestPitfall24AnswerBeforeTheHostsDeadline: if the host's deadline comes before MaxTime,
// the query ends early enough to send the answer.
func TestPitfall24AnswerBeforeTheHostsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		got := handle(t, ctx, httpapi.Options{Source: series{n: 10, during: blocks(0), err: &hotreader.Error{Code: hotreader.CodeDeadline}}}, "GET", history, "")
		problem(t, got, 504, hotreader.CodeDeadline)
		if ctx.Err() != nil {
			t.Error("no time was left to send the answer")
		}
	})
}

func TestCallerGoesAway(t *testing.T) {
	begun, ended := make(chan struct{}), make(chan struct{})
	s := serve(t, httpapi.Options{Source: series{n: 10, during: func(ctx context.Context, i int) {
		if i == 5 {
			close(begun)
			<-ctx.Done()
			close(ended)
		}
	}, fail: 6, err: &hotreader.Error{Code: hotreader.CodeCanceled}}})
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+history, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(identity.TokenHeader, current)
	go func() {
		<-begun
		cancel()
	}()
	if resp, err := s.Client().Do(req); err == nil {
		resp.Body.Close()
		t.Error("an answer came")
	}
	<-ended // the Reader's context has ended
}

// TestStreamBudget: on a host that streams, the number of rows is not limited while pages
// stay bounded.
func TestStreamBudget(t *testing.T) {
	const rows, most = 20_000, 20_000
	for _, c := range []struct {
		stream int
		whole  bool
	}{{0, false}, {most, false}, {64 << 20, true}, {-1, true}} {
		s := serve(t, httpapi.Options{Source: series{n: rows}, MaxAnswer: most, MaxStream: c.stream})
		got, more := stream(t, s, envelope(seriesAll))
		if whole := len(got) == rows && !more; whole != c.whole || more == c.whole {
			t.Errorf("MaxStream %d: %d rows, more %v", c.stream, len(got), more)
		}
		if a := ask(t, s, "GET", "/v1/devices/d/history?property=a", ""); a.status != 200 || len(a.body) > most || !strings.Contains(a.body, `"next_token"`) {
			t.Errorf("MaxStream %d: a page of %d bytes", c.stream, len(a.body))
		}
	}
}

// TestReadersKnowTheTrace: a Source can pass the request's trace id on.
func TestReadersKnowTheTrace(t *testing.T) {
	const trace = "0af7651916cd43dd8448eb211c80319c"
	var seen string
	s := serve(t, httpapi.Options{Source: series{n: 1, during: func(ctx context.Context, _ int) { seen = httpapi.TraceID(ctx) }}})
	const w3c = "00-" + trace + "-b7ad6b7169203331-01"
	ask(t, s, "GET", history, "", "Traceparent", w3c)
	if seen != trace {
		t.Errorf("%q, want the header's", seen)
	}
	ask(t, s, "POST", "/read", envelope(seriesAll), "Traceparent", w3c)
	if seen != "t-1" {
		t.Errorf("%q, want the envelope's", seen)
	}
	ask(t, s, "GET", history, "")
	if len(seen) != 32 || seen == trace {
		t.Errorf("%q is no new trace", seen)
	}
	if got := httpapi.TraceID(t.Context()); got != "" {
		t.Errorf("%q outside", got)
	}
}
