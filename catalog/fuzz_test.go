package catalog

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
	"testing"
	"unicode/utf8"

	"hotreader"
)

// FuzzOpen gives each input its right checksum: what Open takes then must be sound
// all the same, and what it rejects be of CodeConfig.
func FuzzOpen(f *testing.F) {
	for _, devices := range [][]Device{
		nil,
		{{ID: "a"}},
		{{ID: "pump-1", Type: "pump", Properties: []Property{{Name: "t", Type: hotreader.Double, Unit: "°C", Initial: "1"}}},
			{ID: "pump-2", Type: "pump", Properties: []Property{{Name: "t", Type: hotreader.Double}}},
			{ID: "valve", Properties: []Property{{Name: "maker", Type: hotreader.ShortString, Constant: `"ä"`}}}},
	} {
		packed, err := Build(devices)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed)
	}
	f.Fuzz(func(t *testing.T, packed []byte) {
		packed = slices.Clone(packed)
		if len(packed) >= headEnd {
			copy(packed, magic)
			binary.LittleEndian.PutUint32(packed[len(magic):], version)
			binary.LittleEndian.PutUint32(packed[checkAt:], crc32.Checksum(packed[countsAt:], castagnoli))
		}
		c, err := Open(packed)
		if err != nil {
			if hotreader.CodeOf(err) != hotreader.CodeConfig {
				t.Fatal(err)
			}
			return
		}
		checkSound(t, c)
	})
}

// checkSound asks a catalogue for all it has.
func checkSound(t *testing.T, c *Catalog) {
	all := c.Devices("", "", "", MaxDevices+1)
	if len(all) != c.Len() {
		t.Fatalf("%d devices of %d", len(all), c.Len())
	}
	shared := 0
	for i, d := range all {
		if i > 0 && all[i-1].ID >= d.ID || !utf8.ValidString(d.ID+d.Type) || d.ID == "" {
			t.Fatalf("device %d is %+v", i, d)
		}
		if got, ok := c.Device(d.ID); !ok || got.ID != d.ID || got.Type != d.Type || len(got.Properties) != len(d.Properties) {
			t.Fatalf("%q is %+v, and in the list %+v", d.ID, got, d)
		}
		if d.Type != "" {
			shared++
		}
		for _, p := range d.Properties {
			if p.Name == "" || !utf8.ValidString(p.Name+p.Unit) || !utf8.ValidString(p.Constant+p.Initial) || !stored(p.Type) {
				t.Fatalf("%q has %+v", d.ID, p)
			}
		}
	}
	for _, one := range c.Types() {
		of := c.DevicesOf(one.Name)
		if shared -= len(of); len(of) != one.Devices {
			t.Fatalf("%+v has %d devices", one, len(of))
		}
	}
	if shared != 0 {
		t.Fatalf("%d devices of a type are in none", shared)
	}
}
