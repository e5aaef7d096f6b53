package web

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

const html = "text/html,application/xhtml+xml,*/*;q=0.8"

func ask(method, path string, headers ...string) (*httptest.ResponseRecorder, bool) {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	return w, Serve(w, r)
}

func TestServe(t *testing.T) {
	for _, c := range []struct {
		method, path, accept string
		served               bool
		kind                 string
	}{
		{"GET", "/", html, true, "text/html; charset=utf-8"},
		{"HEAD", "/", html, true, "text/html; charset=utf-8"},
		{"GET", "/", "", false, ""},
		{"GET", "/", "text/html;q=0", false, ""},
		{"GET", "/", "*/*", false, ""},
		{"GET", "/", "application/json", false, ""},
		{"POST", "/", html, false, ""},
		{"GET", "/page/app.js", "*/*", true, "text/javascript; charset=utf-8"},
		{"GET", "/page/style.css", "text/css", true, "text/css; charset=utf-8"},
		{"GET", "/page/icon.svg", "image/*", true, "image/svg+xml; charset=utf-8"},
		{"DELETE", "/page/app.js", "", false, ""},
		{"GET", "/page/", html, false, ""},
		{"GET", "/page/none.js", "", false, ""},
		{"GET", "/page/../web.go", "", false, ""},
		{"GET", "/v1/devices", html, false, ""},
	} {
		w, served := ask(c.method, c.path, "Accept", c.accept)
		if served != c.served || w.Header().Get("Content-Type") != c.kind || !served && (w.Body.Len() > 0 || len(w.Header()) > 0) {
			t.Errorf("%s %s, Accept %q: %t %v", c.method, c.path, c.accept, served, w.Header())
		}
	}
}

func TestHeaders(t *testing.T) {
	size := 0
	for path := range parts() {
		plain, _ := ask("GET", path)
		zipped, _ := ask("GET", path, "Accept-Encoding", "GZIP, br")
		if never, _ := ask("GET", path, "Accept-Encoding", "gzip;q=0, *"); never.Header().Get("Content-Encoding") != "" {
			t.Errorf("%s: gzip, which was declined", path)
		}
		size += zipped.Body.Len()
		z, err := gzip.NewReader(zipped.Body)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if text, err := io.ReadAll(z); err != nil || !bytes.Equal(text, plain.Body.Bytes()) {
			t.Errorf("%s: gzip has another text: %v", path, err)
		}
		h := plain.Header()
		for name, want := range map[string]string{"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Content-Security-Policy": policy} {
			if h.Get(name) != want {
				t.Errorf("%s: %s is %q", path, name, h.Get(name))
			}
		}
		if tag := zipped.Header().Get("Etag"); tag == h.Get("Etag") || !strings.Contains(h.Get("Vary"), "Accept-Encoding") {
			t.Errorf("%s: both encodings have the tag %s, Vary %q", path, tag, h.Get("Vary"))
		}
		if again, _ := ask("GET", path, "If-None-Match", h.Get("Etag")); again.Code != http.StatusNotModified || again.Body.Len() > 0 {
			t.Errorf("%s: asked again: %d, %d bytes", path, again.Code, again.Body.Len())
		}
	}
	if t.Logf("%d bytes compressed", size); size > 30_000 || size == 0 {
		t.Errorf("the page has %d bytes compressed; 30,000 are enough", size)
	}
	for _, word := range []string{"unsafe", "*", "http", "data:", "blob:"} {
		if strings.Contains(policy, word) {
			t.Errorf("the policy has %s", word)
		}
	}
}

// TestNothingElseIsLoaded: no part names another host, has anything inline, or makes
// markup of a text.
func TestNothingElseIsLoaded(t *testing.T) {
	bad := regexp.MustCompile(`https?://|//[a-z]+\.[a-z]|innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|new Function|localStorage|sessionStorage|document\.cookie|indexedDB|\sstyle=|<style|\son[a-z]+="|<script>`)
	for path, part := range parts() {
		text := strings.ReplaceAll(string(part.text), `xmlns="http://www.w3.org/2000/svg"`, "")
		if found := bad.FindString(text); found != "" {
			t.Errorf("%s has %q", path, found)
		}
	}
}
