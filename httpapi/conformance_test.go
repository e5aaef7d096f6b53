package httpapi_test

import (
	"testing"

	"hotreader"
	"hotreader/httpapi"
	"hotreader/remote"
	"hotreader/store/memstore"
	"hotreader/store/storetest"
)

// TestConformance: a store behind the API is still a Reader, however small the
// answers are that its rows come in. (JSON is no Reader's whole language: its
// last entry has no time, and its strings are TwinMaker's.)
func TestConformance(t *testing.T) {
	for name, o := range map[string]httpapi.Options{
		"whole":    {},
		"in pages": {MaxAnswer: 182_000}, // the suite's longest row just fits
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, storetest.Harness{
				NoStats: true,
				New: func(t testing.TB) (hotreader.Source, hotreader.Writer) {
					m := memstore.New()
					o := o
					o.Source = m
					s := serve(t, o)
					r, err := remote.New(remote.Options{URL: s.URL, Credential: static(t, current), SourceCloud: "aws"})
					if err != nil {
						t.Fatal(err)
					}
					return r, m
				},
			})
		})
	}
}
