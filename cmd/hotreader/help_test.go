package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"hotreader/test/golden"
)

// What --help says of each command; help and no command at all say the same.
func TestHelp(t *testing.T) {
	said := func(args ...string) string {
		t.Helper()
		var out, talk bytes.Buffer
		if code := run(t.Context(), append([]string{}, args...), strings.NewReader(""), &out, &talk); code != 0 || talk.Len() > 0 {
			t.Errorf("%q: code %d, %s", args, code, &talk)
		}
		return out.String()
	}
	var all strings.Builder
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		path := strings.Fields(c.CommandPath())[1:]
		text := said(append(path, "--help")...)
		fmt.Fprintf(&all, "-- %s --\n%s", c.CommandPath(), text)
		if got := said(append([]string{"help"}, path...)...); got != text {
			t.Errorf("help %q says something else:\n%s", path, got)
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newApp(strings.NewReader(""), &all, &all).root())
	golden.File(t, "testdata/help.golden", []byte(all.String()))
	if said() != said("--help") {
		t.Error("no command says something else than --help")
	}
}
