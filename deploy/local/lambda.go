package local

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Lambda's own limits.
const (
	maxEvent        = 6_291_556 // bytes of an event, and of an answer
	functionTimeout = 30 * time.Second
)

// lambdaHost plays AWS Lambda: it is invoked as Lambda is, and its functions
// fetch their events from the Runtime API, one at a time, each at an address of
// its own.
//
//	https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
//	https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
//
// A function has one instance. One that ends is not started again, so that what
// ended it can be seen.
type lambdaHost struct {
	functions map[string]*function
}

// function is one function and its instance.
type function struct {
	name, arn string
	child     *child // set before the first event
	events    chan *invocation
	ready     chan struct{} // closed at the first poll
	once      sync.Once

	mu      sync.Mutex
	calls   map[string]*invocation // that the function has and has not answered
	initial []byte                 // what it reported instead of starting
}

// invocation is one event and its answer.
type invocation struct {
	id       string
	event    []byte
	deadline time.Time
	answer   chan outcome // holds one
}

// outcome is a function's answer, or its error.
type outcome struct {
	payload []byte
	failed  bool
}

func newFunction(name, region string) *function {
	return &function{name: name, arn: "arn:aws:lambda:" + region + ":000000000000:function:" + name,
		events: make(chan *invocation), ready: make(chan struct{}), calls: map[string]*invocation{}}
}

// runtimeAPI is what the function's program speaks to.
func (f *function) runtimeAPI() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", f.next)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", func(w http.ResponseWriter, r *http.Request) { f.answered(w, r, false) })
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", func(w http.ResponseWriter, r *http.Request) { f.answered(w, r, true) })
	mux.HandleFunc("POST /2018-06-01/runtime/init/error", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(io.LimitReader(r.Body, maxEvent)) // part of a report is one, too
		f.mu.Lock()
		f.initial = body
		f.mu.Unlock()
		w.WriteHeader(http.StatusAccepted)
	})
	return mux
}

func (f *function) next(w http.ResponseWriter, r *http.Request) {
	f.once.Do(func() { close(f.ready) })
	select {
	case i := <-f.events:
		f.mu.Lock()
		f.calls[i.id] = i
		f.mu.Unlock()
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Lambda-Runtime-Aws-Request-Id", i.id)
		h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(i.deadline.UnixMilli(), 10))
		h.Set("Lambda-Runtime-Invoked-Function-Arn", f.arn)
		_, _ = w.Write(i.event) // an instance that is gone is noticed by its end
	case <-r.Context().Done():
	}
}

func (f *function) answered(w http.ResponseWriter, r *http.Request, failed bool) {
	id := r.PathValue("id")
	f.mu.Lock()
	i := f.calls[id]
	delete(f.calls, id)
	f.mu.Unlock()
	if i == nil {
		answerJSON(w, http.StatusBadRequest, map[string]string{"errorType": "InvalidRequestID", "errorMessage": "there is no such invocation, or its time is up"})
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxEvent+1))
	switch {
	case err != nil:
		body, failed = lambdaError("Runtime.TruncatedResponse", "the answer broke off"), true
	case len(body) > maxEvent:
		body, failed = lambdaError("Function.ResponseSizeTooLarge", fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", maxEvent)), true
	}
	i.answer <- outcome{body, failed}
	w.WriteHeader(http.StatusAccepted)
}

func lambdaError(kind, message string) []byte {
	b, _ := json.Marshal(map[string]string{"errorType": kind, "errorMessage": message}) // texts always can be
	return b
}

// started waits for the function's first poll.
func (f *function) started(ctx context.Context) error {
	select {
	case <-f.ready:
		return nil
	default:
		return errors.New("it has not asked for an event yet")
	}
}

// invoke hands the function an event and waits for what comes of it. The error
// is ctx's; every other failure is an outcome, as Lambda has it.
func (f *function) invoke(ctx context.Context, event []byte) (outcome, string, error) {
	i := &invocation{id: newID(), event: event, deadline: time.Now().Add(functionTimeout), answer: make(chan outcome, 1)}
	if at, ok := ctx.Deadline(); ok && at.Before(i.deadline) {
		i.deadline = at
	}
	timer := time.NewTimer(functionTimeout)
	defer timer.Stop()
	events := f.events
	for {
		select {
		case events <- i:
			events = nil // it has it
		case o := <-i.answer:
			return o, i.id, nil
		case <-f.child.exited:
			select {
			case o := <-i.answer: // its last words
				return o, i.id, nil
			default:
			}
			return outcome{f.gone(i.id), true}, i.id, nil
		case <-timer.C:
			return outcome{lambdaError("Sandbox.Timedout", fmt.Sprintf("RequestId: %s Error: Task timed out after %.2f seconds", i.id, functionTimeout.Seconds())), true}, i.id, nil
		case <-ctx.Done():
			return outcome{}, i.id, ctx.Err()
		}
	}
}

// gone is the error of a function whose instance has ended.
func (f *function) gone(id string) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.initial != nil {
		return f.initial
	}
	how := "exited without providing a reason"
	if f.child.err != nil {
		how = "exited with error: " + f.child.err.Error()
	}
	return lambdaError("Runtime.ExitError", fmt.Sprintf("RequestId: %s Error: Runtime %s", id, how))
}

// newID returns an id of the form of a UUID, as request ids are.
func newID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// ServeHTTP implements the Invoke API.
func (h *lambdaHost) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fail := func(status int, kind, message string) {
		w.Header().Set("X-Amzn-Errortype", kind)
		answerJSON(w, status, map[string]string{"Type": "User", "Message": message})
	}
	if !sameMachine(r) {
		fail(http.StatusForbidden, "AccessDeniedException", "This is for programs on this machine, not for web pages.")
		return
	}
	const before, after = "/2015-03-31/functions/", "/invocations"
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), before)
	if ok {
		path, ok = strings.CutSuffix(path, after)
	}
	name, err := url.PathUnescape(path)
	if !ok || err != nil || r.Method != http.MethodPost {
		fail(http.StatusNotFound, "UnknownOperationException", "There is only POST "+before+"NAME"+after+" here.")
		return
	}
	if parts := strings.Split(name, ":"); len(parts) >= 7 && parts[0] == "arn" { // an ARN is a name, too
		name = strings.Join(parts[6:], ":")
	}
	f := h.functions[name]
	if f == nil {
		fail(http.StatusNotFound, "ResourceNotFoundException", "Function not found: "+name)
		return
	}
	event, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEvent))
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		fail(http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException", fmt.Sprintf("%d byte payload is too large.", tooLarge.Limit))
		return
	}
	switch {
	case err != nil:
		return // the caller is gone
	case len(event) == 0:
		event = []byte("{}")
	case !json.Valid(event):
		fail(http.StatusBadRequest, "InvalidRequestContentException", "Could not parse request body into json")
		return
	}
	switch kind := r.Header.Get("X-Amz-Invocation-Type"); kind {
	case "", "RequestResponse":
	case "DryRun":
		w.WriteHeader(http.StatusNoContent)
		return
	default:
		fail(http.StatusBadRequest, "InvalidParameterValueException", kind+" is not supported here; use RequestResponse.")
		return
	}
	o, id, err := f.invoke(r.Context(), event)
	if err != nil {
		return // the caller is gone
	}
	w.Header().Set("X-Amzn-Requestid", id)
	w.Header().Set("X-Amz-Executed-Version", "$LATEST")
	w.Header().Set("Content-Type", "application/json")
	if o.failed {
		w.Header().Set("X-Amz-Function-Error", "Unhandled")
	}
	_, _ = w.Write(o.payload) // the caller may be gone
}

// sameMachine reports whether a request was made by a program on this machine
// and not by a web page in its browser: who can open a page here can make
// requests to any address, and what Lambda asks for, a signature, is not checked.
func sameMachine(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	ip := net.ParseIP(host)
	return r.Header.Get("Origin") == "" && r.Header.Get("Sec-Fetch-Site") == "" && (host == "localhost" || ip != nil && ip.IsLoopback())
}

func answerJSON(w http.ResponseWriter, status int, v any) {
	b, _ := json.Marshal(v) // maps of texts always can be
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b) // the caller may be gone
}
