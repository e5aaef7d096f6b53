package gcpfirestore

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"hotreader"
	"hotreader/layout"
	"hotreader/store/storetest/cloud"
)

var noon = time.Date(2024, 2, 3, 12, 0, 0, 0, time.FixedZone("", 3600))

// TestWrittenDocuments compares what is sent, as Google's code reads it, with
// golden files.
func TestWrittenDocuments(t *testing.T) {
	for _, c := range []struct {
		name   string
		o      Options
		device string
		r      hotreader.Record
	}{
		{"kinds", Options{}, "d", cloud.Record(noon, cloud.Number("double", "-1.50"), cloud.Number("whole", "7"), cloud.Number("wide", "12345678901234567890123456789012345678"),
			cloud.Text("s", "é"), cloud.Text("empty", ""), hotreader.Field{Name: "b", Value: hotreader.BoolValue(false)}, hotreader.Field{Name: "null"})},
		{"own id", Options{}, "d", cloud.Record(noon.Add(120*time.Microsecond), cloud.Text("id", "mine"))},
		{"hostile id", Options{Collection: "plants/berlin/telemetry", Database: "twin-data"}, "a/b%2F..é", cloud.Record(noon)},
		{"epoch_ms", Options{Layout: layout.Layout{TimeFormat: layout.Formats{layout.EpochMillis}, DeviceKey: "dev", TimeKey: "t"}}, "d", cloud.Record(noon.Add(250 * time.Millisecond))},
		{"epoch_s", timed(layout.EpochSecs), "d", cloud.Record(noon)},
		{"native", timed(layout.Native), "d", cloud.Record(noon.Add(250 * time.Microsecond))},
		{"native of old", timed(layout.Native), "d", cloud.Record(time.Date(1899, 12, 31, 0, 0, 0, 1000, time.UTC))},
	} {
		f := newFake(t)
		if err := f.store(c.o).Write(t.Context(), c.device, []hotreader.Record{c.r}); err != nil {
			t.Fatal(err)
		}
		golden(t, "write "+c.name, f.commits[0])
	}
}

func TestLargeCommits(t *testing.T) {
	// Large documents: no commit over Firestore's limit, each replaced as a whole.
	large := cloud.Text("s", strings.Repeat("x", 700_000))
	var records []hotreader.Record
	for i := range 12 {
		records = append(records, cloud.Record(noon.Add(time.Duration(i)), large))
	}
	f := newFake(t)
	if err := f.store(Options{}).Write(t.Context(), "d", records); err != nil {
		t.Fatal(err)
	}
	if len(f.commits) != 2 {
		t.Errorf("8.4 MB in %d commits, want 2", len(f.commits))
	}
	for _, c := range f.commits {
		for _, w := range c.Writes {
			if w.UpdateMask != nil || w.CurrentDocument != nil || len(c.Transaction) > 0 {
				t.Errorf("%v does not replace the document as a whole", w)
			}
		}
	}
}

// What is put off is sent again, whole, until it is taken, however often: who
// writes has no budget for it.
func TestCommitsAreSentAgain(t *testing.T) {
	later := []error{grpcstatus.Error(codes.ResourceExhausted, ""), grpcstatus.Error(codes.Aborted, ""), grpcstatus.Error(codes.Unavailable, ""), grpcstatus.Error(codes.Internal, "")}
	f := newFake(t)
	f.refuse = slices.Concat(later, slices.Repeat(later[:3], 20))
	if err := f.store(Options{}).Write(t.Context(), "d", []hotreader.Record{cloud.Record(noon)}); err != nil {
		t.Fatal(err)
	}
	if len(f.commits) != 65 {
		t.Errorf("%d commits, want 65", len(f.commits))
	}
	// Until the caller's time is up.
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	f = newFake(t)
	for range 100_000 {
		f.refuse = append(f.refuse, later[0])
	}
	s := f.store(Options{})
	s.firstPause = time.Millisecond
	err := s.Write(ctx, "d", []hotreader.Record{cloud.Record(noon)})
	if code := hotreader.CodeOf(err); code != hotreader.CodeDeadline && code != hotreader.CodeThrottled {
		t.Errorf("error %v", err)
	}
	// What the server fails at over and over is an error.
	f = newFake(t)
	for range unansweredTries {
		f.refuse = append(f.refuse, later[3])
	}
	if err := f.store(Options{}).Write(t.Context(), "d", []hotreader.Record{cloud.Record(noon)}); hotreader.CodeOf(err) != hotreader.CodeStore {
		t.Errorf("error %v", err)
	}
}

func TestRefusedCommits(t *testing.T) {
	for code, want := range map[codes.Code]hotreader.Code{codes.PermissionDenied: hotreader.CodeForbidden, codes.InvalidArgument: hotreader.CodeInvalid, codes.NotFound: hotreader.CodeNotFound} {
		f := newFake(t)
		f.refuse = []error{grpcstatus.Error(code, "no")}
		err := f.store(Options{}).Write(t.Context(), "d", []hotreader.Record{cloud.Record(noon)})
		if hotreader.CodeOf(err) != want || code == codes.PermissionDenied && !strings.Contains(err.Error(), "roles/datastore.user") {
			t.Errorf("%v: %v, want %s", code, err, want)
		}
	}
}

func TestRefusedRecords(t *testing.T) {
	for _, c := range []struct {
		o      Options
		device string
		r      hotreader.Record
		want   string
	}{
		{Options{}, strings.Repeat("x", maxID+1), cloud.Record(noon), "1500"},
		{Options{}, "d", cloud.Record(noon, cloud.Text("__name__", "x")), "underscores"},
		{Options{}, "d", cloud.Record(noon, cloud.Text("s", strings.Repeat("x", 1<<20))), "1048576"},
		{timed(layout.Native), "d", cloud.Record(noon.Add(1)), "finer than native keeps, which is 1µs"},
		{timed(layout.Native), "d", cloud.Record(time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)), "not within what native keeps"},
		{timed(layout.EpochMillis), "d", cloud.Record(noon.Add(123456789)), "finer than a number of epoch_ms keeps"},
		{timed(layout.EpochSecs), "d", cloud.Record(noon.Add(123456789)), "finer than a number of epoch_s keeps"},
	} {
		f := newFake(t)
		err := f.store(c.o).Write(t.Context(), c.device, []hotreader.Record{cloud.Record(noon), c.r})
		if hotreader.CodeOf(err) != hotreader.CodeInvalid || !strings.Contains(err.Error(), c.want) || len(f.commits) > 0 {
			t.Errorf("%.60v: %v, want %q", c.r, err, c.want)
		}
	}
}

// A number comes out as it went in, compared as decimals, whatever way it is kept.
func TestNumbersComeOutAsTheyWentIn(t *testing.T) {
	for digits, kind := range map[string]int{
		"0": valueInteger, "-0": valueInteger, "9223372036854775807": valueInteger, "-9223372036854775808": valueInteger, "9007199254740993": valueInteger,
		"9007199254740993.0": valueInteger, "9223372036854775807e0": valueInteger,
		"1.5": valueDouble, "1e2": valueDouble, "74.93588199999998": valueDouble, "5e-324": valueDouble, "1.7976931348623157e308": valueDouble, "-0.0": valueDouble,
		"9223372036854775808": valueString, "18446744073709551616": valueString, "0.12345678901234567890": valueString, "1e400": valueString, "1e-400": valueString,
		"3.1415926535897932384626433832795028842": valueString, "2e-324": valueString,
	} {
		if n := toNumber([]byte(digits)); n.kind != kind {
			t.Errorf("%s is kept as %d, want %d", digits, n.kind, kind)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		digits := rapid.OneOf(
			rapid.StringMatching(`-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?`),
			rapid.Map(rapid.Float64(), func(f float64) string { return fmt.Sprint(f) }).Filter(func(s string) bool { return hotreader.IsNumber([]byte(s)) }),
			rapid.Map(rapid.Int64(), func(i int64) string { return fmt.Sprint(i) }),
		).Draw(t, "digits")
		v := hotreader.NumberValue([]byte(digits))
		n := toNumber([]byte(digits))
		var d decoder
		got, usable, err := d.value(appendValue(nil, v, n))
		if err != nil || !usable {
			t.Fatalf("%s comes out as %v, %v", digits, got, err)
		}
		if got.Kind() == hotreader.String {
			got = hotreader.NumberValue(got.Text())
		}
		if !hotreader.Same(got, v) {
			t.Fatalf("%s comes out as %v", digits, got)
		}
		if want, ok := new(big.Rat).SetString(digits); ok && n.kind == valueDouble {
			if f, _ := want.Float64(); f != n.double {
				t.Fatalf("%s is kept as %g, want %g", digits, n.double, f)
			}
		}
	})
}

// Ids follow Firestore's rules and differ where the texts do.
func TestDocumentIDs(t *testing.T) {
	for text, want := range map[string]string{
		"d_2024-02-28T23:59:00Z": "d_2024-02-28T23:59:00Z",
		"a/b_1":                  "a%2Fb_1",
		"a%2Fb_1":                "a%252Fb_1",
		"../.._1":                "..%2F.._1",
	} {
		if got := escapeID(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		device := rapid.OneOf(rapid.String(), rapid.StringMatching(`[/%~2F5._]{0,8}`), rapid.StringMatching(`(é|日){700,720}`)).Draw(t, "a")
		other := rapid.OneOf(rapid.Just(device+"x"), rapid.StringMatching(`[/%~2F5._]{0,8}`)).Draw(t, "b")
		const key = "_2024-02-28T23:59:00Z"
		a, b := escapeID(device+key), escapeID(other+key)
		if (a == b) != (device == other) {
			t.Fatalf("%q and %q become %q and %q", device, other, a, b)
		}
		if len(a) > maxID || strings.Contains(a, "/") || a == "." || a == ".." || reserved(a) || !utf8.ValidString(a) {
			t.Fatalf("%q becomes %q", device, a)
		}
	})
}
