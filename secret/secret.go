// Package secret holds the inter-cloud token: it compares in constant time,
// fetches the token anew when it was rotated, and never prints it.
package secret

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"hotreader"
)

// MinBytes is the length below which a token is refused.
const MinBytes = 32

// refetch is how long a fetched token stands before a refused one may cause
// another fetch.
const refetch = 5 * time.Minute

// Token is the shared secret of two clouds: a current token and, while it is
// being rotated, the previous one. It is safe for concurrent use.
type Token struct {
	fetch func(context.Context) (string, error) // nil: static

	fetching sync.Mutex // one fetch at a time; held while it runs
	mu       sync.Mutex
	tokens   []string
	fetched  time.Time
}

// Static returns the token of text: "current", or "current,previous".
func Static(text string) (*Token, error) {
	tokens, err := parse(text)
	if err != nil {
		return nil, err
	}
	return &Token{tokens: tokens}, nil
}

// Fetched returns a token that fetch reads, now and, when one was refused, at
// most each five minutes again. fetch returns "current" or "current,previous".
func Fetched(ctx context.Context, fetch func(context.Context) (string, error)) (*Token, error) {
	t := &Token{fetch: fetch}
	if _, err := t.Refresh(ctx); err != nil {
		return nil, err
	}
	return t, nil
}

func parse(text string) ([]string, error) {
	bad := func(format string, args ...any) error {
		return &hotreader.Error{Op: "inter-cloud token", Code: hotreader.CodeConfig, Err: fmt.Errorf(format, args...)}
	}
	if strings.TrimSpace(text) == "" {
		return nil, bad("it is empty; a server without a token does not start")
	}
	var tokens []string
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if len(part) < MinBytes {
			return nil, bad("token %d has %d bytes, at least %d are needed; make one with: openssl rand -hex 32", len(tokens)+1, len(part), MinBytes)
		}
		for i := range len(part) {
			if part[i] <= ' ' || part[i] > '~' {
				return nil, bad("token %d has a character that an HTTP header cannot carry, at byte %d", len(tokens)+1, i+1)
			}
		}
		tokens = append(tokens, part)
	}
	if len(tokens) > 2 {
		return nil, bad("%d tokens are given; a current and a previous one are the most", len(tokens))
	}
	return tokens, nil
}

// Current returns the token to send.
func (t *Token) Current() string { return t.all()[0] }

func (t *Token) all() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tokens
}

// Match compares a presented token, of any bytes and length, with the active
// ones in constant time. slot is 0 for the current one and 1 for the previous.
func (t *Token) Match(presented string) (slot int, ok bool) {
	got := sha256.Sum256([]byte(presented))
	slot = -1
	for i, token := range t.all() {
		want := sha256.Sum256([]byte(token))
		if subtle.ConstantTimeCompare(got[:], want[:]) == 1 {
			slot = i
		}
	}
	return slot, slot >= 0
}

// Refresh fetches the token again if it can be and the last fetch is five
// minutes old, and reports whether it changed. Call it when a token was
// refused. After an error the old token stands, and for as long.
func (t *Token) Refresh(ctx context.Context) (changed bool, err error) {
	if t.fetch == nil {
		return false, nil
	}
	t.fetching.Lock()
	defer t.fetching.Unlock()
	t.mu.Lock()
	old, recent := t.tokens, !t.fetched.IsZero() && time.Since(t.fetched) < refetch
	t.mu.Unlock()
	if recent {
		return false, nil
	}
	text, err := t.fetch(ctx)
	var tokens []string
	if err == nil {
		tokens, err = parse(text)
	} else if _, ok := errors.AsType[*hotreader.Error](err); !ok {
		err = &hotreader.Error{Op: "inter-cloud token: fetch", Code: hotreader.CodeConfig, Err: err}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fetched = time.Now()
	if err != nil {
		return false, err
	}
	t.tokens = tokens
	return strings.Join(old, ",") != strings.Join(tokens, ","), nil
}

// Keys derives a key for purpose from each active token, the current one's
// first. Sign with the first and accept all, so that what was signed outlives a
// rotation.
func (t *Token) Keys(purpose string) [][]byte {
	var keys [][]byte
	for _, token := range t.all() {
		h := hmac.New(sha256.New, []byte(token))
		h.Write([]byte(purpose))
		keys = append(keys, h.Sum(nil))
	}
	return keys
}

// String hides the token.
func (t *Token) String() string { return "[token]" }

// GoString hides the token.
func (t *Token) GoString() string { return "[token]" }

// LogValue hides the token.
func (t *Token) LogValue() slog.Value { return slog.StringValue("[token]") }
