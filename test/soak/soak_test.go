//go:build linux

package soak

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"hotreader/test/serving"
)

// The configuration of `hotreader serve`, which bounds what is asserted.
const (
	places    = 32
	queueWait = 5 * time.Second
	answerMB  = 8

	// A query has 28 s, its wait included; a machine so busy may need them.
	timeBudget = 20 * time.Second
)

var (
	home    string        // a folder for all tests
	minutes time.Duration // of load; 0 = a short run among other tests
	seed    uint64
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if what := os.Getenv(askEnv); what != "" {
			if err := ask(what); err != nil {
				log.Fatal(err)
			}
			return 0
		}
		seed = rand.Uint64() >> 1
		if text := os.Getenv("SEED"); text != "" {
			n, err := strconv.ParseUint(text, 10, 64)
			if err != nil {
				log.Fatalf("SEED=%s is no number", text)
			}
			seed = n
		}
		if text := os.Getenv("SOAK"); text != "" {
			d, err := time.ParseDuration(text)
			if err != nil || d < 10*time.Second {
				log.Fatalf("SOAK=%s: give how long the load shall last, 10s or more, as in SOAK=3m", text)
			}
			minutes = d
		}
		var err error
		if home, err = os.MkdirTemp("", "hotreader-soak-"); err != nil {
			log.Fatal(err)
		}
		defer os.RemoveAll(home)
		return m.Run()
	}())
}

// long reports whether this is `make soak`.
func long() bool { return minutes > 0 }

// say tells of the progress: at once in `make soak`, else in the test's log.
func say(t testing.TB, format string, args ...any) {
	t.Helper()
	if long() {
		fmt.Printf(format+"\n", args...)
		return
	}
	t.Logf(format, args...)
}

// dice returns the source of a test's randomness.
func dice(t testing.TB) *rand.Rand {
	t.Helper()
	say(t, "SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, uint64(len(t.Name()))))
}

// command returns the program with args and an environment of its own.
func command(t testing.TB, folder string, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.Command(serving.Program(t, "hotreader"), args...)
	c.Dir = folder
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + folder, "TMPDIR=" + folder,
		"INTER_CLOUD_TOKEN=" + serving.Token + "," + serving.Rotated}
	return c
}

// run runs the program to its end.
func run(t testing.TB, args ...string) string {
	t.Helper()
	out, err := command(t, t.TempDir(), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("hotreader %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// server is a running `hotreader serve`.
type server struct {
	address string
	cmd     *exec.Cmd
	log     tail
	exited  chan struct{}
}

// serve starts the program and waits until it listens.
func serve(t testing.TB, store string, args ...string) *server {
	t.Helper()
	s := &server{exited: make(chan struct{})}
	s.cmd = command(t, t.TempDir(), append([]string{"serve", "--store", store, "--listen", "127.0.0.1:0"}, args...)...)
	s.cmd.Stderr = &s.log
	listening := make(chan string, 1)
	s.log.first = func(line string) {
		_, address, _ := strings.Cut(strings.TrimSpace(line), "http://")
		listening <- address
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = s.cmd.Wait() // how it ends is the test's affair
		close(s.exited)
	}()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill() // it may have ended
		<-s.exited
	})
	select {
	case s.address = <-listening:
	case <-s.exited:
	case <-time.After(time.Minute):
	}
	if _, _, err := net.SplitHostPort(s.address); err != nil {
		t.Fatalf("it does not listen: %s", s.log.kept())
	}
	return s
}

// wait waits for the end and returns the exit code.
func (s *server) wait(t testing.TB) int {
	t.Helper()
	select {
	case <-s.exited:
	case <-time.After(time.Minute):
		t.Fatal("it does not end")
	}
	return s.cmd.ProcessState.ExitCode()
}

// memory returns how many bytes of memory the process has, without the pages of
// files, which the system takes back when it needs them.
func (s *server) memory(t testing.TB) int64 {
	t.Helper()
	bytes := serving.Memory(s.cmd.Process.Pid)
	if bytes == 0 {
		t.Fatalf("the process is gone: %s", s.log.kept())
	}
	return bytes
}

// files returns how many files and connections the process has open.
func (s *server) files(t testing.TB) int {
	t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// goroutines ends the process, and returns how many goroutines it had, but for
// those of Go itself.
func (s *server) goroutines(t testing.TB) (n int, stacks string) {
	t.Helper()
	s.log.keep(true)
	if err := s.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	s.wait(t)
	stacks = s.log.kept()
	all := strings.Split(stacks, "\ngoroutine ")
	for _, stack := range all[1:] {
		if !strings.HasPrefix(stack, "0 ") && !strings.Contains(stack, "\ncreated by runtime.") {
			n++
		}
	}
	return n, stacks
}

// tail takes what a process says, counts its lines, and keeps them when told.
type tail struct {
	first func(line string)

	mu      sync.Mutex
	told    bool
	keeping bool
	text    bytes.Buffer
}

var _ io.Writer = (*tail)(nil)

func (l *tail) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keeping || !l.told {
		l.text.Write(b)
	}
	if !l.told {
		if i := bytes.IndexByte(l.text.Bytes(), '\n'); i >= 0 {
			l.told = true
			l.first(string(l.text.Bytes()[:i]))
		}
	}
	return len(b), nil
}

func (l *tail) keep(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keeping = on
}

func (l *tail) kept() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// apart is a client in a process of its own that asks one request after the
// other. In one process with the crowd it would wait for its turn among all who
// have an answer to look at, and that is not the server's time.
type apart struct {
	tally
	in   io.WriteCloser
	read chan error
}

// askEnv tells this program that it is such a process, and what to do.
const askEnv = "SOAK_ASK"

// politely returns a client that has looked at all answers of s, and waits to
// begin.
func politely(t testing.TB, s *server, address, token string, r *rand.Rand) *apart {
	t.Helper()
	a := &apart{read: make(chan error, 1)}
	var cmd *exec.Cmd
	var out io.Reader
	cmd, a.in, out = serving.Again(t, fmt.Sprintf("%s=%s %s %s %d", askEnv, s.address, address, token, r.Uint64()))
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatalf("the client that is to ask politely does not: %v", cmd.Wait())
	}
	go func() {
		for lines.Scan() {
			var o outcome
			if _, err := fmt.Sscanf(lines.Text(), spelled, &o.status, &o.took, &o.late, &o.kind, &o.wrong); err != nil {
				a.read <- fmt.Errorf("%s: %w", lines.Text(), err)
				return
			}
			a.add(o)
		}
		a.read <- lines.Err()
	}()
	return a
}

// spelled is an outcome on a line.
const spelled = "%d %d %t %q %q"

// begin lets it ask.
func (a *apart) begin(t testing.TB) {
	t.Helper()
	if _, err := io.WriteString(a.in, "\n"); err != nil {
		t.Fatal(err)
	}
}

// end lets it ask no more, and waits for its last answer.
func (a *apart) end(t testing.TB) {
	t.Helper()
	_ = a.in.Close() // it is asked below whether it has ended
	if err := <-a.read; err != nil {
		t.Fatal(err)
	}
}

// ask is such a process.
func ask(what string) error {
	var address, from, token string
	var number uint64
	if _, err := fmt.Sscan(what, &address, &from, &token, &number); err != nil {
		return fmt.Errorf("%s=%q: %w", askEnv, what, err)
	}
	s, c := &server{address: address}, newClient(from, token)
	queries, err := mix(context.Background(), s, c)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	in := bufio.NewScanner(os.Stdin)
	if !in.Scan() {
		return in.Err() // it is not to ask at all
	}
	y := polite(context.Background(), s, c, queries, rand.New(rand.NewPCG(number, number)), func(_ string, o outcome) {
		fmt.Printf(spelled+"\n", o.status, o.took.Nanoseconds(), o.late, o.kind, o.wrong)
	})
	in.Scan() // to the end of all there is
	y.stop()
	return in.Err()
}
