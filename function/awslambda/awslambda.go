// Package awslambda hosts the reader on AWS Lambda: as TwinMaker's data
// connectors (History, LastEntry), which TwinMaker invokes directly, and as the
// Hot Reader API behind API Gateway (API). Each is a lambda.Handler of bytes, so
// that nothing is decoded or encoded twice.
//
// Every failure is a function error whose errorType is one of ErrorType, and
// whose message says what the caller can change, or else the request id under
// which the log has the cause. There is no empty success.
package awslambda

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"hotreader"
	"hotreader/codec/twinmaker"
	"hotreader/wire"
)

// MaxAnswer is how many bytes a function may answer: Lambda's limit for a
// synchronous invocation is 6 MB, exactly 6,291,556 bytes.
const MaxAnswer = 6_000_000

// errorTypes are the names of failures and, where the cause is not the
// caller's, the text that the caller gets.
var errorTypes = map[hotreader.Code][2]string{
	hotreader.CodeInvalid:         {"HotReader.InvalidQuery", "The query is not valid"},
	hotreader.CodeUnauthenticated: {"HotReader.Unauthenticated", "The API of hot storage rejected the inter-cloud token"},
	hotreader.CodeForbidden:       {"HotReader.Forbidden", "The reader is not allowed to read this"},
	hotreader.CodeNotFound:        {"HotReader.NotFound", "Hot storage, or the API before it, is not where it is said to be"},
	hotreader.CodeTooLarge:        {"HotReader.TooLarge", "The answer is larger than a function may give"},
	hotreader.CodeThrottled:       {"HotReader.Throttled", "Hot storage is asked too often; try again later"},
	hotreader.CodeOverloaded:      {"HotReader.Overloaded", "Hot storage has no capacity just now; try again later"},
	hotreader.CodeUnavailable:     {"HotReader.Unavailable", "Hot storage is not reached; try again"},
	hotreader.CodeDeadline:        {"HotReader.Deadline", "The time for the query is used up; ask for less, or give the function more time"},
	hotreader.CodeCanceled:        {"HotReader.Canceled", "The query was broken off"},
	hotreader.CodeStore:           {"HotReader.StoreFailed", "Hot storage failed; try again"},
	hotreader.CodeCorrupt:         {"HotReader.Corrupt", "Stored or transferred data is damaged"},
	hotreader.CodeUnreadable:      {"HotReader.Unreadable", "What is stored cannot be read as configured"},
	hotreader.CodeNotRestored:     {"HotReader.NotRestored", "A part of the history is archived and must be restored first"},
	hotreader.CodeProtocol:        {"HotReader.Protocol", "What answered is not the Hot Reader API"},
	hotreader.CodeConfig:          {"HotReader.Config", "The reader is set up wrongly"},
	hotreader.CodeInternal:        {"HotReader.Internal", "The reader failed"},
}

// ErrorType returns the errorType of a function error, which is stable:
//
//	invalid          HotReader.InvalidQuery
//	unauthenticated  HotReader.Unauthenticated
//	forbidden        HotReader.Forbidden
//	not_found        HotReader.NotFound
//	too_large        HotReader.TooLarge
//	throttled        HotReader.Throttled
//	overloaded       HotReader.Overloaded
//	unavailable      HotReader.Unavailable
//	deadline         HotReader.Deadline
//	canceled         HotReader.Canceled
//	store            HotReader.StoreFailed
//	corrupt          HotReader.Corrupt
//	unreadable       HotReader.Unreadable
//	not_restored     HotReader.NotRestored
//	protocol         HotReader.Protocol
//	config           HotReader.Config
//	internal         HotReader.Internal, and for any other code
func ErrorType(code hotreader.Code) string {
	if e, ok := errorTypes[code]; ok {
		return e[0]
	}
	return errorTypes[hotreader.CodeInternal][0]
}

// failure returns err as Lambda reports it. What is not the caller's to change
// stays in the log.
func failure(err error, requestID string) messages.InvokeResponse_Error {
	p := wire.NewProblem(err, requestID) // whose detail is what a caller may read
	message := errorTypes[p.Code][1]
	e, _ := errors.AsType[*hotreader.Error](err)
	said, spoken := errors.AsType[*twinmaker.Said](err)
	switch {
	case errors.Is(err, twinmaker.ErrLookBack): // hot storage is where it is said to be
		message = e.Err.Error()
	case spoken: // so is it here
		message = said.Text + " (request id " + requestID + ")"
	case p.Code == hotreader.CodeInvalid, p.Code == hotreader.CodeTooLarge, p.Code == hotreader.CodeUnreadable, p.Code == hotreader.CodeNotRestored:
		if p.Detail != "" {
			message += ": " + p.Detail
		}
	default:
		if p.RetryAfter > 0 {
			message += fmt.Sprintf(", in %s", p.RetryAfter.Round(time.Millisecond))
		}
		message += " (request id " + requestID + ")"
	}
	return messages.InvokeResponse_Error{Type: ErrorType(p.Code), Message: message}
}

// requestID returns the id of the invocation, "" outside Lambda.
func requestID(ctx context.Context) string {
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		return lc.AwsRequestID
	}
	return ""
}

// withReserve returns ctx with a deadline somewhat before that of the
// invocation, so that a query which uses up its time ends in an answer or an
// error of ours and not in Lambda's killing the process.
func withReserve(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-min(250*time.Millisecond, time.Until(deadline)/10)))
}

// bounded rejects an answer that Lambda would reject.
func bounded(body []byte) error {
	if len(body) <= MaxAnswer {
		return nil
	}
	return &hotreader.Error{Op: "function", Code: hotreader.CodeTooLarge,
		Err: fmt.Errorf("the answer has %d bytes, at most %d are possible; ask for fewer properties", len(body), MaxAnswer)}
}

// level is how loud a query is logged: what the operator must look into is an
// error.
func level(err error) slog.Level {
	switch hotreader.CodeOf(err) {
	case "":
		return slog.LevelInfo
	case hotreader.CodeInvalid, hotreader.CodeTooLarge, hotreader.CodeCanceled:
		return slog.LevelWarn
	}
	return slog.LevelError
}
