package e2e

import (
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hotreader"
	"hotreader/test/serving"
)

// A twin on AWS reads its history from the embedded store of another cloud.
func TestTwinReadsBoltInAnotherCloud(t *testing.T) {
	t.Parallel()
	s := telemetry(t)
	store := "bolt:" + filepath.Join(t.TempDir(), "hot.db")
	importFile(t, nil, store, s.file)
	twin := newTwinMaker(t, remoteEnv(serve(t, store, serving.Port(t)).URL))
	for _, a := range []ask{{name: "ascending"}, {name: "ascending by 200", page: 200}, {name: "descending by 10,000", page: 10_000, descending: true}} {
		got, err := all(t.Context(), twin, a)
		if wrong := a.difference(got, a.want(s)); err != nil || wrong != "" {
			t.Errorf("%s: %v; %s", a.name, err, wrong)
		}
	}
	last, err := twin.last(t.Context())
	if want := s.points[len(s.points)-1].value; err != nil || hotreader.CompareNumbers([]byte(last.value), []byte(want)) != 0 {
		t.Errorf("last entry %v, %v; want %s", last, err, want)
	}
}

// breaker is a wire that lets so many bytes of answers pass, then calls broken,
// once, and closes.
type breaker struct {
	url    string
	left   atomic.Int64
	broken func()
}

func newBreaker(t *testing.T, upstream string, bytes int64, broken func()) *breaker {
	t.Helper()
	b := &breaker{broken: broken}
	b.left.Store(bytes)
	b.url = "http://" + serving.Accept(t, func(_ int, in net.Conn) { b.pass(in, strings.TrimPrefix(upstream, "http://")) })
	return b
}

func (b *breaker) pass(in net.Conn, upstream string) {
	out, err := net.Dial("tcp", upstream)
	if err != nil {
		return
	}
	defer out.Close()
	go func() {
		_, _ = io.Copy(out, in)
		out.Close()
	}()
	buf := make([]byte, 512)
	for {
		n, err := out.Read(buf)
		if _, werr := in.Write(buf[:n]); err != nil || werr != nil {
			return
		}
		if left := b.left.Add(-int64(n)); left <= 0 && left+int64(n) > 0 {
			b.broken()
			return
		}
	}
}

// TwinMaker asks once and never again, so retrying is the reader's. The process
// that serves is killed in the middle of a long answer: started again, the one
// answer is exact; not started again, it is a typed error in time.
func TestPitfall12ServerKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	s := read(t, makeFile(t))
	store := "bolt:" + filepath.Join(t.TempDir(), "hot.db")
	importFile(t, nil, store, s.file)

	t.Run("started again", func(t *testing.T) {
		port := serving.Port(t)
		api := serve(t, store, port)
		killed := make(chan struct{})
		wire := newBreaker(t, api.URL, 40_000, func() { api.Kill(t); close(killed) })
		twin := newTwinMaker(t, remoteEnv(wire.url))
		type answer struct {
			points []point
			token  string
			err    error
		}
		answered := make(chan answer, 1)
		go func() {
			points, token, err := twin.history(t.Context(), ask{}, "")
			answered <- answer{points, token, err}
		}()
		select {
		case <-killed:
			serve(t, store, port)
		case a := <-answered:
			t.Fatalf("%d points came (%v) before the server was killed: the test tests nothing", len(a.points), a.err)
		}
		a := <-answered
		if a.err != nil || a.token != "" {
			t.Fatalf("token %q, error %v", a.token, a.err)
		}
		if wrong := new(ask).difference(a.points, s.points); wrong != "" {
			t.Error(wrong)
		}
	})

	t.Run("not started again", func(t *testing.T) {
		port := serving.Port(t)
		api := serve(t, store, port)
		wire := newBreaker(t, api.URL, 40_000, func() { api.Kill(t) })
		twin := newTwinMaker(t, remoteEnv(wire.url))
		twin.deadline = 20 * time.Second
		points, _, err := twin.history(t.Context(), ask{}, "")
		if _, ok := errors.AsType[*refused](err); !ok {
			t.Fatalf("%d points and %v, want an error of the function", len(points), err)
		}
		t.Logf("the twin is told: %v", err)
	})
}
