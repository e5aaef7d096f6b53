//go:build !unix

package local

import (
	"os"
	"syscall"
)

func leader() *syscall.SysProcAttr { return nil }

func signalGroup(leader *os.Process, _ bool) { _ = leader.Kill() } // it may be gone

func terminate(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Kill()
}

func alive(pid int) bool {
	_, err := os.FindProcess(pid)
	return err == nil
}
