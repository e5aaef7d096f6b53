//go:build engines

package exporter

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hotreader"
	"hotreader/store/coldstore"
	"hotreader/store/coldstore/folder"
	"hotreader/test/engine"
)

// DuckDB reads what was exported, with docs/engines.md's table, as it was in the source.
func TestDuckDBReads(t *testing.T) {
	f := newFixture(t, map[string][]hotreader.Record{"machine-1": series(22_683), "a/b=c %ü": odd()})
	f.must(t)
	var low, high, sum float64
	rows, texts := 0, 0
	for r, err := range f.source.Scan(t.Context(), hotreader.Query{Device: "machine-1", Properties: []string{"temperature", "state"}}) {
		if err != nil {
			t.Fatal(err)
		}
		v, _ := r.Values[0].Float64()
		if rows++; rows == 1 {
			low, high = v, v
		}
		low, high, sum = min(low, v), max(high, v), sum+v
		if !r.Values[1].IsNull() {
			texts++
		}
	}
	page, err := os.ReadFile("../../../../docs/engines.md")
	if err != nil {
		t.Fatal(err)
	}
	_, sql, _ := strings.Cut(string(page), "## DuckDB\n```sql\n")
	sql, _, _ = strings.Cut(sql, "```")
	table, example, _ := strings.Cut(strings.ReplaceAll(sql, "'cold/", "'"+f.dir+"/"), ";")
	example = strings.NewReplacer("pump-7", "machine-1", "2026-03-01", "2025-03-01").Replace(example)
	if days := engine.DuckDB(t, table, example); len(days) < 20 {
		t.Errorf("%v", days)
	}
	got := engine.DuckDB(t, table, "SELECT count(*)::INT, min(temperature), max(temperature), sum(temperature), count(state)::INT, min(timestamp)::VARCHAR FROM telemetry WHERE device_id = 'machine-1'")[0]
	want := []any{float64(rows), low, high, sum, float64(texts), "2025-01-01 00:00:00+00"}
	for i := range want {
		a, isNumber := want[i].(float64)
		if b, _ := got[i].(float64); want[i] != got[i] && !(isNumber && math.Abs(a-b) < 1e-9*math.Abs(a)) {
			t.Errorf("column %d: %v, want %v", i, got[i], want[i])
		}
	}
	for _, row := range engine.DuckDB(t, table, `SELECT device_id, "long"::VARCHAR, "on", wide::VARCHAR, mixed::VARCHAR, texts FROM telemetry WHERE device_id <> 'machine-1' ORDER BY timestamp LIMIT 1`) {
		if got := fmt.Sprintf("%q", row); got != `["a/b=c %ü" "9007199254740993" %!q(bool=true) "12345678901234567890.123456789012345678" "1.50" "7"]` {
			t.Errorf("%s", got)
		}
	}
}

// Parquet that DuckDB wrote is read exactly, in both orders, below Hive's prefixes too.
func TestDuckDBWrites(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "flat"), 0o700); err != nil {
		t.Fatal(err)
	}
	engine.DuckDB(t, `CREATE TABLE t AS SELECT CASE i % 2 WHEN 0 THEN 'pump-7' ELSE 'a b' END AS device_id, make_timestamptz(1735689600000000 + i * 60000000) AS timestamp,
		i / 8 AS d, i * 1000000007 AS l, (i / 8)::DECIMAL(38,3) AS dec, CASE WHEN i % 3 > 0 THEN 'é' || i END AS s, i % 5 = 0 AS b, i::FLOAT AS f, (i % 200)::UTINYINT AS u
		FROM range(`+fmt.Sprint(duckRows)+`) r(i)`,
		fmt.Sprintf("COPY t TO '%s' (FORMAT parquet, ROW_GROUP_SIZE 2048)", filepath.Join(dir, "flat", "a.parquet")),
		fmt.Sprintf("COPY (SELECT *, strftime(timestamp, '%%Y-%%m-%%d') AS dt FROM t) TO '%s' (FORMAT parquet, PARTITION_BY (device_id, dt), COMPRESSION zstd)", filepath.Join(dir, "hive")),
		"SELECT 1")
	for _, prefix := range []string{"flat", "hive"} {
		b, err := folder.Open(filepath.Join(dir, prefix))
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		s, err := coldstore.New(b, coldstore.Options{Late: -1})
		if err != nil {
			t.Fatal(err)
		}
		for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
			expectDuckDB(t, s, order)
		}
	}
}

const duckRows = 20_000

// expectDuckDB reads the rows that DuckDB wrote of a device: those of even numbers.
func expectDuckDB(t *testing.T, s *coldstore.Store, order hotreader.Order) {
	t.Helper()
	q := hotreader.Query{Device: "pump-7", Properties: strings.Split("d l dec s b f u", " "), Order: order}
	n := 0
	for r, err := range s.Scan(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		i := 2 * n
		if order == hotreader.Descending {
			i = duckRows - 2 - i
		}
		want := []string{fmt.Sprint(float64(i) / 8), fmt.Sprint(i * 1000000007), fmt.Sprint(float64(i) / 8), "null", fmt.Sprint(i%5 == 0), fmt.Sprint(i), fmt.Sprint(i % 200)}
		if i%3 > 0 {
			want[3] = fmt.Sprintf("%q", fmt.Sprint("é", i))
		}
		for k, v := range r.Values {
			if v.String() != want[k] && !(v.Kind() == hotreader.Number && hotreader.CompareNumbers(v.Text(), []byte(want[k])) == 0) {
				t.Fatalf("row %d: %s is %v, want %s", i, q.Properties[k], v, want[k])
			}
		}
		if n++; r.Time.Unix() != 1735689600+int64(i)*60 {
			t.Fatalf("row %d at %v", i, r.Time)
		}
	}
	if n != duckRows/2 {
		t.Errorf("%d rows, want %d", n, duckRows/2)
	}
}
