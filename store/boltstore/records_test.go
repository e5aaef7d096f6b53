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
		for row, err := range hotreader.NewReader(s).Read(t.Context(), q) {
			if err != nil {
				return "", err
			}
			fmt.Fprintln(&b, row.Time.UnixNano(), row.Values)
		}
	}
	return b.String(), nil
}

// TestChangedRecords: whatever record of a file is changed, lost or exchanged for
// another, each answer is the right one or an error that says what to do, and a
// write does not make it look right.
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
		want[d], _ = readAll(t, s, d)
	}
	closeStore(t, s)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[byte]int) // by kind of record
	before := []byte("2")
	for _, r := range recordsOf(t, path) {
		changes := map[string][]byte{"lost": nil, "empty": {}, "the record before": before}
		for i := 0; i < len(r.value); i += 1 + len(r.value)/5 {
			changes[fmt.Sprintf("byte %d", i)] = slices.Concat(r.value[:i], []byte{r.value[i] ^ 0x10}, r.value[i+1:])
		}
		for what, value := range changes {
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			change(t, path, r.key, value)
			failed := failures(t, path, want)
			if found[r.key[0]] += failed; failed > 1 && strings.IndexByte("hnir", r.key[0]) >= 0 {
				t.Errorf("record %x of one device, %s: %d devices cannot be read", r.key, what, failed)
			}
			if t.Failed() {
				t.Fatalf("with record %x, %s", r.key, what)
			}
		}
		before = r.value
	}
	if len(found) != 7 { // with the format
		t.Errorf("damage was found in %d kinds of record only: %v", len(found), found)
	}
	for kind, n := range found {
		if n == 0 {
			t.Errorf("no damage was found in records of kind %c", kind)
		}
	}
}

// failures returns how many devices cannot be read, before and after a write,
// and checks that all others give what is wanted.
func failures(t *testing.T, path string, want map[string]string) int {
	t.Helper()
	judge := func(err error) bool {
		if err != nil && (hotreader.CodeOf(err) != hotreader.CodeCorrupt || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "restore")) {
			t.Error(err)
		}
		return err != nil
	}
	s, err := Open(path, Options{})
	if hotreader.CodeOf(err) == hotreader.CodeConfig && strings.Contains(err.Error(), "format") || judge(err) {
		return len(want)
	}
	defer closeStore(t, s)
	failed := make(map[string]bool)
	for range 2 {
		for d := range want {
			got, err := readAll(t, s, d)
			if judge(err) {
				failed[d] = true
			} else if got != want[d] || failed[d] {
				t.Errorf("%s is answered otherwise", d)
			}
		}
		list, err := s.Devices(t.Context(), "", "", len(want))
		if got := fmt.Sprint(list); !judge(err) && got != "[{fan  [note state temperature]} {pump  [note state temperature]}]" {
			t.Errorf("the devices are %s", got)
		}
		for d := range want {
			if want[d] != "" {
				judge(s.Write(t.Context(), d, readings(1)))
			}
		}
	}
	return len(failed)
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
		if err := s.db.Update(func(tx *bolt.Tx) error {
			_, err := writeTo(tx, "d", rows, hotreader.Replace)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
			var err error
			for row, e := range hotreader.NewReader(s).Read(t.Context(), hotreader.Query{Device: "d", Properties: []string{"v"}, Order: order}) {
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

// TestCraftedLists: blocks that a list names twice, or in no order, are damage,
// though their checksums are right.
func TestCraftedLists(t *testing.T) {
	for what, craft := range map[string]func(refs) refs{
		"twice":     func(l refs) refs { return append(slices.Clone(l), l...) },
		"one twice": func(l refs) refs { return slices.Insert(slices.Clone(l), refBytes, l[:refBytes]...) },
		"backwards": func(l refs) refs {
			return slices.Concat(l[2*refBytes:3*refBytes], l[refBytes:2*refBytes], l[:refBytes])
		},
		"last in front": func(l refs) refs { return slices.Concat(l[len(l)-refBytes:], l[:len(l)-refBytes]) },
	} {
		s := openTemp(t)
		mustWrite(t, s, "d", readings(3000))
		if err := s.db.Update(func(tx *bolt.Tx) error {
			w, err := newWriter(tx, "d")
			if err == nil {
				err = w.seek(base)
			}
			w.blocks, w.changed = craft(w.blocks), true
			return errors.Join(err, w.flush(), w.save(tx))
		}); err != nil {
			t.Fatal(err)
		}
		for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
			rows, last := 0, error(nil)
			for _, last = range hotreader.NewReader(s).Read(t.Context(), hotreader.Query{Device: "d", Properties: []string{"state"}, Order: order}) {
				rows++
			}
			if hotreader.CodeOf(last) != hotreader.CodeCorrupt {
				t.Errorf("%s, %v: %d rows, %v; want %s", what, order, rows, last, hotreader.CodeCorrupt)
			}
		}
		for r := range slices.Chunk(readings(3000), 100) { // wherever it goes: an error, or done
			if err := s.Write(t.Context(), "d", r); err != nil && hotreader.CodeOf(err) != hotreader.CodeCorrupt {
				t.Fatalf("%s: %v", what, err)
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
		for id, err := range idsIn(shard) {
			if err == nil && len(id) > len(shard)-deviceHead {
				t.Fatalf("the id %q", id)
			}
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
