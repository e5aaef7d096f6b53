package observe_test

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"hotreader"
	"hotreader/observe"
)

func document(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile("../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// expression holds one of Prometheus' queries against the metrics that there are:
// their names, the labels they are asked by, and the codes.
func expression(t *testing.T, where, expr string) (used []string) {
	t.Helper()
	labels := []string{"job", "instance", "le"}
	for _, m := range regexp.MustCompile(`(hotreader_\w+?)(_bucket|_sum|_count)?\b(\{[^}]*\})?`).FindAllStringSubmatch(expr, -1) {
		i := slices.IndexFunc(observe.Descs(), func(d observe.Desc) bool {
			return d.Name == m[1] && (d.Kind == observe.Histogram) == (m[2] != "")
		})
		if i < 0 {
			t.Errorf("%s: there is no metric %s", where, m[0])
			continue
		}
		d := observe.Descs()[i]
		used, labels = append(used, d.Name), append(labels, d.Labels...)
		for _, l := range regexp.MustCompile(`(\w+)\s*(?:=~|!=|=)\s*"([^"]*)"`).FindAllStringSubmatch(m[3], -1) {
			if !slices.Contains(append([]string{"job", "instance"}, d.Labels...), l[1]) {
				t.Errorf("%s: %s has no label %s", where, d.Name, l[1])
			}
			for code := range strings.SplitSeq(l[2], "|") {
				if l[1] == "code" && code != "ok" && !slices.Contains(hotreader.Codes(), hotreader.Code(code)) {
					t.Errorf("%s: there is no code %s", where, code)
				}
			}
		}
	}
	for _, m := range regexp.MustCompile(`by \(([^)]*)\)`).FindAllStringSubmatch(expr, -1) {
		for label := range strings.SplitSeq(m[1], ",") {
			if !slices.Contains(labels, strings.TrimSpace(label)) {
				t.Errorf("%s: nothing of %s has the label %s", where, expr, label)
			}
		}
	}
	return used
}

// TestDashboard: it can be imported into any Grafana, asks for metrics that there
// are, and shows each of them.
func TestDashboard(t *testing.T) {
	var d struct {
		Title      string
		UID        string
		Templating struct {
			List []struct{ Name, Type string }
		}
		Panels []struct {
			Title, Description string
			Datasource         struct{ UID string }
			Targets            []struct {
				Expr       string
				Datasource struct{ UID string }
			}
		}
	}
	text := document(t, "grafana/hotreader.json")
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	if d.Title == "" || d.UID == "" || len(d.Templating.List) == 0 || d.Templating.List[0].Type != "datasource" {
		t.Errorf("%q, %q, %v: it cannot be imported with another data source", d.Title, d.UID, d.Templating.List)
	}
	shown, titles := map[string]bool{}, map[string]bool{}
	for _, p := range d.Panels {
		if p.Description == "" || p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 || titles[p.Title] {
			t.Errorf("panel %q has no description, no query, a fixed data source, or another's title", p.Title)
		}
		titles[p.Title] = true
		for _, q := range p.Targets {
			if q.Datasource.UID != "${datasource}" {
				t.Errorf("panel %q has a fixed data source", p.Title)
			}
			for _, name := range expression(t, "panel "+p.Title, q.Expr) {
				shown[name] = true
			}
		}
	}
	for _, m := range observe.Descs() {
		if !shown[m.Name] {
			t.Errorf("no panel shows %s", m.Name)
		}
	}
	// The runbook sends its reader to panels by their titles.
	for _, m := range regexp.MustCompile(`(?:[|,:.(] ?|panel )\*([A-Z][^*|]+)\*`).FindAllStringSubmatch(document(t, "runbook.md"), -1) {
		found := false
		for title := range titles {
			found = found || strings.HasPrefix(title, m[1])
		}
		if !found {
			t.Errorf("the runbook names the panel %q, which is not there: %v", m[1], slices.Sorted(maps.Keys(titles)))
		}
	}
}

// TestAlerts: each asks for metrics that there are, and the runbook says what to
// do; and each alert of the runbook is one.
func TestAlerts(t *testing.T) {
	runbook := document(t, "runbook.md")
	var names []string
	for i, rule := range strings.Split(document(t, "grafana/alerts.yaml"), "- alert: ")[1:] {
		name, rest, _ := strings.Cut(rule, "\n")
		expr, rest, ok := strings.Cut(rest, "\n        annotations:")
		if !ok || !strings.Contains(rest, "summary: ") || !strings.Contains(expr, "severity: ") {
			t.Errorf("alert %d, %s, has no summary or no severity", i+1, name)
		}
		names = append(names, name)
		if used := expression(t, name, expr); len(used) == 0 && name != "HotreaderDown" {
			t.Errorf("%s asks for nothing of ours", name)
		}
		link := regexp.MustCompile(`runbook: docs/runbook\.md#alert-([a-z-]+)`).FindStringSubmatch(rest)
		if link == nil || !strings.Contains(runbook, "\n### alert: "+strings.ReplaceAll(link[1], "-", " ")+"\n`"+name+"`. ") {
			t.Errorf("%s: the runbook has no section %v that begins with its name", name, link)
		}
	}
	if told := strings.Count(runbook, "\n### alert: "); told != len(names) || told < 8 {
		t.Errorf("the runbook has %d alerts, there are %d", told, len(names))
	}
}

// TestMetricsAreTold: the table of metrics has each, with its type and labels, and
// no others.
func TestMetricsAreTold(t *testing.T) {
	told := map[string][2]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| (`hotreader_[^|]+) \\| ([a-z, ]+) \\|[^|]*\\|([^|]*)\\| [^|]+ \\|$").FindAllStringSubmatch(document(t, "observability.md"), -1) {
		names := strings.Split(strings.ReplaceAll(m[1], "`", ""), ", ")
		types := strings.Split(m[2], ", ")
		for i, name := range names {
			told[name] = [2]string{types[min(i, len(types)-1)], strings.ReplaceAll(strings.TrimSpace(m[3]), "`", "")}
		}
	}
	kinds := map[observe.Kind]string{observe.Counter: "counter", observe.Gauge: "gauge", observe.Histogram: "histogram"}
	all := map[string]bool{}
	for _, d := range observe.Descs() {
		all[d.Name] = true
		if want := [2]string{kinds[d.Kind], strings.Join(d.Labels, ", ")}; told[d.Name] != want {
			t.Errorf("%s is told as %q, it is %q", d.Name, told[d.Name], want)
		}
		for _, label := range d.Labels {
			if !slices.Contains([]string{"route", "code", "by", "token", "version"}, label) {
				t.Errorf("%s has the label %s: is that of few values?", d.Name, label)
			}
		}
	}
	for name := range told {
		if !all[name] {
			t.Errorf("%s is told and not there", name)
		}
	}
}
