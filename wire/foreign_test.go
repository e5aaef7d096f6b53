package wire

import (
	"net/http"
	"strings"
	"testing"
)

// What gateways and hosts answer where no Hot Reader API is, as they send it.
func TestForeign(t *testing.T) {
	for _, c := range []struct {
		name       string
		status     int
		kind, body string
		certain    bool
		says       string
		means      string
	}{
		{"API Gateway, no route", 403, "application/json", `{"message":"Missing Authentication Token"}`, true, `status 403 and the message "Missing Authentication Token"`, "no such route"},
		{"API Gateway, no mapping or no key", 403, "application/json", `{"message": "Forbidden"}`, true, `the message "Forbidden"`, "requires an API key"},
		{"HTTP API, no route", 404, "application/json", `{"message":"Not Found"}`, true, `the message "Not Found"`, "no such route"},
		{"HTTP API, an authorizer", 401, "application/json", `{"message":"Unauthorized"}`, false, `the message "Unauthorized"`, ""},
		{"function URL with IAM", 403, "application/json", `{"Message":"Forbidden"}`, true, `the message "Forbidden"`, "rejects"},
		{"API Management", 404, "application/json", `{ "statusCode": 404, "message": "Resource not found" }`, true, `the message "Resource not found"`, "no such route"},
		{"Azure, stopped", 403, "text/html", "<!DOCTYPE html>\r\n<html>\r\n<head>\r\n    <title>Web App - Unavailable</title>\r\n</head><body><h1 id=\"unavailable\">Error 403 - This web app is stopped.</h1>", true, `a web page (HTML) titled "Web App - Unavailable"`, "the app on Azure is stopped"},
		{"Azure Functions, no route", 404, "", "", true, "status 404 and nothing else", "no such route"},
		{"Google, no route", 404, "text/html; charset=UTF-8", "<!DOCTYPE html><html lang=en><title>Error 404 (Not Found)!!1</title><p>The requested URL <code>/x</code> was not found on this server.", true, `titled "Error 404 (Not Found)!!1"`, "no such route"},
		{"Cloud Run with IAM", 403, "text/html; charset=UTF-8", "\n<html><head>\n<title>403 Forbidden</title></head><body><h2>Your client does not have permission to get URL <code>/</code> from this server.</h2>", true, `titled "403 Forbidden"`, "identity of its own"},
		{"nginx", 405, "text/html", "<html>\r\n<head><title>405 Not Allowed</title></head>", true, `titled "405 Not Allowed"`, ""},
		{"a login page", 200, "text/html", "<HTML><body>Log in", false, "status 200 and a web page (HTML)", ""},
		{"a redirect", 302, "text/html", "", false, "a redirect to \"https://login.example/\"", ""},
		{"an older peer", 403, "application/json", `{"error":"the device is not allowed"}`, false, `application/json that begins with "{\"error\"`, ""},
		{"an older peer with a message", 404, "application/json", `{"message":"no table","code":7}`, false, `begins with`, "no such route"},
		{"throttled by a host", 429, "text/html", "<html>slow down", false, "a web page (HTML)", ""},
		{"a host that is down", 503, "text/html", "<html><title>503</title>", false, `titled "503"`, ""},
		{"a server of files", 501, "text/html;charset=utf-8", "<!DOCTYPE HTML>\n<html><head><title>Error response</title>", true, `titled "Error response"`, ""},
		{"noise", 403, "", "\x00\xff", true, `no content type that begins with "\x00?"`, ""},
	} {
		f := Foreign{Status: c.status, Header: http.Header{"Content-Type": {c.kind}, "Location": {"https://login.example/"}}, Body: []byte(c.body)}
		if f.Certain() != c.certain || !strings.Contains(f.String(), c.says) || !strings.Contains(f.Means(), c.means) || c.means == "" && f.Means() != "" {
			t.Errorf("%s: certain %v, %s, %q", c.name, f.Certain(), f, f.Means())
		}
	}
}

func FuzzForeign(f *testing.F) {
	f.Add(403, "text/html", "<html><title>x</title>")
	f.Add(404, "application/json", `{"message":"x"}`)
	f.Add(200, "", "\u0130<title></title>")
	f.Fuzz(func(t *testing.T, status int, kind, body string) {
		a := Foreign{Status: status, Header: http.Header{"Content-Type": {kind}}, Body: []byte(body)}
		if text := a.String() + a.Means(); len(text) > 1000 || a.Certain() && MayHeal(status) && status != http.StatusNotImplemented {
			t.Errorf("%d %q: %s", status, body, text)
		}
	})
}
