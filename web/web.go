// Package web is the page for people: devices and their properties, charts, tables,
// newest values and the API's reference, in a browser.
//
// The page is static and needs no token. What it shows it gets from the API, with the
// token that a person types; that stays in the memory of the browser's tab. It loads
// nothing from other hosts, and its Content-Security-Policy forbids that it could.
package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"hotreader/internal/accept"
)

//go:embed page
var files embed.FS

// Prefix begins the paths of the page's parts. The page itself is /.
const Prefix = "/page/"

// policy allows the page's own scripts, styles, icon and requests, and nothing else:
// nothing inline, no text that becomes markup, no frame around it, no form that is sent.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// part is one file of the page.
type part struct {
	text, zipped []byte
	kind, tag    string
}

var types = map[string]string{".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

// parts are compressed once, at the first request for the page.
var parts = sync.OnceValue(func() map[string]part {
	all := make(map[string]part)
	_ = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := files.ReadFile(name)
		sum := sha256.Sum256(text)
		var zipped bytes.Buffer
		z, _ := gzip.NewWriterLevel(&zipped, gzip.BestCompression) // the level is valid, and memory takes all
		_, _ = z.Write(text)
		_ = z.Close()
		all["/"+name] = part{text, zipped.Bytes(), mime.FormatMediaType(types[path.Ext(name)], map[string]string{"charset": "utf-8"}), hex.EncodeToString(sum[:8])}
		return err
	})
	return all
})

// Serve answers a request for the page or one of its parts. It returns false, and does
// nothing, if r asks for something else: / is the page's only for browsers, which accept
// HTML; to other clients the API answers.
func Serve(w http.ResponseWriter, r *http.Request) bool {
	name := r.URL.Path
	if name == "/" && accept.Quality(r.Header["Accept"], "text/html") > 0 {
		name = Prefix + "index.html"
	}
	if !strings.HasPrefix(name, Prefix) || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	found, ok := parts()[name]
	if !ok {
		return false
	}
	body, tag, h := found.text, found.tag, w.Header()
	h.Set("Vary", "Accept, Accept-Encoding")
	if accept.Gzip(r.Header["Accept-Encoding"]) {
		h.Set("Content-Encoding", "gzip")
		body, tag = found.zipped, tag+"-gzip"
	}
	h.Set("Etag", `"`+tag+`"`)
	h.Set("Cache-Control", "no-cache") // kept, and asked about each time: a new release is seen at once
	h.Set("Content-Type", found.kind)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	return true
}
