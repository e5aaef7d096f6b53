package engine

import (
	_ "embed"
	"encoding/json"
	"os/exec"
	"testing"
)

//go:embed duckdb.js
var duckDB string

// DuckDB runs statements on a DuckDB in memory, and returns the rows of the last.
func DuckDB(t testing.TB, statements ...string) (rows [][]any) {
	t.Helper()
	dir, err := find("HOTREADER_DUCKDB", "duckdb", "node_modules/@duckdb/node-api/package.json")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "node", append([]string{"-e", duckDB, "--", dir}, statements...)...).CombinedOutput()
	if err == nil {
		err = json.Unmarshal(out, &rows)
	}
	if err != nil {
		t.Fatalf("DuckDB: %v: %s", err, out)
	}
	return rows
}
