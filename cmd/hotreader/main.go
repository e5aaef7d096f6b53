// Command hotreader reads a digital twin's history from hot storage, on this
// cloud or another: it fills stores, serves them, queries them, and shows the
// whole path at work on one machine.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"hotreader/cmd/hotreader/internal/terminal"
)

func start() int {
	ctx, stop := interruptible()
	defer stop()
	return run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
}

// interrupted is the cause of a context that a signal ended.
type interrupted struct{ os.Signal }

func (i interrupted) Error() string { return "stopped by a signal: " + i.Signal.String() }

// patience is how long a stop may take before a word is said of it.
const patience = 300 * time.Millisecond

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
			time.AfterFunc(patience, func() {
				fmt.Fprintln(os.Stderr, "\rhotreader: stopping; what has begun is finished first. ^C again stops at once, and may leave it half done")
			})
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
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		err = out.Err
	}
	if by, ok := errors.AsType[interrupted](context.Cause(ctx)); ok {
		return a.stopped(by, err, cmd, args)
	}
	return a.report(err)
}

// app is one run of the program.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	data, talk     terminal.Paint     // of stdout and stderr
	line           *terminal.Progress // on stderr
	now            func() time.Time
}

func newApp(stdin io.Reader, stdout, stderr io.Writer) *app {
	return &app{stdin: stdin, stdout: stdout, stderr: stderr, data: terminal.NewPaint(stdout), talk: terminal.NewPaint(stderr), line: terminal.NewProgress(stderr), now: time.Now}
}

// note prints a line of diagnostics.
func (a *app) note(format string, args ...any) {
	a.line.Clear()
	fmt.Fprintf(a.stderr, format+"\n", args...)
}

// visible returns stdout, on a terminal without what that would obey.
func (a *app) visible() io.Writer {
	if terminal.Is(a.stdout) {
		return &terminal.Visible{W: a.stdout}
	}
	return a.stdout
}

// printJSON prints a document in one line.
func (a *app) printJSON(v any) error { return json.NewEncoder(a.stdout).Encode(v) }

// printIndented prints a document for people, too.
func (a *app) printIndented(v any, indent string) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	return enc.Encode(v)
}

const storeURLs = `Store URLs:
  bolt:FILE                               an embedded store in one file
  mem:                                    an empty store in memory, for trials
  dynamodb://TABLE?region=R&endpoint=URL  what is left out, the environment says
  cosmos://HOST/DB/CONTAINER              key or sign-in: the environment
  firestore://PROJECT/DATABASE/COLLECTION database (default); sign-in: the environment
  s3://BUCKET/PREFIX?region=R             objects, for reading: --cold and --archive
  azblob://ACCOUNT/CONTAINER/PREFIX       the same on Azure
  gs://BUCKET/PREFIX                      and on Google Cloud
  file:DIR                                and in a folder
Of objects, format=mover|jsonl|parquet|export says what they are (else it is found out),
late=36h how much later than its event a row may have arrived in them.
TABLE may be an ARN, COLLECTION a path, as devices/{device}/telemetry. Parameters say
how the items are laid out, if not as hotreader does it: device_key, time_key,
partition, time_format, time_prefix, time_suffix, properties, name_key, value_key,
index. docs/layouts.md explains them, with examples.`

func (a *app) root() *cobra.Command {
	cobra.EnableCommandSorting = false
	root := &cobra.Command{
		Use:   "hotreader",
		Short: "Read a digital twin's history, from this cloud or another",
		Long: `Hotreader reads the history of a digital twin from hot, cold and archive storage,
on the twin's own cloud or on another one. An answer has all rows, with
numbers as they are stored, or it is an error.

Results go to stdout, diagnostics to stderr. What a pipe reads is plain; colours and
progress are for terminals (NO_COLOR is honoured).

` + exitText,
		Example: `  hotreader demo                 see three clouds read each other
  hotreader import --store bolt:pump.db --device pump-7 --rename value=temperature pump.csv
  hotreader query --store bolt:pump.db --device pump-7 --property temperature`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          commandsOnly,
		RunE:          helpOf,
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(flagError)
	root.Version = thisBuild().Version
	root.SetVersionTemplate("hotreader {{.Version}}\n")
	root.SetUsageTemplate(usageTemplate)
	root.SetHelpCommand(a.help())
	root.AddCommand(a.demo(), a.importer(), a.exporter(), a.serve(), a.query(), a.latest(), a.inspect(), a.devices(), a.mcp(),
		a.initer(), a.validator(), a.planner(), a.deployer(), a.statusCommand(), a.doctor(), a.destroyer(),
		a.renderer(), a.token(), a.restore(), a.cost(), a.version())
	root.AddCommand(a.hiddenCommands()...)
	completeFolders(root)
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			c.Args, c.RunE = commandsOnly, helpOf
			c.Example = "  source <(hotreader completion bash)\n  hotreader completion fish | source"
		}
	}
	return root
}

// commandGroup returns a command that has others below it, and does nothing itself.
func commandGroup(name, short string) *cobra.Command {
	return &cobra.Command{Use: name, Short: short, Args: commandsOnly, RunE: helpOf}
}

func helpOf(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// help is cobra's, but a topic that there isn't is a mistake.
func (a *app) help() *cobra.Command {
	return &cobra.Command{
		Use:   "help [command]",
		Short: "Explain a command",
		Long:  "Explain a command, as its flag --help does.",
		RunE: func(cmd *cobra.Command, args []string) error {
			of, rest, err := cmd.Root().Find(args)
			if err != nil || of == nil || len(rest) > 0 || of == cmd.Root() && len(args) > 0 {
				return unknownCommand(cmd.Root(), strings.Join(args, " "))
			}
			of.InitDefaultHelpFlag()
			of.InitDefaultVersionFlag()
			return of.Help()
		},
	}
}

// usageTemplate is cobra's in a calmer order: how to call it, examples,
// commands, flags.
const usageTemplate = `Usage:
{{if .Runnable}}{{if not .HasAvailableSubCommands}}  {{.UseLine}}
{{end}}{{end}}{{if .HasAvailableSubCommands}}  {{.CommandPath}} COMMAND [flags]
{{end}}{{if .HasExample}}
Examples:
{{.Example}}
{{end}}{{if .HasAvailableSubCommands}}
Commands:{{range .Commands}}{{if (or .IsAvailableCommand (eq .Name "help"))}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}
{{end}}{{if .HasAvailableLocalFlags}}
Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}
{{end}}{{if .HasAvailableSubCommands}}
{{.CommandPath}} COMMAND --help explains a command.
{{end}}`

// build is what the program knows of itself, and the shape of version --json.
type build struct {
	Version  string `json:"version"`  // of the module, "(devel)" when built from a work tree
	Commit   string `json:"commit"`   // "" = built without version control
	Time     string `json:"time"`     // of the commit, or ""
	Modified *bool  `json:"modified"` // the work tree had changes; null = not known
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func thisBuild() build {
	info, _ := debug.ReadBuildInfo()
	return buildOf(info)
}

// buildOf returns what info, which may be nil, says.
func buildOf(info *debug.BuildInfo) build {
	b := build{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info == nil {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			modified := s.Value == "true"
			b.Modified = &modified
		}
	}
	return b
}

func (a *app) version() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long: `Print the version of this build: version, commit, Go version and platform. In JSON commit
is "" and modified null if the build had no version control to ask.`,
		Example: `  hotreader version
  hotreader version --json | jq -r .commit`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			b := thisBuild()
			if asJSON {
				return a.printJSON(b)
			}
			fmt.Fprintf(a.stdout, "hotreader %s\n", b.Version)
			if b.Commit != "" {
				changed := ""
				if b.Modified != nil && *b.Modified {
					changed = ", changed since"
				}
				fmt.Fprintf(a.stdout, "commit %s of %s%s\n", b.Commit, b.Time, changed)
			}
			fmt.Fprintf(a.stdout, "%s %s\n", b.Go, b.Platform)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
