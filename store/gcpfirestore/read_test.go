package gcpfirestore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"hotreader"
	"hotreader/layout"
	"hotreader/store/storetest/cloud"
)

var update = flag.Bool("update", false, "write the golden files anew")

var qN = hotreader.Query{Device: "d", Properties: []string{"n"}}

func second(i int) string {
	return time.Date(2024, 1, 1, 0, 0, i, 0, time.UTC).Format(time.RFC3339Nano)
}

// A page that is full by chance is followed by an empty one.
func TestLastPageMayBeEmpty(t *testing.T) {
	q := qN
	q.Limit = 1
	f := newFake(t, docs(n("2024-01-01T00:00:00.1Z", nil), n("2024-01-01T00:00:00.2Z", nil), n("2024-01-01T00:00:00.3Z", nil), n("2024-01-01T00:00:00.4Z", nil)), docs())
	cloud.WantRows(t, f.store(Options{}), q)
	f.done()
}

func TestTheServerMaySayThatItIsDone(t *testing.T) {
	f := newFake(t, answer{documents: []*pb.Document{n(second(0), 1), n(second(1), 2)}, done: true})
	cloud.WantRows(t, f.store(Options{}), qN, "00:00:00 1", "00:00:01 2")
	f.done()
}

func parse(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return t
}

func TestPitfall10OneRowAnInstant(t *testing.T) {
	at := parse("2024-01-01T00:00:00.25Z")
	for _, format := range []string{layout.Native, layout.ISO8601, layout.EpochMillis} {
		var when any = at
		switch format {
		case layout.ISO8601:
			when = "2024-01-01T00:00:00.25Z"
		case layout.EpochMillis:
			when = int(at.UnixMilli())
		}
		// The one that was updated last, whatever its id.
		twice := []*pb.Document{docOf("a", map[string]any{"timestamp": when, "n": 2}), docOf("b", map[string]any{"timestamp": when, "n": 1, "m": 3})}
		twice[0].UpdateTime, twice[1].UpdateTime = timestamppb.New(at.Add(2000)), timestamppb.New(at.Add(1000))
		both := hotreader.Query{Device: "d", Properties: []string{"n", "m"}}
		f := newFake(t, docs(twice...))
		cloud.WantRows(t, f.store(timed(format)), both, "00:00:00.25 2 3")
		slices.Reverse(twice)
		both.Order = hotreader.Descending
		f = newFake(t, docs(twice...))
		cloud.WantRows(t, f.store(timed(format)), both, "00:00:00.25 2 3")
		// Of one update, the one whose id is greater.
		twice[0].UpdateTime = twice[1].UpdateTime
		f = newFake(t, docs(twice...))
		cloud.WantRows(t, f.store(timed(format)), both, "00:00:00.25 1 3")
	}
}

// Each of the formats, with times of every precision that it keeps.
func TestTimeFormats(t *testing.T) {
	at := parse("2024-01-01T00:00:00.25Z")
	for _, c := range []struct {
		format string
		when   []any
		want   []string
	}{
		{layout.Native, []any{at, at.Add(1), at.Add(time.Second)}, []string{"00:00:00.25 0", "00:00:00.250000001 1", "00:00:01.25 2"}},
		{layout.EpochMillis, []any{int(at.UnixMilli()), float64(at.UnixMilli()) + 0.5, int(at.UnixMilli()) + 1}, []string{"00:00:00.25 0", "00:00:00.2505 1", "00:00:00.251 2"}},
		{layout.EpochSecs, []any{int(at.Unix()), float64(at.UnixMilli()) / 1000, int(at.Unix()) + 1}, []string{"00:00:00 0", "00:00:00.25 1", "00:00:01 2"}},
	} {
		var d []*pb.Document
		for i, w := range c.when {
			d = append(d, n(w, i))
		}
		f := newFake(t, docs(d...))
		cloud.WantRows(t, f.store(timed(c.format)), qN, c.want...)
	}
}

func TestValues(t *testing.T) {
	for _, c := range []struct {
		v    any
		want string
	}{
		{0, "0"}, {-7, "-7"}, {9223372036854775807, "9223372036854775807"}, {-9223372036854775808, "-9223372036854775808"},
		{0.0, "0"}, {1.0, "1"}, {0.1, "0.1"}, {-2.5, "-2.5"}, {74.93588199999998, "74.93588199999998"}, {1e6, "1000000"},
		{123456789012345680000.0, "123456789012345680000"}, {1e21, "1e+21"}, {0.000001, "0.000001"}, {1.5e-7, "1.5e-07"},
		{5e-324, "5e-324"}, {1.7976931348623157e308, "1.7976931348623157e+308"},
		{"", `""`}, {"é\x00", `"é\x00"`}, {strings.Repeat("x", 3*minBuffer), `"` + strings.Repeat("x", 3*minBuffer) + `"`}, {true, "true"}, {false, "false"},
	} {
		f := newFake(t, docs(n(second(0), c.v)))
		cloud.WantRows(t, f.store(Options{}), qN, "00:00:00 "+c.want)
	}
	// Fields that nobody asked for, in any order, and properties that are missing.
	f := newFake(t, docs(doc(second(0), "a", 1, "x", []any{"y"}, "c", 3), doc(second(1), "c", 4, "b", "é"), doc(second(2))))
	cloud.WantRows(t, f.store(Options{}), hotreader.Query{Device: "d", Properties: []string{"c", "b", "a"}}, "00:00:00 3 null 1", `00:00:01 4 "é" null`)
}

// The fields that are keys can be selected like any other.
func TestKeysAsProperties(t *testing.T) {
	f := newFake(t, docs(doc(1.5)))
	cloud.WantRows(t, f.store(timed(layout.EpochSecs)), hotreader.Query{Device: "d", Properties: []string{"timestamp"}}, "00:00:01.5 1.5")
}

// TestRequest compares what is sent, as Google's code reads it, with golden
// files: a change there is a change of what a query costs, or of which index it
// takes. Each has an equality on the device, a range and an order by the time,
// and so is answered by one composite index of the two.
func TestRequest(t *testing.T) {
	at := time.Date(2024, 2, 3, 4, 5, 6, 700_000_000, time.UTC)
	hostile := []string{"name", "a.b", "Ключ", "0", "timestamp", "device_id", "id", "`", "\\", "__name__", "a b"}
	queries := cloud.Requests()
	queries["names"] = hotreader.Query{Device: "d é/", Properties: hostile}
	queries["epoch_s whole"], queries["native whole"] = qN, qN
	queries["native"] = hotreader.Query{Device: "d", Properties: []string{"a"}, Start: at.Add(1), End: at.Add(time.Hour)}
	options := map[string]Options{
		"epoch_ms": timed(layout.EpochMillis), "epoch_s": {Layout: layout.Layout{TimeFormat: layout.Formats{layout.EpochSecs}, DeviceKey: "dev", TimeKey: "t"}}, "epoch_s whole": timed(layout.EpochSecs),
		"native": {Layout: layout.Layout{TimeFormat: layout.Formats{layout.Native}}, Database: "twin-data", Collection: "plants/berlin/telemetry"}, "native whole": timed(layout.Native),
	}
	for name, q := range queries {
		f := newFake(t, docs())
		cloud.WantRows(t, f.store(options[name]), q)
		golden(t, "request "+name, f.queries[0])
	}
	for name, l := range map[string]layout.Layout{
		"nested":             {DeviceKey: "meta.id", TimeKey: "payload.ts", Properties: layout.Properties{Base: "payload"}},
		"by path":            {Properties: layout.Properties{Paths: map[string]string{"n": `a\.b.c`, "m": "a"}}},
		"narrow":             {NameKey: "metric", ValueKey: "value", Partition: "site-4#{device}", TimePrefix: "READING#", TimeSuffix: "#v1"},
		"below a document":   {Collection: "devices/{device}/telemetry", TimeFormat: layout.Formats{"iso8601+09:00"}},
		"dated":              {Partition: "{device}#{yyyy-MM}", TimeFormat: layout.Formats{layout.EpochNanos}},
		"nanoseconds of old": {TimeFormat: layout.Formats{layout.EpochNanos}},
	} {
		q := hotreader.Query{Device: "d", Properties: []string{"n", "m"}, Start: at, End: at.Add(time.Hour)}
		if name == "nanoseconds of old" {
			q.Start, q.End = time.Date(1600, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC)
		}
		f := newFake(t, docs())
		cloud.WantRows(t, f.store(Options{Layout: l}), q)
		golden(t, "request "+name, f.queries[0])
	}
	// Behind a page.
	f := newFake(t, answer{documents: []*pb.Document{n(second(0), 1), n("2024-01-01T00:00:01.50Z", 1)}, fail: grpcstatus.Error(codes.Unavailable, "")}, docs())
	cloud.WantRows(t, f.store(Options{}), qN, "00:00:00 1", "00:00:01.5 1")
	golden(t, "request after", f.queries[1])
	f = newFake(t, answer{documents: []*pb.Document{n(parse("2024-01-01T00:00:01.000001Z"), 1)}, fail: grpcstatus.Error(codes.Unavailable, "")}, docs())
	cloud.WantRows(t, f.store(timed(layout.Native)), qN, "00:00:01.000001 1")
	golden(t, "request after native", f.queries[1])
}

func golden(t *testing.T, name string, m proto.Message) {
	t.Helper()
	if unknown := m.ProtoReflect().GetUnknown(); len(unknown) > 0 {
		t.Errorf("%s has fields that Google's code does not know: %x", name, unknown)
	}
	// protojson varies its blanks so that nobody relies on them.
	loose, err := protojson.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var parsed any
	if err := json.Unmarshal(loose, &parsed); err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	e := json.NewEncoder(&got)
	e.SetEscapeHTML(false)
	e.SetIndent("", "\t")
	if err := e.Encode(parsed); err != nil {
		t.Fatal(err)
	}
	cloud.Golden(t, *update, "testdata/"+name+".json", got.String())
}

// What Google's front end routes by.
func TestHeads(t *testing.T) {
	f := newFake(t, docs())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s := f.store(Options{Database: "twin-data", Collection: "plants/berlin/telemetry"})
	if _, err := cloud.Rows(ctx, s, qN); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), "d", []hotreader.Record{{Time: parse(second(0))}}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"google-cloud-resource-prefix": "projects/my-project/databases/twin-data",
		"x-goog-request-params":        "parent=projects%2Fmy-project%2Fdatabases%2Ftwin-data%2Fdocuments%2Fplants%2Fberlin",
		"authorization":                "Bearer owner",
		"content-type":                 "application/grpc",
	} {
		if got := f.heads[0][name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s: %v, want %q", name, got, want)
		}
	}
	if got := f.commits[0].Writes[0].GetUpdate().Name; got != "projects/my-project/databases/twin-data/documents/plants/berlin/telemetry/d_2024-01-01T00:00:00Z" {
		t.Errorf("wrote %s", got)
	}
}

func TestNothingCanBeInRange(t *testing.T) {
	f := newFake(t)
	for _, format := range []string{layout.ISO8601, layout.Native, layout.EpochMillis, layout.EpochSecs} {
		q := qN
		q.End = time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC)
		cloud.WantRows(t, f.store(timed(format)), q)
		q.Start, q.End = time.Date(10001, 1, 1, 0, 0, 0, 0, time.UTC), time.Time{}
		cloud.WantRows(t, f.store(timed(format)), q)
	}
	if len(f.queries) > 0 {
		t.Error("Firestore was asked")
	}
}

// Stopping ends the call at once and asks for no more.
func TestStoppingEarly(t *testing.T) {
	f := newFake(t)
	f.ended = make(chan error, 1)
	var many []*pb.Document
	for i := range 20_000 {
		many = append(many, n(second(i), strings.Repeat("x", 1000)))
	}
	f.answers = []answer{docs(many...)}
	for range hotreader.NewReader(f.store(Options{})).Read(t.Context(), qN) {
		break
	}
	if err := <-f.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the call ended with %v", err)
	}
	f.done()
}

// The caller's time is told to the server, and over when it is over.
func TestDeadline(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	asked := make(chan string, 1)
	c := plainServer(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Header.Get("Grpc-Timeout")
		select {
		case <-r.Context().Done():
		case <-release:
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := cloud.Rows(ctx, storeOf(c, Options{}), qN)
	if hotreader.CodeOf(err) != hotreader.CodeDeadline {
		t.Errorf("error %v, want %v", err, hotreader.CodeDeadline)
	}
	if got := <-asked; !strings.HasSuffix(got, "m") || len(got) > 3 {
		t.Errorf("the server was given %q", got)
	}
}

func TestPitfall24ThrottlingIsTriedAgain(t *testing.T) {
	slow := answer{fail: grpcstatus.Error(codes.ResourceExhausted, "slow down")}
	f := newFake(t, slow, answer{fail: grpcstatus.Error(codes.Internal, "sorry")},
		answer{documents: []*pb.Document{n(second(0), 1)}, fail: grpcstatus.Error(codes.Aborted, "contention")},
		slow, slow, docs(n(second(1), 2)))
	cloud.WantRows(t, f.store(Options{}), qN, "00:00:00 1", "00:00:01 2")
	f.done()
	// What is left of the page is asked for, not a whole one.
	if got := f.queries[3].GetStructuredQuery().Limit.Value; got != maxPage-1 {
		t.Errorf("%d documents were asked for behind the first", got)
	}
	// A pause that is longer than the caller's time is not begun.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	f = newFake(t, answer{fail: withDetails(t, codes.ResourceExhausted, "later", retryIn(time.Minute))})
	_, err := cloud.Rows(ctx, f.store(Options{}), qN)
	if e, ok := errors.AsType[*hotreader.Error](err); !ok || e.Code != hotreader.CodeThrottled || e.RetryAfter != time.Minute {
		t.Errorf("error %v", err)
	}
	f.done()
}

// Who is alone gets through to a Firestore that throttles each query, with many
// times the retries that a crowd has: those that work are given back.
func TestThrottlingOfEachQuery(t *testing.T) {
	slow := answer{fail: grpcstatus.Error(codes.ResourceExhausted, "slow down")}
	f := newFake(t)
	s := f.store(Options{})
	for range 50 {
		f.answers = []answer{slow, slow, slow, docs(n(second(0), 1))}
		cloud.WantRows(t, s, qN, "00:00:00 1")
	}
	f.done()
}

// A line that breaks behind each document is not followed for ever: retries that
// bring less than the rest of a page are spent.
func TestBreakingBehindEachDocument(t *testing.T) {
	f := newFake(t)
	came := 0
	f.serve = func(*pb.RunQueryRequest) answer {
		if came++; came == 100 {
			return docs()
		}
		return answer{documents: []*pb.Document{n(second(came), came)}, fail: grpcstatus.Error(codes.Unavailable, "moving")}
	}
	began := time.Now()
	got, err := rows(t, f.store(Options{}), qN)
	if most := 22 + int(time.Since(began).Seconds()); came < maxTries || came > most || len(got) != came-1 || hotreader.CodeOf(err) != hotreader.CodeUnavailable {
		t.Errorf("%d queries, at most %d are meant to be; %d rows, %v", came, most, len(got), err)
	}
}

// Wherever an answer is cut, with or without the server noticing, the read ends
// with an error or is taken up behind what came.
func TestCutAnswerIsNeverAShortSuccess(t *testing.T) {
	var whole []byte
	for i := range 3 {
		whole = append(whole, frame(t, &pb.RunQueryResponse{Document: n(second(i), i)})...)
	}
	for cut := range len(whole) + 1 {
		for _, status := range []string{"", "0"} { // no status: the connection broke
			if cut == len(whole) && status == "0" {
				continue
			}
			calls := 0
			c := plainServer(t, func(w http.ResponseWriter, r *http.Request) {
				if calls++; calls > 1 {
					w.Header().Set("Grpc-Status", "7")
					w.Header().Set("Content-Type", "application/grpc")
					return
				}
				w.Header().Set("Content-Type", "application/grpc")
				w.Header().Set("Trailer", "Grpc-Status")
				_, _ = w.Write(whole[:cut])
				if status != "" {
					w.Header().Set("Grpc-Status", status)
				}
			})
			got, err := rows(t, storeOf(c, Options{}), qN)
			if status == "0" && cut%(len(whole)/3) == 0 && err == nil || status == "0" && cut == 0 {
				continue // a whole answer, only shorter
			}
			if err == nil {
				t.Fatalf("cut at byte %d with status %q: rows %v and no error", cut, status, got)
			}
		}
	}
}

// What is not the protocol is named, and never rows.
func TestForeignAnswers(t *testing.T) {
	good := frame(t, &pb.RunQueryResponse{Document: n(second(0), 1)})
	for _, c := range []struct {
		name   string
		serve  func(w http.ResponseWriter)
		code   hotreader.Code
		saying string
	}{
		{"a web page", func(w http.ResponseWriter) { fmt.Fprint(w, "<html>") }, hotreader.CodeProtocol, "text/html"},
		{"not found", func(w http.ResponseWriter) { w.WriteHeader(404) }, hotreader.CodeProtocol, "404"},
		{"a gateway's failure", func(w http.ResponseWriter) { w.WriteHeader(502) }, hotreader.CodeUnavailable, "502"},
		{"a gateway's limit", func(w http.ResponseWriter) { w.WriteHeader(429) }, hotreader.CodeThrottled, "429"},
		{"a redirect", func(w http.ResponseWriter) { w.Header().Set("Location", "/"); w.WriteHeader(307) }, hotreader.CodeProtocol, "307"},
		{"a compressed message", func(w http.ResponseWriter) { grpcAnswer(w, append([]byte{1}, good[1:]...), "0") }, hotreader.CodeCorrupt, "compressed"},
		{"a huge message", func(w http.ResponseWriter) { grpcAnswer(w, []byte{0, 0xff, 0, 0, 0}, "0") }, hotreader.CodeCorrupt, "bytes"},
		{"a message longer than a document", func(w http.ResponseWriter) { grpcAnswer(w, []byte{0, 0, 0x50, 0, 1}, "0") }, hotreader.CodeCorrupt, "5242881 bytes"},
		{"no protobuf", func(w http.ResponseWriter) { grpcAnswer(w, []byte{0, 0, 0, 0, 1, 0xff}, "0") }, hotreader.CodeCorrupt, "protobuf"},
		{"a status that is none", func(w http.ResponseWriter) { grpcAnswer(w, nil, "fine") }, hotreader.CodeUnavailable, "fine"},
		{"documents without a name", func(w http.ResponseWriter) {
			grpcAnswer(w, frame(t, &pb.RunQueryResponse{Document: &pb.Document{}}), "0")
		}, hotreader.CodeCorrupt, "name"},
		{"documents without a time", func(w http.ResponseWriter) {
			grpcAnswer(w, frame(t, &pb.RunQueryResponse{Document: &pb.Document{Name: "x"}}), "0")
		}, hotreader.CodeCorrupt, "document 1"},
	} {
		client := plainServer(t, func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				t.Error(err)
			}
			c.serve(w)
		})
		got, err := rows(t, storeOf(client, Options{}), qN)
		if hotreader.CodeOf(err) != c.code || len(got) > 0 || !strings.Contains(fmt.Sprint(err), c.saying) {
			t.Errorf("%s: rows %v, error %v (%s); want %s with %q", c.name, got, err, hotreader.CodeOf(err), c.code, c.saying)
		}
	}
}

func grpcAnswer(w http.ResponseWriter, body []byte, status string) {
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status")
	_, _ = w.Write(body)
	w.Header().Set("Grpc-Status", status)
}

// More documents than asked for, or any behind the end, are not the answer.
func TestTooManyDocumentsAreAnError(t *testing.T) {
	q := qN
	q.Limit = 1
	var many []*pb.Document
	for i := range 1 + slack + 1 {
		many = append(many, n(fmt.Sprintf("2024-01-01T00:00:00.%dZ", i+1), i))
	}
	f := newFake(t)
	f.serve = func(*pb.RunQueryRequest) answer { return docs(many...) }
	if _, err := rows(t, f.store(Options{}), q); hotreader.CodeOf(err) != hotreader.CodeCorrupt {
		t.Errorf("error %v", err)
	}
}

// A look at whole documents ends where they would fill the memory.
func TestLooksAreBounded(t *testing.T) {
	many := func(n int, one any) any { return slices.Repeat([]any{one}, n) }
	for _, c := range []struct {
		name  string
		value any // of each of 20 documents
		want  int
	}{
		{"short ones", 1, 20},
		{"long ones", strings.Repeat("x", 1<<20), 8},
		{"the longest message", many(1<<20, nil), 2},
		{"maps", many(10_000, map[string]any{}), 3},
	} {
		f := newFake(t, docs(slices.Repeat([]*pb.Document{n(second(0), c.value)}, 20)...))
		s := f.store(Options{})
		items, err := s.items(t.Context(), s.search("d", nil), 20)
		if len(items) != c.want || err != nil {
			t.Errorf("%s: %d documents, %v; want %d", c.name, len(items), err, c.want)
		}
	}
}

// A document of too many maps hides no other one, and its value is unreadable.
func TestTooManyMaps(t *testing.T) {
	huge := slices.Repeat([]any{map[string]any{}}, maxMaps+1)
	f := newFake(t)
	f.serve = func(*pb.RunQueryRequest) answer { return docs(n(second(0), huge), n(second(1), 1)) }
	s := f.store(Options{})
	if items, err := s.items(t.Context(), s.search("d", nil), 20); err != nil || len(items) != 1 {
		t.Errorf("%d documents, %v", len(items), err)
	}
	stats := new(hotreader.Stats)
	got, err := cloud.Rows(hotreader.WithStats(t.Context(), stats), s, qN)
	if w := stats.Warnings(); err != nil || len(got) != 1 || len(w) == 0 || w[0].Reason != hotreader.Unreadable {
		t.Errorf("%d rows, %v, %v", len(got), err, w)
	}
}

func TestDevicesThatAreNotIndexed(t *testing.T) {
	f := newFake(t)
	q := qN
	q.Device = strings.Repeat("x", maxID+1)
	if _, err := rows(t, f.store(Options{}), q); hotreader.CodeOf(err) != hotreader.CodeInvalid || len(f.queries) > 0 {
		t.Errorf("error %v", err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{Collection: "c"}, "GOOGLE_CLOUD_PROJECT"},
		{Options{Project: "my/project", Collection: "c"}, "GOOGLE_CLOUD_PROJECT"},
		{Options{Project: "p"}, "FIRESTORE_COLLECTION"},
		{Options{Project: "p", Collection: "a/b"}, "path of a document"},
		{Options{Project: "p", Collection: "a//c"}, "empty part"},
		{Options{Project: "p", Collection: ".."}, "no id"},
		{Options{Project: "p", Collection: "__c__"}, "Firestore's own"},
		{Options{Project: "p", Collection: "c", Database: "A b"}, "FIRESTORE_DATABASE"},
		{Options{Project: "p", Collection: "c", Layout: layout.Layout{DeviceKey: "x", TimeKey: "x"}}, "both"},
		{Options{Project: "p", Collection: "c", Layout: layout.Layout{TimeKey: "a.__name__"}}, "Firestore's own"},
		{Options{Project: "p", Collection: "c", Layout: layout.Layout{TimeFormat: layout.Formats{"julian"}}}, "native"},
		{Options{Project: "p", Collection: "{device}/x/{device}"}, "more than once"},
		{Options{Project: "p", Collection: "devices/{device}"}, "path of a document"},
	} {
		s := New(nil, c.o)
		_, err := rows(t, s, qN)
		if hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.o, err, c.want)
		}
		if err := s.Write(t.Context(), "d", nil); hotreader.CodeOf(err) != hotreader.CodeConfig {
			t.Errorf("%+v, writing: %v", c.o, err)
		}
	}
}

// 10,000 rows allocate hardly more than 100. What is left is net/http's, on both
// sides: about ten small allocations for each frame of up to 16 KB that the
// server sends, which is some ninety rows. One for each row would be 1.
func TestReadingDoesNotAllocate(t *testing.T) {
	cloud.WantAllocations(t, []string{"a", "b", "c", "d"}, 100, maxPage-1, func(rows int) hotreader.Source {
		var body []byte
		for i := range rows {
			body = append(body, frame(t, &pb.RunQueryResponse{Document: doc(second(i), "a", float64(i)/8, "b", i, "c", "text", "d", true)})...)
		}
		return storeOf(plainServer(t, func(w http.ResponseWriter, r *http.Request) { grpcAnswer(w, body, "0") }), Options{})
	}, 0.25)
}
