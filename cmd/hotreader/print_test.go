package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/cmd/hotreader/internal/chart"
	"hotreader/deploy"
)

var midnight = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

func TestParseInstant(t *testing.T) {
	now := time.Date(2026, 3, 2, 12, 0, 0, 5, time.UTC)
	for _, c := range []struct{ text, want string }{
		{"now", "2026-03-02T12:00:00.000000005Z"},
		{"-90m", "2026-03-02T10:30:00.000000005Z"},
		{"-1h30m", "2026-03-02T10:30:00.000000005Z"},
		{"-24h", "2026-03-01T12:00:00.000000005Z"},
		{"-7d", "2026-02-23T12:00:00.000000005Z"},
		{"-0.5d", "2026-03-02T00:00:00.000000005Z"},
		{"-2w", "2026-02-16T12:00:00.000000005Z"},
		{"+1h", "2026-03-02T13:00:00.000000005Z"},
		{" 2026-01-01 ", "2026-01-01T00:00:00Z"},
		{"2026-01-01T01:00:00+01:00", "2026-01-01T00:00:00Z"},
		{"2026-01-01 10:20", "2026-01-01T10:20:00Z"},
	} {
		got, err := parseInstant(c.text, now)
		if err != nil || got.Format(time.RFC3339Nano) != c.want {
			t.Errorf("%q = %v, %v; want %s", c.text, got, err, c.want)
		}
	}
	for _, text := range []string{"", "-", "--1h", "-h", "-1y", "-1e300d", "-NaNd", "yesterday", "24h", "2026-13-01", "1772400000"} {
		if got, err := parseInstant(text, now); err == nil {
			t.Errorf("%q = %v, want an error", text, got)
		}
	}
}

func TestParseFilter(t *testing.T) {
	for _, c := range []struct {
		text, name string
		op         hotreader.Op
		value      string // as Value.String
	}{
		{"temperature>80", "temperature", hotreader.Greater, "80"},
		{"temperature >= -1.50e2", "temperature", hotreader.GreaterEqual, "-1.50e2"},
		{"a<1", "a", hotreader.Less, "1"},
		{"a<=1", "a", hotreader.LessEqual, "1"},
		{"a==1", "a", hotreader.Equal, "1"},
		{"a<>1", "a", hotreader.NotEqual, "1"},
		{"running=true", "running", hotreader.Equal, "true"},
		{"state!=off", "state", hotreader.NotEqual, `"off"`},
		{"state='true'", "state", hotreader.Equal, `"true"`},
		{`state="a\"=b"`, "state", hotreader.Equal, `"a\"=b"`},
		{"state=a=b", "state", hotreader.Equal, `"a=b"`},
		{"a b=007", "a b", hotreader.Equal, `"007"`},
		{"state=''", "state", hotreader.Equal, `""`},
	} {
		f, err := parseFilter(c.text)
		if err != nil || f.Property != c.name || f.Op != c.op || f.Value.String() != c.value {
			t.Errorf("%q = %+v, %v", c.text, f, err)
		}
	}
	for _, text := range []string{"", "a", "=1", "a=", "a=<1", "a=!1", `a="x`, `a="\q"`} {
		if f, err := parseFilter(text); err == nil {
			t.Errorf("%q = %+v, want an error", text, f)
		}
	}
}

// Every code of the vocabulary has its exit code, and the help names each.
func TestExitCodes(t *testing.T) {
	want := map[hotreader.Code]int{
		hotreader.CodeInvalid: 2, hotreader.CodeUnauthenticated: 3, hotreader.CodeForbidden: 3,
		hotreader.CodeNotFound: 3, hotreader.CodeTooLarge: 1, hotreader.CodeThrottled: 4,
		hotreader.CodeOverloaded: 4, hotreader.CodeUnavailable: 4, hotreader.CodeDeadline: 4,
		hotreader.CodeCanceled: 1, hotreader.CodeStore: 1, hotreader.CodeCorrupt: 1, hotreader.CodeUnreadable: 3, hotreader.CodeNotRestored: 3,
		hotreader.CodeProtocol: 1, hotreader.CodeConfig: 3, hotreader.CodeInternal: 1,
	}
	for _, code := range hotreader.Codes() {
		exit, ok := want[code]
		if !ok {
			t.Errorf("%s: decide its exit code", code)
		}
		err := fmt.Errorf("wrapped: %w", &hotreader.Error{Op: "x", Code: code})
		if got := exitCode(err); got != exit {
			t.Errorf("%s exits with %d, want %d", code, got, exit)
		}
		if !strings.Contains(exitText, fmt.Sprintf("\n  %d  ", exit)) {
			t.Errorf("--help does not say what %d is", exit)
		}
	}
	if exitCode(nil) != 0 || exitCode(errDiffers) != 1 || exitCode(usagef("x")) != 2 || exitCode(context.DeadlineExceeded) != 4 {
		t.Error("other errors have other codes")
	}
}

func TestOneLine(t *testing.T) {
	var b bytes.Buffer
	a := newApp(nil, nil, &b)
	a.report(errors.New("first\nsecond \x1b[2J\r\nthird"))
	if got, want := b.String(), "hotreader: first; second <1b>[2J; third\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	b.Reset()
	a.report(&hotreader.Error{Op: "import", Code: hotreader.CodeNotFound, Err: &fs.PathError{Op: "open", Path: "x", Err: fs.ErrNotExist}})
	if got, want := b.String(), "hotreader: import: open x: file does not exist; check the name\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:8080": true, "127.9.9.9:0": true, "[::1]:1": true, "localhost:1": true,
		":8080": false, "0.0.0.0:1": false, "[::]:1": false, "10.0.0.1:1": false, "example.com:1": false, "127.0.0.1": false, "": false,
	} {
		if got := loopback(address); got != want {
			t.Errorf("loopback(%q) = %v", address, got)
		}
	}
}

func TestInterruptedEndsWith130(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(interrupted{os.Interrupt})
	var out, talk bytes.Buffer
	if code := run(ctx, []string{"demo", "--once"}, nil, &out, &talk); code != exitInterrupted {
		t.Errorf("exit code %d, want %d: %s", code, exitInterrupted, talk.String())
	}
	if out.Len() > 0 {
		t.Errorf("an interrupted demo printed %s", out.String())
	}
}

// What is stopped in the middle says what was done, and the command to go on with.
func TestStoppedSaysHowToGoOn(t *testing.T) {
	var talk bytes.Buffer
	a := newApp(nil, nil, &talk)
	args := []string{"deploy", "--project", "my twin", "--yes"}
	err := &hotreader.Error{Op: "aws: apply", Code: hotreader.CodeCanceled, Err: errors.New("stopped; what was made so far is in the state")}
	if code := a.stopped(interrupted{os.Interrupt}, err, a.deployer(), args); code != exitInterrupted {
		t.Errorf("exit code %d", code)
	}
	want := "hotreader: interrupted\n  aws: apply: stopped; what was made so far is in the state\n  go on with: " + invocation() + " deploy --project 'my twin' --yes\n"
	if talk.String() != want {
		t.Errorf("got %q, want %q", talk.String(), want)
	}
}

// Of hundreds of changes those that are alike are one line, and none is lost.
func TestLongPlansAreSummarised(t *testing.T) {
	s := deploy.SidePlan{Cloud: "aws"}
	for i := range 300 {
		s.Changes = append(s.Changes, deploy.ResourceChange{Action: deploy.Create, What: "TwinMaker stack", Name: fmt.Sprintf("mill-device-%d", i)})
	}
	s.Changes = append(s.Changes,
		deploy.ResourceChange{Action: deploy.Destroy, What: "TwinMaker stack", Name: "mill-device-old"},
		deploy.ResourceChange{Action: deploy.Change, What: "function", Name: "mill-hot-reader", Fields: []string{"memory_size"}})
	var b strings.Builder
	a := newApp(strings.NewReader(""), &b, &b)
	printSide(&b, a.data, s)
	want := `aws: 300 to create, 1 to change, 1 to destroy
  + 300 × TwinMaker stack mill-device-0, mill-device-1, … mill-device-299
  - TwinMaker stack mill-device-old
  ~ function mill-hot-reader: memory_size
`
	if b.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", b.String(), want)
	}
	s.Changes = s.Changes[:manyChanges]
	b.Reset()
	printSide(&b, a.data, s)
	if n := strings.Count(b.String(), "mill-device-"); n != manyChanges {
		t.Errorf("of %d changes %d are shown", manyChanges, n)
	}
}

// counted is a Source of a row a second, and counts what it brings.
type counted struct {
	rows int
	read *int
}

func (c counted) Scan(_ context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		for i := range c.rows {
			if q.Backward() {
				i = c.rows - 1 - i
			}
			*c.read++
			if !yield(hotreader.Row{Time: time.Unix(int64(i), 0).UTC(), Values: []hotreader.Value{hotreader.Int64Value(int64(i % 977))}}, nil) {
				return
			}
		}
	}
}

// A chart of a million rows asks for what it draws; one of a part of the rows, which
// has no ends that are cheap to find, asks for all of that.
func TestChartAsksForFewer(t *testing.T) {
	read := 0
	reader := hotreader.NewReader(counted{1_000_000, &read})
	q := hotreader.Query{Device: "d", Properties: []string{"p"}}
	drawing := func() *chart.Chart { return chart.New(new(bytes.Buffer), false, 80, 10, q.Properties) }
	pick, err := pickFor(t.Context(), drawing(), reader, q)
	if err != nil || pick.Kind != hotreader.PickM4 || read > 4 {
		t.Fatalf("%+v after %d rows, %v", pick, read, err)
	}
	n, fewer := 0, q
	fewer.Pick = pick
	for _, err := range reader.Read(t.Context(), fewer) {
		if n++; err != nil {
			t.Fatal(err)
		}
	}
	if n < 640 || n > 4*640 {
		t.Errorf("%d rows make a chart of 640 slices", n)
	}
	own := hotreader.Points(time.Unix(0, 0), time.Unix(9, 0), 4)
	for name, change := range map[string]func(*hotreader.Query){
		"limit": func(q *hotreader.Query) { q.Limit = 5 },
		"filter": func(q *hotreader.Query) {
			q.Filters = []hotreader.Filter{{Property: "p", Op: hotreader.Equal, Value: hotreader.Int64Value(5)}}
		},
		"own pick": func(q *hotreader.Query) { q.Pick = own },
		"no rows":  func(q *hotreader.Query) { q.Start = time.Unix(1e9, 0) },
		"few":      func(q *hotreader.Query) { q.End = time.Unix(0, 5e8) },
	} {
		asked := q
		change(&asked)
		if got, err := pickFor(t.Context(), drawing(), reader, asked); err != nil || got != asked.Pick {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
