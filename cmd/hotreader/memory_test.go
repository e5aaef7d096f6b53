//go:build engines && linux

package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	built "hotreader/test/serving"
)

// A million rows go from a store to another process: neither holds more than
// 64 MB of memory at any time, not counting the pages of files, and each row arrives as it was written, in order.
func TestPitfall25MillionRowsInBoundedMemory(t *testing.T) {
	const rows, limit = 1_000_000, 64 << 10 // KB
	dir := t.TempDir()
	program := built.Program(t, "hotreader")
	store := "bolt:" + filepath.Join(dir, "s.db")
	t.Setenv("INTER_CLOUD_TOKEN", strings.Repeat("0123456789abcdef", 4))
	value := func(i int) string { return fmt.Sprintf("%d.%02d", 20+i%61, i*7919%100) }

	load := exec.Command(program, "import", "--store", store, "--device", "d", "--format", "csv", "-")
	load.Stderr = os.Stderr
	in, err := load.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := load.Start(); err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(in)
	fmt.Fprintln(w, "timestamp,temperature,vibration,running")
	for i := range rows {
		at := midnight.Unix() + int64(i)
		fmt.Fprintf(w, "%s,%s,%d.%03d,%v\n", isoTime(at), value(i), i%9, i*31%1000, i%1000 < 900)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	if err := load.Wait(); err != nil {
		t.Fatal(err)
	}

	serve := exec.Command(program, "serve", "--store", store, "--listen", "127.0.0.1:0", "--log-level", "error")
	talk, err := serve.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	defer serve.Wait()
	defer serve.Process.Kill()
	line, err := bufio.NewReader(talk).ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		t.Fatalf("%q, %v", line, err)
	}

	served := watchMemory(serve.Process.Pid)
	for _, format := range []string{"csv", "jsonl", "chart", "twinmaker"} {
		query := exec.Command(program, "query", "--remote", url, "--device", "d", "--property", "temperature,vibration,running", "--format", format)
		query.Stderr = os.Stderr
		out, err := query.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := query.Start(); err != nil {
			t.Fatal(err)
		}
		peak := watchMemory(query.Process.Pid)
		n := 0
		answer := bufio.NewReaderSize(out, 1<<16)
		for {
			text, err := answer.ReadString('\n')
			if text != "" && format == "csv" && n > 0 {
				at, rest, _ := strings.Cut(text, ",")
				if got, _, _ := strings.Cut(rest, ","); at != isoTime(midnight.Unix() + int64(n-1))[:19]+".000Z" || got != value(n-1) {
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
		t.Logf("query --format %s: %d lines, at most %d KB of memory", format, n, held)
		if want := map[string]int{"csv": rows + 1, "jsonl": rows}[format]; want != 0 && n != want {
			t.Errorf("%s: %d lines, want %d", format, n, want)
		}
		if held > limit || held == 0 {
			t.Errorf("query --format %s held %d KB, at most %d are allowed", format, held, limit)
		}
	}
	peak := served()
	t.Logf("serve: at most %d KB of memory", peak)
	if peak > limit || peak == 0 {
		t.Errorf("serve held %d KB, at most %d are allowed", peak, limit)
	}
}

// watchMemory looks at a process until it has ended, or until peak is called,
// which returns the most memory that it had at once, in KB.
func watchMemory(pid int) (peak func() int) {
	stop, done := make(chan struct{}), make(chan int)
	go func() {
		most := 0
		for {
			most = max(most, ownMemory(pid))
			select {
			case <-stop:
				done <- most
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	}()
	return func() int {
		close(stop)
		return <-done
	}
}

func isoTime(seconds int64) string {
	return time.Unix(seconds, 0).UTC().Format("2006-01-02T15:04:05Z")
}

// ownMemory returns what memory a process has now, in KB, without the pages of
// files, which the system takes back when it needs them; 0 = it has ended.
func ownMemory(pid int) (kb int) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		name, size, _ := strings.Cut(line, ":")
		if name == "RssAnon" || name == "RssShmem" {
			n, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(size), " kB"))
			kb += n
		}
	}
	return kb
}
