package local

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"hotreader/dev/emulators"
)

// child is a program that this process has started, the leader of a process
// group of its own: a ^C in the terminal reaches this process alone, which ends
// its children in order.
type child struct {
	name   string // as it is reported: "hot-reader-api on aws"
	cmd    *exec.Cmd
	output emulators.Tail
	exited chan struct{}
	err    error // of its end; set before exited is closed
}

// run starts program in dir, with env and nothing else of this process'
// environment but what every program needs.
func run(name, dir string, env []string, program string, args ...string) (*child, error) {
	c := newChild(name, dir, env, program, args...)
	return c.start(&c.output)
}

// LogSuffix ends the names of the files, in Dir, that hold what functions write.
const LogSuffix = ".log"

// runFunction is run, of a function; what it writes goes into a file in dir, too.
func runFunction(name, dir string, env []string, program string) (*child, error) {
	log, err := os.OpenFile(filepath.Join(dir, name+LogSuffix), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	c := newChild(name, dir, env, program)
	if _, err := c.start(io.MultiWriter(&c.output, log)); err != nil {
		_ = log.Close()
		return nil, err
	}
	go func() {
		<-c.exited
		_ = log.Close()
	}()
	return c, nil
}

func newChild(name, dir string, env []string, program string, args ...string) *child {
	//nolint:gosec,noctx // G204: the programs are those of the folders that the user names; noctx: stop ends them, in order
	c := &child{name: name, cmd: exec.Command(program, args...), exited: make(chan struct{})}
	c.cmd.Dir = dir
	c.cmd.Env = append([]string{}, env...)
	for _, v := range []string{"PATH", "HOME", "TMPDIR", "LANG", "JAVA_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR"} {
		if text, ok := os.LookupEnv(v); ok {
			c.cmd.Env = append(c.cmd.Env, v+"="+text)
		}
	}
	c.cmd.WaitDelay = time.Second // for output of what it may have started
	c.cmd.SysProcAttr = leader()
	return c
}

func (c *child) start(out io.Writer) (*child, error) {
	c.cmd.Stdout, c.cmd.Stderr = out, out
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.exited)
	}()
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// patience is how long a child may take to end before it is killed. Functions
// answer what is under way first.
const patience = 3 * time.Second

// stop ends the child and what it has started.
func (c *child) stop() {
	signalGroup(c.cmd.Process, false)
	select {
	case <-c.exited:
	case <-time.After(patience):
	}
	signalGroup(c.cmd.Process, true) // also what outlived its leader
	<-c.exited
}

// ended says how the child ended, with what it wrote last.
func (c *child) ended() error {
	how := "ended by itself"
	if c.err != nil {
		how = "ended: " + c.err.Error()
	}
	said := c.output.Last(12)
	if said == "" {
		return fmt.Errorf("%s %s, and wrote nothing", c.name, how)
	}
	return fmt.Errorf("%s %s; it wrote last:\n%s", c.name, how, said)
}
