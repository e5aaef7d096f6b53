//go:build unix

package boltstore_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"hotreader"
	"hotreader/store/boltstore"
)

var base = time.Date(2024, time.February, 28, 23, 59, 0, 0, time.UTC)

// ramp returns n records a second apart, from the given one on: n is its number,
// and text something to find in the file.
func ramp(from, n int) []hotreader.Record {
	records := make([]hotreader.Record, n)
	for i := range records {
		records[i] = hotreader.Record{Time: base.Add(time.Duration(from+i) * time.Second), Fields: []hotreader.Field{
			{Name: "n", Value: hotreader.NumberValue(strconv.AppendInt(nil, int64(from+i), 10))},
			{Name: "text", Value: hotreader.StringValue(fmt.Appendf(nil, "the text of row %06d", from+i))},
		}}
	}
	return records
}

func write(t testing.TB, s *boltstore.Store, device string, records []hotreader.Record) {
	t.Helper()
	if err := s.Write(t.Context(), device, records); err != nil {
		t.Fatal(err)
	}
}

// count reads a device and returns how many rows came. They must be those of
// ramp, without a gap, from row 0 on.
func count(t testing.TB, s hotreader.Source, device string) (rows int, err error) {
	t.Helper()
	for row, err := range hotreader.NewReader(s).Read(t.Context(), hotreader.Query{Device: device, Properties: []string{"n", "text"}}) {
		if err != nil {
			return rows, err
		}
		want := ramp(rows, 1)[0]
		if !row.Time.Equal(want.Time) || !hotreader.Same(row.Values[0], want.Fields[0].Value) || !hotreader.Same(row.Values[1], want.Fields[1].Value) {
			t.Fatalf("row %d is %v %v", rows, row.Time, row.Values)
		}
		rows++
	}
	return rows, nil
}

// fileOf makes a store of n rows of device d, and closes it.
func fileOf(t testing.TB, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rows.bolt")
	s, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	write(t, s, "d", ramp(0, n))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func put(t testing.TB, path string, content []byte) string {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRefusesWhatIsNoStore(t *testing.T) {
	dir := t.TempDir()
	store := read(t, fileOf(t, 5000))
	at := func(name string) string { return filepath.Join(dir, name) }

	foreign := at("foreign.bolt")
	db, err := bolt.Open(foreign, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucket([]byte("somebody else's"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	newer := put(t, at("newer.bolt"), store)
	if db, err = bolt.Open(newer, 0o600, nil); err != nil {
		t.Fatal(err)
	}
	if err := db.Update(func(tx *bolt.Tx) error { return tx.Bucket([]byte("hotreader")).Put([]byte("format"), []byte("3")) }); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	headless := bytes.Clone(store)
	headless[30], headless[4096+30] = headless[30]^1, headless[4096+30]^1

	fifo := at("fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}

	for _, c := range []struct {
		what string
		path string
		code hotreader.Code
		says string
	}{
		{"a directory", dir, hotreader.CodeConfig, "directory"},
		{"a pipe", fifo, hotreader.CodeConfig, "regular"},
		{"no name", "", hotreader.CodeConfig, "no file is named"},
		{"a file in a directory that is not there", at("no/such/rows.bolt"), hotreader.CodeNotFound, "no such"},
		{"a file below a file", filepath.Join(newer, "rows.bolt"), hotreader.CodeStore, "not a directory"},
		{"a text", put(t, at("text"), []byte(strings.Repeat("timestamp,value\n", 2000))), hotreader.CodeConfig, "not a store"},
		{"a short text", put(t, at("short"), []byte("hello")), hotreader.CodeConfig, "not a store"},
		{"zeros", put(t, at("zeros"), make([]byte, 1<<16)), hotreader.CodeConfig, "not a store"},
		{"another program's bbolt file", foreign, hotreader.CodeConfig, "not a store"},
		{"a store of another format", newer, hotreader.CodeConfig, "format"},
		{"a store whose heads are damaged", put(t, at("headless"), headless), hotreader.CodeCorrupt, "damaged"},
		{"a store cut by a page", put(t, at("page"), store[:inUse(t, store)-4096]), hotreader.CodeCorrupt, "cut short"},
		{"a store cut to its heads", put(t, at("heads"), store[:2*4096]), hotreader.CodeCorrupt, "cut short"},
		{"a store cut to one head", put(t, at("head"), store[:4096]), hotreader.CodeConfig, "not a store"},
	} {
		for _, o := range []boltstore.Options{{}, {ReadOnly: true}} {
			before := contentOf(c.path)
			s, err := boltstore.Open(c.path, o)
			if err == nil {
				s.Close()
				t.Errorf("%s, %+v: it is opened", c.what, o)
				continue
			}
			e, ok := errors.AsType[*hotreader.Error](err)
			if !ok || e.Code != c.code || !strings.Contains(err.Error(), c.says) || c.path != "" && !strings.Contains(err.Error(), c.path) {
				t.Errorf("%s, %+v: the error is %v (%s); want one of %s that names the file and says %q", c.what, o, err, hotreader.CodeOf(err), c.code, c.says)
			}
			if after := contentOf(c.path); !bytes.Equal(before, after) {
				t.Errorf("%s, %+v: the file was changed", c.what, o)
			}
		}
	}
	if _, err := boltstore.Open(at("none.bolt"), boltstore.Options{ReadOnly: true}); hotreader.CodeOf(err) != hotreader.CodeNotFound {
		t.Errorf("a file that is not there, to read: %v, want %s", err, hotreader.CodeNotFound)
	}
	if _, err := os.Stat(at("none.bolt")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("opening to read made a file")
	}
	if _, err := boltstore.Open(put(t, at("empty"), nil), boltstore.Options{ReadOnly: true}); hotreader.CodeOf(err) != hotreader.CodeConfig {
		t.Errorf("an empty file, to read: %v, want %s", err, hotreader.CodeConfig)
	}
}

// contentOf returns what is in a file, nil if it is none; reading a pipe would
// wait for ever.
func contentOf(path string) []byte {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return nil
	}
	content, _ := os.ReadFile(path)
	return content
}

// inUse returns how many bytes of a store's file are in use.
func inUse(t *testing.T, store []byte) (n int64) {
	t.Helper()
	db, err := bolt.Open(put(t, filepath.Join(t.TempDir(), "copy.bolt"), store), 0, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.View(func(tx *bolt.Tx) error { n = tx.Size(); return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestReadsEarlierFiles: a file that the first version wrote is read, and can be
// written.
func TestReadsEarlierFiles(t *testing.T) {
	packed, err := os.Open("testdata/rows.bolt.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	unpacked, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, put(t, filepath.Join(t.TempDir(), "rows.bolt"), content), boltstore.Options{})
	for _, rows := range []int{300, 350} {
		if n, err := count(t, s, "d"); n != rows || err != nil {
			t.Errorf("%d rows, %v; want %d", n, err, rows)
		}
		write(t, s, "d", ramp(rows, 50))
	}
	// Rows of 300 properties, in blocks that are larger than they are made now.
	n := 0
	for row, err := range hotreader.NewReader(s).Read(t.Context(), hotreader.Query{Device: "wide", Properties: []string{"p000", "p299"}}) {
		if err != nil || string(row.Values[0].Text()) != "0" || string(row.Values[1].Text()) != "299" {
			t.Fatalf("row %d: %v, %v", n, row.Values, err)
		}
		n++
	}
	if n != 30 {
		t.Errorf("%d wide rows, want 30", n)
	}
	var far []string
	for row, err := range hotreader.NewReader(s).Read(t.Context(), hotreader.Query{Device: "far", Properties: []string{"on", "é"}, Types: []hotreader.Type{hotreader.Boolean, hotreader.AnyString}}) {
		if err != nil {
			t.Fatal(err)
		}
		far = append(far, row.Time.Format(time.RFC3339Nano)+" "+string(row.Values[1].Text()))
	}
	if want := []string{"0000-01-01T00:00:00Z ", "9999-12-31T23:59:59.999999999Z -1.5e300"}; !slices.Equal(far, want) {
		t.Errorf("%q, want %q", far, want)
	}
}

// TestOpensWhatAKilledProcessLeft: between making the file and its first
// transaction there is nothing in it.
func TestOpensWhatAKilledProcessLeft(t *testing.T) {
	dir := t.TempDir()
	bare := filepath.Join(dir, "bare.bolt")
	db, err := bolt.Open(bare, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{put(t, filepath.Join(dir, "empty.bolt"), nil), bare} {
		for range 2 {
			s, err := boltstore.Open(path, boltstore.Options{})
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			write(t, s, "d", ramp(0, 10))
			if n, err := count(t, s, "d"); n != 10 || err != nil {
				t.Errorf("%s: %d rows, %v", path, n, err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestSharing: one process writes, or several read.
func TestSharing(t *testing.T) {
	path := fileOf(t, 100)
	refused := func(o boltstore.Options) {
		t.Helper()
		s, err := boltstore.Open(path, o)
		if err == nil {
			s.Close()
			t.Fatalf("%+v: it is opened a second time", o)
		}
		if hotreader.CodeOf(err) != hotreader.CodeUnavailable || !strings.Contains(err.Error(), "another process") || !strings.Contains(err.Error(), path) {
			t.Errorf("%+v: the error is %v, want one of %s that names file and cause", o, err, hotreader.CodeUnavailable)
		}
	}
	s, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	refused(boltstore.Options{})
	refused(boltstore.Options{ReadOnly: true})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	a := open(t, path, boltstore.Options{ReadOnly: true})
	b := open(t, path, boltstore.Options{ReadOnly: true})
	for _, s := range []*boltstore.Store{a, b} {
		if n, err := count(t, s, "d"); n != 100 || err != nil {
			t.Errorf("%d rows, %v", n, err)
		}
	}
	refused(boltstore.Options{})
	if err := a.Write(t.Context(), "d", ramp(0, 1)); hotreader.CodeOf(err) != hotreader.CodeForbidden || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("writing to a store opened to read: %v, want %s", err, hotreader.CodeForbidden)
	}
}

func TestClosed(t *testing.T) {
	path := fileOf(t, 20_000)
	s, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	// A read under way does not keep the store from being closed, and says that
	// it is not complete.
	rows := 0
	for _, err = range hotreader.NewReader(s).Read(t.Context(), hotreader.Query{Device: "d", Properties: []string{"n"}}) {
		if rows++; rows == 1 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if hotreader.CodeOf(err) != hotreader.CodeUnavailable || !strings.Contains(err.Error(), "closed") {
		t.Errorf("a read under way ends with %v after %d rows, want %s", err, rows, hotreader.CodeUnavailable)
	}
	if _, err := count(t, s, "d"); hotreader.CodeOf(err) != hotreader.CodeUnavailable {
		t.Errorf("reading: %v, want %s", err, hotreader.CodeUnavailable)
	}
	if err := s.Write(t.Context(), "d", ramp(0, 1)); hotreader.CodeOf(err) != hotreader.CodeUnavailable {
		t.Errorf("writing: %v, want %s", err, hotreader.CodeUnavailable)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

// TestForeignPages: where bbolt finds another page than it expects it panics,
// which is an error of the store, and only of what needs that page.
func TestForeignPages(t *testing.T) {
	path := fileOf(t, 3000)
	content := read(t, path)
	content = content[:inUse(t, content)]
	file := filepath.Join(t.TempDir(), "damaged.bolt")
	found := 0
	for from := 2 * 4096; from < len(content); from += 4096 {
		for what, page := range map[string][]byte{"zeros": make([]byte, 4096), "a neighbour": content[from-4096 : from]} {
			put(t, file, slices.Concat(content[:from], page, content[from+4096:]))
			s, err := boltstore.Open(file, boltstore.Options{ReadOnly: true})
			n := 0
			if err == nil {
				n, err = count(t, s, "d")
				_ = s.Close()
			}
			switch {
			case hotreader.CodeOf(err) == hotreader.CodeCorrupt && strings.Contains(err.Error(), "a page of the file"):
				found++
			case err != nil && hotreader.CodeOf(err) != hotreader.CodeCorrupt, err == nil && n != 3000:
				t.Errorf("%s at %d: %d rows, %v", what, from, n, err)
			}
		}
	}
	if found == 0 {
		t.Error("no damage was ever found")
	}
}
