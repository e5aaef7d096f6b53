// Package failure makes what goes wrong at a cloud's store an error of ours: what
// happened, its code, and what to do. Each store has a table of its own words.
package failure

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"hotreader"
)

// Broken is an answer that ended too early.
type Broken struct{ Err error }

func (b *Broken) Error() string { return "read the answer: " + b.Err.Error() }
func (b *Broken) Unwrap() error { return b.Err }

// Damaged is an answer that arrived and cannot be read.
type Damaged struct{ Err error }

func (d *Damaged) Error() string { return d.Err.Error() }
func (d *Damaged) Unwrap() error { return d.Err }

// What a store does to its table, container or collection.
const (
	Querying = "query"
	Writing  = "write"
	Creating = "create"
	Sampling = "inspect"
)

// Names of failures that no service reports.
const (
	broken    = "broken"
	damaged   = "damaged"
	untrusted = "untrusted"
	unreached = "unreached"
)

// Foreign is the name of an answer with an HTTP status that is not the service's.
func Foreign(status int) string { return "foreign:" + strconv.Itoa(status) }

// A Rule says what a failure means and what to do about it.
type Rule struct {
	For   string // names of the failures, with blanks between; one may end in *; "" = all
	Doing string // only where this was being done; "" = whatever was
	Says  string // only where the message, in lower case, has one of these, with | between; all of those with & between
	Code  hotreader.Code
	Text  string // words in {braces} are filled in
}

// common are the rules of all stores for what has no rule of their own.
var common = []Rule{
	{For: broken, Code: hotreader.CodeUnavailable, Text: "the answer broke off: {error}"},
	{For: damaged, Code: hotreader.CodeCorrupt, Text: "{error}"},
	{For: untrusted, Code: hotreader.CodeConfig, Text: "the certificate of {endpoint} is not trusted: {error}; check the endpoint"},
	{For: unreached, Code: hotreader.CodeUnavailable, Text: "{endpoint} was not reached: {error}"},
	{For: "foreign:401 foreign:403", Code: hotreader.CodeProtocol, Text: "{error}, and not in the words of {service}; check the credentials and their permissions, then the endpoint"},
	{For: "foreign:429", Code: hotreader.CodeThrottled, Text: "{error}, and not from {service}"},
	{For: "foreign:502 foreign:503 foreign:504", Code: hotreader.CodeUnavailable, Text: "{error}, and not from {service}"},
	{For: "foreign:5*", Code: hotreader.CodeStore, Text: "{error}, and not from {service}"},
	{For: "foreign:*", Code: hotreader.CodeProtocol, Text: "{error}, and not from {service}; check the endpoint"},
}

// A Failure is what a store's client knows of one.
type Failure struct {
	Op         string // for hotreader.Error
	Doing      string
	Names      []string      // what it is called; none = no answer came
	Message    string        // in the service's own words
	RetryAfter time.Duration // as the service asks for
	Err        error
	Root       error    // for {error}; nil = Err, without what it is wrapped in
	Words      []string // for texts: a name, what it stands for, and so on
}

// cause says what happened and what to do, and keeps the error for errors.As.
type cause struct {
	text string
	err  error
}

func (c *cause) Error() string { return c.text }
func (c *cause) Unwrap() error { return c.err }

// maxMessage bounds the bytes of a service's own words.
const maxMessage = 1000

// Error makes f an *hotreader.Error by the first rule that fits: of rules, then
// of those of all stores.
func (f Failure) Error(ctx context.Context, rules []Rule) error {
	e := &hotreader.Error{Op: f.Op}
	own, isOwn := errors.AsType[*hotreader.Error](f.Err)
	// Whatever went wrong once the time is up went wrong because of that.
	if err := over(ctx); err != nil && (!isOwn || own.Code != hotreader.CodeOf(err)) {
		e.Code, e.Err = hotreader.CodeOf(err), err
		return e
	}
	if isOwn {
		e.Code, e.Err = own.Code, own.Err
		return e
	}
	if kind, root := unanswered(f.Err); len(f.Names) == 0 || kind == broken || kind == damaged {
		f.Names = []string{kind}
		if f.Root == nil || kind != unreached {
			f.Root = root
		}
	}
	if f.Root == nil {
		f.Root = f.Err
	}
	if len(f.Message) > maxMessage {
		f.Message = strings.ToValidUTF8(f.Message[:maxMessage], "") + "…"
	}
	if f.Message == "" {
		f.Message = "no more is said"
	}
	e.Code, e.RetryAfter = hotreader.CodeStore, f.RetryAfter
	text := "{error}"
	for _, r := range slices.Concat(rules, common) {
		if r.fits(&f) {
			e.Code, text = r.Code, r.Text
			break
		}
	}
	words := []string{"{message}", f.Message, "{error}", f.Root.Error()}
	for i := 0; i < len(f.Words); i += 2 {
		words = append(words, "{"+f.Words[i]+"}", f.Words[i+1])
	}
	e.Err = &cause{strings.NewReplacer(words...).Replace(text), f.Err}
	return e
}

// over returns why ctx is over, nil if it is not. On a busy machine a connection may find
// that its deadline has passed before ctx does.
func over(ctx context.Context) error {
	if at, ok := ctx.Deadline(); ok && ctx.Err() == nil && !time.Now().Before(at) {
		return context.DeadlineExceeded
	}
	return ctx.Err()
}

func (r *Rule) fits(f *Failure) bool {
	named := r.For == ""
	for name := range strings.FieldsSeq(r.For) {
		front, open := strings.CutSuffix(name, "*")
		named = named || slices.ContainsFunc(f.Names, func(n string) bool { return n == name || open && strings.HasPrefix(n, front) })
	}
	if !named || r.Doing != "" && r.Doing != f.Doing {
		return false
	}
	message := strings.ToLower(f.Message)
	return slices.ContainsFunc(strings.Split(r.Says, "|"), func(words string) bool {
		for word := range strings.SplitSeq(words, "&") {
			if !strings.Contains(message, word) {
				return false
			}
		}
		return true
	})
}

// unanswered names a failure that no service reported, and its cause.
func unanswered(err error) (name string, root error) {
	if b, ok := errors.AsType[*Broken](err); ok {
		return broken, b.Err
	}
	if d, ok := errors.AsType[*Damaged](err); ok {
		return damaged, d
	}
	root = err
	if u, ok := errors.AsType[*url.Error](err); ok {
		root = u.Err // without the URL
	}
	if c, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		root = c.Err
	}
	if Untrusted(err) {
		return untrusted, root
	}
	return unreached, root
}

// Untrusted reports whether the server is not the expected one, which no new
// try changes.
func Untrusted(err error) bool {
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	_, hostname := errors.AsType[x509.HostnameError](err)
	return certificate || authority || hostname || errors.Is(err, http.ErrSchemeMismatch)
}

// RetryAfter reads the header of that name, if it counts seconds.
func RetryAfter(h http.Header) time.Duration {
	if s, err := strconv.Atoi(h.Get("Retry-After")); err == nil && s > 0 && s <= 3600 {
		return time.Duration(s) * time.Second
	}
	return 0
}
