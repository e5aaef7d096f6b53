// Package publish brings the functions' packages to Azure and Google Cloud, where
// Terraform's providers have no resource for it or none that works: the modules run
// it between the resources that a package needs and those that need the package.
//
// A Publisher tries again for a while, for what was just created, and the rights
// on it, take minutes to be in force everywhere.
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
)

// Token returns an access token of whoever runs this, for the Authorization
// header. It may be called often and has to cache it.
type Token func(ctx context.Context) (string, error)

// Publisher brings packages to a cloud's services.
type Publisher struct {
	Token     Token             // nil = none is shown
	Transport http.RoundTripper // nil = http.DefaultTransport
	Note      func(string)      // told when it has to wait; nil = nobody is
}

const (
	patience  = 10 * time.Minute // for rights to be in force
	pause     = 5 * time.Second  // between tries
	maxAnswer = 1 << 20          // of a service, in bytes
)

// client speaks to one service.
type client struct {
	base   *url.URL
	token  Token
	client *http.Client
}

// client returns a client of the service at base. The token is for it alone:
// allowed says whether its host is one of the cloud's; this machine's own, for
// tests and emulators, may speak http.
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
		// A token is not carried to where a service points. An upload's Location is
		// followed below, on its own host.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// answer is what a service said.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// do sends one request. A relative target is one of the service's; an absolute
// one has to be on its host.
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

// says returns what a service answered, short enough for a line.
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

// errLater is wrapped by errors that may be over soon.
var errLater = errors.New("not yet")

// later marks err as one that may be over soon, unless it is known not to be: no
// sign-in, a service that points elsewhere.
func later(err error) error {
	if _, ok := errors.AsType[*hotreader.Error](err); ok {
		return err
	}
	return fmt.Errorf("%w: %w", errLater, err)
}

// again calls try until it succeeds, fails for good or the time is up.
func (p Publisher) again(ctx context.Context, op string, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	said := false
	for {
		err := try()
		if err == nil {
			return nil
		}
		if !errors.Is(err, errLater) {
			if _, ok := errors.AsType[*hotreader.Error](err); ok {
				return err
			}
			return &hotreader.Error{Op: op, Code: hotreader.CodeUnavailable, Err: err}
		}
		if p.Note != nil && !said {
			p.Note(fmt.Sprintf("%s: waiting, for %v", op, strings.TrimPrefix(err.Error(), errLater.Error()+": ")))
			said = true
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return &hotreader.Error{Op: op, Code: hotreader.CodeDeadline, Err: fmt.Errorf("given up: %w", err)}
		}
	}
}

func fail(op string, code hotreader.Code, format string, args ...any) error {
	return &hotreader.Error{Op: op, Code: code, Err: fmt.Errorf(format, args...)}
}

// passing reports whether a status may be another one soon.
func passing(status int) bool {
	return status == http.StatusRequestTimeout || status == http.StatusTooManyRequests || status >= 500
}
