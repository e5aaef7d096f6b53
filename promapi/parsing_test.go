package promapi

import (
	"context"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/catalog"
)

type empty struct{}

func (empty) Read(context.Context, hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(func(hotreader.Row, error) bool) {}
}

// Few expressions are parsed at once, wherever they come from.
func TestParsingTakesTurns(t *testing.T) {
	devices, err := catalog.Of(nil)
	if err != nil {
		t.Fatal(err)
	}
	api, err := New(Options{Reader: empty{}, Catalog: devices})
	if err != nil {
		t.Fatal(err)
	}
	late, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	for full := range cap(api.parsing) + 1 {
		for _, path := range []string{"query?query=v", "query_range?query=v&start=0&end=1&step=1", "series?match[]=v", "labels?match[]=v", "label/device/values?match[]=v"} {
			w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, Prefix+path, http.NoBody)
			if full == cap(api.parsing) {
				r = r.WithContext(late)
			}
			api.ServeHTTP(w, r)
			if busy := w.Code == 503 && strings.Contains(w.Body.String(), "busy"); busy != (full == cap(api.parsing)) || !busy && w.Code != 200 {
				t.Errorf("%s while %d are parsed: %d %s", path, full, w.Code, w.Body)
			}
		}
		if full < cap(api.parsing) {
			api.parsing <- struct{}{}
		}
	}
}
