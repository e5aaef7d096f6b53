package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hotreader"
	"hotreader/function"
	"hotreader/identity"
	"hotreader/remote"
	"hotreader/store/all"
)

// tokenVariable is the environment variable that holds the inter-cloud token.
const tokenVariable = "INTER_CLOUD_TOKEN"

const tokenText = `The token comes from the environment variable INTER_CLOUD_TOKEN or from the file
that --token-file names, never from the command line, which every user of the
machine can read.`

// tokenFrom reads the token from file, or if that is "" from the environment.
func tokenFrom(file string) (*identity.Token, error) {
	text := os.Getenv(tokenVariable)
	if file != "" {
		var err error
		if text, _, err = tokenIn(file); err != nil {
			return nil, err
		}
	} else if strings.TrimSpace(text) == "" {
		return nil, &hotreader.Error{Op: "token", Code: hotreader.CodeConfig,
			Err: errors.New("there is none; set " + tokenVariable + ", or name a file that holds it with --token-file")}
	}
	return identity.Static(text)
}

// tokenIn reads a file with a token, and when the token was put into it.
func tokenIn(file string) (text string, made time.Time, err error) {
	const most = 64 << 10
	fail := func(err error) (string, time.Time, error) {
		return "", time.Time{}, &hotreader.Error{Op: "token", Code: hotreader.CodeConfig, Err: err}
	}
	f, err := os.Open(file)
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return fail(err)
	}
	if len(raw) > most {
		return fail(fmt.Errorf("%s has more than %d bytes, so it is no file with a token", file, most))
	}
	if info, err := f.Stat(); err == nil {
		made = info.ModTime()
	}
	return strings.TrimSpace(string(raw)), made, nil
}

// servedToken is tokenFrom for who checks it: a file is read again when a token was
// refused.
func servedToken(ctx context.Context, file string) (*identity.Token, error) {
	if file == "" {
		return tokenFrom("")
	}
	return identity.Fetched(ctx, func(context.Context) (string, time.Time, error) { return tokenIn(file) })
}

// source is where a query goes: a store or a Hot Reader API.
type source struct {
	store, remote, tokenFile string
}

func (s *source) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.store, "store", "", "read this store (a store `URL`)")
	cmd.Flags().StringVar(&s.remote, "remote", "", "read this Hot Reader API (an https `URL`, or http to this machine)")
	cmd.Flags().StringVar(&s.tokenFile, "token-file", "", "`file` with the API's token, instead of "+tokenVariable)
}

func (s *source) check(cmd *cobra.Command) error {
	switch {
	case s.store == "" && s.remote == "":
		return usagef("%s: where from? Give --store URL or --remote URL", cmd.Name())
	case s.store != "" && s.remote != "":
		return usagef("%s: --store and --remote are both given; choose one", cmd.Name())
	case s.tokenFile != "" && s.remote == "":
		return usagef("%s: --token-file is for --remote only", cmd.Name())
	}
	return nil
}

// open returns the Reader and what closes it.
func (s *source) open(ctx context.Context) (hotreader.Reader, io.Closer, error) {
	if s.store != "" {
		store, err := all.OpenReader(ctx, s.store)
		if err != nil {
			return nil, nil, err
		}
		return hotreader.NewReader(function.Parts{}.Store(store)), store, nil
	}
	token, err := tokenFrom(s.tokenFile)
	if err != nil {
		return nil, nil, err
	}
	src, err := function.Parts{Token: token}.Remote(remote.Options{URL: s.remote})
	if err != nil {
		return nil, nil, err
	}
	return hotreader.NewReader(src), io.NopCloser(nil), nil
}
