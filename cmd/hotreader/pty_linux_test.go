package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal returns a terminal of so many columns, and a function that closes it
// and returns all that was written to it.
func openTerminal(t *testing.T, columns uint16) (tty *os.File, written func() string) {
	tty, _, written = terminalPair(t, columns)
	return tty, written
}

// terminalPair is openTerminal, with what types into the terminal.
func terminalPair(t *testing.T, columns uint16) (tty, control *os.File, written func() string) {
	t.Helper()
	control, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(control.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: columns}); err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	all := make(chan string)
	go func() {
		var b bytes.Buffer
		_, _ = b.ReadFrom(control) // ends with EIO when the terminal is closed
		all <- b.String()
	}()
	return tty, control, func() string {
		tty.Close()
		text := <-all
		control.Close()
		return strings.ReplaceAll(text, "\r\n", "\n")
	}
}

func TestTerminal(t *testing.T) {
	store := "bolt:" + filepath.Join(t.TempDir(), "s.db")
	csv := filepath.Join(t.TempDir(), "pump.csv")
	if err := os.WriteFile(csv, []byte("timestamp,v\n2026-01-01,20.5\n2026-01-02,40\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	do := func(wantCode int, args ...string) string {
		t.Helper()
		tty, written := openTerminal(t, 70)
		if code := run(t.Context(), args, nil, tty, tty); code != wantCode {
			t.Errorf("%q: exit code %d", args, code)
		}
		return written()
	}
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")

	if got := do(0, "import", "--store", store, "--device", "d", csv); !strings.Contains(got, "\r\x1b[K") || !strings.HasPrefix(got, "\r") {
		t.Errorf("import shows no progress: %q", got)
	}
	got := do(0, "query", "--store", store, "--device", "d", "--property", "v")
	want := "\x1b[1mTIME (UTC)\x1b[0m               \x1b[1m   v\x1b[0m\n" +
		"\x1b[2m2026-01-01 00:00:00.000\x1b[0m  20.5\n\x1b[2m2026-01-02 00:00:00.000\x1b[0m    40\n\x1b[2m2 rows in "
	if got = strings.Replace(got, "  \x1b[1m   v", "               \x1b[1m   v", 1); !strings.HasPrefix(strings.ReplaceAll(got, " ", ""), strings.ReplaceAll(want, " ", "")) {
		t.Errorf("a query on a terminal is no table: %q", got)
	}
	if got := do(2, "query"); !strings.HasPrefix(got, "\x1b[31mhotreader:\x1b[0m query: ") {
		t.Errorf("an error has no colour: %q", got)
	}
	chart := do(0, "query", "--store", store, "--device", "d", "--property", "v", "--format", "chart")
	if !strings.Contains(chart, "\x1b[36m") || !strings.Contains(chart, "└┬───") {
		t.Errorf("the chart: %q", chart)
	}

	escape := filepath.Join(t.TempDir(), "escape.csv")
	if err := os.WriteFile(escape, []byte("timestamp,v\n2026-01-01,a\x1b[31mb\u202eé\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	do(0, "import", "--store", store, "--device", "e", escape)
	if got := do(0, "query", "--store", store, "--device", "e", "--property", "v", "--format", "csv"); !strings.HasPrefix(got, "time,v\n2026-01-01T00:00:00.000Z,\"a<1b>[31mb<202e>é\"\n") {
		t.Errorf("CSV on a terminal: %q", got)
	}

	long := filepath.Join(t.TempDir(), "long.csv")
	var rows strings.Builder
	rows.WriteString("timestamp,v\n")
	for i := range mostShown + 500 {
		fmt.Fprintf(&rows, "%d,%d\n", 1_700_000_000+i, i)
	}
	if err := os.WriteFile(long, []byte(rows.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	do(0, "import", "--store", store, "--device", "l", "--time-format", "epoch_s", long)
	if got := do(0, "query", "--store", store, "--device", "l", "--property", "v"); strings.Count(got, "\n") != mostShown+3 || !strings.Contains(got, "these are the first 1,000 rows; --limit 0 prints all") {
		t.Errorf("a flood: %d lines, ending in %q", strings.Count(got, "\n"), got[len(got)-200:])
	}
	if got := do(0, "query", "--store", store, "--device", "l", "--property", "v", "--limit", "0"); strings.Count(got, "\n") != mostShown+502 {
		t.Errorf("--limit 0 on a terminal: %d lines", strings.Count(got, "\n"))
	}
	chart = do(0, "query", "--store", store, "--device", "l", "--property", "v", "--format", "chart", "--limit", "0")
	if at := strings.Index(chart, "rows\r\x1b[K"); at > strings.Index(chart, "min 0") {
		t.Errorf("progress stands in the chart: %q", chart[:200])
	}

	for _, calm := range [][2]string{{"NO_COLOR", "1"}, {"TERM", "dumb"}} {
		t.Run(calm[0], func(t *testing.T) {
			t.Setenv(calm[0], calm[1])
			got := do(0, "query", "--store", store, "--device", "d", "--property", "v")
			if strings.Contains(got, "\x1b[") || !strings.HasPrefix(got, "TIME (UTC)") {
				t.Errorf("%s=%s: %q", calm[0], calm[1], got)
			}
		})
	}
}

// TestInitAsks: on a terminal init asks for what no flag says, again where an answer
// does not fit.
func TestInitAsks(t *testing.T) {
	tty, control, written := terminalPair(t, 80)
	dir := filepath.Join(t.TempDir(), "twin")
	if _, err := control.WriteString("9lives\n\nfactory\nasw\naws\n\npump-7\nspeed=integre\nspeed, speed\n=long\ntemperature, speed=integer\n"); err != nil {
		t.Fatal(err)
	}
	code := run(t.Context(), []string{"init", "--project", dir}, tty, tty, tty)
	if said := written(); code != 0 || !strings.Contains(said, `did you mean "aws"`) || !strings.Contains(said, "begins with '9'") || !strings.Contains(said, "did you mean integer?") ||
		!strings.Contains(said, "speed is there twice") || !strings.Contains(said, `"=long" has no name`) {
		t.Errorf("exit code %d: %s", code, said)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "config_iot_devices.json")); err != nil || !strings.Contains(string(text), `"name": "speed"`) {
		t.Errorf("%s, %v", text, err)
	}
	if code := run(t.Context(), []string{"validate", "--project", dir}, nil, io.Discard, os.Stderr); code != 0 {
		t.Errorf("validate exits with %d", code)
	}
}
