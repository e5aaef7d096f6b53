package mounts_test

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hotreader"
	"hotreader/config"
	"hotreader/function"
	"hotreader/function/mounts"
	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/store/memstore"
	"hotreader/test/serving"
)

// noon is the beginning of a day of rows.
var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// day is a store with a value each second of a day, of two decimals: a machine that warms
// up and cools down, measured with noise.
func day(t *testing.T) *memstore.Store {
	t.Helper()
	store, random := memstore.New(), rand.New(rand.NewPCG(1, 2))
	var all []hotreader.Record
	for i := range 24 * 60 * 60 {
		value := 7000 + 1500*math.Sin(float64(i)/9000) + 10*random.NormFloat64()
		all = append(all, hotreader.Record{Time: noon.Add(time.Duration(i) * time.Second),
			Fields: []hotreader.Field{{Name: "temperature", Value: hotreader.NumberValue(strconv.AppendFloat(nil, math.Round(value)/100, 'f', -1, 64))}}})
	}
	if err := store.Write(t.Context(), "d", all); err != nil {
		t.Fatal(err)
	}
	return store
}

// counter counts what is written to a client.
type counter struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c counter) Write(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return c.ResponseWriter.Write(b)
}

func (c counter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// serve serves the API of f with all parts. sent counts its answers' bytes.
func serve(t *testing.T, f *config.Function, store hotreader.Source) (url string, sent *atomic.Int64) {
	t.Helper()
	token, err := identity.Static(serving.Token)
	if err != nil {
		t.Fatal(err)
	}
	parts := function.Parts{Identity: function.Identity{Token: token}, Local: func() (hotreader.Source, error) { return store, nil }}
	api, err := parts.API(f, httpapi.Options{MaxStream: -1, Mounts: mounts.All(mounts.Options{Twin: f.Twin, Samples: 100_000})})
	if err != nil {
		t.Fatal(err)
	}
	sent = new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { api.ServeHTTP(counter{w, sent}, r) }))
	t.Cleanup(s.Close)
	return s.URL, sent
}

func query(t *testing.T, url, expression string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("%s/api/v1/query_range?query=%s&start=%d&end=%d&step=15", url, expression, noon.Unix(), noon.Add(24*time.Hour-time.Second).Unix()), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(identity.TokenHeader, serving.Token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %.300s, %v", expression, resp.StatusCode, body, err)
	}
	return string(body)
}

// A plain selector over a day at 15 s moves no more than a tenth of the bytes between
// clouds that all rows would be.
func TestPrometheusBetweenClouds(t *testing.T) {
	far, sent := serve(t, &config.Function{}, day(t))
	near, _ := serve(t, &config.Function{Twin: "hall", Remote: true, RemoteURL: far, L3: config.AWS, L4: config.Azure}, nil)
	bytes := func(expression string) int64 {
		before := sent.Load()
		body := query(t, near, expression)
		if n := strings.Count(body, "],["); n != 5760-1 || !strings.Contains(body, `"twin":"hall"`) && expression == "temperature" {
			t.Fatalf("%s: %d points: %.200s", expression, n+1, body)
		}
		return sent.Load() - before
	}
	bytes("temperature") // with the list of devices
	plain, all := bytes("temperature"), bytes("last_over_time(temperature[15s])")
	t.Logf("%d bytes instead of %d: 1/%.1f", plain, all, float64(all)/float64(plain))
	if plain*10 > all {
		t.Errorf("%d bytes are moved, all rows are %d; want a tenth", plain, all)
	}
}
