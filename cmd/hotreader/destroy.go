package main

import (
	"github.com/spf13/cobra"

	"hotreader/cmd/hotreader/internal/terminal"
)

const destroyText = `Remove all that deploy has created, the twin's side first, and the connection's
entry. Each side's resources are listed, and the twin's name is asked for; or say
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
				return usagef("destroy: nobody can be asked, for standard input is no terminal; say --yes and --confirm with the twin's name")
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
				text = "nothing of " + e.Project.Twin + " stands that was deployed from here; nothing was removed"
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
