package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"hotreader"
	"hotreader/cmd/hotreader/internal/importer"
	"hotreader/cmd/hotreader/internal/terminal"
	"hotreader/store/all"
)

// kind is a file as people have them, and the rows that it holds; testdata/import.files says
// more.
type kind struct{ name, flags, advice, says, silent, file, want string }

func TestFiles(t *testing.T) {
	text, err := os.ReadFile("testdata/import.files")
	if err != nil {
		t.Fatal(err)
	}
	cases := strings.Split(string(text), "\n=== ")[1:]
	if len(cases) < 150 {
		t.Fatalf("%d files", len(cases))
	}
	for _, c := range cases {
		head, rest, _ := strings.Cut(c, "\n--- file\n")
		file, want, _ := strings.Cut(rest, "--- rows")
		name, head, _ := strings.Cut(head, "\n")
		k := kind{name: name, file: strings.NewReplacer("␍", "\r", "␃\n", "").Replace(file), want: want}
		for line := range strings.Lines(head) {
			key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			switch key {
			case "flags":
				k.flags = value
			case "advice":
				k.advice = value
			case "says":
				k.says = value
			case "silent":
				k.silent = value
			default:
				t.Fatalf("%s: %q", name, line)
			}
		}
		t.Run(name, k.try)
	}
}

// try imports the files of k and compares all that the store has then.
func (k *kind) try(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	var files []string
	for i, text := range strings.Split(k.file, "====\n") {
		name := filepath.Join(dir, fmt.Sprintf("file%d", i+1))
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, name)
	}
	args := shellWords(t, k.flags)
	if !slices.Contains(args, "--device-column") && !strings.Contains(k.advice, "--device-column") {
		args = append(args, "--device", "d")
	}
	if k.advice != "" {
		_, talk, code := runImport(t, "bolt:"+filepath.Join(dir, "first.db"), slices.Concat(args, files))
		if code != exitUsage || !strings.Contains(talk, k.advice) {
			t.Fatalf("exit code %d, want %d and %q: %s", code, exitUsage, k.advice, talk)
		}
		args = append(args, shellWords(t, k.advice)...)
	}
	store := "bolt:" + filepath.Join(dir, "s.db")
	result, talk, code := runImport(t, store, slices.Concat(args, files))
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, talk)
	}
	if got, want := dumped(t, store, result, slices.Contains(args, "--device-column")), strings.TrimSpace(k.want); got != want {
		t.Errorf("the store has\n%s\nwant\n%s\nit was taken for %q, and %s", got, want, result.Files[0].Taken, talk)
	}
	told := talk
	for _, f := range result.Files {
		told += f.Taken + "\n"
	}
	for _, l := range result.LeftOut {
		told += fmt.Sprintf("%s: %d %s\n", l.Column, l.Count, l.Reason)
	}
	told += outcome(&result) + "\n"
	if !strings.Contains(told, k.says) || k.silent != "" && strings.Contains(told, k.silent) {
		t.Errorf("it says %q, or does not say %q: %s", k.silent, k.says, told)
	}
}

// shellWords are the words of a command line as a shell takes them.
func shellWords(t *testing.T, line string) []string {
	t.Helper()
	if line == "" {
		return nil
	}
	out, err := exec.Command("sh", "-c", "set -- "+line+"\n"+`for w; do printf '%s\n' "$w"; done`).Output()
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

func runImport(t *testing.T, store string, args []string) (result importer.Result, talk string, code int) {
	t.Helper()
	var out, said bytes.Buffer
	code = run(t.Context(), slices.Concat([]string{"import", "--json", "--store", store}, args), nil, &out, &said)
	if code == 0 {
		if err := json.Unmarshal(out.Bytes(), &result); err != nil {
			t.Fatalf("%v: %s", err, out.String())
		}
	}
	return result, said.String(), code
}

// dumped writes all rows of the devices of a result.
func dumped(t *testing.T, url string, result importer.Result, devices bool) string {
	t.Helper()
	if len(result.Devices) == 0 {
		return ""
	}
	store, err := all.OpenReader(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	var names []string
	for _, c := range result.Columns {
		names = append(names, c.Name)
	}
	var b strings.Builder
	for _, d := range result.Devices {
		for row, err := range hotreader.NewReader(store).Read(t.Context(), hotreader.Query{Device: d.ID, Properties: names}) {
			if err != nil {
				t.Fatal(err)
			}
			if devices {
				b.WriteString(d.ID + " ")
			}
			b.WriteString(row.Time.Format("2006-01-02T15:04:05.999999999"))
			for i, v := range row.Values {
				if !v.IsNull() {
					fmt.Fprintf(&b, " %s=%s", names[i], v)
				}
			}
			b.WriteByte('\n')
		}
	}
	return strings.TrimSpace(b.String())
}

func TestFilesInOtherEncodings(t *testing.T) {
	encoded := func(e interface{ String(string) (string, error) }, text string) string {
		out, err := e.String(text)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	const text = "timestamp;Größe €;b\n2026-01-01;1,5;Straße\n2026-01-02;2,5;x\n"
	const want = "2026-01-01T00:00:00 Größe €=1.5 b=\"Straße\"\n2026-01-02T00:00:00 Größe €=2.5 b=\"x\""
	const czech = "čas;stav\n2026-01-01;Žluťoučký\n"
	for _, k := range []kind{
		{name: "UTF-8 with a mark", file: "\ufeff" + text, want: want},
		{name: "UTF-16 with a mark", file: encoded(unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder(), text), want: want, says: "utf-16le"},
		{name: "UTF-16, big end first", file: encoded(unicode.UTF16(unicode.BigEndian, unicode.UseBOM).NewEncoder(), text), want: want},
		{name: "UTF-16 without a mark", file: encoded(unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM).NewEncoder(), text), want: want},
		{name: "UTF-16 as told", flags: "--encoding utf-16", file: encoded(unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder(), text), want: want},
		{name: "Western Europe's, found out", file: encoded(charmap.Windows1252.NewEncoder(), text), advice: "--encoding windows-1252", want: want},
		{name: "latin1", flags: "--encoding latin1", file: encoded(charmap.ISO8859_1.NewEncoder(), "time,Größe\n2026-01-01,1\n"), want: "2026-01-01T00:00:00 Größe=1"},
		{name: "Central Europe's", flags: "--encoding cp1250 --time čas", file: encoded(charmap.Windows1250.NewEncoder(), czech), want: "2026-01-01T00:00:00 stav=\"Žluťoučký\""},
		{name: "DOS", flags: "--encoding cp437", file: encoded(charmap.CodePage437.NewEncoder(), "time,Größe\n2026-01-01,1\n"), want: "2026-01-01T00:00:00 Größe=1"},
		{name: "JSON in Western Europe's", file: encoded(charmap.Windows1252.NewEncoder(), `{"time":"2026-01-01","b":"ß"}`+"\n"), advice: "--encoding windows-1252", want: "2026-01-01T00:00:00 b=\"ß\""},
	} {
		t.Run(k.name, k.try)
	}
}

// Bad lines are in a file with their reasons; once mended, it can be imported.
func TestRejectedLines(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.WriteFile("f.csv", []byte("timestamp,a\n2026-01-01,1\n2026-01-02\nyesterday,2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, talk, _ := runImport(t, "mem:", []string{"--device", "d", "--header-line", "1", "f.csv"}); !strings.Contains(talk, "mend it, or change --header-line, or give --bad-lines skip") {
		t.Error(talk)
	}
	result, _, code := runImport(t, "bolt:s.db", []string{"--device", "d", "--bad-lines", "skip", "f.csv"})
	if code != 0 || result.BadLines != 2 || len(result.Rejected) != 1 || result.Rejected[0] != "f.csv.rejected" {
		t.Fatalf("exit code %d: %+v", code, result)
	}
	rejected, err := os.ReadFile("f.csv.rejected")
	want := "timestamp,a\n# f.csv:3: it has 1 cell, the header has 2\n2026-01-02\n# f.csv:4: \"yesterday\" is not a time as the others are (iso8601)\nyesterday,2\n"
	if err != nil || string(rejected) != want {
		t.Errorf("%v: %s, want %s", err, rejected, want)
	}
	mended := strings.Replace(strings.Replace(string(rejected), "2026-01-02\n", "2026-01-02,5\n", 1), "\nyesterday", "\n2026-01-03", 1)
	if err := os.WriteFile("mended.csv", []byte(mended), 0o600); err != nil {
		t.Fatal(err)
	}
	if result, talk, code := runImport(t, "bolt:s.db", []string{"--device", "d", "mended.csv"}); code != 0 || result.Stored != 2 {
		t.Errorf("exit code %d, %+v: %s", code, result, talk)
	}
	// Without its time of day, a date is no midnight.
	if err := os.WriteFile("g.csv", []byte("Date,Time,v\n2026-01-01,12:00:00,1\n2026-01-02,,2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, more := range [][]string{nil, {"--time", "Date+Time", "--time-format", "iso8601"}} {
		result, talk, _ := runImport(t, "mem:", append([]string{"--device", "d", "--bad-lines", "skip", "g.csv"}, more...))
		if result.Stored != 1 || result.BadLines != 1 {
			t.Errorf("%q: %+v: %s", more, result, talk)
		}
	}
	// A file that is there is never overwritten.
	if result, _, _ := runImport(t, "bolt:t.db", []string{"--device", "d", "--bad-lines", "skip", "f.csv"}); result.Rejected[0] != "f.csv.rejected.2" {
		t.Errorf("the lines are in %s", result.Rejected)
	}
}

// Several devices are never mixed, even where the second comes after the lines that
// are looked at first.
func TestDevicesAreNotMixed(t *testing.T) {
	var text strings.Builder
	text.WriteString("device_id,timestamp,v\n")
	for i := range 5000 {
		device := "p1"
		if i == 4999 {
			device = "p2"
		}
		fmt.Fprintf(&text, "%s,%d,%d\n", device, 1767225600+i, i)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "f.csv")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	url := "bolt:" + filepath.Join(dir, "s.db")
	_, talk, code := runImport(t, url, []string{"--device", "d", "--bad-lines", "skip", file})
	if code != exitUsage || !strings.Contains(talk, ":5001: \"device_id\" has several devices") {
		t.Errorf("exit code %d: %s", code, talk)
	}
	if n := countRows(t, url); n != 4999 {
		t.Errorf("%d rows are stored", n)
	}
	result, _, code := runImport(t, url, []string{"--device-column", "device_id", file})
	if code != 0 || len(result.Devices) != 2 || result.Devices[0].Lines != 4999 || result.Devices[1].Lines != 1 {
		t.Errorf("exit code %d: %+v", code, result.Devices)
	}
}

// ^C ends an import that waits for a line that does not come, and what it leaves
// is what it says.
func TestInterruptedImport(t *testing.T) {
	for _, lines := range []int{1, 2500} {
		url := "bolt:" + filepath.Join(t.TempDir(), "s.db")
		ctx, cancel := context.WithCancelCause(t.Context())
		in, feed := io.Pipe()
		defer feed.Close()
		go func() {
			text := "timestamp,v\n"
			for i := range lines {
				text += midnight.Add(time.Duration(i)*time.Second).Format(time.RFC3339) + ",1\n"
			}
			// The pipe takes the second write when the first has been read.
			for _, text := range []string{text, "2026-"} {
				if _, err := feed.Write([]byte(text)); err != nil {
					return
				}
			}
			cancel(interrupted{os.Interrupt})
		}()
		var out, talk bytes.Buffer
		if code := run(ctx, []string{"import", "--store", url, "--device", "d", "--format", "csv", "-"}, in, &out, &talk); code != exitInterrupted || out.Len() > 0 {
			t.Errorf("%d lines: exit code %d, want %d; it printed %q", lines, code, exitInterrupted, out.String())
		}
		want := "hotreader: interrupted\n"
		if stored := countRows(t, url); stored > 0 {
			want = fmt.Sprintf("standard input: a table with commas, time in timestamp (iso8601)\n%s lines before that are stored; delete %s, which this import made, and begin again; or go on with --skip %d, if the file is unchanged\n", terminal.Count(stored), strings.TrimPrefix(url, "bolt:"), stored) + want
		} else if lines > 1 {
			t.Error("nothing is stored")
		}
		if talk.String() != want {
			t.Errorf("%d lines: it said %q, want %q", lines, talk.String(), want)
		}
	}
}

// countRows returns how many rows of d a store has, 0 if there is none.
func countRows(t *testing.T, url string) (n int) {
	store, err := all.OpenReader(t.Context(), url)
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for _, err := range hotreader.NewReader(store).Read(t.Context(), hotreader.Query{Device: "d", Properties: []string{"v"}}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

// A file whose keys are data fills neither the memory nor the screen.
func TestManyColumns(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys.jsonl")
	var text strings.Builder
	for i := range 1010 { // ten too many
		fmt.Fprintf(&text, `{"timestamp":"%s","k%d":"1,5"}`+"\n", midnight.Add(time.Duration(i)*time.Second).Format(time.RFC3339), i)
	}
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, talk bytes.Buffer
	if code := run(t.Context(), []string{"import", "--store", "mem:", "--device", "d", file}, nil, &out, &talk); code != 0 {
		t.Errorf("exit code %d: %s", code, talk.String())
	}
	if lines := strings.Count(talk.String(), "\n"); lines != 2*shown+3 || !strings.Contains(talk.String(), "and 980 columns more\n") {
		t.Errorf("%d lines: %s", lines, talk.String())
	}
}
