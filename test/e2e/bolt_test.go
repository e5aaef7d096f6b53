package e2e

import (
	"errors"
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

// breaker is the way to a server, and calls broken once so many bytes have come over it.
func breaker(t *testing.T, upstream string, bytes int64, broken func()) (url string) {
	t.Helper()
	var passed atomic.Int64
	return "http://" + serving.Proxy(t, strings.TrimPrefix(upstream, "http://"), func(_, _ int, p []byte) bool {
		n := passed.Add(int64(len(p)))
		if n < bytes || n-int64(len(p)) >= bytes {
			return false
		}
		broken()
		return true
	})
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
		wire := breaker(t, api.URL, 40_000, func() { api.Kill(t); close(killed) })
		twin := newTwinMaker(t, remoteEnv(wire))
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
		wire := breaker(t, api.URL, 40_000, func() { api.Kill(t) })
		twin := newTwinMaker(t, remoteEnv(wire))
		twin.deadline = 20 * time.Second
		points, _, err := twin.history(t.Context(), ask{}, "")
		if _, ok := errors.AsType[*refused](err); !ok {
			t.Fatalf("%d points and %v, want an error of the function", len(points), err)
		}
		t.Logf("the twin is told: %v", err)
	})
}
