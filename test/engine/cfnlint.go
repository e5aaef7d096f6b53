package engine

import (
	"os"
	"os/exec"
	"testing"
)

// CloudFormationLint returns the path of cfn-lint, which knows CloudFormation's
// schemas: that which HOTREADER_CFN_LINT names, or that on the PATH.
func CloudFormationLint(t testing.TB) string {
	t.Helper()
	name := os.Getenv("HOTREADER_CFN_LINT")
	if name == "" {
		name = "cfn-lint"
	}
	program, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("cfn-lint: %v; install it with `pip install cfn-lint`, or name it with HOTREADER_CFN_LINT", err)
	}
	return program
}
