package gcpfirestore

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"golang.org/x/oauth2"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"hotreader"
	"hotreader/layout"
	"hotreader/store/storetest/cloud"
)

func withDetails(t testing.TB, code codes.Code, message string, details ...protoadapt.MessageV1) error {
	t.Helper()
	s, err := grpcstatus.New(code, message).WithDetails(details...)
	if err != nil {
		t.Fatal(err)
	}
	return s.Err()
}

func retryIn(d time.Duration) protoadapt.MessageV1 {
	return &errdetails.RetryInfo{RetryDelay: durationpb.New(d)}
}

func TestErrors(t *testing.T) {
	const link = "https://console.firebase.google.com/v1/r/project/my-project/firestore/indexes?create_composite=Abc_-"
	disabled := withDetails(t, codes.PermissionDenied, "Cloud Firestore API has not been used in project 1 before or it is disabled.",
		&errdetails.ErrorInfo{Reason: "SERVICE_DISABLED", Domain: "googleapis.com"})
	for _, c := range []struct {
		err    error
		code   hotreader.Code
		saying []string
		again  bool
	}{
		{grpcstatus.Error(codes.NotFound, "The database (default) does not exist for project my-project"), hotreader.CodeNotFound,
			[]string{"(default)", "my-project", "FIRESTORE_DATABASE"}, false},
		{grpcstatus.Error(codes.FailedPrecondition, "The query requires an index. You can create it here: "+link), hotreader.CodeConfig,
			[]string{"twin-hot-iot-data", "device_id ASCENDING with timestamp ASCENDING", "device_id ASCENDING with timestamp DESCENDING", link,
				"gcloud firestore indexes composite create --project=my-project --database='(default)' --collection-group=twin-hot-iot-data --field-config=field-path=device_id,order=ascending --field-config=field-path=timestamp,order=descending"}, false},
		{grpcstatus.Error(codes.FailedPrecondition, "The Cloud Firestore API is not available for Firestore in Datastore Mode database"), hotreader.CodeConfig, []string{"Datastore Mode", "my-project"}, false},
		{grpcstatus.Error(codes.PermissionDenied, "Missing or insufficient permissions."), hotreader.CodeForbidden, []string{"roles/datastore.viewer", "my-project"}, false},
		{disabled, hotreader.CodeConfig, []string{"gcloud services enable firestore.googleapis.com"}, false},
		{grpcstatus.Error(codes.Unauthenticated, "Request had invalid authentication credentials."), hotreader.CodeConfig, []string{"credentials"}, false},
		{grpcstatus.Error(codes.ResourceExhausted, "Quota exceeded."), hotreader.CodeThrottled, []string{"Quota exceeded."}, true},
		{grpcstatus.Error(codes.Unavailable, "The service is temporarily unavailable. ümlaut %"), hotreader.CodeUnavailable, []string{"temporarily", "ümlaut %"}, true},
		{grpcstatus.Error(codes.DeadlineExceeded, "slow"), hotreader.CodeUnavailable, []string{"its own time"}, true},
		{grpcstatus.Error(codes.Canceled, ""), hotreader.CodeUnavailable, []string{"CANCELLED"}, true},
		{grpcstatus.Error(codes.Aborted, "contention"), hotreader.CodeStore, []string{"ABORTED: contention"}, true},
		{grpcstatus.Error(codes.Internal, ""), hotreader.CodeStore, []string{"INTERNAL"}, true},
		{grpcstatus.Error(codes.InvalidArgument, "no"), hotreader.CodeConfig, []string{"rejects the query: no"}, false},
		{grpcstatus.Error(codes.Unimplemented, "what?"), hotreader.CodeProtocol, []string{"what?", "http://"}, false},
		{grpcstatus.Error(codes.DataLoss, "oh"), hotreader.CodeStore, []string{"DATA_LOSS"}, false},
		{grpcstatus.Error(codes.Code(77), "oh"), hotreader.CodeStore, []string{"status 77"}, false},
	} {
		f := newFake(t, answer{fail: c.err})
		if c.again {
			f.answers = append(f.answers, f.answers[0], f.answers[0], f.answers[0])
		}
		got, err := rows(t, f.store(Options{}), qN)
		cloud.WantError(t, c.err.Error(), err, c.code, append(c.saying, "firestore: query collection twin-hot-iot-data: ")...)
		if len(got) > 0 {
			t.Errorf("%v: rows %v", c.err, got)
		}
		f.done()
	}
}

func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	s := storeOf(clientOf(t, "http://"+l.Addr().String()), Options{})
	if _, err := rows(t, s, qN); hotreader.CodeOf(err) != hotreader.CodeUnavailable || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("error %v", err)
	}
	if err := s.Write(t.Context(), "d", []hotreader.Record{{Time: parse(second(0))}}); hotreader.CodeOf(err) != hotreader.CodeUnavailable {
		t.Errorf("writing: %v", err)
	}
}

// A server that does not speak HTTP/2 is an error, not a riddle.
func TestNotHTTP2(t *testing.T) {
	old := httptest.NewServer(http.NotFoundHandler())
	defer old.Close()
	if _, err := rows(t, storeOf(clientOf(t, old.URL), Options{}), qN); hotreader.CodeOf(err) != hotreader.CodeUnavailable {
		t.Errorf("error %v", err)
	}
}

func secure(t *testing.T, tokens oauth2.TokenSource, h http.HandlerFunc) (*httptest.Server, *Client) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes fail on purpose
	s.StartTLS()
	t.Cleanup(s.Close)
	t.Setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "payer")
	c, err := NewClient(t.Context(), ClientOptions{Endpoint: s.URL, Tokens: tokens})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return s, c
}

func TestCertificatesAreChecked(t *testing.T) {
	_, c := secure(t, oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "a"}), func(http.ResponseWriter, *http.Request) {
		t.Error("a request, with the token, was sent to a stranger")
	})
	if _, err := rows(t, storeOf(c, Options{}), qN); hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("error %v", err)
	}
}

// warnings reads q and writes the warnings as lines.
func warnings(t *testing.T, s hotreader.Source, q hotreader.Query) (lines string, err error) {
	stats := new(hotreader.Stats)
	_, err = cloud.Rows(hotreader.WithStats(t.Context(), stats), s, q)
	for _, w := range stats.Warnings() {
		lines += fmt.Sprintln(w.Property, w.Reason, w.Detail)
	}
	return lines, err
}

// An empty answer is explained by a few documents: the device's newest, then any of the
// device's, then any at all.
func TestPitfall04EmptyAnswersAreExplained(t *testing.T) {
	none := docs()
	good := docs(docOf("g", map[string]any{"device_id": "d", "timestamp": second(0), "m": 1}))
	other := func(m map[string]any) answer { return docs(docOf("a", m)) }
	failing := func(code codes.Code) answer { return answer{fail: grpcstatus.Error(code, "no index")} }
	narrow := Options{Layout: layout.Layout{NameKey: "metric", ValueKey: "value"}}
	for _, c := range []struct {
		name   string
		o      Options
		looks  []answer
		code   hotreader.Code // "" = no error
		saying string         // the error or the warnings
	}{
		{"no collection", Options{}, []answer{none, none, none}, hotreader.CodeNotFound, "FIRESTORE_COLLECTION, FIRESTORE_DATABASE and GOOGLE_CLOUD_PROJECT"},
		{"an unknown device", Options{}, []answer{none, none, other(map[string]any{"device_id": "e"})}, "", ` unknown_device nothing has the device_id "d"`},
		{"another device field", Options{}, []answer{none, none, other(map[string]any{"dev": "d", "timestamp": second(0)})}, hotreader.CodeConfig, `document "a" has no field "device_id", but dev, timestamp; set device_key`},
		{"another time field", Options{}, []answer{none, other(map[string]any{"device_id": "d", "ts": 5})}, hotreader.CodeUnreadable, "Item a: it has no timestamp, but device_id, ts; set time_key"},
		{"native time", Options{}, []answer{none, other(map[string]any{"device_id": "d", "timestamp": parse(second(0))})}, hotreader.CodeUnreadable, "set time_format to native"},
		{"text time", timed(layout.Native), []answer{none, good}, hotreader.CodeUnreadable, `the text "2024-01-01T00:00:00Z", not native; set time_format to iso8601`},
		{"number time", Options{}, []answer{none, other(map[string]any{"device_id": "d", "timestamp": 1767225600123.0})}, hotreader.CodeUnreadable, "set time_format to epoch_ms"},
		{"time in a scalar", Options{Layout: layout.Layout{TimeKey: "payload.ts"}}, []answer{none, other(map[string]any{"device_id": "d", "payload": "x"})}, hotreader.CodeUnreadable, `payload is the text "x"`},
		{"a slip", Options{}, []answer{good}, "", "n unknown_property the newest has m"},
		{"a slip beside names of the layout", Options{Layout: layout.Layout{Properties: layout.Properties{Paths: map[string]string{"amps": "motor.a", "nn": "m"}}}}, []answer{good}, "", "n unknown_property properties of the layout name nn, amps, and the newest has m"},
		{"a range without rows", Options{}, []answer{docs(n(second(0), 1))}, "", ""},
		{"of two formats the newer", timed(layout.Native, layout.ISO8601), []answer{good}, "", "n unknown_property"},
		{"narrow, a slip", narrow, []answer{other(map[string]any{"device_id": "d", "timestamp": second(0), "metric": "m", "value": 1})}, "", "n unknown_property the newest items are of m"},
		{"no index for the newest", Options{}, []answer{failing(codes.FailedPrecondition), good}, "", "n unknown_property"},
		{"the look fails", Options{}, []answer{failing(codes.PermissionDenied), failing(codes.PermissionDenied)}, hotreader.CodeForbidden, "roles/datastore.viewer"},
		{"below a document", Options{Collection: "devices/{device}/telemetry"}, []answer{none, none}, "", "unknown_device"},
	} {
		f := newFake(t)
		scans, last := 0, 0
		f.serve = func(r *pb.RunQueryRequest) answer {
			if r.GetStructuredQuery().Select != nil {
				scans++
				return none
			}
			if last++; last > len(c.looks) {
				t.Errorf("%s: look %d was not expected: %v", c.name, last, r)
				return none
			}
			return c.looks[last-1]
		}
		s := storeOf(f.client, c.o)
		s.Look.End = nil
		for range 2 { // what was seen is known for a minute
			text, err := warnings(t, s, qN)
			if err != nil {
				text = err.Error()
			}
			if hotreader.CodeOf(err) != c.code || !strings.Contains(text, c.saying) || (text == "") != (c.saying == "") {
				t.Errorf("%s: %v, %q; want %s, %q", c.name, err, text, c.code, c.saying)
			}
			if laidOut := c.code == hotreader.CodeConfig || c.code == hotreader.CodeUnreadable; laidOut != strings.Contains(text, "hotreader inspect --store") {
				t.Errorf("%s: %q; inspect is the next step for what is laid out otherwise alone", c.name, text)
			}
			if err != nil && c.code != hotreader.CodeUnreadable {
				break
			}
		}
		if last != len(c.looks) {
			t.Errorf("%s: %d looks, want %d", c.name, last, len(c.looks))
		}
		if c.name == "no collection" {
			for i, name := range []string{"newest", "any", "all"} {
				golden(t, "look "+name, f.queries[1+i])
			}
		}
	}
}

// Times of types that no comparison finds are looked for once an hour, and told.
func TestTimesOfOtherTypesAreTold(t *testing.T) {
	rows := docs(n(second(0), 1))
	f := newFake(t, rows, docs(), docs(docOf("new", map[string]any{"device_id": "d", "timestamp": parse(second(5)), "n": 2})), rows)
	s := storeOf(f.client, Options{})
	for range 2 {
		got, err := warnings(t, s, qN)
		if want := ` mixed_times item new: timestamp is the timestamp 2024-01-01T00:00:05Z; set time_format to ["iso8601","native"] to have both` + "\n"; err != nil || got != want {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	f.done()
	golden(t, "look aside least", f.queries[1])
	golden(t, "look aside greatest", f.queries[2])
	// What the layout's formats have is no other type; that a look fails costs nothing.
	f = newFake(t, docs(), docs(n(parse(second(1)), 1)), answer{fail: grpcstatus.Error(codes.FailedPrecondition, "no index")})
	if got, err := warnings(t, storeOf(f.client, timed(layout.ISO8601, layout.Native)), qN); err != nil || got != "" {
		t.Errorf("%q, %v", got, err)
	}
	f.done()
}

// An id that is a number is also looked for as one, and from then on read so.
func TestNumericDevices(t *testing.T) {
	f := newFake(t, docs(), docs(docOf("x", map[string]any{"device_id": 7, "timestamp": second(0)})), docs(n(second(0), 1)))
	s := storeOf(f.client, Options{})
	s.Look.End = nil
	q := qN
	q.Device = "7"
	cloud.WantRows(t, s, q, "00:00:00 1")
	f.done()
	golden(t, "look numeric device", f.queries[1])
	golden(t, "request numeric device", f.queries[2])
}

// Documents that are laid out otherwise.
func TestDocumentsOfOtherLayouts(t *testing.T) {
	type m = map[string]any
	for name, c := range map[string]struct {
		l    layout.Layout
		d    []m
		want string
	}{
		"narrow by name": {layout.Layout{NameKey: "metric.name", ValueKey: "metric.value"},
			[]m{{"timestamp": second(0), "metric": m{"name": "n", "value": 1}}, {"timestamp": second(0), "metric": m{"name": "x", "value": 2}}, {"timestamp": second(0), "metric": m{"name": "a.b", "value": "é"}}}, `00:00:00 1 "é"`},
		"narrow by key": {layout.Layout{TimePrefix: "R#", TimeSuffix: "#{property}", ValueKey: "v"},
			[]m{{"timestamp": "R#" + second(0) + "#a.b", "v": true}, {"timestamp": "R#" + second(0) + "#n", "v": 1}, {"timestamp": "R#" + second(1) + "#x", "v": 1}}, "00:00:00 1 true"},
		"nested":      {layout.Layout{TimeKey: "p.ts", Properties: layout.Properties{Base: "p"}}, []m{{"n": 0, "p": m{"ts": second(0), "n": 1, "a": m{"b": 2}}}}, "00:00:00 1 2"},
		"a dot":       {layout.Layout{}, []m{{"timestamp": second(0), "n": m{"x": []any{1, nil}}, "a": m{"b": 2}, "a.b": "as it stands"}}, `00:00:00 "{\"x\":[1,null]}" "as it stands"`},
		"by path":     {layout.Layout{Properties: layout.Properties{Paths: map[string]string{"n": `a\.b`, "a.b": "n.x"}}}, []m{{"timestamp": second(0), "n": m{"x": 5}, "a.b": 6}}, "00:00:00 6 5"},
		"no map":      {layout.Layout{Properties: layout.Properties{Base: "p"}}, []m{{"timestamp": second(0), "p": 7, "n": 1}}, ""},
		"an offset":   {layout.Layout{TimeFormat: layout.Formats{"iso8601_blank+09:00"}}, []m{{"timestamp": "2024-01-01 09:00:00", "n": 1}}, "00:00:00 1 null"},
		"nanoseconds": {layout.Layout{TimeFormat: layout.Formats{layout.EpochNanos}}, []m{{"timestamp": 1704067200000000001, "n": 1}}, "00:00:00.000000001 1 null"},
	} {
		var all []*pb.Document
		for i, fields := range c.d {
			all = append(all, docOf(fmt.Sprint(i), fields))
		}
		got, err := rows(t, newFake(t, docs(all...)).store(Options{Layout: c.l}), hotreader.Query{Device: "d", Properties: []string{"n", "a.b"}})
		if err != nil || strings.Join(got, "|") != c.want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, c.want)
		}
	}
}
