package identity

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"hotreader"
)

// Trusted is a caller that an API takes: by the subject of tokens that its own cloud
// signs, or by a token that it shares with the API.
type Trusted struct {
	Name string `json:"name"` // of the caller; it is not secret

	// Of its cloud's tokens; "" = it shares one.
	Issuer   string `json:"issuer,omitempty"`
	Audience string `json:"audience,omitempty"`
	Subject  string `json:"subject,omitempty"`

	TokenSecret string `json:"token_secret,omitempty"` // what holds the shared token; "" = the cloud signs one

	Devices Devices `json:"devices,omitempty"`
	Rate    float64 `json:"rate,omitempty"`  // requests a second; 0 = the API's
	Burst   int     `json:"burst,omitempty"` // requests at once, above Rate; 0 = the API's
}

// Caller returns the trusted caller.
func (t *Trusted) Caller() Caller {
	return Caller{Name: t.Name, Devices: t.Devices, Rate: t.Rate, Burst: t.Burst}
}

// Shared is a caller that is known by the token that it shares with the API.
type Shared struct {
	Token  *Token
	Caller Caller // Name "" = which of the tokens it is: current, previous
}

func (s *Shared) match(presented string) (Caller, bool) {
	slot, ok := s.Token.Match(presented)
	c := s.Caller
	if ok && c.Name == "" {
		c.Name = [...]string{"current", "previous"}[slot]
	}
	return c, ok
}

// Callers verifies callers, each by its own proof.
type Callers struct {
	Shared     []Shared
	Federation *Federation  // nil = none
	Logger     *slog.Logger // gets a line if a token cannot be fetched again
}

// Verify implements Verifier.
func (c *Callers) Verify(r *http.Request) (Caller, error) {
	presented := presented(r)
	if caller, ok := c.match(presented); ok {
		return caller, nil
	}
	if token := c.Federation.parse(presented); token != nil {
		return c.Federation.verify(r.Context(), token)
	}
	// A token may have been rotated. The fetch must not end with this caller, for then
	// anybody could prevent it by hanging up.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 5*time.Second)
	defer cancel()
	for i := range c.Shared {
		if _, err := c.Shared[i].Token.Refresh(ctx); err != nil {
			c.Logger.LogAttrs(ctx, slog.LevelError, "the token could not be fetched again", slog.String("error", err.Error()))
		}
	}
	if caller, ok := c.match(presented); ok {
		return caller, nil
	}
	return Caller{}, &hotreader.Error{Op: "request", Code: hotreader.CodeUnauthenticated}
}

// match compares with all tokens, so that its time gives nothing away.
func (c *Callers) match(presented string) (caller Caller, ok bool) {
	for i := range c.Shared {
		if one, is := c.Shared[i].match(presented); is {
			caller, ok = one, true
		}
	}
	return caller, ok
}
