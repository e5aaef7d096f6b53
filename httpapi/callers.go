package httpapi

import (
	"cmp"
	"fmt"
	"math"

	"golang.org/x/time/rate"

	"hotreader"
	"hotreader/identity"
)

// callers returns the verifier of all allowed callers.
func (o *Options) callers() *identity.Callers {
	all := &identity.Callers{Shared: o.Trust, Federation: o.Federation, Logger: o.Logger}
	if o.Token != nil {
		all.Shared = append([]identity.Shared{{Token: o.Token, Caller: identity.Caller{Devices: o.Devices}}}, o.Trust...)
	}
	return all
}

// admit counts a request against its caller's rate.
func (a *api) admit(c *identity.Caller) error {
	most, burst := a.o.Rate, a.o.Burst
	if c.Rate > 0 {
		most, burst = c.Rate, defaultBurst(c.Rate)
	}
	if most < 0 {
		return nil
	}
	a.mu.Lock()
	l := a.rates[c.Name]
	if l == nil {
		l = rate.NewLimiter(rate.Limit(most), cmp.Or(c.Burst, burst))
		a.rates[c.Name] = l
	}
	a.mu.Unlock()
	r := l.Reserve()
	if wait := r.Delay(); wait > 0 {
		r.Cancel()
		return &hotreader.Error{Op: "request", Code: hotreader.CodeThrottled, RetryAfter: wait,
			Err: fmt.Errorf("more than %g requests a second", most)}
	}
	return nil
}

// defaultBurst is twice a rate.
func defaultBurst(rate float64) int { return int(math.Ceil(2 * min(max(rate, 1), 1<<30))) }
