package main

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"hotreader"
	"hotreader/cmd/hotreader/internal/terminal"
)

// watch answers q again and again until ctx ends. It reports what passes by itself, as an API
// that is down for a while, and goes on.
func (k *asking) watch(ctx context.Context, q hotreader.Query, every time.Duration) error {
	a := k.app
	onTerminal := terminal.Is(a.stdout)
	var before, said string
	for {
		var out, talk bytes.Buffer
		quiet := *a
		quiet.stdout, quiet.stderr, quiet.line = &out, &talk, &terminal.Progress{}
		if onTerminal && k.format != "table" { // the table is made for one
			quiet.stdout = &terminal.Visible{W: &out}
		}
		one := *k
		one.app = &quiet
		err := one.answer(ctx, q)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // ^C is its end
		case err != nil && exitCode(err) != exitTemporary:
			return err
		case err != nil:
			fmt.Fprintln(&talk, oneLine(message(err)))
		case onTerminal:
			if before != "" { // in its place
				fmt.Fprintf(a.stdout, "\x1b[%dA\x1b[J", bytes.Count([]byte(before), []byte("\n")))
			}
			before = out.String()
			fmt.Fprint(a.stdout, before)
		case out.String() != before:
			before = out.String()
			fmt.Fprint(a.stdout, before)
		}
		if talk.String() != said {
			if said = talk.String(); said != "" {
				fmt.Fprint(a.stderr, said)
				if onTerminal {
					before = "" // it stands between
				}
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}
