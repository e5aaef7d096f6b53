package identity

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"hotreader"
)

// MinBytes is the least length of a token.
const MinBytes = 32

// refetch is the least time between two fetches that rejected tokens cause.
const refetch = 5 * time.Minute

// Token is the shared secret of two clouds: a current token and, while it is
// being rotated, the previous one. Make it with Static or Fetched; the zero
// Token matches nothing. It is safe for concurrent use.
type Token struct {
	fetch Fetch // nil: static

	// A pointer, for readers must not wait for a fetch, and so that a Token
	// which is printed by value shows an address.
	active  atomic.Pointer[active]
	turn    chan struct{} // holds one element while no fetch runs
	fetched time.Time     // of the last fetch, failed ones too; guarded by turn
}

// active are the valid tokens, the current one first.
type active struct {
	tokens []string
	made   time.Time // zero = that is not known
}

// Fetch reads a token: "current" or "current,previous", and when it was made, as
// far as that is known; for two tokens, when the second came.
type Fetch func(context.Context) (text string, made time.Time, err error)

// Static returns the token of text: "current", or "current,previous".
func Static(text string) (*Token, error) {
	tokens, err := parse(text)
	if err != nil {
		return nil, err
	}
	t := new(Token)
	t.active.Store(&active{tokens: tokens})
	return t, nil
}

// Fetched returns a token that fetch reads, now and, after one was rejected, at
// most each five minutes again. With an error it matches nothing until then.
func Fetched(ctx context.Context, fetch Fetch) (*Token, error) {
	t := &Token{fetch: fetch, turn: make(chan struct{}, 1)}
	t.turn <- struct{}{}
	_, err := t.Refresh(ctx)
	return t, err
}

func parse(text string) ([]string, error) {
	bad := func(format string, args ...any) error {
		return &hotreader.Error{Op: "inter-cloud token", Code: hotreader.CodeConfig, Err: fmt.Errorf(format, args...)}
	}
	if strings.TrimSpace(text) == "" {
		return nil, bad("it is empty; a server without a token does not start")
	}
	text, err := plainText(text)
	if err != nil {
		return nil, bad("%w", err)
	}
	var tokens []string
	several := strings.Contains(text, ",")
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		name := "it"
		if several {
			name = fmt.Sprintf("token %d", len(tokens)+1)
		}
		if len(part) < MinBytes {
			return nil, bad("%s has %d bytes, at least %d are needed; make one with: openssl rand -hex 32", name, len(part), MinBytes)
		}
		for i := range len(part) {
			if part[i] <= ' ' || part[i] > '~' {
				return nil, bad("%s has a character that an HTTP header cannot carry, at byte %d", name, i+1)
			}
		}
		tokens = append(tokens, part)
	}
	if len(tokens) > 2 {
		return nil, bad("%d tokens are given; a current and a previous one are the most", len(tokens))
	}
	if len(tokens) == 2 && tokens[0] == tokens[1] {
		return nil, bad("the current and the previous token are the same; leave the previous one out")
	}
	return tokens, nil
}

// Current returns the token to send.
func (t *Token) Current() string {
	if all := t.all(); len(all) > 0 {
		return all[0]
	}
	return ""
}

func (t *Token) all() []string {
	if a := t.active.Load(); a != nil {
		return a.tokens
	}
	return nil
}

// Match compares a presented token, of any bytes and length, with the active
// ones in constant time. slot is 0 for the current one and 1 for the previous.
func (t *Token) Match(presented string) (slot int, ok bool) {
	got := sha256.Sum256([]byte(presented))
	slot = -1
	for i, token := range t.all() {
		want := sha256.Sum256([]byte(token)) // of one length, whatever the texts'
		if subtle.ConstantTimeCompare(got[:], want[:]) == 1 {
			slot = i
		}
	}
	return slot, slot >= 0
}

// Shares reports whether one of the active tokens is one of o's, too.
func (t *Token) Shares(o *Token) bool {
	return slices.ContainsFunc(t.all(), func(one string) bool {
		_, ok := o.Match(one)
		return ok
	})
}

// Refresh fetches the token again if it can be and the last fetch is five
// minutes old, and reports whether the token is another one now than when it was
// called. Call it after a token was rejected; callers that come at the same time
// share one fetch. After an error the old token stays. An error is an *Error:
// fetch's own, CodeConfig for one of another kind and for a token that is
// wrong, CodeDeadline or CodeCanceled if ctx ends.
func (t *Token) Refresh(ctx context.Context) (changed bool, err error) {
	if t.fetch == nil {
		return false, nil
	}
	const op = "inter-cloud token: fetch"
	old := t.all()
	select {
	case <-t.turn:
	case <-ctx.Done():
		return false, &hotreader.Error{Op: op, Code: hotreader.CodeOf(ctx.Err()), Err: ctx.Err()}
	}
	defer func() { t.turn <- struct{}{} }()
	if t.fetched.IsZero() || time.Since(t.fetched) >= refetch {
		text, made, err := t.fetch(ctx)
		if err == nil || ctx.Err() == nil { // one hasty caller must not use up the fetch of all
			t.fetched = time.Now()
		}
		if err != nil {
			if _, ok := errors.AsType[*hotreader.Error](err); ok {
				return false, err
			}
			code := hotreader.CodeConfig
			if ctx.Err() != nil {
				code = hotreader.CodeOf(ctx.Err())
			}
			return false, &hotreader.Error{Op: op, Code: code, Err: err}
		}
		tokens, err := parse(text)
		if err != nil {
			return false, err
		}
		t.active.Store(&active{tokens, made})
	}
	return !slices.Equal(t.all(), old), nil
}

// Made returns when the token was made; the zero time if that is not known. For
// tokens of which two are active it is when the second came.
func (t *Token) Made() time.Time {
	if a := t.active.Load(); a != nil {
		return a.made
	}
	return time.Time{}
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

// PageKeys are what the tokens of pages are signed with: keys that are derived from the
// first of them sign, those of all are taken. None of it need be a caller's.
type PageKeys []*Token

// Keys derives the keys for purpose.
func (p PageKeys) Keys(purpose string) (keys [][]byte) {
	for _, t := range p {
		if t != nil {
			keys = append(keys, t.Keys(purpose)...)
		}
	}
	return keys
}

// Renew fetches again what can be, after a page's token was rejected, as Refresh does. It
// reports whether there are other keys now.
func (p PageKeys) Renew(ctx context.Context) (changed bool) {
	for _, t := range p {
		if t != nil {
			other, err := t.Refresh(ctx)
			changed = changed || err == nil && other
		}
	}
	return changed
}
