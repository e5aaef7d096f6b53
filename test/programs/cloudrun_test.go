package programs

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hotreader"
	"hotreader/identity"
	"hotreader/remote"
	"hotreader/test/serving"
)

// client returns one that speaks HTTP/2 without TLS, or HTTP/1.1, and counts its
// requests.
func client(t testing.TB, h2 bool, count *atomic.Int64) *http.Client {
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(!h2)
	transport.Protocols.SetUnencryptedHTTP2(h2)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: counting{transport, count, h2, t}}
}

type counting struct {
	http.RoundTripper
	n  *atomic.Int64
	h2 bool
	t  testing.TB
}

func (c counting) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n.Add(1)
	resp, err := c.RoundTripper.RoundTrip(r)
	if err == nil && (resp.ProtoMajor == 2) != c.h2 {
		c.t.Errorf("spoken is %s", resp.Proto)
	}
	return resp, err
}

// One answer carries more than the 32 MB that Cloud Run lets an answer have that
// is not streamed; JSON stays within its bound.
func TestStreamBeyond32MB(t *testing.T) {
	t.Parallel()
	const rows, columns, width = 20_000, 10, 250 // of 50 MB of base64 zstd makes three quarters
	peer := serving.NewPeer(t, serving.Token)
	random := rand.NewChaCha8([32]byte{1})
	text := make([]byte, rows*columns*width*3/4)
	_, _ = random.Read(text) // it cannot fail
	text = []byte(base64.StdEncoding.EncodeToString(text))
	var names []string
	for c := range columns {
		names = append(names, fmt.Sprintf("p%d", c))
	}
	records := make([]hotreader.Record, rows)
	for i := range records {
		records[i].Time = serving.At(i)
		for c, name := range names {
			from := (i*columns + c) * width
			records[i].Fields = append(records[i].Fields, hotreader.Field{Name: name, Value: hotreader.StringValue(text[from : from+width])})
		}
	}
	if err := peer.Store.Write(t.Context(), "d", records); err != nil {
		t.Fatal(err)
	}
	p, _ := cloudRun.start(t, cloudRun.twin(peer))
	token, err := identity.Static(serving.Token)
	if err != nil {
		t.Fatal(err)
	}
	requests := new(atomic.Int64)
	source, err := remote.New(remote.Options{URL: p.URL, Credential: token, SourceCloud: "aws", Client: client(t, true, requests)})
	if err != nil {
		t.Fatal(err)
	}
	i := 0
	for row, err := range hotreader.NewReader(source).Read(t.Context(), hotreader.Query{Device: "d", Properties: names}) {
		if err != nil {
			t.Fatal(err)
		}
		if want := records[i].Fields[columns-1].Value; string(row.Values[columns-1].Text()) != string(want.Text()) {
			t.Fatalf("row %d is %v", i, row)
		}
		i++
	}
	if i != rows || requests.Load() != 1 {
		t.Errorf("%d rows in %d answers, want %d in one", i, requests.Load(), rows)
	}
	a := p.Ask(t, "GET", "/v1/devices/d/history?property="+strings.Join(names, "&property="), "", serving.Token)
	if a.Status != 200 || len(a.Body) > 8<<20 || !strings.Contains(a.Body, "next_token") {
		t.Errorf("%d, %d bytes", a.Status, len(a.Body))
	}
	p.Terminate(t)
	var most int64
	for line := range strings.Lines(p.Log()) {
		var sent struct{ Bytes int64 }
		if err := json.Unmarshal([]byte(line), &sent); err != nil {
			t.Fatal(err)
		}
		most = max(most, sent.Bytes)
	}
	if most < 32<<20 {
		t.Errorf("an answer of %d bytes shows nothing", most)
	}
}

// Cloud Logging gets lines that it can take apart, with the trace that came in;
// the remote API gets the same trace.
func TestLogAndTrace(t *testing.T) {
	t.Parallel()
	peer := serving.NewPeer(t, serving.Token)
	peer.Fill(t, "d", 1)
	p, _ := cloudRun.start(t, cloudRun.twin(peer))
	const trace, other = "105445aa7843bc8bf206b12000100000", "0af7651916cd43dd8448eb211c80319c"
	p.Ask(t, "GET", latest, "", serving.Token, "X-Cloud-Trace-Context", trace+"/1;o=1")
	p.Ask(t, "GET", latest, "", serving.Token, "X-Cloud-Trace-Context", trace+"/1;o=1", "Traceparent", "00-"+other+"-b7ad6b7169203331-01")
	if code := p.Terminate(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	var seen []string
	for line := range strings.Lines(p.Log()) {
		var l struct {
			Severity, Message, Time, Status string
			Trace                           string `json:"logging.googleapis.com/trace"`
		}
		d := json.NewDecoder(strings.NewReader(line))
		err := d.Decode(&l)
		if _, ok := errors.AsType[*json.UnmarshalTypeError](err); err != nil && !ok {
			t.Fatalf("%v: %s", err, line)
		}
		if _, err := time.Parse(time.RFC3339Nano, l.Time); err != nil || l.Severity != "INFO" || l.Message != "request" {
			t.Errorf("%s", line)
		}
		seen = append(seen, l.Trace)
	}
	if len(seen) != 2 || seen[0] != "projects/plant-1/traces/"+trace || seen[1] != "projects/plant-1/traces/"+other {
		t.Errorf("traces %v", seen)
	}
	if sent := peer.Traces(); len(sent) != 2 || !strings.HasPrefix(sent[0], "00-"+trace+"-") || !strings.HasPrefix(sent[1], "00-"+other+"-") {
		t.Errorf("traces sent on %v", sent)
	}
}
