package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"hotreader"
	"hotreader/config"
	"hotreader/deploy"
)

// deployment is what the deployer's commands share.
type deployment struct {
	project, only        string
	artifacts, terraform string
	install, yes, json   bool
}

const deployText = `A project folder holds config.json, config_providers.json and
config_iot_devices.json, and config_hot_reader.json for what is out of the
ordinary. Signing in is the clouds' own business: AWS profiles and variables, az
login, gcloud's application default credentials.

Terraform or OpenTofu, 1.11 or newer, does the work. What stands is kept in
PROJECT/.hotreader, or in the backend that config_hot_reader.json names. The
inter-cloud token is kept in PROJECT/config_inter_cloud.json and in the clouds'
secret stores, and nowhere else. One command at a time works in a project.`

// flags adds the flags of a command; apply, that it changes something; terraform,
// that it runs Terraform.
func (d *deployment) flags(cmd *cobra.Command, apply, terraform bool) {
	f := cmd.Flags()
	f.StringVar(&d.project, "project", ".", "the project `folder`")
	f.StringVar(&d.only, "only", "", "this `cloud`'s side alone: aws, azure or gcp")
	f.StringVar(&d.artifacts, "artifacts", "", "the `folder` with the functions' packages (default: dist beside this program, or ./dist, but none in the project folder)")
	if terraform {
		f.StringVar(&d.terraform, "terraform", "", "the `program` to run (default: terraform or tofu on PATH)")
		f.BoolVar(&d.install, "install-terraform", false, "download Terraform from HashiCorp, check its signature and use it")
	}
	if apply {
		f.BoolVar(&d.yes, "yes", false, "do not ask")
	}
	f.BoolVar(&d.json, "json", false, "print JSON")
}

// engine returns the engine of what the flags say.
func (d *deployment) engine(ctx context.Context, a *app, cmd *cobra.Command, terraform bool) (*deploy.Engine, error) {
	e := &deploy.Engine{Report: a.reporter()}
	if d.only != "" {
		cloud, err := config.ParseCloud(d.only)
		if err != nil {
			return nil, usagef("%s: --only: %v", cmd.Name(), err)
		}
		e.Only = cloud
	}
	if d.install && d.terraform != "" {
		return nil, usagef("%s: --terraform and --install-terraform are both given; choose one", cmd.Name())
	}
	var err error
	if e.Project, err = config.LoadProject(d.project); err != nil {
		return nil, err
	}
	if e.Artifacts, err = artifactsFolder(d.artifacts, d.project); err != nil {
		return nil, err
	}
	if terraform {
		if d.install {
			e.Terraform, err = deploy.InstallTerraform(ctx)
		} else {
			e.Terraform, err = deploy.FindTerraform(ctx, d.terraform)
		}
	}
	return e, err
}

// artifactsFolder returns the folder with the functions' packages. Where none is
// found it returns the likeliest, for the error to name.
func artifactsFolder(named, project string) (string, error) {
	if named != "" {
		return filepath.Abs(named)
	}
	if self, err := os.Executable(); err == nil {
		here := filepath.Dir(self)
		// dist/hotreader lies among the packages, bin/hotreader and an installed
		// one have dist beside them.
		for _, dir := range []string{here, filepath.Join(here, "dist"), filepath.Join(filepath.Dir(here), "dist")} {
			if _, err := os.Stat(filepath.Join(dir, "hotreader-lambda-arm64.zip")); err == nil {
				return dir, nil
			}
		}
	}
	return ours("dist", "--artifacts", project)
}

// ours returns a folder with programs that was found without being named. A project
// folder may come from a stranger, and what lies in it is not run.
func ours(folder, flag, project string) (string, error) {
	if _, err := os.Stat(folder); err == nil && config.Within(project, folder) {
		return "", &hotreader.Error{Op: folder, Code: hotreader.CodeConfig,
			Err: fmt.Errorf("lies in the project folder, from which no program is taken; if it is yours, name it with %s", flag)}
	}
	return filepath.Abs(folder)
}

// reporter prints what an engine does: a line for all that is done, and on a
// terminal a line that changes for what goes on.
func (a *app) reporter() func(deploy.Event) {
	line := newProgress(a.stderr)
	return func(e deploy.Event) {
		what := strings.TrimSpace(e.What + " " + printable(e.Name))
		switch e.Kind {
		case deploy.Note:
			line.clear()
			a.note("%s: %s", e.Cloud, printable(e.Text))
		case deploy.Began, deploy.Goes:
			verb := "…"
			if e.Elapsed > 0 {
				verb = fmt.Sprintf("… %.0f s", e.Elapsed.Seconds())
			}
			line.show("%s: %s %s%s", e.Cloud, doing(e.Action), what, verb)
		case deploy.Done:
			line.clear()
			long := ""
			if e.Elapsed >= 2*time.Second {
				long = " after " + e.Elapsed.String()
			}
			a.note("%s: %s %s%s", e.Cloud, a.talk.good(done(e.Action)), what, long)
		case deploy.Failed:
			line.clear()
			a.note("%s: %s %s", e.Cloud, a.talk.bad("failed: "+string(e.Action)), what)
		}
	}
}

func doing(a deploy.Action) string {
	switch a {
	case deploy.Create:
		return "creating"
	case deploy.Change:
		return "changing"
	case deploy.Destroy:
		return "destroying"
	case deploy.Replace:
		return "replacing"
	}
	return "preparing"
}

func done(a deploy.Action) string {
	switch a {
	case deploy.Create:
		return "created"
	case deploy.Change:
		return "changed"
	case deploy.Destroy:
		return "destroyed"
	case deploy.Replace:
		return "replaced"
	}
	return "done"
}

func (a *app) planner() *cobra.Command {
	d := &deployment{}
	exitCode := false
	cmd := &cobra.Command{
		Use:   "plan --project DIR",
		Short: "Show what deploy would do",
		Long: `Show what deploy would create, change and destroy, on which cloud, and what
becomes public. Nothing is changed. A long list puts together what is alike;
--json has each.

` + deployText + `

With --exit-code the exit code tells whether there is anything to do: 0 nothing,
1 something. Without it, it is 0 in both cases.`,
		Example: "  hotreader plan --project twin\n  hotreader plan --project twin --only aws --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := d.engine(cmd.Context(), a, cmd, true)
			if err != nil {
				return err
			}
			plan, err := e.Plan(cmd.Context())
			if err != nil {
				if !d.json { // half a document is none
					for _, s := range plan.Sides {
						a.printSide(a.stdout, a.data, s)
					}
				}
				return err
			}
			if d.json {
				err = a.printJSON(struct {
					Changes bool `json:"changes"`
					deploy.Plan
				}{plan.Changes(), plan})
			} else {
				for _, s := range plan.Sides {
					a.printSide(a.stdout, a.data, s)
				}
			}
			if err == nil && exitCode && plan.Changes() {
				return errChanges
			}
			return err
		},
	}
	d.flags(cmd, false, true)
	cmd.Flags().BoolVar(&exitCode, "exit-code", false, "exit with 1 if there is anything to do")
	return cmd
}

// errChanges ends a plan with --exit-code that has something to do.
var errChanges = errors.New("there are changes to deploy")

func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// marks stand before a resource, as in a diff.
var marks = map[deploy.Action]string{deploy.Create: "+", deploy.Change: "~", deploy.Replace: "±", deploy.Destroy: "-"}

// printSide prints what becomes of one cloud.
func (a *app) printSide(w io.Writer, p paint, s deploy.SidePlan) {
	fmt.Fprintf(w, "%s: %s\n", p.bold(string(s.Cloud)), s.Summary())
	a.printChanges(w, p, s.Changes)
	if len(s.Drift) > 0 {
		fmt.Fprintf(w, "  not as it was deployed (changed by hand?), and set right again:\n")
		a.printChanges(w, p, s.Drift)
	}
	for _, text := range s.Public {
		fmt.Fprintf(w, "  public: %s\n", printable(text))
	}
	for _, text := range s.Notes {
		fmt.Fprintf(w, "  note: %s\n", printable(text))
	}
}

// Of a list of more than manyChanges, those that are alike but for their names are
// put together where there are more than alikeChanges of them.
const manyChanges, alikeChanges = 60, 10

// printChanges prints a line for each change, or, of a long list, for those that
// are alike: a project of hundreds of devices is still read through.
func (a *app) printChanges(w io.Writer, p paint, all []deploy.ResourceChange) {
	if len(all) <= manyChanges {
		for _, c := range all {
			a.printChange(w, p, c)
		}
		return
	}
	kind := func(c deploy.ResourceChange) string {
		return string(c.Action) + "\x00" + c.What + "\x00" + strings.Join(c.Fields, "\x00")
	}
	alike := map[string][]string{}
	for _, c := range all {
		alike[kind(c)] = append(alike[kind(c)], c.Name)
	}
	for _, c := range all {
		k := kind(c)
		names, there := alike[k]
		switch {
		case len(names) > alikeChanges:
			c.What = fmt.Sprintf("%d × %s", len(names), c.What)
			c.Name = fmt.Sprintf("%s, %s, … %s", names[0], names[1], names[len(names)-1])
			a.printChange(w, p, c)
			delete(alike, k)
		case there:
			a.printChange(w, p, c)
		}
	}
}

func (a *app) printChange(w io.Writer, p paint, c deploy.ResourceChange) {
	mark := marks[c.Action]
	if c.Action == deploy.Destroy || c.Action == deploy.Replace {
		mark = p.bad(mark)
	} else {
		mark = p.good(mark)
	}
	text := "  " + mark + " " + c.What + " " + printable(c.Name)
	if len(c.Fields) > 0 {
		text += ": " + printable(strings.Join(c.Fields, ", "))
	}
	fmt.Fprintln(w, text)
}

// noCheckText explains --no-check.
const noCheckText = "do not prove the link with a query"

func (a *app) deployer() *cobra.Command {
	d := &deployment{}
	noCheck := false
	cmd := &cobra.Command{
		Use:   "deploy --project DIR",
		Short: "Create what a project needs, and connect it",
		Long: `Create what a project needs on each cloud, hot storage's side first, and connect
both ends. Each side's plan is shown; after a yes exactly that plan is carried
out. At the end the link is proven as by hotreader doctor.

A run that was stopped by ^C, or killed, is taken up by the next one.

` + deployText,
		Example: "  hotreader deploy --project twin\n  hotreader deploy --project twin --only aws --yes",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.mayAsk(cmd, d.yes); err != nil {
				return err
			}
			e, err := d.engine(cmd.Context(), a, cmd, true)
			if err != nil {
				return err
			}
			e.Approve = a.approve(d.yes, "Deploy this")
			if !noCheck {
				e.Check = a.checkLink(e)
			}
			if err := e.Deploy(cmd.Context()); err != nil {
				return err
			}
			if d.json {
				return a.printStatus(cmd.Context(), e, true)
			}
			a.note("%s; hotreader status tells what stands", a.talk.good("deployed"))
			return nil
		},
	}
	d.flags(cmd, true, true)
	cmd.Flags().BoolVar(&noCheck, "no-check", false, noCheckText)
	return cmd
}

// mayAsk refuses a run that would have to ask and cannot.
func (a *app) mayAsk(cmd *cobra.Command, yes bool) error {
	if yes || isTerminal(a.stdin) {
		return nil
	}
	return usagef("%s: nobody can be asked, for standard input is no terminal; say --yes to go on without", cmd.Name())
}

func isTerminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
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

func (a *app) statusCommand() *cobra.Command {
	d := &deployment{}
	cmd := &cobra.Command{
		Use:   "status --project DIR",
		Short: "Show what stands, and what was changed by hand",
		Long: `Show what stands on each cloud, its URLs, the token's age, what was changed by
hand since the last deploy, and what the project says but was not deployed yet.
Nothing is changed.`,
		Example: "  hotreader status --project twin\n  hotreader status --project twin --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := d.engine(cmd.Context(), a, cmd, true)
			if err != nil {
				return err
			}
			return a.printStatus(cmd.Context(), e, d.json)
		},
	}
	d.flags(cmd, false, true)
	return cmd
}

func (a *app) printStatus(ctx context.Context, e *deploy.Engine, asJSON bool) error {
	st, err := e.Status(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		return a.printJSON(st)
	}
	for _, s := range st.Sides {
		if !s.Stands {
			fmt.Fprintf(a.stdout, "%s: nothing stands\n", a.data.bold(string(s.Cloud)))
		} else {
			where := ""
			if s.Region != "" {
				where = " in " + s.Region
			}
			fmt.Fprintf(a.stdout, "%s: %s%s\n", a.data.bold(string(s.Cloud)), plural(s.Resources, "resource", "resources"), where)
		}
		if s.URL != "" {
			fmt.Fprintf(a.stdout, "  url: %s\n", printable(s.URL))
		}
		if s.Store != "" {
			fmt.Fprintf(a.stdout, "  hot storage: %s\n", printable(s.Store))
		}
		for _, role := range []config.Role{config.History, config.LastEntry, config.API} {
			if f, ok := s.Functions[string(role)]; ok {
				fmt.Fprintf(a.stdout, "  function: %s (%s)\n", printable(f.Name), printable(f.ID))
			}
		}
		if s.Interrupted {
			fmt.Fprintf(a.stdout, "  a run was killed here; deploy goes on from there, destroy removes all of it\n")
		}
		if len(s.Drift) > 0 {
			fmt.Fprintf(a.stdout, "  not as it was deployed (changed by hand?); deploy would set it right:\n")
			a.printChanges(a.stdout, a.data, s.Drift)
		}
		if len(s.Pending) > 0 {
			fmt.Fprintf(a.stdout, "  to be deployed:\n")
			a.printChanges(a.stdout, a.data, s.Pending)
		}
	}
	if t := st.Token; t != nil {
		fmt.Fprintf(a.stdout, "token of %s: %s\n", t.Connection, a.tokenAge(t))
	}
	return nil
}

func (a *app) tokenAge(t *deploy.TokenStatus) string {
	text := "none yet"
	if t.Set {
		text = "of unknown age"
		if !t.RotatedAt.IsZero() {
			days := int(a.now().Sub(t.RotatedAt) / (24 * time.Hour))
			text = fmt.Sprintf("%s old (since %s)", plural(days, "day", "days"), t.RotatedAt.UTC().Format(time.DateTime)+" UTC")
		}
		if t.Rotating {
			text += "; a rotation is under way, the previous one is still accepted"
		}
	}
	return text
}

func (a *app) destroyer() *cobra.Command {
	d := &deployment{}
	confirm, deleteData := "", false
	cmd := &cobra.Command{
		Use:   "destroy --project DIR",
		Short: "Remove all that deploy has created",
		Long: `Remove all that deploy has created, the twin's side first, and the connection's
entry. Each side's resources are listed, and the twin's name is asked for; or say
--yes and --confirm with it.

Hot storage that deploy has created and that holds data is not removed, nor is
anything else then, unless --delete-data says so.`,
		Example: "  hotreader destroy --project twin\n  hotreader destroy --project twin --yes --confirm factory --delete-data",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if d.yes && confirm == "" {
				return usagef("destroy: --yes needs --confirm with the twin's name")
			}
			if confirm == "" {
				if err := a.mayAsk(cmd, false); err != nil {
					return usagef("destroy: nobody can be asked, for standard input is no terminal; say --yes and --confirm with the twin's name")
				}
			}
			e, err := d.engine(cmd.Context(), a, cmd, true)
			if err != nil {
				return err
			}
			if confirm != "" && confirm != e.Project.Twin {
				return usagef("destroy: --confirm %s is not the twin's name, which is %s; nothing was removed", confirm, e.Project.Twin)
			}
			e.HoldsData = a.holdsData(e)
			e.Approve = func(ctx context.Context, s deploy.SidePlan) (bool, error) {
				a.printSide(a.stderr, a.talk, s)
				if d.yes {
					return true, nil
				}
				answer, err := a.ask(ctx, "This cannot be undone. The twin's name, to destroy this on "+string(s.Cloud)+": ")
				return answer == e.Project.Twin, err
			}
			removed, err := e.Destroy(cmd.Context(), deleteData)
			if err != nil {
				return err
			}
			if d.json {
				return a.printStatus(cmd.Context(), e, true)
			}
			if !removed {
				a.note("nothing of %s stands that was deployed from here; nothing was removed", e.Project.Twin)
				return nil
			}
			a.note("%s", a.talk.good("destroyed"))
			return nil
		},
	}
	d.flags(cmd, true, true)
	cmd.Flags().StringVar(&confirm, "confirm", "", "the twin's `name`, with --yes")
	cmd.Flags().BoolVar(&deleteData, "delete-data", false, "remove hot storage even if it holds data")
	return cmd
}

func (a *app) renderer() *cobra.Command {
	d := &deployment{}
	out := ""
	cmd := &cobra.Command{
		Use:   "render --project DIR --out DIR",
		Short: "Write the Terraform folders, to apply them yourself",
		Long: `Write a folder for each cloud that plain terraform init and terraform apply accept:
main.tf.json, the module and the functions' package. The same project gives the
same bytes. No token is in it: Terraform asks for it, as for the other cloud's URL
while that is not known. Apply hot storage's cloud first.`,
		Example: "  hotreader render --project twin --out rendered\n  terraform -chdir=rendered/aws init && terraform -chdir=rendered/aws apply",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if out == "" {
				return usagef("render: where to? Give --out DIR")
			}
			e, err := d.engine(cmd.Context(), a, cmd, false)
			if err != nil {
				return err
			}
			if err := mayRender(out); err != nil {
				return err
			}
			made, err := e.Render(out)
			if err != nil {
				return err
			}
			if d.json {
				return a.printJSON(map[string]any{"folders": made})
			}
			for _, dir := range made {
				fmt.Fprintln(a.stdout, dir)
			}
			return nil
		},
	}
	d.flags(cmd, false, false)
	cmd.Flags().StringVar(&out, "out", "", "the `folder` to write into: a folder of this program's, or a new one")
	return cmd
}

// mayRender refuses a folder that holds something else than what was rendered.
func mayRender(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &hotreader.Error{Op: "render", Code: hotreader.CodeConfig, Err: err}
	}
	for _, e := range entries {
		if _, err := config.ParseCloud(e.Name()); err != nil || !e.IsDir() {
			return &hotreader.Error{Op: "render", Code: hotreader.CodeConfig,
				Err: fmt.Errorf("%s holds %s, which is not of this program; name a new or empty folder with --out", dir, printable(e.Name()))}
		}
	}
	return nil
}

func (a *app) token() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Care for the inter-cloud token",
		Args:  commandsOnly,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.rotator())
	return cmd
}

func (a *app) rotator() *cobra.Command {
	d := &deployment{}
	finish, noCheck := false, false
	cmd := &cobra.Command{
		Use:   "rotate --project DIR ID",
		Short: "Replace a connection's token, without a failed request",
		Long: `Replace the token of the connection ID, as azure_l4_to_aws_l3hot_read. No request
fails on the way: hot storage's side takes both tokens before the twin's side
sends the new one, and lets go of the old one when the link is proven with the
new one.

If the two sides belong to different teams, run it with --only and hot storage's
cloud; hand the new entry of config_inter_cloud.json over; when everybody has it,
end with --finish. A run that was stopped is ended by running it again.`,
		Example: "  hotreader token rotate --project twin azure_l4_to_aws_l3hot_read",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("token rotate: which connection? Give its ID, as hotreader status shows it")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := d.engine(cmd.Context(), a, cmd, true)
			if err != nil {
				return err
			}
			if top, err := deploy.NewTopology(e.Project); err == nil && top.Connection != "" && top.Connection != args[0] {
				return usagef("token rotate: this project has no connection %q; it has %s", args[0], top.Connection)
			}
			if err := a.mayAsk(cmd, d.yes); err != nil {
				return err
			}
			e.Approve = a.approve(d.yes, "Do this")
			if !noCheck {
				e.Check = a.checkLink(e)
			}
			if err := e.Rotate(cmd.Context(), args[0], finish); err != nil {
				return err
			}
			if d.json {
				return a.printStatus(cmd.Context(), e, true)
			}
			return nil
		},
	}
	d.flags(cmd, true, true)
	cmd.Flags().BoolVar(&noCheck, "no-check", false, noCheckText)
	cmd.Flags().BoolVar(&finish, "finish", false, "let go of the previous token: everybody has the new one")
	return cmd
}
