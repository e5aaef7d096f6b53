//go:build unix

package local

import (
	"errors"
	"os"
	"syscall"
)

// signalGroup asks a process group to end, or kills it.
func signalGroup(leader *os.Process, kill bool) {
	s := syscall.SIGTERM
	if kill {
		s = syscall.SIGKILL
	}
	_ = syscall.Kill(-leader.Pid, s) // it may be gone
}

// terminate asks a process to end.
func terminate(pid int) error { return syscall.Kill(pid, syscall.SIGTERM) }

// alive reports whether there is a process of that number.
func alive(pid int) bool { return pid > 0 && !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }
