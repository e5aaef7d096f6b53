package serving

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// WatchMemory looks at a process until it has ended, or until peak is called,
// which returns the most memory, in bytes, that it had at once, without the pages
// of files: those the system takes back when it needs them.
func WatchMemory(tb testing.TB, pid int) (peak func() int64) {
	stop, most := make(chan struct{}), make(chan int64)
	go func() {
		var m int64
		for {
			m = max(m, Memory(pid))
			select {
			case <-stop:
				most <- m
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	}()
	return func() int64 {
		close(stop)
		m := <-most
		if m == 0 {
			tb.Fatalf("process %d shows no memory", pid)
		}
		return m
	}
}

// Memory returns what memory a process has now, in bytes, without the pages of
// files; 0 = it has ended.
func Memory(pid int) (bytes int64) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		name, kb, _ := strings.Cut(line, ":")
		if name == "RssAnon" || name == "RssShmem" {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(kb), " kB"), 10, 64)
			bytes += n << 10
		}
	}
	return bytes
}
