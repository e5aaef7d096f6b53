package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"hotreader"
	"hotreader/config"
	"hotreader/identity"
	"hotreader/wire"
)

// maxReply bounds what is read of an answer: a last entry is far smaller.
const maxReply = 1 << 20

func client(given *http.Client) http.Client {
	c := http.Client{Transport: &http.Transport{
		Proxy:           http.ProxyFromEnvironment,
		DialContext:     (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: 10 * time.Second,
		ForceAttemptHTTP2: true, IdleConnTimeout: 10 * time.Second,
	}}
	if given != nil {
		c = *given
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
}

// ask is a request to an HTTP door.
type ask struct {
	method, path, accept, body string
}

// reply is what came back.
type reply struct {
	status  int
	header  http.Header
	media   string
	body    []byte
	problem *wire.Problem // nil: not one of ours
	took    time.Duration
}

// send sends a, with token unless that is "".
func (e *examination) send(ctx context.Context, base string, a ask, token string) (*reply, error) {
	ctx, cancel := context.WithTimeout(ctx, e.in.Timeout)
	defer cancel()
	began := time.Now()
	req, err := http.NewRequestWithContext(ctx, a.method, base+a.path, strings.NewReader(a.body))
	if err != nil {
		return &reply{}, errors.New("this is no URL")
	}
	req.Header.Set("User-Agent", "hotreader-doctor")
	req.Header.Set("Accept", a.accept)
	if a.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set(identity.TokenHeader, token)
	}
	resp, err := e.http.Do(req)
	r := &reply{took: time.Since(began)}
	if err != nil {
		return r, err
	}
	defer resp.Body.Close()
	r.status, r.header = resp.StatusCode, resp.Header
	r.media, _, _ = mime.ParseMediaType(resp.Header.Get("Content-Type"))
	r.body, err = io.ReadAll(io.LimitReader(resp.Body, maxReply))
	r.took = time.Since(began)
	if err != nil {
		return r, fmt.Errorf("the answer broke off: %w", err)
	}
	var p struct{ Code hotreader.Code }
	if r.status >= 400 && r.media == wire.ProblemType && json.Unmarshal(r.body, &p) == nil && slices.Contains(hotreader.Codes(), p.Code) {
		r.problem = wire.ParseProblem(r.status, r.header, r.body)
	}
	return r, nil
}

// ok reports whether the status is 2xx.
func (r *reply) ok() bool { return r.status >= 200 && r.status <= 299 }

// describe says what answered, where it is not what was expected.
func (r *reply) describe() string {
	status := fmt.Sprintf("status %d", r.status)
	text := strings.TrimSpace(string(r.body))
	switch {
	case r.problem != nil:
		return strings.TrimSpace(fmt.Sprintf("%s, %s: %s %s", status, r.problem.Code, r.problem.Title, r.problem.Detail))
	case r.status >= 300 && r.status <= 399:
		return fmt.Sprintf("%s, a redirect to %q", status, clip(r.header.Get("Location")))
	case text == "":
		return status + " and nothing else"
	case r.media == "text/html" || strings.HasPrefix(strings.ToLower(text), "<!doctype html") || strings.HasPrefix(strings.ToLower(text), "<html"):
		return fmt.Sprintf("%s and a web page (HTML)%s", status, title(text))
	case r.message() != "":
		return fmt.Sprintf("%s and the message %q", status, clip(r.message()))
	}
	kind := r.media
	if kind == "" {
		kind = "no content type"
	}
	return fmt.Sprintf("%s and %s that begins with %q", status, kind, clip(text))
}

// message is what API Gateway and others like it say in JSON.
func (r *reply) message() string {
	var m struct{ Message string }
	_ = json.Unmarshal(r.body, &m) // what is no JSON has none
	return m.Message
}

// title is the title of a web page, for a person to recognize it by.
func title(page string) string {
	lower := strings.ToLower(page)
	from := strings.Index(lower, "<title>")
	to := strings.Index(lower, "</title>")
	if len(lower) != len(page) || from < 0 || to < from+len("<title>") {
		return ""
	}
	return fmt.Sprintf(" titled %q", clip(strings.TrimSpace(page[from+len("<title>"):to])))
}

func clip(text string) string {
	if len(text) > 80 {
		text = text[:80]
	}
	return strings.ToValidUTF8(text, "?")
}

// unreached says why a request found no answer, and what to do.
func (e *examination) unreached(err error, cloud config.Cloud) (says, remedy string) {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // the address is told elsewhere
	}
	dns, isDNS := errors.AsType[*net.DNSError](err)
	_, record := errors.AsType[tls.RecordHeaderError](err)
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	_, host := errors.AsType[x509.HostnameError](err)
	_, invalid := errors.AsType[x509.CertificateInvalidError](err)
	timeout, isTimeout := errors.AsType[net.Error](err)
	again := e.deployOnly(cloud)
	switch {
	case isDNS && dns.IsNotFound:
		return fmt.Sprintf("the host %s has no address", dns.Name), "it was removed, or the URL is wrong: " + again
	case isDNS:
		return fmt.Sprintf("the name %s cannot be resolved: %s", dns.Name, dns.Err), "check this machine's name server"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection is refused: nothing listens there", "it does not run, or the URL is wrong: " + again
	case record || errors.Is(err, http.ErrSchemeMismatch):
		return "what listens there does not speak TLS", "the URL is not that of the deployed API: " + again
	case unknown || host || invalid:
		return "its certificate does not hold: " + err.Error(), "something stands in between (a proxy?), or the URL is wrong"
	case errors.Is(err, context.DeadlineExceeded) || isTimeout && timeout.Timeout():
		return fmt.Sprintf("no answer within %s", e.in.Timeout), "look at the function's log and at the firewalls in between"
	case errors.Is(err, context.Canceled):
		return "the examination was broken off", ""
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET):
		return "the connection was made and broke off", "look at the function's log, and at what stands in between"
	}
	return err.Error(), "check the network of this machine and the URL"
}
