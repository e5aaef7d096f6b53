package local

import (
	"syscall"
)

// leader makes a child the leader of a process group, which the system kills
// when this process is gone, however that went. (It does so when the thread
// that started the child ends; Go ends no thread that was not locked.)
func leader() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
