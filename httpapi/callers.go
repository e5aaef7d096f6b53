package httpapi

import (
	"cmp"
	"fmt"
	"math"
	"net/http"
	"net/netip"

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

// connection returns the address that a request's connection comes from.
func connection(r *http.Request) netip.Addr {
	a, _ := netip.ParseAddrPort(r.RemoteAddr) // a host without addresses has one caller
	return a.Addr()
}

// address returns the text of an address for logs; "" if it is not known.
func address(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// network returns what counts as one address: for IPv6 its /64, since a client
// usually has a whole one.
func network(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		p, _ := a.Prefix(64) // cannot fail for IPv6
		a = p.Addr()
	}
	return a
}
