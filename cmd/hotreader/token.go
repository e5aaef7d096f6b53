package main

import (
	"github.com/spf13/cobra"

	"hotreader/deploy/topology"
)

func (a *app) token() *cobra.Command {
	cmd := commandGroup("token", "Care for the inter-cloud token")
	cmd.AddCommand(a.rotator())
	return cmd
}

func (a *app) rotator() *cobra.Command {
	d, finish := &deployment{app: a, question: "Do this"}, false
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
