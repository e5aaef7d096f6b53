package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"hotreader"
	"hotreader/cmd/hotreader/internal/terminal"
	"hotreader/config"
)

func (a *app) renderer() *cobra.Command {
	d := &deployment{app: a}
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
			e, err := d.load(cmd)
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
				return a.printIndented(map[string]any{"folders": made}, "  ")
			}
			for _, dir := range made {
				fmt.Fprintln(a.stdout, dir)
			}
			return nil
		},
	}
	d.flags(cmd)
	cmd.Flags().StringVar(&out, "out", "", "the `folder` to write into: a folder of this program's, or a new one")
	return cmd
}

// mayRender rejects a folder that holds something else than what was rendered.
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
				Err: fmt.Errorf("%s holds %s, which is not of this program; name a new or empty folder with --out", dir, terminal.Printable(e.Name()))}
		}
	}
	return nil
}
