package function

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/catalog"
	"hotreader/config"
	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/store/memstore"
)

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
		parts := Parts{Local: func() (hotreader.Source, error) { return store, nil }, Catalog: known, Who: Who{Token: token}}
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
