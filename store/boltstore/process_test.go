//go:build unix

package boltstore_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"hotreader"
	"hotreader/store/boltstore"
)

// The tests of whole processes start this program again, with what it is to do
// in the environment.
const roleVariable = "BOLTSTORE_TEST_ROLE"

var roles = map[string]func(path string) error{"import": importForEver}

func TestMain(m *testing.M) {
	name, path, _ := strings.Cut(os.Getenv(roleVariable), ":")
	if name == "" {
		os.Exit(m.Run())
	}
	if err := roles[name](path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// child starts this program in a role. Its stdout is returned.
func child(t *testing.T, role, path string) (*exec.Cmd, io.Reader) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), roleVariable+"="+role+":"+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

// batchRows is how many rows a batch of the import has that gets killed.
const batchRows = 400

// importRow is row n of that import: each second batch goes behind all, the
// others into the midst of what is there. Rows carry their number, so that a
// torn one would show.
func importRow(n int) hotreader.Record {
	tm := base.Add(time.Duration(n) * time.Second)
	if n/batchRows%2 == 1 {
		tm = base.Add(time.Duration(n-2*batchRows)*time.Second + time.Millisecond)
	}
	number := strconv.Itoa(n)
	return hotreader.Record{Time: tm, Fields: []hotreader.Field{
		{Name: "n", Value: hotreader.NumberValue([]byte(number))},
		{Name: "text", Value: hotreader.StringValue([]byte("row " + number))},
		{Name: "batch " + strconv.Itoa(n/batchRows%7), Value: hotreader.BoolValue(true)},
	}}
}

// importForEver goes on with the import where the file ends, and says which
// batches are written.
func importForEver(path string) error {
	s, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		return err
	}
	ctx := context.Background()
	rows := 0
	for _, err := range hotreader.NewReader(s).Read(ctx, hotreader.Query{Device: "d", Properties: []string{"n"}}) {
		if err != nil {
			return err
		}
		rows++
	}
	batch := make([]hotreader.Record, batchRows)
	for n := rows / batchRows; ; n++ {
		for i := range batch {
			batch[i] = importRow(n*batchRows + i)
		}
		if err := s.Write(ctx, "d", batch); err != nil {
			return err
		}
		if _, err := fmt.Println(n); err != nil {
			return err
		}
	}
}

// TestKilledWhileImporting: whenever a process is killed, its file opens, and
// what Write acknowledged is there, whole.
func TestKilledWhileImporting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rows.bolt")
	written := 0 // batches acknowledged
	for round := range 30 {
		cmd, out := child(t, "import", path)
		lines := bufio.NewScanner(out)
		// The first rounds are killed while the file is made, the later ones
		// somewhere behind their first batch.
		if round >= 3 {
			if !lines.Scan() {
				t.Fatalf("round %d: the import ended by itself: %v", round, cmd.Wait())
			}
			written = next(t, lines.Text(), written)
		}
		kill := time.AfterFunc(time.Duration(rand.IntN(30_000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
		for lines.Scan() {
			written = next(t, lines.Text(), written)
		}
		kill.Stop()
		if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("round %d: the import was not killed but ended with %v", round, err)
		}
		s, err := boltstore.Open(path, boltstore.Options{})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		seen := make(map[int]bool)
		for row, err := range hotreader.NewReader(s).Read(t.Context(), hotreader.Query{Device: "d", Properties: []string{"n", "text"}}) {
			if err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
			n, _ := strconv.Atoi(string(row.Values[0].Text()))
			if want := importRow(n); !row.Time.Equal(want.Time) || !hotreader.Same(row.Values[1], want.Fields[1].Value) {
				t.Fatalf("round %d: row %d is at %v with %v", round, n, row.Time, row.Values)
			}
			seen[n] = true
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for n := range written * batchRows {
			if !seen[n] {
				t.Fatalf("round %d: %d batches were acknowledged, but row %d of batch %d is not there", round, written, n, n/batchRows)
			}
		}
		// The batch under way is there or not, never in part; it may have been
		// acknowledged to nobody.
		if len(seen)%batchRows != 0 || len(seen) > (written+1)*batchRows {
			t.Fatalf("round %d: %d batches were acknowledged, but %d rows are there", round, written, len(seen))
		}
		written = len(seen) / batchRows
	}
	if written == 0 {
		t.Error("no batch was ever written; the test tests nothing")
	}
}

// next checks that batches are acknowledged one after the other.
func next(t *testing.T, line string, written int) int {
	t.Helper()
	if n, err := strconv.Atoi(line); err != nil || n != written {
		t.Fatalf("the import says %q, want %d", line, written)
	}
	return written + 1
}

// TestReadTakesTurns: reads that go on and on leave the processor to others
// sooner than Go would make them, which is after 10 ms.
func TestReadTakesTurns(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "rows.bolt"), boltstore.Options{})
	batch := make([]hotreader.Record, 200_000) // some milliseconds of reading
	for i := range batch {
		batch[i] = hotreader.Record{Time: base.Add(time.Duration(i) * time.Second),
			Fields: []hotreader.Field{{Name: "n", Value: hotreader.NumberValue([]byte(strconv.Itoa(i)))}}}
	}
	if err := s.Write(t.Context(), "d", batch); err != nil {
		t.Fatal(err)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var turns, stop atomic.Int64
	others := make(chan struct{})
	go func() {
		defer close(others)
		for stop.Load() == 0 {
			turns.Add(1)
			runtime.Gosched()
		}
	}()
	began, used := turns.Load(), processor(t)
	rows := 0
	for processor(t)-used < 300*time.Millisecond {
		for _, err := range hotreader.NewReader(s).Read(t.Context(), hotreader.Query{Device: "d", Properties: []string{"n"}}) {
			if err != nil {
				t.Fatal(err)
			}
			rows++
		}
	}
	took, n := processor(t)-used, turns.Load()-began
	stop.Store(1)
	<-others
	if each := took / time.Duration(max(n, 1)); each > 5*time.Millisecond {
		t.Errorf("%d rows took %s of the processor, and another goroutine had %d turns meanwhile, one in %s", rows, took, n, each)
	}
}

// processor returns how long this process has had processors.
func processor(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
