//go:build engines

package gcpfirestore_test

import (
	"strconv"
	"sync/atomic"
	"testing"

	"hotreader"
	"hotreader/store/gcpfirestore"
	"hotreader/store/storetest"
	"hotreader/test/engine"
)

func client(t testing.TB) *gcpfirestore.Client {
	t.Helper()
	c, err := gcpfirestore.NewClient(t.Context(), gcpfirestore.ClientOptions{Endpoint: engine.Firestore(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func harness(format string) storetest.Harness {
	var collections atomic.Int64
	return storetest.Harness{
		RewritesNumbers:   true,
		WideNumbersAsText: true,
		New: func(t testing.TB) (hotreader.Reader, hotreader.Writer) {
			s := gcpfirestore.New(client(t), gcpfirestore.Options{
				Project:    engine.FirestoreProject,
				Collection: "conformance-" + format + "-" + strconv.FormatInt(collections.Add(1), 10),
				TimeFormat: format,
			})
			return s, s
		},
	}
}

func TestConformance(t *testing.T) {
	storetest.Run(t, harness(gcpfirestore.ISO8601))
}
