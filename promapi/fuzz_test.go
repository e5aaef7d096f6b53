package promapi_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/promapi"
	"hotreader/store/memstore"
)

// FuzzRequest: no request makes the API fail, shows a device that the caller may not
// read, or takes longer than it may.
func FuzzRequest(f *testing.F) {
	const times = "&start=1772452800&end=1772452860&step=15&time=1772452800"
	for _, form := range []string{
		`query=v` + times, `query=rate(v[5m])` + times, `query=sum by (device) ({__name__=~".+"})` + times, `query=max_over_time(sum(v)[30m:1m] @ end() offset -5m)` + times,
		`query=label_replace(v,"a","$1","device","(.*)")` + times + `&limit=1`, `query=v&timeout=1ms&lookback_delta=1h` + times, `match[]={device="d"}&match[]=v`, `query="x"` + times, `query=1e308*v` + times,
		`query=count_values("v", v)` + times, `query=histogram_quantile(0.9, v)` + times, `query=info(v)` + times, `query=v @ 1e18` + times,
	} {
		for _, path := range []string{"query", "query_range", "series", "labels", "label/device/values", "metadata", "status/buildinfo"} {
			f.Add(path, form)
		}
	}
	store := memstore.New()
	var rows []hotreader.Record
	for i := range 60 {
		rows = append(rows, hotreader.Record{Time: noon.Add(time.Duration(i) * time.Second), Fields: []hotreader.Field{{Name: "v", Value: hotreader.Int64Value(int64(i))}, {Name: "Water Temp", Value: text("x")}}})
	}
	for _, device := range []string{"d", "hidden"} {
		if err := store.Write(f.Context(), device, rows); err != nil {
			f.Fatal(err)
		}
	}
	api, err := promapi.New(promapi.Options{Reader: hotreader.NewReader(store), Lister: store, May: notHidden, Samples: 100_000, MaxTime: 2 * time.Second})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path, form string) {
		u, err := url.ParseRequestURI(promapi.Prefix + path)
		if err != nil {
			return // net/http answers these
		}
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(form))
		r.URL = u
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w, began := httptest.NewRecorder(), time.Now()
		api.ServeHTTP(w, r)
		if took := time.Since(began); took > time.Minute { // a busy machine may take its share
			t.Errorf("it took %s", took)
		}
		if w.Code == http.StatusInternalServerError || !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if strings.Contains(w.Body.String(), "hidden") && !strings.Contains(path+form, "hidden") && !strings.Contains(form, "%") {
			t.Fatalf("another's device: %s", w.Body)
		}
	})
}

func notHidden(_ context.Context, device string) bool { return device != "hidden" }
