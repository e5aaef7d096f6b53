package awsdynamodb

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"hotreader"
)

// cause says what happened and what to do, in place of the SDK's long words,
// and keeps those for errors.As.
type cause struct {
	text string
	err  error
}

func (c *cause) Error() string { return c.text }
func (c *cause) Unwrap() error { return c.err }

// action is what the Store does to a table: the word for messages, and the
// permission it needs.
type action struct{ verb, permission string }

var (
	querying = action{"query", "dynamodb:Query"}
	writing  = action{"write", "dynamodb:BatchWriteItem"}
	creating = action{"create", "dynamodb:CreateTable and dynamodb:DescribeTable"}
)

// fail makes err, which a call of the SDK returned, an *hotreader.Error. sent
// is false if the call did not come as far as sending a request.
func (s *Store) fail(ctx context.Context, a action, err error, sent bool) error {
	e := &hotreader.Error{Op: "dynamodb: " + a.verb + " table " + s.table}
	say := func(code hotreader.Code, format string, args ...any) error {
		e.Code, e.Err = code, &cause{fmt.Sprintf(format, args...), err}
		return e
	}
	// Whatever went wrong once the time is up went wrong because of that.
	if ctxErr := ctx.Err(); ctxErr != nil {
		e.Code, e.Err = hotreader.CodeOf(ctxErr), ctxErr
		return e
	}
	status := 0
	if resp, ok := errors.AsType[*smithyhttp.ResponseError](err); ok && resp.Response != nil {
		status = resp.HTTPStatusCode()
		e.RetryAfter = retryAfter(resp.Response.Header)
	}
	if own, ok := errors.AsType[*hotreader.Error](err); ok {
		return say(own.Code, "%v", own.Err)
	}
	if body, ok := errors.AsType[*bodyError](err); ok {
		if body.damaged {
			return say(hotreader.CodeCorrupt, "the answer arrived damaged: %v", body.err)
		}
		return say(hotreader.CodeUnavailable, "the answer broke off: %v", body.err)
	}
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok || api.ErrorCode() == "UnknownError" {
		return s.failUnanswered(say, err, status, sent)
	}
	message := api.ErrorMessage()
	if message == "" {
		message = "no more is said"
	}
	switch api.ErrorCode() {
	case "ResourceNotFoundException":
		return say(hotreader.CodeNotFound, "there is no such table in region %s; check DYNAMODB_TABLE_NAME, the region and the account", s.region())
	case "ProvisionedThroughputExceededException", "ThrottlingException", "Throttling", "RequestLimitExceeded",
		"RequestThrottled", "RequestThrottledException", "TooManyRequestsException", "SlowDown", "BandwidthLimitExceeded":
		return say(hotreader.CodeThrottled, "the table takes no more requests just now (%s); raise its capacity or ask less often", message)
	case "AccessDeniedException":
		return say(hotreader.CodeForbidden, "the role lacks %s on this table in region %s: %s", a.permission, s.region(), message)
	case "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException", "ExpiredToken",
		"MissingAuthenticationToken", "MissingAuthenticationTokenException", "IncompleteSignature",
		"IncompleteSignatureException", "InvalidClientTokenId", "RequestExpired":
		return say(hotreader.CodeConfig, "the AWS credentials were refused (%s): %s; check that they are valid, not expired, and that the clock is right", api.ErrorCode(), message)
	case "ValidationException":
		if a == writing {
			return say(hotreader.CodeInvalid, "the table refuses a record: %s; its keys must be HASH %q (S) and RANGE %q (%s)", message, s.deviceKey, s.timeKey, s.keyKind())
		}
		return say(hotreader.CodeConfig, "the table is not laid out as configured: %s; its keys must be HASH %q (S) and RANGE %q (%s), see HOTREADER_DEVICE_KEY, HOTREADER_TIME_KEY and HOTREADER_TIME_FORMAT",
			message, s.deviceKey, s.timeKey, s.keyKind())
	}
	switch {
	case status == http.StatusTooManyRequests:
		return say(hotreader.CodeThrottled, "%s: %s", api.ErrorCode(), message)
	case status == http.StatusServiceUnavailable:
		return say(hotreader.CodeUnavailable, "%s: %s", api.ErrorCode(), message)
	}
	return say(hotreader.CodeStore, "%s: %s", api.ErrorCode(), message)
}

// failUnanswered is fail for what DynamoDB itself did not say.
func (s *Store) failUnanswered(say func(hotreader.Code, string, ...any) error, err error, status int, sent bool) error {
	if certificate, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return say(hotreader.CodeConfig, "the endpoint's certificate is not trusted: %v", certificate.Err)
	}
	if unknown, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return say(hotreader.CodeConfig, "the endpoint's certificate is not trusted: %v", unknown)
	}
	root := err
	if op, ok := errors.AsType[*smithy.OperationError](err); ok {
		root = op.Err
	}
	switch {
	case !sent:
		return say(hotreader.CodeConfig, "no request can be made: %v; set AWS_REGION and give AWS credentials (a role, AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)", root)
	case status == http.StatusTooManyRequests:
		return say(hotreader.CodeThrottled, "status 429 without a reason")
	case status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout:
		return say(hotreader.CodeUnavailable, "status %d, and not from DynamoDB", status)
	case status >= 500:
		return say(hotreader.CodeStore, "status %d without a reason", status)
	case status != 0:
		return say(hotreader.CodeProtocol, "status %d, and not from DynamoDB; check the endpoint", status)
	}
	if send, ok := errors.AsType[*smithyhttp.RequestSendError](err); ok {
		root = send.Err
	}
	return say(hotreader.CodeUnavailable, "DynamoDB was not reached: %v", root)
}

// retryAfter reads the header of that name, if it counts seconds.
func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 0 || seconds > 3600 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}
