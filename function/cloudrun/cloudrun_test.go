package cloudrun

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"hotreader"
	"hotreader/test/scripted"
)

func TestTraceparent(t *testing.T) {
	const trace = "105445aa7843bc8bf206b12000100000"
	for _, c := range []struct{ text, want string }{
		{trace + "/1;o=1", "00-" + trace + "-0000000000000001-01"},
		{trace + "/18446744073709551615;o=0", "00-" + trace + "-ffffffffffffffff-00"},
		{strings.ToUpper(trace) + "/255", "00-" + trace + "-00000000000000ff-00"},
		{trace, ""}, {trace + "/0;o=1", ""}, {trace + "/x", ""}, {"105/1", ""}, {strings.Repeat("0", 32) + "/1", ""}, {strings.Repeat("é", 16) + "/1", ""}, {"", ""}, {"/;", ""},
	} {
		if got := traceparent(c.text); got != c.want {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
	}
}

func TestTracesAreGivenOn(t *testing.T) {
	var got string
	h := Server(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("Traceparent") })).Handler
	for _, c := range []struct{ cloud, w3c, want string }{
		{"", "", ""},
		{"105445aa7843bc8bf206b12000100000/1;o=1", "", "00-105445aa7843bc8bf206b12000100000-0000000000000001-01"},
		{"105445aa7843bc8bf206b12000100000/1;o=1", "00-mine", "00-mine"},
		{"nonsense", "", ""},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		if c.cloud != "" {
			r.Header.Set("X-Cloud-Trace-Context", c.cloud)
		}
		if c.w3c != "" {
			r.Header.Set("Traceparent", c.w3c)
		}
		h.ServeHTTP(httptest.NewRecorder(), r)
		if got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

func TestLogger(t *testing.T) {
	var b bytes.Buffer
	l := NewLogger(&b, slog.LevelDebug, "plant-1")
	for _, c := range []struct {
		log  func(string, ...any)
		want string
	}{{l.Debug, "DEBUG"}, {l.Info, "INFO"}, {l.Warn, "WARNING"}, {l.Error, "ERROR"}, {l.With("x", 1).Error, "ERROR"}} {
		b.Reset()
		c.log("what\nhappened", "code", "store", slog.Group("g", "level", "high", "msg", "m"))
		var line struct {
			Severity, Message, Time, Code string
			Level, Msg                    *string
			G                             struct{ Level, Msg string }
		}
		if err := json.Unmarshal(b.Bytes(), &line); err != nil || line.Severity != c.want || line.Message != "what\nhappened" || line.Code != "store" ||
			line.Time == "" || line.Level != nil || line.Msg != nil || line.G.Level != "high" || line.G.Msg != "m" || bytes.Count(b.Bytes(), []byte("\n")) != 1 {
			t.Errorf("%s: %v", &b, err)
		}
	}
	b.Reset()
	NewLogger(&b, slog.LevelWarn, "").Info("quiet")
	if b.Len() != 0 {
		t.Errorf("%s", &b)
	}
}

func TestMemoryLimit(t *testing.T) {
	const now, before = "sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"
	for _, c := range []struct {
		file, text string
		want       int64
	}{
		{now, "536870912\n", 536870912 / 10 * 9}, {before, "536870912\n", 536870912 / 10 * 9},
		{now, "max\n", 0}, {before, "9223372036854771712\n", 0}, {now, "4096\n", 0}, {now, "", 0}, {"etc/hosts", "536870912", 0},
	} {
		got, ok := MemoryLimit(fstest.MapFS{c.file: {Data: []byte(c.text)}})
		if got != c.want || ok != (c.want > 0) {
			t.Errorf("%s %q: %d %v", c.file, c.text, got, ok)
		}
	}
}

func payload(text string, sum uint32) string {
	return fmt.Sprintf(`200{"name":"n","payload":{"data":%q,"dataCrc32c":"%d"}}`, base64.StdEncoding.EncodeToString([]byte(text)), sum)
}

func TestSecret(t *testing.T) {
	sum := crc32.Checksum([]byte("a,b\n"), crc32.MakeTable(crc32.Castagnoli))
	for _, c := range []struct {
		name    string
		answers []string
		want    string
		code    hotreader.Code
		says    string
		asked   int
	}{
		{"value", []string{payload("a,b\n", sum)}, "a,b", "", "", 1},
		{"without a checksum", []string{`200{"payload":{"data":"YQ=="}}`}, "a", "", "", 1},
		{"a hiccup", []string{"503", "err", payload("a,b\n", sum)}, "a,b", "", "", 3},
		{"damaged", []string{payload("a,b\n", sum+1)}, "", hotreader.CodeCorrupt, "checksum", 3},
		{"outage", []string{"503"}, "", hotreader.CodeOverloaded, "", 3},
		{"throttled", []string{"429"}, "", hotreader.CodeThrottled, "", 3},
		{"not allowed", []string{`403{"error":{"message":"Permission denied on resource"}}`}, "", hotreader.CodeForbidden, "Secret Manager Secret Accessor", 1},
		{"not there", []string{`404{}`}, "", hotreader.CodeNotFound, "no such secret", 1},
		{"disabled", []string{`400{"error":{"message":"Secret version is in DISABLED state."}}`}, "", hotreader.CodeConfig, "DISABLED", 1},
		{"another server", []string{"200<html>hunter2"}, "", hotreader.CodeProtocol, "not Secret Manager's", 1},
		{"empty", []string{`200{"payload":{}}`}, "", hotreader.CodeProtocol, "", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &scripted.Answers{Text: c.answers}
				o := SecretOptions{Client: &http.Client{Transport: m}, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "google"})}
				got, _, err := Secret("projects/p/secrets/s/versions/latest", o)(t.Context())
				if got != c.want || hotreader.CodeOf(err) != c.code || c.says != "" && !strings.Contains(err.Error(), c.says) || len(m.Got) != c.asked {
					t.Errorf("%q, %v (%s) after %d requests", got, err, hotreader.CodeOf(err), len(m.Got))
				}
				if r := m.Got[0]; r.URL.String() != "https://secretmanager.googleapis.com/v1/projects/p/secrets/s/versions/latest:access" || r.Header.Get("Authorization") != "Bearer google" {
					t.Errorf("%s %v", r.URL, r.Header)
				}
				if err != nil && strings.Contains(err.Error(), "hunter2") {
					t.Errorf("%v shows the answer", err)
				}
			})
		})
	}
	m := &scripted.Answers{Text: []string{payload("a,b\n", sum)}}
	o := SecretOptions{Client: &http.Client{Transport: m}, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "google"})}
	if _, _, err := Secret("projects/p/locations/europe-west3/secrets/s/versions/7", o)(t.Context()); err != nil || m.Got[0].URL.Host != "secretmanager.europe-west3.rep.googleapis.com" {
		t.Errorf("%v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		o.Client = &http.Client{Transport: &scripted.Answers{Text: []string{"503"}}}
		if _, _, err := Secret("projects/p/secrets/s/versions/1", o)(ctx); err == nil {
			t.Error("no error")
		}
	})
}
