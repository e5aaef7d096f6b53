package main

import (
	"github.com/spf13/cobra"
)

// noCheckText explains --no-check.
const noCheckText = "do not prove the link with a query"

func (a *app) deployer() *cobra.Command {
	d, here := &deployment{app: a, question: "Deploy this"}, localDeploying{}
	cmd := &cobra.Command{
		Use:   "deploy --project DIR",
		Short: "Create what a project needs, and connect it",
		Long: `Create what a project needs on each cloud, hot storage's side first, and connect
both ends. Each side's plan is shown; after a yes exactly that plan is carried
out. At the end the link is proven as by hotreader doctor.

A run that was stopped by ^C, or killed, is taken up by the next one.

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
			if err := e.Deploy(cmd.Context()); err != nil {
				return err
			}
			return d.end(cmd.Context(), e, a.talk.Good("deployed")+"; hotreader status tells what stands")
		}),
	}
	d.applyFlags(cmd)
	d.targetFlag(cmd)
	here.flags(cmd)
	cmd.Flags().BoolVar(&d.noCheck, "no-check", false, noCheckText)
	return cmd
}
