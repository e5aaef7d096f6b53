package wire

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strings"
)

// Foreign is an answer that is none of a Hot Reader API's: of a gateway that knows no
// such route, of a host that shows a page of its own, of something in between.
type Foreign struct {
	Status int
	Header http.Header
	Body   []byte // the beginning will do
}

// String says what came.
func (f Foreign) String() string {
	status := fmt.Sprintf("status %d", f.Status)
	text := strings.TrimSpace(string(f.Body))
	switch {
	case f.Status >= 300 && f.Status <= 399:
		return fmt.Sprintf("%s, a redirect to %q", status, beginning(f.Header.Get("Location")))
	case text == "":
		return status + " and nothing else"
	case f.Page():
		return fmt.Sprintf("%s and a web page (HTML) %s", status, pageTitle(text))
	case f.Message() != "":
		return fmt.Sprintf("%s and the message %q", status, beginning(f.Message()))
	}
	kind := beginning(f.media())
	if kind == "" {
		kind = "no content type"
	}
	return fmt.Sprintf("%s and %s that begins with %q", status, kind, beginning(text))
}

// signs are what hosts say where no Hot Reader API is, and what it means.
var signs = []struct{ says, means string }{
	{"missing authentication token", "API Gateway knows no such route under that URL"},
	{`"message":"not found"`, "API Gateway knows no such route under that URL"},
	{`"message":"forbidden"`, "a gateway rejects the request: it knows no such route, or requires an API key"},
	{"web app is stopped", "the app on Azure is stopped"},
	{"does not have permission to get url", "Google rejects callers without an identity of its own"},
	{"the requested url", "the host knows no such route under that URL"},
}

// Means says what f seems to mean; "" if unknown.
func (f Foreign) Means() string {
	text := strings.ToLower(string(f.Body[:min(len(f.Body), 16<<10)]))
	compact := strings.Join(strings.Fields(text), " ")
	if f.Message() != "" {
		compact = strings.ReplaceAll(compact, `": "`, `":"`)
	}
	for _, s := range signs {
		if strings.Contains(compact, s.says) {
			return s.means
		}
	}
	if f.Status == http.StatusNotFound || f.Status == http.StatusGone {
		return "the host knows no such route under that URL"
	}
	return ""
}

// Certain reports whether what answered is no Hot Reader API for certain. Peers that
// know only JSON may reject a request without a problem of ours; a page, an empty
// rejection and API Gateway's rejections are none of theirs.
func (f Foreign) Certain() bool {
	if f.Status == http.StatusNotImplemented { // a server of files, which knows GET alone
		return f.Page()
	}
	if f.Status < 400 || f.Status > 499 || MayHeal(f.Status) {
		return false
	}
	switch f.Status {
	case http.StatusForbidden, http.StatusNotFound, http.StatusGone:
		return f.Page() || f.Message() != "" || !json.Valid(f.Body)
	}
	return f.Page()
}

func (f Foreign) media() string {
	media, _, _ := mime.ParseMediaType(f.Header.Get("Content-Type"))
	return media
}

// Page reports whether f is a web page.
func (f Foreign) Page() bool {
	text := strings.ToLower(strings.TrimSpace(string(f.Body[:min(len(f.Body), 256)])))
	return f.media() == "text/html" && text != "" || strings.HasPrefix(text, "<!doctype html") || strings.HasPrefix(text, "<html")
}

// Message is what gateways, such as AWS's and Azure's, say in JSON; "" if there is more
// in it than their own keys.
func (f Foreign) Message() (text string) {
	var all map[string]any
	if json.Unmarshal(f.Body, &all) != nil { // what is no JSON has none
		return ""
	}
	for key, value := range all {
		switch strings.ToLower(key) {
		case "message":
			text, _ = value.(string)
		case "statuscode", "requestid":
		default:
			return ""
		}
	}
	return text
}

// pageTitle is the title of a web page, for a person to recognize it by, or else how it
// begins.
func pageTitle(page string) string {
	lower := strings.ToLower(page)
	from := strings.Index(lower, "<title>")
	to := strings.Index(lower, "</title>")
	if len(lower) != len(page) || from < 0 || to < from+len("<title>") {
		return fmt.Sprintf("that begins with %q", beginning(page))
	}
	return fmt.Sprintf("titled %q", beginning(strings.TrimSpace(page[from+len("<title>"):to])))
}

// beginning returns the beginning of a text, fit to be quoted.
func beginning(text string) string {
	if len(text) > 80 {
		text = text[:80]
	}
	return strings.ToValidUTF8(text, "?")
}
