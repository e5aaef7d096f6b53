package catalog_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"hotreader"
	"hotreader/catalog"
)

// hall is a small twin: two pumps of one type, a valve of its own.
func hall() []catalog.Device {
	pump := []catalog.Property{
		{Name: "temperature", Type: hotreader.Double, Unit: "°C", Initial: "20.5"},
		{Name: "running", Type: hotreader.Boolean},
		{Name: "maker", Type: hotreader.ShortString, Constant: `"Müller \"&\" Söhne"`},
	}
	return []catalog.Device{
		{ID: "valve-1", Properties: []catalog.Property{{Name: "open", Type: hotreader.Integer, Unit: "%"}}},
		{ID: "pump-7", Type: "pump", Properties: pump},
		{ID: "pump-10", Type: "pump", Properties: pump},
		{ID: "empty", Properties: []catalog.Property{}},
	}
}

func open(t testing.TB, devices []catalog.Device) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Open(build(t, devices))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func build(t testing.TB, devices []catalog.Device) []byte {
	t.Helper()
	packed, err := catalog.Build(devices)
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

func ids(devices []catalog.Device) string {
	var all []string
	for _, d := range devices {
		all = append(all, d.ID)
	}
	return strings.Join(all, " ")
}

// Of the devices outside of a choice a catalogue has neither id nor type.
func TestOnly(t *testing.T) {
	c, err := open(t, hall()).Only(func(id string) bool { return id != "pump-10" && id != "valve-1" })
	if err != nil {
		t.Fatal(err)
	}
	if got := ids(c.Devices("", "", "", 9)); got != "empty pump-7" || c.Count("pump") != 1 || c.Count("valve-1") != 0 {
		t.Errorf("%s, %d pumps", got, c.Count("pump"))
	}
}

// What was packed comes back, each device under its id.
func TestDevicesComeBack(t *testing.T) {
	c := open(t, hall())
	if c.Len() != len(hall()) {
		t.Errorf("%d devices, want %d", c.Len(), len(hall()))
	}
	for _, want := range hall() {
		if got, ok := c.Device(want.ID); !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %+v, %v; want %+v", want.ID, got, ok, want)
		}
	}
	for _, id := range []string{"", "pump", "pump-", "pump-1", "pump-70", "zzz", "\xff"} {
		if got, ok := c.Device(id); ok {
			t.Errorf("%q is %+v, which was not packed", id, got)
		}
	}
	if got, want := c.Types(), []catalog.Type{{Name: "pump", Devices: 2}}; !slices.Equal(got, want) {
		t.Errorf("types are %v, want %v", got, want)
	}
}

func TestLists(t *testing.T) {
	c := open(t, hall())
	for _, tt := range []struct {
		prefix, kind, after string
		n                   int
		want                string
	}{
		{"", "", "", 10, "empty pump-10 pump-7 valve-1"},
		{"", "", "", 2, "empty pump-10"},
		{"", "", "pump-10", 2, "pump-7 valve-1"},
		{"", "", "pump-1", 1, "pump-10"}, // after an id that is no longer there
		{"", "", "valve-1", 10, ""},
		{"", "", "", 0, ""},
		{"", "", "", -1, ""},
		{"pump-", "", "", 10, "pump-10 pump-7"},
		{"pump-", "", "pump-10", 10, "pump-7"},
		{"pump-", "", "empty", 10, "pump-10 pump-7"},
		{"pump-", "", "valve-1", 10, ""},
		{"x", "", "", 10, ""},
		{"", "pump", "", 10, "pump-10 pump-7"},
		{"", "pump", "pump-10", 10, "pump-7"},
		{"pump-7", "pump", "", 10, "pump-7"},
		{"valve", "pump", "", 10, ""},
		{"", "valve-1", "", 10, "valve-1"}, // its own type
		{"", "valve-1", "valve-1", 10, ""},
		{"", "pump-7", "", 10, ""}, // has no type of its own
		{"", "none", "", 10, ""},
	} {
		if got := ids(c.Devices(tt.prefix, tt.kind, tt.after, tt.n)); got != tt.want {
			t.Errorf("prefix %q, type %q, after %q, %d: %q, want %q", tt.prefix, tt.kind, tt.after, tt.n, got, tt.want)
		}
	}
	for kind, want := range map[string]string{"pump": "pump-10 pump-7", "valve-1": "valve-1", "pump-7": "", "": ""} {
		if got := ids(c.DevicesOf(kind)); got != want {
			t.Errorf("devices of %q are %q, want %q", kind, got, want)
		}
	}
}

// Pages, one after the other, have each device once, however long they are.
func TestPagesHaveEachDeviceOnce(t *testing.T) {
	devices := fleet(100, 2)
	c := open(t, devices)
	for _, n := range []int{1, 7, 99, 100, 101} {
		var all []string
		after := ""
		for page := c.Devices("", "", after, n); len(page) > 0; page = c.Devices("", "", after, n) {
			for _, d := range page {
				all = append(all, d.ID)
			}
			after = all[len(all)-1]
		}
		if len(all) != len(devices) || !slices.IsSorted(all) || len(slices.Compact(all)) != len(devices) {
			t.Errorf("pages of %d have %d devices, want %d in order, each once", n, len(all), len(devices))
		}
	}
}

func TestNoDevices(t *testing.T) {
	c := open(t, nil)
	if c.Len() != 0 || len(c.Devices("", "", "", 10)) != 0 || len(c.Types()) != 0 || len(c.DevicesOf("a")) != 0 {
		t.Error("an empty catalogue has devices")
	}
}

// The package of a function must not change unless the devices do.
func TestOneListOneCatalogue(t *testing.T) {
	devices := hall()
	want := build(t, devices)
	slices.Reverse(devices)
	if !bytes.Equal(build(t, devices), want) {
		t.Error("another order of the devices makes another catalogue")
	}
	devices[1].Properties[0].Unit = "bar"
	if bytes.Equal(build(t, devices), want) {
		t.Error("another unit makes the same catalogue")
	}
}

// Ten thousand devices alike take little more than their ids.
func TestSetsAlikeAreStoredOnce(t *testing.T) {
	one, all := len(build(t, alike(1))), len(build(t, alike(10_000)))
	if perDevice := float64(all-one) / 9999; perDevice > 35 {
		t.Errorf("a device takes %.0f bytes", perDevice)
	}
}

func alike(n int) []catalog.Device {
	devices := fleet(n, 20)
	for i := range devices {
		devices[i].Type, devices[i].Properties = "pump", devices[0].Properties
	}
	return devices
}

// fleet is n devices, each with properties of its own.
func fleet(n, properties int) []catalog.Device {
	devices := make([]catalog.Device, n)
	for i := range devices {
		devices[i].ID = fmt.Sprintf("machine-%05d", i)
		for j := range properties {
			devices[i].Properties = append(devices[i].Properties, catalog.Property{
				Name: fmt.Sprintf("m%05d_temperature_%02d", i, j), Type: hotreader.Double, Unit: "°C", Initial: fmt.Sprint(i + j)})
		}
	}
	return devices
}

func TestRules(t *testing.T) {
	property := func(name string, kind hotreader.Type) catalog.Property {
		return catalog.Property{Name: name, Type: kind}
	}
	list := func(all ...catalog.Property) []catalog.Property { return all }
	a, b := property("a", hotreader.Double), property("b", hotreader.Long)
	for _, tt := range []struct {
		name    string
		devices []catalog.Device
		want    string // "" = nothing is wrong
	}{
		{"as many as may be", fleet(10_000, 0), ""},
		{"one more", fleet(10_001, 0), "has 10001 devices; at most 10000 are allowed in a twin"},
		{"id twice", []catalog.Device{{ID: "x"}, {ID: "y"}, {ID: "x"}}, `[2].id: "x" is the id of [0] too`},
		{"no id", []catalog.Device{{}}, `[0]: the id ""`},
		{"type and device of one name", []catalog.Device{{ID: "x", Type: "y"}, {ID: "y"}}, `[0].type: "y" is the id of the device [1]`},
		{"type of its own device's name", []catalog.Device{{ID: "x", Type: "x"}}, `[0].type: "x" is the id of the device [0]`},
		{"one type, one set", []catalog.Device{{ID: "x", Type: "t", Properties: list(a, b)}, {ID: "y", Type: "t", Properties: list(a, b)}}, ""},
		{"in another order", []catalog.Device{{ID: "x", Type: "t", Properties: list(a, b)}, {ID: "y", Type: "t", Properties: list(b, a)}}, ""},
		{"another unit", []catalog.Device{{ID: "x", Type: "t", Properties: list(a)}, {ID: "y", Type: "t", Properties: list(catalog.Property{Name: "a", Type: hotreader.Double, Unit: "K"})}}, ""},
		{"one more property", []catalog.Device{{ID: "x", Type: "t", Properties: list(a)}, {ID: "y", Type: "t", Properties: list(a, b)}},
			`[1].properties: of "y" differ from those of [0] "x", and both are of the type "t": only the first has "b"`},
		{"one less property", []catalog.Device{{ID: "x", Type: "t", Properties: list(a, b)}, {ID: "y", Type: "t", Properties: list(b)}}, `only the second has "a"`},
		{"another type of a property", []catalog.Device{{ID: "x", Type: "t", Properties: list(a)}, {ID: "y", Type: "t", Properties: list(property("a", hotreader.Long))}},
			`"a" is LONG in the first and DOUBLE in the second`},
		{"a constant and none", []catalog.Device{{ID: "x", Type: "t", Properties: list(a)}, {ID: "y", Type: "t", Properties: list(catalog.Property{Name: "a", Type: hotreader.Double, Constant: "1"})}},
			`"a" is a constant DOUBLE in the first and DOUBLE in the second`},
		{"other sets, other types", []catalog.Device{{ID: "x", Type: "t", Properties: list(a)}, {ID: "y", Type: "u", Properties: list(b)}, {ID: "z", Properties: list(b, a)}}, ""},
		{"not UTF-8", []catalog.Device{{ID: "x\xff"}}, "must be UTF-8"},
		{"unit not UTF-8", []catalog.Device{{ID: "x", Properties: list(catalog.Property{Name: "a", Type: hotreader.Double, Unit: "\xff"})}}, `the property "a" must`},
		{"constant with a first value", []catalog.Device{{ID: "x", Properties: list(catalog.Property{Name: "a", Constant: "1", Initial: "1"})}}, `the property "a" is a constant and has`},
		{"type of a query alone", []catalog.Device{{ID: "x", Properties: list(property("a", hotreader.FirstKind))}}, `the property "a" has a type`},
	} {
		_, err := catalog.Build(tt.devices)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || hotreader.CodeOf(err) != hotreader.CodeConfig):
			t.Errorf("%s: the error is %v, want %q", tt.name, err, tt.want)
		}
	}
}

// Each byte that differs, and each that lacks or is too many, is one clear error.
func TestDamageIsAnError(t *testing.T) {
	packed := build(t, hall())
	refused := func(what string, damaged []byte) {
		t.Helper()
		_, err := catalog.Open(damaged)
		if hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), "deploy again") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: the error is %v", what, err)
		}
	}
	for i := range packed {
		for _, flip := range []byte{1, 0x80, 0xff} {
			damaged := slices.Clone(packed)
			damaged[i] ^= flip
			refused(fmt.Sprintf("byte %d ^ %x", i, flip), damaged)
		}
		refused(fmt.Sprintf("cut at %d", i), packed[:i])
	}
	refused("one byte more", append(slices.Clone(packed), 0))
	refused("text mode", bytes.ReplaceAll(packed, []byte("\r\n"), []byte("\n")))
}

func TestLookUpsAllocateLittle(t *testing.T) {
	c := open(t, fleet(1000, 20))
	for _, tt := range []struct {
		name string
		most float64
		do   func()
	}{
		{"a device", 1, func() { c.Device("machine-00500") }},
		{"no device", 0, func() { c.Device("none") }},
		{"a page of 10", 1 + 10, func() { c.Devices("machine-", "", "machine-00500", 10) }},
	} {
		if n := testing.AllocsPerRun(100, tt.do); n > tt.most {
			t.Errorf("%s: %v allocations, want at most %v", tt.name, n, tt.most)
		}
	}
}

// mixed is n devices, of which no two have the same properties, of 1000 that there are.
func mixed(n, properties int) []catalog.Device {
	devices := fleet(n, 0)
	for i := range devices {
		for j := range properties {
			devices[i].Properties = append(devices[i].Properties, catalog.Property{
				Name: fmt.Sprintf("temperature_%03d", (i+j*(1+i/1000))%1000), Type: hotreader.Double, Unit: "°C"})
		}
	}
	return devices
}

// The start of a function pays for it, beside reading the file.
func BenchmarkOpen(b *testing.B) {
	for name, devices := range map[string][]catalog.Device{"names of their own": fleet(10_000, 20), "sets of their own": mixed(10_000, 20), "one set": alike(10_000)} {
		file := filepath.Join(b.TempDir(), catalog.File)
		if err := os.WriteFile(file, build(b, devices), 0o600); err != nil {
			b.Fatal(err)
		}
		read := func() []byte {
			packed, err := os.ReadFile(file)
			if err != nil {
				b.Fatal(err)
			}
			return packed
		}
		b.Run(name+"/read the file", func(b *testing.B) {
			for b.Loop() {
				read()
			}
			b.ReportMetric(float64(len(read()))/1e6, "MB")
		})
		b.Run(name+"/read and open", func(b *testing.B) {
			for b.Loop() {
				f, err := os.Open(file)
				if err != nil {
					b.Fatal(err)
				}
				info, _ := f.Stat()
				if _, err = catalog.Read(f, int(info.Size())); err != nil {
					b.Fatal(err)
				}
				f.Close()
			}
		})
	}
}

func BenchmarkDevices(b *testing.B) {
	c := open(b, fleet(10_000, 20))
	b.Run("one", func(b *testing.B) {
		for b.Loop() {
			c.Device("machine-05000")
		}
	})
	b.Run("a page of 1000", func(b *testing.B) {
		for b.Loop() {
			c.Devices("machine-", "", "machine-05000", 1000)
		}
	})
}
