package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"hotreader"
	"hotreader/store/all"
)

const grafanaFiles = "../../docs/grafana/"

// board is what the tests look at in a dashboard.
type board struct {
	Templating struct {
		List []struct {
			Name, Type string
			Query      json.RawMessage
			Multi      bool
		}
	}
	Panels []struct {
		ID                         int
		Title, Description, Repeat string
		Datasource                 struct{ Type, UID string }
		Targets                    []target
	}
}

// target is a query of either data source.
type target struct {
	Expr          string
	Instant       bool
	Type, Source  string
	Format, URL   string
	URLOptions    struct{ Params []struct{ Key, Value string } } `json:"url_options"`
	RootSelector  string                                         `json:"root_selector"`
	Columns       []struct{ Selector string }
	InfinityQuery *target
	Query         string
}

// grafana is a server with a twin's rows up to now, and how Grafana fills in variables.
type grafana struct {
	t        *testing.T
	url      string
	now      time.Time
	infinity *strings.Replacer
}

func newGrafana(t *testing.T) *grafana {
	t.Helper()
	t.Setenv(tokenVariable, oldToken)
	dir := t.TempDir()
	store, err := all.Open(t.Context(), "bolt:"+filepath.Join(dir, "twin.db"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Truncate(time.Second)
	for _, device := range []string{"d", "e", "hall/f"} {
		var rows []hotreader.Record
		for at := now.Add(-2 * time.Hour); !at.After(now); at = at.Add(10 * time.Second) {
			if at.After(now.Add(-10*time.Minute)) && device == "e" {
				break // it is silent
			}
			rows = append(rows, hotreader.Record{Time: at, Fields: []hotreader.Field{{Name: "temperature", Value: hotreader.Int64Value(90)}, {Name: "speed", Value: hotreader.Int64Value(7)}, {Name: "Oil level, %", Value: hotreader.Int64Value(3)}}})
		}
		if err := store.Write(t.Context(), device, rows); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return &grafana{
		t: t, now: now,
		url: serveURL(t, "serve", "--listen", "127.0.0.1:0", "--log-level", "error", "--store", "bolt:"+filepath.Join(dir, "twin.db")),
		// As Grafana does with several values chosen.
		infinity: strings.NewReplacer("${device:percentencode}", "hall%2Ff", "${property:doublequote}", `"temperature","speed","Oil level, %"`, "$points", "1000",
			"${__from}", millis(now.Add(-time.Hour)), "${__to}", millis(now)),
	}
}

func millis(t time.Time) string {
	text, _ := json.Marshal(t.UnixMilli())
	return string(text)
}

// ask sends a request and returns the answer, which must be one.
func (g *grafana) ask(path string, parameters url.Values, bearer bool) []byte {
	g.t.Helper()
	if strings.ContainsAny(path+parameters.Encode(), "$") || strings.Contains(parameters.Encode(), "%24") {
		g.t.Errorf("%s?%s has a variable that is not known", path, parameters.Encode())
	}
	r, err := http.NewRequestWithContext(g.t.Context(), http.MethodGet, g.url+path+"?"+parameters.Encode(), http.NoBody)
	if err != nil {
		g.t.Fatal(err)
	}
	if r.SetBasicAuth("grafana", oldToken); bearer {
		r.Header.Set("Authorization", "Bearer "+oldToken)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		g.t.Errorf("%s?%s: %d %.300s, %v", path, parameters.Encode(), resp.StatusCode, body, err)
	}
	return body
}

// properties are what Grafana puts for $property: a regular expression of those chosen,
// or, in a panel that is repeated, each.
func properties(repeat string) []string {
	if repeat != "" {
		return []string{"temperature", "speed", "Oil_level___"}
	}
	return []string{"(temperature|speed|Oil_level___)"}
}

// filled puts values into the variables of an expression.
func filled(expr, property string) string {
	return strings.NewReplacer("$device", "(d|e|hall/f)", "$property", property, "$__interval", "30s").Replace(expr)
}

// evaluate evaluates an expression and returns how many series it has.
func (g *grafana) evaluate(expr string, instant bool) int {
	g.t.Helper()
	parameters, path := url.Values{"query": {expr}, "time": {g.now.Format(time.RFC3339)}}, "/api/v1/query"
	if !instant {
		path += "_range"
		parameters["start"], parameters["end"], parameters["step"] = []string{g.now.Add(-time.Hour).Format(time.RFC3339)}, parameters["time"], []string{"30"}
	}
	var answer struct {
		Data struct{ Result []json.RawMessage }
	}
	if err := json.Unmarshal(g.ask(path, parameters, false), &answer); err != nil {
		g.t.Error(err)
	}
	return len(answer.Data.Result)
}

// rows asks what Infinity asks and returns what its selectors find.
func (g *grafana) rows(q *target) (rows []map[string]any) {
	g.t.Helper()
	parameters := url.Values{}
	for _, p := range q.URLOptions.Params {
		parameters.Set(p.Key, g.infinity.Replace(p.Value))
	}
	var answer map[string]json.RawMessage
	if err := json.Unmarshal(g.ask(g.infinity.Replace(q.URL), parameters, true), &answer); err != nil {
		g.t.Error(err)
	}
	if err := json.Unmarshal(answer[q.RootSelector], &rows); err != nil || len(rows) == 0 {
		g.t.Errorf("%s has no rows at %s: %v", q.URL, q.RootSelector, err)
	}
	return rows
}

func load(t *testing.T, file string, into any, decode func([]byte, any) error) {
	t.Helper()
	text, err := os.ReadFile(grafanaFiles + file)
	if err == nil {
		err = decode(text, into)
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// Each menu and each panel of the twin's dashboards gets an answer with something in it.
func TestGrafanaDashboards(t *testing.T) {
	g := newGrafana(t)
	for file, kind := range map[string]string{"twin.json": "prometheus", "twin-infinity.json": "yesoreyeram-infinity-datasource"} {
		var b board
		load(t, file, &b, json.Unmarshal)
		menus, titles := map[string]bool{}, map[string]bool{}
		for _, v := range b.Templating.List {
			menus[v.Name] = true
			if v.Type == "query" {
				g.menu(v.Name, v.Query)
			}
		}
		if !menus["datasource"] || !menus["device"] || !menus["property"] {
			t.Errorf("%s: menus %v", file, menus)
		}
		for _, p := range b.Panels {
			if p.Description == "" || len(p.Targets) == 0 || titles[p.Title] || p.Datasource.UID != "${datasource}" || p.Datasource.Type != kind || p.Repeat != "" && !menus[p.Repeat] {
				t.Errorf("%s: panel %q: %+v", file, p.Title, p)
			}
			titles[p.Title] = true
			for _, q := range p.Targets {
				switch {
				case kind == "prometheus":
					for _, property := range properties(p.Repeat) {
						if n := g.evaluate(filled(q.Expr, property), q.Instant); n == 0 {
							t.Errorf("%s: panel %q: %s has no series of %s", file, p.Title, q.Expr, property)
						}
					}
				case len(g.rows(&q)) > 1001:
					t.Errorf("%s: panel %q has more rows than are asked for", file, p.Title)
				}
			}
		}
	}
}

// menu checks that the query of a menu has entries.
func (g *grafana) menu(name string, raw json.RawMessage) {
	g.t.Helper()
	var q target
	if err := json.Unmarshal(raw, &q); err != nil {
		g.t.Fatal(err)
	}
	if q.InfinityQuery != nil {
		for _, row := range g.rows(q.InfinityQuery) {
			if text, _ := row[q.InfinityQuery.Columns[0].Selector].(string); text == "" {
				g.t.Errorf("menu %s: %v", name, row)
			}
		}
		return
	}
	arguments, ok := strings.CutPrefix(strings.TrimSuffix(q.Query, ")"), "label_values(")
	matcher, label := "", arguments
	if at := strings.LastIndex(arguments, ", "); at >= 0 {
		matcher, label = arguments[:at], arguments[at+2:]
	}
	parameters := url.Values{}
	if matcher != "" {
		parameters.Set("match[]", filled(matcher, properties("")[0]))
	}
	var answer struct{ Data []string }
	if err := json.Unmarshal(g.ask("/api/v1/label/"+label+"/values", parameters, false), &answer); err != nil || !ok || len(answer.Data) < 2 {
		g.t.Errorf("menu %s: %q, %v", name, answer.Data, err)
	}
}

// The alert rules find the device that is too hot, and the one that is silent.
func TestGrafanaAlerts(t *testing.T) {
	g := newGrafana(t)
	var file struct {
		APIVersion int `yaml:"apiVersion"`
		Groups     []struct {
			Name, Folder, Interval string
			Rules                  []struct {
				UID, Title, Condition string
				Data                  []struct {
					RefID         string `yaml:"refId"`
					DatasourceUID string `yaml:"datasourceUid"`
					Model         struct {
						Expr, Expression, Type string
						RefID                  string `yaml:"refId"`
					}
				}
			}
		}
	}
	load(t, "twin-alerts.yaml", &file, yaml.Unmarshal)
	found := map[string]int{}
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			if len(rule.Data) != 2 || rule.Data[0].DatasourceUID != "hotreader" || rule.Data[1].Model.Expression != rule.Data[0].RefID || rule.Data[1].RefID != rule.Condition ||
				rule.Data[0].Model.RefID != rule.Data[0].RefID || rule.Data[1].Model.RefID != rule.Data[1].RefID || rule.Data[1].Model.Type != "threshold" {
				t.Errorf("%+v", rule)
				continue
			}
			found[rule.UID] = g.evaluate(rule.Data[0].Model.Expr, true)
		}
	}
	if file.APIVersion != 1 || found["hotreader-twin-high"] != 2 || found["hotreader-twin-silent"] != 1 {
		t.Errorf("%+v", found)
	}
}

// The other files that Grafana and Docker read are such files, and fit to each other.
func TestGrafanaProvisioning(t *testing.T) {
	var sources struct {
		APIVersion  int `yaml:"apiVersion"`
		Datasources []struct {
			Name, UID, Type, Access, URL string
			JSONData                     map[string]string `yaml:"jsonData"`
			SecureJSONData               map[string]string `yaml:"secureJsonData"`
		}
	}
	load(t, "datasources.yaml", &sources, yaml.Unmarshal)
	if sources.APIVersion != 1 || len(sources.Datasources) != 2 {
		t.Errorf("%+v", sources)
	}
	for i, want := range []struct{ uid, kind, secret string }{{"hotreader", "prometheus", "basicAuthPassword"}, {"hotreader-infinity", "yesoreyeram-infinity-datasource", "bearerToken"}} {
		if s := sources.Datasources[i]; s.UID != want.uid || s.Type != want.kind || s.Access != "proxy" || s.URL != "$HOTREADER_URL" || s.SecureJSONData[want.secret] != "$INTER_CLOUD_TOKEN" {
			t.Errorf("%+v", s)
		}
	}
	var boards struct {
		APIVersion int `yaml:"apiVersion"`
		Providers  []struct {
			Name, Type string
			Options    struct{ Path string }
		}
	}
	load(t, "dashboards.yaml", &boards, yaml.Unmarshal)
	var compose struct {
		Services map[string]struct {
			Command     string
			Environment map[string]string
			Volumes     []string
		}
	}
	load(t, "compose.yaml", &compose, yaml.Unmarshal)
	if boards.APIVersion != 1 || len(boards.Providers) != 1 || boards.Providers[0].Type != "file" {
		t.Fatalf("%+v", boards)
	}
	shown := 0
	for _, volume := range compose.Services["grafana"].Volumes {
		here, rest, _ := strings.Cut(volume, ":")
		if _, err := os.Stat(grafanaFiles + here); err != nil {
			t.Error(err)
		}
		if strings.HasPrefix(rest, boards.Providers[0].Options.Path+"/") {
			shown++
		}
	}
	if shown != 2 {
		t.Errorf("%d dashboards are where Grafana looks for them", shown)
	}
	// Docker fills in SOURCE, or what is after its :-.
	command := regexp.MustCompile(`\$\{SOURCE:-(.*?)\}`)
	var s serving
	for source, want := range map[string]serving{"$1": {project: "/twin"}, "--store bolt:/twin/pump.db": {store: "bolt:/twin/pump.db"}} {
		args := strings.Fields(command.ReplaceAllString(compose.Services["hotreader"].Command, source))
		flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
		s = serving{}
		s.flags(flags, nil)
		if err := flags.Parse(args[1:]); err != nil || args[0] != "serve" || s.project != want.project || s.store != want.store || !s.insecure || flags.NArg() > 0 {
			t.Errorf("%q: %v", args, err)
		}
	}
	if url := compose.Services["grafana"].Environment["HOTREADER_URL"]; !strings.HasSuffix(s.listen, strings.TrimPrefix(url, "http://hotreader")) {
		t.Errorf("Grafana asks %s, but it listens on %s", url, s.listen)
	}
}
