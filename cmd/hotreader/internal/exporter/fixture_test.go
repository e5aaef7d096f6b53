package exporter

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hotreader"
	"hotreader/store/coldstore"
	"hotreader/store/coldstore/folder"
	"hotreader/store/memstore"
)

// fixture is a source and a target.
type fixture struct {
	source *memstore.Store
	dir    string
	Options
}

func newFixture(t testing.TB, devices map[string][]hotreader.Record) *fixture {
	f := &fixture{source: memstore.New(), dir: t.TempDir()}
	for id, records := range devices {
		if err := f.source.Write(t.Context(), id, records); err != nil {
			t.Fatal(err)
		}
	}
	listed, err := f.source.Devices(t.Context(), "", "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	target, err := folder.Create(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = target.Close() })
	f.Options = Options{Source: f.source, Target: target, From: "mem:", To: "file:" + f.dir, Now: began.AddDate(2, 0, 0), ObjectRows: 2500, GroupRows: 700}
	for _, d := range listed {
		f.Devices = append(f.Devices, Device{ID: d.ID, Properties: d.Properties, Listed: true})
	}
	return f
}

func (f *fixture) run(t testing.TB) (all []Result, err error) {
	t.Helper()
	err = Run(t.Context(), f.Options, func(r Result) error {
		all = append(all, r)
		return nil
	})
	return all, err
}

func (f *fixture) must(t testing.TB) []Result {
	t.Helper()
	all, err := f.run(t)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// rowsOf are the rows that a source brings, as text.
func rowsOf(t testing.TB, s hotreader.Source, q hotreader.Query) (all []string) {
	t.Helper()
	for r, err := range s.Scan(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		line := text(r.Time)
		for _, v := range r.Values {
			line += " " + v.Kind().String() + "=" + string(hotreader.AppendNumber(nil, numberOf(v))) + string(v.Text())
			if v.Kind() == hotreader.Number {
				line = strings.TrimSuffix(line, string(v.Text()))
			}
		}
		all = append(all, line)
	}
	return all
}

func numberOf(v hotreader.Value) []byte {
	switch {
	case v.Kind() == hotreader.Number:
		return v.Text()
	case v.Bool():
		return []byte("1")
	}
	return []byte("0")
}

func (f *fixture) cold(t testing.TB) *coldstore.Store {
	t.Helper()
	s, err := coldstore.New(f.Target, coldstore.Options{Prefix: f.Prefix})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tree is what a folder holds.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := os.ReadFile(name)
		rel, _ := filepath.Rel(dir, name)
		all[rel] = string(body)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// spoil changes the bytes of the objects whose key has a text.
func (f *fixture) spoil(t *testing.T, part string, change func(b []byte)) {
	t.Helper()
	for name, body := range tree(t, f.dir) {
		if !strings.Contains(name, part) {
			continue
		}
		b := []byte(body)
		if change(b); os.WriteFile(filepath.Join(f.dir, name), b, 0o600) != nil {
			t.Fatal(name)
		}
	}
}

// remove removes the objects whose key has a text.
func (f *fixture) remove(t *testing.T, part string) {
	for name := range tree(t, f.dir) {
		if strings.Contains(name, part) {
			if err := os.Remove(filepath.Join(f.dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// copy replaces objects by those of another export.
func (f *fixture) copy(t *testing.T, from *fixture, part string) {
	n := 0
	for name, body := range tree(t, from.dir) {
		if strings.Contains(name, part) {
			if err := os.WriteFile(filepath.Join(f.dir, name), []byte(body), 0o600); err != nil {
				t.Fatal(err)
			}
			n++
		}
	}
	if n == 0 {
		t.Fatal("nothing was replaced")
	}
}

// cut is a target that takes so many objects.
type cut struct {
	coldstore.Target
	left int
}

func (c *cut) Put(ctx context.Context, key string, body []byte) (bool, error) {
	if c.left--; c.left < 0 {
		return false, errors.New("cut")
	}
	return c.Target.Put(ctx, key, body)
}

// rangeName is how an object is named that holds one row.
var rangeName = coldstore.RangeName(began, began)
