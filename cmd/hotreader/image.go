package main

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"hotreader"
	"hotreader/deploy/publish"
)

// The commands by which the modules for Azure and Google Cloud do what their
// providers cannot. Terraform runs them without a shell, their one argument after
// them, the rest in the environment; they are not for people, and not in the help.

// hiddenCommands returns them.
func (a *app) hiddenCommands() (all []*cobra.Command) {
	for _, c := range []struct {
		name, short string
		use, does   string
		run         func(ctx context.Context, argument string) error
	}{
		{"image", "Images of the functions on Google Cloud",
			"push FILE.tar", "Push the image in an OCI layout to Artifact Registry, as HOTREADER_IMAGE says", a.pushImage},
		{"app", "The function app on Azure",
			"push FILE.zip", "Publish a package to the function app at HOTREADER_PUBLISH_URL", a.pushApp},
		{"vault", "The key vault on Azure",
			"wait URL", "Wait until the secrets of a key vault may be written", a.waitVault},
		{"store", "Hot storage",
			"keep NAME", "Fail unless HOTREADER_KEEP_STORE is false: hot storage is about to be destroyed", keepStore},
	} {
		group := commandGroup(c.name, c.short)
		group.Hidden = true
		group.AddCommand(&cobra.Command{
			Use: c.use, Short: c.does,
			RunE: func(cmd *cobra.Command, args []string) error {
				if len(args) != 1 {
					return usagef("%s takes one argument, not %d", cmd.CommandPath(), len(args))
				}
				return c.run(cmd.Context(), args[0])
			},
		})
		all = append(all, group)
	}
	return all
}

func (a *app) pushImage(ctx context.Context, file string) error {
	ref, err := variable("HOTREADER_IMAGE")
	if err != nil {
		return err
	}
	var token publish.Token
	if host, _, _ := strings.Cut(ref, "/"); strings.HasSuffix(host, ".pkg.dev") {
		if token, err = publish.GoogleToken(ctx, os.Getenv); err != nil {
			return err
		}
	}
	return a.publisher(token).Image(ctx, file, ref)
}

func (a *app) pushApp(ctx context.Context, file string) error {
	base, err := variable("HOTREADER_PUBLISH_URL")
	if err != nil {
		return err
	}
	token, err := publish.AzureToken(os.Getenv, publish.AzureManagement)
	if err != nil {
		return err
	}
	return a.publisher(token).App(ctx, file, base)
}

func (a *app) waitVault(ctx context.Context, url string) error {
	token, err := publish.AzureToken(os.Getenv, publish.AzureVault)
	if err != nil {
		return err
	}
	return a.publisher(token).Vault(ctx, url)
}

func keepStore(_ context.Context, name string) error {
	if os.Getenv("HOTREADER_KEEP_STORE") == "false" {
		return nil
	}
	return &hotreader.Error{Op: "destroy " + name, Code: hotreader.CodeConfig,
		Err: errors.New("it may hold data and is kept; to remove it too, apply the module with keep_store = false first")}
}

// variable returns a variable of the environment, which the module sets.
func variable(name string) (string, error) {
	if v := os.Getenv(name); v != "" {
		return v, nil
	}
	return "", usagef("%s is not set; the Terraform module sets it when it runs this command", name)
}

func (a *app) publisher(token publish.Token) publish.Publisher {
	return publish.Publisher{Token: token, Note: func(text string) { a.note("%s", text) }}
}
