package gcpfirestore

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"hotreader/store/internal/failure"
)

// The methods, by "gRPC over HTTP2" and google/firestore/v1/firestore.proto.
const (
	service     = "/google.firestore.v1.Firestore/"
	runQuery    = service + "RunQuery"
	commit      = service + "Commit"
	headerBytes = 5 // in front of a message: a byte, 0 unless compressed, and its length
)

// maxMessage bounds one message of an answer, which is one document. That has at most 1 MiB as
// Firestore counts it; a null or a boolean in a list, 1 byte there, has 4 here.
const maxMessage = 5 << 20

// statusNames are the names of gRPC's codes, from google/rpc/code.proto.
var statusNames = [...]string{"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
	"ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
	"UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"}

// status is a failure that the server reports.
type status struct {
	code       string // its name
	message    string
	reason     string        // of a google.rpc.ErrorInfo
	retryAfter time.Duration // of a google.rpc.RetryInfo
}

func (s *status) Error() string {
	if s.message == "" {
		return s.code
	}
	return s.code + ": " + s.message
}

// foreignError is an answer that is not gRPC.
type foreignError struct {
	code int // of HTTP
	what string
}

func (e *foreignError) Error() string { return fmt.Sprintf("status %d with %s", e.code, e.what) }

var (
	errNoStatus   = &failure.Broken{Err: errors.New("it ended without its status")}
	errMalformed  = errors.New("the message is not a protobuf of the kind expected")
	errCompressed = errors.New("the message is compressed, which was not requested")
)

// A stream is the answer of one call: messages, and a status after them.
type stream struct {
	body io.ReadCloser
	resp *http.Response
	buf  []byte
	from int // buf[from:to] was read and not yet taken
	to   int
	read int64 // bytes
}

// A call is one request: a message with headerBytes in front.
type call struct {
	method, database string
	routing          string // what Google's front end finds the database by
	request          []byte
}

// call sends one request and opens its answer. buf is memory to read into.
func (c *Client) call(ctx context.Context, to *call, buf []byte) (*stream, error) {
	to.request[0] = 0
	binary.BigEndian.PutUint32(to.request[1:], uint32(len(to.request)-headerBytes))
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint+to.method, bytes.NewReader(to.request))
	if err != nil {
		return nil, err
	}
	r.Header = http.Header{
		"Content-Type":                 {"application/grpc"},
		"Te":                           {"trailers"},
		"User-Agent":                   {"hotreader"},
		"Google-Cloud-Resource-Prefix": {to.database},
		"X-Goog-Request-Params":        {to.routing},
		"Authorization":                {"Bearer owner"}, // what emulators take for everybody
	}
	if c.tokens != nil {
		header, err := c.tokens.authorization(ctx)
		if err != nil {
			return nil, err
		}
		r.Header["Authorization"] = []string{header}
	}
	if c.quotaProject != "" {
		r.Header["X-Goog-User-Project"] = []string{c.quotaProject}
	}
	if end, ok := ctx.Deadline(); ok {
		left := min(max(time.Until(end).Milliseconds(), 1), 99_999_999) // at most 8 digits are allowed
		r.Header["Grpc-Timeout"] = []string{strconv.FormatInt(left, 10) + "m"}
	}
	resp, err := c.wrapped.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	s := &stream{body: resp.Body, resp: resp, buf: buf[:cap(buf)]}
	if err := s.head(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// head checks that the answer is gRPC. Where the call failed at once, its status
// is in the head.
func (s *stream) head() error {
	kind, _, _ := mime.ParseMediaType(s.resp.Header.Get("Content-Type"))
	if s.resp.Header.Get("Grpc-Status") != "" {
		return readStatus(s.resp.Header)
	}
	if s.resp.StatusCode == http.StatusOK && (kind == "application/grpc" || kind == "application/grpc+proto") {
		return nil
	}
	what := kind
	if what == "" {
		what = "no content type"
	}
	return &foreignError{s.resp.StatusCode, what}
}

func (s *stream) close() { s.body.Close() }

// message returns the next message, if it was read already. It is valid until
// fill.
func (s *stream) message() (m []byte, ok bool, err error) {
	have := s.buf[s.from:s.to]
	if len(have) < headerBytes {
		return nil, false, nil
	}
	size := binary.BigEndian.Uint32(have[1:])
	switch {
	case have[0] != 0:
		return nil, false, errCompressed
	case size > maxMessage:
		return nil, false, fmt.Errorf("a message is said to have %d bytes, which no document has", size)
	case uint64(len(have)) < headerBytes+uint64(size):
		return nil, false, nil
	}
	s.from += headerBytes + int(size)
	return have[headerBytes : headerBytes+size : headerBytes+size], true, nil
}

// fill reads on. It returns io.EOF after a whole answer, and its status if that
// is not OK.
func (s *stream) fill() error {
	s.to = copy(s.buf, s.buf[s.from:s.to])
	s.from = 0
	want := minBuffer
	if s.to >= headerBytes {
		want = max(want, headerBytes+int(min(binary.BigEndian.Uint32(s.buf[1:]), maxMessage)))
	}
	if want > len(s.buf) {
		buf := make([]byte, max(want, 2*len(s.buf)))
		copy(buf, s.buf[:s.to])
		s.buf = buf
	}
	for {
		n, err := s.body.Read(s.buf[s.to:])
		s.to += n
		s.read += int64(n)
		switch {
		case n > 0: // an error comes again
			return nil
		case err == io.EOF:
			return s.end()
		case err != nil:
			return err
		}
	}
}

// minBuffer is what a stream reads into at the least.
const minBuffer = 64 << 10

// end judges an answer that is over.
func (s *stream) end() error {
	if s.resp.Trailer.Get("Grpc-Status") == "" {
		return errNoStatus
	}
	if err := readStatus(s.resp.Trailer); err != nil {
		return err
	}
	if s.to > 0 {
		return fmt.Errorf("%d bytes of a message are left over", s.to)
	}
	return io.EOF
}

// maxMessages bounds an answer: each of the documents asked for is a message, and few are
// none.
const maxMessages = 10 * maxPage

// each calls f with each message, until f returns an error; io.EOF ends it without
// one. Before what was read is overwritten it calls keep.
func (s *stream) each(ctx context.Context, keep func(), f func(m []byte) error) error {
	for messages := 0; ; {
		m, ok, err := s.message()
		switch {
		case err != nil:
			return &failure.Damaged{Err: err}
		case ok && messages == maxMessages:
			return &failure.Damaged{Err: fmt.Errorf("after %d messages it goes on, so reading on would never end", messages)}
		case ok:
			messages++
			err = f(m)
		case ctx.Err() != nil:
			return ctx.Err()
		default:
			keep()
			err = s.fill()
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// readStatus returns what a call's head or trailer says; nil for OK.
func readStatus(h http.Header) error {
	code, err := strconv.Atoi(h.Get("Grpc-Status"))
	if err != nil {
		return fmt.Errorf("the status %.20q is no number", h.Get("Grpc-Status"))
	}
	if code == 0 {
		return nil
	}
	s := &status{code: "status " + strconv.Itoa(code), message: h.Get("Grpc-Message")}
	if code > 0 && code < len(statusNames) {
		s.code = statusNames[code]
	}
	if m, err := url.PathUnescape(s.message); err == nil {
		s.message = m
	}
	s.message = strings.ToValidUTF8(s.message, "�")
	encoded := strings.TrimRight(h.Get("Grpc-Status-Details-Bin"), "=")
	if details, err := base64.RawStdEncoding.DecodeString(encoded); err == nil {
		s.details(details)
	}
	return s
}

// details reads a google.rpc.Status as far as it is of use. What cannot be read
// is left out, for the status itself is known.
func (s *status) details(message []byte) {
	const first, second, third = 1<<3 | 2, 2<<3 | 2, 3<<3 | 2
	for details := (walk{m: message}); details.next(); {
		if details.tag != third { // details, each a google.protobuf.Any
			continue
		}
		var kind, detail []byte
		for parts := (walk{m: details.bytes}); parts.next(); {
			switch parts.tag {
			case first:
				kind = parts.bytes
			case second:
				detail = parts.bytes
			}
		}
		for parts := (walk{m: detail}); parts.next(); {
			if parts.tag != first {
				continue
			}
			switch string(kind) {
			case "type.googleapis.com/google.rpc.ErrorInfo":
				s.reason = string(parts.bytes)
			case "type.googleapis.com/google.rpc.RetryInfo": // a google.protobuf.Duration is like a Timestamp
				if seconds, nanos, ok := secondsNanos(parts.bytes); ok && seconds >= 0 && seconds < 3600 {
					s.retryAfter = time.Duration(seconds)*time.Second + time.Duration(nanos)
				}
			}
		}
	}
}

// secondsNanos reads a google.protobuf.Timestamp or Duration.
func secondsNanos(m []byte) (seconds, nanos int64, ok bool) {
	w := walk{m: m}
	for w.next() {
		switch w.tag {
		case 1 << 3:
			seconds = int64(w.number)
		case 2 << 3:
			nanos = int64(int32(w.number))
		}
	}
	return seconds, nanos, !w.bad
}
