package hotreader

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"
)

// Code says what kind of failure an Error is. Codes cross the wire, so
// errors.Is(err, CodeThrottled) holds at both ends. A Code is itself an error
// for that purpose.
type Code string

// The codes, and what each asks of the caller.
const (
	CodeInvalid         Code = "invalid"         // the request is wrong; change it
	CodeUnauthenticated Code = "unauthenticated" // token missing or wrong
	CodeForbidden       Code = "forbidden"       // known, but not allowed to do this
	CodeNotFound        Code = "not_found"       // table, container, collection or route is not there
	CodeTooLarge        Code = "too_large"       // more bytes than the edge takes; ask for less
	CodeThrottled       Code = "throttled"       // too many requests; come back after RetryAfter
	CodeOverloaded      Code = "overloaded"      // no capacity just now; come back after RetryAfter
	CodeUnavailable     Code = "unavailable"     // not reached, or broken off; may heal
	CodeDeadline        Code = "deadline"        // the time for the query is used up
	CodeCanceled        Code = "canceled"        // the caller went away
	CodeStore           Code = "store"           // the store answered with a failure
	CodeCorrupt         Code = "corrupt"         // stored or transferred bytes are damaged
	CodeUnreadable      Code = "unreadable"      // items are there, but cannot be read as configured; the layout is wrong
	CodeNotRestored     Code = "not_restored"    // objects are archived; restore them first
	CodeProtocol        Code = "protocol"        // the peer answered something else than the protocol
	CodeConfig          Code = "config"          // environment or project folder is wrong
	CodeInternal        Code = "internal"        // a defect of ours
)

// Codes lists every code, for documents and checks.
func Codes() []Code {
	return []Code{CodeInvalid, CodeUnauthenticated, CodeForbidden, CodeNotFound, CodeTooLarge,
		CodeThrottled, CodeOverloaded, CodeUnavailable, CodeDeadline, CodeCanceled, CodeStore,
		CodeCorrupt, CodeUnreadable, CodeNotRestored, CodeProtocol, CodeConfig, CodeInternal}
}

// Error returns the code's text.
func (c Code) Error() string { return string(c) }

// Temporary reports whether the same request, sent again, may succeed.
func (c Code) Temporary() bool {
	switch c {
	case CodeThrottled, CodeOverloaded, CodeUnavailable, CodeStore, CodeCorrupt:
		return true
	}
	return false
}

// LayoutHelp says where it is set how items are laid out, for the errors of stores
// that are laid out otherwise.
const LayoutHelp = `set the layout: device_key, time_key, time_format and others in a store URL, as ?time_format=epoch_ms, "layout" in config_hot_reader.json, or HOTREADER_LAYOUT for a function; ` + InspectHelp

// InspectHelp is the next step where items are not laid out as configured.
const InspectHelp = "hotreader inspect --store … finds the layout"

// Error is a failure of the read path. It is wrapped once, where it arises; the
// layers above pass it on.
type Error struct {
	Op   string // what failed, as "dynamodb: query table twin-hot-iot-data"
	Code Code
	Err  error // what happened and what to do; nil = the code says it all

	// RetryAfter is how long the failing component asks to be left alone. Zero = it
	// did not say.
	RetryAfter time.Duration
}

// Error returns "op: cause", or "op: code" where there is no cause.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Op != "" {
		b.WriteString(e.Op)
		b.WriteString(": ")
	}
	if e.Err != nil {
		b.WriteString(e.Err.Error())
	} else {
		b.WriteString(string(e.Code))
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is e's Code.
func (e *Error) Is(target error) bool {
	c, ok := target.(Code)
	return ok && c == e.Code
}

// CodeOf returns the code of err: that of the Error in its chain, else
// CodeDeadline or CodeCanceled for the context's errors, else CodeInternal.
// CodeOf(nil) is "".
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return CodeDeadline
	case errors.Is(err, context.Canceled):
		return CodeCanceled
	}
	return CodeInternal
}

// Recovered calls f, and turns a panic into an error of CodeInternal with the stack. In a
// goroutine, nothing else keeps a panic from ending the program.
func Recovered(op string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &Error{Op: op, Code: CodeInternal, Err: fmt.Errorf("panic: %v\n%s", p, debug.Stack())}
		}
	}()
	return f()
}

// invalid returns an error of CodeInvalid that lists what is wrong, nil if
// nothing is.
func invalid(op string, wrong []string) error {
	if len(wrong) == 0 {
		return nil
	}
	return &Error{Op: op, Code: CodeInvalid, Err: errors.New(strings.Join(wrong, "; "))}
}
