//go:build engines

package render

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hotreader/config"
	"hotreader/test/engine"
)

// TestTemplatesLinted has cfn-lint hold the templates against CloudFormation's
// schemas, and one that is wrong, lest it finds nothing in anything.
func TestTemplatesLinted(t *testing.T) {
	t.Parallel()
	program := engine.CloudFormationLint(t)
	text := componentType("pump", []config.Device{machine})
	dir := t.TempDir()
	var files []string
	for name, text := range map[string]string{
		"component.json": text,
		"shared.json":    componentType("pump", mixers("status")),
		"alarm.json":     componentType("pump", mixers("alarm_status")[:1]),
		"workspace.json": workspaceTemplate("pump"),
		"wrong.json":     strings.Replace(text, `"IsTimeSeries"`, `"TimeSeries"`, 1),
	} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	// One run for all: it takes seconds to start.
	out, err := exec.CommandContext(t.Context(), program, append([]string{"--format", "parseable", "--"}, files...)...).CombinedOutput()
	if err == nil {
		t.Error("cfn-lint finds nothing wrong in a template that is")
	}
	found := false
	for line := range strings.Lines(string(out)) {
		switch {
		case strings.HasPrefix(line, filepath.Join(dir, "wrong.json")):
			found = found || strings.Contains(line, "TimeSeries")
		case strings.TrimSpace(line) != "":
			t.Error(line)
		}
	}
	if !found {
		t.Errorf("cfn-lint does not name what is wrong:\n%s", out)
	}
}
