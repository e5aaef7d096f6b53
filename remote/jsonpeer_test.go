package remote_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hotreader"
	"hotreader/identity"
	"hotreader/remote"
	"hotreader/wire"
)

// peer is an older API, which answers in TwinMaker's JSON. Its fields say what it
// understands.
type peer struct {
	rows      int
	page      int  // rows to a page; 0 = one page
	ordered   bool // knows order
	limits    bool // knows max_results, as the size of a page
	byColumn  bool // pages one property after the other
	split     bool // ends a page in the middle of a row
	upperCase bool // writes DoubleValue
	requests  int
	last      string // answers query_last_entry with that
}

func (p *peer) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	p.requests++
	var e struct {
		MessageType string `json:"message_type"`
		Payload     struct {
			Properties []string `json:"selected_properties"`
			Order      string
			MaxResults int    `json:"max_results"`
			NextToken  string `json:"next_token"`
		}
	}
	body, _ := io.ReadAll(req.Body)
	if err := json.Unmarshal(body, &e); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if e.MessageType == "query_last_entry" {
		_, _ = io.WriteString(w, p.last)
		return
	}
	type point struct {
		name string
		row  int
	}
	var points []point
	for i := range p.rows {
		for _, name := range e.Payload.Properties {
			points = append(points, point{name, i})
		}
	}
	if p.ordered && e.Payload.Order == "DESCENDING" {
		slices.Reverse(points)
	}
	if p.byColumn {
		slices.SortStableFunc(points, func(a, b point) int { return strings.Compare(a.name, b.name) })
	}
	from, _ := strconv.Atoi(e.Payload.NextToken)
	size := p.page * len(e.Payload.Properties)
	if p.split {
		size++
	}
	if p.limits && e.Payload.MaxResults > 0 && (size == 0 || e.Payload.MaxResults < size) {
		size = e.Payload.MaxResults
	}
	to := len(points)
	token := ""
	if size > 0 && from+size < to {
		to = from + size
		token = fmt.Sprintf(`,"nextToken":"%d"`, to)
	}
	var series []string
	for _, name := range e.Payload.Properties {
		var values []string
		for _, pt := range points[from:to] {
			if pt.name != name {
				continue
			}
			value := fmt.Sprintf(`{"doubleValue":%d.50}`, pt.row)
			if name == "odd" {
				value = fmt.Sprintf(`{"booleanValue":%v}`, pt.row%2 == 1)
			}
			if p.upperCase {
				value = strings.Replace(strings.Replace(value, "double", "Double", 1), "boolean", "Boolean", 1)
			}
			values = append(values, fmt.Sprintf(`{"time":%q,"value":%s}`, base.Add(time.Duration(pt.row)*time.Second).Format(time.RFC3339), value))
		}
		series = append(series, fmt.Sprintf(`{"entityPropertyReference":{"entityId":"e","componentName":"c","propertyName":%q},"values":[%s]}`, name, strings.Join(values, ",")))
	}
	fmt.Fprintf(w, `{"propertyValues":[%s]%s}`, strings.Join(series, ","), token)
}

// Whatever an old peer ignores, the read returns what was asked for.
func TestOldPeer(t *testing.T) {
	odd := []hotreader.Filter{{Property: "odd", Value: hotreader.BoolValue(true)}}
	for _, p := range []struct {
		name string
		peer
	}{
		{"one page", peer{}},
		{"pages", peer{page: 3}},
		{"pages that end inside a row", peer{page: 3, split: true}},
		{"pages in order", peer{page: 3, ordered: true}},
		{"pages in order with limits", peer{page: 3, ordered: true, limits: true}},
		{"limits", peer{limits: true}},
		{"one page of all at once, in its own letters", peer{upperCase: true}},
	} {
		for _, c := range []struct {
			name string
			q    hotreader.Query
			want string
		}{
			{"all", hotreader.Query{}, "0.50 1.50 2.50 3.50 4.50 5.50 6.50 7.50 8.50 9.50"},
			{"newest first", hotreader.Query{Order: hotreader.Descending}, "9.50 8.50 7.50 6.50 5.50 4.50 3.50 2.50 1.50 0.50"},
			{"limit", hotreader.Query{Limit: 4}, "0.50 1.50 2.50 3.50"},
			{"the newest two", hotreader.Query{Limit: 2, Order: hotreader.Descending}, "9.50 8.50"},
			{"range", hotreader.Query{Start: base.Add(2 * time.Second), End: base.Add(4 * time.Second)}, "2.50 3.50 4.50"},
			{"filter on what is not selected", hotreader.Query{Filters: odd, Limit: 3}, "1.50 3.50 5.50"},
			{"filter, newest first", hotreader.Query{Filters: odd, Limit: 2, Order: hotreader.Descending}, "9.50 7.50"},
			{"last of a range", hotreader.Query{Last: true, End: base.Add(5 * time.Second)}, "5.50"},
			{"last by a filter", hotreader.Query{Last: true, Filters: []hotreader.Filter{{Property: "odd", Value: hotreader.BoolValue(false)}}}, "8.50"},
			{"declared whole", hotreader.Query{Types: []hotreader.Type{hotreader.Integer}}, ""},
		} {
			t.Run(p.name+"/"+c.name, func(t *testing.T) {
				old := p.peer
				old.rows = 10
				q := c.q
				q.Device, q.Properties = "d", []string{"t"}
				got, err := read(t.Context(), t, reader(t, &old), q)
				if err != nil || strings.Join(got, " ") != c.want {
					t.Errorf("got %v, %v; want %s", got, err, c.want)
				}
			})
		}
	}
}

func TestOldPeerPagesByColumn(t *testing.T) {
	q := hotreader.Query{Device: "d", Properties: []string{"t", "odd"}, Order: hotreader.Descending}
	n := 0
	for row, err := range hotreader.NewReader(reader(t, &peer{rows: 10, page: 5, byColumn: true})).Read(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		if want := fmt.Sprintf("%d.50 %v", 10-n, (10-n)%2 == 1); row.Values[0].String()+" "+row.Values[1].String() != want {
			t.Errorf("row %d: %v, want %s", n, row.Values, want)
		}
	}
	if n != 10 {
		t.Errorf("%d rows", n)
	}
	// If the wrong order shows only after the second page, that is an error and not a wrong
	// series.
	q.Order = hotreader.Ascending
	_, err := read(t.Context(), t, reader(t, &peer{rows: 10, page: 2, byColumn: true}), q)
	wantError(t, err, hotreader.CodeProtocol, "goes back")
}

func TestOldPeerLastEntry(t *testing.T) {
	q := hotreader.Query{Device: "d", Properties: []string{"t", "odd", "no"}, Last: true}
	old := &peer{last: `{"propertyValues":{"t":{"propertyReference":{"propertyName":"t"},"propertyValue":{"doubleValue":1.50}},
		"odd":{"propertyReference":{"propertyName":"odd"},"propertyValue":{"booleanValue":true}},"more":{"propertyValue":{"doubleValue":2}}}}`}
	n := 0
	for row, err := range hotreader.NewReader(reader(t, old)).Read(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		if fmt.Sprint(row.Values) != "[1.50 true null]" || !row.Time.IsZero() {
			t.Errorf("row %v", row)
		}
	}
	if n != 1 || old.requests != 1 {
		t.Errorf("%d rows, %d requests", n, old.requests)
	}
}

func TestPitfall05TheAnswerSaysItsDialect(t *testing.T) {
	// The reader does not guess from the URL: it accepts rows and JSON, even in the
	// middle of a read, and keys in another case.
	s := filled(t, 10)
	rowsOnly, jsonOnly := rows(t, s, 4), &peer{rows: 10, upperCase: true}
	n := 0
	r := reader(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if n++; n == 1 {
			rowsOnly(w, req)
			return
		}
		jsonOnly.ServeHTTP(w, req)
	}))
	got, err := read(t.Context(), t, r, query)
	if err != nil || len(got) != 10 || got[9] != "9.50" {
		t.Errorf("%v, %v", got, err)
	}
	for _, body := range []string{`{"items":[{"time":"2026-03-01T00:00:00Z","t":1}]}`, `{"propertyValues":{}}`, `[{"t":1}]`} {
		_, err := read(t.Context(), t, reader(t, answer(body)), query)
		wantError(t, err, hotreader.CodeProtocol)
	}
}

// What nobody asked for is no empty answer, and what the peer leaves out is told.
func TestOldPeersOtherAnswers(t *testing.T) {
	series := func(name, values string) string {
		return `{"propertyValues":[{"entityPropertyReference":{"propertyName":"` + name + `"},"values":[` + values + `]}]`
	}
	const value = `{"time":"2026-03-01T00:00:00Z","value":{"doubleValue":1}}`
	q := query
	q.Start, q.End = base.Add(time.Hour), base.Add(2*time.Hour)
	_, err := read(t.Context(), t, reader(t, answer(series("t", value)+"}")), q)
	wantError(t, err, hotreader.CodeProtocol, "all rows that came (1) are outside of the range")
	_, err = read(t.Context(), t, reader(t, answer(series("x", value)+"}")), query)
	wantError(t, err, hotreader.CodeProtocol, "not requested", "x")
	last := query
	last.Last = true
	_, err = read(t.Context(), t, reader(t, answer(`{"propertyValues":{"x":{"propertyValue":{"doubleValue":1}}}}`)), last)
	wantError(t, err, hotreader.CodeProtocol, "not requested")

	for q, body := range map[*hotreader.Query]string{
		&query: series("t", value+`,{"time":"2026-03-01T00:00:01Z","value":{"doubleValue":"NaN"}}`),
		&last:  `{"propertyValues":{"t":{"propertyValue":{"doubleValue":"NaN"}}}`,
	} {
		var stats hotreader.Stats
		body += `,"warnings":[{"code":"look_back","property":"t","message":"t: no value within the newest records; of 7"}]}`
		_, err := read(hotreader.WithStats(t.Context(), &stats), t, reader(t, answer(body)), *q)
		const want = "[t: no value within the newest records; of 7 t: 1 value unreadable]"
		if err != nil || fmt.Sprint(stats.Warnings()) != want {
			t.Errorf("%v, %v", stats.Warnings(), err)
		}
	}
}

func answer(body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, body)
	})
}

func TestPitfall11TokensThatLeadNowhere(t *testing.T) {
	page := func(n int, token string) string {
		values := ""
		if n >= 0 {
			values = fmt.Sprintf(`{"time":%q,"value":{"doubleValue":%d}}`, base.Add(time.Duration(n)*time.Second).Format(time.RFC3339), n)
		}
		return fmt.Sprintf(`{"propertyValues":[{"entityPropertyReference":{"propertyName":"t"},"values":[%s]}],"nextToken":%s}`, values, token)
	}
	for _, c := range []struct {
		name  string
		words string
		body  func(n int) string
	}{
		{"empty", "empty nextToken", func(n int) string { return page(n, `""`) }},
		{"the same again", "same nextToken", func(n int) string { return page(n, `"x"`) }},
		{"in a circle", "same nextToken", func(n int) string { return page(n, strconv.Quote(strconv.Itoa(n%3))) }},
		{"an empty page", "empty page", func(n int) string { return page(-1, strconv.Quote(strconv.Itoa(n))) }},
		{"the same page", "goes back", func(n int) string { return page(n&1, strconv.Quote(strconv.Itoa(n))) }},
		{"endless", "a nextToken of 17881 characters", func(n int) string {
			return page(n, strconv.Quote(strings.Repeat("x", wire.MaxNextToken)+strconv.Itoa(n)))
		}},
		{"nothing new", "nothing new", func(n int) string { return page((n+1)&1, strconv.Quote(strconv.Itoa(n))) }},
		{"no text", "nextToken is", func(n int) string { return page(n, `7`) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := -1
			r := reader(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if n++; n > 20 {
					t.Error("it goes on and on")
					http.Error(w, "", http.StatusTeapot)
					return
				}
				answer(c.body(n)).ServeHTTP(w, req)
			}))
			_, err := read(t.Context(), t, r, query)
			wantError(t, err, hotreader.CodeProtocol, c.words)
		})
	}
}

// However many pages come, no more than a few of their tokens are kept.
func TestTokensOfManyPages(t *testing.T) {
	const pages = 1000
	n := 0
	next := strings.Repeat("x", wire.MaxNextToken-10)
	r := reader(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		n++
		token := fmt.Sprintf(`,"nextToken":"%s%010d"`, next, n)
		if n == pages {
			token = ""
		}
		answer(fmt.Sprintf(`{"propertyValues":[{"entityPropertyReference":{"propertyName":"t"},"values":[{"timestamp":%d,"value":{"longValue":1}}]}]%s}`, n, token)).ServeHTTP(w, req)
	}))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	rows := 0
	for _, err := range r.Scan(t.Context(), query) {
		if err != nil {
			t.Fatal(err)
		}
		if rows++; rows == pages-1 {
			runtime.GC()
			runtime.ReadMemStats(&after)
		}
	}
	if kept := int64(after.HeapAlloc) - int64(before.HeapAlloc); rows != pages || kept > 6<<20 {
		t.Errorf("%d rows; %d bytes are kept for %d pages", rows, kept, pages)
	}
}

// A peer may echo the token in its warnings, too.
func TestWarningsHideTheToken(t *testing.T) {
	echo := hotreader.Warning{Reason: hotreader.Replaced, Count: 1, Detail: "you sent " + token}
	text, err := json.Marshal(echo)
	if err != nil {
		t.Fatal(err)
	}
	last := query
	last.Last = true
	for name, c := range map[string]struct {
		q hotreader.Query
		h http.Handler
	}{
		"rows": {query, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Content-Type", wire.MediaType)
			enc := wire.NewEncoder(w, query)
			defer enc.Close()
			enc.Warn([]hotreader.Warning{echo})
			_ = enc.End(false)
		})},
		"JSON":         {query, answer(`{"propertyValues":[],"warnings":[` + string(text) + `]}`)},
		"latest value": {last, answer(`{"propertyValues":{},"warnings":[` + string(text) + `]}`)},
	} {
		var stats hotreader.Stats
		_, err := read(hotreader.WithStats(t.Context(), &stats), t, reader(t, c.h), c.q)
		if got := fmt.Sprint(stats.Warnings()); err != nil || !strings.Contains(got, "you sent [token]") {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
}

// All reads from a peer hold a bounded share of the memory. One alone may always go on.
func TestReadsShareTheMemory(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(512 << 20))
	q := hotreader.Query{Device: "d"}
	for i := range 100 {
		q.Properties = append(q.Properties, fmt.Sprint("p", i))
	}
	var points []string
	for i := range 13_000 { // a row each, of 100 values
		points = append(points, fmt.Sprintf(`{"timestamp":%d,"value":{"longValue":1}}`, i))
	}
	page := `{"propertyValues":[{"entityPropertyReference":{"propertyName":"p1"},"values":[%s]}]%s}`
	first := fmt.Sprintf(page, strings.Join(points, ","), `,"nextToken":"x"`)
	second := fmt.Sprintf(page, `{"timestamp":13001,"value":{"longValue":1}}`, "")
	r := reader(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body) // one that broke off asks for nothing
		if strings.Contains(string(body), `"next_token":"x"`) {
			answer(second).ServeHTTP(w, req)
			return
		}
		answer(first).ServeHTTP(w, req)
	}))
	var stops []func()
	begin := func() error {
		next, stop := iter.Pull2(r.Scan(t.Context(), q))
		stops = append(stops, stop)
		_, err, _ := next()
		return err
	}
	for range 2 {
		for i, want := range []hotreader.Code{"", "", hotreader.CodeOverloaded} {
			if err := begin(); hotreader.CodeOf(err) != want {
				t.Errorf("read %d: %v, want %q", i, err, want)
			}
		}
		for _, stop := range stops {
			stop()
		}
	}
}

func TestPitfall25AnswerWithoutEnd(t *testing.T) {
	r := reader(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		chunk := strings.Repeat(" ", 1<<20)
		for {
			if _, err := io.WriteString(w, chunk); err != nil {
				return
			}
		}
	}))
	_, err := read(t.Context(), t, r, query)
	wantError(t, err, hotreader.CodeTooLarge, "9437184 bytes")
}

var _ hotreader.Source = (*remote.Source)(nil)

func TestOldPeerLeaving(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var err error
	n := 0
	for _, rerr := range hotreader.NewReader(reader(t, &peer{rows: 100})).Read(ctx, query) {
		if n++; n == 10 {
			cancel()
		}
		err = rerr
	}
	if n != 11 {
		t.Errorf("%d rows and errors came", n)
	}
	wantError(t, err, hotreader.CodeCanceled)
	old := &peer{rows: 100, page: 10}
	for _, err := range hotreader.NewReader(reader(t, old)).Read(t.Context(), query) {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	if old.requests != 2 { // a page, and the one that shows its order
		t.Errorf("%d pages were read for one row", old.requests)
	}
}

const token = "0123456789abcdef0123456789abcdef"

// rows serves a reader's rows as the other cloud does, without its checks. cut > 0 is a
// budget of rows for each answer. With cut < 0 the budget changes: 1, 2, 4, … 1024 rows,
// and again.
func rows(t testing.TB, r hotreader.Source, cut int) http.HandlerFunc {
	var served atomic.Int32
	return func(w http.ResponseWriter, req *http.Request) {
		cut := cut
		if cut < 0 {
			cut = 1 << (served.Add(1) % 11)
		}
		if req.Method != http.MethodPost || req.URL.Path != "/api/read" || req.Header.Get(identity.TokenHeader) != token {
			t.Errorf("%s %s came, token %v", req.Method, req.URL, req.Header.Get(identity.TokenHeader) == token)
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return // the caller went away
		}
		e, err := wire.ParseEnvelope(body)
		if err != nil {
			wire.NewProblem(err, "").Write(w)
			return
		}
		q, err := e.Query()
		if err != nil {
			wire.NewProblem(err, "").Write(w)
			return
		}
		if !q.Last {
			q.Types = slices.Repeat([]hotreader.Type{hotreader.AsStored}, len(q.Properties))
		}
		w.Header().Set("Content-Type", wire.MediaType)
		enc := wire.NewEncoder(w, q)
		defer enc.Close()
		n := 0
		for row, err := range hotreader.Meaning(r).Scan(req.Context(), q) {
			if err == nil && cut > 0 && n == cut && !q.Last { // a last entry is small and not cut
				_ = enc.End(true)
				return
			}
			if err == nil {
				err = enc.Row(row)
			}
			if err != nil {
				_ = enc.Fail(err)
				return
			}
			n++
		}
		_ = enc.End(false)
	}
}

// reader starts a server with a handler and returns a Source that reads from it.
func reader(t testing.TB, h http.Handler, change ...func(*remote.Options)) *remote.Source {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	tok, err := identity.Static(token)
	if err != nil {
		t.Fatal(err)
	}
	client := remote.NewClient()
	t.Cleanup(client.CloseIdleConnections)
	o := remote.Options{URL: server.URL + "/api", Credential: tok, Client: client, SourceCloud: "aws"}
	for _, c := range change {
		c(&o)
	}
	r, err := remote.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
