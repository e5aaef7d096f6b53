package config

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log/slog"
)

// Secret is a token that no print, log or encoder shows. The zero Secret holds
// none.
type Secret struct {
	// A pointer, for fmt calls no method on what lies in an unexported field of
	// somebody's struct; it then prints an address.
	text *string
}

// NewSecret returns the Secret of text; the zero one for "".
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{&text}
}

// NewToken returns a new token of 256 random bits, as 43 characters of
// base64url.
func NewToken() Secret {
	var b [32]byte
	rand.Read(b[:]) // never fails
	return NewSecret(base64.RawURLEncoding.EncodeToString(b[:]))
}

// Reveal returns the secret itself, "" for the zero Secret.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero reports whether s holds no secret.
func (s Secret) IsZero() bool { return s.text == nil }

// Equal reports whether a and b hold the same.
func (s Secret) Equal(b Secret) bool { return s.Reveal() == b.Reveal() }

// String hides the secret.
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return "[token]"
}

// Format hides the secret whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }

// LogValue hides the secret.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
