// Package played plays what the clouds put before a program: AWS Lambda and API
// Gateway, and the Azure Functions host. The local target runs the functions
// called by it, and so do the tests.
package played

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

// maxEvent is Lambda's limit for an event, and for an answer, in bytes.
const maxEvent = 6_291_556

// Function is a Lambda function with one instance, whose program fetches its
// events from RuntimeAPI, one at a time. An instance that ends is not started
// again, so that what ended it can be seen.
//
//	https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
type Function struct {
	Name, Region string

	// Trace is Lambda's trace header of each event; "" = none.
	Trace string

	// Timeout is how long it may take to answer an event.
	Timeout time.Duration

	// NewID gives each event its id.
	NewID func() string

	events  chan *invocation
	polled  chan struct{} // closed at the first poll
	poll    sync.Once
	exited  chan struct{}
	exitErr error // set before exited is closed

	mu      sync.Mutex
	calls   map[string]*invocation // that the function has and has not answered
	initial []byte                 // what it reported instead of starting
}

// invocation is one event and its answer.
type invocation struct {
	id       string
	event    []byte
	deadline time.Time
	answer   chan Answer // holds one
}

// Answer is what came of an event.
type Answer struct {
	ID      string
	Payload []byte
	Failed  bool // Payload is an error: the function's or, if Platform says so, Lambda's

	// Platform says that the function did not answer, as it has exited or its time
	// is up.
	Platform bool
}

// Failure is the payload of an Answer that failed.
type Failure struct {
	Type    string `json:"errorType"`
	Message string `json:"errorMessage"`
}

// Error returns the type and the message.
func (f *Failure) Error() string { return f.Type + ": " + f.Message }

func failure(id, kind, format string, args ...any) Answer {
	b, _ := json.Marshal(Failure{kind, fmt.Sprintf(format, args...)}) // texts always can be
	return Answer{ID: id, Payload: b, Failed: true}
}

// NewFunction returns a function whose program is still to be started.
func NewFunction(name, region string) *Function {
	return &Function{Name: name, Region: region, Timeout: 30 * time.Second, NewID: newID,
		events: make(chan *invocation), polled: make(chan struct{}), exited: make(chan struct{}), calls: map[string]*invocation{}}
}

// newID returns an id of the form of a UUID, as request ids are.
func newID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Env is the environment that Lambda gives the program, which finds RuntimeAPI at
// address.
func (f *Function) Env(handler, address string) map[string]string {
	return map[string]string{
		"_HANDLER": handler, "AWS_LAMBDA_RUNTIME_API": address, "AWS_LAMBDA_FUNCTION_NAME": f.Name,
		"AWS_LAMBDA_FUNCTION_VERSION": "$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
		"AWS_REGION": f.Region, "AWS_DEFAULT_REGION": f.Region, "TZ": ":UTC",
		"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local",
	}
}

// RuntimeAPI is what the function's program speaks to.
func (f *Function) RuntimeAPI() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", f.next)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/{how}", f.answered)
	mux.HandleFunc("POST /2018-06-01/runtime/init/error", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(io.LimitReader(r.Body, maxEvent)) // part of a report is one, too
		f.mu.Lock()
		f.initial = body
		f.mu.Unlock()
		w.WriteHeader(http.StatusAccepted)
	})
	return mux
}

func (f *Function) next(w http.ResponseWriter, r *http.Request) {
	f.poll.Do(func() { close(f.polled) })
	select {
	case i := <-f.events:
		f.mu.Lock()
		f.calls[i.id] = i
		f.mu.Unlock()
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Lambda-Runtime-Aws-Request-Id", i.id)
		h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(i.deadline.UnixMilli(), 10))
		h.Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:"+f.Region+":000000000000:function:"+f.Name)
		if f.Trace != "" {
			h.Set("Lambda-Runtime-Trace-Id", f.Trace)
		}
		_, _ = w.Write(i.event) // an instance that is gone is noticed by its end
	case <-r.Context().Done():
	}
}

func (f *Function) answered(w http.ResponseWriter, r *http.Request) {
	id, how := r.PathValue("id"), r.PathValue("how")
	f.mu.Lock()
	i := f.calls[id]
	delete(f.calls, id)
	f.mu.Unlock()
	if i == nil || how != "response" && how != "error" {
		answerJSON(w, http.StatusBadRequest, Failure{"InvalidRequestID", "there is no such invocation, or its time is up"})
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxEvent+1))
	answer := Answer{ID: id, Payload: body, Failed: how == "error"}
	switch {
	case err != nil:
		answer = failure(id, "Runtime.TruncatedResponse", "the answer broke off")
	case len(body) > maxEvent:
		answer = failure(id, "Function.ResponseSizeTooLarge", "Response payload size exceeded maximum allowed payload size (%d bytes).", maxEvent)
	}
	i.answer <- answer
	w.WriteHeader(http.StatusAccepted)
}

// Polled is closed when the function has asked for its first event.
func (f *Function) Polled() <-chan struct{} { return f.polled }

// Exit says that the function's program has ended, with err if it has failed.
func (f *Function) Exit(err error) {
	f.exitErr = err
	close(f.exited)
}

// Initial is what the program has reported instead of starting; nil = nothing.
func (f *Function) Initial() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.initial
}

// Invoke hands the function an event and waits for what comes of it. The error
// is ctx's; every other failure is an Answer, as Lambda has it.
func (f *Function) Invoke(ctx context.Context, event []byte) (Answer, error) {
	i := &invocation{id: f.NewID(), event: event, deadline: time.Now().Add(f.Timeout), answer: make(chan Answer, 1)}
	if at, ok := ctx.Deadline(); ok && at.Before(i.deadline) {
		i.deadline = at
	}
	timer := time.NewTimer(f.Timeout)
	defer timer.Stop()
	events := f.events
	for {
		select {
		case events <- i:
			events = nil // it has it
		case a := <-i.answer:
			return a, nil
		case <-f.exited:
			select {
			case a := <-i.answer: // its last words
				return a, nil
			default:
			}
			return f.gone(i.id), nil
		case <-timer.C:
			a := failure(i.id, "Sandbox.Timedout", "RequestId: %s Error: Task timed out after %.2f seconds", i.id, f.Timeout.Seconds())
			a.Platform = true
			return a, nil
		case <-ctx.Done():
			return Answer{ID: i.id}, ctx.Err()
		}
	}
}

// gone is the answer of a function whose instance has ended.
func (f *Function) gone(id string) Answer {
	how := "exited without providing a reason"
	if f.exitErr != nil {
		how = "exited with error: " + f.exitErr.Error()
	}
	a := failure(id, "Runtime.ExitError", "RequestId: %s Error: Runtime %s", id, how)
	if initial := f.Initial(); initial != nil {
		a.Payload = initial
	}
	a.Platform = true
	return a
}

// Lambda plays the Invoke API, with its functions by name.
//
//	https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
type Lambda map[string]*Function

const beforeName, afterName = "/2015-03-31/functions/", "/invocations"

// InvokePath is where a function is invoked.
func InvokePath(name string) string { return beforeName + name + afterName }

// ServeHTTP implements the Invoke API.
func (l Lambda) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, event, refusal := l.asked(w, r)
	switch {
	case refusal != nil:
		w.Header().Set("X-Amzn-Errortype", refusal.kind)
		answerJSON(w, refusal.status, map[string]string{"Type": "User", "Message": refusal.message})
		return
	case f == nil: // the caller is gone
		return
	case r.Header.Get("X-Amz-Invocation-Type") == "DryRun":
		w.WriteHeader(http.StatusNoContent)
		return
	}
	a, err := f.Invoke(r.Context(), event)
	if err != nil {
		return // the caller is gone
	}
	w.Header().Set("X-Amzn-Requestid", a.ID)
	w.Header().Set("X-Amz-Executed-Version", "$LATEST")
	w.Header().Set("Content-Type", "application/json")
	if a.Failed {
		w.Header().Set("X-Amz-Function-Error", "Unhandled")
	}
	_, _ = w.Write(a.Payload) // the caller may be gone
}

// refusal is Lambda's own error.
type refusal struct {
	status        int
	kind, message string
}

// asked returns the function that a request invokes, and its event.
func (l Lambda) asked(w http.ResponseWriter, r *http.Request) (*Function, []byte, *refusal) {
	if !sameMachine(r) {
		return nil, nil, &refusal{http.StatusForbidden, "AccessDeniedException", "This is for programs on this machine, not for web pages."}
	}
	path, before := strings.CutPrefix(r.URL.EscapedPath(), beforeName)
	path, after := strings.CutSuffix(path, afterName)
	name, err := url.PathUnescape(path)
	if !before || !after || err != nil || r.Method != http.MethodPost {
		return nil, nil, &refusal{http.StatusNotFound, "UnknownOperationException", "There is only POST " + InvokePath("NAME") + " here."}
	}
	if parts := strings.Split(name, ":"); len(parts) >= 7 && parts[0] == "arn" { // an ARN is a name, too
		name = strings.Join(parts[6:], ":")
	}
	f := l[name]
	if f == nil {
		return nil, nil, &refusal{http.StatusNotFound, "ResourceNotFoundException", "Function not found: " + name}
	}
	event, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEvent))
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, nil, &refusal{http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException", fmt.Sprintf("%d byte payload is too large.", tooLarge.Limit)}
	}
	switch kind := r.Header.Get("X-Amz-Invocation-Type"); {
	case err != nil:
		return nil, nil, nil
	case len(event) > 0 && !json.Valid(event):
		return nil, nil, &refusal{http.StatusBadRequest, "InvalidRequestContentException", "Could not parse request body into json"}
	case kind != "" && kind != "RequestResponse" && kind != "DryRun":
		return nil, nil, &refusal{http.StatusBadRequest, "InvalidParameterValueException", kind + " is not supported here; use RequestResponse."}
	case len(event) == 0:
		event = []byte("{}")
	}
	return f, event, nil
}

// sameMachine reports whether a request was made by a program on this machine
// and not by a web page in its browser: a page that is open here can make
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
