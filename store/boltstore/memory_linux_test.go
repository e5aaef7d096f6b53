package boltstore_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"hotreader"
	"hotreader/store/boltstore"
)

// scanAll reads all rows of a file, forwards and backwards, and prints how many
// came and what the process took of memory at the most, in KB: its own and the
// file's mapped pages.
func scanAll(path string) error {
	s, err := boltstore.Open(path, boltstore.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	rows := 0
	for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
		for _, err := range s.Read(context.Background(), hotreader.Query{Device: "d", Properties: wide, Order: order}) {
			if err != nil {
				return err
			}
			rows++
		}
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	_, peak, _ := bytes.Cut(status, []byte("VmHWM:"))
	peak, _, _ = bytes.Cut(peak, []byte("kB"))
	fmt.Println(rows, string(bytes.TrimSpace(peak)))
	return s.Close()
}

var wide = []string{"a", "b", "c", "d"}

// TestPitfall25MemoryIsBounded: what a scan takes does not grow with the file, of which
// the kernel would gladly keep all pages in the process.
func TestPitfall25MemoryIsBounded(t *testing.T) {
	const rows = memoryRows
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
		t.Errorf("%d rows came, want %s", got, strconv.Itoa(2*rows))
	}
	if limit := memoryLimitKB; peak > limit {
		t.Errorf("the process took %d KB at the most, want at most %d", peak, limit)
	}
}
