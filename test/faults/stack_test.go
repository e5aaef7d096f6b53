package faults

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/messages"

	"hotreader"
	"hotreader/codec/twinmaker"
	"hotreader/function/awslambda"
	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/remote"
	"hotreader/route"
	"hotreader/store/boltstore"
	"hotreader/store/memstore"
)

const (
	token  = "0123456789abcdef0123456789abcdef0123456789abcdef"
	device = "pump-7"

	// count rows are three frames of a row stream: 64, 256 and the rest.
	count = 400

	// within is how long a read may take: far more than it needs, for it only shows
	// whether the read ends at all.
	within = 60 * time.Second
)

var begin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// records returns what is stored: numbers that a float would change, text, and gaps.
func records() []hotreader.Record {
	all := make([]hotreader.Record, count)
	for i := range all {
		all[i] = hotreader.Record{Time: begin.Add(time.Duration(i)*time.Second + time.Duration(i*i%1000)*time.Millisecond), Fields: []hotreader.Field{
			{Name: "temperature", Value: hotreader.NumberValue(fmt.Appendf(nil, "%d.12345678901234567890", i*37%911))},
		}}
		if i%3 > 0 {
			all[i].Fields = append(all[i].Fields, hotreader.Field{Name: "state", Value: hotreader.StringValue(fmt.Appendf(nil, "state %d", i%7))})
		}
		if i%5 > 0 && i < count-30 {
			all[i].Fields = append(all[i].Fields, hotreader.Field{Name: "open", Value: hotreader.BoolValue(i%2 == 0)})
		}
	}
	return all
}

func history() hotreader.Query {
	return hotreader.Query{Device: device, Properties: []string{"temperature", "state", "open"}}
}

func newest() hotreader.Query {
	q := history()
	q.Last = true
	return q
}

func filled(t testing.TB) *memstore.Store {
	t.Helper()
	s := memstore.New()
	if err := s.Write(t.Context(), device, records()); err != nil {
		t.Fatal(err)
	}
	return s
}

func filledFile(t testing.TB) *boltstore.Store {
	t.Helper()
	s, err := boltstore.Open(t.TempDir()+"/rows.db", boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.Write(t.Context(), device, records()); err != nil {
		t.Fatal(err)
	}
	return s
}

func tokenOf(t testing.TB) *identity.Token {
	t.Helper()
	tok, err := identity.Static(token)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// apiOf returns the real API over r.
func apiOf(t testing.TB, r hotreader.Source, options ...func(*httpapi.Options)) http.Handler {
	t.Helper()
	o := httpapi.Options{Source: r, Token: tokenOf(t), Rate: -1}
	for _, set := range options {
		set(&o)
	}
	h, err := httpapi.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func jsonOnly(o *httpapi.Options) { o.NoRows = true }

// peers returns a peer that sends rows, and one that knows only JSON.
func peers(t testing.TB, r hotreader.Source) map[string]http.Handler {
	t.Helper()
	return map[string]http.Handler{"rows": apiOf(t, r), "JSON": apiOf(t, r, jsonOnly)}
}

// setup holds the options that a test may change.
type setup struct {
	remote  remote.Options
	retry   route.RetryOptions
	breaker route.BreakerOptions
}

func withIdle(d time.Duration) func(*setup) { return func(s *setup) { s.remote.Idle = d } }

// remoteAt returns the Source of a remote API as the functions assemble it, but with
// short waits.
func remoteAt(t testing.TB, url string, options ...func(*setup)) hotreader.Source {
	t.Helper()
	client := newClient()
	s := &setup{remote: remote.Options{URL: url, Credential: tokenOf(t), Client: client, SourceCloud: "aws"},
		retry: route.RetryOptions{Base: 2 * time.Millisecond}}
	for _, set := range options {
		set(s)
	}
	r, err := remote.New(s.remote)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return route.NewRetry(route.NewBreaker(r, s.breaker), s.retry)
}

// newClient returns the functions' client, but with longer timeouts, for a busy machine.
func newClient() *http.Client {
	c := remote.NewClient()
	transport := c.Transport.(*http.Transport)
	transport.TLSHandshakeTimeout = within
	transport.DialContext = (&net.Dialer{Timeout: within}).DialContext
	return c
}

// collect reads all rows, and checks what holds for every read.
func collect(ctx context.Context, t testing.TB, r hotreader.Source, q hotreader.Query) (rows []hotreader.Row, err error) {
	t.Helper()
	for row, rerr := range hotreader.NewReader(r).Read(ctx, q) {
		if err != nil {
			t.Errorf("behind the error %v came %v, %v", err, row, rerr)
		}
		if rerr != nil {
			err = rerr
			continue
		}
		rows = append(rows, row.Clone())
	}
	if err != nil {
		if _, typed := errors.AsType[*hotreader.Error](err); !typed {
			t.Errorf("%T is no *hotreader.Error: %v", err, err)
		}
		if strings.Contains(err.Error(), token) {
			t.Errorf("the token stands in %v", err)
		}
	}
	return rows, err
}

// stored are the rows that r has for q.
func stored(t testing.TB, r hotreader.Source, q hotreader.Query) []hotreader.Row {
	t.Helper()
	rows, err := collect(t.Context(), t, r, q)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func limited(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	t.Cleanup(cancel)
	return ctx
}

// difference says where got differs from want or, unless all must have come, from the
// beginning of want; "" = nowhere.
func difference(got, want []hotreader.Row, all bool) string {
	for i := range min(len(got), len(want)) {
		if !got[i].Time.Equal(want[i].Time) || !slices.EqualFunc(got[i].Values, want[i].Values, hotreader.Same) {
			return fmt.Sprintf("row %d is %v, want %v", i, got[i], want[i])
		}
	}
	if len(got) > len(want) || all && len(got) < len(want) {
		return fmt.Sprintf("%d rows, want %d", len(got), len(want))
	}
	return ""
}

// functions returns the two functions that TwinMaker calls, over r.
func functions(r hotreader.Source) map[string]lambda.Handler {
	t := awslambda.Twin{Devices: twinmaker.Devices{Twin: "factory"}, Responder: twinmaker.Responder{Reader: hotreader.NewReader(r)}}
	return map[string]lambda.Handler{"history": awslambda.History(t), "last entry": awslambda.LastEntry(t)}
}

// event returns an event of TwinMaker for either function.
func event() []byte {
	return []byte(`{"workspaceId":"w","entityId":"e","componentName":"c","componentTypeId":"factory-` + device + `",
		"startTime":"2020-01-01T00:00:00Z","endTime":"2030-01-01T00:00:00Z",
		"selectedProperties":["temperature","state","open"],
		"properties":{"temperature":{"definition":{"dataType":{"type":"DOUBLE"}}},
			"state":{"definition":{"dataType":{"type":"STRING"}}},"open":{"definition":{"dataType":{"type":"BOOLEAN"}}}}}`)
}

// localAnswers returns the functions' answers from a local store. A remote one must give
// the same bytes.
func localAnswers(t testing.TB, r hotreader.Source) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for name, f := range functions(r) {
		b, err := f.Invoke(t.Context(), event())
		if err != nil || bytes.Contains(b, []byte("nextToken")) {
			t.Fatalf("%s: %.100s, %v", name, b, err)
		}
		all[name] = b
	}
	if len(all["history"]) < 100*count || len(all["last entry"]) < 100 {
		t.Fatalf("too little to show anything: %d and %d bytes", len(all["history"]), len(all["last entry"]))
	}
	return all
}

// checkFailure checks that a function failed with code, and without an answer.
func checkFailure(t testing.TB, answer []byte, err error, code hotreader.Code) {
	t.Helper()
	e, ok := errors.AsType[messages.InvokeResponse_Error](err)
	if !ok || e.Type != awslambda.ErrorType(code) {
		t.Errorf("%.200s, %v; want the error %s", answer, err, awslambda.ErrorType(code))
	}
	if len(answer) > 0 {
		t.Errorf("with the error came an answer of %d bytes", len(answer))
	}
	if ok && strings.Contains(e.Message, token) {
		t.Errorf("the token stands in %q", e.Message)
	}
}

// quiet discards what a server logs about connections that break on purpose.
var quiet = log.New(io.Discard, "", 0)

// TestMain runs many tests in parallel, since they mostly wait.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "24"); err != nil {
		log.Fatal(err)
	}
	for name, value := range map[string]string{"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": ""} {
		if err := os.Setenv(name, value); err != nil {
			log.Fatal(err)
		}
	}
	os.Exit(m.Run())
}
