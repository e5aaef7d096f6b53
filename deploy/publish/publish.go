// Package publish uploads the functions' packages to Azure and Google Cloud, for which
// Terraform's providers have no resource or none that works. The Terraform modules run
// it after the resources that a package needs and before those that need the package.
//
// A Publisher retries for some minutes, since new resources and new permissions take
// that long to be effective everywhere.
package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"hotreader"
	"hotreader/internal/endpoint"
	"hotreader/internal/retries"
)

// Token returns an access token of the user of this program, for the Authorization
// header. It is called for each request, so it should cache the token.
type Token func(ctx context.Context) (string, error)

// Publisher uploads packages to a cloud's services.
type Publisher struct {
	Token     Token             // nil = no token is sent
	Transport http.RoundTripper // nil = http.DefaultTransport
	Note      func(string)      // called when Publisher has to wait; nil = not called
}

const (
	patience  = 10 * time.Minute // for permissions to become effective
	pause     = 5 * time.Second  // between tries
	maxAnswer = 1 << 20          // bytes read of an answer
)

// client sends requests to one service.
type client struct {
	base   *url.URL
	token  Token
	client *http.Client
}

// client returns a client of the service at base. Only that service gets the token, so
// allowed checks that its host is one of the cloud's. A loopback address, for tests and
// emulators, needs no check and may use http.
func (p Publisher) client(op, base string, allowed func(host string) bool) (*client, error) {
	u, err := url.Parse(base)
	wrong := ""
	switch {
	case err != nil || u.Host == "":
		wrong = "is no URL"
	case u.User != nil:
		wrong = "carries user info"
	case endpoint.Loopback(u.Hostname()) && (u.Scheme == "http" || u.Scheme == "https"):
	case u.Scheme != "https":
		wrong = "is not https"
	case !allowed(strings.ToLower(u.Hostname())):
		wrong = "is not an address of the service"
	}
	if wrong != "" {
		return nil, fail(op, hotreader.CodeConfig, "%.200q %s", base, wrong)
	}
	return &client{u, p.Token, &http.Client{
		Transport: p.Transport,
		// A redirect must not carry the token elsewhere. pushPart follows an upload's
		// Location itself, on the same host.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// answer is a service's answer, with its body read.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// do sends one request. target is a path of the service, or a URL on its host.
func (c *client) do(ctx context.Context, method, target, contentType string, body []byte) (*answer, error) {
	u, err := c.base.Parse(target)
	if err != nil || u.Host != c.base.Host || u.Scheme != c.base.Scheme {
		return nil, fail(method+" "+c.base.Host, hotreader.CodeProtocol, "the service points to another host, to which the token is not shown: %.200q", target)
	}
	r, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	if c.token != nil {
		token, err := c.token(ctx)
		if err != nil {
			return nil, err
		}
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	return &answer{resp.StatusCode, resp.Header, text}, nil
}

// says describes the answer in one line.
func (a *answer) says() string {
	text := strings.Join(strings.Fields(strings.ToValidUTF8(string(a.body), "")), " ")
	if len(text) > 300 {
		text = text[:300] + "…"
	}
	if text == "" {
		return fmt.Sprintf("status %d", a.status)
	}
	return fmt.Sprintf("status %d: %s", a.status, text)
}

// errTemporary marks errors that may soon pass.
var errTemporary = errors.New("not yet")

// temporary marks err as one that may soon pass. An *hotreader.Error, such as a missing
// sign-in or a redirect to another host, does not pass and is returned as it is.
func temporary(err error) error {
	if _, ok := errors.AsType[*hotreader.Error](err); ok {
		return err
	}
	return fmt.Errorf("%w: %w", errTemporary, err)
}

// retry calls try until it succeeds, fails for good, or patience is used up.
func (p Publisher) retry(ctx context.Context, op string, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	noted := false
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		if !errors.Is(err, errTemporary) {
			if _, ok := errors.AsType[*hotreader.Error](err); ok {
				return err
			}
			return &hotreader.Error{Op: op, Code: hotreader.CodeUnavailable, Err: err}
		}
		if p.Note != nil && !noted {
			p.Note(fmt.Sprintf("%s: waiting, for %v", op, strings.TrimPrefix(err.Error(), errTemporary.Error()+": ")))
			noted = true
		}
		if retries.Wait(ctx, pause) != nil {
			return &hotreader.Error{Op: op, Code: hotreader.CodeDeadline, Err: fmt.Errorf("given up: %w", err)}
		}
	}
}

func fail(op string, code hotreader.Code, format string, args ...any) error {
	return &hotreader.Error{Op: op, Code: code, Err: fmt.Errorf(format, args...)}
}

// isTemporary reports whether a request that got status may soon succeed.
func isTemporary(status int) bool {
	return status == http.StatusRequestTimeout || status == http.StatusTooManyRequests || status >= 500
}
