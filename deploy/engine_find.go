package deploy

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/hashicorp/go-version"
	install "github.com/hashicorp/hc-install"
	"github.com/hashicorp/hc-install/product"
	"github.com/hashicorp/hc-install/releases"
	"github.com/hashicorp/hc-install/src"
	"github.com/hashicorp/terraform-exec/tfexec"

	"hotreader"
	"hotreader/deploy/render"
)

// FindTerraform returns the path of Terraform or OpenTofu of at least render.MinVersion:
// the program that name says, or else terraform or tofu of PATH. It installs
// nothing.
func FindTerraform(ctx context.Context, name string) (string, error) {
	const op = "terraform"
	if _, _, err := environment(os.Environ()); err != nil { // no program is at fault
		return "", err
	}
	names := []string{"terraform", "tofu"}
	if name != "" {
		names = []string{name}
	}
	var old error
	for _, n := range names {
		path, err := exec.LookPath(n)
		if err != nil {
			continue
		}
		// Absolute, for it runs in another folder.
		if path, err = filepath.Abs(path); err != nil {
			return "", err
		}
		v, err := versionOf(ctx, path)
		switch {
		case ctx.Err() != nil:
			return "", &hotreader.Error{Op: op, Code: hotreader.CodeOf(ctx.Err()), Err: ctx.Err()}
		case err != nil:
			old = configError(op, "%s does not say its version: %v", path, err)
		case v.Core().LessThan(version.Must(version.NewVersion(render.MinVersion))):
			old = configError(op, "%s is version %s; at least %s is needed, for it keeps the token out of the state. Install it from https://developer.hashicorp.com/terraform/install, or say --install-terraform", path, v, render.MinVersion)
		default:
			return path, nil
		}
	}
	if old != nil {
		return "", old
	}
	if name != "" {
		return "", configError(op, "%s is not there, or cannot be run", name)
	}
	return "", configError(op, "neither terraform nor tofu is on PATH; install Terraform (https://developer.hashicorp.com/terraform/install) or OpenTofu (https://opentofu.org/docs/intro/install), version %s or newer, name one with --terraform, or say --install-terraform", render.MinVersion)
}

func versionOf(ctx context.Context, path string) (*version.Version, error) {
	dir, err := os.MkdirTemp("", "hotreader-version-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	tf, err := tfexec.NewTerraform(dir, path)
	if err != nil {
		return nil, err
	}
	env, _, err := environment(os.Environ())
	if err != nil {
		return nil, err
	}
	if err := tf.SetEnv(env); err != nil {
		return nil, err
	}
	v, _, err := tf.Version(ctx, true)
	return v, err
}

// InstallTerraform downloads the newest Terraform 1.x from HashiCorp, checks its
// signature and puts it into the user's cache folder, unless one is there. It
// returns its path.
func InstallTerraform(ctx context.Context) (string, error) {
	const op = "terraform: install"
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", &hotreader.Error{Op: op, Code: hotreader.CodeConfig, Err: err}
	}
	dir := filepath.Join(cache, "hotreader", "terraform")
	if path, err := FindTerraform(ctx, filepath.Join(dir, product.Terraform.BinaryName())); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", &hotreader.Error{Op: op, Code: hotreader.CodeConfig, Err: err}
	}
	wanted, err := version.NewConstraint(">= " + render.MinVersion + ", < 2.0.0")
	if err != nil {
		return "", err
	}
	path, err := install.NewInstaller().Ensure(ctx, []src.Source{
		&releases.LatestVersion{Product: product.Terraform, Constraints: wanted, InstallDir: dir},
	})
	if err != nil {
		return "", &hotreader.Error{Op: op, Code: hotreader.CodeUnavailable, Err: fmt.Errorf("%w; install it yourself: https://developer.hashicorp.com/terraform/install", err)}
	}
	return path, nil
}
