package main

import (
	"errors"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"hotreader"
	"hotreader/deploy/publish"
)

// The commands by which the modules for Azure and Google Cloud do what their
// providers cannot. Terraform runs them without a shell, their one argument behind
// them, the rest in the environment; they are not for people, and not in the help.

// hiddenCommands returns them.
func (a *app) hiddenCommands() []*cobra.Command {
	group := func(name, short string, sub *cobra.Command) *cobra.Command {
		cmd := &cobra.Command{Use: name, Short: short, Hidden: true, Args: commandsOnly,
			RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
		sub.Args = func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("%s takes one argument, not %d", cmd.CommandPath(), len(args))
			}
			return nil
		}
		cmd.AddCommand(sub)
		return cmd
	}
	return []*cobra.Command{
		group("image", "Images of the functions on Google Cloud", &cobra.Command{
			Use:   "push FILE.tar",
			Short: "Push the image in an OCI layout to Artifact Registry, as HOTREADER_IMAGE says",
			RunE: func(cmd *cobra.Command, args []string) error {
				ref, err := variable("HOTREADER_IMAGE")
				if err != nil {
					return err
				}
				var token publish.Token
				if host, _, _ := strings.Cut(ref, "/"); strings.HasSuffix(host, ".pkg.dev") {
					if token, err = publish.GoogleToken(cmd.Context(), os.Getenv); err != nil {
						return err
					}
				}
				return publish.Image(cmd.Context(), args[0], ref, token, http.DefaultTransport, a.talkTo)
			},
		}),
		group("app", "The function app on Azure", &cobra.Command{
			Use:   "push FILE.zip",
			Short: "Publish a package to the function app at HOTREADER_PUBLISH_URL",
			RunE: func(cmd *cobra.Command, args []string) error {
				base, err := variable("HOTREADER_PUBLISH_URL")
				if err != nil {
					return err
				}
				token, err := publish.AzureToken(os.Getenv, publish.AzureManagement)
				if err != nil {
					return err
				}
				return publish.App(cmd.Context(), args[0], base, token, http.DefaultTransport, a.talkTo)
			},
		}),
		group("vault", "The key vault on Azure", &cobra.Command{
			Use:   "wait URL",
			Short: "Wait until the secrets of a key vault may be written",
			RunE: func(cmd *cobra.Command, args []string) error {
				token, err := publish.AzureToken(os.Getenv, publish.AzureVault)
				if err != nil {
					return err
				}
				return publish.Vault(cmd.Context(), args[0], token, http.DefaultTransport, a.talkTo)
			},
		}),
		group("store", "Hot storage", &cobra.Command{
			Use:   "keep NAME",
			Short: "Fail unless HOTREADER_KEEP_STORE is false: hot storage is about to be destroyed",
			RunE: func(_ *cobra.Command, args []string) error {
				if os.Getenv("HOTREADER_KEEP_STORE") == "false" {
					return nil
				}
				return &hotreader.Error{Op: "destroy " + args[0], Code: hotreader.CodeConfig,
					Err: errors.New("it may hold data and is kept; to remove it too, apply the module with keep_store = false first")}
			},
		}),
	}
}

// variable returns a variable of the environment, which the module sets.
func variable(name string) (string, error) {
	if v := os.Getenv(name); v != "" {
		return v, nil
	}
	return "", usagef("%s is not set; the Terraform module sets it when it runs this command", name)
}

func (a *app) talkTo(text string) { a.note("%s", text) }
