// Package turns bounds how much is done at once, and shares that out among the callers.
package turns

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"hotreader"
)

// Limit bounds how many requests have a place at once, and so the memory that they take.
// When all places are held, a few requests wait for a short time. The others are
// rejected, with the time after which to try again.
//
// It is fair to tokens and, within a token, to callers, by their
// addresses. A caller that sends more requests than others uses up only its own share:
//
//   - A free place goes to the token that holds the fewest; within it to the caller
//     that holds the fewest; of that one's requests to the oldest.
//   - When the queue is too long, Limit rejects the newest request of the token with
//     the most waiting requests, within it of the caller with the most. So a single
//     caller may use the whole queue, and later callers still get in.
//   - No token may hold more than PerToken, which New sets to seven eighths of the places;
//     no caller more than three quarters: some hold their places for long, and a place
//     cannot be taken away.
//
// It is safe for concurrent use.
type Limit struct {
	PerToken int // the most places that one token may hold; set it before use

	places, queue int
	wait          time.Duration

	mu      sync.Mutex
	held    int
	waiting []*Place         // the oldest first
	tokens  map[string]*load // by caller name; there are few
	callers map[callerKey]*load
}

type callerKey struct {
	name    string
	address netip.Addr
}

// load counts the places of a token or a caller.
type load struct{ held, waits int }

// Place belongs to one request: it waits for the place, then holds it.
type Place struct {
	of            *Limit
	key           callerKey
	token, caller *load
	granted       chan bool // gets one value; false: rejected
}

func loadOf[K comparable](loads map[K]*load, of K) *load {
	if loads[of] == nil {
		loads[of] = new(load)
	}
	return loads[of]
}

// New returns a limit; nil, which limits nothing, if places is not positive.
func New(places, queue int, wait time.Duration) *Limit {
	if places <= 0 {
		return nil
	}
	if queue <= 0 {
		queue = places
	}
	if wait <= 0 {
		wait = time.Second
	}
	return &Limit{PerToken: places - places/8, places: places, queue: queue, wait: wait, tokens: make(map[string]*load), callers: make(map[callerKey]*load)}
}

// Enter returns a place for a request of the token of that name, which came from an address;
// the caller must leave it. An error is of CodeOverloaded, or says that ctx has ended.
func (l *Limit) Enter(ctx context.Context, token string, from netip.Addr) (*Place, error) {
	if l == nil {
		return nil, nil
	}
	l.mu.Lock()
	p := &Place{of: l, key: callerKey{token, from}}
	p.token, p.caller = loadOf(l.tokens, token), loadOf(l.callers, p.key)
	if l.held < l.places && p.mayHold() { // then no waiting request may: Leave would have let it in
		p.hold(1)
		l.mu.Unlock()
		return p, nil
	}
	p.granted = make(chan bool, 1)
	l.waiting = append(l.waiting, p)
	p.token.waits++
	p.caller.waits++
	if len(l.waiting) > l.queue {
		l.endWait(l.toReject(), false)
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
	case granted := <-p.granted:
		if granted {
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
		l.endWait(p, false)
	}
	if <-p.granted { // in the same moment
		return p, nil
	}
	return nil, err
}

// Leave frees the place and gives it to a waiting request.
func (p *Place) Leave() {
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
		l.endWait(next, true)
	}
}

// mayHold reports whether p's token and caller may hold one more place.
func (p *Place) mayHold() bool {
	n := p.of.places
	return p.token.held < p.of.PerToken && p.caller.held < n-n/4
}

func (p *Place) hold(n int) {
	p.of.held += n
	p.token.held += n
	p.caller.held += n
	p.forget()
}

// forget drops a caller that neither holds a place nor waits.
func (p *Place) forget() {
	if *p.caller == (load{}) {
		delete(p.of.callers, p.key)
	}
}

// endWait removes p from the queue and passes on whether it has the place.
func (l *Limit) endWait(p *Place, granted bool) {
	i := slices.Index(l.waiting, p)
	l.waiting = slices.Delete(l.waiting, i, i+1)
	p.token.waits--
	p.caller.waits--
	p.forget()
	p.granted <- granted
}

// next returns the waiting request that gets the next free place, nil if none may.
func (l *Limit) next() *Place {
	var best *Place
	for _, p := range l.waiting {
		if p.mayHold() && (best == nil || p.token.held < best.token.held || p.token.held == best.token.held && p.caller.held < best.caller.held) {
			best = p
		}
	}
	return best
}

// toReject returns the request to reject when the queue is too long.
func (l *Limit) toReject() *Place {
	var most *Place
	for _, p := range slices.Backward(l.waiting) {
		if most == nil || p.token.waits > most.token.waits || p.token.waits == most.token.waits && p.caller.waits > most.caller.waits {
			most = p
		}
	}
	return most
}
