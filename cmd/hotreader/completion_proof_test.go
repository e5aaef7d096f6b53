//go:build proof && linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestProofCompletion types into each shell on a terminal: a command, a flag's word, a
// cloud, a device of a store and a property of it come by the tab key. What is then
// run writes its arguments down.
func TestProofCompletion(t *testing.T) {
	dir := t.TempDir()
	program, store := filepath.Join(dir, "program"), "bolt:"+filepath.Join(dir, "s.db")
	table := filepath.Join(dir, "a.csv")
	for name, text := range map[string]string{
		table:                           "timestamp,temperature\n2026-01-01,1\n",
		filepath.Join(dir, "hotreader"): "#!/bin/sh\ncase $1 in completion|__complete*) exec " + program + " \"$@\";; esac\necho \"$*\" >>\"$LOG\"\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"go", "build", "-o", program, "."}, {program, "import", "--store", store, "--device", "pump-7", table}} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	lines := [][2]string{
		{"vali", "validate"},
		{"query --format twinm", "query --format twinmaker"},
		{"plan --only az", "plan --only azure"},
		{"query --store " + store + " --device pum", "query --store " + store + " --device pump-7"},
		{"latest --store " + store + " --device pump-7 --property temp", "latest --store " + store + " --device pump-7 --property temperature"},
	}
	for _, shell := range []struct{ name, args, begin string }{
		{"bash", "--norc -i", "source /usr/share/bash-completion/bash_completion; source <(hotreader completion bash)"},
		{"zsh", "-f -i", "autoload -Uz compinit; compinit -u; source <(hotreader completion zsh)"},
		{"fish", "--no-config -i", "hotreader completion fish | source"},
	} {
		t.Run(shell.name, func(t *testing.T) {
			tty, control, written := terminalPair(t, 200)
			cmd := exec.Command(shell.name, strings.Fields(shell.args)...)
			log := filepath.Join(dir, shell.name+".log")
			cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = dir, tty, tty, tty
			cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "HOME=" + dir, "TERM=xterm", "LC_ALL=C.UTF-8", "LOG=" + log}
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			if err := cmd.Start(); err != nil {
				t.Fatalf("%v; install bash with bash-completion, zsh and fish", err)
			}
			typed, want := []string{shell.begin + "; hotreader ready"}, []string{"ready"}
			for _, line := range lines {
				typed, want = append(typed, "hotreader "+line[0]+"\t"), append(want, line[1])
			}
			var got []string
			for i, line := range typed {
				fmt.Fprint(control, line+"\r")
				for end := time.Now().Add(15 * time.Second); len(got) <= i && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
					text, _ := os.ReadFile(log) // not there yet
					got = strings.Split(strings.TrimSpace(strings.ReplaceAll(string(text), " \n", "\n")), "\n")
					if len(text) == 0 {
						got = nil
					}
				}
			}
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			if shown := written(); !slices.Equal(got, want) {
				t.Errorf("got  %q\nwant %q\nshown: %q", got, want, shown)
			}
		})
	}
}
