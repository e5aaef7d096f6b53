package main

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const here = runtime.GOOS + "/" + runtime.GOARCH

// What is measured is what is delivered: the same programs, for the same
// platforms, with the same tags.
func TestProgramsAreThoseOfDist(t *testing.T) {
	text, err := os.ReadFile("../dist/main.go")
	if err != nil {
		t.Fatal(err)
	}
	type built struct{ source, platform, tags string }
	var want, got []built
	for _, m := range regexp.MustCompile(`\{name: "[^"]+", source: "([^"]+)", arch: "([^"]+)"(?:, tags: "([^"]+)")?,`).FindAllSubmatch(text, -1) {
		want = append(want, built{string(m[1]), "linux/" + string(m[2]), string(m[3])})
	}
	for _, p := range programs {
		for _, platform := range p.platforms {
			got = append(got, built{p.source, platform, p.tags})
		}
	}
	order := func(a, b built) int { return strings.Compare(a.source+a.platform, b.source+b.platform) }
	slices.SortFunc(want, order)
	slices.SortFunc(got, order)
	if len(want) < 3 || !slices.Equal(got, want) {
		t.Errorf("measured %q\ndelivered %q", got, want)
	}
}

// decisive returns the arguments and variables that file's functions give to the
// go command.
func decisive(t *testing.T, file string, functions ...string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, d := range parsed.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || !slices.Contains(functions, f.Name.Name) {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				s, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				if s = strings.Replace(s, "GOOS=linux", "GOOS=", 1); strings.Contains(s, "=") || len(s) > 1 && s[0] == '-' {
					found[s] = true
				}
			}
			return true
		})
	}
	return slices.Sorted(maps.Keys(found))
}

func TestBuiltAsDistBuilds(t *testing.T) {
	want, got := decisive(t, "../dist/main.go", "build", "command"), decisive(t, "build.go", "build")
	if len(want) < 8 || !slices.Equal(got, want) {
		t.Errorf("built with %q\ndist builds with %q", got, want)
	}
}

func TestTooLarge(t *testing.T) {
	small := figure{program: program{name: "small", limit: 100}, platform: "linux/amd64", delivered: true, size: 100}
	large := figure{program: program{name: "large", limit: 100}, platform: "linux/arm64", delivered: true, size: 103}
	local := figure{program: program{name: "local", limit: 100}, platform: "plan9/386", size: 500}
	if err := tooLarge([]figure{small, local}); err != nil {
		t.Error(err)
	}
	larger := large
	larger.program.name = "larger"
	err := tooLarge([]figure{large, small, larger, local})
	if err == nil || strings.Count(err.Error(), "\n") != 1 || !strings.Contains(err.Error(), "larger for linux/arm64") ||
		!strings.HasPrefix(err.Error(), "large for linux/arm64 has 103 bytes, 3 more than it may have") {
		t.Errorf("%v", err)
	}
}

func ms(f float64) time.Duration { return time.Duration(f * float64(time.Millisecond)) }

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		times []time.Duration
		want  spread
	}{
		{[]time.Duration{ms(7)}, spread{ms(7), ms(7), ms(7)}},
		{[]time.Duration{ms(9), ms(1), ms(2)}, spread{ms(1), ms(2), ms(9)}},
		{[]time.Duration{ms(40), ms(4), ms(1), ms(2)}, spread{ms(1), ms(3), ms(40)}},
	} {
		if got := spreadOf(slices.Clone(c.times)); got != c.want {
			t.Errorf("%v: %v, want %v", c.times, got, c.want)
		}
	}
}

var printed = []figure{
	{program: program{name: "handler", limit: 12 * mb, goal: 20}, platform: "linux/amd64", size: 10_629_246, bare: 6_230_142, delivered: true,
		started: true, starts: spread{ms(6.2), ms(8), ms(17.456)}, bareStarts: spread{ms(2.9), ms(4), ms(11.5)}},
	{program: program{name: "handler", limit: 12 * mb, goal: 20}, platform: "linux/arm64", size: 9_000_000, bare: 6_000_000, delivered: true},
	{program: program{name: "service", limit: 22 * mb, port: "PORT"}, platform: "plan9/386", size: 8_000_000, bare: 5_000_000,
		started: true, starts: spread{ms(4), ms(6), ms(30)}, bareStarts: spread{ms(3), ms(5), ms(9)}},
}

func TestTables(t *testing.T) {
	var b strings.Builder
	if err := writeTables(&b, printed, 40); err != nil {
		t.Fatal(err)
	}
	want := "Size in MB, built as `make dist` builds; bare: a net/http program built alike\n" +
		`PROGRAM  PLATFORM      SIZE  LIMIT  BARE  RATIO
handler  linux/amd64  10.63  12.00  6.23   1.71
handler  linux/arm64   9.00  12.00  6.00   1.50

Start in ms from exec, 40 of each program in turn with bare's, ` + strconv.Itoa(runtime.NumCPU()) + ` processors
PROGRAM  READY AT       MIN  MEDIAN    MAX  GOAL  BARE MIN  MEDIAN    MAX  RATIO
handler  first poll    6.20    8.00  17.46  20.0      2.90    4.00  11.50   2.00
service  GET /healthz  4.00    6.00  30.00     –      3.00    5.00   9.00   1.20

`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

func TestLines(t *testing.T) {
	var b strings.Builder
	if err := writeLines(&b, printed, 40); err != nil {
		t.Fatal(err)
	}
	const want = `program	platform	bytes	limit_bytes	bare_bytes	size_ratio	ready_at	min_ms	median_ms	max_ms	bare_min_ms	bare_median_ms	bare_max_ms	start_ratio
handler	linux/amd64	10629246	12000000	6230142	1.71	first poll	6.20	8.00	17.46	2.90	4.00	11.50	2.00
handler	linux/arm64	9000000	12000000	6000000	1.50	first poll							
service	plan9/386	8000000		5000000	1.60	GET /healthz	4.00	6.00	30.00	3.00	5.00	9.00	1.20
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

// measured runs all from the module's root and returns what goes into a file.
func measured(t *testing.T, programs []program) ([][]string, error) {
	t.Helper()
	t.Chdir("../..")
	out, err := os.CreateTemp(t.TempDir(), "out")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	failed := run(t.Context(), out, programs, 1)
	text, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	var lines [][]string
	for line := range strings.Lines(string(text)) {
		lines = append(lines, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	return lines, failed
}

// Every program starts with the environment given here, and is as small as it
// must be; each line is complete.
func TestEveryProgram(t *testing.T) {
	local := slices.Clone(programs)
	for i := range local {
		local[i].platforms = []string{here}
	}
	lines, err := measured(t, local)
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) != 1+len(programs) {
		t.Fatalf("%q", lines)
	}
	for i, line := range lines[1:] {
		if len(line) != len(lines[0]) || line[0] != programs[i].name || slices.Contains(line, "") || slices.Contains(line, "0.00") {
			t.Errorf("%q", line)
		}
	}
}

// A program that is too large is an error, after everything has been printed.
func TestRunTooLarge(t *testing.T) {
	lines, err := measured(t, []program{
		{name: "fat", source: bareSource, platforms: []string{here}, limit: 1},
		{name: "slim", source: bareSource, platforms: []string{here}, limit: 1 << 40, port: "PORT"},
	})
	if err == nil || !strings.HasPrefix(err.Error(), "fat for "+here+" has ") || strings.Contains(err.Error(), "slim") {
		t.Errorf("%v", err)
	}
	if len(lines) != 3 || lines[1][0] != "fat" || lines[2][0] != "slim" || lines[1][2] != lines[1][4] || lines[2][5] != "1.00" {
		t.Errorf("%q", lines)
	}
}

func TestRunWithoutStarts(t *testing.T) {
	if err := run(t.Context(), os.Stderr, programs, 0); err == nil || !strings.Contains(err.Error(), "-n") {
		t.Errorf("%v", err)
	}
}

func TestStartThatFails(t *testing.T) {
	t.Chdir("../..")
	b := builder{ctx: t.Context(), dir: t.TempDir()}
	bare, err := b.build(bareSource, here, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := start(t.Context(), bare, "PORT", []string{"PORT=none"}); err == nil ||
		!strings.Contains(err.Error(), "ended before it was ready: exit status 1") || !strings.Contains(err.Error(), "serve: listen tcp") {
		t.Errorf("a program that ends: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := start(ctx, bare, "PORT", []string{"PORT=0"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a program that serves elsewhere: %v", err)
	}
	if _, err := start(t.Context(), bare+"-gone", "", nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no program: %v", err)
	}
}

// A program that answers, but not well, is not ready.
func TestHealth(t *testing.T) {
	for answer, want := range map[string]string{
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n":                  "",
		"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n": "GET /healthz: 503 Service Unavailable",
		"nonsense\r\n\r\n": "malformed HTTP",
	} {
		c, server := net.Pipe()
		go func() {
			buf := make([]byte, 1000)
			n, _ := server.Read(buf)
			if !strings.HasPrefix(string(buf[:n]), http.MethodGet+" /healthz HTTP/1.1\r\n") {
				answer = "HTTP/1.1 400 Bad Request\r\n\r\n"
			}
			_, _ = io.WriteString(server, answer)
			server.Close()
		}()
		at, err := health(c)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) || at.IsZero() != (err != nil) {
			t.Errorf("%q: %v, %v", answer, at, err)
		}
		c.Close()
	}
}

func TestTerminal(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if terminal(w) {
		t.Error("a pipe is no terminal")
	}
}
