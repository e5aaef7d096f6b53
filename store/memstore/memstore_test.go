package memstore_test

import (
	"testing"

	"hotreader"
	"hotreader/store/memstore"
	"hotreader/store/storetest"
)

func harness() storetest.Harness {
	return storetest.Harness{New: func(testing.TB) (hotreader.Source, hotreader.Writer) {
		s := memstore.New()
		return s, s
	}}
}

func TestConformance(t *testing.T)      { storetest.Run(t, harness()) }
func TestLister(t *testing.T)           { storetest.RunLister(t, harness()) }
func BenchmarkConformance(b *testing.B) { storetest.Bench(b, harness()) }
