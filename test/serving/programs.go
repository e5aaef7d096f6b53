package serving

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"hotreader/test/runtimeapi"
)

// The programs are built once a test binary, which has no other place to keep
// them: several tests, in any order, share them.
var built sync.Map // name -> func() (path string, err error)

// Program builds the program of that name, as `make dist` builds it, and returns
// its path. Test binaries share the file in bin/test, so that a program is linked
// once for all of them.
func Program(t testing.TB, name string) string {
	t.Helper()
	once, _ := built.LoadOrStore(name, sync.OnceValues(func() (string, error) { return build(name) }))
	path, err := once.(func() (string, error))()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func build(name string) (string, error) {
	module, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env: %w", err)
	}
	dir := filepath.Join(filepath.Dir(strings.TrimSpace(string(module))), "bin", "test")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(dir, name+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil { // another test binary may build it now
		return "", err
	}
	program := filepath.Join(dir, name)
	tags := ""
	if name == "hotreader-lambda" {
		tags = "lambda.norpc"
	}
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-tags", tags, "-ldflags=-s -w", "-o", program, "hotreader/cmd/"+name)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOTMPDIR="+dir) // so that the file is renamed to its place, not written there
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", name, err, out)
	}
	return program, nil
}

// Port returns a port of 127.0.0.1 that is this test's alone until it ends. A program
// of the test may listen there, on all addresses, too; as long as none does,
// connections are refused. It lies below those that systems give to clients, which a
// client with another address of this machine would be given, too.
func Port(t testing.TB) int {
	t.Helper()
	const first, ports, tries = 20_000, 12_000, 100
	for range tries {
		if port := first + rand.IntN(ports); hold(t, port) {
			return port
		}
	}
	t.Fatalf("no port is free after %d tries", tries)
	return 0
}

// hold keeps the port for the test, if nobody has it.
func hold(t testing.TB, port int) bool {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	syscall.CloseOnExec(fd)
	held := func() { _ = syscall.Close(fd) }
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		held()
		return false
	}
	if runtime.GOOS != "linux" { // elsewhere nobody can listen on a port that is bound
		held()
		return true
	}
	t.Cleanup(held)
	// Only now: two tests that both reuse addresses would be given the same port.
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		t.Fatal(err)
	}
	return true
}

// Function starts a handler of AWS's program under a Runtime API. It is killed
// when the test ends, which fails if a token stands in its log.
func Function(t testing.TB, handler string, env map[string]string) *runtimeapi.Function {
	t.Helper()
	f := runtimeapi.Start(t, Program(t, "hotreader-lambda"), handler, env)
	t.Cleanup(func() { tokenless(t, f.Log()) })
	return f
}

func tokenless(t testing.TB, log string) {
	t.Helper()
	if strings.Contains(log, Token) || strings.Contains(log, Rotated) {
		t.Errorf("the token stands in the log:\n%s", log)
	}
}
