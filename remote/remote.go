// Package remote reads from another cloud: a [Source] over the HTTP API that
// package httpapi serves there.
//
// It reads the row stream of package wire and, from a peer that knows only JSON,
// TwinMaker's answers. It makes one attempt; route.Retry makes more.
package remote

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"hotreader"
	"hotreader/identity"
	"hotreader/internal/punctual"
	"hotreader/route"
	"hotreader/wire"
)

// DefaultIdle is how long no byte of an answer may come before it counts as broken
// off: a little more than the 29 seconds after which API Gateway gives up.
const DefaultIdle = 30 * time.Second

const (
	maxProblem = 64 << 10 // bytes read of an error's body
	maxSnippet = 80       // bytes of a wrong answer that an error quotes
	maxLooked  = 4 << 10  // bytes of a wrong answer that are looked at, for a web page's title
)

// Options says where the other cloud is.
type Options struct {
	// URL is the API's base, as https://host/stage, or the whole address of its
	// read route, as https://host/stage/read. Plain http is for loopback only.
	URL        string
	Credential identity.Credential

	Client      *http.Client  // nil = NewClient(); redirects are never followed, whatever it says
	SourceCloud string        // the caller's own cloud: aws, azure, gcp
	Layer       string        // that is asked for; "" = wire.TargetLayer
	UserAgent   string        // "" = hotreader
	Idle        time.Duration // how long no byte may come; never more than half the caller's time; 0 = DefaultIdle

	// TraceID returns the trace id that a read belongs to. One of 32 lowercase hex
	// digits is sent as traceparent, too. nil, and "" = a new one for each read.
	TraceID func(context.Context) string
}

// Source is a hotreader.Source in another cloud.
type Source struct {
	o    Options
	url  string
	op   string
	http http.Client

	room   int64         // bytes of JSON pages that all reads may have in memory
	held   atomic.Int64  // that they have
	parsed chan struct{} // one in it for each JSON page that is being parsed
}

var _ hotreader.Source = (*Source)(nil)

// NewClient returns a client for many reads from one API: TLS 1.2 or newer, HTTP/2,
// connections that are reused, a time limit for each step up to the first byte.
func NewClient() *http.Client {
	dialer := net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Client{Transport: &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            punctual.Dial(dialer.DialContext, 5*time.Second),
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    5 * time.Second,
		ResponseHeaderTimeout:  DefaultIdle,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
		MaxIdleConns:           64,
		MaxIdleConnsPerHost:    64,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}}
}

// New checks o and returns a Source. Errors are of CodeConfig. It does not
// connect.
func New(o Options) (*Source, error) {
	u, err := readURL(o.URL)
	if err != nil {
		return nil, &hotreader.Error{Op: "remote reader URL", Code: hotreader.CodeConfig, Err: err}
	}
	if o.Credential == nil {
		return nil, &hotreader.Error{Op: "remote reader", Code: hotreader.CodeConfig, Err: errors.New("there is no inter-cloud token")}
	}
	if o.Client == nil {
		o.Client = NewClient()
	}
	o.UserAgent = cmp.Or(o.UserAgent, "hotreader")
	o.Layer = cmp.Or(o.Layer, wire.TargetLayer)
	o.Idle = cmp.Or(max(o.Idle, 0), DefaultIdle)
	r := &Source{o: o, url: u.String(), op: "remote: read from " + u.String(), http: *o.Client,
		room: min(maxShared, debug.SetMemoryLimit(-1)/4), parsed: make(chan struct{}, maxParsed)}
	r.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return r, nil
}

// readURL returns the address of the read route of the API at text.
func readURL(text string) (*url.URL, error) {
	text = strings.TrimSpace(text)
	if wrong := route.CheckURL(text); wrong != "" {
		return nil, errors.New("it " + wrong)
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("it is not a URL") // err would quote it, and it may contain a password
	}
	if u.Path = strings.TrimRight(u.Path, "/"); !strings.HasSuffix(u.Path, "/read") {
		u.Path += "/read"
	}
	u.RawPath = ""
	return u, nil
}

// Scan implements hotreader.Source. The values of a row stream are as stored, except
// latest values: the peer converts those to their types, to find usable ones. A JSON
// peer converts all values. The peer's errors keep their code; others are:
//
//   - CodeUnavailable: not reached, reset, broken off, stalled; 408, 5xx.
//   - CodeCorrupt: the answer is damaged.
//   - CodeProtocol: the answer is not what was asked for.
//   - CodeConfig: the certificate is not valid, the host has no address, or the
//     answer is a redirect, which is not followed.
//   - CodeUnauthenticated: the peer rejected the token, also after it was fetched
//     again.
//
// Failures inside the peer that its code calls permanent (internal, deadline, canceled,
// protocol, config) may pass as seen from here: they become CodeUnavailable, which
// wraps the peer's code.
func (r *Source) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		x := &exchange{r: r, ctx: ctx, stats: hotreader.StatsOf(ctx), yield: yield}
		if err := x.read(q); err != nil && err != errStopped {
			yield(hotreader.Row{}, err)
		}
	}
}

// exchange is one Scan.
type exchange struct {
	r     *Source
	ctx   context.Context
	stats *hotreader.Stats
	yield func(hotreader.Row, error) bool

	traceID   string
	sent      *http.Request // the last request
	refreshed bool          // the credential was asked for a newer token
}

func (x *exchange) read(q hotreader.Query) error {
	x.traceID = x.r.traceID(x.ctx)
	for more := true; more; {
		var err error
		if q, more, err = x.readOnce(q); err != nil {
			return err
		}
	}
	return nil
}

// errStopped ends a read whose caller needs no more rows.
var errStopped = errors.New("stopped")

// give yields a row.
func (x *exchange) give(row hotreader.Row) error {
	if !x.yield(row, nil) {
		return errStopped
	}
	return nil
}

// warn takes over the peer's warnings, which may echo the token as its errors may.
func (x *exchange) warn(warnings []hotreader.Warning) {
	for _, w := range warnings {
		w.Reason, w.Detail = hotreader.Reason(identity.Hide(x.sent, string(w.Reason))), identity.Hide(x.sent, w.Detail)
		x.stats.Warn(w)
	}
}

func (x *exchange) giveAll(rows []hotreader.Row) error {
	for _, row := range rows {
		if err := x.give(row); err != nil {
			return err
		}
	}
	return nil
}

func (r *Source) traceID(ctx context.Context) string {
	if r.o.TraceID != nil {
		if id := r.o.TraceID(ctx); id != "" {
			return id
		}
	}
	return randomHex(16)
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// readOnce sends one request for q and yields its rows. more = the peer's budgets cut
// the answer short, and rest is the query for what is missing.
func (x *exchange) readOnce(q hotreader.Query) (rest hotreader.Query, more bool, err error) {
	a, err := x.post(x.envelope(q), wire.Accepted+", application/json;q=0.5")
	if err != nil {
		return q, false, err
	}
	defer a.close()
	if a.media == wire.MediaType {
		return x.readStream(q, a)
	}
	return q, false, x.readJSON(q, a)
}

// envelope returns the request for q.
func (x *exchange) envelope(q hotreader.Query) *wire.Envelope {
	e := wire.NewEnvelope(q, x.r.o.SourceCloud, x.traceID)
	e.TargetLayer = x.r.o.Layer
	return e
}

// readStream yields the rows of a row stream.
func (x *exchange) readStream(q hotreader.Query, a *answer) (rest hotreader.Query, more bool, err error) {
	d := wire.NewDecoder(a, q)
	defer d.Close()
	var last time.Time
	var latest []hotreader.Row // held back until the end mark, since the caller stops at its last value
	n, held, given := 0, 0, false
	for {
		row, err := d.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return q, false, x.decodeError(err, a, d.Failed())
		}
		if err := x.ctx.Err(); err != nil {
			return q, false, x.fail(hotreader.CodeOf(err), err)
		}
		if !q.Contains(row.Time) {
			return q, false, x.fail(hotreader.CodeProtocol, fmt.Errorf("a row of %s came, which is outside of the range that was asked for", row.Time.Format(time.RFC3339Nano)))
		}
		n++
		last = row.Time
		given = given || slices.ContainsFunc(row.Values[:len(q.Properties)], func(v hotreader.Value) bool { return !v.IsNull() })
		if q.Last {
			for _, v := range row.Values {
				held += len(v.Text())
			}
			if latest = append(latest, row.Clone()); len(latest) > len(q.Properties) {
				return q, false, x.fail(hotreader.CodeProtocol, errors.New("the peer sends more latest values than there are properties"))
			}
			if held > maxHeld {
				return q, false, x.fail(hotreader.CodeTooLarge, fmt.Errorf("the latest values have more than %d bytes; ask for fewer properties", maxHeld))
			}
		} else if err := x.give(row); err != nil {
			if n == q.Limit {
				_, _ = d.Read() // reading the end mark, too, lets the connection be reused
			}
			return q, false, err
		}
	}
	x.warn(d.Warnings())
	switch {
	case n > 0 && !given:
		return q, false, x.fail(hotreader.CodeProtocol, errors.New("the rows that came have no value of what was asked for"))
	case d.More() && (q.Last || n == 0):
		return q, false, x.fail(hotreader.CodeProtocol, errors.New("the peer says there is more, but sent nothing to go on from"))
	case q.Last:
		return q, false, x.giveAll(latest)
	case !d.More() && (q.Limit == 0 || n < q.Limit):
		return q, false, nil
	}
	rest, more = q.Behind(last)
	return rest, more, nil
}

// leastAttempt is the least time in which another attempt is worth making.
const leastAttempt = time.Second

// idleLimit returns how long this attempt waits for the next bytes: at most half of
// the caller's remaining time, so that after a peer that hangs there is time for
// another attempt. If half is too little for one, this attempt gets all of it.
func (x *exchange) idleLimit() time.Duration {
	if at, ok := x.ctx.Deadline(); ok {
		if half := time.Until(at) / 2; half >= leastAttempt {
			return min(x.r.o.Idle, half)
		}
	}
	return x.r.o.Idle
}

// answer is the body of an answer. It counts bytes, keeps its error, and gives up
// when nothing comes for limit.
type answer struct {
	status int
	media  string
	header http.Header
	body   io.ReadCloser
	cancel context.CancelCauseFunc
	ctx    context.Context
	idle   *time.Timer
	limit  time.Duration
	stats  *hotreader.Stats
	err    error // the last one other than io.EOF
}

func (a *answer) Read(p []byte) (int, error) {
	a.idle.Reset(a.limit)
	n, err := a.body.Read(p)
	a.idle.Stop()
	a.stats.Bytes.Add(int64(n))
	if err != nil && err != io.EOF {
		a.err = err
	}
	return n, err
}

func (a *answer) close() {
	a.idle.Stop()
	a.cancel(nil)
	_ = a.body.Close() // all that matters has been read
}

var errIdle = errors.New("nothing came for too long")

// post sends e and returns a 200 answer of a known type.
func (x *exchange) post(e *wire.Envelope, accept string) (*answer, error) {
	return x.ask(func(ctx context.Context) (*http.Request, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, x.r.url, bytes.NewReader(e.Append(nil)))
		if err == nil {
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Accept", accept)
		}
		return req, err
	})
}

// ask sends the request that request makes and returns a 200 answer of a known type. If
// the peer rejects the token and the credential has a newer one, it sends it once more.
func (x *exchange) ask(request func(context.Context) (*http.Request, error)) (*answer, error) {
	for {
		a, status, err := x.try(request)
		if err == nil || status != http.StatusUnauthorized || x.refreshed {
			return a, err
		}
		x.refreshed = true
		renewed, ferr := x.r.o.Credential.Refused(x.ctx, x.sent)
		switch {
		case renewed:
		case ferr != nil && x.ctx.Err() != nil:
			return nil, ferr
		case ferr != nil:
			return nil, x.fail(hotreader.CodeUnauthenticated, fmt.Errorf("%w; and the token cannot be fetched anew: %w", err, ferr))
		default:
			return nil, err
		}
	}
}

func (x *exchange) try(request func(context.Context) (*http.Request, error)) (_ *answer, status int, err error) {
	ctx, cancel := context.WithCancelCause(punctual.Attempt(x.ctx))
	req, err := request(ctx)
	if err != nil {
		cancel(nil)
		return nil, 0, x.fail(hotreader.CodeConfig, err)
	}
	req.Header.Set("User-Agent", x.r.o.UserAgent)
	if err := x.r.o.Credential.Apply(req); err != nil {
		cancel(nil)
		return nil, 0, x.fail(hotreader.CodeOf(err), err)
	}
	x.sent = req
	// A read may be repeated. This empty header, which is not sent, says so to net/http:
	// it then replaces a kept connection that has died, as after a function was frozen,
	// without a failure.
	req.Header["Idempotency-Key"] = []string{}
	if len(x.traceID) == 32 {
		req.Header.Set("Traceparent", "00-"+x.traceID+"-"+randomHex(8)+"-01")
	}
	a := &answer{cancel: cancel, ctx: ctx, limit: x.idleLimit(), stats: x.stats}
	a.idle = time.AfterFunc(a.limit, func() { cancel(errIdle) })
	x.stats.Attempts.Add(1)
	x.stats.Reads.Add(1)
	resp, err := x.r.http.Do(req)
	a.idle.Stop()
	if err != nil {
		err = x.transport(err, a)
		cancel(nil)
		return nil, 0, err
	}
	a.status, a.body, a.header = resp.StatusCode, resp.Body, resp.Header
	if err := x.checkAnswer(resp, a); err != nil {
		a.close()
		return nil, resp.StatusCode, err
	}
	if age, err := strconv.Atoi(resp.Header.Get("Age")); err == nil && age >= 0 && age < 1<<31 { // the peer has a cache
		x.stats.Aged(time.Duration(age+1) * time.Second) // its seconds are whole ones
	}
	return a, resp.StatusCode, nil
}
