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

	"hotreader/test/runtimeapi"
)

// A twin on AWS reads its history from the embedded store of another cloud.
func TestTwinReadsBoltInAnotherCloud(t *testing.T) {
	t.Parallel()
	s := telemetry(t)
	store := "bolt:" + filepath.Join(t.TempDir(), "hot.db")
	importFile(t, nil, store, s.file)
	api := serve(t, nil, store, "127.0.0.1:0")
	checkTwin(t, newTwin(t, remoteEnv(api.URL)), s)
}

// breaker is a wire that lets so many bytes of answers pass, then calls broken,
// once, and closes.
type breaker struct {
	listener net.Listener
	left     atomic.Int64
	broken   func()
}

func newBreaker(t *testing.T, upstream string, bytes int64, broken func()) *breaker {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &breaker{listener: l, broken: broken}
	b.left.Store(bytes)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go b.pass(in, upstream)
		}
	}()
	return b
}

func (b *breaker) pass(in net.Conn, upstream string) {
	defer in.Close()
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
		addr := freePort(t)
		api := serve(t, nil, store, addr)
		killed := make(chan struct{})
		wire := newBreaker(t, addr, 40_000, func() { api.kill(); close(killed) })
		tw := newTwin(t, remoteEnv("http://"+wire.listener.Addr().String()))
		type answer struct {
			points []point
			token  string
			err    error
		}
		answered := make(chan answer, 1)
		go func() {
			points, token, err := tw.page("ASCENDING", 0, "")
			answered <- answer{points, token, err}
		}()
		select {
		case <-killed:
			serve(t, nil, store, addr)
		case a := <-answered:
			t.Fatalf("%d points came (%v) before the server was killed: the test tests nothing", len(a.points), a.err)
		}
		a := <-answered
		if a.err != nil || a.token != "" {
			t.Fatalf("token %q, error %v", a.token, a.err)
		}
		same(t, "resumed", a.points, s.points)
	})

	t.Run("not started again", func(t *testing.T) {
		addr := freePort(t)
		api := serve(t, nil, store, addr)
		wire := newBreaker(t, addr, 40_000, api.kill)
		tw := newTwin(t, remoteEnv("http://"+wire.listener.Addr().String()))
		tw.deadline = 20 * time.Second
		points, _, err := tw.page("ASCENDING", 0, "")
		failure, ok := errors.AsType[*runtimeapi.Failure](err)
		if !ok {
			t.Fatalf("%d points and %v, want an error of the function", len(points), err)
		}
		if !strings.HasPrefix(failure.Type, "HotReader.") {
			t.Errorf("errorType %q", failure.Type)
		}
		t.Logf("the twin is told: %v", failure)
	})
}
