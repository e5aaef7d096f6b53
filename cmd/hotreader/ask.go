package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"hotreader/cmd/hotreader/internal/terminal"
	"hotreader/deploy"
)

// mayAsk refuses a run that would have to ask and cannot.
func (a *app) mayAsk(cmd *cobra.Command, yes bool) error {
	if yes || terminal.Is(a.stdin) {
		return nil
	}
	return usagef("%s: nobody can be asked, for standard input is no terminal; say --yes to go on without", cmd.Name())
}

// approve shows a plan and asks, unless yes.
func (a *app) approve(yes bool, question string) func(context.Context, deploy.SidePlan) (bool, error) {
	return func(ctx context.Context, s deploy.SidePlan) (bool, error) {
		a.printSide(a.stderr, a.talk, s)
		if yes {
			return true, nil
		}
		answer, err := a.ask(ctx, question+" on "+string(s.Cloud)+"? [y/N] ")
		switch strings.ToLower(answer) {
		case "y", "yes":
			return err == nil, err
		}
		return false, err
	}
}

// ask puts a question and returns the line that is answered, without blanks
// around it.
func (a *app) ask(ctx context.Context, question string) (string, error) {
	fmt.Fprint(a.stderr, question)
	type answer struct {
		text string
		err  error
	}
	answers := make(chan answer, 1)
	go func() { // its end is not waited for: a read of a terminal cannot be broken off
		text, err := bufio.NewReader(a.stdin).ReadString('\n')
		if errors.Is(err, io.EOF) {
			err = nil
		}
		answers <- answer{strings.TrimSpace(text), err}
	}()
	select {
	case got := <-answers:
		return got.text, got.err
	case <-ctx.Done():
		fmt.Fprintln(a.stderr)
		return "", ctx.Err()
	}
}
