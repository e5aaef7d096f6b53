//go:build linux

package soak

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hotreader"
	"hotreader/store/boltstore"
)

// batch is how many lines `hotreader import` writes at once.
const batch = 1000

// TestKilledImports: `hotreader import` into a file is killed at random moments.
// Each time the file opens; what the progress display had told of is there, and
// so is every earlier import; nothing else is but whole batches; and the import
// can be ended, by going on behind what is stored or by repeating it.
func TestKilledImports(t *testing.T) {
	kills, lines := 6, 8_000
	if long() {
		kills, lines = 100, 30_000
	}
	r := dice(t)
	dir := t.TempDir()
	file := writeCSV(t, dir, "import", lines)
	want := history("import", 0, lines)
	usual := time.Duration(0) // how long an import takes
	killed, early, told, partly, ended := 0, 0, 0, 0, 0
	path, done := "", 0 // the store, and how many devices are in it
	began := time.Now()
	for round := 0; killed < kills; round++ {
		if round > 20*kills {
			t.Fatalf("only %d of %d imports were killed before they ended", killed, round)
		}
		if round%8 == 0 { // the file itself is made now and then
			for i := range done {
				same(t, path, i, want)
			}
			path, done = filepath.Join(dir, fmt.Sprintf("%d.db", round)), 0
		}
		args := []string{"import", "--store", "bolt:" + path, "--device", strconv.Itoa(done)}
		cmd := command(t, dir, append(args, file)...)
		shown := onTerminal(t, cmd)
		start := time.Now()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		after := time.Minute
		if round > 0 {
			after = time.Duration(r.Int64N(int64(usual)*6/5 + 1))
		}
		timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		timer.Stop()
		acknowledged := progress(shown())
		status := cmd.ProcessState.Sys().(syscall.WaitStatus)
		switch {
		case err == nil:
			acknowledged = lines
			ended++
			if took := time.Since(start); usual == 0 {
				usual = took
			} else {
				usual = (3*usual + took) / 4
			}
		case status.Signaled() && status.Signal() == syscall.SIGKILL:
			killed++
		default:
			t.Fatalf("round %d: the import was not killed, but ended with %v", round, err)
		}
		stored := read(t, path, done)
		n := len(stored)
		difference(t, stored, want[:min(n, lines)])
		switch {
		case n < acknowledged:
			t.Fatalf("round %d, killed after %s: %d lines were acknowledged, %d are there", round, after, acknowledged, n)
		case n%batch != 0 && n != lines:
			t.Fatalf("round %d, killed after %s: %d lines are there, which are no whole batches", round, after, n)
		case n == 0:
			early++
		case n < lines:
			partly++
		}
		if acknowledged > 0 {
			told++
		}
		if done > 0 {
			same(t, path, r.IntN(done), want)
		}
		if killed%2 == 0 && n > 0 {
			args = append(args, "--skip", strconv.Itoa(n))
		}
		run(t, append(args, file)...)
		same(t, path, done, want)
		done++
		if long() && killed%25 == 0 && err != nil {
			say(t, "%4.0f s: %d kills", time.Since(began).Seconds(), killed)
		}
	}
	for i := range done {
		same(t, path, i, want)
	}
	if partly == 0 {
		t.Errorf("of %d kills not one hit an import that had begun to write: this tests nothing", killed)
	}
	say(t, "%d imports of %d lines killed: %d with nothing stored, %d with a part, %d with all; %d imports ended before; progress was told in %d; an import takes %s",
		killed, lines, early, partly, killed-early-partly, ended, told, ms(usual))
}

// read returns what is stored of a device.
func read(t testing.TB, path string, device int) (all []row) {
	t.Helper()
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	s, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for r, err := range hotreader.NewReader(s).Read(t.Context(), hotreader.Query{Device: strconv.Itoa(device), Properties: properties}) {
		if err != nil {
			t.Fatal(err)
		}
		n := row{at: r.Time.UnixNano()}
		for i, v := range r.Values {
			n.cells[i] = string(v.Text())
		}
		all = append(all, n)
	}
	return all
}

// same fails the test if not exactly want is stored of a device.
func same(t testing.TB, path string, device int, want []row) {
	t.Helper()
	got := read(t, path, device)
	if len(got) != len(want) {
		t.Fatalf("%d rows are there, want %d", len(got), len(want))
	}
	difference(t, got, want)
}

func difference(t testing.TB, got, want []row) {
	t.Helper()
	for i := range got {
		if i >= len(want) || got[i] != want[i] {
			t.Fatalf("row %d is %v", i, got[i])
		}
	}
}

var lineCount = regexp.MustCompile(`([\d,]+) lines`)

// progress returns how many lines a terminal was told last.
func progress(shown string) int {
	all := lineCount.FindAllStringSubmatch(shown, -1)
	if len(all) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(strings.ReplaceAll(all[len(all)-1][1], ",", ""))
	return n
}

// onTerminal gives c a terminal for its progress display. The returned function
// tells what was shown there; it must be called when c has ended.
func onTerminal(t testing.TB, c *exec.Cmd) (shown func() string) {
	t.Helper()
	control, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(control.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(control.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	c.Stderr = tty
	all := make(chan string)
	go func() {
		var b bytes.Buffer
		_, _ = b.ReadFrom(control) // ends with EIO when nobody has the terminal any more
		all <- b.String()
	}()
	return func() string {
		tty.Close()
		defer control.Close()
		return <-all
	}
}
