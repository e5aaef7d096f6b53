//go:build unix && !linux

package local

import (
	"syscall"
)

func leader() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
