package function

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hotreader"
	"hotreader/catalog"
	"hotreader/config"
	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/store/memstore"
	"hotreader/test/serving"
)

// hour is a store with a row each second of an hour, which ended an hour ago.
func hour(t *testing.T) (store *memstore.Store, begin time.Time) {
	t.Helper()
	store, begin = memstore.New(), time.Now().Add(-2*time.Hour).Truncate(time.Second)
	var all []hotreader.Record
	for i := range 3600 {
		all = append(all, hotreader.Record{Time: begin.Add(time.Duration(i) * time.Second), Fields: []hotreader.Field{{Name: "t", Value: hotreader.Int64Value(int64(i))}}})
	}
	if err := store.Write(t.Context(), "d", all); err != nil {
		t.Fatal(err)
	}
	return store, begin
}

// start serves the API of f, and counts its requests.
func start(t *testing.T, f *config.Function, p Parts) (url string, asked *atomic.Int64) {
	t.Helper()
	token, err := identity.Static(serving.Token)
	if err != nil {
		t.Fatal(err)
	}
	p.Token = token
	api, err := p.API(f, httpapi.Options{})
	if err != nil {
		t.Fatal(err)
	}
	asked = new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		api.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL, asked
}

func fetch(t *testing.T, url string) (status int, age, body string) {
	t.Helper()
	a := serving.Ask(t, url, http.MethodGet, "", "", serving.Token)
	return a.Status, a.Header.Get("Age"), a.Body
}

// Two clouds: the API over the store, and the one in the twin's cloud. What a cache keeps
// is not asked for again, and answers say that it is old, on both clouds.
func TestCacheBetweenClouds(t *testing.T) {
	for name, c := range map[string]struct {
		near, far int64 // bytes of a cache
		setting   config.CacheSize
		asked     int64
		age       bool
	}{
		"none":                     {asked: 2},
		"at the caller":            {near: 1 << 20, asked: 1, age: true},
		"at the store":             {far: 1 << 20, asked: 2, age: true},
		"at both":                  {near: 1 << 20, far: 1 << 20, asked: 1, age: true},
		"of a byte":                {near: 1, far: 1, asked: 2},
		"where a variable says so": {setting: 1 << 20, asked: 1, age: true},
	} {
		t.Run(name, func(t *testing.T) {
			store, begin := hour(t)
			far, asked := start(t, &config.Function{}, Parts{Cache: c.far, Local: func() (hotreader.Source, error) { return store, nil }})
			f := &config.Function{Remote: true, RemoteURL: far, L3: config.AWS, L4: config.Azure, Settings: config.Settings{Cache: c.setting}}
			near, _ := start(t, f, Parts{Cache: c.near})
			path := "/v1/devices/d/history?property=t&start=" + begin.Format(time.RFC3339) + "&end=" + begin.Add(time.Hour).Format(time.RFC3339)
			status, age, first := fetch(t, near+path)
			if status != http.StatusOK || age != "" || strings.Count(first, `"t":`) != 3600 {
				t.Fatalf("status %d, age %q, %d rows: %.200s", status, age, strings.Count(first, `"t":`), first)
			}
			status, age, second := fetch(t, near+path)
			if status != http.StatusOK || (age != "") != c.age || second != first || asked.Load() != c.asked {
				t.Errorf("status %d, age %q, the same: %v, %d requests between clouds; want age %v, %d requests", status, age, second == first, asked.Load(), c.age, c.asked)
			}
		})
	}
}

// Too many rows are an error with its price, over the store and between clouds, and none
// of it is kept.
func TestQueriesLookAtSoManyRows(t *testing.T) {
	store, begin := hour(t)
	f := &config.Function{Firestore: config.Firestore{Collection: "c"}, Settings: config.Settings{MaxRows: 1000}}
	far, _ := start(t, f, Parts{Cache: 1 << 20, Local: func() (hotreader.Source, error) { return store, nil }})
	near, _ := start(t, &config.Function{Remote: true, RemoteURL: far, L3: config.GCP, L4: config.AWS}, Parts{Cache: 1 << 20})
	for _, url := range []string{far, near} {
		ask := func(rows int) (int, string) {
			status, _, body := fetch(t, url+"/v1/devices/d/history?property=t&start="+begin.Format(time.RFC3339)+"&end="+begin.Add(time.Duration(rows-1)*time.Second).Format(time.RFC3339))
			return status, body
		}
		for range 2 {
			if status, body := ask(3600); status != http.StatusRequestEntityTooLarge || !strings.Contains(body, `"code":"too_large"`) ||
				!strings.Contains(body, "more than 1000 stored rows; its range has about 3600, which cost 0.0011 USD in Firestore") {
				t.Errorf("status %d, %s", status, body)
			}
		}
		if status, body := ask(1000); status != http.StatusOK || strings.Count(body, `"t":`) != 1000 {
			t.Errorf("status %d, %.200s", status, body)
		}
	}
}

func TestRowLimits(t *testing.T) {
	for _, c := range []struct {
		f     config.Function
		rows  int
		store string
	}{
		{config.Function{}, 5_000_000, ""},
		{config.Function{Table: "t"}, 5_000_000, "DynamoDB"},
		{config.Function{Cosmos: config.Cosmos{Container: "c"}}, 5_000_000, "Cosmos DB"},
		{config.Function{Firestore: config.Firestore{Collection: "c"}}, 500_000, "Firestore"},
		{config.Function{Remote: true, L3: config.GCP, L4: config.AWS}, 500_000, "Firestore"},
		{config.Function{Table: "t", Settings: config.Settings{MaxRows: 7}}, 7, "DynamoDB"},
	} {
		if got := RowLimit(&c.f); got.Rows != c.rows || got.Store != c.store {
			t.Errorf("%+v: %+v", c.f, got)
		}
	}
}

func TestOpenCatalog(t *testing.T) {
	packed, err := catalog.Build([]catalog.Device{{ID: "pump-7"}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "devices")
	write := func(name string, text []byte) {
		t.Helper()
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(name, want string) {
		t.Helper()
		if c, err := OpenCatalog(name); c != nil || hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "deploy again") {
			t.Errorf("%q: the error is %v, want %q", name, err, want)
		}
	}
	refused(file, "no such file")
	refused(filepath.Dir(file), "is a directory")
	write(file, packed)
	if c, err := OpenCatalog(file); err != nil || c.Len() != 1 {
		t.Errorf("%v, %v", c, err)
	}
	write(file, packed[:len(packed)-1])
	refused(file, file+": catalogue of devices: it is damaged")

	// Without a name, the one beside the program, which here is the test.
	if c, err := OpenCatalog(""); c != nil || err != nil {
		t.Errorf("without one: %v, %v", c, err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	beside := filepath.Join(filepath.Dir(program), catalog.File)
	defer os.Remove(beside)
	write(beside, packed)
	if c, err := OpenCatalog(""); err != nil || c.Len() != 1 {
		t.Errorf("beside the program: %v, %v", c, err)
	}
	write(beside, packed[1:])
	refused("", beside+": catalogue of devices: this is no packed catalogue")
}

// The API lists the catalogue's devices or, without one, the store's.
func TestAPIListsDevices(t *testing.T) {
	devices, err := catalog.Of([]catalog.Device{{ID: "pump-7", Type: "pump"}})
	if err != nil {
		t.Fatal(err)
	}
	token, err := identity.Static("a-token-of-at-least-32-bytes-00000001")
	if err != nil {
		t.Fatal(err)
	}
	store := memstore.New()
	if err := store.Write(t.Context(), "valve", []hotreader.Record{{Time: time.Unix(0, 0), Fields: []hotreader.Field{{Name: "open", Value: hotreader.BoolValue(true)}}}}); err != nil {
		t.Fatal(err)
	}
	for want, known := range map[string]*catalog.Catalog{`{"id":"pump-7","type":"pump","properties":0}`: devices, `{"id":"valve","type":null,"properties":1}`: nil} {
		parts := Parts{Local: func() (hotreader.Source, error) { return store, nil }, Catalog: known, Identity: Identity{Token: token}}
		api, err := parts.API(&config.Function{Role: config.API}, httpapi.Options{})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/v1/devices", nil)
		r.Header.Set("Authorization", "Bearer "+token.Current())
		w := httptest.NewRecorder()
		if api.ServeHTTP(w, r); w.Code != 200 || w.Body.String() != `{"items":[`+want+`],"next_token":null}`+"\n" {
			t.Errorf("%d %s, want %s", w.Code, w.Body, want)
		}
	}
}
