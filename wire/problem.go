package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"hotreader"
)

// ProblemType is the media type of an error answer, RFC 9457.
const ProblemType = "application/problem+json"

// maxDetail bounds a problem's detail, in bytes: one of ours, and a peer's.
const maxDetail = 1000

// Problem is an error answer.
type Problem struct {
	Status     int            // HTTP status
	Code       hotreader.Code // stable; the same error at both ends
	Title      string         // what the code means; fixed for each code
	Detail     string         // what is wrong and what to do; nothing internal
	TraceID    string         // leads to the cause in the log
	RetryAfter time.Duration  // sent as the Retry-After header; zero = none
}

// fault is how a code appears over HTTP.
type fault struct {
	code   hotreader.Code
	status int
	title  string
	open   bool // the detail shows the caller the cause
}

var faults = [...]fault{
	{hotreader.CodeInvalid, http.StatusBadRequest, "The request is not valid.", true},
	{hotreader.CodeUnauthenticated, http.StatusUnauthorized, "The token is missing or wrong.", false},
	{hotreader.CodeForbidden, http.StatusForbidden, "The token does not allow this.", false},
	{hotreader.CodeNotFound, http.StatusNotFound, "There is nothing here to read from.", false},
	{hotreader.CodeTooLarge, http.StatusRequestEntityTooLarge, "This is more than fits. Ask for less.", true},
	{hotreader.CodeThrottled, http.StatusTooManyRequests, "Too many requests. Try again later.", false},
	{hotreader.CodeOverloaded, http.StatusServiceUnavailable, "No capacity just now. Try again later.", false},
	{hotreader.CodeUnavailable, http.StatusBadGateway, "The store is not reached. Try again.", false},
	{hotreader.CodeDeadline, http.StatusGatewayTimeout, "The time for the query is used up. Ask for less.", false},
	{hotreader.CodeCanceled, http.StatusServiceUnavailable, "The query was broken off.", false},
	{hotreader.CodeStore, http.StatusBadGateway, "The store failed. Try again.", false},
	{hotreader.CodeCorrupt, http.StatusBadGateway, "Stored or transferred data is damaged.", false},
	{hotreader.CodeUnreadable, http.StatusUnprocessableEntity, "Items are there, but cannot be read as configured.", true},
	{hotreader.CodeNotRestored, http.StatusConflict, "Archived objects must be restored first.", true},
	{hotreader.CodeProtocol, http.StatusBadGateway, "The store answered something unexpected.", false},
	{hotreader.CodeConfig, http.StatusInternalServerError, "The reader is set up wrongly.", false},
	{hotreader.CodeInternal, http.StatusInternalServerError, "The reader failed.", false},
}

// StatusOf returns the HTTP status of code; 500 for an unknown one.
func StatusOf(code hotreader.Code) int {
	return faultOf(code).status
}

// faultOf returns the fault of code; that of CodeInternal for an unknown one.
func faultOf(code hotreader.Code) fault {
	for _, f := range faults {
		if f.code == code {
			return f
		}
	}
	return faults[len(faults)-1]
}

// CodeOfStatus returns the code for a status other than 2xx, for answers without a
// code: the peer is not ours, or something in between answered. The code is temporary
// if MayHeal(status).
func CodeOfStatus(status int) hotreader.Code {
	switch status {
	case http.StatusUnauthorized:
		return hotreader.CodeUnauthenticated
	case http.StatusForbidden:
		return hotreader.CodeForbidden
	case http.StatusNotFound, http.StatusGone:
		return hotreader.CodeNotFound
	case http.StatusConflict:
		return hotreader.CodeNotRestored
	case http.StatusRequestEntityTooLarge:
		return hotreader.CodeTooLarge
	case http.StatusUnprocessableEntity:
		return hotreader.CodeUnreadable
	case http.StatusTooManyRequests:
		return hotreader.CodeThrottled
	case http.StatusServiceUnavailable:
		return hotreader.CodeOverloaded
	case http.StatusRequestTimeout:
		return hotreader.CodeUnavailable
	}
	switch {
	case status >= 500 && status <= 599:
		return hotreader.CodeUnavailable
	case status >= 400 && status <= 499:
		return hotreader.CodeInvalid
	}
	return hotreader.CodeProtocol
}

// MayHeal reports whether a request that got status may succeed if it is sent again:
// 408, 429 and 5xx. Any other 4xx rejects the request itself.
func MayHeal(status int) bool {
	return status == http.StatusRequestTimeout || status == http.StatusTooManyRequests || status >= 500 && status <= 599
}

// NewProblem returns the problem for err. It describes only causes that the caller can
// change. For others it has the code, and the trace id by which the operator finds the
// cause.
func NewProblem(err error, traceID string) *Problem {
	f := faultOf(hotreader.CodeOf(err))
	p := &Problem{Status: f.status, Code: f.code, Title: f.title, TraceID: traceID}
	if e, ok := errors.AsType[*hotreader.Error](err); ok {
		p.RetryAfter = e.RetryAfter
		if f.open && e.Err != nil {
			p.Detail = clip(e.Err.Error(), maxDetail)
		}
	}
	if p.Detail == "" && p.Status >= 500 && traceID != "" {
		p.Detail = "The operator finds the cause under trace id " + traceID + "."
	}
	return p
}

// clip cuts s to n bytes at most, at a character, and makes it valid UTF-8
// without control characters.
func clip(s string, n int) string {
	if len(s) > n {
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

type problemJSON struct {
	Type    string `json:"type"`
	Title   string `json:"title"`
	Status  int    `json:"status"`
	Detail  string `json:"detail,omitempty"`
	Code    string `json:"code"`
	TraceID string `json:"trace_id,omitempty"`
}

// Append appends p as JSON.
func (p *Problem) Append(dst []byte) []byte {
	b, _ := json.Marshal(problemJSON{"about:blank", p.Title, p.Status, p.Detail, string(p.Code), p.TraceID}) // strings and a number always can be
	return append(dst, b...)
}

// Write answers a request with p.
func (p *Problem) Write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", ProblemType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Del("Content-Encoding")
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((p.RetryAfter+time.Second-1)/time.Second), 10))
	}
	body := p.Append(nil)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // fails only if the caller is gone
}

// ParseProblem reads an answer of a status other than 2xx. If body is not a problem,
// or is cut, the status alone determines the code.
func ParseProblem(status int, header http.Header, body []byte) *Problem {
	p := &Problem{Status: status, Code: CodeOfStatus(status), RetryAfter: ParseRetryAfter(header, time.Now())}
	var j problemJSON
	media, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	if (media == ProblemType || media == "application/json") && json.Unmarshal(body, &j) == nil {
		if slices.Contains(hotreader.Codes(), hotreader.Code(j.Code)) {
			p.Code = hotreader.Code(j.Code)
		}
		p.Title, p.Detail, p.TraceID = clip(j.Title, maxDetail), clip(j.Detail, maxDetail), clip(j.TraceID, maxTraceID)
	}
	return p
}

// Err returns p as an error of the operation op.
func (p *Problem) Err(op string) *hotreader.Error {
	// The title says what failed, the detail why; a foreign peer may omit either.
	text := strings.TrimSpace(p.Title + " " + p.Detail)
	if text == "" {
		text = http.StatusText(p.Status)
	}
	if text == "" {
		text = string(p.Code)
	}
	err := fmt.Errorf("status %d, %s: %s", p.Status, string(p.Code), text)
	if p.TraceID != "" && !strings.Contains(text, p.TraceID) {
		err = fmt.Errorf("status %d, %s: %s (trace id %s)", p.Status, string(p.Code), text, p.TraceID)
	}
	return &hotreader.Error{Op: op, Code: p.Code, Err: err, RetryAfter: p.RetryAfter}
}

// maxRetryAfter bounds a peer's Retry-After, so that nonsense does not overflow.
const maxRetryAfter = 24 * time.Hour

// ParseRetryAfter reads the Retry-After header: seconds, or a date. A date is compared
// with the Date header if there is one, since clocks differ, else with now. The result
// is zero if the header is missing, past or nonsense, and a day at most.
func ParseRetryAfter(header http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(header.Get("Retry-After"))
	if text == "" {
		return 0
	}
	if strings.Trim(text, "0123456789.") == "" { // no sign, no Inf, no hexadecimal
		seconds, _ := strconv.ParseFloat(text, 64) // nonsense gives 0, a number beyond float64 infinity
		return time.Duration(math.Min(seconds, maxRetryAfter.Seconds()) * float64(time.Second))
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		now = date
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}
