package e2e

import (
	"io"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"hotreader"
	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/remote"
	"hotreader/store/boltstore"
	"hotreader/store/storetest"
)

// through puts the whole way to another cloud before store: the API on a real
// socket, and a remote Reader that asks it. jsonOnly makes the API an old peer.
func through(t testing.TB, store hotreader.Source, jsonOnly bool) hotreader.Source {
	t.Helper()
	token, err := identity.Static(token)
	if err != nil {
		t.Fatal(err)
	}
	api, err := httpapi.New(httpapi.Options{Source: store, Token: token, Rate: -1, NoRows: jsonOnly, Logger: slog.New(slog.NewJSONHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	r, err := remote.New(remote.Options{URL: server.URL, Credential: token, SourceCloud: "aws"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func openBolt(t testing.TB) *boltstore.Store {
	t.Helper()
	store, err := boltstore.Open(filepath.Join(t.TempDir(), "hot.db"), boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func TestRemoteBoltConforms(t *testing.T) {
	t.Parallel()
	storetest.Run(t, storetest.Harness{
		NoStats: true,
		New: func(t testing.TB) (hotreader.Source, hotreader.Writer) {
			store := openBolt(t)
			return through(t, store, false), store
		},
	})
}

// A value that its declared type cannot hold is left out in the other cloud, and
// counted here.
func TestRemoteCountsWhatIsLeftOut(t *testing.T) {
	store := openBolt(t)
	for i, text := range []string{"1.5", "x", "2.5"} {
		record := hotreader.Record{Time: time.Unix(int64(i), 0), Fields: []hotreader.Field{{Name: "a", Value: hotreader.StringValue([]byte(text))}}}
		if err := store.Write(t.Context(), device, []hotreader.Record{record}); err != nil {
			t.Fatal(err)
		}
	}
	stats := new(hotreader.Stats)
	rows := 0
	for _, err := range hotreader.NewReader(through(t, store, false)).Read(hotreader.WithStats(t.Context(), stats), hotreader.Query{Device: device,
		Properties: []string{"a"}, Types: []hotreader.Type{hotreader.Double}}) {
		if err != nil {
			t.Fatal(err)
		}
		rows++
	}
	if rows != 2 || stats.Skipped() != 1 {
		t.Errorf("%d rows, %d values left out; want 2 and 1", rows, stats.Skipped())
	}
}
