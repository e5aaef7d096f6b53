package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"hotreader/cmd/hotreader/internal/terminal"
	"hotreader/config"
	"hotreader/deploy"
)

func (a *app) statusCommand() *cobra.Command {
	d := &deployment{app: a}
	cmd := &cobra.Command{
		Use:   "status --project DIR",
		Short: "Show what stands, and what was changed by hand",
		Long: `Show what stands on each cloud, its URLs, the token's age, what was changed by
hand since the last deploy, and what the project says but was not deployed yet.
Nothing is changed.`,
		Example: "  hotreader status --project twin\n  hotreader status --project twin --json",
		Args:    noArgs,
		RunE: d.either(a.statusLocal, func(cmd *cobra.Command) error {
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
		if !s.Stands {
			fmt.Fprintf(a.stdout, "%s: nothing stands\n", a.data.Bold(string(s.Cloud)))
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
		if s.Interrupted {
			fmt.Fprintf(a.stdout, "  a run was killed here; deploy goes on from there, destroy removes all of it\n")
		}
		printChanges(a.stdout, a.data, "not as it was deployed (changed by hand?); deploy would set it right", s.Drift)
		printChanges(a.stdout, a.data, "to be deployed", s.Pending)
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
