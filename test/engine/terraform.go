package engine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

type terraformInstall struct {
	program string
	config  string // TF_CLI_CONFIG_FILE; "" = none
}

var terraform = sync.OnceValues(findTerraform)

// Terraform returns the path of Terraform, or OpenTofu, and the environment
// variables, as "NAME=value", with which it finds its providers: those of
// TF_CLI_CONFIG_FILE, of the mirror that HOTREADER_TERRAFORM_MIRROR names, of
// .engines/terraform, or, with none of these, of the registry.
func Terraform(t testing.TB) (program string, env []string) {
	t.Helper()
	found, err := terraform()
	if err != nil {
		t.Fatalf("terraform: %v", err)
	}
	env = []string{"CHECKPOINT_DISABLE=1"}
	if found.config != "" {
		env = append(env, "TF_CLI_CONFIG_FILE="+found.config)
	}
	return found.program, env
}

func findTerraform() (terraformInstall, error) {
	var found terraformInstall
	for _, name := range []string{os.Getenv("HOTREADER_TERRAFORM"), "terraform", "tofu"} {
		if name == "" {
			continue
		}
		if program, err := exec.LookPath(name); err == nil {
			found.program = program
			break
		}
	}
	if found.program == "" {
		return found, errors.New("neither terraform nor tofu is on the PATH; install one, of version 1.11 or newer, or name it with HOTREADER_TERRAFORM")
	}
	if config := os.Getenv("TF_CLI_CONFIG_FILE"); config != "" {
		if _, err := os.Stat(config); err == nil {
			found.config = config
			return found, nil
		}
	}
	mirror := os.Getenv("HOTREADER_TERRAFORM_MIRROR")
	if mirror == "" {
		if dir, err := find("HOTREADER_TERRAFORM_MIRROR", "terraform", "."); err == nil {
			mirror = dir
		}
	}
	if mirror == "" {
		return found, nil // the registry has them
	}
	mirror, err := filepath.EvalSymlinks(mirror) // Terraform does not look behind them
	if err != nil {
		return found, err
	}
	dir, err := os.MkdirTemp("", "terraformrc-*")
	if err != nil {
		return found, err
	}
	found.config = filepath.Join(dir, "terraformrc")
	// Terraform would ask the registry beside the mirror, and fail where there is
	// none: what the mirror has comes from the mirror alone.
	held, err := filepath.Glob(filepath.Join(mirror, "*", "*", "*"))
	if err != nil {
		return found, err
	}
	var sources []string
	for _, dir := range held {
		source, err := filepath.Rel(mirror, dir)
		if err != nil {
			return found, err
		}
		sources = append(sources, strconv.Quote(filepath.ToSlash(source)))
	}
	list := strings.Join(sources, ", ")
	text := fmt.Sprintf("provider_installation {\n  filesystem_mirror {\n    path    = %q\n    include = [%s]\n  }\n  direct {\n    exclude = [%s]\n  }\n}\n", filepath.ToSlash(mirror), list, list)
	return found, os.WriteFile(found.config, []byte(text), 0o600)
}
