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

	"hotreader"
	"hotreader/identity"
	"hotreader/wire"
)

// broken returns the error of a decoder. If a's connection is the reason, that
// is the better one to name.
func (x *exchange) broken(err error, a *answer, peer bool) error {
	if a.err != nil {
		return x.transport(a.err, a)
	}
	e, ok := errors.AsType[*hotreader.Error](err)
	if !ok {
		return x.fail(hotreader.CodeInternal, err)
	}
	if peer {
		return x.healing(&hotreader.Error{Op: x.r.op, Code: e.Code, Err: x.hide(e.Err), RetryAfter: e.RetryAfter})
	}
	return &hotreader.Error{Op: x.r.op, Code: e.Code, Err: x.hide(e.Err)}
}

// healing makes a peer's own failure one that may be tried again.
func (x *exchange) healing(e *hotreader.Error) *hotreader.Error {
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

// hide hides the proof that was sent in what a peer says, which may echo it.
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

// check lets an answer of a known type pass whose status says that it is whole.
func (x *exchange) check(resp *http.Response, a *answer) error {
	status := resp.StatusCode
	a.media, _, _ = mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case status >= 200 && status <= 299:
		if status == http.StatusOK && (a.media == wire.MediaType || a.media == "application/json") {
			return nil
		}
		return x.strange(a, fmt.Sprintf("status %d", status))
	case status >= 300 && status <= 399:
		return x.fail(hotreader.CodeConfig, fmt.Errorf("status %d redirects to %q, which is not followed with the token; set the URL to where the API is",
			status, x.clean(resp.Header.Get("Location"))))
	}
	body, _ := io.ReadAll(io.LimitReader(a, maxProblem))                                     // a cut problem is still a status
	p := wire.ParseProblem(status, resp.Header, []byte(identity.Hide(x.sent, string(body)))) // before it is clipped, within the token perhaps
	e := p.Err(x.r.op)
	e.Err = x.hide(e.Err)
	// What stands between may set the status, so that it decides whether to try
	// again, and the code whatever else there is to say.
	heals := wire.MayHeal(status)
	if heals && !e.Code.Temporary() || !heals && wire.MayHeal(wire.StatusOf(e.Code)) {
		inner := &hotreader.Error{Code: e.Code, Err: e.Err}
		code := wire.CodeOfStatus(status)
		e = &hotreader.Error{Op: e.Op, Code: code, Err: inner, RetryAfter: e.RetryAfter}
	}
	return e
}

// strange is the error of an answer that is neither rows nor JSON.
func (x *exchange) strange(a *answer, what string) error {
	first := make([]byte, maxSnippet)
	n, err := io.ReadFull(a, first)
	if a.err != nil && n == 0 {
		return x.transport(a.err, a)
	}
	came := fmt.Sprintf("it begins with %q", x.clean(string(first[:n])))
	if n == 0 && err == io.EOF {
		came = "it is empty"
	}
	kind := x.clean(a.header.Get("Content-Type"))
	if kind == "" {
		kind = "of no content type"
	} else {
		kind = fmt.Sprintf("of type %q", kind)
	}
	return x.fail(hotreader.CodeProtocol, fmt.Errorf("%s, but the answer is %s, and %s; is this the Hot Reader API's URL?", what, kind, came))
}

// clean makes what a peer sent fit for an error's text.
func (x *exchange) clean(s string) string {
	s = identity.Hide(x.sent, s)
	if len(s) > maxSnippet {
		s = s[:maxSnippet]
	}
	return strings.ToValidUTF8(s, "?")
}

// transport classes what went wrong on the way.
func (x *exchange) transport(err error, a *answer) *hotreader.Error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // the address is in Op already
	}
	if cerr := x.ctx.Err(); cerr != nil {
		return x.fail(hotreader.CodeOf(cerr), cerr)
	}
	if errors.Is(context.Cause(a.ctx), errIdle) {
		return x.fail(hotreader.CodeUnavailable, fmt.Errorf("nothing came for %s", a.limit))
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
	if certificate(err) {
		return x.fail(hotreader.CodeConfig, fmt.Errorf("no trust in the peer: %w", err))
	}
	return x.fail(hotreader.CodeUnavailable, x.hide(err))
}

// certificate reports whether err is TLS's refusal, which time does not heal.
func certificate(err error) bool {
	_, verify := errors.AsType[*tls.CertificateVerificationError](err)
	_, record := errors.AsType[tls.RecordHeaderError](err)
	op, ok := errors.AsType[*net.OpError](err)
	alert := ok && op.Op == "remote error" // what crypto/tls calls the peer's alert
	return errors.Is(err, http.ErrSchemeMismatch) || verify || record || alert
}
