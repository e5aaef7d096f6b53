package storetest

import (
	"context"
	"testing"

	"hotreader"
	"hotreader/store/memstore"
)

// lister breaks what a store lists.
type lister struct {
	*memstore.Store
	broken func(s *memstore.Store, ctx context.Context, prefix, after string, n int) ([]hotreader.Listed, error)
}

func (l lister) Devices(ctx context.Context, prefix, after string, n int) ([]hotreader.Listed, error) {
	return l.broken(l.Store, ctx, prefix, after, n)
}

// TestListingFindsBugs: the check is run against listers that are broken, each in
// one way.
func TestListingFindsBugs(t *testing.T) {
	type devices = []hotreader.Listed
	for name, broken := range map[string]func(s *memstore.Store, ctx context.Context, prefix, after string, n int) (devices, error){
		"": func(s *memstore.Store, ctx context.Context, prefix, after string, n int) (devices, error) {
			return s.Devices(ctx, prefix, after, n)
		},
		"no prefix": func(s *memstore.Store, ctx context.Context, _, after string, n int) (devices, error) {
			return s.Devices(ctx, "", after, n)
		},
		"begins anew": func(s *memstore.Store, ctx context.Context, prefix, _ string, n int) (devices, error) {
			return s.Devices(ctx, prefix, "", n)
		},
		"no end": func(s *memstore.Store, ctx context.Context, prefix, after string, _ int) (devices, error) {
			return s.Devices(ctx, prefix, after, 1000)
		},
		"after is among them": func(s *memstore.Store, ctx context.Context, prefix, after string, n int) (devices, error) {
			got, err := s.Devices(ctx, prefix, after, n)
			if after != "" && n > 0 {
				got = append(devices{{ID: after}}, got...)
			}
			return got, err
		},
		"no properties": func(s *memstore.Store, ctx context.Context, prefix, after string, n int) (devices, error) {
			got, err := s.Devices(ctx, prefix, after, n)
			for i := range got {
				got[i].Properties = nil
			}
			return got, err
		},
	} {
		r := &recorder{TB: t}
		listing(r, Harness{New: func(testing.TB) (hotreader.Source, hotreader.Writer) {
			s := lister{memstore.New(), broken}
			return s, s
		}})
		if r.Failed() != (name != "") {
			t.Errorf("%q: found is %v: %q", name, r.Failed(), r.failures)
		}
	}
}
