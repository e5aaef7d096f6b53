package boltstore

import (
	"encoding/binary"
	"encoding/hex"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"hotreader"
)

// TestRecordBytes pins the format of a file.
func TestRecordBytes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rows.bolt")
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tm := range []time.Time{base, base.AddDate(100, 0, 0)} { // too far for one block
		if err := s.Write(t.Context(), "pump", []hotreader.Record{{Time: tm, Fields: []hotreader.Field{
			{Name: "on", Value: hotreader.BoolValue(true)}, {Name: "é", Value: hotreader.NumberValue([]byte("1"))}}}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(path, 0, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const (
		shard     = "0000008f" // of "pump"
		firstTime = "8000000065dfc8c4" + "00000000"
		thenTime  = "8000000121f78ac4" + "00000000"
	)
	want := map[string]string{
		hex.EncodeToString([]byte("format")): hex.EncodeToString([]byte("2")),
		"61" + "00000000" + "00000000":       "", // the root, below
		"64" + shard + "00000000":            "00000000" + "????????" + "0004" + hex.EncodeToString([]byte("pump")),
		"68" + "00000000" + "00000000":       "????????" + "00000001" + "00000002" + firstTime + "00000000" + "????????",
		"6e" + "00000000" + "00000000":       "02" + "6f6e" + "02" + "c3a9",
		"69" + "00000000" + "00000000":       firstTime + "00000000" + "????????" + thenTime + "00000001" + "????????",
		"72" + "00000000" + "00000000":       "03" + firstTime + "01" + "00" + "030001" + "05" + "06" + "31",
		"72" + "00000000" + "00000001":       "03" + thenTime + "01" + "00" + "030001" + "05" + "06" + "31",
	}
	got := make(map[string]string)
	var id int
	if err := db.View(func(tx *bolt.Tx) error {
		id = tx.ID()
		return tx.Bucket([]byte("hotreader")).ForEach(func(k, v []byte) error {
			got[hex.EncodeToString(k)] = hex.EncodeToString(v)
			return nil
		})
	}); err != nil {
		t.Fatal(err)
	}
	const rootKey = "610000000000000000"
	root, err := hex.DecodeString(got[rootKey])
	if err != nil || len(root) != 1040 || int(binary.BigEndian.Uint64(root[4:])) != id || binary.BigEndian.Uint32(root[12:]) != 1 {
		t.Fatalf("the root of transaction %d is %x", id, root)
	}
	delete(got, rootKey)
	delete(want, rootKey)
	if a, b := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)); !slices.Equal(a, b) {
		t.Fatalf("the keys are\n%v, want\n%v", a, b)
	}
	// check returns the check of a record, as it is where ? stands.
	check := func(device, k string) string {
		raw, _ := hex.DecodeString(k)
		value, _ := hex.DecodeString(got[k])
		return hex.EncodeToString(binary.BigEndian.AppendUint32(nil, checksum(device, key(raw), value)))
	}
	fill := func(k string, checks ...string) {
		for _, c := range checks {
			want[k] = strings.Replace(want[k], "????????", c, 1)
		}
	}
	fill("69"+"0000000000000000", check("pump", "72"+"0000000000000000"), check("pump", "72"+"0000000000000001"))
	fill("68"+"0000000000000000", check("pump", "6e"+"0000000000000000"), check("pump", "69"+"0000000000000000"))
	fill("64"+shard+"00000000", check("pump", "68"+"0000000000000000"))
	for k := range want {
		if got[k] != want[k] {
			t.Errorf("record %s is\n%s, want\n%s", k, got[k], want[k])
		}
	}
	number := shardOf("pump")
	if sum := hex.EncodeToString(root[16+4*number:][:4]); sum != check("", "64"+shard+"00000000") {
		t.Errorf("the root says %s of shard %d", sum, number)
	}
}

// TestEveryByteOfARecordCounts, and what it is stored as.
func TestEveryByteOfARecordCounts(t *testing.T) {
	k, value := keyOf(blockKind, 3, 7), []byte("what is stored")
	sum := checksum("pump", k, value)
	for i := range value {
		changed := slices.Clone(value)
		changed[i] ^= 1
		if checksum("pump", k, changed) == sum {
			t.Errorf("byte %d changed is not noticed", i)
		}
	}
	for i := range k {
		other := k
		other[i] ^= 1
		if checksum("pump", other, value) == sum {
			t.Errorf("byte %d of the key changed is not noticed", i)
		}
	}
	for what, other := range map[string]uint32{
		"another device":   checksum("pumq", k, value),
		"a longer value":   checksum("pump", k, append(value, 0)),
		"a shorter value":  checksum("pump", k, value[:len(value)-1]),
		"no value":         checksum("pump", k, nil),
		"no device at all": checksum("", k, value),
	} {
		if other == sum {
			t.Errorf("%s is not noticed", what)
		}
	}
}

// patched makes a file of content in which the bytes at are replaced.
func patched(t *testing.T, content []byte, at int, with ...byte) string {
	t.Helper()
	content = slices.Clone(content)
	copy(content[at:], with)
	path := filepath.Join(t.TempDir(), "rows.bolt")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// contentOf returns the file of an open store, as far as it is in use, and the
// page of its root.
func contentOf(t *testing.T, s *Store) (content []byte, top uint64) {
	t.Helper()
	if err := s.db.View(func(tx *bolt.Tx) error {
		top = uint64(tx.Cursor().Bucket().Root())
		content = make([]byte, tx.Size())
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(s.path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.ReadAt(content, 0); err != nil {
		t.Fatal(err)
	}
	return content, top
}

// TestEveryByteOfTheRootCounts: it is where all proof begins.
func TestEveryByteOfTheRootCounts(t *testing.T) {
	s := openTemp(t)
	if err := s.Write(t.Context(), "d", readings(10)); err != nil {
		t.Fatal(err)
	}
	content, top := contentOf(t, s)
	tree, err := treeIn(content, top)
	if err != nil {
		t.Fatal(err)
	}
	k := keyOf(rootKind, 0, 0)
	root, _, err := tree.find(tree.home, k[:])
	if err != nil || len(root) != rootBytes {
		t.Fatalf("the root is %x, %v", root, err)
	}
	from := strings.Index(string(content), string(root))
	for i := range root {
		if s, err := Open(patched(t, content, from+i, root[i]^1), Options{}); hotreader.CodeOf(err) != hotreader.CodeCorrupt {
			t.Errorf("byte %d changed: %v, want %s", i, err, hotreader.CodeCorrupt)
			if err == nil {
				s.Close()
			}
		}
	}
}

// TestOldRecordsAreNotTaken: pages of the commit before are all still there, and
// a damaged page number may lead to them.
func TestOldRecordsAreNotTaken(t *testing.T) {
	s := openTemp(t)
	bucketOf := func(content []byte, top uint64) int { // where the root says which page the bucket begins at
		return int(top)*pageBytes + strings.Index(string(content[top*pageBytes:][:256]), string(bucketName)) + len(bucketName)
	}
	all := readings(2000)
	if err := s.Write(t.Context(), "d", all[:1900]); err != nil {
		t.Fatal(err)
	}
	content, top := contentOf(t, s)
	old := slices.Clone(content[bucketOf(content, top):][:8])
	if err := s.Write(t.Context(), "d", all[1900:]); err != nil {
		t.Fatal(err)
	}
	content, top = contentOf(t, s)
	at := bucketOf(content, top)
	if tree, err := treeIn(content, top); err != nil || slices.Equal(old, content[at:at+8]) || tree.home == nil {
		t.Fatalf("the bucket is still at %x, %v", old, err)
	}
	if s, err := Open(patched(t, content, at, old...), Options{}); hotreader.CodeOf(err) != hotreader.CodeCorrupt {
		t.Errorf("the old content is taken: %v, want %s", err, hotreader.CodeCorrupt)
		if err == nil {
			s.Close()
		}
	}
}

// TestWriteOnCircles: page numbers that lead back end with an error, when bbolt
// would follow them for ever.
func TestWriteOnCircles(t *testing.T) {
	s := openTemp(t)
	for i := range 20 {
		if err := s.Write(t.Context(), "d"+strconv.Itoa(i), readings(300)); err != nil {
			t.Fatal(err)
		}
	}
	content, top := contentOf(t, s)
	tree, err := treeIn(content, top)
	if err != nil || kindOf(tree.home) != branchPage {
		t.Fatalf("the bucket begins with a page of kind %d, %v", kindOf(tree.home), err)
	}
	id := binary.NativeEndian.Uint64(tree.home)
	found := 0
	for e := range countOf(tree.home) {
		for _, o := range []struct {
			at   int
			with []byte
		}{
			{8, tree.home[:8]},                  // the page itself
			{4, []byte{0xff, 0xff, 0xff, 0x7f}}, // a key of 2 GB
			{0, []byte{0xff, 0xff, 0xff, 0x7f}}, // a key far away
			{8, []byte{0, 0, 0, 0, 0, 0, 0, 1}}, // a page far away
		} {
			s, err := Open(patched(t, content, int(id)*pageBytes+pageHead+e*element+o.at, o.with...), Options{})
			if err != nil {
				found++
				if hotreader.CodeOf(err) != hotreader.CodeCorrupt {
					t.Errorf("element %d: %v, want %s", e, err, hotreader.CodeCorrupt)
				}
				continue
			}
			for _, d := range []string{"d0", "d7", "d19", "new"} {
				if err := s.Write(t.Context(), d, readings(400)); err != nil {
					found++
					if hotreader.CodeOf(err) != hotreader.CodeCorrupt {
						t.Errorf("element %d, device %s: %v, want %s", e, d, err, hotreader.CodeCorrupt)
					}
				}
			}
			_ = s.Close()
		}
	}
	if found == 0 {
		t.Error("no damage was ever found")
	}
}

// FuzzPages gives any bytes as pages of a file. Nothing but an error may come of
// them, and what is sound must be found.
func FuzzPages(f *testing.F) {
	path := filepath.Join(f.TempDir(), "rows.bolt")
	s, err := Open(path, Options{})
	if err != nil {
		f.Fatal(err)
	}
	if err := s.Write(f.Context(), "d", readings(1500)); err != nil {
		f.Fatal(err)
	}
	var top uint64
	if err := s.db.View(func(tx *bolt.Tx) error { top = uint64(tx.Cursor().Bucket().Root()); return nil }); err != nil {
		f.Fatal(err)
	}
	if err := s.Close(); err != nil {
		f.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	content = content[:min(len(content), 40*pageBytes)]
	for id := 2; id < len(content)/pageBytes; id++ {
		f.Add(uint16(id), uint64(id), content[id*pageBytes:][:128])
	}
	f.Add(uint16(top), top, content[top*pageBytes:][:64])
	f.Fuzz(func(t *testing.T, at uint16, top uint64, patch []byte) {
		data := slices.Clone(content)
		copy(data[int(at)*pageBytes%len(data):], patch)
		tree, err := treeIn(data, top)
		if err != nil || tree.home == nil {
			return
		}
		seen := make(map[uint64]bool)
		for _, k := range []key{keyOf(rootKind, 0, 0), keyOf(headKind, 0, 0), keyOf(blockKind, 0, 3), keyOf(0xff, 0, 0)} {
			_, _, err := tree.find(tree.home, k[:])
			if sound := tree.sound(k[:], seen); sound == nil && err != nil {
				t.Fatalf("pages on the way to %x are sound, yet finding it ends with %v", k, err)
			}
		}
	})
}

// FuzzRecords gives any bytes as records, as if their checks fitted.
func FuzzRecords(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x01\x01\x02\x03\x04\x00\x01d"), []byte("\x01a\x02bc"), appendRef(appendRef(nil, ref{base, 1, 2}), ref{base.Add(1), 3, 4}))
	f.Add([]byte{}, []byte{0x80}, []byte{1})
	f.Fuzz(func(t *testing.T, shard, names, list []byte) {
		if at, err := deviceAt(shard, "d"); err == nil && at >= 0 && shard[at+deviceHead] != 'd' {
			t.Fatalf("device d is said to be at %d", at)
		}
		w := writer{ids: make(map[string]uint64)}
		_ = w.readNames(names)
		l, err := refsOf(list)
		if err != nil {
			return
		}
		if i := l.floor(base); i < -1 || i >= l.len() {
			t.Fatalf("entry %d of %d", i, l.len())
		}
		var again []byte
		for i := range l.len() {
			again = appendRef(again, l.at(i))
		}
		if len(again) != len(list) {
			t.Fatalf("%d bytes become %d", len(list), len(again))
		}
	})
}
