package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"hotreader"
	"hotreader/cmd/hotreader/internal/terminal"
	"hotreader/config"
	"hotreader/deploy"
)

// deployment is what the deployer's commands share.
type deployment struct {
	app                  *app
	project, only        string
	artifacts, terraform string
	target               string
	install, yes, json   bool
	noCheck              bool
	question             string // that is put before a cloud is changed; "" = the twin's name is asked for
}

const deployText = `A project folder holds config.json, config_providers.json and
config_iot_devices.json, and config_hot_reader.json for what is out of the
ordinary. Signing in is the clouds' own business: AWS profiles and variables, az
login, gcloud's application default credentials.

Terraform or OpenTofu, 1.11 or newer, does the work. The state is kept in
PROJECT/.hotreader, or in the backend that config_hot_reader.json names. The
inter-cloud token is kept in PROJECT/config_inter_cloud.json and in the clouds'
secret stores, and nowhere else. One command at a time works in a project.`

// flags adds the flags that all have.
func (d *deployment) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&d.project, "project", ".", "the project `folder`")
	f.StringVar(&d.only, "only", "", "this `cloud` alone: aws, azure or gcp")
	f.StringVar(&d.artifacts, "artifacts", "", "the `folder` with the functions' packages (default: dist beside this program, or ./dist, but none in or beside the project folder)")
	f.BoolVar(&d.json, "json", false, "print JSON")
	words(cmd, "only", cloudWords...)
}

// terraformFlags adds those of a command that runs Terraform.
func (d *deployment) terraformFlags(cmd *cobra.Command) {
	d.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&d.terraform, "terraform", "", "the `program` to run (default: terraform or tofu on PATH)")
	f.BoolVar(&d.install, "install-terraform", false, "download Terraform from HashiCorp, check its signature and use it")
}

// applyFlags adds those of a command that changes something.
func (d *deployment) applyFlags(cmd *cobra.Command) {
	d.terraformFlags(cmd)
	cmd.Flags().BoolVar(&d.yes, "yes", false, "do not ask")
}

// targets are the words of --target.
var targets = []string{"cloud", "local"}

// targetFlag adds --target: the second place where a project can be deployed is
// this machine.
func (d *deployment) targetFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&d.target, "target", "cloud", "where: cloud, or local, on this machine, with emulators")
	words(cmd, "target", targets...)
}

// isLocal reads --target, and rejects flags that are for the other place.
func (d *deployment) isLocal(cmd *cobra.Command) (bool, error) {
	local, err := isLocal(cmd.Name(), d.target)
	if err != nil {
		return false, err
	}
	others, text := []string{"engines", "device", "once"}, "for --target local only"
	if local {
		others, text = []string{"only", "terraform", "install-terraform", "delete-data", "no-check"}, "not for --target local"
	}
	for _, name := range others {
		if cmd.Flags().Changed(name) {
			return false, usagef("%s: --%s is %s", cmd.Name(), name, text)
		}
	}
	return local, nil
}

// either runs here for --target local, else there.
func (d *deployment) either(here func(context.Context, *deployment) error, there func(*cobra.Command) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		local, err := d.isLocal(cmd)
		switch {
		case err != nil:
			return err
		case local:
			return here(cmd.Context(), d)
		}
		return there(cmd)
	}
}

func isLocal(command, target string) (bool, error) {
	if target == "cloud" || target == "local" {
		return target == "local", nil
	}
	return false, usagef("%s: --target %s is unknown; %s", command, target, cmp.Or(meant(target, targets), "there are cloud and local"))
}

// load returns an Engine as the flags say, without Terraform.
func (d *deployment) load(cmd *cobra.Command) (*deploy.Engine, error) {
	e := &deploy.Engine{}
	e.Operator = &operator{app: d.app, engine: e, yes: d.yes, question: d.question, noCheck: d.noCheck}
	var err error
	if d.only != "" {
		if e.Only, err = config.ParseCloud(d.only); err != nil {
			return nil, usagef("%s: --only: %v", cmd.Name(), err)
		}
	}
	if d.install && d.terraform != "" {
		return nil, usagef("%s: --terraform and --install-terraform are both given; choose one", cmd.Name())
	}
	if e.Project, err = config.LoadProject(d.project); err != nil {
		return nil, err
	}
	e.Artifacts, err = artifactsFolder(d.artifacts, d.project)
	return e, err
}

// engine returns the Engine as the flags say.
func (d *deployment) engine(cmd *cobra.Command) (*deploy.Engine, error) {
	e, err := d.load(cmd)
	if err != nil {
		return nil, err
	}
	if d.install {
		e.Terraform, err = deploy.InstallTerraform(cmd.Context())
	} else {
		e.Terraform, err = deploy.FindTerraform(cmd.Context(), d.terraform)
	}
	return e, err
}

// end prints what is deployed after a command with --json, else text.
func (d *deployment) end(ctx context.Context, e *deploy.Engine, text string) error {
	if d.json {
		return d.app.printStatus(ctx, e, true)
	}
	if text != "" {
		d.app.note("%s", text)
	}
	return nil
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
// folder may come from a stranger, and a folder around it, too: what lies there is not run.
func ours(folder, flag, project string) (string, error) {
	abs, err := filepath.Abs(folder)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(abs); err == nil && (config.Within(project, abs) || config.Within(filepath.Dir(abs), project)) {
		return "", &hotreader.Error{Op: folder, Code: hotreader.CodeConfig,
			Err: fmt.Errorf("lies in the project folder, or beside it, from where no program is taken; if it is yours, name it with %s", flag)}
	}
	return abs, nil
}

// mayAsk rejects a run that would have to ask and cannot.
func (a *app) mayAsk(cmd *cobra.Command, yes bool) error {
	if yes || terminal.Is(a.stdin) {
		return nil
	}
	return usagef("%s: no confirmation is possible: stdin is not a terminal; say --yes to go on without", cmd.Name())
}

// ask puts a question and returns the line that is answered, without blanks
// around it; io.EOF if there is no answer.
func (a *app) ask(ctx context.Context, question string) (string, error) {
	fmt.Fprint(a.stderr, question)
	text, err := bufio.NewReader(&terminal.Input{Context: ctx, R: a.stdin}).ReadString('\n')
	if ctx.Err() != nil {
		fmt.Fprintln(a.stderr)
		return "", ctx.Err()
	}
	if errors.Is(err, io.EOF) && text != "" {
		err = nil
	}
	return strings.TrimSpace(text), err
}
