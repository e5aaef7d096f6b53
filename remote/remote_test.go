package remote_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"hotreader"
	"hotreader/identity"
	"hotreader/remote"
	"hotreader/store/memstore"
	"hotreader/test/authority"
	"hotreader/test/serving"
	"hotreader/wire"
)

var base = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func num(digits string) hotreader.Value { return hotreader.NumberValue([]byte(digits)) }

var query = hotreader.Query{Device: "d", Properties: []string{"t"}}

// filled returns a store with n rows, one every second, whose property t counts from 0.
func filled(t testing.TB, n int) *memstore.Store {
	t.Helper()
	s := memstore.New()
	var records []hotreader.Record
	for i := range n {
		records = append(records, hotreader.Record{Time: base.Add(time.Duration(i) * time.Second), Fields: []hotreader.Field{
			{Name: "t", Value: num(fmt.Sprintf("%d.50", i))}, {Name: "odd", Value: hotreader.BoolValue(i%2 == 1)}}})
	}
	if err := s.Write(t.Context(), "d", records); err != nil {
		t.Fatal(err)
	}
	return s
}

// read returns the first column as text, and the error, which must not show the token.
func read(ctx context.Context, t testing.TB, r hotreader.Source, q hotreader.Query) (got []string, err error) {
	t.Helper()
	for row, rerr := range hotreader.NewReader(r).Read(ctx, q) {
		if rerr != nil {
			if err != nil {
				t.Errorf("two errors: %v, then %v", err, rerr)
			}
			err = rerr
			continue
		}
		if err != nil {
			t.Errorf("a row behind the error %v", err)
		}
		got = append(got, row.Values[0].String())
	}
	if err != nil {
		if strings.Contains(err.Error(), token) {
			t.Errorf("the token stands in the error: %v", err)
		}
		if _, ok := errors.AsType[*hotreader.Error](err); !ok {
			t.Errorf("%T is no *hotreader.Error: %v", err, err)
		}
	}
	return got, err
}

func wantError(t testing.TB, err error, code hotreader.Code, words ...string) {
	t.Helper()
	if hotreader.CodeOf(err) != code {
		t.Fatalf("error %v is %q, want %q", err, hotreader.CodeOf(err), code)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}

func TestURL(t *testing.T) {
	tok, _ := identity.Static(token)
	for _, c := range []struct{ url, want string }{
		{"https://h.example", "https://h.example/read"},
		{"https://h.example/", "https://h.example/read"},
		{"https://h.example/prod", "https://h.example/prod/read"},
		{"https://h.example/prod/read", "https://h.example/prod/read"},
		{" https://h.example/prod/read/ ", "https://h.example/prod/read"},
		{"http://127.0.0.1:8080", "http://127.0.0.1:8080/read"},
		{"http://[::1]:8080", "http://[::1]:8080/read"},
		{"http://localhost:8080", "http://localhost:8080/read"},
		{"", ""}, {"h.example", ""}, {"http://h.example", ""}, {"http://127.0.0.1.h.example", ""}, {"ftp://h.example", ""},
		{"https://", ""}, {"https://u:p@h.example", ""}, {"https://h.example?code=1", ""}, {"https://h.example/#x", ""},
		{"https://h.example/%zz", ""}, {"mailto:a@h.example", ""},
	} {
		asked := ""
		client := &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			asked = r.URL.String()
			return nil, errors.New("no network here")
		})}
		r, err := remote.New(remote.Options{URL: c.url, Credential: tok, Client: client})
		if c.want == "" {
			if hotreader.CodeOf(err) != hotreader.CodeConfig {
				t.Errorf("%q: error %v, want one of config", c.url, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", c.url, err)
			continue
		}
		if _, err := read(t.Context(), t, r, query); err == nil || asked != c.want {
			t.Errorf("%q: asked %s, want %s (%v)", c.url, asked, c.want, err)
		}
	}
	if _, err := remote.New(remote.Options{URL: "https://h.example"}); hotreader.CodeOf(err) != hotreader.CodeConfig {
		t.Errorf("without a token: %v", err)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestRequest(t *testing.T) {
	s := filled(t, 3)
	serve := rows(t, s, 0)
	var header http.Header
	var trace string
	r := reader(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		header = req.Header.Clone()
		var e struct {
			Source  string `json:"source_cloud"`
			Trace   string `json:"trace_id"`
			Payload struct {
				Device string `json:"iot_device_id"`
			}
		}
		if err := json.Unmarshal(body, &e); err != nil || e.Source != "aws" || e.Payload.Device != "d" {
			t.Errorf("body %s (%v)", body, err)
		}
		trace = e.Trace
		req.Body = io.NopCloser(bytes.NewReader(body))
		serve(w, req)
	}))
	stats := new(hotreader.Stats)
	got, err := read(hotreader.WithStats(t.Context(), stats), t, r, query)
	if err != nil || strings.Join(got, " ") != "0.50 1.50 2.50" {
		t.Fatalf("%v, %v", got, err)
	}
	if len(trace) != 32 || header.Get("Traceparent")[3:35] != trace {
		t.Errorf("trace %q, traceparent %q", trace, header.Get("Traceparent"))
	}
	for key, want := range map[string]string{"Content-Type": "application/json", "User-Agent": "hotreader"} {
		if header.Get(key) != want {
			t.Errorf("%s: %q, want %q", key, header.Get(key), want)
		}
	}
	if !wire.AcceptsRows(header.Get("Accept")) || !strings.Contains(header.Get("Accept"), "application/json") {
		t.Errorf("Accept: %q", header.Get("Accept"))
	}
	if stats.Attempts.Load() != 1 || stats.Bytes.Load() < 30 || stats.Rows.Load() != 3 {
		t.Errorf("stats: %d attempts, %d bytes, %d rows", stats.Attempts.Load(), stats.Bytes.Load(), stats.Rows.Load())
	}
}

func TestStatuses(t *testing.T) {
	problem := func(code string) string {
		return fmt.Sprintf(`{"type":"about:blank","title":"T.","status":1,"detail":"D with %s inside","code":%q,"trace_id":"tr"}`, token, code)
	}
	for _, c := range []struct {
		status     int
		kind, body string
		code       hotreader.Code
		temporary  bool
		words      string
		also       hotreader.Code
	}{
		{400, wire.ProblemType, problem("invalid"), hotreader.CodeInvalid, false, "D with [token] inside", ""},
		{400, wire.ProblemType, `{"detail":"` + strings.Repeat("x", 980) + token + `","code":"invalid"}`, hotreader.CodeInvalid, false, "xx", ""},
		{401, wire.ProblemType, problem("unauthenticated"), hotreader.CodeUnauthenticated, false, "trace id tr", ""},
		{403, "application/json", `{"message":"Missing Authentication Token"}`, hotreader.CodeProtocol, false, `not a Hot Reader API: status 403 and the message "Missing Authentication Token" (API Gateway knows no such route under that URL)`, ""},
		{403, "text/html", "<!DOCTYPE html><html><head><title>Web App - Unavailable</title></head><h1>Error 403 - This web app is stopped.</h1>" + token, hotreader.CodeProtocol, false, `not a Hot Reader API: status 403 and a web page (HTML) titled "Web App - Unavailable" (the app on Azure is stopped)`, ""},
		{403, "application/json", `{"Message":"Forbidden"}`, hotreader.CodeProtocol, false, "requires an API key", ""},
		{403, "text/plain", token, hotreader.CodeProtocol, false, `"[token]"`, ""},
		{403, "application/json", `{"error":"not for you"}`, hotreader.CodeForbidden, false, `status 403 and application/json that begins with "{\"error\":\"not for you\"}"`, ""},
		{401, "application/json", `{"message":"Unauthorized"}`, hotreader.CodeUnauthenticated, false, "Unauthorized", ""},
		{401, "text/html", "<html>", hotreader.CodeProtocol, false, "not a Hot Reader API", ""},
		{404, "", "", hotreader.CodeProtocol, false, "status 404 and nothing else (the host knows no such route under that URL)", ""},
		{404, "application/json", `{"message":"Not Found"}`, hotreader.CodeProtocol, false, "API Gateway knows no such route", ""},
		{404, "application/json", `{"statusCode": 404, "message": "Resource not found"}`, hotreader.CodeProtocol, false, "Resource not found", ""},
		{404, "text/html; charset=UTF-8", "<!DOCTYPE html><title>Error 404 (Not Found)!!1</title>The requested URL <code>/read</code> was not found on this server.", hotreader.CodeProtocol, false, `titled "Error 404 (Not Found)!!1"`, ""},
		{503, "text/html", "<html><title>Service Unavailable</title>", hotreader.CodeOverloaded, true, `a web page (HTML) titled "Service Unavailable"`, ""},
		{405, "", "", hotreader.CodeInvalid, false, "status 405", ""},
		{408, "", "", hotreader.CodeUnavailable, true, "status 408", ""},
		{413, wire.ProblemType, problem("too_large"), hotreader.CodeTooLarge, false, "", ""},
		{418, "", "", hotreader.CodeInvalid, false, "", ""},
		{425, "", "", hotreader.CodeInvalid, false, "", ""},
		{400, wire.ProblemType, problem("overloaded"), hotreader.CodeInvalid, false, "", hotreader.CodeOverloaded},
		{403, wire.ProblemType, problem("deadline"), hotreader.CodeForbidden, false, "", hotreader.CodeDeadline},
		{404, wire.ProblemType, problem("store"), hotreader.CodeNotFound, false, "", hotreader.CodeStore},
		{429, "text/plain", "slow down", hotreader.CodeThrottled, true, "", ""},
		{429, "application/json", `{"code":"invalid"}`, hotreader.CodeThrottled, true, "", hotreader.CodeInvalid},
		{500, "", "", hotreader.CodeUnavailable, true, "", ""},
		{500, wire.ProblemType, problem("internal"), hotreader.CodeUnavailable, true, "", hotreader.CodeInternal},
		{500, wire.ProblemType, problem("what is this"), hotreader.CodeUnavailable, true, "", ""},
		{502, wire.ProblemType, problem("store"), hotreader.CodeStore, true, "", ""},
		{502, wire.ProblemType, problem("corrupt"), hotreader.CodeCorrupt, true, "", ""},
		{502, wire.ProblemType, "{broken", hotreader.CodeUnavailable, true, "", ""},
		{503, wire.ProblemType, problem("overloaded"), hotreader.CodeOverloaded, true, "", ""},
		{504, wire.ProblemType, problem("deadline"), hotreader.CodeUnavailable, true, "", hotreader.CodeDeadline},
		{599, "", "", hotreader.CodeUnavailable, true, "", ""},
	} {
		t.Run(fmt.Sprint(c.status, c.kind, c.code), func(t *testing.T) {
			var attempts atomic.Int32
			r := reader(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				attempts.Add(1)
				w.Header().Set("Content-Type", c.kind)
				w.Header().Set("Retry-After", "7")
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			}))
			got, err := read(t.Context(), t, r, query)
			if len(got) > 0 || attempts.Load() != 1 {
				t.Errorf("%d rows, %d attempts", len(got), attempts.Load())
			}
			wantError(t, err, c.code, c.words)
			if strings.Contains(err.Error(), token[:8]) {
				t.Errorf("a part of the token is in %v", err)
			}
			if hotreader.CodeOf(err).Temporary() != c.temporary {
				t.Errorf("%v: temporary %v", err, !c.temporary)
			}
			if c.also != "" && !errors.Is(err, c.also) {
				t.Errorf("the peer's code %q is lost in %v", c.also, err)
			}
			if e, _ := errors.AsType[*hotreader.Error](err); e.RetryAfter != 7*time.Second {
				t.Errorf("RetryAfter %v", e.RetryAfter)
			}
		})
	}
}

// A peer's failure in the middle of its stream comes after the rows.
func TestFailureInsideStream(t *testing.T) {
	for _, c := range []struct{ sent, outer hotreader.Code }{
		{hotreader.CodeThrottled, hotreader.CodeThrottled}, {hotreader.CodeStore, hotreader.CodeStore},
		{hotreader.CodeInternal, hotreader.CodeUnavailable}, {hotreader.CodeDeadline, hotreader.CodeUnavailable},
		{hotreader.CodeTooLarge, hotreader.CodeTooLarge},
	} {
		r := reader(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Content-Type", wire.MediaType)
			enc := wire.NewEncoder(w, query)
			defer enc.Close()
			_ = enc.Row(hotreader.Row{Time: base, Values: []hotreader.Value{num("1")}})
			_ = enc.Fail(&hotreader.Error{Op: "dynamodb: secret table", Code: c.sent, Err: errors.New("arn:aws:secret"), RetryAfter: 2 * time.Second})
		}))
		got, err := read(t.Context(), t, r, query)
		if len(got) != 1 {
			t.Errorf("%s: %d rows", c.sent, len(got))
		}
		wantError(t, err, c.outer)
		if e, _ := errors.AsType[*hotreader.Error](err); !errors.Is(err, c.sent) || e.RetryAfter != 2*time.Second {
			t.Errorf("%v: retry after %v", err, e.RetryAfter)
		}
		if c.sent != hotreader.CodeTooLarge && strings.Contains(err.Error(), "arn:") {
			t.Errorf("%v tells the inside of the store", err)
		}
	}
}

func TestStrangeAnswers(t *testing.T) {
	for _, c := range []struct {
		name, kind, body string
		code             hotreader.Code
		words            []string
	}{
		{"HTML", "text/html; charset=utf-8", "<!doctype html><title>Log in</title>" + token, hotreader.CodeProtocol, []string{"not a Hot Reader API", `status 200 and a web page (HTML) titled "Log in"`}},
		{"the token echoed", "text/plain", token, hotreader.CodeProtocol, []string{"[token]"}},
		{"nothing", "", "", hotreader.CodeProtocol, []string{"empty"}},
		{"empty rows", wire.MediaType, "", hotreader.CodeUnavailable, []string{"broke off after 0 rows"}},
		{"rows that are none", wire.MediaType, `{"propertyValues":[]}`, hotreader.CodeProtocol, []string{"no row stream", "propertyV"}},
		{"empty JSON", "application/json", "  ", hotreader.CodeProtocol, []string{"empty"}},
		{"cut JSON", "application/json", `{"propertyValues":[{"enti`, hotreader.CodeCorrupt, []string{"25 bytes"}},
		{"JSON of another shape", "application/json", `{"items":[]}`, hotreader.CodeProtocol, []string{"items"}},
		{"a Lambda error with 200", "application/json", `{"errorMessage":"boom","errorType":"X"}`, hotreader.CodeProtocol, []string{"errorMessage"}},
		{"null", "application/json", `null`, hotreader.CodeProtocol, nil},
		{"a list", "application/json", `[]`, hotreader.CodeProtocol, nil},
		{"HTML called JSON", "application/json", `<html>`, hotreader.CodeProtocol, nil},
		{"binary", "application/octet-stream", "\x00\xff\x01", hotreader.CodeProtocol, []string{"octet-stream"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := reader(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				w.Header()["Content-Type"] = []string{c.kind}
				_, _ = io.WriteString(w, c.body)
			}))
			got, err := read(t.Context(), t, r, query)
			if len(got) > 0 {
				t.Errorf("%d rows", len(got))
			}
			wantError(t, err, c.code, c.words...)
		})
	}
}

// A row stream of other rows than were asked for is no empty answer.
func TestRowsNobodyAskedFor(t *testing.T) {
	asked := query
	asked.Start, asked.End = base, base.Add(time.Hour)
	for name, c := range map[string]struct {
		columns []string
		at      time.Time
		value   hotreader.Value
		words   string
	}{
		"before the range":   {query.Properties, base.Add(-1), num("1"), "outside of the range"},
		"behind the range":   {query.Properties, base.Add(time.Hour + 1), num("1"), "outside of the range"},
		"a column more":      {[]string{"t", "x"}, base, num("1"), "2 columns; 1 were asked for"},
		"nothing of a value": {query.Properties, base, hotreader.Value{}, "no value of what was asked for"},
	} {
		for _, last := range []bool{false, true} {
			r := reader(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", wire.MediaType)
				sent := asked
				if sent.Properties = c.columns; last {
					sent.Last = true
				}
				enc := wire.NewEncoder(w, sent)
				defer enc.Close()
				_ = enc.Row(hotreader.Row{Time: c.at, Values: slices.Repeat([]hotreader.Value{c.value}, len(c.columns))})
				_ = enc.End(false)
			}))
			q := asked
			q.Last = last
			_, err := read(t.Context(), t, r, q)
			if hotreader.CodeOf(err) != hotreader.CodeProtocol || !strings.Contains(err.Error(), c.words) {
				t.Errorf("%s, last %v: %v", name, last, err)
			}
		}
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	var hits atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { hits.Add(1) }))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		// Redirects are not followed, even if the client given would follow them.
		r := reader(t, http.RedirectHandler(elsewhere.URL+"/there?x="+token, status), func(o *remote.Options) { o.Client = &http.Client{} })
		_, err := read(t.Context(), t, r, query)
		wantError(t, err, hotreader.CodeConfig, elsewhere.URL+"/there", fmt.Sprint(status))
	}
	if hits.Load() != 0 {
		t.Errorf("the redirect was followed %d times", hits.Load())
	}
}

func TestRefusedTokenIsFetchedAnew(t *testing.T) {
	const renewed = "fedcba9876543210fedcba9876543210"
	for _, c := range []struct {
		name, second string
		fails        error
		attempts     int
		ok           bool
	}{
		{"rotated", renewed, nil, 2, true},
		{"still the old one", token, nil, 1, false},
		{"rotated to a wrong one", strings.Repeat("0", 32), nil, 2, false},
		{"the secret store is down", "", errors.New("no route"), 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				serve := rows(t, filled(t, 2), 0)
				attempts, fetched := 0, 0
				tok, err := identity.Fetched(t.Context(), func(context.Context) (string, time.Time, error) {
					if fetched++; fetched == 1 {
						return token, time.Time{}, nil
					}
					return c.second, time.Time{}, c.fails
				})
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Hour) // a token just fetched is not fetched again
				client := &http.Client{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
					attempts++
					rec := httptest.NewRecorder()
					if req.Header.Get(identity.TokenHeader) == renewed {
						req.Header.Set(identity.TokenHeader, token)
						serve(rec, req)
					} else {
						wire.NewProblem(&hotreader.Error{Code: hotreader.CodeUnauthenticated}, "").Write(rec)
					}
					return rec.Result(), nil
				})}
				r, err := remote.New(remote.Options{URL: "https://h.example/api", Credential: tok, Client: client})
				if err != nil {
					t.Fatal(err)
				}
				got, err := read(t.Context(), t, r, query)
				if attempts != c.attempts || fetched != 2 {
					t.Errorf("%d attempts, %d fetches", attempts, fetched)
				}
				if c.ok {
					if err != nil || len(got) != 2 {
						t.Errorf("%v, %v", got, err)
					}
					return
				}
				wantError(t, err, hotreader.CodeUnauthenticated)
			})
		})
	}
}

func TestTransportFaults(t *testing.T) {
	refused := "http://127.0.0.1:" + strconv.Itoa(serving.Port(t))
	raw := func(answer string) string { // what a server that resets sends before
		return "http://" + serving.Accept(t, func(_ int, c net.Conn) {
			buf := make([]byte, 64<<10)
			_, _ = c.Read(buf)
			_, _ = io.WriteString(c, answer)
			if answer != "" {
				time.Sleep(20 * time.Millisecond) // so that the client reads it before the reset
			}
			_ = c.(*net.TCPConn).SetLinger(0)
		})
	}
	for _, c := range []struct {
		name, url string
		code      hotreader.Code
		says      string
	}{
		{"refused", refused, hotreader.CodeUnavailable, "connection refused; is hotreader serve running there?"},
		{"reset before headers", raw(""), hotreader.CodeUnavailable, ""},
		{"reset within headers", raw("HTTP/1.1 200 OK\r\nContent-Ty"), hotreader.CodeUnavailable, ""},
		{"reset behind headers", raw("HTTP/1.1 200 OK\r\nContent-Type: " + wire.MediaType + "\r\nContent-Length: 100\r\n\r\n"), hotreader.CodeUnavailable, ""},
		{"reset within JSON", raw("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"prop"), hotreader.CodeUnavailable, ""},
		{"reset within HTML", raw("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 100\r\n\r\n<html>"), hotreader.CodeProtocol, ""},
		{"no HTTP", raw("SSH-2.0-OpenSSH_9.6\r\n"), hotreader.CodeUnavailable, ""},
		{"no such host", "https://nobody.invalid", hotreader.CodeConfig, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := reader(t, http.NotFoundHandler(), func(o *remote.Options) {
				o.URL = c.url
				if c.code == hotreader.CodeConfig { // what a resolver says, without asking one
					o.Client = &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
						return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "nobody.invalid", IsNotFound: true}}
					})}
				}
			})
			got, err := read(t.Context(), t, r, query)
			if len(got) > 0 {
				t.Errorf("%d rows", len(got))
			}
			wantError(t, err, c.code, c.says)
		})
	}
	r := reader(t, http.NotFoundHandler(), func(o *remote.Options) {
		o.Client = &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
			return nil, &net.DNSError{Err: "server misbehaving", Name: "h", IsTemporary: true}
		})}
	})
	_, err := read(t.Context(), t, r, query)
	wantError(t, err, hotreader.CodeUnavailable)
}

// If an answer is cut anywhere, or any byte is wrong, there is an error, never just fewer
// rows.
func TestCutAndFlippedAnswers(t *testing.T) {
	s := filled(t, 150) // three frames
	rec := httptest.NewRecorder()
	e := wire.NewEnvelope(query, "aws", "")
	req := httptest.NewRequest(http.MethodPost, "/api/read", bytes.NewReader(e.Append(nil)))
	req.Header.Set(identity.TokenHeader, token)
	rows(t, s, 0)(rec, req)
	whole := rec.Body.Bytes()

	var answer atomic.Pointer[[]byte]
	r := reader(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", wire.MediaType)
		_, _ = w.Write(*answer.Load())
	}))
	answer.Store(&whole)
	if got, err := read(t.Context(), t, r, query); err != nil || len(got) != 150 {
		t.Fatalf("the whole answer: %d rows, %v", len(got), err)
	}
	for n := range whole {
		cut := whole[:n]
		answer.Store(&cut)
		_, err := read(t.Context(), t, r, query)
		wantError(t, err, hotreader.CodeUnavailable, "broke off")
		flipped := bytes.Clone(whole)
		flipped[n] ^= 1 << (n % 8)
		answer.Store(&flipped)
		if _, err := read(t.Context(), t, r, query); err == nil {
			t.Fatalf("byte %d flipped, and no error", n)
		}
	}
}

func TestStall(t *testing.T) {
	for _, c := range []struct {
		name string
		rows int
	}{{"before headers", -1}, {"behind headers", 0}, {"behind rows", 64}} {
		t.Run(c.name, func(t *testing.T) {
			done := make(chan struct{})
			r := reader(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				_, _ = io.ReadAll(req.Body)
				if c.rows >= 0 {
					w.Header().Set("Content-Type", wire.MediaType)
					w.WriteHeader(200)
					enc := wire.NewEncoder(w, query)
					defer enc.Close()
					for i := range c.rows {
						_ = enc.Row(hotreader.Row{Time: base.Add(time.Duration(i)), Values: []hotreader.Value{num("1")}})
					}
					_ = enc.Flush()
					_ = http.NewResponseController(w).Flush()
				}
				<-req.Context().Done()
				close(done)
			}), func(o *remote.Options) { o.Idle = 50 * time.Millisecond })
			got, err := read(t.Context(), t, r, query)
			if len(got) != max(c.rows, 0) {
				t.Errorf("%d rows", len(got))
			}
			wantError(t, err, hotreader.CodeUnavailable, "nothing came for 50ms")
			<-done // the server learns of it
		})
	}
}

// When the caller goes away, the request ends and nothing is left running.
func TestLeaving(t *testing.T) {
	gone := make(chan struct{}, 1)
	h := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.ReadAll(req.Body)
		w.Header().Set("Content-Type", wire.MediaType)
		enc := wire.NewEncoder(w, query)
		defer enc.Close()
		for i := 0; req.Context().Err() == nil; i++ {
			if enc.Row(hotreader.Row{Time: base.Add(time.Duration(i)), Values: []hotreader.Value{num("1")}}) != nil {
				break
			}
		}
		gone <- struct{}{}
	})
	for _, c := range []struct {
		name string
		code hotreader.Code
		run  func(t *testing.T, r hotreader.Source) error
	}{
		{"stopped", "", func(t *testing.T, r hotreader.Source) error {
			n := 0
			for _, err := range hotreader.NewReader(r).Read(t.Context(), query) {
				if n++; err != nil || n == 100 {
					return err
				}
			}
			return errors.New("it ended by itself")
		}},
		{"cancelled", hotreader.CodeCanceled, func(t *testing.T, r hotreader.Source) error {
			ctx, cancel := context.WithCancel(t.Context())
			n := 0
			var last error
			for _, err := range hotreader.NewReader(r).Read(ctx, query) {
				if n++; n == 100 {
					cancel()
				}
				last = err
			}
			cancel()
			if n != 101 {
				t.Errorf("%d rows and errors came", n)
			}
			return last
		}},
		{"deadline", hotreader.CodeDeadline, func(t *testing.T, r hotreader.Source) error {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			defer cancel()
			_, err := read(ctx, t, r, query)
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var client *http.Client
			r := reader(t, h, func(o *remote.Options) { client = o.Client })
			before := runtime.NumGoroutine()
			wantError(t, c.run(t, r), c.code)
			<-gone
			client.CloseIdleConnections()
			for i := 0; runtime.NumGoroutine() > before; i++ {
				if i == 500 {
					t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
}

// A connection is reused for the next read, since the end of each answer is read.
func TestConnectionIsKept(t *testing.T) {
	var opened atomic.Int32
	serve := rows(t, filled(t, 300), 100)
	server := httptest.NewUnstartedServer(serve)
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	r := reader(t, http.NotFoundHandler(), func(o *remote.Options) { o.URL = server.URL + "/api" })
	stats := new(hotreader.Stats)
	for range 3 {
		if got, err := read(hotreader.WithStats(t.Context(), stats), t, r, query); err != nil || len(got) != 300 {
			t.Fatalf("%d rows, %v", len(got), err)
		}
	}
	if opened.Load() != 1 || stats.Attempts.Load() != 9 {
		t.Errorf("%d connections, %d attempts", opened.Load(), stats.Attempts.Load())
	}
}

// A misbehaving peer: rows outside of the range or beyond the limit, other columns,
// another order.
func TestPeerOutOfBounds(t *testing.T) {
	serve := func(q hotreader.Query, more bool, times ...int) *remote.Source {
		return reader(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Content-Type", wire.MediaType)
			enc := wire.NewEncoder(w, q)
			defer enc.Close()
			for _, at := range times {
				_ = enc.Row(hotreader.Row{Time: base.Add(time.Duration(at) * time.Second), Values: []hotreader.Value{num("1")}})
			}
			_ = enc.End(more)
		}))
	}
	q := query
	q.Start, q.End = base, base.Add(time.Minute)
	for _, outside := range []int{-1, 61} {
		_, err := read(t.Context(), t, serve(q, false, outside), q)
		wantError(t, err, hotreader.CodeProtocol, "outside of the range")
	}
	q.Limit = 2
	if got, err := read(t.Context(), t, serve(q, false, 0, 1, 2, 3), q); err != nil || len(got) != 2 {
		t.Errorf("%v, %v", got, err)
	}
	last := query
	last.Last = true
	_, err := read(t.Context(), t, serve(last, false, 3, 2), last)
	wantError(t, err, hotreader.CodeProtocol, "more latest values than there are properties")
	large := reader(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", wire.MediaType)
		enc := wire.NewEncoder(w, last)
		defer enc.Close()
		values := make([]hotreader.Value, len(last.Properties))
		for i := range values {
			values[i] = hotreader.StringValue(make([]byte, wire.MaxRowBytes-100))
			_ = enc.Row(hotreader.Row{Time: base.Add(-time.Duration(i) * time.Second), Values: values})
			values[i] = hotreader.Value{}
		}
		_ = enc.End(false)
	}))
	for i := range 17 {
		last.Properties = append(last.Properties[:i:i], fmt.Sprint("p", i))
	}
	_, err = read(t.Context(), t, large, last)
	wantError(t, err, hotreader.CodeTooLarge, "33554432 bytes; ask for fewer properties")
	wrong := query
	wrong.Properties = []string{"t", "u"}
	_, err = read(t.Context(), t, serve(query, false), wrong)
	wantError(t, err, hotreader.CodeProtocol, "1 columns; 2 were asked for")
	wrong = query
	wrong.Order = hotreader.Descending
	_, err = read(t.Context(), t, serve(query, false), wrong)
	wantError(t, err, hotreader.CodeProtocol, "other order")
}

func TestPitfall24TrustIsNotRetried(t *testing.T) {
	var hits atomic.Int32
	ours := authority.New(t)
	h := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { hits.Add(1) })
	for _, c := range []struct {
		name   string
		server func(*httptest.Server)
		client func(*httptest.Server, *tls.Config)
	}{
		{"unknown authority", func(*httptest.Server) {}, func(*httptest.Server, *tls.Config) {}},
		{"wrong host", func(*httptest.Server) {}, func(s *httptest.Server, c *tls.Config) {
			c.RootCAs = x509.NewCertPool()
			c.RootCAs.AddCert(s.Certificate())
			c.ServerName = "another.invalid"
		}},
		{"expired", func(s *httptest.Server) {
			s.TLS = ours.Issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
		}, func(_ *httptest.Server, c *tls.Config) {
			c.RootCAs = x509.NewCertPool()
			c.RootCAs.AddCert(ours.Cert)
		}},
		{"TLS too old", func(s *httptest.Server) {
			s.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
		}, func(s *httptest.Server, c *tls.Config) { c.InsecureSkipVerify = true }},
		{"no TLS at all", nil, func(*httptest.Server, *tls.Config) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(h)
			server.Config.ErrorLog = quiet
			if c.server == nil {
				server.Start()
			} else {
				c.server(server)
				server.StartTLS()
			}
			defer server.Close()
			client := remote.NewClient()
			c.client(server, client.Transport.(*http.Transport).TLSClientConfig)
			r := reader(t, h, func(o *remote.Options) {
				o.URL, o.Client = "https"+strings.TrimPrefix(strings.TrimPrefix(server.URL, "https"), "http"), client
			})
			_, err := read(t.Context(), t, r, query)
			says := "trust"
			if c.server == nil {
				says = "that server speaks plain http, not https; write http://"
			}
			wantError(t, err, hotreader.CodeConfig, says)
			if hotreader.CodeOf(err).Temporary() {
				t.Error("it would be tried again")
			}
		})
	}
	if hits.Load() > 0 {
		t.Errorf("%d requests came through", hits.Load())
	}
}

// A peer that ends each connection gets the token a few times an attempt, not without end.
func TestGoAwayEnds(t *testing.T) {
	server, connections := serving.GoAway(t)
	client := remote.NewClient()
	client.Transport.(*http.Transport).TLSClientConfig.RootCAs = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	r := reader(t, http.NotFoundHandler(), func(o *remote.Options) { o.URL, o.Client = server.URL, client })
	_, err := read(t.Context(), t, r, query)
	wantError(t, err, hotreader.CodeUnavailable, "ends each without an answer")
	if n := connections.Load(); n != 3 {
		t.Errorf("%d connections", n)
	}
}

// quiet discards what a server logs about handshakes that fail on purpose.
var quiet = log.New(io.Discard, "", 0)

// A kept connection that has died meanwhile, as when a function was frozen, costs no
// attempt. The server here hangs up on the second request, before a byte of the answer.
func TestDeadKeptConnectionIsReplaced(t *testing.T) {
	var requests atomic.Int32
	serve := rows(t, filled(t, 1), 0)
	r := reader(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header["Idempotency-Key"] != nil {
			t.Error("Idempotency-Key was sent")
		}
		if requests.Add(1) == 2 {
			panic(http.ErrAbortHandler) // the kept connection ends without an answer
		}
		serve(w, req)
	}))
	for range 2 {
		if got, err := read(t.Context(), t, r, query); err != nil || len(got) != 1 {
			t.Fatalf("%v, %v", got, err)
		}
	}
	if requests.Load() != 3 {
		t.Errorf("%d requests; want 3: one sent again", requests.Load())
	}
}

// A read gives up on a peer that hangs while there is time for another attempt. If there
// is none, the caller's deadline ends the read.
func TestHangingPeerLeavesTime(t *testing.T) {
	for left, want := range map[time.Duration]hotreader.Code{6 * time.Second: hotreader.CodeUnavailable, time.Second: hotreader.CodeDeadline} {
		synctest.Test(t, func(t *testing.T) {
			tok, _ := identity.Static(token)
			r, err := remote.New(remote.Options{URL: "https://h.example", Credential: tok, Client: &http.Client{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
				<-req.Context().Done()
				return nil, req.Context().Err()
			})}})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), left)
			defer cancel()
			if _, err := read(ctx, t, r, query); hotreader.CodeOf(err) != want || (ctx.Err() == nil) != (want == hotreader.CodeUnavailable) {
				t.Errorf("with %v left: %v, the context says %v; want %s", left, err, ctx.Err(), want)
			}
		})
	}
}
