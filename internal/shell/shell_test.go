package shell_test

import (
	"os/exec"
	"testing"

	"hotreader/internal/shell"
)

func TestWord(t *testing.T) {
	bash, err := exec.LookPath("bash")
	for text, want := range map[string]string{
		"":                       "''",
		"bolt:a/b.db":            "bolt:a/b.db",
		"Wärme=x°C":              "Wärme=x°C",
		"a b":                    "'a b'",
		"=ls":                    "'=ls'",
		"a';touch${IFS}PWN;'":    `'a'\'';touch${IFS}PWN;'\'''`,
		"$(id)`id`\"":            "'$(id)`id`\"'",
		"~":                      "'~'",
		"line\nnext\x1b[31m'\\é": `$'line\x0anext\x1b[31m\x27\x5c\xc3\xa9'`,
		"\xff\u202e":             `$'\xff\xe2\x80\xae'`,
	} {
		got := shell.Word(text)
		if got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
		if err != nil {
			continue
		}
		if read, err := exec.CommandContext(t.Context(), bash, "-c", "printf %s "+got).Output(); err != nil || string(read) != text {
			t.Errorf("bash reads %s as %q (%v)", got, read, err)
		}
	}
}
