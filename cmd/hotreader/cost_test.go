package main

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"hotreader/test/golden"
)

// What the documents show of the command is what it prints. With -update it is
// put there.
func TestDocumentsShowWhatCostPrints(t *testing.T) {
	block := regexp.MustCompile("(?s)```\n\\$ (hotreader cost[^\n]*)\n(.*?)```\n")
	for file, want := range map[string]int{"../../README.md": 1, "../../docs/cost.md": 3} {
		text, err := os.ReadFile(file) // #nosec G304 -- the documents'
		if err != nil {
			t.Fatal(err)
		}
		shown := 0
		after := block.ReplaceAllFunc(text, func(b []byte) []byte {
			shown++
			m := block.FindSubmatch(b)
			var out, talk bytes.Buffer
			if code := run(t.Context(), strings.Fields(string(m[1]))[1:], strings.NewReader(""), &out, &talk); code != 0 {
				t.Errorf("%s: %s: exit code %d: %s", file, m[1], code, &talk)
			}
			return fmt.Appendf(nil, "```\n$ %s\n%s```\n", m[1], &out)
		})
		if shown != want {
			t.Errorf("%s shows the command %d times, want %d", file, shown, want)
		}
		if bytes.Equal(text, after) {
			continue
		}
		if *golden.Update {
			if err := os.WriteFile(file, after, 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		t.Errorf("%s does not show what the command prints; run the test with -update", file)
	}
}
