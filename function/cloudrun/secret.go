package cloudrun

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"hotreader"
	"hotreader/identity"
	"hotreader/wire"
)

// SecretOptions say how to reach Secret Manager. The zero value means Google's, with the
// service account that the program runs as.
type SecretOptions struct {
	Client   *http.Client       // nil = a new one
	Endpoint string             // "" = Google's, by the secret's region; http:// is an emulator, which gets no credentials
	Tokens   oauth2.TokenSource // nil = Application Default Credentials
}

const (
	cloudScope = "https://www.googleapis.com/auth/cloud-platform"
	maxSecret  = 256 << 10 // bytes of an answer; a secret has up to 64 KiB
)

// Secret returns a function for identity.Fetched that fetches a version of a secret in
// Google Secret Manager. name is projects/P/secrets/S/versions/V, or
// projects/P/locations/L/secrets/S/versions/V. The service account needs the role
// Secret Manager Secret Accessor on it.
func Secret(name string, o SecretOptions) identity.Fetch {
	if o.Client == nil {
		o.Client = &http.Client{
			Transport: &http.Transport{
				Proxy:       http.ProxyFromEnvironment,
				DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext, TLSHandshakeTimeout: 3 * time.Second,
				ForceAttemptHTTP2: true, IdleConnTimeout: 10 * time.Second, // secrets are fetched rarely
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	if o.Endpoint == "" {
		o.Endpoint = "https://secretmanager.googleapis.com"
		if p := strings.Split(name, "/"); len(p) == 8 && p[2] == "locations" {
			o.Endpoint = "https://secretmanager." + p[3] + ".rep.googleapis.com"
		}
	}
	s := &secrets{o, name}
	return func(ctx context.Context) (string, time.Time, error) {
		text, err := s.fetch(ctx)
		return text, time.Time{}, err // the answer does not tell the secret's age
	}
}

type secrets struct {
	o    SecretOptions
	name string
}

// tries is how often fetch asks, as long as failures are temporary.
const tries = 3

func (s *secrets) fetch(ctx context.Context) (text string, err error) {
	tokens := s.o.Tokens
	if tokens == nil && !strings.HasPrefix(s.o.Endpoint, "http://") {
		found, err := google.FindDefaultCredentials(ctx, cloudScope)
		if err != nil {
			return "", fail(ctx, hotreader.CodeConfig, fmt.Errorf("no Google credentials were found: %w; give the service a service account", err))
		}
		tokens = found.TokenSource
	}
	for try := range tries {
		if text, err = s.ask(ctx, tokens); err == nil || !hotreader.CodeOf(err).Temporary() {
			return text, err
		}
		select {
		case <-time.After(200 * time.Millisecond << try):
		case <-ctx.Done():
			return "", err
		}
	}
	return "", err
}

func (s *secrets) ask(ctx context.Context, tokens oauth2.TokenSource) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.o.Endpoint+"/v1/"+s.name+":access", nil)
	if err != nil {
		return "", fail(ctx, hotreader.CodeConfig, errors.New("the secret's name cannot be read"))
	}
	if tokens != nil {
		token, err := tokens.Token()
		if err != nil {
			return "", fail(ctx, hotreader.CodeUnavailable, fmt.Errorf("no access token was given to the service account: %w", err))
		}
		token.SetAuthHeader(req)
	}
	resp, err := s.o.Client.Do(req)
	if err != nil {
		return "", fail(ctx, hotreader.CodeUnavailable, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxSecret))
	if err != nil {
		return "", fail(ctx, hotreader.CodeUnavailable, fmt.Errorf("the answer broke off: %w", err))
	}
	if resp.StatusCode != http.StatusOK {
		return "", refused(ctx, resp.StatusCode, body)
	}
	var answer struct {
		Payload struct {
			Data  []byte `json:"data"` // base64 in JSON
			Check string `json:"dataCrc32c"`
		} `json:"payload"`
	}
	if json.Unmarshal(body, &answer) != nil || len(answer.Payload.Data) == 0 {
		return "", fail(ctx, hotreader.CodeProtocol, errors.New("the answer is not Secret Manager's"))
	}
	if check := answer.Payload.Check; check != "" && check != strconv.FormatUint(uint64(crc32.Checksum(answer.Payload.Data, crc32.MakeTable(crc32.Castagnoli))), 10) {
		return "", fail(ctx, hotreader.CodeCorrupt, errors.New("the secret does not have its checksum"))
	}
	return string(bytes.TrimSpace(answer.Payload.Data)), nil
}

func fail(ctx context.Context, code hotreader.Code, err error) error {
	if c := hotreader.CodeOf(ctx.Err()); c != "" {
		code = c
	}
	return &hotreader.Error{Op: "secret manager: access secret version", Code: code, Err: err}
}

// refused returns the error for an answer other than 200, with Google's message.
func refused(ctx context.Context, status int, body []byte) error {
	var answer struct {
		Error struct{ Message string }
	}
	_ = json.Unmarshal(body, &answer) // without a message, the status must do
	said := fmt.Errorf("status %d: %.500s", status, answer.Error.Message)
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fail(ctx, hotreader.CodeForbidden, fmt.Errorf("the service account lacks the role Secret Manager Secret Accessor on it: %w", said))
	case http.StatusNotFound:
		return fail(ctx, hotreader.CodeNotFound, fmt.Errorf("there is no such secret, or no such version of it: %w", said))
	case http.StatusBadRequest:
		return fail(ctx, hotreader.CodeConfig, said) // such as a disabled version
	}
	return fail(ctx, wire.CodeOfStatus(status), said)
}
