package wire

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"hotreader"
)

// Every code is the same on the other side, and nothing internal is sent.
func TestPitfall23ProblemsTellNothingInternal(t *testing.T) {
	statuses := map[hotreader.Code]int{"invalid": 400, "unauthenticated": 401, "forbidden": 403, "not_found": 404, "too_large": 413, "throttled": 429, "overloaded": 503,
		"unavailable": 502, "deadline": 504, "canceled": 503, "store": 502, "corrupt": 502, "unreadable": 422, "protocol": 502, "config": 500, "internal": 500}
	if len(statuses) != len(hotreader.Codes()) {
		t.Fatal("codes were added")
	}
	for _, code := range hotreader.Codes() {
		err := fmt.Errorf("outer: %w", &hotreader.Error{Op: "dynamodb: query table twin-hot-iot-data", Code: code,
			Err: errors.New("arn:aws:dynamodb:secret\x00\x1b[31m"), RetryAfter: 1100 * time.Millisecond})
		rec := httptest.NewRecorder()
		rec.Header().Set("Content-Encoding", "gzip")
		NewProblem(err, "trace-1").Write(rec)
		h, body := rec.Result().Header, rec.Body.Bytes()
		if rec.Code != statuses[code] || StatusOf(code) != rec.Code || h.Get("Content-Type") != ProblemType || h.Get("Retry-After") != "2" || h.Get("Content-Encoding") != "" {
			t.Errorf("%s: status %d, header %v", code, rec.Code, h)
		}
		var j map[string]any
		if err := json.Unmarshal(body, &j); err != nil || j["code"] != string(code) || j["trace_id"] != "trace-1" || j["type"] != "about:blank" || j["status"] != float64(rec.Code) || j["title"] == "" {
			t.Errorf("%s: %s (%v)", code, body, err)
		}
		told := bytes.Contains(body, []byte("arn:"))
		if want := code == hotreader.CodeInvalid || code == hotreader.CodeTooLarge || code == hotreader.CodeUnreadable; told != want || bytes.Contains(body, []byte("twin-hot")) {
			t.Errorf("%s tells %s", code, body)
		}
		p := ParseProblem(rec.Code, h, body)
		back := p.Err("remote")
		if back.Code != code || back.RetryAfter != 2*time.Second || !strings.Contains(back.Error(), "trace-1") {
			t.Errorf("%s comes back as %s: %v", code, back.Code, back)
		}
	}
	for err, want := range map[error]hotreader.Code{errors.New("boom"): hotreader.CodeInternal, context.DeadlineExceeded: hotreader.CodeDeadline, context.Canceled: hotreader.CodeCanceled,
		&hotreader.Error{Code: "from a later version"}: hotreader.CodeInternal} {
		if p := NewProblem(err, ""); p.Code != want || p.Status != StatusOf(want) || strings.Contains(p.Detail, "boom") {
			t.Errorf("%v: %+v", err, p)
		}
	}
	if d := NewProblem(&hotreader.Error{Code: hotreader.CodeInvalid, Err: errors.New(strings.Repeat("é", 5000))}, "").Detail; len(d) > maxDetail || !strings.HasSuffix(d, "é") {
		t.Errorf("a detail of %d bytes", len(d))
	}
}

func TestParseForeignProblem(t *testing.T) {
	for _, c := range []struct {
		status     int
		kind, body string
		code       hotreader.Code
		words      string
	}{
		{400, "", "", hotreader.CodeInvalid, "status 400, invalid: Bad Request"},
		{404, "text/html", `{"code":"internal"}`, hotreader.CodeNotFound, "Not Found"},
		{403, "application/json", `{"message":"Missing Authentication Token"}`, hotreader.CodeForbidden, "Forbidden"},
		{410, "", "", hotreader.CodeNotFound, ""},
		{408, "", "", hotreader.CodeUnavailable, ""},
		{425, "", "", hotreader.CodeInvalid, ""},
		{429, "", "", hotreader.CodeThrottled, ""},
		{500, "", "", hotreader.CodeUnavailable, ""},
		{502, "application/json", `{"code":"store"`, hotreader.CodeUnavailable, ""},
		{503, "", "", hotreader.CodeOverloaded, ""},
		{504, "application/json", `{"message":"Endpoint request timed out"}`, hotreader.CodeUnavailable, ""},
		{502, "application/problem+json; charset=utf-8", `{"code":"corrupt","detail":"a\u0000b","status":"x"}`, hotreader.CodeUnavailable, ""},
		{502, "application/problem+json; charset=utf-8", `{"code":"corrupt","title":"Damaged.","detail":"a\u0000b"}`, hotreader.CodeCorrupt, "status 502, corrupt: Damaged. a b"},
		{502, ProblemType, `{"code":"from a later version","title":"T."}`, hotreader.CodeUnavailable, "T."},
		{799, "", "", hotreader.CodeProtocol, "protocol"},
	} {
		err := ParseProblem(c.status, http.Header{"Content-Type": {c.kind}}, []byte(c.body)).Err("remote")
		if err.Code != c.code || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%d %s: %s, %v", c.status, c.body, err.Code, err)
		}
	}
}

// The code of a status is temporary if, and only if, MayHeal(status).
func TestMayHeal(t *testing.T) {
	for status := 300; status < 1000; status++ {
		want := status == 408 || status == 429 || status >= 500 && status < 600
		if MayHeal(status) != want || CodeOfStatus(status).Temporary() != want {
			t.Errorf("%d: %v and %s, want %v", status, MayHeal(status), CodeOfStatus(status), want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		after, date string
		want        time.Duration
	}{
		{"", "", 0},
		{"0", "", 0},
		{"7", "", 7 * time.Second},
		{" 7 ", "", 7 * time.Second},
		{"1.5", "", 1500 * time.Millisecond},
		{"-3", "", 0},
		{"NaN", "", 0},
		{"inf", "", 0},
		{"+7", "", 0},
		{"0x7p9", "", 0},
		{"1e3", "", 0},
		{"1.2.3", "", 0},
		{".", "", 0},
		{strings.Repeat("9", 400), "", 24 * time.Hour},
		{"99999999999999999999999", "", 24 * time.Hour},
		{"soon", "", 0},
		{"Sun, 01 Mar 2026 12:00:30 GMT", "", 30 * time.Second},
		{"Sun, 01 Mar 2026 11:00:30 GMT", "", 0},
		{"Sun, 01 Mar 2099 12:00:30 GMT", "", 24 * time.Hour},
		{"Sun, 01 Mar 2026 10:00:30 GMT", "Sun, 01 Mar 2026 10:00:00 GMT", 30 * time.Second}, // the peer's clock is behind
		{"Sun, 01 Mar 2026 12:00:30 GMT", "nonsense", 30 * time.Second},
	} {
		if got := ParseRetryAfter(http.Header{"Retry-After": {c.after}, "Date": {c.date}}, now); got != c.want {
			t.Errorf("%q at %q: %v, want %v", c.after, c.date, got, c.want)
		}
	}
}

func FuzzParseProblem(f *testing.F) {
	f.Add(502, ProblemType, "3", NewProblem(&hotreader.Error{Code: hotreader.CodeStore}, "t").Append(nil))
	f.Add(200, "application/json", "Sun, 01 Mar 2026 12:00:30 GMT", []byte(`{}`))
	f.Fuzz(func(t *testing.T, status int, kind, after string, body []byte) {
		e := ParseProblem(status, http.Header{"Content-Type": {kind}, "Retry-After": {after}}, body).Err("op")
		if len(e.Error()) > 3*maxDetail || e.RetryAfter < 0 || e.RetryAfter > maxRetryAfter {
			t.Fatalf("%d bytes, %v", len(e.Error()), e.RetryAfter)
		}
		known := false
		for _, c := range hotreader.Codes() {
			known = known || c == e.Code
		}
		if !known {
			t.Fatalf("code %q", e.Code)
		}
	})
}
