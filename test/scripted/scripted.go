// Package scripted answers HTTP requests as a test has written it down.
package scripted

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Answers answers one request after the other, the last answer again and again.
type Answers struct {
	Text []string        // "STATUS BODY" with three digits; anything else is a connection refused
	Got  []*http.Request // so far
}

// RoundTrip implements http.RoundTripper.
func (a *Answers) RoundTrip(r *http.Request) (*http.Response, error) {
	a.Got = append(a.Got, r)
	text := a.Text[min(len(a.Got), len(a.Text))-1]
	status, err := strconv.Atoi(text[:3])
	if err != nil {
		return nil, errors.New("connection refused")
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text[3:])), Request: r}, nil
}

// Do is RoundTrip, as Azure's SDK calls it.
func (a *Answers) Do(r *http.Request) (*http.Response, error) { return a.RoundTrip(r) }
