package identity

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"hotreader"
	"hotreader/internal/endpoint"
	"hotreader/internal/punctual"
)

const (
	keysAgain = time.Minute      // between two fetches of an issuer's keys
	keysFresh = 10 * time.Minute // after that they are fetched again
	keysStand = time.Hour        // after the first fetch that failed

	keysTime     = 5 * time.Second        // for a fetch
	keysPatience = 500 * time.Millisecond // of a caller that has a key already, an old one

	maxKeysBytes = 512 << 10 // of each document
	maxKeys      = 100
)

// issuer has the keys that an issuer publishes.
type issuer struct {
	url    string
	client *http.Client
	now    func() time.Time

	mu       sync.Mutex
	keys     []jose.JSONWebKey
	fetched  time.Time     // with success
	tried    time.Time     // when the last fetch began
	failed   time.Time     // when the first fetch ended that failed, since the last that did not; zero = none
	err      error         // of the last fetch
	underway chan struct{} // closed at the end of the fetch; nil = there is none
}

// key returns the key of that id for that algorithm. It fetches keys if it has none of
// that id, or old ones, at most once a minute.
func (i *issuer) key(ctx context.Context, id, algorithm string) (any, error) {
	i.mu.Lock()
	key := i.find(id, algorithm)
	mine := i.start(key == nil)
	underway := i.underway
	i.mu.Unlock()
	if underway != nil && (key == nil || mine) {
		patience := 2 * keysTime // it ends before
		if key != nil {
			patience = keysPatience
		}
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case <-underway:
		case <-timer.C:
		case <-ctx.Done():
		}
		i.mu.Lock()
		key = i.find(id, algorithm)
		i.mu.Unlock()
	}
	if key != nil {
		return key, nil
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.err != nil || i.underway != nil { // then the key may be a new one
		return nil, &hotreader.Error{Op: "keys of " + i.url, Code: hotreader.CodeUnavailable, RetryAfter: keysAgain, Err: i.err}
	}
	return nil, refused("the issuer has no key of the id %.100q for %.10q", id, algorithm)
}

// find returns a key, nil if there is none, or none that is still valid.
func (i *issuer) find(id, algorithm string) any {
	if !i.failed.IsZero() && i.now().Sub(i.failed) >= keysStand {
		return nil
	}
	for n := range i.keys {
		if k := &i.keys[n]; k.KeyID == id && algorithmOf(k) == algorithm {
			return k.Key
		}
	}
	return nil
}

// start begins a fetch if it is time for one. The fetch does not end with the request
// that causes it, for others wait for it, too.
func (i *issuer) start(missing bool) bool {
	now := i.now()
	if i.underway != nil || now.Sub(i.tried) < keysAgain || !missing && now.Sub(i.fetched) < keysFresh {
		return false
	}
	i.tried, i.underway = now, make(chan struct{})
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), keysTime)
		defer cancel()
		var keys []jose.JSONWebKey
		err := hotreader.Recovered("keys of "+i.url, func() (err error) {
			keys, err = i.fetch(ctx)
			return err
		})
		i.mu.Lock()
		defer i.mu.Unlock()
		switch i.err = err; {
		case err == nil:
			i.keys, i.fetched, i.failed = keys, i.now(), time.Time{}
		case i.failed.IsZero():
			i.failed = i.now()
		}
		close(i.underway)
		i.underway = nil
	}()
	return true
}

// fetch reads the issuer's document, which says where the keys are, and the keys.
func (i *issuer) fetch(ctx context.Context) ([]jose.JSONWebKey, error) {
	var about struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := i.get(ctx, strings.TrimSuffix(i.url, "/")+"/.well-known/openid-configuration", &about); err != nil {
		return nil, err
	}
	if about.Issuer != i.url {
		return nil, fmt.Errorf("the issuer's document is that of %.200q", about.Issuer)
	}
	u, err := url.Parse(about.Keys)
	if err != nil || u.Hostname() == "" || endpoint.Wrong(u) != "" || u.Scheme == "http" && strings.HasPrefix(i.url, "https:") {
		return nil, fmt.Errorf("the issuer's document says that its keys are at %.200q; expected an https URL", about.Keys)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := i.get(ctx, about.Keys, &set); err != nil {
		return nil, err
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("%.200s: %d keys, more than %d", about.Keys, len(set.Keys), maxKeys)
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var k jose.JSONWebKey // of a kind that is not known, it is not for us
		if k.UnmarshalJSON(raw) == nil && algorithmOf(&k) != "" {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%.200s: %w", about.Keys, errNoKeys)
	}
	return keys, nil
}

// get reads a JSON document.
func (i *issuer) get(ctx context.Context, at string, to any) error {
	req, err := http.NewRequestWithContext(punctual.Attempt(ctx), http.MethodGet, at, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := i.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%.200s: status %d", at, resp.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxKeysBytes+1))
	switch {
	case err != nil:
		return err
	case len(text) > maxKeysBytes:
		return fmt.Errorf("%.200s: more than %d bytes", at, maxKeysBytes)
	case json.Unmarshal(text, to) != nil:
		return fmt.Errorf("%.200s: %w", at, errors.New("it is not the expected JSON"))
	}
	return nil
}

// keyClient returns a copy of c that follows no redirect, for that would be another
// issuer's word.
func keyClient(c *http.Client) *http.Client {
	if c == nil {
		c = &http.Client{Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
			DialContext:            punctual.Dial(new(net.Dialer).DialContext, 5*time.Second),
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
			IdleConnTimeout:        10 * time.Second, // keys are fetched rarely
			MaxResponseHeaderBytes: 64 << 10,
		}}
	}
	own := *c
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &own
}

// CheckIssuer says what is wrong with the URL of an issuer, or "".
func CheckIssuer(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "invalid issuer: expected https://HOST or https://HOST/PATH"
	case endpoint.Wrong(u) != "":
		return endpoint.Wrong(u)
	}
	return ""
}
