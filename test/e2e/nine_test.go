//go:build engines

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hotreader"
	"hotreader/function/awslambda"
	"hotreader/identity"
	"hotreader/wire"
)

// asks are the columns of the matrix, before the last entry.
func asks() []ask {
	day := func(text string) time.Time {
		t, err := time.Parse(time.DateOnly, text)
		if err != nil {
			panic(err)
		}
		return t
	}
	return []ask{
		{name: "ascending"},
		{name: "descending", descending: true},
		{name: "paged", page: 2500, from: day("2014-01-05"), to: day("2014-01-20")},
		{name: "paged back", descending: true, page: 2500, from: day("2014-01-05"), to: day("2014-01-20")},
		{name: "filtered", above: "80.5", from: day("2013-12-20"), to: day("2014-01-20")},
		{name: "interpolated", step: 7 * time.Minute, from: day("2014-01-05"), to: day("2014-01-30")},
		{name: "by type", componentType: true, from: day("2014-01-05"), to: day("2014-01-12")},
	}
}

// dashboard is the edge on Azure and Google Cloud: GET, and POST /read for what
// GET has no words for.
type dashboard struct {
	url string
}

func (e *dashboard) history(ctx context.Context, a ask, nextToken string) ([]point, string, error) {
	from, to := a.bounds()
	if a.above != "" || a.step > 0 {
		return e.read(ctx, a, nextToken)
	}
	q := url.Values{"property": {"temperature"}, "start": {from.Format(time.RFC3339)}, "end": {to.Format(time.RFC3339)}}
	if a.descending {
		q.Set("order", "desc")
	}
	if a.page > 0 {
		q.Set("limit", fmt.Sprint(a.page))
	}
	if nextToken != "" {
		q.Set("next_token", nextToken)
	}
	return e.items(ctx, "history?"+q.Encode())
}

func (e *dashboard) last(ctx context.Context) (point, error) {
	points, next, err := e.items(ctx, "latest?property=temperature")
	if err != nil {
		return point{}, err
	}
	if len(points) != 1 || next != "" {
		return point{}, fmt.Errorf("%d points, next token %q", len(points), next)
	}
	return points[0], nil
}

// items asks one of the GET routes.
func (e *dashboard) items(ctx context.Context, route string) ([]point, string, error) {
	body, err := e.do(ctx, http.MethodGet, "/v1/devices/"+device+"/"+route, "")
	if err != nil {
		return nil, "", err
	}
	var a struct {
		Items []struct {
			Time        time.Time
			Temperature *json.Number
		}
		Next *string `json:"next_token"`
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, "", fmt.Errorf("%w: %.200s", err, body)
	}
	var points []point
	for _, i := range a.Items {
		if i.Temperature == nil {
			return nil, "", fmt.Errorf("no value at %v", i.Time)
		}
		points = append(points, point{i.Time, i.Temperature.String()})
	}
	if a.Next == nil {
		return points, "", nil
	}
	if *a.Next == "" {
		return nil, "", errors.New("an empty next_token")
	}
	return points, *a.Next, nil
}

// read asks POST /read.
func (e *dashboard) read(ctx context.Context, a ask, nextToken string) ([]point, string, error) {
	from, to := a.bounds()
	payload := map[string]any{"iot_device_id": device, "start_time": from.Format(time.RFC3339), "end_time": to.Format(time.RFC3339),
		"selected_properties": []string{"temperature"}, "property_types": map[string]string{"temperature": "DOUBLE"},
		"entity_id": "entity-1", "component_name": "sensor"}
	if a.descending {
		payload["order"] = "DESCENDING"
	}
	if a.page > 0 {
		payload["max_results"] = a.page
	}
	if a.above != "" {
		payload["filters"] = []any{map[string]any{"property_name": "temperature", "operator": ">", "value": json.Number(a.above)}}
	}
	if a.step > 0 {
		payload["interpolation"] = map[string]any{"interpolation_type": "LINEAR", "interval_in_seconds": a.step / time.Second}
	}
	if nextToken != "" {
		payload["next_token"] = nextToken
	}
	envelope, err := json.Marshal(map[string]any{"source_cloud": "notebook", "target_layer": "L3-Hot-Read", "message_type": "query",
		"timestamp": "2026-01-01T00:00:00Z", "trace_id": "nine", "payload": payload})
	if err != nil {
		return nil, "", err
	}
	body, err := e.do(ctx, http.MethodPost, "/read", string(envelope))
	if err != nil {
		return nil, "", err
	}
	return propertyValues(body, `{"entityId":"entity-1","componentName":"sensor","propertyName":"temperature"}`)
}

func (e *dashboard) do(ctx context.Context, method, path, body string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 50*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, e.url+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set(identity.TokenHeader, token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return answer, nil
	}
	var p struct{ Code, Title string }
	if resp.Header.Get("Content-Type") != wire.ProblemType || json.Unmarshal(answer, &p) != nil || p.Code == "" {
		return nil, fmt.Errorf("%s: %.200s", resp.Status, answer)
	}
	return nil, &refused{p.Code, p.Title}
}

// path is one of the nine: an edge, and the line by which its program reaches
// the rows.
type path struct {
	l4, l3 string
	edge   edge
	line   *line
}

func (p *path) String() string { return p.l4 + " reads " + p.l3 }

// newPath starts the programs of a twin whose L4 and L3 are in these clouds.
func (w *world) newPath(t *testing.T, l4, l3 string) *path {
	t.Helper()
	return w.pathTo(t, l4, l3, w.api[l3], nil)
}

// pathTo is newPath to an API, with more in the environment.
func (w *world) pathTo(t *testing.T, l4, l3 string, to *api, more map[string]string) *path {
	t.Helper()
	p := &path{l4: l4, l3: l3}
	var env map[string]string
	if l4 == l3 {
		p.line = newLine(t, w.hot[l3].address)
		env = w.hot[l3].reach(p.line.addr)
	} else {
		host, path := to.at(t)
		p.line = newLine(t, host)
		env = map[string]string{"REMOTE_READER_URL": "http://" + p.line.addr + path}
	}
	env["DIGITAL_TWIN_INFO"], env["INTER_CLOUD_TOKEN"] = layers(l3, l4), token
	env["HOTREADER_CACHE"] = "0" // each answer is to come over the line, where the faults are
	maps.Copy(env, more)
	if l4 == "aws" {
		p.edge = newTwinMaker(t, env)
	} else {
		url, _ := startServer(t, l4, env)
		p.edge = &dashboard{url}
	}
	return p
}

// Nine routes, one truth: wherever hot storage and the twin are, each way to ask
// gets exactly what was imported.
func TestNineRoutes(t *testing.T) {
	t.Parallel() // much of it is waiting
	w := newWorld(t)
	truths := map[string][]point{}
	for _, a := range asks() {
		truths[a.name] = a.want(w.truth)
		if n := len(truths[a.name]); n < 100 {
			t.Fatalf("%s: %d points show nothing", a.name, n)
		}
	}
	newest := w.truth.points[len(w.truth.points)-1]
	var paths []*path
	for _, l4 := range clouds {
		for _, l3 := range clouds {
			paths = append(paths, w.newPath(t, l4, l3))
		}
	}
	var columns []string
	for _, a := range asks() {
		columns = append(columns, a.name)
	}
	m := newMatrix(paths, append(columns, "last entry"))
	began := time.Now()
	t.Run("well", func(t *testing.T) {
		for _, p := range paths {
			t.Run(p.String(), func(t *testing.T) {
				t.Parallel()
				for _, a := range asks() {
					if a.componentType && p.l4 != "aws" {
						m.set(p, a.name, "-")
						continue
					}
					points, err := all(t.Context(), p.edge, a)
					wrong := a.difference(points, truths[a.name])
					if err != nil || wrong != "" {
						t.Errorf("%s: %v; %s", a.name, err, wrong)
						m.set(p, a.name, "WRONG")
						continue
					}
					m.set(p, a.name, fmt.Sprint(len(points)))
				}
				m.set(p, "last entry", checkNewest(t, p, newest))
			})
		}
	})
	t.Run("federated", func(t *testing.T) { w.checkFederated(t, newest) })
	t.Logf("nine routes in %s, points that came and were right:\n%s", time.Since(began).Round(time.Millisecond), m)

	columns = nil
	broken := ask{name: "broken", from: time.Date(2014, 1, 5, 0, 0, 0, 0, time.UTC), to: time.Date(2014, 1, 30, 0, 0, 0, 0, time.UTC)}
	for _, s := range strokes {
		columns = append(columns, s.String())
	}
	m = newMatrix(paths, columns)
	began = time.Now()
	for _, s := range strokes {
		t.Run(s.String(), func(t *testing.T) {
			var running sync.WaitGroup
			room := make(chan struct{}, 3)
			if s.fault == slow {
				room = make(chan struct{}, len(paths)) // it is all waiting
			}
			for _, p := range paths {
				running.Go(func() {
					room <- struct{}{}
					defer func() { <-room }()
					m.set(p, s.String(), strike(t, p, s, broken, broken.want(w.truth), newest))
				})
			}
			running.Wait()
		})
	}
	t.Logf("nine routes, each broken, in %s, what came of %d points:\n%s", time.Since(began).Round(time.Millisecond), len(broken.want(w.truth)), m)

	// And not the line but the program in the other cloud: it is gone in the
	// middle of an answer, and then there is another.
	t.Run("died", func(t *testing.T) {
		for _, l3 := range clouds {
			t.Run(l3, func(t *testing.T) {
				t.Parallel() // it is all waiting
				w.die(t, l3, paths, broken, newest)
			})
		}
	})
}

// die kills the program that serves l3 while the others wait for the rest of its
// answers, and starts it anew once they have given up.
func (w *world) die(t *testing.T, l3 string, paths []*path, a ask, newest point) {
	truth := a.want(w.truth)
	var cut []*path
	for _, p := range paths {
		if p.l3 == l3 && p.l4 != l3 {
			p.line.set(slow, midway)
			cut = append(cut, p)
		}
	}
	var asked sync.WaitGroup
	for _, p := range cut {
		asked.Go(func() {
			points, next, err := p.edge.history(t.Context(), a, "")
			r, ok := errors.AsType[*refused](err)
			switch {
			case err == nil && next != "" && a.difference(points, truth[:min(len(points), len(truth))]) == "":
				t.Logf("%v: %d points and more", p, len(points))
			case ok && (r.code == string(hotreader.CodeUnavailable) || r.code == awslambda.ErrorType(hotreader.CodeUnavailable)):
				t.Logf("%v: %v", p, r)
			default:
				t.Errorf("%v: %d points, next token %q, %v", p, len(points), next, err)
			}
		})
	}
	for end := time.Now().Add(30 * time.Second); slices.ContainsFunc(cut, func(p *path) bool { return !p.line.struck() }); {
		if time.Now().After(end) {
			t.Fatalf("no answer from %s is long enough to be cut", l3)
		}
		time.Sleep(time.Millisecond)
	}
	w.api[l3].kill()
	for _, p := range cut {
		p.line.set(well, 0) // what is held back is lost
	}
	asked.Wait()
	for _, p := range paths {
		if p.l3 == p.l4 {
			checkNewest(t, p, newest) // is none of its concern
		}
	}
	host, _ := w.serve(t, l3, nil).at(t)
	for _, p := range cut {
		p.line.lead(host)
		points, err := all(t.Context(), p.edge, a)
		// The breaker, open by now, lets a query through to try.
		for end := time.Now().Add(time.Minute); err != nil && time.Now().Before(end); {
			time.Sleep(time.Second)
			points, err = all(t.Context(), p.edge, a)
		}
		if wrong := a.difference(points, truth); err != nil || wrong != "" {
			t.Errorf("%v, when it is back: %v; %s", p, err, wrong)
		}
	}
}

// checkNewest asks for the last entry, and returns what the matrix shows.
func checkNewest(t *testing.T, p *path, newest point) string {
	last, err := p.edge.last(t.Context())
	if err != nil || hotreader.CompareNumbers([]byte(last.value), []byte(newest.value)) != 0 || !last.at.IsZero() && !last.at.Equal(newest.at) {
		t.Errorf("%v: last entry: %v, %v; want %v", p, last, err, newest)
		return "WRONG"
	}
	return last.value
}

// stroke is a fault and when it comes.
type stroke struct {
	fault fault
	after int              // bytes of the answers
	codes []hotreader.Code // of which the error may be; none = there must be no error
}

func (s stroke) String() string {
	if s.after == 0 {
		return string(s.fault)
	}
	return fmt.Sprintf("%s mid-way", s.fault)
}

// midway is within the answer to the query, on every line.
const midway = 20_000

var (
	gone  = []hotreader.Code{hotreader.CodeUnavailable}
	late  = []hotreader.Code{hotreader.CodeUnavailable, hotreader.CodeDeadline}
	noise = []hotreader.Code{hotreader.CodeUnavailable, hotreader.CodeProtocol, hotreader.CodeCorrupt}

	strokes = []stroke{
		{restarted, midway, nil},
		{killed, 0, gone},
		{killed, midway, gone},
		{garbage, 0, noise},
		{garbage, midway, noise},
		{slow, midway, late},
	}
)

// strike asks over a line that breaks. What comes is a page that is right as far
// as it goes, with a token if there is more, or an error of a code that fits:
// never a short success, and never nothing within the deadline. Once the line is
// well again, so is the route.
func strike(t *testing.T, p *path, s stroke, a ask, truth []point, newest point) (shown string) {
	p.line.set(s.fault, s.after)
	points, next, err := p.edge.history(t.Context(), a, "")
	if !p.line.struck() {
		t.Errorf("%v: the answer came before the fault: the test tests nothing", p)
	}
	p.line.set(well, 0)
	if r, ok := errors.AsType[*refused](err); err != nil {
		shown = "WRONG"
		for _, code := range s.codes {
			if ok && (r.code == string(code) || r.code == awslambda.ErrorType(code)) {
				shown = string(code)
			}
		}
		if shown == "WRONG" {
			t.Errorf("%v: %v", p, err)
		}
	} else {
		shown = fmt.Sprint(len(points))
		if next != "" {
			shown += " and more"
			a.token = next
			rest, err := all(t.Context(), p.edge, a)
			if err != nil {
				t.Errorf("%v: the next page: %v", p, err)
			}
			points = append(points, rest...)
		}
		if wrong := a.difference(points, truth); wrong != "" {
			t.Errorf("%v: %s", p, wrong)
			shown = "WRONG"
		}
	}
	checkNewest(t, p, newest)
	return shown
}

// matrix is what the test prints.
type matrix struct {
	rows    []*path
	columns []string

	mu    sync.Mutex
	cells map[[2]string]string
}

func newMatrix(rows []*path, columns []string) *matrix {
	return &matrix{rows: rows, columns: columns, cells: map[[2]string]string{}}
}

func (m *matrix) set(p *path, column, text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cells[[2]string{p.String(), column}] = text
}

func (m *matrix) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-17s", "L4 reads L3")
	for _, c := range m.columns {
		fmt.Fprintf(&b, "%18s", c)
	}
	for _, p := range m.rows {
		fmt.Fprintf(&b, "\n%-17s", p)
		for _, c := range m.columns {
			fmt.Fprintf(&b, "%18s", m.cells[[2]string{p.String(), c}])
		}
	}
	return b.String()
}
