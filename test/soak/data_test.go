//go:build linux

package soak

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hotreader"
	"hotreader/store/boltstore"
	"hotreader/wire"
)

// The machine: a few devices of some thousand rows, and one of many.
const (
	devices = 6
	few     = 4_000
	many    = 70_000
	scanned = 15_000 // of them, by a query with a filter
	large   = "large"
)

func device(i int) string { return fmt.Sprintf("pump-%d", i) }

// properties of each row, in this order.
var properties = []string{"temperature", "state", "count"}

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// at is the instant of row i; widths are mixed.
func at(i int) time.Time {
	return start.Add(time.Duration(i)*time.Second + time.Duration(i%3)*250*time.Millisecond)
}

// cells are the values of row i of a device, spelled so that a float would
// change them.
func cells(device string, i int) [3]string {
	n := uint64(i)*0x9E3779B97F4A7C15 + uint64(len(device))*31 + uint64(device[len(device)-1])
	n ^= n >> 29
	return [3]string{
		fmt.Sprintf("%d.%015d", 20+n%60, n%1_000_000_000_000_000),
		[]string{"idle", "on", "off, by hand", "on"}[n>>8%4],
		strconv.Itoa(i),
	}
}

// row is what an answer says of an instant.
type row struct {
	at    int64 // ns since 1970
	cells [3]string
}

func rowOf(device string, i int) row { return row{at(i).UnixNano(), cells(device, i)} }

// writeCSV writes rows of a device as a file to import.
func writeCSV(t testing.TB, dir, device string, rows int) string {
	t.Helper()
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	for i := range rows {
		if i == 0 {
			_ = w.Write(append([]string{"timestamp"}, properties...))
		}
		c := cells(device, i)
		_ = w.Write(append([]string{at(i).Format(time.RFC3339Nano)}, c[:]...))
	}
	w.Flush()
	file := filepath.Join(dir, device+".csv")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// machine returns the store of the machine, which the first test makes for all.
func machine(t testing.TB) string {
	t.Helper()
	file := filepath.Join(home, "machine.db")
	store := "bolt:" + file
	if _, err := os.Stat(file); err == nil {
		return store
	}
	dir := t.TempDir()
	for i := range devices {
		run(t, "import", "--store", store, "--device", device(i), writeCSV(t, dir, device(i), few))
	}
	run(t, "import", "--store", store, "--device", large, writeCSV(t, dir, large, many))
	return store
}

// query is one request that is sent again and again, and what must come.
type query struct {
	kind         string
	method, path string
	body         string
	accept       string
	gzip         bool

	read func(body []byte) ([]row, error)
	want []row

	sum [32]byte // of the answer's body, once that is known to be right
}

// history are the rows from one to another, of a device.
func history(device string, from, to int) []row {
	var all []row
	for i := from; i < to; i++ {
		all = append(all, rowOf(device, i))
	}
	return all
}

// envelope asks for the first rows of a device.
func envelope(kind, device string, rows int, more string) string {
	return `{"source_cloud":"aws","target_layer":"L3-Hot-Read","message_type":"` + kind + `","timestamp":"2026-01-01T00:00:00Z",` +
		`"payload":{"iot_device_id":"` + device + `","start_time":"2020-01-01T00:00:00Z","end_time":"` + at(rows-1).Format(time.RFC3339Nano) + `",` +
		`"selected_properties":["` + strings.Join(properties, `","`) + `"]` + more + `}}`
}

func selected() string { return "property=" + strings.Join(properties, "&property=") }

// rowStream asks for a device's rows as another cloud does.
func rowStream(device string, rows int, more string, want []row) *query {
	body := envelope("query", device, rows, more)
	return &query{kind: "rows", method: "POST", path: "/read", body: body, accept: wire.MediaType, want: want,
		read: func(b []byte) ([]row, error) {
			e, err := wire.ParseEnvelope([]byte(body))
			if err != nil {
				return nil, err
			}
			q, err := e.Query()
			if err != nil {
				return nil, err
			}
			d := wire.NewDecoder(bytes.NewReader(b), q)
			defer d.Close()
			var all []row
			for {
				r, err := d.Read()
				if errors.Is(err, io.EOF) {
					if d.More() {
						err = errMore
					} else {
						err = nil
					}
					return all, err
				} else if err != nil {
					return nil, err
				}
				n := row{at: r.Time.UnixNano()}
				for i, v := range r.Values {
					n.cells[i] = string(v.Text())
				}
				all = append(all, n)
			}
		}}
}

// errMore says that an answer is the beginning of what was asked for, and knows.
var errMore = errors.New("it says that there is more")

func csvPage(device string, from, to int) *query {
	return &query{kind: "CSV", method: "GET", accept: "text/csv", want: history(device, from, to), read: readCSV,
		path: fmt.Sprintf("/v1/devices/%s/history?%s&start=%s&end=%s", device, selected(), at(from).Format(time.RFC3339Nano), at(to-1).Format(time.RFC3339Nano))}
}

func readCSV(b []byte) ([]row, error) {
	lines, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(lines) == 0 || !slices.Equal(lines[0], append([]string{"time"}, properties...)) {
		return nil, errors.New("the CSV has another head")
	}
	var all []row
	for _, line := range lines[1:] {
		tm, err := hotreader.ParseTime([]byte(line[0]))
		if err != nil {
			return nil, err
		}
		all = append(all, row{tm.UnixNano(), [3]string(line[1:])})
	}
	return all, nil
}

type page struct {
	Items []map[string]any `json:"items"`
	Next  string           `json:"next_token"`
}

func readPage(b []byte) (p page, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return p, d.Decode(&p)
}

func readJSON(b []byte) ([]row, error) {
	p, err := readPage(b)
	if err != nil {
		return nil, err
	}
	var all []row
	for _, item := range p.Items {
		tm, err := hotreader.ParseTime(fmt.Append(nil, item["time"]))
		if err != nil {
			return nil, err
		}
		r := row{at: tm.UnixNano()}
		for i, name := range properties {
			r.cells[i] = fmt.Sprint(item[name])
		}
		all = append(all, r)
	}
	return all, nil
}

// readLastEntry reads TwinMaker's answer, which has no times.
func readLastEntry(at int64) func(b []byte) ([]row, error) {
	return func(b []byte) ([]row, error) {
		var answer struct {
			PropertyValues map[string]struct {
				PropertyValue map[string]any `json:"propertyValue"`
			} `json:"propertyValues"`
		}
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		if err := d.Decode(&answer); err != nil {
			return nil, err
		}
		r := row{at: at}
		for i, name := range properties {
			for _, v := range answer.PropertyValues[name].PropertyValue {
				r.cells[i] = fmt.Sprint(v)
			}
		}
		return []row{r}, nil
	}
}

// mix returns the requests of the load, each as often as it shall come, and has
// each answer of s looked at in full.
func mix(ctx context.Context, s *server, c *client) ([]*query, error) {
	const limit = 500
	var all []*query
	for i := range devices {
		name := device(i)
		last := history(name, few-1, few)
		all = append(all, rowStream(name, few, "", history(name, 0, few)), rowStream(name, few, "", history(name, 0, few)),
			csvPage(name, 100*i, 100*i+1000), csvPage(name, few-1000, few),
			&query{kind: "last entry", method: "GET", path: "/v1/devices/" + name + "/latest?" + selected(), want: last, read: readJSON},
			&query{kind: "last entry", method: "GET", path: "/v1/devices/" + large + "/latest?" + selected(), want: history(large, many-1, many), read: readJSON},
			&query{kind: "last entry", method: "POST", path: "/read", want: last, read: readLastEntry(last[0].at), body: envelope("query_last_entry", name, few, "")},
		)
		// Few of many rows: much work for the server, little for us.
		for k := range 3 {
			from, to := 1000*(i+1), 1000*(i+1)+50*(k+1)
			filter := fmt.Sprintf(`,"filters":[{"property_name":"count","operator":">=","value":%d},{"property_name":"count","operator":"<","value":%d}]`, from, to)
			all = append(all, rowStream(large, scanned, filter, history(large, from, to)), rowStream(large, scanned, filter, history(large, from, to)))
		}
		// The pages of a series: each needs the token that the one before gave.
		path := fmt.Sprintf("/v1/devices/%s/history?%s&limit=%d", name, selected(), limit)
		token := ""
		for from := 0; from < few; from += limit {
			q := &query{kind: "JSON page", method: "GET", path: path + token, want: history(name, from, from+limit), read: readJSON}
			body, err := c.whole(ctx, s, q)
			if err != nil {
				return nil, err
			}
			p, err := readPage(body)
			if err != nil || (p.Next == "") != (from+limit == few) {
				return nil, fmt.Errorf("the page at %d, %q: %w", from, p.Next, err)
			}
			token = "&next_token=" + p.Next
			if zipped := *q; from%(4*limit) == 0 {
				zipped.gzip = true
				all = append(all, &zipped)
			}
		}
	}
	for _, q := range all {
		if _, err := c.whole(ctx, s, q); err != nil {
			return nil, err
		}
	}
	return all, nil
}

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
	for round := 0; killed < kills || partly == 0; round++ { // one at least that had begun to write
		if round > 20*kills {
			t.Fatalf("only %d of %d imports were killed before they ended, %d when they had begun to write", killed, round, partly)
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
