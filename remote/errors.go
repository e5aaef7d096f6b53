package remote

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"hotreader"
	"hotreader/identity"
	"hotreader/route"
	"hotreader/wire"
)

// decodeError returns the error of a row stream. If a's connection failed, that is
// the cause to name. peer = the peer sent err itself.
func (x *exchange) decodeError(err error, a *answer, peer bool) error {
	if a.err != nil {
		return x.transport(a.err, a)
	}
	e, ok := errors.AsType[*hotreader.Error](err)
	if !ok {
		return x.fail(hotreader.CodeInternal, err)
	}
	if peer {
		return asTemporary(&hotreader.Error{Op: x.r.op, Code: e.Code, Err: x.hide(e.Err), RetryAfter: e.RetryAfter})
	}
	return &hotreader.Error{Op: x.r.op, Code: e.Code, Err: x.hide(e.Err)}
}

// asTemporary lets a failure inside the peer be retried: its permanent codes become
// CodeUnavailable, which wraps them.
func asTemporary(e *hotreader.Error) *hotreader.Error {
	switch e.Code {
	case hotreader.CodeInternal, hotreader.CodeDeadline, hotreader.CodeCanceled, hotreader.CodeProtocol, hotreader.CodeConfig:
		inner := &hotreader.Error{Code: e.Code, Err: e.Err}
		return &hotreader.Error{Op: e.Op, Code: hotreader.CodeUnavailable, Err: inner, RetryAfter: e.RetryAfter}
	}
	return e
}

func (x *exchange) fail(code hotreader.Code, err error) *hotreader.Error {
	return &hotreader.Error{Op: x.r.op, Code: code, Err: err}
}

// hide removes the token from the text of a peer's error, which may echo it.
func (x *exchange) hide(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if hidden := identity.Hide(x.sent, text); hidden != text {
		return errors.New(hidden)
	}
	return err
}

// checkAnswer returns nil for status 200 with rows or JSON, else the error that the
// answer means.
func (x *exchange) checkAnswer(resp *http.Response, a *answer) error {
	status := resp.StatusCode
	a.media, _, _ = mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case status >= 200 && status <= 299:
		if status == http.StatusOK && (a.media == wire.MediaType || a.media == "application/json") {
			return nil
		}
		return x.unexpected(a, fmt.Sprintf("status %d", status))
	case status >= 300 && status <= 399:
		return x.fail(hotreader.CodeConfig, fmt.Errorf("status %d redirects to %q, which is not followed with the token; set the URL to where the API is",
			status, x.snippet(resp.Header.Get("Location"))))
	}
	body, _ := io.ReadAll(io.LimitReader(a, maxProblem)) // if it is cut, the status still counts
	body = []byte(identity.Hide(x.sent, string(body)))   // at once: a clipped token would not be found
	p := wire.ParseProblem(status, resp.Header, body)
	e := p.Err(x.r.op)
	e.Err = x.hide(e.Err)
	if p.Title == "" && p.Detail == "" {
		f := wire.Foreign{Status: status, Header: resp.Header, Body: body}
		if f.Certain() {
			e.Code = hotreader.CodeProtocol
			e.Err = x.hide(fmt.Errorf("what answers is not a Hot Reader API: %s%s; check the URL", f, means(f)))
			return e
		}
		e.Err = x.hide(fmt.Errorf("%s: %s%s", string(p.Code), f, means(f)))
	}
	// A gateway in between may have set the status. So the status decides whether to
	// try again, and the code says the rest.
	heals := wire.MayHeal(status)
	if heals && !e.Code.Temporary() || !heals && wire.MayHeal(wire.StatusOf(e.Code)) {
		inner := &hotreader.Error{Code: e.Code, Err: e.Err}
		code := wire.CodeOfStatus(status)
		e = &hotreader.Error{Op: e.Op, Code: code, Err: inner, RetryAfter: e.RetryAfter}
	}
	return e
}

func means(f wire.Foreign) string {
	if text := f.Means(); text != "" {
		return " (" + text + ")"
	}
	return ""
}

// unexpected returns the error of an answer of the wrong kind, and quotes its
// beginning.
func (x *exchange) unexpected(a *answer, what string) error {
	first := make([]byte, maxLooked)
	n, err := io.ReadFull(a, first)
	if a.err != nil && n == 0 {
		return x.transport(a.err, a)
	}
	first = []byte(identity.Hide(x.sent, string(first[:n])))
	if f := (wire.Foreign{Status: a.status, Header: a.header, Body: first}); f.Page() {
		return x.fail(hotreader.CodeProtocol, fmt.Errorf("what answers is not a Hot Reader API: %s; check the URL", f))
	}
	begins := fmt.Sprintf("it begins with %q", x.snippet(string(first)))
	if n == 0 && err == io.EOF {
		begins = "it is empty"
	}
	kind := x.snippet(a.header.Get("Content-Type"))
	if kind == "" {
		kind = "of no content type"
	} else {
		kind = fmt.Sprintf("of type %q", kind)
	}
	return x.fail(hotreader.CodeProtocol, fmt.Errorf("%s, but the answer is %s, and %s; is this the Hot Reader API's URL?", what, kind, begins))
}

// snippet returns the beginning of a peer's text, fit to be quoted in an error.
func (x *exchange) snippet(s string) string {
	s = identity.Hide(x.sent, s)
	if len(s) > maxSnippet {
		s = s[:maxSnippet]
	}
	return strings.ToValidUTF8(s, "?")
}

// transport returns the error of a connection that failed.
func (x *exchange) transport(err error, a *answer) *hotreader.Error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // the address is in Op already
	}
	if cerr := x.ctx.Err(); cerr != nil {
		return x.fail(hotreader.CodeOf(cerr), cerr)
	}
	if errors.Is(context.Cause(a.ctx), errIdle) {
		idle := fmt.Errorf("nothing came for %s", a.limit)
		if a.limit < min(x.r.o.Idle, route.FairTime) { // the caller's time set it, so the breaker does not blame the peer
			idle = &hotreader.Error{Code: hotreader.CodeDeadline, Err: idle}
		}
		return x.fail(hotreader.CodeUnavailable, idle)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return x.fail(hotreader.CodeUnavailable, errors.New("the connection broke off"))
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsNotFound {
			return x.fail(hotreader.CodeConfig, fmt.Errorf("the host has no address (%w); check the URL", err))
		}
		return x.fail(hotreader.CodeUnavailable, err)
	}
	switch {
	case errors.Is(err, http.ErrSchemeMismatch):
		return x.fail(hotreader.CodeConfig, errors.New("that server speaks plain http, not https; write http://, or serve with --tls-cert"))
	case errors.Is(err, syscall.ECONNREFUSED) && strings.HasPrefix(x.r.url, "http:"): // this machine
		return x.fail(hotreader.CodeUnavailable, fmt.Errorf("%w; is hotreader serve running there?", err))
	case isTLSRefusal(err):
		return x.fail(hotreader.CodeConfig, fmt.Errorf("no trust in the peer: %w; for a certificate of your own, SSL_CERT_FILE=cert.pem names it", err))
	}
	return x.fail(hotreader.CodeUnavailable, x.hide(err))
}

// isTLSRefusal reports whether client or server rejected the TLS connection. Trying again does
// not help then.
func isTLSRefusal(err error) bool {
	_, verify := errors.AsType[*tls.CertificateVerificationError](err)
	_, record := errors.AsType[tls.RecordHeaderError](err)
	op, ok := errors.AsType[*net.OpError](err)
	alert := ok && op.Op == "remote error" // what crypto/tls calls the peer's alert
	return verify || record || alert
}
