// Package tiers reads one history whose tiers lie on any clouds, from a twin on any
// cloud: the functions that the topology asks for, with the environment that it gives
// them, over memory.
package tiers

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/codec/twinmaker"
	"hotreader/config"
	"hotreader/deploy/topology"
	"hotreader/function"
	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/store/memstore"
)

const (
	device = "machine"
	token  = "0123456789abcdef0123456789abcdef"
)

var clouds = []config.Cloud{config.AWS, config.Azure, config.GCP}

// layouts calls run for each place of hot, cold and archive storage and of the twin.
// Cold storage and the archive may be missing.
func layouts(run func(p *config.Project)) {
	places := map[config.Cloud]config.Objects{config.AWS: {Bucket: "cold"}, config.Azure: {Account: "acc", Container: "cold"}, config.GCP: {Bucket: "cold"}}
	for _, l4 := range clouds {
		for _, hot := range clouds {
			for _, cold := range append(clouds, "") {
				for _, archive := range append(clouds, "") {
					p := &config.Project{Twin: "hall", L3: hot, L4: l4, Cold: cold, Archive: archive, Options: config.Options{Cold: places[cold], Archive: places[archive]}}
					p.Options.Cold.Prefix, p.Options.Archive.Prefix = "cold/", "archive/"
					run(p)
				}
			}
		}
	}
}

// environment is that of a function of the topology, with what its module and its cloud
// add. urls are those of the APIs.
func environment(p *config.Project, s topology.Side, urls map[config.Cloud]string) map[string]string {
	f := s.Functions[0]
	env := maps.Clone(f.Env)
	switch s.Cloud {
	case config.AWS:
		env["_HANDLER"], env["AWS_REGION"] = string(f.Role), "eu-central-1"
		if f.Store {
			env["DYNAMODB_TABLE_NAME"] = "hall-hot"
		}
	case config.Azure:
		env["FUNCTIONS_CUSTOMHANDLER_PORT"] = "8080"
		if f.Store {
			env["COSMOS_DB_ENDPOINT"], env["COSMOS_DB_DATABASE"], env["COSMOS_DB_CONTAINER"] = "https://a.documents.azure.com", "hall", "hot"
		}
	case config.GCP:
		env["GOOGLE_CLOUD_PROJECT"] = "hall-1"
		if f.Store {
			env["FIRESTORE_COLLECTION"] = "hot"
		}
	}
	if s.Token {
		env["INTER_CLOUD_TOKEN"] = token
	}
	if f.Remote {
		env["REMOTE_READER_URL"] = urls[p.L3]
	}
	for name, cloud := range f.Lower {
		env[name] = urls[cloud]
	}
	return env
}

// parts are what a function on a side reads: memory, by tier.
func parts(t *testing.T, s topology.Side, stores map[string]hotreader.Source) function.Parts {
	p := function.Parts{Local: func() (hotreader.Source, error) {
		if !s.L3 {
			t.Errorf("hot storage is read on %s", s.Cloud)
		}
		return stores["hot"], nil
	}, Objects: func(url string) (hotreader.Source, error) {
		for _, tier := range s.Tiers {
			if tier.URL(s.Cloud) == url {
				return stores[tier.Name], nil
			}
		}
		return nil, fmt.Errorf("%s does not lie on %s", url, s.Cloud)
	}}
	if s.Token {
		var err error
		if p.Identity.Token, err = identity.Static(token); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// twin returns the Reader of the twin's function, with all that it asks started.
func twin(t *testing.T, p *config.Project, stores map[string]hotreader.Source) hotreader.Reader {
	t.Helper()
	top, err := topology.New(p)
	if err != nil {
		t.Fatal(err)
	}
	urls := map[config.Cloud]string{}
	for _, s := range top.Sides {
		env := environment(p, s, urls)
		load := map[config.Cloud]func(func(string) string) (*config.Function, error){config.AWS: config.Lambda, config.Azure: config.AzureFunctions, config.GCP: config.CloudRun}[s.Cloud]
		f, err := load(func(name string) string { return env[name] })
		if err != nil {
			t.Fatalf("%s: %v", s.Cloud, err)
		}
		if s.L4 {
			src, err := parts(t, s, stores).Source(f)
			if err != nil {
				t.Fatal(err)
			}
			return hotreader.NewReader(src)
		}
		f.Rate = -1
		api, err := parts(t, s, stores).API(f, httpapi.Options{})
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(api)
		t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
		urls[s.Cloud] = server.URL
	}
	t.Fatal("there is no twin")
	return nil
}

// cut puts each record into the tiers that hold it. A tier ends some rows behind where
// the next one begins, as when a mover has copied and not yet deleted.
func cut(t *testing.T, p *config.Project, records []hotreader.Record, at [2]int, overlap int) map[string]hotreader.Source {
	t.Helper()
	ranges := map[string][2]int{}
	from := len(records)
	for i, tier := range p.Tiers() {
		to := min(from+overlap, len(records))
		if from = 0; i < len(p.Tiers())-1 {
			from = at[i]
		}
		if i == 0 {
			to = len(records)
		}
		ranges[tier.Name] = [2]int{from, to}
	}
	stores := map[string]hotreader.Source{}
	for name, r := range ranges {
		store := memstore.New()
		if err := store.Write(t.Context(), device, records[r[0]:r[1]]); err != nil {
			t.Fatal(err)
		}
		stores[name] = store
	}
	return stores
}

// name says where everything lies.
func name(p *config.Project) string {
	return fmt.Sprintf("hot %s, cold %s, archive %s, twin %s", p.L3, cmp.Or(p.Cold, "none"), cmp.Or(p.Archive, "none"), p.L4)
}

// read returns what a query brings, a line a row.
func read(t *testing.T, r hotreader.Reader, q hotreader.Query) []string {
	t.Helper()
	var lines []string
	for row, err := range r.Read(t.Context(), q) {
		if err != nil {
			t.Fatalf("after %d rows: %v", len(lines), err)
		}
		lines = append(lines, line(row))
	}
	return lines
}

func line(row hotreader.Row) string {
	return row.Time.Format(time.RFC3339Nano) + " " + row.Values[0].String()
}

// pages is read by pages of a twin.
func pages(t *testing.T, r hotreader.Reader, q hotreader.Query, size int) []string {
	t.Helper()
	responder := twinmaker.Responder{Reader: r, Reserve: -1}
	var lines []string
	for token := ""; ; {
		text, err := responder.AppendHistory(t.Context(), nil, twinmaker.Request{Query: q, Ref: twinmaker.Reference{EntityID: "e", ComponentName: "c"}, MaxResults: size, NextToken: token})
		if err != nil {
			t.Fatal(err)
		}
		page, err := twinmaker.ParseHistoryAnswer(text, q)
		if err != nil {
			t.Fatal(err)
		}
		if q.Order == hotreader.Descending { // a page is ascending once it is taken apart
			slices.Reverse(page.Rows)
		}
		for _, row := range page.Rows {
			lines = append(lines, line(row))
		}
		if token = page.NextToken; token == "" {
			return lines
		}
	}
}

// same compares what came with what was written.
func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Errorf("%s: %d rows, want %d; the first that differs is row %d: %q", what, len(got), len(want), i, got[min(i, len(got)):min(i+1, len(got))])
			return
		}
	}
}

// written are records as read has them.
func written(records []hotreader.Record) []string {
	lines := make([]string, len(records))
	for i, r := range records {
		lines[i] = line(hotreader.Row{Time: r.Time, Values: []hotreader.Value{r.Fields[0].Value}})
	}
	return lines
}

// sample returns rows, an hour apart, of which one of the lowest tier has a serial number.
func sample() []hotreader.Record {
	records := make([]hotreader.Record, 60)
	for i := range records {
		records[i] = hotreader.Record{Time: first.Add(time.Duration(i) * time.Hour), Fields: []hotreader.Field{{Name: "temperature", Value: hotreader.Int64Value(int64(i))}}}
		if i == 3 {
			records[i].Fields = append(records[i].Fields, hotreader.Field{Name: "serial", Value: hotreader.StringValue([]byte("A-7"))})
		}
	}
	return records
}

// answers asks for a sample in every way.
func answers(t *testing.T, r hotreader.Reader, records []hotreader.Record) {
	t.Helper()
	want := written(records)
	back := slices.Clone(want)
	slices.Reverse(back)
	q := hotreader.Query{Device: device, Properties: []string{"temperature"}, Start: first, End: first.AddDate(0, 1, 0)}
	same(t, "ascending", read(t, r, q), want)
	same(t, "pages", pages(t, r, q, 7), want)
	q.Filters = []hotreader.Filter{{Property: "temperature", Op: hotreader.Less, Value: hotreader.Int64Value(50)}}
	same(t, "filtered", read(t, r, q), want[:50])
	q.Filters, q.Pick = nil, hotreader.Pick{Kind: hotreader.PickLast, Origin: first, Every: 24 * time.Hour}
	same(t, "picked", read(t, r, q), []string{want[0], want[24], want[48], want[59]})
	q.Pick, q.Order = hotreader.Pick{}, hotreader.Descending
	same(t, "descending", read(t, r, q), back)
	q = hotreader.Query{Device: device, Properties: []string{"serial"}, Last: true}
	if got := read(t, r, q); len(got) != 1 || !strings.HasSuffix(got[0], `"A-7"`) {
		t.Errorf("the latest serial is %q", got)
	}
}

// Wherever the tiers and the twin lie, the twin gets the whole history.
func TestEveryPlaceOfTiers(t *testing.T) {
	records := sample()
	layouts(func(p *config.Project) {
		t.Run(name(p), func(t *testing.T) { answers(t, twin(t, p, cut(t, p, records, [2]int{40, 15}, 4)), records) })
	})
}

// An API that holds cold storage alone has no hot storage to ask for.
func TestColdAlone(t *testing.T) {
	p := &config.Project{Twin: "hall", L3: config.AWS, L4: config.GCP, Cold: config.Azure, Options: config.Options{Cold: config.Objects{Account: "acc", Container: "cold"}}}
	top, err := topology.New(p)
	if err != nil {
		t.Fatal(err)
	}
	s := top.Side(config.Azure)
	env := environment(p, s, nil)
	f, err := config.AzureFunctions(func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	api, err := parts(t, s, map[string]hotreader.Source{"cold": memstore.New()}).API(f, httpapi.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for layer, want := range map[string]int{"L3-Hot-Read": http.StatusNotFound, "L3-Cold-Read": http.StatusOK, "L3-Archive-Read": http.StatusNotFound, "L3-Warm-Read": http.StatusBadRequest} {
		body := `{"source_cloud":"gcp","target_layer":"` + layer + `","message_type":"query","timestamp":"","trace_id":"","payload":{"iot_device_id":"d","start_time":"2026-01-01T00:00:00Z","end_time":"2026-01-02T00:00:00Z","selected_properties":["p"]}}`
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/read", strings.NewReader(body))
		r.Header.Set("X-Inter-Cloud-Token", token)
		api.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%s: %d %s, want %d", layer, w.Code, w.Body, want)
		}
	}
}
