package boltstore_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"hotreader"
	"hotreader/store/boltstore"
)

func TestNoPermission(t *testing.T) {
	cases := []struct {
		what      string
		file, dir os.FileMode // 0 file = it is not there
		o         boltstore.Options
	}{
		{"a file that may not be read", 0o200, 0o755, boltstore.Options{}},
		{"a file that may not be read", 0o200, 0o755, boltstore.Options{ReadOnly: true}},
		{"a file that may not be written", 0o444, 0o755, boltstore.Options{}},
		{"a file in a directory that may not be entered", 0o644, 0o600, boltstore.Options{}},
		{"a new file in a directory that may not be written", 0, 0o555, boltstore.Options{}},
	}
	content := read(t, fileOf(t, 10))
	paths := make([]string, len(cases))
	for i, c := range cases {
		dir := t.TempDir()
		paths[i] = filepath.Join(dir, "rows.bolt")
		if c.file != 0 {
			put(t, paths[i], content)
			if err := os.Chmod(paths[i], c.file); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(dir, c.dir); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Error(err)
			}
		})
	}
	if os.Geteuid() == 0 { // root may do anything; be somebody else, in this thread
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		fsuid := func(uid uintptr) {
			if _, _, errno := syscall.RawSyscall(syscall.SYS_SETFSUID, uid, 0, 0); errno != 0 {
				t.Fatal(errno)
			}
		}
		fsuid(65534)
		defer fsuid(0)
	}
	for i, c := range cases {
		s, err := boltstore.Open(paths[i], c.o)
		if err == nil {
			s.Close()
		}
		if hotreader.CodeOf(err) != hotreader.CodeForbidden || !strings.Contains(err.Error(), paths[i]) {
			t.Errorf("%s, %+v: the error is %v, want one of %s that names the file", c.what, c.o, err, hotreader.CodeForbidden)
		}
	}
}

func init() { roles["scan"] = scanAll }

// scanAll reads all rows of a file, forwards and backwards, and prints how many
// came and what the process took of memory at the most, in KB, without the pages
// of files, which the system takes back when it needs them.
func scanAll(path string) error {
	s, err := boltstore.Open(path, boltstore.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	rows, peak := 0, 0
	for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
		for _, err := range hotreader.NewReader(s).Read(context.Background(), hotreader.Query{Device: "d", Properties: wide, Order: order}) {
			if err != nil {
				return err
			}
			if rows++; rows%10_000 == 0 {
				now, err := ownKB()
				if err != nil {
					return err
				}
				peak = max(peak, now)
			}
		}
	}
	fmt.Println(rows, peak)
	return s.Close()
}

// ownKB returns what memory this process has, without the pages of files.
func ownKB() (kb int, err error) {
	status, err := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		var n int
		if _, err := fmt.Sscanf(line, "RssAnon: %d kB", &n); err == nil {
			kb += n
		}
		if _, err := fmt.Sscanf(line, "RssShmem: %d kB", &n); err == nil {
			kb += n
		}
	}
	return kb, err
}

var wide = []string{"a", "b", "c", "d"}

// TestPitfall25MemoryIsBounded: what a scan takes does not grow with the file.
func TestPitfall25MemoryIsBounded(t *testing.T) {
	const rows, limitKB = 200_000, 32 << 10 // half of what a whole process may take to serve them
	path := filepath.Join(t.TempDir(), "rows.bolt")
	s, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	batch := make([]hotreader.Record, 50_000)
	for n := range batch {
		batch[n].Fields = make([]hotreader.Field, len(wide))
	}
	for from := 0; from < rows; from += len(batch) {
		for i := range batch {
			n := from + i
			batch[i].Time = base.Add(time.Duration(n) * time.Second)
			for k, name := range wide {
				batch[i].Fields[k] = hotreader.Field{Name: name, Value: hotreader.NumberValue(fmt.Appendf(nil, "%d.%08d", 60+n%40, (n*7919+k)%100_000_000))}
			}
		}
		write(t, s, "d", batch)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	// 4 values of 11 digits, each with a byte of length, and the time; bbolt
	// makes the file longer by 16 MB at a time.
	if most := int64(rows*55 + 16<<20); info.Size() > most {
		t.Errorf("the file has %d bytes, want at most %d", info.Size(), most)
	}

	cmd, out := child(t, "scan", path)
	var got, peak int
	if _, err := fmt.Fscan(out, &got, &peak); err != nil {
		t.Fatalf("the scan said nothing (%v): %v", err, cmd.Wait())
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if got != 2*rows {
		t.Errorf("%d rows came, want %d", got, 2*rows)
	}
	if peak == 0 || peak > limitKB {
		t.Errorf("the process took %d KB at the most, want at most %d", peak, limitKB)
	}
}
