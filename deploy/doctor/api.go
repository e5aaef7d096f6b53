package doctor

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
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
	"hotreader/internal/component"
	"hotreader/internal/punctual"
	"hotreader/wire"
)

// maxSkew is how far clocks may be apart: AWS rejects signatures beyond it.
const maxSkew = 5 * time.Minute

// reached asks for the API's description, and reports whether a Hot Reader API
// answers. /healthz would be shorter, but Cloud Run keeps addresses that end in
// z for itself: there only the platform's own probes see it.
func (e *examination) reached(ctx context.Context, part Part, cloud config.Cloud, base string) bool {
	c := Check{Part: part, Cloud: cloud, Name: "reached", Verdict: OK, Says: base}
	r, err := e.send(ctx, base, ask{http.MethodGet, "/openapi.json", "application/json", ""}, "")
	c.Took = r.took
	var description struct {
		OpenAPI string
		Info    struct{ Title string }
	}
	switch {
	case err != nil:
		c = c.fails(e.unreached(err, cloud))
		c.Says = base + ": " + c.Says
	case r.status == http.StatusOK && json.Unmarshal(r.body, &description) == nil && description.OpenAPI != "" && description.Info.Title == "Hot Reader API":
	case r.problem != nil || r.status >= 500:
		c = c.fails(base+": it does not work: "+r.describe(), e.foreign(r, cloud))
	default:
		c = c.fails(base+": what answers is no Hot Reader API: "+r.describe(), e.foreign(r, cloud))
	}
	if at, err := http.ParseTime(r.header.Get("Date")); err == nil && c.Verdict == OK {
		skew := e.in.Now().Sub(at)
		if part == API {
			e.apiBehind, e.apiDated = skew, true
		}
		if skew.Abs() > maxSkew {
			c = c.warns(fmt.Sprintf("its clock and this machine's are %s apart", skew.Abs().Round(time.Second)),
				"set this machine's clock: signatures and tokens depend on it")
		}
	}
	return e.add(c)
}

// closed checks that requests without the token are rejected, and reports whether a
// Hot Reader API answers.
func (e *examination) closed(ctx context.Context, part Part, cloud config.Cloud, base string, a ask) bool {
	c := Check{Part: part, Cloud: cloud, Name: "closed to strangers", Verdict: OK, Says: "401 without a token and with a wrong one"}
	wrong := make([]byte, 32)
	_, _ = rand.Read(wrong) // never fails
	for _, try := range [][2]string{{"without a token", ""}, {"with a wrong token", hex.EncodeToString(wrong)}} {
		how, token := try[0], try[1]
		r, err := e.send(ctx, base, a, token)
		c.Took += r.took
		switch {
		case err != nil:
			return e.add(c.fails(e.unreached(err, cloud)))
		case r.status == http.StatusUnauthorized && r.problem != nil:
		case r.status == http.StatusForbidden && r.problem != nil && token == "": // by a web ACL before it
			c.Says = "403 without a token, from the web ACL, and 401 with a wrong one"
		case r.ok() && e.speaks(r):
			return e.add(c.fails("it answers "+how+": everybody can read hot storage", "take it off the network now; then "+e.deployOnly(cloud)))
		case r.status == http.StatusTooManyRequests:
			return e.add(c.warns("it gets too many requests to find out", "try again in a minute"))
		default:
			return e.add(c.fails(fmt.Sprintf("%s it must answer 401, and it is no Hot Reader API that answers: %s", how, r.describe()), e.foreign(r, cloud)))
		}
	}
	return e.add(c)
}

// foreign is what to do about an answer that is not ours.
func (e *examination) foreign(r *reply, cloud config.Cloud) string {
	switch {
	case cloud == config.AWS && r.status >= 500 && (r.foreign().Message() != "" || r.problem != nil):
		return "API Gateway answers, its function fails: look at its log; " + e.deployOnly(cloud)
	case r.status < 500 && r.problem == nil && r.foreign().Means() != "":
		return r.foreign().Means() + ": " + e.deployOnly(cloud)
	case r.status >= 500:
		return "the platform answers, its program does not: look at its log; " + e.deployOnly(cloud)
	}
	return "the URL leads elsewhere, or a proxy is in between: " + e.deployOnly(cloud)
}

// speaks reports whether a 2xx answer is of a kind that ours are.
func (e *examination) speaks(r *reply) bool {
	_, err := e.found(r)
	return err == nil
}

// found returns the properties of which an answer holds values, in any of the shapes that
// ours have: rows, the items of the GET routes, or TwinMaker's.
func (e *examination) found(r *reply) (names []string, err error) {
	switch r.media {
	case wire.MediaType:
		d := wire.NewDecoder(bytes.NewReader(r.body), e.query())
		defer d.Close()
		for {
			row, err := d.Read()
			if errors.Is(err, io.EOF) {
				e.warnings(d.Warnings())
				return names, nil
			}
			if err != nil {
				return nil, err
			}
			for i := range row.Values {
				if !row.Values[i].IsNull() {
					names = append(names, e.in.Device.Properties[i])
				}
			}
		}
	case "application/json":
		var a struct {
			Items          *[]map[string]json.RawMessage
			PropertyValues json.RawMessage
			Warnings       []hotreader.Warning
		}
		if err := json.Unmarshal(r.body, &a); err == nil {
			e.warnings(a.Warnings)
			if a.Items != nil {
				return given(*a.Items), nil
			}
		}
		if names, ok := values(a.PropertyValues); ok {
			return names, nil
		}
	}
	return nil, errors.New("what answers is no Hot Reader API: " + r.describe())
}

// warnings keeps what an answer says of items that have none of the properties, and of
// values that are not of their type.
func (e *examination) warnings(all []hotreader.Warning) {
	e.misfits = nil
	for _, w := range all {
		switch w.Reason {
		case hotreader.UnknownProperty:
			e.instead = cmp.Or(e.instead, w.String())
		case hotreader.WrongType:
			e.misfits = append(e.misfits, "wrong_type: "+w.String())
		}
	}
}

// given names the values of items, beside their times.
func given(items []map[string]json.RawMessage) (names []string) {
	for _, item := range items {
		for name, value := range item {
			if name != "time" && string(value) != "null" {
				names = append(names, name)
			}
		}
	}
	return names
}

// values names the properties of which TwinMaker's answer has values, in either of its
// two shapes.
func values(raw json.RawMessage) (names []string, ok bool) {
	var last map[string]json.RawMessage
	if json.Unmarshal(raw, &last) == nil && last != nil {
		for name := range last {
			names = append(names, strings.TrimSuffix(name, component.LatestSuffix))
		}
		return names, true
	}
	var series []struct {
		EntityPropertyReference struct{ PropertyName string }
		Values                  []json.RawMessage
	}
	if json.Unmarshal(raw, &series) != nil || series == nil {
		return nil, false
	}
	for _, s := range series {
		if len(s.Values) > 0 {
			names = append(names, s.EntityPropertyReference.PropertyName)
		}
	}
	return names, true
}

// examineAPI examines the API in hot storage's cloud, and its hot storage.
func (e *examination) examineAPI(ctx context.Context, linked bool) {
	cloud := e.in.Topology.L3
	e.in.Asking(componentOf(API, cloud))
	at := e.url(cloud)
	if at == "" {
		e.add(Check{Part: API, Cloud: cloud, Name: "reached", Verdict: Skipped, Says: "its URL is not known"})
		return
	}
	a := e.read()
	if !e.reached(ctx, API, cloud, at) || !e.closed(ctx, API, cloud, at, a) {
		e.api = ill
		return
	}
	if !linked || !e.takesToken(cloud) {
		return
	}
	r, err := e.send(ctx, at, a, e.in.Link.Token.Current())
	e.api = e.answered(API, cloud, r, err)
	e.explain(ctx, at, (*examination).read)
	if e.api == refusing {
		e.refused = len(e.report.Checks) - 1
	}
	if e.in.Link.Previous != nil && e.api == sound {
		c := Check{Part: API, Cloud: cloud, Name: "takes the previous token", Verdict: OK}
		r, err := e.send(ctx, at, a, e.in.Link.Previous.Current())
		if c.Took = r.took; err != nil || r.status == http.StatusUnauthorized {
			c = c.warns("it does not: a reader that still has it is shut out", e.deployOnly(e.in.Topology.L4))
		}
		e.add(c)
	}
}

// read is the query of the device, as a reader sends it.
func (e *examination) read() ask {
	return ask{http.MethodPost, "/read", wire.MediaType + ", application/json;q=0.5",
		string(wire.NewEnvelope(e.query(), string(e.in.Topology.L4), "").Append(nil))}
}

// explain adds to a warning of properties without values what the newest items have
// instead. An answer that has values of others does not say so of what its catalogue lists.
func (e *examination) explain(ctx context.Context, at string, query func(*examination) ask) {
	last := &e.report.Checks[len(e.report.Checks)-1]
	if len(e.lacking) == 0 || last.Verdict != Warning {
		return
	}
	alone := *e
	alone.in.Device = Device{ID: e.in.Device.ID, Properties: e.lacking}
	if r, err := e.send(ctx, at, query(&alone), e.in.Link.Token.Current()); err == nil && r.ok() {
		if found, _ := alone.found(r); len(found) == 0 && alone.instead != "" {
			last.Says += "; " + alone.instead
		}
	}
}

// answered adds what an answer to the right token says of the URL (an API, or
// a reader with hot storage on its own cloud), and of its hot storage.
func (e *examination) answered(part Part, cloud config.Cloud, r *reply, err error) standing {
	door := Check{Part: part, Cloud: cloud, Name: "takes the token", Verdict: OK}
	behind := Check{Part: Store, Cloud: cloud, Name: "latest values of " + e.in.Device.ID, Verdict: OK, Took: r.took}
	var says, remedy string
	switch {
	case timedOut(err):
		e.add(behind.fails(e.stuck()))
		return storeless
	case err != nil:
		says, remedy = e.unreached(err, cloud)
	case r.ok():
		found, err := e.found(r)
		if err == nil {
			e.add(door)
			e.held = len(found)
			e.add(e.judged(behind, e.in.Device.Properties, found, e.empty))
			return sound
		}
		says, remedy = err.Error(), e.otherVersion(cloud)
	case r.problem == nil:
		says, remedy = r.describe(), e.foreign(r, cloud)
	default:
		return e.failed(door, behind, failure{r.problem.Code, r.describe(), r.problem.TraceID})
	}
	door.Took = r.took
	e.add(door.fails(says, remedy))
	return ill
}

// failure is what a door has answered with: its code, what it said, and the trace
// to look for in its log; "" = none.
type failure struct {
	code         hotreader.Code
	said, traced string
}

// log is where to look.
func (f failure) log(whose string) string {
	if f.traced == "" {
		return "look at " + whose + " log"
	}
	return "look at " + whose + " log for " + f.traced
}

func (e *examination) otherVersion(cloud config.Cloud) string {
	return "is it of another version? " + e.deployOnly(cloud)
}

// failed adds the checks of a door whose answer is f.
func (e *examination) failed(door, behind Check, f failure) standing {
	cloud, log := door.Cloud, f.log("the function's")
	switch f.code {
	case hotreader.CodeUnauthenticated:
		door.Took = behind.Took
		e.add(door.fails("it rejects the credentials file's token",
			"its secret holds another one: "+e.deployOnly(cloud)+" (after a rotation, wait five minutes first)"))
		return refusing
	case hotreader.CodeConfig, hotreader.CodeInternal, hotreader.CodeInvalid, hotreader.CodeTooLarge, hotreader.CodeCanceled:
		door.Name, door.Took = "answers", behind.Took
		if f.code == hotreader.CodeInvalid {
			log = e.otherVersion(cloud)
		}
		e.add(door.fails(f.said, log))
		return ill
	}
	if door.Name != "" {
		e.add(door)
	}
	if f.misfit() {
		e.add(e.mistyped(behind, f))
		return storeless
	}
	says, remedy := f.said, log
	switch f.code {
	case hotreader.CodeNotFound:
		if cloud == config.GCP {
			e.add(e.hollow(behind))
			return hollow
		}
		says = e.store() + " is not there"
		remedy = "it was removed or is named wrongly: look at config_hot_reader.json, then " + e.deployOnly(cloud)
	case hotreader.CodeForbidden:
		says = "the function is not allowed to query " + e.store()
		remedy = e.deployOnly(cloud) + " gives it the permission back"
	case hotreader.CodeStore: // an API says it, too, if the store rejects its identity
		remedy = log + "; if it names a permission, " + e.deployOnly(cloud) + " gives it back"
	case hotreader.CodeThrottled, hotreader.CodeOverloaded:
		remedy = "try again in a minute; if it stays so, give it more capacity"
	}
	e.add(behind.fails(says, remedy))
	return storeless
}

// hollow is the warning about a collection without a document: in Firestore it
// is the same as one that is not there, as a reader sees it.
func (e *examination) hollow(c Check) Check {
	if e.warned {
		c.Verdict, c.Says = OK, "no document"
		return c
	}
	e.warned = true
	return c.warns(e.store()+" holds no document yet, or there is no such collection",
		"right if no device has reported yet; else look at the names of the database and the collection in config_hot_reader.json, and at what writes to it")
}

// maxReply bounds what is read of an answer: latest values are far smaller.
const maxReply = 1 << 20

func client(given *http.Client) http.Client {
	c := http.Client{Transport: &http.Transport{
		Proxy:           http.ProxyFromEnvironment,
		DialContext:     punctual.Dial((&net.Dialer{Timeout: 10 * time.Second}).DialContext, 5*time.Second),
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
	req, err := http.NewRequestWithContext(punctual.Attempt(ctx), a.method, base+a.path, strings.NewReader(a.body))
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
	if r.problem != nil {
		return strings.TrimSpace(fmt.Sprintf("status %d, %s: %s %s", r.status, r.problem.Code, r.problem.Title, r.problem.Detail))
	}
	return r.foreign().String()
}

func (r *reply) foreign() wire.Foreign {
	return wire.Foreign{Status: r.status, Header: r.header, Body: r.body}
}

func clip(text string) string {
	if len(text) > 80 {
		text = text[:80]
	}
	return strings.ToValidUTF8(text, "?")
}

// timedOut reports whether err is that no answer came in time.
func timedOut(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return errors.Is(err, context.DeadlineExceeded) || ok && timeout.Timeout()
}

// stuck says that a query got no answer from what has just answered requests that need
// no hot storage.
func (e *examination) stuck() (says, remedy string) {
	return fmt.Sprintf("no answer within %s, from a function that answers at once where it does not ask %s: that hangs, or needs longer", e.in.Timeout, e.store()),
		"look at the state of " + e.store() + "; a longer --timeout shows whether it is slow or stuck"
}

// unreached says why a request found no answer, and what to do.
func (e *examination) unreached(err error, cloud config.Cloud) (says, remedy string) {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // another line has the address
	}
	dns, isDNS := errors.AsType[*net.DNSError](err)
	_, record := errors.AsType[tls.RecordHeaderError](err)
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
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
	case certificate:
		return "its certificate does not hold: " + err.Error(), "a proxy is in between, or the URL is wrong"
	case timedOut(err):
		return fmt.Sprintf("no answer within %s", e.in.Timeout), "look at the function's log and at the firewalls in between"
	case errors.Is(err, context.Canceled):
		return "the examination was broken off", ""
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET):
		return "the connection was made and broke off", "look at the function's log, and at proxies in between"
	}
	return err.Error(), "check the network of this machine and the URL"
}
