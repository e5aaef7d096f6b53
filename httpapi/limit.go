package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"hotreader"
	"hotreader/identity"
)

// limit bounds how many answers are under way at once, and with that the memory
// that they take: an answer has a place from before its first row is read until
// its last byte is sent. A few more requests wait for a short time; the others,
// and those that waited in vain, are told at once when to come back.
//
// It is fair, to the tokens and, within a token, to the callers, told apart by
// their address. Who asks more than others fills but its own share:
//
//   - A place that comes free goes to the token that holds the fewest, there to
//     the caller that holds the fewest, there to who has waited longest.
//   - Where one more waits than may, the newest is sent away of the token of
//     which most wait, there of the caller of which most wait. So whoever is
//     alone may have the whole queue, and those who come later still get in.
//   - An eighth of the places is for others than any one token, a quarter for
//     others than any one caller: places are held for long by those who are slow
//     to take their answers, and nobody can be made to give one back.
//
// It is safe for concurrent use.
type limit struct {
	places, queue int
	wait          time.Duration

	mu      sync.Mutex
	held    int
	waiting []*place         // the oldest first
	tokens  map[string]*load // by the callers' names, of which there are few
	callers map[from]*load
}

// from tells callers apart.
type from struct {
	name    string
	address netip.Addr
}

// load is what a token, or a caller, has of a limit.
type load struct{ held, waits int }

// place is one request's, and before that its wait for one.
type place struct {
	of            *limit
	who           from
	token, caller *load
	told          chan bool // true: the place is there; false: it will not be
}

func loadOf[K comparable](loads map[K]*load, of K) *load {
	if loads[of] == nil {
		loads[of] = new(load)
	}
	return loads[of]
}

// newLimit returns a limit of so many places, nil for any number.
func newLimit(places, queue int, wait time.Duration) *limit {
	if places <= 0 {
		return nil
	}
	if queue <= 0 {
		queue = places
	}
	if wait <= 0 {
		wait = time.Second
	}
	return &limit{places: places, queue: queue, wait: wait, tokens: make(map[string]*load), callers: make(map[from]*load)}
}

// enter returns a place, for the caller to leave it. Without one the error is of
// CodeOverloaded, or says that ctx has ended.
func (l *limit) enter(ctx context.Context, caller identity.Caller) (*place, error) {
	if l == nil {
		return nil, nil
	}
	l.mu.Lock()
	p := &place{of: l, who: from{caller.Name, caller.Address}}
	p.token, p.caller = loadOf(l.tokens, caller.Name), loadOf(l.callers, p.who)
	if l.held < l.places && p.may() { // then none that waits may
		p.hold(1)
		l.mu.Unlock()
		return p, nil
	}
	p.told = make(chan bool, 1)
	l.waiting = append(l.waiting, p)
	p.token.waits++
	p.caller.waits++
	if len(l.waiting) > l.queue {
		l.tell(l.last(), false)
	}
	l.mu.Unlock()

	timer := time.NewTimer(l.wait)
	defer timer.Stop()
	full := func(why string) error {
		return &hotreader.Error{Op: "request", Code: hotreader.CodeOverloaded, RetryAfter: l.wait,
			Err: fmt.Errorf("of %d places, the most that there are, none is free, and %s; come back in %s", l.places, why, l.wait)}
	}
	var err error
	select {
	case in := <-p.told:
		if in {
			return p, nil
		}
		return nil, full(fmt.Sprintf("%d wait, which is the most", l.queue))
	case <-timer.C:
		err = full("none came free in time")
	case <-ctx.Done():
		err = &hotreader.Error{Op: "request", Code: hotreader.CodeOf(ctx.Err()),
			Err: fmt.Errorf("%w while waiting for one of %d places", ctx.Err(), l.places)}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.Contains(l.waiting, p) {
		l.tell(p, false)
	}
	if <-p.told { // just now
		return p, nil
	}
	return nil, err
}

// leave gives the place to another.
func (p *place) leave() {
	if p == nil {
		return
	}
	l := p.of
	l.mu.Lock()
	defer l.mu.Unlock()
	p.hold(-1)
	for l.held < l.places {
		next := l.next()
		if next == nil {
			return
		}
		next.hold(1)
		l.tell(next, true)
	}
}

// may reports whether p's caller and token may hold one more place.
func (p *place) may() bool {
	n := p.of.places
	return p.token.held < n-n/8 && p.caller.held < n-n/4
}

func (p *place) hold(n int) {
	p.of.held += n
	p.token.held += n
	p.caller.held += n
	p.forget()
}

// forget drops a caller that has nothing any more.
func (p *place) forget() {
	if *p.caller == (load{}) {
		delete(p.of.callers, p.who)
	}
}

// tell ends a wait.
func (l *limit) tell(p *place, in bool) {
	i := slices.Index(l.waiting, p)
	l.waiting = slices.Delete(l.waiting, i, i+1)
	p.token.waits--
	p.caller.waits--
	p.forget()
	p.told <- in
}

// next returns who gets the next place, nil if nobody may.
func (l *limit) next() *place {
	var best *place
	for _, p := range l.waiting {
		if p.may() && (best == nil || p.token.held < best.token.held || p.token.held == best.token.held && p.caller.held < best.caller.held) {
			best = p
		}
	}
	return best
}

// last returns who must go when too many wait.
func (l *limit) last() *place {
	var most *place
	for _, p := range slices.Backward(l.waiting) {
		if most == nil || p.token.waits > most.token.waits || p.token.waits == most.token.waits && p.caller.waits > most.caller.waits {
			most = p
		}
	}
	return most
}

// connection is the address that a request's connection comes from.
func connection(r *http.Request) netip.Addr {
	a, _ := netip.ParseAddrPort(r.RemoteAddr) // a host that is no server may have none: its callers are one
	return a.Addr()
}

// address is what logs call an address; "" if it is not known.
func address(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// network is what counts as one address: of IPv6 the /64, for a client gets a whole
// one.
func network(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		p, _ := a.Prefix(64) // an IPv6 address has as many bits
		a = p.Addr()
	}
	return a
}
