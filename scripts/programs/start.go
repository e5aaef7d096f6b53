package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// startTime is when a program that is not ready is given up.
const startTime = 30 * time.Second

// start runs the program at path with env alone and returns the time from exec
// until it is ready; then it is killed. A Lambda function is ready when it asks
// for its first event; one that serves on the port which the variable port holds,
// when it has answered GET /healthz.
func start(ctx context.Context, path, port string, env []string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	if port != "" {
		for {
			ready, err := serves(ctx, path, port, env)
			if err == nil || !strings.Contains(err.Error(), "address already in use") {
				return ready, err
			}
		}
	}
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	address := l.Addr().(*net.TCPAddr)
	return launch(ctx, path, append([]string{
		"AWS_LAMBDA_RUNTIME_API=" + address.String(), "_HANDLER=hot-reader",
		"AWS_LAMBDA_FUNCTION_NAME=hot-reader", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=256", "AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_REGION=eu-central-1", "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test",
	}, env...), func(ctx context.Context) (time.Time, error) { return polled(ctx, l) })
}

// serves is start for a program that serves on a port that was free. It fails where
// somebody else was faster to take it.
func serves(ctx context.Context, path, port string, env []string) (time.Duration, error) {
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	l.Close() // the platforms, too, choose the port for the program
	address := l.Addr().(*net.TCPAddr)
	return launch(ctx, path, append([]string{port + "=" + strconv.Itoa(address.Port)}, env...), func(ctx context.Context) (time.Time, error) {
		return answers(ctx, address.String())
	})
}

// launch runs the program until ready returns or the program ends.
func launch(ctx context.Context, path string, env []string, ready func(context.Context) (time.Time, error)) (time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	cmd := exec.Command(path)
	cmd.Env = env
	var said bytes.Buffer // to be read when the program has ended
	cmd.Stdout, cmd.Stderr = &said, &said
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // ProcessState says more
		cancel(errors.New("it ended before it was ready: " + cmd.ProcessState.String()))
	}()
	at, err := ready(ctx)
	cause := context.Cause(ctx) // of an error, before the program is killed
	_ = cmd.Process.Kill()      // it may have ended
	<-ended
	switch {
	case err == nil:
		return at.Sub(began), nil
	case cause != nil:
		err = cause
	}
	return 0, fmt.Errorf("start: %w\n%s", err, bytes.TrimSpace(said.Bytes()))
}

// answers asks the program at address until it answers.
func answers(ctx context.Context, address string) (time.Time, error) {
	var dialer net.Dialer
	for {
		c, err := dialer.DialContext(ctx, "tcp", address)
		if err == nil {
			defer c.Close()
			defer context.AfterFunc(ctx, func() { c.Close() })()
			return health(c)
		}
		select {
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		case <-time.After(100 * time.Microsecond):
		}
	}
}

func health(c net.Conn) (time.Time, error) {
	if _, err := io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		return time.Time{}, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	at := time.Now()
	if err != nil {
		return time.Time{}, err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return time.Time{}, errors.New("GET /healthz: " + resp.Status)
	}
	return at, nil
}

// polled serves the Runtime API on l until the first event is asked for.
func polled(ctx context.Context, l net.Listener) (time.Time, error) {
	first := make(chan time.Time, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case first <- time.Now():
		default:
		}
		<-r.Context().Done() // there is no event
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: startTime}
	defer server.Close()
	go func() { _ = server.Serve(l) }() // ends with Close
	select {
	case at := <-first:
		return at, nil
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	}
}

// A spread is the times of several starts.
type spread struct{ least, median, most time.Duration }

// spreadOf sorts times, of which there is at least one.
func spreadOf(times []time.Duration) spread {
	slices.Sort(times)
	n := len(times)
	return spread{times[0], (times[(n-1)/2] + times[n/2]) / 2, times[n-1]}
}
