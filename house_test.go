package hotreader

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rooms says which packages of ours each package may import: data flows one
// way, and the folders show it. "codec/*" stands for every package below codec;
// "*" for all. A folder that is not named here is not allowed.
var rooms = map[string][]string{
	"":                        {},
	"identity":                {"", "internal/endpoint", "internal/punctual"},
	"layout":                  {"", "internal/*"},
	"catalog":                 {""},
	"store/storetest":         {""},
	"store/memstore":          {""},
	"store/boltstore":         {""},
	"store/awsdynamodb":       {"", "layout", "store/internal/*", "internal/*"},
	"store/azurecosmos":       {"", "layout", "store/internal/*", "internal/*"},
	"store/gcpfirestore":      {"", "layout", "store/internal/*", "internal/*"},
	"store/coldstore":         {"", "layout", "store/coldstore", "store/internal/*", "internal/*"},
	"store/internal":          {"", "layout", "internal/*"},
	"internal/accept":         {},
	"internal/bounded":        {"", "internal/bounded"},
	"internal/component":      {},
	"internal/cost":           {"", "internal/nearest"},
	"internal/endpoint":       {},
	"internal/punctual":       {},
	"internal/jsontext":       {},
	"internal/turns":          {""},
	"internal/nearest":        {},
	"internal/pagetoken":      {},
	"internal/retries":        {},
	"internal/shell":          {},
	"store/all":               {"", "layout", "store/*", "internal/*"},
	"wire":                    {"", "internal/*"},
	"codec/plain":             {"", "internal/*"},
	"codec/twinmaker":         {"", "catalog", "internal/*"},
	"remote":                  {"", "wire", "route", "identity", "codec/twinmaker", "internal/punctual"},
	"route":                   {"", "internal/*"},
	"config":                  {"", "catalog", "layout", "route", "identity", "internal/*"},
	"observe":                 {"", "internal/endpoint", "internal/punctual", "observe/seen"},
	"observe/page":            {"observe"},
	"observe/seen":            {""},
	"promapi":                 {"", "catalog", "internal/accept", "internal/turns", "internal/nearest"},
	"mcpserver":               {"", "catalog"},
	"httpapi":                 {"", "catalog", "wire", "codec/*", "identity", "internal/*", "observe/seen"},
	"function":                {"", "catalog", "config", "httpapi", "remote", "route", "wire", "identity", "observe"},
	"function/awslambda":      {"", "codec/*", "httpapi", "config", "wire", "identity", "internal/*", "observe/seen"},
	"function/azurefunctions": {"", "codec/*", "httpapi", "config", "wire", "identity", "internal/bounded", "internal/bounded/*"},
	"function/cloudrun":       {"", "codec/*", "httpapi", "config", "wire", "identity", "internal/punctual"},
	"deploy":                  {"", "config", "deploy/render", "deploy/topology", "identity", "internal/bounded", "internal/bounded/*"},
	"deploy/topology":         {"", "config", "deploy/names", "observe"},
	"deploy/publish":          {"", "internal/*"},
	"deploy/render":           {"", "catalog", "codec/twinmaker", "config", "deploy/names", "deploy/publish", "deploy/terraform", "deploy/topology", "layout", "internal/*"},
	"deploy/names":            {"", "config"},
	"deploy/terraform":        {},
	"deploy/doctor":           {"", "codec/twinmaker", "config", "deploy/names", "deploy/topology", "wire", "remote", "identity", "internal/*"},
	"deploy/local":            {"", "catalog", "config", "deploy/*", "dev/*", "internal/bounded", "internal/shell", "store/awsdynamodb", "store/azurecosmos", "store/gcpfirestore"},
	"dev/emulators":           {},
	"dev/played":              {},
	"cmd/hotreader":           {"*"},
	"cmd/hotreader/internal":  {"*"},
	"web":                     {"internal/accept"},
	"function/mounts":         {"httpapi", "mcpserver", "promapi"},

	"cmd/hotreader/internal/chart":             {"", "cmd/hotreader/internal/terminal"},
	"cmd/hotreader/internal/importer":          {"", "cmd/hotreader/internal/terminal", "cmd/hotreader/internal/importer/*", "internal/jsontext", "internal/nearest", "internal/shell"},
	"cmd/hotreader/internal/importer/cell":     {"", "codec/plain"},
	"cmd/hotreader/internal/importer/records":  {"", "internal/jsontext"},
	"cmd/hotreader/internal/importer/sniff":    {"", "cmd/hotreader/internal/importer/*", "internal/jsontext", "internal/shell"},
	"cmd/hotreader/internal/importer/timetext": {"", "layout"},
	"cmd/hotreader/internal/machine":           {""},
	"cmd/hotreader/internal/terminal":          {},

	"cmd/hotreader-azure":    {"*"},
	"cmd/hotreader-cloudrun": {"*"},
	"cmd/hotreader-lambda":   {"*"},
	"test":                   {"*"},
	"scripts":                {},
}

// storeAll is for the command alone: it links every cloud.
const storeAll = "store/all"

// clouds are the modules of which a function may link only its own.
var clouds = map[string]string{
	"aws":    `^github\.com/aws/`,
	"azure":  `^github\.com/(Azure|AzureAD)/`,
	"google": `^(cloud\.google\.com|google\.golang\.org|golang\.org/x/oauth2)(/|$)`,
}

// functionClouds names the one cloud that a function's program may link.
var functionClouds = map[string]string{
	"cmd/hotreader-lambda":   "aws",
	"cmd/hotreader-azure":    "azure",
	"cmd/hotreader-cloudrun": "google",
}

// testHelpers are the folders outside _test.go files that may import testing.
var testHelpers = regexp.MustCompile(`^(store/storetest(/.*)?|store/coldstore/buckettest|test/.*)$`)

// source is what the house rules look at in one folder.
type source struct {
	imports map[string][]string // import path -> the files that import it
	comment bool
	program bool
}

// sources parses every file that goes into a build, in any build configuration.
// It reads the files itself: a test that asked the go command would be served
// from the test cache after a violation, for the cache does not see through it.
func sources(t *testing.T) map[string]*source {
	t.Helper()
	all := map[string]*source{}
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			name := d.Name()
			if file != "." && (name[0] == '.' || name == "testdata" || file == "tools" || file == "bin" || file == "dist") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		folder := filepath.ToSlash(filepath.Dir(file))
		if folder == "." {
			folder = ""
		}
		s := all[folder]
		if s == nil {
			s = &source{imports: map[string][]string{}}
			all[folder] = s
		}
		s.comment = s.comment || documented(parsed)
		s.program = s.program || parsed.Name.Name == "main"
		for _, i := range parsed.Imports {
			p, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			s.imports[p] = append(s.imports[p], file)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 5 {
		t.Fatalf("only %d folders found; does the test run at the module's root?", len(all))
	}
	return all
}

func documented(f *ast.File) bool { return f.Doc != nil && len(strings.TrimSpace(f.Doc.Text())) > 0 }

const module = "hotreader"

func ours(importPath string) (folder string, ok bool) {
	if importPath == module {
		return "", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

// room returns the entry of rooms that governs folder: its own, or that of the
// nearest folder above it.
func room(folder string) (string, bool) {
	for f := folder; ; f = path.Dir(f) {
		if f == "." || f == "/" {
			return "", folder == ""
		}
		if _, ok := rooms[f]; ok {
			return f, true
		}
	}
}

func allowed(rules []string, folder string) bool {
	for _, rule := range rules {
		if rule == folder || rule == "*" {
			return true
		}
		if below, ok := strings.CutSuffix(rule, "*"); ok && strings.HasPrefix(folder, below) {
			return true
		}
	}
	return false
}

func TestHouseImportsPointOneWay(t *testing.T) {
	for folder, s := range sources(t) {
		name, ok := room(folder)
		if !ok {
			t.Errorf("folder %q has no room in house_test.go: decide what it may import", folder)
			continue
		}
		for p, files := range s.imports {
			to, ok := ours(p)
			switch {
			case !ok:
				if folder == "" && strings.Contains(strings.SplitN(p, "/", 2)[0], ".") {
					t.Errorf("%s imports %s: the root package uses the standard library only", files[0], p)
				}
			case strings.HasPrefix(to, name+"/") && name != "":
				// a package's own inner rooms
			case to == storeAll && folder != "cmd/hotreader":
				t.Errorf("%s imports %s, which links every cloud: only cmd/hotreader may", files[0], p)
			case !allowed(rooms[name], to):
				t.Errorf("%s imports %s, which points the wrong way", files[0], p)
			}
		}
	}
}

func TestHouseRoomsExist(t *testing.T) {
	all := sources(t)
	for name := range rooms {
		found := false
		for folder := range all {
			found = found || folder == name || strings.HasPrefix(folder, name+"/")
		}
		if !found {
			t.Errorf("house_test.go has a room for %q, which does not exist", name)
		}
	}
}

// TestHouseOneRoomKnowsOpenTelemetry: the rest is looked at from outside. promapi uses
// Prometheus' engine, not its metrics.
func TestHouseOneRoomKnowsOpenTelemetry(t *testing.T) {
	re, found := regexp.MustCompile(`^(go\.opentelemetry\.io|github\.com/prometheus)/`), false
	for folder, s := range sources(t) {
		for p, files := range s.imports {
			if !re.MatchString(p) {
				continue
			}
			if folder == "promapi" && engine.MatchString(p) {
				continue
			}
			if found = true; folder != "observe" && !strings.HasPrefix(folder, "observe/") && !testHelpers.MatchString(folder) {
				t.Errorf("%s imports %s: only observe may", files[0], p)
			}
		}
	}
	if !found {
		t.Error("nobody imports it: this test looks at the wrong thing")
	}
}

// engine matches Prometheus' own packages, and the one with its durations.
var engine = regexp.MustCompile(`^github\.com/prometheus/(prometheus/|common/model$)`)

// TestHouseEnginesForPeopleAreLinkedByServersOnly: a function that answers TwinMaker has
// no use for the size of Prometheus' engine and the protocol of assistants.
func TestHouseEnginesForPeopleAreLinkedByServersOnly(t *testing.T) {
	all := sources(t)
	for program, wanted := range map[string]bool{"cmd/hotreader-lambda": false, "cmd/hotreader": true} {
		links := map[string]string{}
		reach(all, program, links)
		for _, p := range []string{"hotreader/promapi", "hotreader/mcpserver"} {
			if _, linked := links[p]; linked != wanted {
				t.Errorf("%s links %s: %t", program, p, linked)
			}
		}
	}
}

// TestHouseClientsArePunctual: a client of other machines is made with a dialer on whose
// connections writes end.
func TestHouseClientsArePunctual(t *testing.T) {
	made := regexp.MustCompile(`\bhttp\.Transport\{|\(\*http\.Transport\)\.Clone|NewBuildableClient\(`)
	ends := regexp.MustCompile(`(punctual|storehttp)\.Dial\(`)
	here := regexp.MustCompile(`^(dev/emulators|deploy/local|cmd/hotreader-lambda)$`) // of this machine alone
	found := 0
	for folder, s := range sources(t) {
		if here.MatchString(folder) || testHelpers.MatchString(folder) {
			continue
		}
		for _, file := range s.imports["net/http"] {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			n := len(made.FindAll(text, -1))
			if found += n; n > len(ends.FindAll(text, -1)) {
				t.Errorf("%s makes an HTTP client without punctual.Dial", file)
			}
		}
	}
	if found < 8 {
		t.Errorf("only %d clients are found: this test looks at the wrong thing", found)
	}
}

func TestHousePackagesAreDescribed(t *testing.T) {
	for folder, s := range sources(t) {
		if !s.comment {
			t.Errorf("no file of %q has a package comment", folder)
		}
	}
}

func TestHouseNoTestingInPrograms(t *testing.T) {
	for folder, s := range sources(t) {
		if testHelpers.MatchString(folder) {
			continue
		}
		for p, files := range s.imports {
			if p == "testing" || strings.HasPrefix(p, "testing/") {
				t.Errorf("%s imports %s", files[0], p)
			}
			if to, ok := ours(p); ok && testHelpers.MatchString(to) {
				t.Errorf("%s imports %s, which is for tests", files[0], p)
			}
		}
	}
}

// reach returns every import path that folder's program links, ours followed.
func reach(all map[string]*source, folder string, into map[string]string) {
	s := all[folder]
	if s == nil {
		return
	}
	for p, files := range s.imports {
		if _, seen := into[p]; seen {
			continue
		}
		into[p] = files[0]
		if to, ok := ours(p); ok {
			reach(all, to, into)
		}
	}
}

func TestHouseFunctionsLinkTheirOwnCloudOnly(t *testing.T) {
	all := sources(t)
	for program, own := range functionClouds {
		if _, err := os.Stat(program); err != nil {
			continue // not every program is there yet; the next test counts those that are
		}
		links := map[string]string{}
		reach(all, program, links)
		for cloud, pattern := range clouds {
			re := regexp.MustCompile(pattern)
			found := ""
			for p, file := range links {
				if re.MatchString(p) {
					found = file + " imports " + p
				}
			}
			if cloud == own && found == "" {
				t.Errorf("%s does not link %s at all: this test looks at the wrong thing", program, cloud)
			}
			if cloud != own && found != "" {
				t.Errorf("%s links %s: %s", program, cloud, found)
			}
		}
	}
}

func TestHouseEveryFunctionHasACloud(t *testing.T) {
	for folder, s := range sources(t) {
		if s.program && strings.HasPrefix(folder, "cmd/hotreader-") && functionClouds[folder] == "" {
			t.Errorf("program %s is not in functionClouds", folder)
		}
	}
}

func TestHouseDependenciesHaveReasons(t *testing.T) {
	doc, err := os.ReadFile("docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	direct := map[string]bool{}
	for line := range strings.Lines(string(mod)) {
		line = strings.TrimSpace(strings.TrimPrefix(line, "require "))
		if m := regexp.MustCompile(`^(\S+\.\S+/\S+) v\S+$`).FindStringSubmatch(line); m != nil {
			direct[m[1]] = true
		}
	}
	if len(direct) == 0 {
		t.Fatal("no direct dependency found in go.mod")
	}
	for _, p := range slices.Sorted(maps.Keys(direct)) {
		if !strings.Contains(string(doc), "`"+p+"`") {
			t.Errorf("docs/dependencies.md gives no reason for %s", p)
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(string(doc), -1) {
		if !direct[m[1]] {
			t.Errorf("docs/dependencies.md names %s, which go.mod does not require directly", m[1])
		}
	}
}

// pitfall matches a row of docs/pitfalls.md: the number, then the tests in
// backquotes, each as folder: TestName.
var (
	pitfallRow  = regexp.MustCompile(`(?m)^\| (\d+) \|.*$`)
	pitfallTest = regexp.MustCompile("`([a-z0-9/._-]*): (Test\\w+)`")
)

func TestHousePitfallsHaveTests(t *testing.T) {
	doc, err := os.ReadFile("docs/pitfalls.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := pitfallRow.FindAllStringSubmatch(string(doc), -1)
	if len(rows) == 0 {
		t.Fatal("docs/pitfalls.md has no rows")
	}
	for _, row := range rows {
		tests := pitfallTest.FindAllStringSubmatch(row[0], -1)
		if len(tests) == 0 {
			t.Errorf("pitfall %s names no test", row[1])
		}
		for _, m := range tests {
			folder, name := m[1], m[2]
			if folder == "" {
				folder = "."
			}
			if !regexp.MustCompile(`(?m)^func ` + name + `\(`).MatchString(folderText(t, folder)) {
				t.Errorf("pitfall %s names %s in %s, which does not exist", row[1], name, folder)
			}
		}
	}
}

var (
	docName = regexp.MustCompile("`([a-z]+)\\.([A-Z]\\w*)")                    // `package.Name
	docLink = regexp.MustCompile(`\]\((\.{0,2}[^)#:]+)[^):]*\)`)               // [text](file)
	docFunc = regexp.MustCompile("\\]\\(([^)]+\\.go)\\) ((?:`\\w+`(?:, )?)+)") // [text](file.go) `function`, `function`
)

// TestHouseDocsNameWhatExists: a page that names something of a package of ours,
// links to a file, or names a function beside it, is right about it.
func TestHouseDocsNameWhatExists(t *testing.T) {
	texts := map[string]string{module: folderText(t, ".")}
	for folder := range sources(t) {
		if folder != "" {
			texts[path.Base(folder)] += folderText(t, folder)
		}
	}
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	decisions, err := filepath.Glob("docs/adr/*.md")
	if err != nil {
		t.Fatal(err)
	}
	names, links := 0, 0
	for _, page := range slices.Concat(pages, decisions, []string{"README.md", "CONTRIBUTING.md", "SECURITY.md"}) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range docName.FindAllStringSubmatch(string(text), -1) {
			code, ok := texts[m[1]]
			if !ok {
				continue // not a package of ours
			}
			if names++; !regexp.MustCompile(`(?m)^(func (\(.*\) )?|type |var |const |\t)` + m[2] + `\b`).MatchString(code) {
				t.Errorf("%s names %s.%s, which does not exist", page, m[1], m[2])
			}
		}
		for _, m := range docLink.FindAllStringSubmatch(string(text), -1) {
			links++
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
			}
		}
		for _, m := range docFunc.FindAllStringSubmatch(string(text), -1) {
			code, _ := os.ReadFile(filepath.Join(filepath.Dir(page), m[1])) // that it is there is checked above
			for name := range strings.FieldsFuncSeq(m[2], func(r rune) bool { return strings.ContainsRune("`, ", r) }) {
				if !regexp.MustCompile(`(?m)^func (\(.*\) )?` + name + `\(`).Match(code) {
					t.Errorf("%s says that %s is in %s", page, name, m[1])
				}
			}
		}
	}
	if names == 0 || links == 0 {
		t.Errorf("%d names and %d links found: this test looks at the wrong thing", names, links)
	}
}

// folderText returns all Go text of a folder.
func folderText(t *testing.T, folder string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(filepath.FromSlash(folder), "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}
