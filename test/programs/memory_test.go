//go:build engines && linux

package programs

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hotreader/test/serving"
)

// A million rows go from a store to another process: neither holds more than
// 64 MB of memory at any time, not counting the pages of files, and each row arrives as it was written, in order.
func TestPitfall25MillionRowsInBoundedMemory(t *testing.T) {
	const rows, limit = 1_000_000, 64 << 20 // bytes
	dir := t.TempDir()
	program := serving.Program(t, "hotreader")
	store := "bolt:" + filepath.Join(dir, "s.db")
	t.Setenv("INTER_CLOUD_TOKEN", serving.Token)
	midnight := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	value := func(i int) string { return fmt.Sprintf("%d.%02d", 20+i%61, i*7919%100) }

	load := exec.Command(program, "import", "--store", store, "--device", "d", "--format", "csv", "-")
	load.Stderr = os.Stderr
	in, lines := io.Pipe()
	go func() {
		w := bufio.NewWriter(lines)
		fmt.Fprintln(w, "timestamp,temperature,vibration,running")
		for i := range rows {
			at := midnight + int64(i)
			fmt.Fprintf(w, "%s,%s,%d.%03d,%v\n", isoTime(at), value(i), i%9, i*31%1000, i%1000 < 900)
		}
		_ = lines.CloseWithError(w.Flush())
	}()
	load.Stdin = in
	if err := load.Run(); err != nil {
		t.Fatal(err)
	}

	server := serving.Start(t, "hotreader", map[string]string{"INTER_CLOUD_TOKEN": serving.Token}, "serve", "--store", store, "--log-level", "error").WaitReady(t)
	served := serving.WatchMemory(t, server.Pid())
	for _, format := range []string{"csv", "jsonl", "chart", "twinmaker"} {
		query := exec.Command(program, "query", "--remote", server.URL, "--device", "d", "--property", "temperature,vibration,running", "--format", format)
		query.Stderr = os.Stderr
		out, err := query.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := query.Start(); err != nil {
			t.Fatal(err)
		}
		peak := serving.WatchMemory(t, query.Process.Pid)
		n := 0
		answer := bufio.NewReaderSize(out, 1<<16)
		for {
			text, err := answer.ReadString('\n')
			if text != "" && format == "csv" && n > 0 {
				at, rest, _ := strings.Cut(text, ",")
				if got, _, _ := strings.Cut(rest, ","); at != isoTime(midnight + int64(n-1))[:19]+".000Z" || got != value(n-1) {
					t.Fatalf("row %d is %q", n-1, text)
				}
			}
			if text != "" {
				n++
			}
			if err != nil {
				break
			}
		}
		if err := query.Wait(); err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		held := peak()
		t.Logf("query --format %s: %d lines, at most %d bytes of memory", format, n, held)
		if want := map[string]int{"csv": rows + 1, "jsonl": rows}[format]; want != 0 && n != want {
			t.Errorf("%s: %d lines, want %d", format, n, want)
		}
		if held > limit {
			t.Errorf("query --format %s held %d bytes, at most %d are allowed", format, held, limit)
		}
	}
	peak := served()
	t.Logf("serve: at most %d bytes of memory", peak)
	const cache = 64 << 20 // that serve keeps of what was read
	if peak > limit+cache {
		t.Errorf("serve held %d bytes, at most %d are allowed beside its cache", peak, limit)
	}
}

func isoTime(seconds int64) string {
	return time.Unix(seconds, 0).UTC().Format("2006-01-02T15:04:05Z")
}
