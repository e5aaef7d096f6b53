//go:build linux

package soak

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
)

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
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %s %d", askEnv, s.address, address, token, r.Uint64()))
	cmd.Stderr = os.Stderr
	a := &apart{read: make(chan error, 1)}
	if a.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	})
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
