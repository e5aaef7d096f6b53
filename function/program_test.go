package function

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hotreader"
	"hotreader/config"
	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/observe"
	"hotreader/test/serving"
	"hotreader/wire"
)

// endless is a Reader whose rows never end, and which after some of them waits
// for the end of its time.
type endless struct {
	rows    int
	waiting chan struct{} // closed when it waits
	deaf    bool          // also that does not end it
}

func (e endless) Scan(ctx context.Context, _ hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		for i := range e.rows {
			if !yield(hotreader.Row{Time: serving.At(i), Values: []hotreader.Value{hotreader.BoolValue(true)}}, nil) {
				return
			}
		}
		close(e.waiting)
		if e.deaf {
			select {}
		}
		<-ctx.Done()
		yield(hotreader.Row{}, &hotreader.Error{Op: "store", Code: hotreader.CodeOf(ctx.Err()), Err: ctx.Err()})
	}
}

// serve serves r until the returned function is called, which returns Serve's
// error.
func serve(t *testing.T, r hotreader.Source, d httpapi.Drain) (url string, end func() error) {
	t.Helper()
	token, err := identity.Static(serving.Token)
	if err != nil {
		t.Fatal(err)
	}
	p := Program{Logger: slog.New(slog.DiscardHandler), Local: func(*observe.Observer) (hotreader.Source, error) { return r, nil }}
	api, err := p.api(&config.Function{Role: config.API}, Parts{Identity: Identity{Token: token}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- httpapi.Serve(ctx, httpapi.Server(api), l, d) }()
	return "http://" + l.Addr().String(), func() error { cancel(); return <-done }
}

func get(t *testing.T, url, accept string) (int, string, error) {
	t.Helper()
	method, body := http.MethodGet, ""
	if accept == wire.MediaType {
		base, _, _ := strings.Cut(url, "/v1/")
		method, url = http.MethodPost, base+"/read"
		body = `{"source_cloud":"aws","target_layer":"L3-Hot-Read","message_type":"query","timestamp":"2026-01-01T00:00:00Z","payload":{"iot_device_id":"d","start_time":"2020-01-01T00:00:00Z","end_time":"2030-01-01T00:00:00Z","selected_properties":["on"]}}`
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set(identity.TokenHeader, serving.Token)
	req.Header.Set("Accept", accept)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// A read that would go on longer than the platform waits ends as if its time
// were up: what has come is answered, and says where to go on.
func TestReadsEndWithTheServer(t *testing.T) {
	for _, c := range []struct {
		name, accept string
		rows, status int
		check        func(t *testing.T, body string)
	}{
		{"page", "application/json", 5, 200, func(t *testing.T, body string) {
			if strings.Count(body, `"time"`) != 5 || !strings.Contains(body, `"next_token"`) {
				t.Errorf("%s", body)
			}
		}},
		{"row stream", wire.MediaType, 5, 200, func(t *testing.T, body string) {
			d := wire.NewDecoder(bufio.NewReader(strings.NewReader(body)), hotreader.Query{Device: "d", Properties: []string{"on"}})
			defer d.Close()
			n := 0
			for ; ; n++ {
				if _, err := d.Read(); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
			}
			if n != 5 || !d.More() {
				t.Errorf("%d rows, more %v", n, d.More())
			}
		}},
		{"nothing has come", "application/json", 0, 504, func(t *testing.T, body string) {
			if !strings.Contains(body, `"deadline"`) {
				t.Errorf("%s", body)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := endless{rows: c.rows, waiting: make(chan struct{})}
			url, end := serve(t, r, httpapi.Drain{Reads: 10 * time.Millisecond, Close: time.Minute})
			answered := make(chan struct{})
			go func() {
				defer close(answered)
				status, body, err := get(t, url+"/v1/devices/d/history?property=on", c.accept)
				if err != nil || status != c.status {
					t.Errorf("%d %v %s", status, err, body)
					return
				}
				c.check(t, body)
			}()
			<-r.waiting
			if err := end(); err != nil {
				t.Error(err)
			}
			<-answered
		})
	}
}

// What does not end even then is broken off, and that is said.
func TestServerEndsAnyway(t *testing.T) {
	r := endless{rows: 1, waiting: make(chan struct{}), deaf: true}
	url, end := serve(t, r, httpapi.Drain{Reads: time.Millisecond, Close: 20 * time.Millisecond})
	broken := make(chan error, 1)
	go func() {
		_, _, err := get(t, url+"/v1/devices/d/history?property=on", "application/json")
		broken <- err
	}()
	<-r.waiting
	if err := end(); hotreader.CodeOf(err) != hotreader.CodeDeadline {
		t.Errorf("%v", err)
	}
	if err := <-broken; err == nil {
		t.Error("the caller got an answer")
	}
}

func TestServeFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if err := httpapi.Serve(t.Context(), httpapi.Server(http.NotFoundHandler()), l, drain); hotreader.CodeOf(err) != hotreader.CodeInternal {
		t.Errorf("%v", err)
	}
}

func TestToken(t *testing.T) {
	own, err := identity.Static(serving.Token)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Identify(t.Context(), &config.Function{Token: own}, Secrets{})
	if err != nil || got.Token != own {
		t.Errorf("%v, %v", got, err)
	}
	named := &config.Function{TokenSecret: "x"}
	got, err = Identify(t.Context(), named, Secrets{Secret: func(name string) identity.Fetch {
		return func(ctx context.Context) (string, time.Time, error) {
			if name != "x" {
				t.Error(name)
			}
			if _, ok := ctx.Deadline(); !ok {
				t.Error("the start may take for ever")
			}
			return serving.Rotated, time.Time{}, nil
		}
	}})
	if err != nil || got.Token.Current() != serving.Rotated {
		t.Errorf("%v, %v", got, err)
	}
	_, err = Identify(t.Context(), named, Secrets{Secret: func(string) identity.Fetch {
		return func(context.Context) (string, time.Time, error) {
			return "", time.Time{}, &hotreader.Error{Code: hotreader.CodeForbidden}
		}
	}})
	if !errors.Is(err, hotreader.CodeForbidden) || !strings.HasPrefix(err.Error(), "INTER_CLOUD_TOKEN_SECRET: ") {
		t.Errorf("%v", err)
	}
}

// A caller whose token cannot be read does not keep others from an API on a cloud; one that
// is started by hand says so and does not start. Without the API's own token none does.
func TestTokenOfOneCallerIsMissing(t *testing.T) {
	secrets := Secrets{Secret: func(name string) identity.Fetch {
		return func(context.Context) (string, time.Time, error) {
			if name == "missing" {
				return "", time.Time{}, &hotreader.Error{Code: hotreader.CodeForbidden}
			}
			return serving.Token, time.Time{}, nil
		}
	}}
	f := &config.Function{Trust: []identity.Trusted{{Name: "a", TokenSecret: "missing"}, {Name: "b", TokenSecret: "there"}}}
	if _, err := Identify(t.Context(), f, secrets); !errors.Is(err, hotreader.CodeForbidden) || !strings.HasPrefix(err.Error(), "HOTREADER_TRUST: a: ") {
		t.Errorf("%v", err)
	}
	var log strings.Builder
	secrets.Logger = slog.New(slog.NewTextHandler(&log, nil))
	got, err := Identify(t.Context(), f, secrets)
	if err != nil || len(got.Trust) != 2 || got.Trust[0].Token.Current() != "" || got.Trust[1].Token.Current() != serving.Token || strings.Count(log.String(), "HOTREADER_TRUST: a: ") != 1 {
		t.Errorf("%v, %v; logged: %s", got.Trust, err, &log)
	}
	f.TokenSecret = "missing"
	if _, err := Identify(t.Context(), f, secrets); !errors.Is(err, hotreader.CodeForbidden) || !strings.HasPrefix(err.Error(), "INTER_CLOUD_TOKEN_SECRET: ") {
		t.Errorf("%v", err)
	}
}

// refusing is a store that does not let the host's own identity read.
type refusing struct{}

func (refusing) Scan(context.Context, hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		yield(hotreader.Row{}, &hotreader.Error{Op: "store", Code: hotreader.CodeForbidden, Err: errors.New("the role lacks cosmos:read")})
	}
}

// The caller, whose token is right, does not get forbidden.
func TestStoreRefusesTheHost(t *testing.T) {
	url, end := serve(t, refusing{}, drain)
	for _, accept := range []string{"application/json", "text/csv", wire.MediaType} {
		status, body, err := get(t, url+"/v1/devices/d/history?property=p", accept)
		if err != nil || status != http.StatusBadGateway || !strings.Contains(body, `"code":"store"`) || strings.Contains(body, "cosmos:read") {
			t.Errorf("%s: %d, %s, %v", accept, status, body, err)
		}
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}

// held is a Reader that answers at a signal.
type held struct {
	reads  atomic.Int64
	answer chan struct{}
}

func (h *held) Scan(context.Context, hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		h.reads.Add(1)
		<-h.answer
		yield(hotreader.Row{Time: serving.At(0), Values: []hotreader.Value{hotreader.BoolValue(true)}}, nil)
	}
}

// Of many callers 16 are answered at once, for there is memory for so many, and
// 256 wait for 5 s; the others learn at once when to come back.
func TestAnswersAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		token, err := identity.Static(serving.Token + "," + serving.Rotated)
		if err != nil {
			t.Fatal(err)
		}
		r := &held{answer: make(chan struct{})}
		p := Program{Logger: slog.New(slog.DiscardHandler), Local: func(*observe.Observer) (hotreader.Source, error) { return r, nil }}
		api, err := p.api(&config.Function{Role: config.API}, Parts{Identity: Identity{Token: token}})
		if err != nil {
			t.Fatal(err)
		}
		var served, told atomic.Int64
		hold := func(when string, wantServed, wantTold int64) {
			t.Helper()
			synctest.Wait()
			if r.reads.Load() != 16 || served.Load() != wantServed || told.Load() != wantTold {
				t.Errorf("%s: %d reads, want 16; %d are served, want %d; %d told, want %d", when, r.reads.Load(), served.Load(), wantServed, told.Load(), wantTold)
			}
		}
		for i := range 16 + 256 + 8 {
			go func() {
				req := httptest.NewRequest(http.MethodGet, "/v1/devices/d/latest?property=on", nil)
				// No token and no address may have all places.
				req.Header.Set(identity.TokenHeader, []string{serving.Token, serving.Rotated}[i%2])
				req.Header.Set("X-Forwarded-For", fmt.Sprintf("192.0.2.%d", i%100))
				w := httptest.NewRecorder()
				api.ServeHTTP(w, req)
				switch {
				case w.Code == http.StatusOK:
					served.Add(1)
				case w.Code == http.StatusServiceUnavailable && w.Header().Get("Retry-After") != "":
					told.Add(1)
				default:
					t.Errorf("%d %s", w.Code, w.Body)
				}
			}()
		}
		hold("at once", 0, 8)
		time.Sleep(5*time.Second - 1)
		hold("before their time is up", 0, 8)
		time.Sleep(1)
		hold("when it is", 0, 8+256)
		close(r.answer)
		hold("at the end", 16, 8+256)
	})
}

// The caller's address is what the platform's front says, and not what a caller
// has written before.
func TestAddress(t *testing.T) {
	for _, c := range []struct {
		header []string
		want   string
	}{
		{nil, "invalid IP"},
		{[]string{"192.0.2.1"}, "192.0.2.1"},
		{[]string{"192.0.2.1:4711"}, "192.0.2.1"},
		{[]string{"192.0.2.9, 192.0.2.1"}, "192.0.2.1"},
		{[]string{"192.0.2.9", "192.0.2.8,192.0.2.1:80"}, "192.0.2.1"},
		{[]string{"2001:db8::1"}, "2001:db8::1"},
		{[]string{"nonsense, [2001:db8::1]:80"}, "2001:db8::1"},
		{[]string{"192.0.2.1, unknown"}, "invalid IP"},
		{[]string{""}, "invalid IP"},
	} {
		if got := forwarded(&http.Request{Header: http.Header{"X-Forwarded-For": c.header}}); got.String() != c.want {
			t.Errorf("%q: %s, want %s", c.header, got, c.want)
		}
	}
}

// Callers whose tokens are the same, one of them the previous one perhaps, keep a program
// from starting. The error names both, and no token.
func TestTokensOfCallersDiffer(t *testing.T) {
	const other = "another-token-of-more-than-32-bytes-0001"
	texts := map[string]string{"a": serving.Token, "b": other, "both": other + "," + serving.Token}
	secrets := Secrets{Logger: slog.New(slog.DiscardHandler), Secret: func(name string) identity.Fetch {
		return func(context.Context) (string, time.Time, error) { return texts[name], time.Time{}, nil }
	}}
	for _, c := range []struct{ own, hall, grafana, want string }{
		{"", "a", "b", ""},
		{"a", "b", "missing", ""},
		{"", "a", "a", `"hall" and "grafana"`},
		{"", "both", "a", `"hall" and "grafana"`},
		{"a", "b", "both", `"INTER_CLOUD_TOKEN" and "grafana"`},
		{"both", "a", "missing", `"INTER_CLOUD_TOKEN" and "hall"`},
	} {
		f := &config.Function{TokenSecret: c.own, Trust: []identity.Trusted{{Name: "hall", TokenSecret: c.hall}, {Name: "grafana", TokenSecret: c.grafana}}}
		_, err := Identify(t.Context(), f, secrets)
		if c.want == "" && err != nil || c.want != "" && (hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), c.want+" have the same token") || strings.Contains(err.Error(), other) || strings.Contains(err.Error(), serving.Token)) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
