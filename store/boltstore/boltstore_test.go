package boltstore_test

import (
	"path/filepath"
	"testing"

	"hotreader"
	"hotreader/store/boltstore"
	"hotreader/store/storetest"
)

func open(t testing.TB, path string, o boltstore.Options) *boltstore.Store {
	t.Helper()
	s, err := boltstore.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func harness() storetest.Harness {
	var path string // of the store that New returned last
	var store *boltstore.Store
	return storetest.Harness{
		New: func(t testing.TB) (hotreader.Source, hotreader.Writer) {
			path = filepath.Join(t.TempDir(), "rows.bolt")
			store = open(t, path, boltstore.Options{})
			return store, store
		},
		Reopen: func(t testing.TB) (hotreader.Source, hotreader.Writer) {
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
			store = open(t, path, boltstore.Options{})
			return store, store
		},
	}
}

func TestConformance(t *testing.T)      { storetest.Run(t, harness()) }
func TestLister(t *testing.T)           { storetest.RunLister(t, harness()) }
func BenchmarkConformance(b *testing.B) { storetest.Bench(b, harness()) }
