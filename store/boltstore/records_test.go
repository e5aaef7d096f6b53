package boltstore

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	bolt "go.etcd.io/bbolt"

	"hotreader"
)

// TestChecksum pins what is covered, and how.
func TestChecksum(t *testing.T) {
	k := keyOf(blockKind, 1, 258)
	if got := fmt.Sprintf("%x", k); got != "72"+"00000001"+"00000102" {
		t.Errorf("the key is %s", got)
	}
	if got := checksum("pump", k, []byte("value")); got != crc32.Checksum([]byte("pump"+string(k[:])+"value"), castagnoli) {
		t.Errorf("%#x is not the CRC-32C of device, key and value", got)
	}
}

// readAll returns all that can be asked of a device, as text.
func readAll(t *testing.T, s *Store, device string) (string, error) {
	t.Helper()
	var b strings.Builder
	for _, q := range []hotreader.Query{
		{}, {Order: hotreader.Descending}, {Last: true}, {Start: base.Add(40 * time.Minute), End: base.Add(47 * time.Minute)},
	} {
		q.Device, q.Properties = device, []string{"temperature", "state", "note"}
		for row, err := range s.Read(t.Context(), q) {
			if err != nil {
				return "", err
			}
			fmt.Fprintln(&b, row.Time.UnixNano(), row.Values)
		}
	}
	return b.String(), nil
}

// TestChangedRecords: whatever record of a file is changed, lost or exchanged for
// another, each answer is the right one or an error, and a write does not make
// it look right.
func TestChangedRecords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rows.bolt")
	s := openAt(t, path)
	note := []hotreader.Field{{Name: "note", Value: hotreader.StringValue([]byte("long gone"))}}
	devices := []string{"pump", "fan", "nobody"}
	for _, d := range devices[:2] {
		for batch := range slices.Chunk(readings(1000), 300) { // in steps, so that there were older records
			mustWrite(t, s, d, batch)
		}
		mustWrite(t, s, d, []hotreader.Record{{Time: base.AddDate(-100, 0, 0), Fields: note}})
	}
	want := make(map[string]string)
	for _, d := range devices {
		var err error
		if want[d], err = readAll(t, s, d); err != nil {
			t.Fatal(err)
		}
	}
	closeStore(t, s)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	found := make(map[byte]int) // by kind of record
	var before []byte
	for _, r := range recordsOf(t, path) {
		changes := map[string][]byte{"lost": nil, "empty": {}, "the record before": before}
		for i := 0; i < len(r.value); i += 1 + len(r.value)/7 {
			changes[fmt.Sprintf("byte %d", i)] = slices.Concat(r.value[:i], []byte{r.value[i] ^ 0x10}, r.value[i+1:])
		}
		for what, value := range changes {
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			change(t, path, r.key, value)
			s, err := Open(path, Options{})
			if err != nil {
				if code := hotreader.CodeOf(err); code == hotreader.CodeCorrupt || code == hotreader.CodeConfig && string(r.key) == "format" {
					found[r.key[0]]++
				} else {
					t.Errorf("record %x, %s: %v", r.key, what, err)
				}
				continue
			}
			for _, write := range []bool{false, true} {
				for _, d := range devices {
					if write {
						err = s.Write(t.Context(), d, readings(1))
						if d == "nobody" || err != nil {
							continue
						}
					}
					got, err := readAll(t, s, d)
					switch {
					case hotreader.CodeOf(err) == hotreader.CodeCorrupt && strings.Contains(err.Error(), path):
						found[r.key[0]]++
					case err != nil:
						t.Errorf("record %x, %s: %v", r.key, what, err)
					case got != want[d]:
						t.Errorf("record %x, %s: %s is answered otherwise", r.key, what, d)
					}
				}
			}
			closeStore(t, s)
		}
		before = r.value
	}
	for kind := range found {
		t.Logf("%c: found %d times", kind, found[kind])
	}
	if len(found) != 7 { // with the format
		t.Errorf("damage was found in %d kinds of record only", len(found))
	}
}

type record struct{ key, value []byte }

func recordsOf(t *testing.T, path string) (all []record) {
	t.Helper()
	db, err := bolt.Open(path, 0, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketName).ForEach(func(k, v []byte) error {
			all = append(all, record{bytes.Clone(k), bytes.Clone(v)})
			return nil
		})
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// change puts a value into the file as bbolt does; nil = it takes the key away.
func change(t *testing.T, path string, key, value []byte) {
	t.Helper()
	db, err := bolt.Open(path, 0, &bolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(func(tx *bolt.Tx) error {
		if value == nil {
			return tx.Bucket(bucketName).Delete(key)
		}
		return tx.Bucket(bucketName).Put(key, value)
	}), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestCraftedValues: a file whose checksums are right, but whose content Write
// would have refused, is damaged, too: no text of its maker passes for a number.
func TestCraftedValues(t *testing.T) {
	number := func(text string) hotreader.Value { return hotreader.NumberValue([]byte(text)) }
	text := func(text string) hotreader.Value { return hotreader.StringValue([]byte(text)) }
	for what, r := range map[string]hotreader.Record{
		"JSON behind a number":    {Time: base, Fields: []hotreader.Field{{Name: "v", Value: number(`1,"admin":true`)}}},
		"an exponent without one": {Time: base, Fields: []hotreader.Field{{Name: "v", Value: number("1e")}}},
		"letters":                 {Time: base, Fields: []hotreader.Field{{Name: "v", Value: number("x")}}},
		"no digits":               {Time: base, Fields: []hotreader.Field{{Name: "v", Value: number("")}}},
		"a sign":                  {Time: base, Fields: []hotreader.Field{{Name: "v", Value: number("-")}}},
		"a zero in front":         {Time: base, Fields: []hotreader.Field{{Name: "v", Value: number("01")}}},
		"not a number":            {Time: base, Fields: []hotreader.Field{{Name: "v", Value: number("NaN")}}},
		"terminal codes":          {Time: base, Fields: []hotreader.Field{{Name: "v", Value: number("\x1b[2J1")}}},
		"a line":                  {Time: base, Fields: []hotreader.Field{{Name: "v", Value: number("1\n")}}},
		"bytes that are no text":  {Time: base, Fields: []hotreader.Field{{Name: "v", Value: text("\xff\xfe")}}},
		"half a character":        {Time: base, Fields: []hotreader.Field{{Name: "v", Value: text("\xc3")}}},
		"a property without name": {Time: base, Fields: []hotreader.Field{{Name: "v", Value: number("1")}, {Name: "", Value: number("1")}}},
		"a name that is no text":  {Time: base, Fields: []hotreader.Field{{Name: "v", Value: number("1")}, {Name: "\xff", Value: number("1")}}},
		"a name without end":      {Time: base, Fields: []hotreader.Field{{Name: "v", Value: number("1")}, {Name: strings.Repeat("x", hotreader.MaxNameBytes+1), Value: number("1")}}},
		"a time too late":         {Time: time.Unix(lastSecond+1, 0), Fields: []hotreader.Field{{Name: "v", Value: number("1")}}},
		"a time too early":        {Time: time.Unix(firstSecond-1, 0), Fields: []hotreader.Field{{Name: "v", Value: number("1")}}},
	} {
		s := openTemp(t)
		good := hotreader.Record{Time: base.Add(time.Hour), Fields: []hotreader.Field{{Name: "v", Value: number("-1.5e3")}, {Name: "w", Value: text("\x1b[2J")}}}
		rows := []*hotreader.Record{&r, &good}
		slices.SortFunc(rows, func(a, b *hotreader.Record) int { return a.Time.Compare(b.Time) })
		if err := s.db.Update(func(tx *bolt.Tx) error { return writeTo(tx, "d", rows) }); err != nil {
			t.Fatal(err)
		}
		for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
			var err error
			for row, e := range s.Read(t.Context(), hotreader.Query{Device: "d", Properties: []string{"v"}, Order: order}) {
				if err = e; err == nil && !row.Time.Equal(good.Time) {
					t.Errorf("%s, %v: a row at %v with %q comes", what, order, row.Time, row.Values[0].Text())
				}
			}
			if hotreader.CodeOf(err) != hotreader.CodeCorrupt {
				t.Errorf("%s, %v: %v, want %s", what, order, err, hotreader.CodeCorrupt)
			}
		}
	}
}

// FuzzRecords gives any bytes as records, as if their checks fitted.
func FuzzRecords(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x01\x01\x02\x03\x04\x00\x01d"), []byte("\x01a\x02bc"), []byte(appendRef(appendRef(nil, ref{base, 1, 2}), ref{base.Add(1), 3, 4})))
	f.Add([]byte{}, []byte{0x80}, []byte{1})
	f.Fuzz(func(t *testing.T, shard, names, list []byte) {
		if at, err := deviceAt(shard, "d"); err == nil && at >= 0 && shard[at+deviceHead] != 'd' {
			t.Fatalf("device d is said to be at %d", at)
		}
		for name, err := range namesIn(names, nil) {
			if err == nil && (len(name) == 0 || len(name) > hotreader.MaxNameBytes || !utf8.Valid(name)) {
				t.Fatalf("the name %q", name)
			}
		}
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
