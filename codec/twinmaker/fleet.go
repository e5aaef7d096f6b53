package twinmaker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"

	"hotreader"
)

// maxSideBySide is how many devices of a Fleet are read at once.
const maxSideBySide = 32

// aheadShare is the part of a page's bytes that a device may have before it is its
// turn. So those that wait hold two pages at most.
const aheadShare = maxSideBySide / 2

// minPoint is less than the bytes of any point.
const minPoint = len(`{"time":"2006-01-02T15:04:05.000Z","value":{"longValue":0}},`)

// fleetPage is a page of a Fleet's rows, device by device. Devices are read
// concurrently, as far as each may fit into the page, and taken in the catalogue's order. One
// that turns out not to fit is read once more, with what is left of the page.
//
// A device's property comes once on a page. It has an empty series if no row of the
// device, on any page, has the property; but with filters, a device of which no row
// passes is not in the answer at all.
type fleetPage struct {
	*Responder
	ctx    context.Context // for reading; it ends before the caller's
	caller context.Context
	req    *Request
	stats  *hotreader.Stats

	out     []byte // what it has: series, each with a comma after it
	fates   []fate // of all values, of the pages before, too
	budget  int    // bytes that are left
	left    int    // rows that are left
	rows    int    // that it has
	devices int    // that were read to their end
	last    string // of them; or of the pages before

	queue []*part  // are being read, or have been
	next  []string // devices to be read after those
	after string   // the last one that the catalogue was asked for
	ended bool     // there are none after it
	wide  int      // how many are read concurrently
}

// part is a device's part of a page.
type part struct {
	device string
	from   *position // nil = its first
	shown  []fate    // the properties that have been given on a page before
	want   int       // rows; math.MaxInt = any number
	budget int       // bytes of points

	ready    chan struct{} // closed when the rest is set
	page     *page
	next     *position
	rows     int
	stats    *hotreader.Stats
	err      error
	panicked any
}

// appendFleet appends an answer of many devices, as appendDevice does for one.
func (r *Responder) appendFleet(ctx context.Context, dst []byte, req *Request, from *position, stats *hotreader.Stats) ([]byte, *position, error) {
	reading, cancel := r.withReserve(ctx)
	n := len(req.Query.Properties)
	f := &fleetPage{
		Responder: r, ctx: reading, caller: ctx, req: req, stats: stats,
		out: append(dst, `{"propertyValues":[`...), fates: make([]fate, n),
		budget: r.maxBytes() - around(req),
		left:   r.rows(req), wide: maxSideBySide,
	}
	if f.left == 0 {
		f.left = math.MaxInt
	}
	defer func() {
		cancel()
		for _, p := range f.queue {
			<-p.ready
			f.discard(p)
		}
	}()
	if from != nil {
		f.resume(from)
	}
	next, err := f.fill()
	if err == nil && next == nil {
		err = r.ended(req, f.fates, stats)
	}
	if err != nil {
		return dst, nil, err
	}
	if last := len(f.out) - 1; f.out[last] == ',' {
		f.out = f.out[:last]
	}
	return r.appendWarnings(append(f.out, ']'), f.req, stats), next, nil
}

// resume goes on where the page before has ended. Its devices say how many a page may
// have, so that no more are read in vain. A device that the type no longer has, since
// the twin was deployed again, is done.
func (f *fleetPage) resume(from *position) {
	f.fates, f.last, f.after = from.fates, from.device, from.device
	f.wide = max(1, min(from.devices+1, maxSideBySide))
	if from.kind == devicePosition {
		return
	}
	if d, ok := f.req.Fleet.Catalog.Device(from.device); ok && (d.Type == f.req.Fleet.Type || d.Type == "" && d.ID == f.req.Fleet.Type) {
		f.launch(&part{device: from.device, from: from, shown: from.own})
	}
}

// fill fills the page. It returns the next one's position, nil if there is none.
func (f *fleetPage) fill() (*position, error) {
	f.wide = min(f.wide, f.left)
	for {
		for len(f.queue) < f.wide && f.more() {
			device := f.next[0]
			f.next = f.next[1:]
			f.launch(&part{device: device, shown: make([]fate, len(f.fates))})
		}
		if len(f.queue) == 0 {
			return nil, nil
		}
		p := f.queue[0]
		f.await(p)
		budget := f.space(p)
		if exact := p.want == f.left && p.budget == budget; !exact && !(f.holds(p) && p.next == nil) && !f.timeUp() {
			f.discard(p)
			p.want, p.budget = f.left, budget
			f.read(p)
			f.await(p)
		}
		switch {
		case f.holds(p):
			f.queue = f.queue[1:]
			if next := f.take(p); next != nil {
				return next, nil
			}
			if f.left == 0 {
				return f.behind(), nil
			}
		case p.err != nil && !f.timeUp() && !errors.Is(p.err, hotreader.CodeTooLarge):
			return nil, p.err
		case f.rows > 0:
			return f.behind(), nil
		case f.timeUp():
			return nil, f.late(p.err)
		case p.err != nil:
			return nil, p.err
		default:
			return nil, tooLarge(f.maxBytes()-budget, f.maxBytes())
		}
	}
}

// timeUp reports whether the time for reading is used up, but not the caller's.
func (f *fleetPage) timeUp() bool { return f.ctx.Err() != nil && f.caller.Err() == nil }

// more reports whether there are devices to be read after those in the queue, and puts
// some into next.
func (f *fleetPage) more() bool {
	for len(f.next) == 0 && !f.ended {
		some := f.req.Fleet.Catalog.Devices("", f.req.Fleet.Type, f.after, maxSideBySide)
		for _, d := range some {
			if f.after = d.ID; f.req.passes(d.ID) {
				f.next = append(f.next, d.ID)
			}
		}
		f.ended = len(some) == 0
	}
	return len(f.next) > 0
}

// space returns how many bytes of points the page can still take of p's device.
func (f *fleetPage) space(p *part) int { return f.budget - overhead(f.req, p.device) }

// holds reports whether the page can take p as it is.
func (f *fleetPage) holds(p *part) bool {
	return p.err == nil && p.rows <= f.left && p.page.size <= f.space(p)
}

// launch starts reading a device, after those in the queue: the first with all that is
// left of the page, another with a share.
func (f *fleetPage) launch(p *part) {
	p.want, p.budget = f.left, f.space(p)
	if len(f.queue) > 0 {
		p.budget = min(p.budget, f.maxBytes()/aheadShare)
		p.want = min(p.want, max(1, p.budget/minPoint))
	}
	f.queue = append(f.queue, p)
	p.ready = make(chan struct{})
	go func() {
		defer close(p.ready)
		defer func() {
			if v := recover(); v != nil {
				p.panicked = fmt.Sprintf("%v\n%s", v, debug.Stack())
			}
		}()
		f.read(p)
	}()
}

// await waits for p, and panics where reading it has.
func (f *fleetPage) await(p *part) {
	<-p.ready
	if p.panicked != nil {
		panic(p.panicked)
	}
}

// read reads p's part of the page.
func (f *fleetPage) read(p *part) {
	req := *f.req
	req.Query.Device = p.device
	p.page, p.stats = newPage(&req.Query), new(hotreader.Stats)
	filler := pageFiller{
		Responder: f.Responder, ctx: hotreader.WithStats(f.ctx, p.stats), caller: f.caller,
		req: &req, page: p.page, from: p.from, budget: p.budget,
	}
	if p.want < math.MaxInt {
		filler.want = p.want
	}
	p.next, p.err = filler.read()
	p.page.account(&req, p.stats)
	p.rows = filler.rows + p.page.steps()
}

// steps returns how many steps of an interpolation the page spans.
func (p *page) steps() (n int) {
	first := int64(math.MaxInt64)
	for i := range p.columns {
		if c := &p.columns[i]; len(c.ends) > 0 {
			first = min(first, c.from)
		}
	}
	for i := range p.columns {
		if c := &p.columns[i]; len(c.ends) > 0 {
			n = max(n, int(c.from-first)+len(c.ends))
		}
	}
	return n
}

// discard lets p's rows go, and counts what they have cost.
func (f *fleetPage) discard(p *part) {
	if p.page == nil {
		return
	}
	f.stats.Looked.Add(p.stats.Looked.Load())
	f.stats.Reads.Add(p.stats.Reads.Load())
	f.stats.Bytes.Add(p.stats.Bytes.Load())
	f.stats.Attempts.Add(p.stats.Attempts.Load())
	p.page.release()
	p.page = nil
}

// take puts p onto the page, and returns the next page's position if that begins in p's
// device.
func (f *fleetPage) take(p *part) *position {
	f.stats.Add(p.stats)
	before, some := len(f.out), false
	for i := range p.page.columns {
		c := &p.page.columns[i]
		f.fates[i] |= c.fate
		if len(c.buf) > 0 {
			p.shown[i] |= given
		}
		some = some || p.shown[i]&given != 0
	}
	for _, name := range f.req.names() {
		c := &p.page.columns[name.Column]
		silent := p.next == nil && p.shown[name.Column]&given == 0 && (some || len(f.req.Query.Filters) == 0)
		if len(c.buf) > 0 || silent {
			f.out = append(f.req.appendOne(f.out, name.Property, p.device, c.buf), ',')
		}
	}
	f.budget -= len(f.out) - before
	f.rows += p.rows
	if f.left < math.MaxInt {
		f.left -= p.rows
	}
	f.wide = max(1, min(f.wide+1, maxSideBySide, f.left))
	if p.rows == 0 {
		f.wide = min(2*f.wide, maxSideBySide) // there may be many more such devices
	}
	p.page.release()
	p.page = nil
	if next := p.next; next != nil {
		next.device, next.own, next.devices, next.fates = p.device, p.shown, f.devices, f.fates
		return next
	}
	f.devices, f.last = f.devices+1, p.device
	return nil
}

// behind returns the position at the next device, nil if there is none.
func (f *fleetPage) behind() *position {
	if len(f.queue) == 0 && !f.more() {
		return nil
	}
	return &position{kind: devicePosition, fates: f.fates, device: f.last, own: make([]fate, len(f.fates)), devices: f.devices}
}

// late returns the error of a page whose time is up before its first row.
func (f *fleetPage) late(cause error) error {
	fleet := f.req.Fleet
	n := fleet.Catalog.Count(fleet.Type)
	done := n - len(fleet.Catalog.Devices("", fleet.Type, f.last, n))
	if len(f.queue) > 0 && f.queue[0].from != nil { // it has been begun on the page before
		done--
	}
	return &hotreader.Error{Op: "twinmaker: history", Code: hotreader.CodeDeadline, Err: &Said{
		Text: fmt.Sprintf("The time for the query is used up: %d of the %d devices of the type %q were read, and no further row was found; ask for a shorter range, or give the function more time", done, n, fleet.Type),
		Err:  cause,
	}}
}
