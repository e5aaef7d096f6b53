//go:build linux

package soak

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"hotreader/identity"
	"hotreader/test/serving"
)

// TestLoad: asked for twice what it can answer, and more, the program answers
// what it can, exactly, and tells all others when to come back; neither a greedy
// client nor hostile ones keep a modest one from its answers; its memory stays
// what it is; and when they have gone, nothing is left of them.
func TestLoad(t *testing.T) {
	warm, alone, load := 2*time.Second, time.Second, 5*time.Second
	if long() {
		warm, alone, load = 10*time.Second, 5*time.Second, minutes
	}
	r := dice(t)
	store := machine(t)
	s := serve(t, store, "--rate", "0", "--log-level", "warn")
	greedy := newClient("127.0.0.1", serving.Token)
	queries, err := mix(t.Context(), s, greedy)
	if err != nil {
		t.Fatal(err)
	}
	greedy.http.CloseIdleConnections()
	idle := settled(t, s)
	modest := func() *apart { return politely(t, s, "127.0.0.2", serving.Rotated, r) }
	ease, calm, near := modest(), modest(), politely(t, s, "127.0.0.3", serving.Token, r)

	// What it can do.
	full := closed(t.Context(), s, greedy, places-places/4, warm, queries, r)
	full.check(t, "warm-up")
	capacity := float64(full.served) / warm.Seconds()
	if full.served != full.asked || capacity == 0 {
		t.Fatalf("warm-up: %d of %d were served", full.served, full.asked)
	}
	say(t, "capacity %.0f/s; %d at once: median %s, 99 %% within %s", capacity, places-places/4, ms(full.at(0.5)), ms(full.at(0.99)))
	ease.begin(t)
	pause(t.Context(), alone)
	ease.end(t)
	ease.check(t, "the modest client, alone")
	say(t, "the modest client, one request after the other, alone: median %s, 99 %% within %s", ms(ease.at(0.5)), ms(ease.at(0.99)))

	// More than it can do.
	ctx, cease := context.WithCancel(t.Context())
	defer cease()
	enemies := attack(ctx, s)
	crowd := open(ctx, s, greedy, 2*capacity, queries, r, nil)
	calm.begin(t)
	near.begin(t)
	began := time.Now()
	var memory []int64
	told := began
	asked, shed, held := 0, 0, int64(0)
	for time.Since(began) < load {
		pause(t.Context(), 500*time.Millisecond)
		memory = append(memory, s.memory(t))
		// The machine may be faster by now than it was at first: ask more, until
		// it is too much.
		a, v, d := crowd.counts()
		h := crowd.held.Load()
		if d-shed < (a-asked)/5 && h == held {
			crowd.rate.Store(crowd.rate.Load() * 5 / 4)
		}
		if time.Since(told) >= 10*time.Second {
			told = time.Now()
			say(t, "%4.0f s: %.0f/s asked for in all %d, served %d, shed %d; memory %d MB; %d files", time.Since(began).Seconds(),
				float64(crowd.rate.Load())/1000, a, v, d, memory[len(memory)-1]>>20, s.files(t))
		}
		asked, shed, held = a, d, h
	}
	took := time.Since(began).Seconds()
	crowd.stop()
	calm.end(t)
	near.end(t)
	cease()
	enemies.check(t)

	// Every answer is right or a refusal, and both happened.
	crowd.check(t, "the greedy client")
	calm.check(t, "the modest client")
	near.check(t, "the neighbour")
	if crowd.busy == 0 || crowd.served == 0 {
		t.Errorf("of %d requests %d were served and %d refused: that is no overload", crowd.asked, crowd.served, crowd.busy)
	}
	// Fairness: a caller that asks little gets it all, as if the greedy one were one of
	// a few, and not a crowd: without a wait in the queue, where its requests are.
	for who, y := range map[string]*apart{"the modest client": calm, "the neighbour": near} {
		if y.share() < 0.98 {
			t.Errorf("%s: %d of %d were served", who, y.served, y.asked)
		}
		if like := 3*full.at(0.5) + ease.at(0.5); y.at(0.5) > max(like, crowd.at(0.5)/4) {
			t.Errorf("%s: median %s; the greedy one's %s, alone %s, and %s with %d at once", who, y.at(0.5), crowd.at(0.5), ease.at(0.5), full.at(0.5), places-places/4)
		}
	}
	// Who is let in has waited queueWait at the most, and then its answer is made
	// among places of them: as at first, or as the modest one's are meanwhile.
	if most := queueWait + max(4*full.at(0.99), 2*calm.at(0.99)); crowd.at(0.99) > most {
		t.Errorf("99 %% of what was admitted took up to %s; at most %s are meant", crowd.at(0.99), most)
	}
	// Memory: flat, and what so many answers take: the garbage of as much again
	// is Go's, and buffers that grow have been half as large before.
	third := len(memory) / 3
	early, late := most(memory[:third]), most(memory[len(memory)-third:])
	if slack := early/4 + 32<<20; late > early+slack && long() { // in some seconds it still grows to what it will be
		t.Errorf("memory: up to %d MB in the first third, %d MB in the last", early>>20, late>>20)
	}
	if bound := int64(64+places*answerMB*5/2) << 20; most(memory) > bound {
		t.Errorf("memory: up to %d MB, at most %d MB are meant", most(memory)>>20, bound>>20)
	}
	// And when they have gone, it is as before.
	greedy.http.CloseIdleConnections()
	left := settled(t, s)
	if left > idle {
		t.Errorf("%d files are open, %d were before", left, idle)
	}
	fresh := serve(t, store, "--rate", "0")
	if _, err := greedy.whole(t.Context(), fresh, queries[0]); err != nil { // then it has come as far as to serve
		t.Fatal(err)
	}
	greedy.http.CloseIdleConnections()
	settled(t, fresh)
	before, _ := fresh.goroutines(t)
	after, stacks := s.goroutines(t)
	if after > before || before == 0 {
		t.Errorf("%d goroutines are left, a fresh process has %d:\n%s", after, before, stacks)
	}

	table(t, [][]string{
		{"", "asked", "served", "429", "503", "28 s up", "median", "99 %"},
		line("warm-up, closed", full), line("modest, alone", &ease.tally),
		line("greedy", &crowd.tally), line("modest, other token", &calm.tally), line("modest, same token", &near.tally),
	})
	say(t, "asked for %.1f × the capacity of %.0f/s; served %.0f/s; %d requests held back here", float64(crowd.asked)/took/capacity, capacity,
		float64(crowd.served+calm.served+near.served)/took, crowd.held.Load())
	say(t, "memory: %d MB at most in the first third, %d MB in the last; files %d → %d; goroutines %d → %d", early>>20, late>>20, idle, left, before, after)
	say(t, "hostile: %s", enemies.said())
}

// TestStopUnderLoad: told to end under full load, the program answers everything
// that it took on, takes on nothing more, and ends with 0.
func TestStopUnderLoad(t *testing.T) {
	r := dice(t)
	store := machine(t)
	greedy, modest := newClient("127.0.0.1", serving.Token), newClient("127.0.0.2", serving.Rotated)
	warm := time.Second
	if long() {
		warm = 5 * time.Second
	}
	first := serve(t, store, "--rate", "0", "--log-level", "warn")
	queries, err := mix(t.Context(), first, greedy)
	if err != nil {
		t.Fatal(err)
	}
	full := closed(t.Context(), first, greedy, places-places/4, warm, queries, r)
	full.check(t, "warm-up")
	if err := first.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := first.wait(t); code != 0 {
		t.Errorf("at leisure: exit code %d", code)
	}
	capacity := float64(full.served) / warm.Seconds()

	// Half of the load that is too much is refused for its rate.
	s := serve(t, store, "--rate", fmt.Sprint(max(int(capacity*3/2), 1)), "--burst", "10")
	s.log.keep(true)
	type ended struct {
		outcome
		at time.Time
	}
	var mu sync.Mutex
	got := map[string]ended{}
	each := func(trace string, o outcome) {
		mu.Lock()
		defer mu.Unlock()
		got[trace] = ended{o, time.Now()}
	}
	crowd := open(t.Context(), s, greedy, 3*capacity, queries, r, each)
	calm := polite(t.Context(), s, modest, queries, r, each)
	for began := time.Now(); time.Since(began) < time.Minute; pause(t.Context(), 100*time.Millisecond) {
		if _, served, _ := calm.counts(); crowd.refused(http.StatusTooManyRequests) > 0 && served > 3 && time.Since(began) > warm {
			break
		}
		crowd.rate.Store(crowd.rate.Load() * 21 / 20)
	}
	stopped := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	code := s.wait(t)
	took := time.Since(stopped)
	crowd.stop()
	calm.stop()
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	whole, refused, late := 0, 0, 0
	for trace, o := range got {
		switch {
		case o.status == 0: // nothing of an answer came
			if late++; o.at.Before(stopped) {
				t.Errorf("%s before the end: %s", trace, o.wrong)
			}
		case o.wrong != "" && !o.late:
			t.Errorf("%s: an answer, %d, did not end well: %s", trace, o.status, o.wrong)
		case o.shed():
			refused++
		default:
			whole++
		}
	}
	// The program's own account: whatever it answered has come.
	lines := 0
	for text := range strings.Lines(s.log.kept()) {
		var line struct {
			Msg    string `json:"msg"`
			Trace  string `json:"trace_id"`
			Status int    `json:"status"`
			Error  string `json:"error"`
		}
		if json.Unmarshal([]byte(text), &line) != nil || line.Trace == "" {
			continue
		}
		lines++
		if o, ok := got[line.Trace]; !ok || o.status != line.Status || o.wrong != "" && !o.late {
			t.Errorf("it answered %s with %d (%s); what came is %d (%s)", line.Trace, line.Status, line.Error, o.status, o.wrong)
		}
	}
	if lines != whole+refused || whole == 0 || late == 0 || crowd.throttled == 0 {
		t.Errorf("it told of %d answers; %d came and %d refusals (%d for the rate), %d requests came to nothing at the end", lines, whole, refused, crowd.throttled, late)
	}
	say(t, "stop under load: %d answers and %d refusals came whole (%d for the rate), none was lost; %d requests came too late; ended after %s, exit code %d",
		whole, refused, crowd.throttled+calm.throttled, late, ms(took), code)
}

// settled waits until the number of open files does not change any more.
func settled(t testing.TB, s *server) int {
	t.Helper()
	n, since := s.files(t), time.Now()
	for deadline := time.Now().Add(45 * time.Second); time.Since(since) < time.Second && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if now := s.files(t); now != n {
			n, since = now, time.Now()
		}
	}
	return n
}

func most(all []int64) (m int64) {
	for _, n := range all {
		m = max(m, n)
	}
	return m
}

func ms(d time.Duration) string { return d.Round(time.Millisecond / 10).String() }

func line(who string, y *tally) []string {
	return []string{who, fmt.Sprint(y.asked), fmt.Sprintf("%d (%.1f %%)", y.served, 100*y.share()), fmt.Sprint(y.throttled), fmt.Sprint(y.busy), fmt.Sprint(y.late), ms(y.at(0.5)), ms(y.at(0.99))}
}

// table tells of rows in columns.
func table(t testing.TB, rows [][]string) {
	t.Helper()
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], len(cell))
		}
	}
	for _, row := range rows {
		text := fmt.Sprintf("%-*s", width[0], row[0])
		for i, cell := range row[1:] {
			text += fmt.Sprintf("  %*s", width[i+1], cell)
		}
		say(t, "%s", text)
	}
}

// hostile are those who mean no good. Each does its thing again and again until
// ctx ends, and counts what came of it.
type hostile struct {
	s     *server
	group sync.WaitGroup
	mu    sync.Mutex
	came  map[string]int
}

func (h *hostile) count(what string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.came[what]++
}

// dial connects from the address of all hostile ones, with a small buffer for
// what is not read.
func (h *hostile) dial(ctx context.Context) (*net.TCPConn, error) {
	d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}, Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 8<<10) })
	}}
	c, err := d.DialContext(ctx, "tcp", h.s.address)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { c.Close() })
	return c.(*net.TCPConn), nil
}

// again starts n who do their thing on one connection after the other.
func (h *hostile) again(ctx context.Context, what string, n int, do func(c *net.TCPConn) (came string)) {
	for range n {
		h.group.Go(func() {
			for ctx.Err() == nil {
				c, err := h.dial(ctx)
				if err != nil {
					if ctx.Err() == nil {
						h.count(what + ": not connected")
						pause(ctx, 100*time.Millisecond)
					}
					continue
				}
				came := do(c)
				_ = c.SetLinger(0)
				_ = c.Close()
				if ctx.Err() == nil {
					h.count(what + ": " + came)
				}
			}
		})
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// status reads an answer's status, "closed" if there is none.
func status(c net.Conn) string {
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "closed"
	}
	resp.Body.Close()
	return fmt.Sprint(resp.StatusCode)
}

// drip sends a byte each 200 ms until the server has enough of it.
func drip(ctx context.Context, c net.Conn) string {
	came := make(chan string, 1)
	go func() { came <- status(c) }()
	for {
		select {
		case s := <-came:
			return s
		case <-ctx.Done():
			return ""
		case <-time.After(200 * time.Millisecond):
		}
		_, _ = c.Write([]byte("x")) // the answer tells
	}
}

const withToken = " HTTP/1.1\r\nHost: x\r\n" + identity.TokenHeader + ": " + serving.Token + "\r\n"

// attack starts all of them.
func attack(ctx context.Context, s *server) *hostile {
	h := &hostile{s: s, came: map[string]int{}}
	h.again(ctx, "slow headers", 30, func(c *net.TCPConn) string {
		_, _ = io.WriteString(c, "POST /read"+withToken+"X-Slow: ")
		return drip(ctx, c)
	})
	h.again(ctx, "slow bodies", 30, func(c *net.TCPConn) string {
		_, _ = io.WriteString(c, "POST /read"+withToken+"Content-Length: 60000\r\n\r\n")
		return drip(ctx, c)
	})
	// The largest answers there are, taken at 10 bytes a second.
	h.again(ctx, "slow readers", 40, func(c *net.TCPConn) string {
		_, _ = io.WriteString(c, "GET /v1/devices/"+large+"/history?"+selected()+withToken+"Connection: close\r\n\r\n")
		b := make([]byte, 1)
		for n := 0; ; n++ {
			if _, err := c.Read(b); err != nil {
				if n > 0 {
					return "broken off"
				}
				return "closed"
			}
			pause(ctx, 100*time.Millisecond)
		}
	})
	// As many as 400 connections that say nothing, 200 new ones a second.
	h.again(ctx, "connections", 400, func(c *net.TCPConn) string {
		_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
		_, _ = io.Copy(io.Discard, c)
		return "opened"
	})
	huge := "X-Huge: " + strings.Repeat("x", 128<<10)
	h.again(ctx, "huge headers", 2, func(c *net.TCPConn) string {
		pause(ctx, 50*time.Millisecond)
		go func() { _, _ = io.WriteString(c, "GET /healthz"+withToken+huge+"\r\n\r\n") }()
		return status(c)
	})
	h.again(ctx, "wrong tokens", 2, func(c *net.TCPConn) string {
		pause(ctx, 20*time.Millisecond)
		_, _ = io.WriteString(c, "GET /v1/devices/"+large+"/history?"+selected()+" HTTP/1.1\r\nHost: x\r\n"+identity.TokenHeader+": "+strings.Repeat("w", 32)+"\r\n\r\n")
		return status(c)
	})
	return h
}

// allowed is what may come of it.
var allowed = map[string]string{
	"slow headers: closed": "", "slow headers: 408": "", "slow bodies: 408": "",
	"slow readers: broken off": "", "slow readers: closed": "",
	"connections: opened": "", "huge headers: 431": "", "huge headers: closed": "", "wrong tokens: 401": "",
}

// check fails the test if the hostile ones got anything else than they should.
func (h *hostile) check(t testing.TB) {
	t.Helper()
	h.group.Wait()
	for _, what := range slices.Sorted(maps.Keys(h.came)) {
		if _, ok := allowed[what]; !ok {
			t.Errorf("hostile clients: %d times %s", h.came[what], what)
		}
	}
	for _, what := range []string{"huge headers: 431", "wrong tokens: 401", "connections: opened"} {
		if h.came[what] == 0 {
			t.Errorf("hostile clients: not one came to %s", what)
		}
	}
}

// said returns the counts in words.
func (h *hostile) said() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(h.came)) {
		parts = append(parts, fmt.Sprintf("%d %s", h.came[what], strings.Replace(what, ": ", " → ", 1)))
	}
	return strings.Join(parts, ", ")
}
