//go:build unix

package deploy

import (
	"syscall"
)

// ownAlone has all that this process and Terraform write from now on be for their
// owner alone. It stays so, for a run that sets back what another has set would
// open what that one writes.
func ownAlone() { syscall.Umask(0o077) }
