package observe

import (
	"context"
	"sync"
	"time"
)

// pusher sends the metrics to a collector: every interval, and where a program
// stands still between requests, with the next one.
type pusher struct {
	m        *metrics
	to       *sender
	interval time.Duration
	stop     context.CancelFunc // of run, also while it sends
	stopped  chan struct{}

	mu   sync.Mutex // held while somebody sends
	last time.Time
}

func newPusher(m *metrics, to *sender, interval time.Duration) *pusher {
	ctx, stop := context.WithCancel(context.Background())
	p := &pusher{m: m, to: to, interval: interval, stop: stop, stopped: make(chan struct{}), last: time.Now()}
	go p.run(ctx)
	return p
}

func (p *pusher) run(ctx context.Context) {
	defer close(p.stopped)
	tick := time.NewTicker(p.interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.due(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// due sends, unless that was done less than half an interval ago, or somebody is
// about it: a query must not wait for what a collector that hangs makes others
// wait for.
func (p *pusher) due(ctx context.Context) {
	if !p.mu.TryLock() {
		return
	}
	defer p.mu.Unlock()
	if time.Since(p.last) >= p.interval/2 {
		p.send(ctx)
	}
}

// send sends; p.mu is held.
func (p *pusher) send(ctx context.Context) {
	p.last = time.Now()
	p.to.send(ctx, metricsOf(p.m.samples(), p.m.began, p.last))
}

// close sends what is left to tell.
func (p *pusher) close(ctx context.Context) {
	p.stop()
	<-p.stopped
	p.mu.Lock()
	defer p.mu.Unlock()
	p.send(ctx)
	p.to.client.CloseIdleConnections()
}
