package main

import (
	"errors"

	"github.com/spf13/cobra"

	"hotreader/deploy"
)

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

With --exit-code the exit code tells whether there is anything to do: 0 nothing,
1 something. Without it, it is 0 in both cases.`,
		Example: "  hotreader plan --project twin\n  hotreader plan --project twin --only aws --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := d.engine(cmd)
			if err != nil {
				return err
			}
			plan, err := e.Plan(cmd.Context())
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
