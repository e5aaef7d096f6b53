// Package cloud is the suite for what stores over a cloud's service share: what
// they ask for, how they follow an answer's pages, and what they make of failures.
// The service is played.
package cloud

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hotreader"
)

// An Answer is what a Fake says to one request.
type Answer struct {
	Status int // 0 = 200
	Body   string
	Header map[string]string
	Fail   error // instead of an answer
	Cut    int   // > 0: the body breaks off after so many bytes
}

// Sent is a request as it arrived.
type Sent struct {
	Method, URL, Body string
	Header            http.Header
}

// A Fake is a service in place of a client's transport: it gives the answers in turn
// and keeps the requests. Once they are used up, it fails the test.
type Fake struct {
	T        testing.TB
	Answers  []Answer
	Serve    func(Sent) Answer                  // instead of Answers
	Head     func(a Answer, header http.Header) // sets what each answer's head has
	Looks    func(Sent) (Answer, bool)          // answers requests that look at a few items after an empty scan
	Requests []Sent                             // without looks
	Looked   []Sent

	mu     sync.Mutex
	bodies []*watchedBody
}

// Do is RoundTrip.
func (f *Fake) Do(r *http.Request) (*http.Response, error) { return f.RoundTrip(r) }

// RoundTrip answers r.
func (f *Fake) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	var raw []byte
	if r.Body != nil {
		var err error
		if raw, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	s := Sent{r.Method, r.URL.String(), string(raw), r.Header.Clone()}
	var a Answer
	look := false
	if f.Looks != nil {
		a, look = f.Looks(s)
	}
	if look {
		f.Looked = append(f.Looked, s)
	} else {
		f.Requests = append(f.Requests, s)
	}
	switch {
	case look:
	case f.Serve != nil:
		a = f.Serve(s)
	case len(f.Answers) == 0:
		f.T.Errorf("request %d was not expected: %s %s", len(f.Requests), s.URL, s.Body)
		return nil, errors.New("no answer is left")
	default:
		a, f.Answers = f.Answers[0], f.Answers[1:]
	}
	if a.Fail != nil {
		return nil, a.Fail
	}
	if a.Status == 0 {
		a.Status = 200
	}
	header := http.Header{}
	f.Head(a, header)
	for k, v := range a.Header {
		header.Set(k, v)
	}
	body := &watchedBody{Reader: strings.NewReader(a.Body)}
	if a.Cut > 0 {
		body.Reader = io.MultiReader(strings.NewReader(a.Body[:a.Cut]), brokenReader{})
	}
	f.bodies = append(f.bodies, body)
	return &http.Response{StatusCode: a.Status, Header: header, Body: body, ContentLength: int64(len(a.Body)), Request: r}, nil
}

// Done checks that all answers were asked for and all bodies closed.
func (f *Fake) Done() {
	f.T.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.Answers) > 0 {
		f.T.Errorf("%d answers were never asked for", len(f.Answers))
	}
	for i, b := range f.bodies {
		if !b.closed {
			f.T.Errorf("the body of answer %d was not closed", i+1)
		}
	}
}

type watchedBody struct {
	io.Reader
	closed bool
}

func (b *watchedBody) Close() error {
	b.closed = true
	return nil
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// Silent checks a store over a transport by which heads of answers come, and nothing after them.
func Silent(t *testing.T, kind string, over func(http.RoundTripper) hotreader.Source) {
	synctest.Test(t, func(t *testing.T) {
		s, began := over(silent(kind)), time.Now()
		got, err := Rows(t.Context(), s, qN)
		WantError(t, fmt.Sprint("rows ", got), err, hotreader.CodeUnavailable, "the answer broke off: ", "nothing came for 30s")
		if took := time.Since(began); took > 5*time.Minute {
			t.Errorf("it took %s", took)
		}
	})
}

type silent string

func (s silent) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {string(s)}}, Body: noBytes{r.Context()}, Request: r}, nil
}

type noBytes struct{ context.Context }

func (b noBytes) Read([]byte) (int, error) {
	<-b.Done()
	return 0, b.Err()
}

func (noBytes) Close() error { return nil }

// Rows reads q and writes its rows as lines, "time value value".
func Rows(ctx context.Context, s hotreader.Source, q hotreader.Query) ([]string, error) {
	var lines []string
	for row, err := range hotreader.NewReader(s).Read(ctx, q) {
		if err != nil {
			return lines, err
		}
		line := []string{row.Time.Format("15:04:05.999999999")}
		for _, v := range row.Values {
			line = append(line, v.String())
		}
		lines = append(lines, strings.Join(line, " "))
	}
	return lines, nil
}

// WantRows reads q and compares its lines.
func WantRows(t testing.TB, s hotreader.Source, q hotreader.Query, want ...string) {
	t.Helper()
	got, err := Rows(t.Context(), s, q)
	if err != nil {
		t.Fatal(err)
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("rows:\n%s\nwant:\n%s", g, w)
	}
}

// WantError reports err if it is not ours, of that code, wrapped once, or does not
// say each of says; code "" wants none.
func WantError(t testing.TB, what string, err error, code hotreader.Code, says ...string) {
	t.Helper()
	e, ok := errors.AsType[*hotreader.Error](err)
	if hotreader.CodeOf(err) != code || ok != (code != "") {
		t.Errorf("%s: error %v (%s), want %q", what, err, hotreader.CodeOf(err), code)
		return
	}
	for _, say := range says {
		if !strings.Contains(fmt.Sprint(err), say) {
			t.Errorf("%s: error %q does not say %q", what, err, say)
		}
	}
	if ok {
		if _, twice := errors.AsType[*hotreader.Error](e.Err); twice {
			t.Errorf("%s: wrapped twice: %v", what, err)
		}
	}
}

// Golden compares got with the file at path, which update writes anew.
func Golden(t testing.TB, update bool, path, got string) {
	t.Helper()
	if update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s (-update writes it anew):\n got %s\nwant %s", path, got, want)
	}
}

// Number and Text are fields of a record.
func Number(name, digits string) hotreader.Field {
	return hotreader.Field{Name: name, Value: hotreader.NumberValue([]byte(digits))}
}

// Text is a field with a text.
func Text(name, s string) hotreader.Field {
	return hotreader.Field{Name: name, Value: hotreader.StringValue([]byte(s))}
}

// Record is a record of a time.
func Record(at time.Time, fields ...hotreader.Field) hotreader.Record {
	return hotreader.Record{Time: at, Fields: fields}
}

// Requests are the queries whose requests each store has golden files of, by name.
func Requests() map[string]hotreader.Query {
	at := time.Date(2024, 2, 3, 4, 5, 6, 700_000_000, time.UTC)
	a := []string{"a"}
	return map[string]hotreader.Query{
		"whole": {Device: "d", Properties: []string{"temperature"}},
		"range": {Device: "d", Properties: []string{"a", "b"}, Start: at, End: at.Add(time.Hour)},
		"from":  {Device: "d", Properties: a, Start: at, Order: hotreader.Descending},
		"until": {Device: "d", Properties: a, End: at},
		"limit": {Device: "d", Properties: a, Limit: 1000},
		"newest since 1899": {Device: "d", Properties: a, Limit: 1, Order: hotreader.Descending,
			Start: time.Date(1899, 12, 31, 0, 0, 0, 0, time.UTC), End: at},
		"last": {Device: "d", Properties: []string{"a", "b"}, End: at, Last: true},
		"filters": {Device: "d", Properties: a, Filters: []hotreader.Filter{
			{Property: "b", Op: hotreader.Greater, Value: hotreader.Int64Value(1)}, {Property: "a", Op: hotreader.Less, Value: hotreader.Int64Value(1)}}},
		"epoch_ms": {Device: "d", Properties: a, Start: at, End: at.Add(time.Microsecond)},
		"epoch_s":  {Device: "d", Properties: a, Start: at, End: at.Add(time.Second)},
	}
}

// WantAllocations reads all rows of s, once with few rows in all and once with
// many, and compares how much more was allocated for each row.
func WantAllocations(t testing.TB, properties []string, few, many int, s func(rows int) hotreader.Source, most float64) {
	t.Helper()
	measure := func(rows int) float64 {
		s := s(rows)
		read := func() {
			count := 0
			for _, err := range hotreader.NewReader(s).Read(t.Context(), hotreader.Query{Device: "d", Properties: properties}) {
				if err != nil {
					t.Fatal(err)
				}
				count++
			}
			if count < rows*9/10 {
				t.Fatalf("%d rows of %d", count, rows)
			}
		}
		least := testing.AllocsPerRun(1, read) // what else goes on in the process is counted, too
		for range 5 {
			least = min(least, testing.AllocsPerRun(1, read))
		}
		return least
	}
	a, b := measure(few), measure(many)
	if each := (b - a) / float64(many-few); each > most {
		t.Errorf("%.3f allocations a row: %v for %d rows, %v for %d", each, a, few, b, many)
	}
}

// RealPages writes records, whose property n counts from 0, and reads them in both
// orders and their latest values from a real service. It returns what that cost: each
// whole read, and the latest values.
func RealPages(t *testing.T, s hotreader.Store, records []hotreader.Record) (whole []*hotreader.Stats, last *hotreader.Stats) {
	if err := s.Write(t.Context(), "d", records); err != nil {
		t.Fatal(err)
	}
	q := hotreader.Query{Device: "d", Properties: []string{"n"}}
	for range 2 {
		stats, i := new(hotreader.Stats), 0
		for row, err := range hotreader.NewReader(s).Read(hotreader.WithStats(t.Context(), stats), q) {
			if err != nil {
				t.Fatal(err)
			}
			want := i
			if q.Order == hotreader.Descending {
				want = len(records) - 1 - i
			}
			if got := row.Values[0].String(); got != strconv.Itoa(want) || !row.Time.Equal(records[want].Time) {
				t.Fatalf("row %d is %s at %v", i, got, row.Time)
			}
			i++
		}
		if i != len(records) {
			t.Errorf("%v: %d rows, want %d", q.Order, i, len(records))
		}
		whole = append(whole, stats)
		q.Order = hotreader.Descending
	}
	last, q.Last = new(hotreader.Stats), true
	if _, err := Rows(hotreader.WithStats(t.Context(), last), s, q); err != nil {
		t.Fatal(err)
	}
	return whole, last
}

// PageAllocations returns how many allocations it takes to open a page and read the items
// that item returns one by one.
func PageAllocations(t testing.TB, open func() error, item func() (more bool, err error)) float64 {
	return testing.AllocsPerRun(10, func() {
		err := open()
		for more := true; more && err == nil; {
			more, err = item()
		}
		if err != nil {
			t.Fatal(err)
		}
	})
}
