package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hotreader/cmd/hotreader/internal/terminal"
	"hotreader/config"
	"hotreader/deploy"
	"hotreader/deploy/topology"
	"hotreader/internal/shell"
)

// noCheckText explains --no-check.
const noCheckText = "do not prove the link with a query"

func (a *app) deployer() *cobra.Command {
	d, here, finish := &deployment{app: a, question: "Deploy this"}, localDeploying{}, false
	cmd := &cobra.Command{
		Use:   "deploy --project DIR",
		Short: "Create what a project needs, and connect it",
		Long: `Create what a project needs on each cloud, hot storage's cloud first, and connect
both ends. Deploy shows each cloud's plan; after a yes it carries out exactly that
plan. At the end it proves the link as hotreader doctor does. With "identity":
"federated", the identity of the twin's functions is made first.

The next run continues one that was stopped by ^C, or killed.

` + deployText + localText,
		Example: "  hotreader deploy --project twin\n  hotreader deploy --project twin --only aws --yes\n  hotreader deploy --project twin --target local",
		Args:    noArgs,
		RunE: d.either(here.deploy, func(cmd *cobra.Command) error {
			if err := a.mayAsk(cmd, d.yes); err != nil {
				return err
			}
			e, err := d.engine(cmd)
			if err != nil {
				return err
			}
			e.Finish = finish
			if err := e.Deploy(cmd.Context()); err != nil {
				return err
			}
			return d.end(cmd.Context(), e, a.talk.Good("deployed")+"; hotreader status --project "+shell.Word(d.project)+" shows what is deployed")
		}),
	}
	d.applyFlags(cmd)
	d.targetFlag(cmd)
	here.flags(cmd)
	complete(cmd, "device", projectIDs(&d.project))
	cmd.Flags().BoolVar(&d.noCheck, "no-check", false, noCheckText)
	cmd.Flags().BoolVar(&finish, "finish", false, "with --only, after a change of identity: the other cloud is deployed, too")
	return cmd
}

// errChanges ends a plan with --exit-code that has something to do.
var errChanges = errors.New("there are changes to deploy")

func (a *app) planner() *cobra.Command {
	d := &deployment{app: a}
	exitCode := false
	cmd := &cobra.Command{
		Use:   "plan --project DIR",
		Short: "Show what deploy would do",
		Long: `Show what deploy would create, change and destroy, on which cloud, and what
becomes public. Nothing is changed. A long list puts together what is alike;
--json has each.

` + deployText + `

With --exit-code the exit code says whether there is anything to do: 0 nothing,
1 something. Without it, it is 0 in both cases.`,
		Example: "  hotreader plan --project twin\n  hotreader plan --project twin --only aws --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := d.engine(cmd)
			if err != nil {
				return err
			}
			plan, err := e.Plan(cmd.Context())
			a.line.Clear()
			switch {
			case !d.json:
				for _, s := range plan.Sides { // also of a plan that failed on the way
					printSide(a.stdout, a.data, s)
				}
			case err == nil: // half a document is none
				err = a.printIndented(struct {
					Changes bool `json:"changes"`
					deploy.Plan
				}{plan.Changes(), plan}, "  ")
			}
			if err == nil && exitCode && plan.Changes() {
				return errChanges
			}
			return err
		},
	}
	d.terraformFlags(cmd)
	cmd.Flags().BoolVar(&exitCode, "exit-code", false, "exit with 1 if there is anything to do")
	return cmd
}

const destroyText = `Remove all that deploy has created, on the twin's cloud first, and the connection's
entry. Destroy lists each cloud's resources, and asks for the twin's name; or say
--yes and --confirm with it.

Hot storage that deploy has created and that holds data is not removed, nor is
anything else then, unless --delete-data says so.`

func (a *app) destroyer() *cobra.Command {
	d := &deployment{app: a}
	confirm, deleteData := "", false
	cmd := &cobra.Command{
		Use:     "destroy --project DIR",
		Short:   "Remove all that deploy has created",
		Long:    destroyText,
		Example: "  hotreader destroy --project twin\n  hotreader destroy --project twin --yes --confirm factory --delete-data",
		Args:    noArgs,
		RunE: d.either(a.destroyLocal, func(cmd *cobra.Command) error {
			if d.yes && confirm == "" {
				return usagef("destroy: --yes needs --confirm with the twin's name")
			}
			if confirm == "" && !terminal.Is(a.stdin) {
				return usagef("destroy: no confirmation is possible: stdin is not a terminal; say --yes and --confirm with the twin's name")
			}
			e, err := d.engine(cmd)
			if err != nil {
				return err
			}
			if confirm != "" && confirm != e.Project.Twin {
				return usagef("destroy: --confirm %s is not the twin's name, which is %s; nothing was removed", confirm, e.Project.Twin)
			}
			removed, err := e.Destroy(cmd.Context(), deleteData)
			if err != nil {
				return err
			}
			text := a.talk.Good("destroyed")
			if !removed {
				text = e.Project.Twin + " is not deployed from here; nothing was removed"
			}
			return d.end(cmd.Context(), e, text)
		}),
	}
	d.applyFlags(cmd)
	d.targetFlag(cmd)
	cmd.Flags().StringVar(&confirm, "confirm", "", "the twin's `name`, with --yes")
	cmd.Flags().BoolVar(&deleteData, "delete-data", false, "remove hot storage even if it holds data")
	return cmd
}

func (a *app) statusCommand() *cobra.Command {
	d := &deployment{app: a}
	cmd := &cobra.Command{
		Use:   "status --project DIR",
		Short: "Show what is deployed, and drift",
		Long: `Show what is deployed on each cloud, its URLs, the token's age, drift since the last
deploy, and what the project says but was not deployed yet. Nothing is changed.`,
		Example: "  hotreader status --project twin\n  hotreader status --project twin --json",
		Args:    noArgs,
		RunE: d.either(a.statusLocal, func(cmd *cobra.Command) error {
			a.sayLocalToo("status", d.project)
			e, err := d.engine(cmd)
			if err != nil {
				return err
			}
			return a.printStatus(cmd.Context(), e, d.json)
		}),
	}
	d.terraformFlags(cmd)
	d.targetFlag(cmd)
	return cmd
}

func (a *app) printStatus(ctx context.Context, e *deploy.Engine, asJSON bool) error {
	st, err := e.Status(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		return a.printIndented(st, "  ")
	}
	for _, s := range st.Sides {
		if !s.Deployed {
			fmt.Fprintf(a.stdout, "%s: not deployed\n", a.data.Bold(string(s.Cloud)))
		} else {
			where := ""
			if s.Region != "" {
				where = " in " + s.Region
			}
			fmt.Fprintf(a.stdout, "%s: %s%s\n", a.data.Bold(string(s.Cloud)), terminal.Plural(s.Resources, "resource", "resources"), where)
		}
		if s.URL != "" {
			fmt.Fprintf(a.stdout, "  url: %s\n", terminal.Printable(s.URL))
		}
		if s.Store != "" {
			fmt.Fprintf(a.stdout, "  hot storage: %s\n", terminal.Printable(s.Store))
		}
		for _, role := range []config.Role{config.History, config.LastEntry, config.API} {
			if f, ok := s.Functions[string(role)]; ok {
				fmt.Fprintf(a.stdout, "  function: %s (%s)\n", terminal.Printable(f.Name), terminal.Printable(f.ID))
			}
		}
		if len(s.Callers) > 0 {
			fmt.Fprintf(a.stdout, "  callers beside those with the token: %s\n", terminal.Printable(strings.Join(s.Callers, ", ")))
		}
		if s.Interrupted {
			fmt.Fprintf(a.stdout, "  a run was stopped here before it ended; deploy goes on from there, destroy removes all of it\n")
		}
		printChanges(a.stdout, a.data, "not as it was deployed (changed by hand?); deploy would set it right", s.Drift)
		printChanges(a.stdout, a.data, "to be deployed", s.Pending)
	}
	if id := st.Identity; id != nil {
		fmt.Fprintf(a.stdout, "identity: %s; issuer %s, audience %s\n", id.Mode, terminal.Printable(id.Issuer), terminal.Printable(id.Audience))
		for _, subject := range id.Subjects {
			fmt.Fprintf(a.stdout, "  subject: %s\n", terminal.Printable(subject))
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
			text = fmt.Sprintf("%s old (since %s)", terminal.Plural(days, "day", "days"), t.RotatedAt.UTC().Format(time.DateTime)+" UTC")
		}
		if t.Rotating {
			text += "; a rotation is under way, the previous one is still accepted"
		}
	}
	return text
}

func (a *app) token() *cobra.Command {
	cmd := commandGroup("token", "Manage the inter-cloud token")
	cmd.AddCommand(a.rotator())
	return cmd
}

func (a *app) rotator() *cobra.Command {
	d, finish := &deployment{app: a, question: "Do this"}, false
	cmd := &cobra.Command{
		Use:   "rotate --project DIR ID",
		Short: "Replace a connection's token, without a failed request",
		Long: `Replace the token of the connection ID, as azure_l4_to_aws_l3hot_read. No request
fails meanwhile: hot storage's cloud accepts both tokens before the twin's cloud
sends the new one, and rejects the old one after the link is proven with the
new one.

If the two clouds belong to different teams, run it with --only and hot storage's
cloud; hand the new entry of config_inter_cloud.json over; when everybody has it,
end with --finish. After a stopped run, run it again.`,
		Example:           "  hotreader token rotate --project twin azure_l4_to_aws_l3hot_read",
		ValidArgsFunction: completeConnection(&d.project),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("token rotate: which connection? Give its ID, as hotreader status shows it")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := d.engine(cmd)
			if err != nil {
				return err
			}
			if top, err := topology.New(e.Project); err == nil && top.Connection != "" && top.Connection != args[0] {
				return usagef("token rotate: this project has no connection %q; it has %s", args[0], top.Connection)
			}
			if err := a.mayAsk(cmd, d.yes); err != nil {
				return err
			}
			if err := e.Rotate(cmd.Context(), args[0], finish); err != nil {
				return err
			}
			return d.end(cmd.Context(), e, "")
		},
	}
	d.applyFlags(cmd)
	cmd.Flags().BoolVar(&d.noCheck, "no-check", false, noCheckText)
	cmd.Flags().BoolVar(&finish, "finish", false, "let go of the previous token: everybody has the new one")
	return cmd
}
