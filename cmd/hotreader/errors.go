package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"hotreader"
	"hotreader/cmd/hotreader/internal/terminal"
	"hotreader/internal/nearest"
	"hotreader/internal/shell"
)

// The exit codes. exitText is what --help says of them.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitConfig      = 3
	exitTemporary   = 4
	exitInterrupted = 130 // 128 + SIGINT, as shells count
	exitTerminated  = 143 // 128 + SIGTERM
)

const exitText = `Exit codes:
  0    done, and all was right; also serve and a serving demo, ended by SIGTERM
  1    failed, or a comparison found a difference
  2    the command line or the query is wrong
  3    a file, store, token or environment is missing, wrong or rejected
  4    not reached, busy or out of time: trying again may help
  130  stopped by ^C, everything cleaned up; 143 by SIGTERM`

// usageError is a mistake in the command line. It says what to do.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// errDiffers ends a command whose comparison found a difference and has said so.
var errDiffers = errors.New("not every answer is right")

// exitCode returns the exit code for err.
func exitCode(err error) int {
	if err == nil {
		return 0
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	if errors.Is(err, fs.ErrPermission) {
		return exitConfig
	}
	switch code := hotreader.CodeOf(err); code {
	case hotreader.CodeInvalid:
		return exitUsage
	case hotreader.CodeConfig, hotreader.CodeUnreadable, hotreader.CodeNotRestored, hotreader.CodeNotFound, hotreader.CodeUnauthenticated, hotreader.CodeForbidden:
		return exitConfig
	case hotreader.CodeThrottled, hotreader.CodeOverloaded, hotreader.CodeUnavailable, hotreader.CodeDeadline:
		return exitTemporary
	}
	return exitFailed
}

// report prints err, in one line unless it is many, and returns its exit code.
func (a *app) report(err error) int {
	a.line.Clear()
	if err != nil && !errors.Is(err, syscall.EPIPE) {
		fmt.Fprintf(a.stderr, "%s %s\n", a.talk.Bad("hotreader:"), inLines(message(err)))
	}
	return exitCode(err)
}

// stopped says what a signal ended, and returns the exit code. A server that ends
// at SIGTERM has done what it was asked.
func (a *app) stopped(by interrupted, err error, cmd *cobra.Command, args []string) int {
	word, code := "interrupted", exitInterrupted
	if by.Signal == syscall.SIGTERM {
		if word, code = "terminated", exitTerminated; err == nil {
			return 0
		}
	}
	if err == nil {
		return code
	}
	a.line.Clear()
	a.note("hotreader: %s", word)
	if e, ok := errors.AsType[*hotreader.Error](err); ok && !errors.Is(err, context.Canceled) { // it says what was done
		a.note("  %s", oneLine(e.Error()))
	}
	if cmd != nil && slices.Contains(resumed, cmd.Name()) {
		for i := range args {
			args[i] = shell.Word(args[i])
		}
		a.note("  go on with: %s %s", invocation(), strings.Join(args, " "))
	}
	return code
}

// resumed are the commands that go on where they were stopped.
var resumed = []string{"deploy", "destroy", "rotate", "restore", "export"}

// message adds what to do to the errors that come from elsewhere.
func message(err error) string {
	text := err.Error()
	if hint := hint(err); hint != "" && (!strings.Contains(text, "; ") || errors.Is(err, hotreader.CodeNotFound)) { // an API says what it has, not how --remote is written
		text += "; " + hint
	}
	return text
}

func hint(err error) string {
	switch {
	case errors.Is(err, hotreader.CodeUnauthenticated):
		return "set " + tokenVariable + " to the token of that API, or name a file that holds it with --token-file"
	case errors.Is(err, hotreader.CodeNotFound) && strings.Contains(err.Error(), "remote: "):
		return "--remote takes the API's base, as https://host, without /v1 and what follows"
	case errors.Is(err, fs.ErrNotExist):
		return "check the name"
	case errors.Is(err, fs.ErrPermission):
		return "check who may read and write it"
	case errors.Is(err, syscall.EADDRINUSE):
		return "another program listens there: choose another address, or port 0 for any free one"
	}
	return ""
}

// inLines is oneLine, but for a list of more than three problems, which has a line
// for each.
func inLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) <= 4 {
		return oneLine(text)
	}
	for i := range lines {
		lines[i] = oneLine(lines[i])
	}
	return strings.Join(lines, "\n  ")
}

// oneLine joins the lines of text and makes what a terminal would act upon
// visible.
func oneLine(text string) string {
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	for i := range lines {
		lines[i] = terminal.Printable(strings.TrimSpace(lines[i]))
	}
	return strings.Join(lines, "; ")
}

// flagError turns pflag's errors into ours.
func flagError(cmd *cobra.Command, err error) error {
	if errors.Is(err, pflag.ErrHelp) {
		return err
	}
	see := fmt.Sprintf("see: %s --help", cmd.CommandPath())
	at := cmd.Name() + ": "
	if !cmd.HasParent() {
		at = ""
	}
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		if cmd.HasSubCommands() && cmd.Flags().NArg() > 0 { // the word before the flag is at fault
			return unknownCommand(cmd, cmd.Flags().Arg(0))
		}
		name := unknown.GetSpecifiedName()
		if unknown.GetSpecifiedShortnames() != "" {
			return usagef("%sunknown flag -%s; %s", at, name, see)
		}
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				names = append(names, f.Name)
			}
		})
		if near := nearest.Word(name, names); near != "" {
			see = "did you mean --" + near + "?"
		}
		return usagef("%sunknown flag --%s; %s", at, name, see)
	}
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return usagef("%s--%s %s: %v", at, invalid.GetFlag().Name, invalid.GetValue(), plainCause(invalid.Unwrap()))
	}
	if missing, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		return usagef("%s--%s needs a value; %s", at, missing.GetSpecifiedName(), see)
	}
	return usagef("%s%v; %s", at, err, see)
}

// plainCause says in plain words what package strconv found.
func plainCause(err error) string {
	switch {
	case errors.Is(err, strconv.ErrRange):
		return "the number is too large or too small"
	case strings.HasPrefix(err.Error(), "strconv.ParseFloat"):
		return "expected a number"
	case strings.HasPrefix(err.Error(), "strconv.ParseBool"):
		return "expected true or false"
	case strings.HasPrefix(err.Error(), "strconv."):
		return "expected a whole number"
	}
	return err.Error()
}

// meant asks whether word is a mistyped one of words, and returns "" if none comes
// close.
func meant(word string, words []string) string {
	if near := nearest.Word(word, words); near != "" {
		return "did you mean " + nearest.Listed(near) + "?"
	}
	return ""
}

// meantOr is meant, or else lists the words.
func meantOr(word string, words []string) string {
	return cmp.Or(meant(word, words), "there are "+nearest.Listed(words...))
}

// meantAndAll lists the words in any case.
func meantAndAll(word string, words []string) string {
	return strings.TrimPrefix(meant(word, words)+" there are "+strings.Join(words, ", "), " ")
}

// unknownCommand is the error of a word that names no command of parent.
func unknownCommand(parent *cobra.Command, word string) error {
	var names []string
	for _, c := range parent.Commands() {
		if c.IsAvailableCommand() || c.Name() == "help" {
			names = append(names, c.Name())
		}
	}
	if meant := nearest.Word(word, names); meant != "" {
		return usagef("unknown command %q; did you mean %q?", word, parent.CommandPath()+" "+meant)
	}
	return usagef("unknown command %q; see: %s --help", word, parent.CommandPath())
}

// commandsOnly rejects a word that is no command.
func commandsOnly(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return unknownCommand(cmd, args[0])
	}
	return nil
}

// noArgs rejects arguments, with the likeliest mistake in mind.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		if cmd.Flag("store") != nil && strings.Contains(args[0], "://") {
			return usagef("%s: unexpected argument %q; a store URL needs --store before it", cmd.Name(), args[0])
		}
		return usagef("%s: unexpected argument %q; %s takes flags only, see: %s --help", cmd.Name(), args[0], cmd.Name(), cmd.CommandPath())
	}
	return nil
}
