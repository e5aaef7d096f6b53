// Package packed packs catalogues of devices and opens them, for tests.
package packed

import "hotreader/catalog"

// Open returns the catalogue of devices. t is a test, or a run of a property's.
func Open(t interface {
	Helper()
	Fatal(args ...any)
}, devices ...catalog.Device) *catalog.Catalog {
	t.Helper()
	text, err := catalog.Build(devices)
	if err != nil {
		t.Fatal(err)
	}
	c, err := catalog.Open(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
