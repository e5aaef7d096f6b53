// Command hotreader reads a digital twin's history from hot storage, on this
// cloud or another: it fills stores, serves them, queries them, and shows the
// whole path at work on one machine.
package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"

	"hotreader/cmd/hotreader/internal/terminal"
)

func main() { os.Exit(start()) }

func start() int {
	ctx, stop := interruptible()
	defer stop()
	return run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
}

// interrupted is the cause of a context that a signal ended.
type interrupted struct{ os.Signal }

func (i interrupted) Error() string { return "stopped by a signal: " + i.Signal.String() }

// interruptible returns a context that the first SIGINT or SIGTERM ends, so
// that everything is cleaned up. A second one kills the program as usual.
func interruptible() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case s := <-signals:
			signal.Stop(signals)
			cancel(interrupted{s})
		case <-ctx.Done():
		}
	}()
	return ctx, func() { signal.Stop(signals); cancel(nil) }
}

// run is the program: it returns the exit code that the documents promise.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	out := &terminal.Output{W: stdout}
	a := newApp(stdin, out, stderr)
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		err = out.Err
	}
	if by, ok := errors.AsType[interrupted](context.Cause(ctx)); ok {
		return a.stopped(by, err)
	}
	return a.report(err)
}
