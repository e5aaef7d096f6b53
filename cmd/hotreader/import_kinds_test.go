package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hotreader"
	"hotreader/cmd/hotreader/internal/importer"
	"hotreader/store/all"
)

// kind is a file as people have them, and the rows that it holds.
type kind struct {
	name string
	file string // its text; several are told apart by a line ====
	args string // flags; blanks within one are written as _

	// advice is what the message says where the flags do not do, and is then given.
	advice string

	// want has a line for each row: its time, then its values. Where rows have devices
	// of their own, the device comes first.
	want string
	says string // what standard error has besides
}

// flags returns the flags of a text, as a shell would.
func flags(text string) (args []string) {
	for word := range strings.FieldsSeq(text) {
		args = append(args, strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(word, "'", ""), "_", " "), "\u203f", "_"))
	}
	return args
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
	args := flags(k.args)
	if !slices.Contains(args, "--device-column") && !strings.Contains(k.advice, "--device-column") {
		args = append(args, "--device", "d")
	}
	if k.advice != "" {
		_, talk, code := runImport(t, "bolt:"+filepath.Join(dir, "first.db"), slices.Concat(args, files))
		if code != exitUsage || !strings.Contains(talk, k.advice) {
			t.Fatalf("exit code %d, want %d and %q: %s", code, exitUsage, k.advice, talk)
		}
		words := adviceWords(k.advice)
		args = append(args, words...)
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
	if !strings.Contains(told, k.says) {
		t.Errorf("it does not say %q: %s", k.says, told)
	}
}

// adviceWords cuts a text into words as a shell does that knows single quotes alone.
func adviceWords(text string) (words []string) {
	word, quoted, any := "", false, false
	for _, c := range text + " " {
		switch {
		case c == '\'':
			quoted, any = !quoted, true
		case c == ' ' && !quoted:
			if any || word != "" {
				words = append(words, word)
			}
			word, any = "", false
		default:
			word += string(c)
		}
	}
	return words
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

func tryAll(t *testing.T, kinds []kind) {
	for _, k := range kinds {
		t.Run(k.name, k.try)
	}
}

func TestFilesOfSeveralParts(t *testing.T) {
	tryAll(t, []kind{
		{name: "a file for each phase", file: "timestamp,a_power\n2026-01-01T00:00:00Z,10.50\n2026-01-01T00:01:00Z,11\n====\ntimestamp,b_power\n2026-01-01T00:00:00Z,20\n2026-01-01T00:02:00Z,22\n====\ntimestamp,c_power\n2026-01-01T00:01:00Z,31\n",
			want: "2026-01-01T00:00:00 a_power=10.50 b_power=20\n2026-01-01T00:01:00 a_power=11 c_power=31\n2026-01-01T00:02:00 b_power=22",
			says: "3 rows stored, 2 lines merged"},
		{name: "lines of one instant with different values", file: "t,a,b\n2026-01-01 00:00:00,21.5,\n2026-01-01 00:00:00,,45\n", want: "2026-01-01T00:00:00 a=21.5 b=45"},
		{name: "a correction in a later line", file: "time,a,b\n2026-01-01,1,2\n2026-01-01,3,\n", want: "2026-01-01T00:00:00 a=3 b=2", says: "1 line merged"},
		{name: "whole rows replaced", args: "--replace", file: "time,a,b\n2026-01-01,1,2\n2026-01-01,3,\n", want: "2026-01-01T00:00:00 a=3", says: "1 row replaced"},
		{name: "JSON beside CSV", file: "time,a\n2026-01-01,1\n====\n{\"time\":\"2026-01-01T00:00:00Z\",\"b\":\"x\"}\n", want: "2026-01-01T00:00:00 a=1 b=\"x\""},
		{name: "nothing new", file: "time,a\n2026-01-01,1\n====\ntime,a\n2026-01-01,1.0\n2026-01-01,1.0\n", want: "2026-01-01T00:00:00 a=1.0", says: "1 line changed nothing"},
	})
	tryAll(t, []kind{
		{name: "several devices", file: "device_id,timestamp,temperature\np1,2026-01-01T00:00:00Z,1\np2,2026-01-01T00:00:00Z,2\np1,2026-01-01T00:01:00Z,3\n", advice: "--device-column device_id",
			want: "p1 2026-01-01T00:00:00 temperature=1\np1 2026-01-01T00:01:00 temperature=3\np2 2026-01-01T00:00:00 temperature=2"},
		{name: "devices by other names", file: "name,timestamp,temperature\npump A,2026-01-01T00:00:00Z,1\npump B,2026-01-01T00:00:07Z,2\npump A,2026-01-01T00:01:00Z,3\n", advice: "--device-column name",
			want: "pump A 2026-01-01T00:00:00 temperature=1\npump A 2026-01-01T00:01:00 temperature=3\npump B 2026-01-01T00:00:07 temperature=2"},
		{name: "devices as numbers", file: "time;Station ID;v\n2026-01-01;17;1\n2026-01-01;18;2\n", advice: "--device-column 'Station ID'", want: "17 2026-01-01T00:00:00 v=1\n18 2026-01-01T00:00:00 v=2"},
		{name: "containers", file: "timestamp,container,cpu_percent\n2026-01-01T00:00:00Z,db,1.5\n2026-01-01T00:00:00Z,web,2.5\n", advice: "--device-column container", want: "db 2026-01-01T00:00:00 cpu_percent=1.5\nweb 2026-01-01T00:00:00 cpu_percent=2.5"},
		{name: "a gateway's uplinks", file: `{"end_device_ids":{"device_id":"a"},"received_at":"2026-01-01T00:00:00.5Z","uplink_message":{"decoded_payload":{"temp":1.5}}}` + "\n" + `{"end_device_ids":{"device_id":"b"},"received_at":"2026-01-01T00:00:01Z","uplink_message":{"decoded_payload":{"temp":2}}}` + "\n",
			advice: "--device-column end_device_ids.device_id", want: "a 2026-01-01T00:00:00.5 uplink_message.decoded_payload.temp=1.5\nb 2026-01-01T00:00:01 uplink_message.decoded_payload.temp=2"},
	})
}

// A column that looks like one of devices is a property where that is told.
func TestPropertiesThatLookLikeDevices(t *testing.T) {
	tryAll(t, []kind{
		{name: "kept", advice: "--rename batch_id=batch_id", file: "time,batch_id,a\n2026-01-01 00:00,x,1\n2026-01-01 00:01,x,2\n2026-01-01 00:02,y,3\n", want: "2026-01-01T00:00:00 batch_id=\"x\" a=1\n2026-01-01T00:01:00 batch_id=\"x\" a=2\n2026-01-01T00:02:00 batch_id=\"y\" a=3"},
		{name: "left out", advice: "--rename batch_id=", file: "time,batch_id,a\n2026-01-01 00:00,x,1\n2026-01-01 00:01,x,2\n2026-01-01 00:02,y,3\n", want: "2026-01-01T00:00:00 a=1\n2026-01-01T00:01:00 a=2\n2026-01-01T00:02:00 a=3"},
		{name: "an id for each line", file: "time,event_id,a\n2026-01-01 00:00,x1,1\n2026-01-01 00:01,x2,2\n2026-01-01 00:02,x3,3\n", advice: "--rename event_id=event_id", want: "2026-01-01T00:00:00 event_id=\"x1\" a=1\n2026-01-01T00:01:00 event_id=\"x2\" a=2\n2026-01-01T00:02:00 event_id=\"x3\" a=3"},
	})
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
