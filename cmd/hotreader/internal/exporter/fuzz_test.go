package exporter

import (
	"bytes"
	"maps"
	"path"
	"runtime"
	"slices"
	"strings"
	"testing"

	"hotreader"
	"hotreader/store/coldstore"
)

// FuzzManifest: a manifest or a plan is rejected, or names places in its device's folder,
// sizes that add up, and columns of which a file can be made or not.
func FuzzManifest(f *testing.F) {
	for device, records := range map[string][]hotreader.Record{"d": series(30), "..": odd(), "a/b=c %ü": odd()[:1]} {
		x := newFixture(f, map[string][]hotreader.Record{device: records})
		x.ObjectRows = 10
		x.must(f)
		all := tree(f, x.dir)
		for _, key := range slices.Sorted(maps.Keys(all)) {
			if strings.HasSuffix(key, ".json") {
				f.Add([]byte(all[key]), device, path.Base(key))
			}
		}
	}
	f.Add([]byte(`{"format":"hotreader-export-1","device_id":"d","objects":[`+strings.Repeat("{},", 1000)+`{}]}`), "d", "_"+coldstore.RangeName(began, began)+planEnd)
	f.Fuzz(func(t *testing.T, text []byte, device, name string) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		m, err := decode(text, device, name)
		if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > 1<<20+400*uint64(len(text)) {
			t.Fatalf("%d bytes took %d", len(text), after.TotalAlloc-before.TotalAlloc)
		}
		if err != nil {
			return
		}
		r := (&export{}).result(m, Device{ID: device})
		if r.Rows < 1 || r.Bytes < 0 || r.First.After(r.Last) || r.Delete && m.Source != "" {
			t.Fatalf("%+v", r)
		}
		for _, key := range append([]string{r.Manifest}, keys(m)...) {
			if dir, file := path.Split(key); dir != folderOf(device) || path.Clean("/x/"+key) != "/x/"+key || strings.Trim(file, "_0123456789TZ.-abcdefghijklmnopqrstuvwxyz") != "" {
				t.Fatalf("%q is not in the folder of %q", key, device)
			}
		}
		file, err := newFile(m, 1<<20)
		if err != nil {
			return
		}
		row := hotreader.Row{Time: m.Start, Values: make([]hotreader.Value, len(m.Properties))}
		if err = file.add(&row); err == nil {
			err = file.w.Close()
		}
		if err == nil && !bytes.HasPrefix(file.body.Bytes(), []byte("PAR1")) {
			t.Fatalf("no Parquet: %q", file.body.Bytes())
		}
	})
}

func keys(m *manifest) (all []string) {
	for i := range m.Objects {
		all = append(all, m.Objects[i].Key)
	}
	return all
}
