package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hotreader/cmd/hotreader/internal/terminal"
)

// app is one run of the program.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	data, talk     terminal.Paint // of stdout and stderr
	now            func() time.Time
}

func newApp(stdin io.Reader, stdout, stderr io.Writer) *app {
	return &app{stdin: stdin, stdout: stdout, stderr: stderr, data: terminal.NewPaint(stdout), talk: terminal.NewPaint(stderr), now: time.Now}
}

// note prints a line of talk.
func (a *app) note(format string, args ...any) {
	fmt.Fprintf(a.stderr, format+"\n", args...)
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
  firestore://PROJECT/DATABASE/COLLECTION database (default); sign-in: the environment`

func (a *app) root() *cobra.Command {
	cobra.EnableCommandSorting = false
	root := &cobra.Command{
		Use:   "hotreader",
		Short: "Read a digital twin's history, from this cloud or another",
		Long: `Hotreader reads a digital twin's history from hot storage, on the twin's own
cloud or on another one, and loses nothing on the way: no row, no digit, no
error.

Data goes to standard output, all talk to standard error. What a pipe reads is
plain; colours and progress are for terminals (NO_COLOR is honoured).

` + exitText,
		Example: `  hotreader demo                 see three clouds read each other
  hotreader import --store bolt:pump.db --device pump-7 pump.csv
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
	root.AddCommand(a.demo(), a.importer(), a.serve(), a.query(), a.latest(), a.inspect(),
		a.planner(), a.deployer(), a.statusCommand(), a.doctor(), a.destroyer(),
		a.renderer(), a.token(), a.cost(), a.version())
	root.AddCommand(a.hiddenCommands()...)
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
{{.CommandPath}} COMMAND --help tells more of a command.
{{end}}`
