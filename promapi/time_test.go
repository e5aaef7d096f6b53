package promapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/promapi"
)

// timed asks for a range query with a time limit of its own.
func (f *fixture) timed(expression, timeout, step string) (w *httptest.ResponseRecorder, err error) {
	w = httptest.NewRecorder()
	form := url.Values{"query": {expression}, "timeout": {timeout}, "start": {"1772452800"}, "end": {"1772496000"}, "step": {step}}
	return w, f.api.Serve(w, httptest.NewRequest(http.MethodGet, promapi.Prefix+"query_range?"+form.Encode(), nil))
}

// TestTimeHolds: however long an expression takes, the answer comes in time, and the log
// names the deadline.
func TestTimeHolds(t *testing.T) {
	f := start(t, nil)
	var rows []hotreader.Record
	for i := range 43_200 {
		rows = append(rows, hotreader.Record{Time: noon.Add(time.Duration(i) * time.Second), Fields: []hotreader.Field{{Name: "v", Value: hotreader.Int64Value(int64(i * 7919 % 43_200))}}})
	}
	if err := f.store.Write(t.Context(), "d", rows); err != nil {
		t.Fatal(err)
	}
	for _, expression := range []string{
		"quantile_over_time(0.95, v[12h])", "quantile_over_time(0.95, (v + 1)[12h:1s])",
		"max_over_time(quantile_over_time(0.95, v[6h])[6h:1s])", "quantile_over_time(0.95, vector(1)[12h:1s])",
	} {
		began := time.Now()
		w, err := f.timed(expression, "300ms", "4")
		if took := time.Since(began); took > time.Minute { // a busy machine may take its share
			t.Errorf("%s: took %s", expression, took)
		}
		if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), `"errorType":"timeout"`) || hotreader.CodeOf(err) != hotreader.CodeDeadline {
			t.Errorf("%s: %d %.200s, %v", expression, w.Code, w.Body, err)
		}
	}
}

// gone is a caller that does not take its answer.
type gone struct{ *httptest.ResponseRecorder }

func (gone) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// Whatever is being done when the time is up, or when the caller goes, answer and log say
// which of the two it was.
func TestEndsAreNamed(t *testing.T) {
	f := start(t, nil)
	late, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	left, leave := context.WithCancel(t.Context())
	leave()
	for _, path := range []string{"query?query=1", "query_range?query=1&start=0&end=1&step=1", "series?match[]=v", "labels"} {
		r := httptest.NewRequest(http.MethodGet, promapi.Prefix+path, http.NoBody)
		for ctx, want := range map[context.Context]string{late: "503 timeout deadline", left: "499 canceled canceled"} {
			var body struct{ ErrorType string }
			w := httptest.NewRecorder()
			err := f.api.Serve(w, r.WithContext(ctx))
			_ = json.Unmarshal(w.Body.Bytes(), &body)
			if got := fmt.Sprint(w.Code, " ", body.ErrorType, " ", hotreader.CodeOf(err)); got != want {
				t.Errorf("%s: %s, %v; want %s", path, got, err, want)
			}
		}
		if err := f.api.Serve(gone{httptest.NewRecorder()}, r); hotreader.CodeOf(err) != hotreader.CodeCanceled {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// stuck is a Reader that never ends by itself.
type stuck struct{ began chan struct{} }

func (s stuck) Read(ctx context.Context, _ hotreader.Query) iter.Seq2[hotreader.Row, error] {
	s.began <- struct{}{}
	<-ctx.Done()
	return hotreader.Fail(ctx.Err())
}

// TestBusy: a query that was never evaluated is not told to ask for less.
func TestBusy(t *testing.T) {
	began := make(chan struct{}, 1)
	f := start(t, func(o *promapi.Options) { o.Queries, o.Reader = 1, stuck{began} })
	f.put("d", "v", number("1"))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = f.timed("v", "1s", "60")
	}()
	<-began
	w, err := f.timed("v", "50ms", "60")
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "busy") || w.Header().Get("Retry-After") != "5" || hotreader.CodeOf(err) != hotreader.CodeOverloaded {
		t.Errorf("%d %s %s, %v", w.Code, w.Header(), w.Body, err)
	}
	<-ended
}
