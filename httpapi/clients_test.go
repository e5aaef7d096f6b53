package httpapi_test

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hotreader"
	"hotreader/catalog"
	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/store/memstore"
)

// infinity asks and reads as the backend of Grafana's Infinity data source does: the
// parameters are added to those that the URL has; the cursor is what its path finds,
// where null is the end and nothing there is a failure; each page becomes a frame, and
// frames merge if their fields have the same names and types.
type infinity struct {
	url     string
	params  [][2]string
	root    string
	columns map[string]string // name → string, number, boolean, or timestamp; nil = as they come
	pages   int               // at most; 0 = no paging
}

// frame has columns of values, in the order of their names.
type frame struct {
	names, types []string
	rows         [][]any
}

func (q infinity) ask(t testing.TB) (whole frame, asked int, err error) {
	t.Helper()
	cursor := ""
	for ; asked == 0 || cursor != "" && asked <= q.pages; asked++ {
		document, err := q.get(t, cursor)
		if err != nil {
			return whole, asked, err
		}
		next, there := document["next_token"]
		if q.pages > 0 && !there {
			return whole, asked, errors.New("error while extracting the cursor value")
		}
		cursor, _ = next.(string)
		items, ok := document[q.root].([]any)
		if !ok {
			return whole, asked, errors.New("invalid root selector")
		}
		page := q.frame(items)
		switch {
		case asked == 0:
			whole = page
		case !slices.Equal(page.names, whole.names):
			return whole, asked, fmt.Errorf("unable to merge fields %q and %q", page.names, whole.names)
		case !slices.Equal(page.types, whole.types):
			return whole, asked, fmt.Errorf("unable to merge fields of the types %q and %q", page.types, whole.types)
		default:
			whole.rows = append(whole.rows, page.rows...)
		}
	}
	return whole, asked, nil
}

func (q infinity) get(t testing.TB, cursor string) (map[string]any, error) {
	t.Helper()
	u, err := url.Parse(q.url)
	if err != nil {
		t.Fatal(err)
	}
	values := u.Query()
	for _, p := range q.params {
		values.Add(p[0], p[1])
	}
	if cursor != "" {
		values.Add("next_token", cursor)
	}
	u.RawQuery = values.Encode()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/json;q=0.9,text/plain")
	req.Header.Set("Accept-Encoding", "gzip")
	req.Header.Add("Authorization", "Bearer "+current)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var body io.Reader = resp.Body
	if strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip") {
		if body, err = gzip.NewReader(body); err != nil {
			t.Fatal(err)
		}
	}
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode >= 400 {
		return nil, fmt.Errorf("unsuccessful HTTP response: %s: %s", resp.Status, text)
	}
	var document map[string]any
	return document, json.Unmarshal(text, &document)
}

func (q infinity) frame(items []any) (f frame) {
	kinds := map[string]string{}
	for _, item := range items {
		for name, value := range item.(map[string]any) {
			if kinds[name] == "" && value != nil {
				kinds[name] = fmt.Sprintf("%T", value)
			} else if _, ok := kinds[name]; !ok {
				kinds[name] = ""
			}
		}
	}
	if q.columns != nil {
		kinds = q.columns
	}
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		kind := kinds[name]
		if kind == "" {
			kind = "string" // of a column without any value
		}
		f.names, f.types = append(f.names, name), append(f.types, kind)
	}
	for _, item := range items {
		var row []any
		for _, name := range f.names {
			row = append(row, item.(map[string]any)[name])
		}
		f.rows = append(f.rows, row)
	}
	return f
}

// sparse is a device of six rows, in each of which temperature has a value, while
// state has one in the first alone and pressure in the last.
func sparse(t testing.TB) *memstore.Store {
	t.Helper()
	m := memstore.New()
	var records []hotreader.Record
	for i := range 6 {
		fields := []hotreader.Field{{Name: "Water Temp, °C", Value: num(fmt.Sprint(20 + i))}}
		switch i {
		case 0:
			fields = append(fields, hotreader.Field{Name: "state", Value: str("on")})
		case 5:
			fields = append(fields, hotreader.Field{Name: "pressure", Value: num("7")})
		}
		records = append(records, hotreader.Record{Time: at(t, "2026-01-01T00:00:00Z").Add(time.Duration(i) * time.Minute), Fields: fields})
	}
	if err := m.Write(t.Context(), "pump 7/a", records); err != nil {
		t.Fatal(err)
	}
	return m
}

// A panel of Grafana's Infinity data source, over three pages.
func TestInfinityPanel(t *testing.T) {
	s := serve(t, httpapi.Options{Source: sparse(t)})
	panel := infinity{
		url:    s.URL + "/v1/devices/pump%207%2Fa/history?next_token=",
		params: [][2]string{{"property", `{"Water Temp, °C",state}`}, {"start", "1767225600000"}, {"end", "1767225900000"}, {"limit", "2"}},
		root:   "items", pages: 5,
	}
	got, asked, err := panel.ask(t)
	if err != nil || asked != 3 || fmt.Sprint(got.names) != "[Water Temp, °C state time]" || fmt.Sprint(got.types) != "[float64 string string]" || len(got.rows) != 6 {
		t.Fatalf("%d pages, %v: %v", asked, err, got)
	}
	for i, row := range got.rows {
		if row[0] != float64(20+i) || (row[1] == "on") != (i == 0) || row[2] != fmt.Sprintf("2026-01-01T00:0%d:00.000Z", i) {
			t.Errorf("row %d is %v", i, row)
		}
	}

	// A number that a whole page lacks has no type there, unless its column is declared.
	panel.params[0][1] = "pressure"
	panel.params = append(panel.params, [2]string{"property", `"Water Temp, °C"`})
	if _, _, err := panel.ask(t); err == nil || !strings.Contains(err.Error(), "of the types") {
		t.Errorf("undeclared columns: %v", err)
	}
	panel.columns = map[string]string{"time": "timestamp", "pressure": "number", "Water Temp, °C": "number"}
	if got, asked, err := panel.ask(t); err != nil || asked != 3 || len(got.rows) != 6 || got.rows[5][1] != 7.0 {
		t.Errorf("declared columns: %d pages, %v: %v", asked, err, got)
	}

	// One page, and none at all, end as well.
	panel.params = [][2]string{{"property", "state"}, {"start", "-24h"}, {"end", "now"}}
	if got, asked, err := panel.ask(t); err != nil || asked != 1 || len(got.rows) != 0 {
		t.Errorf("no rows: %d pages, %v: %v", asked, err, got)
	}
}

// The menus of a dashboard, by the same data source.
func TestInfinityMenus(t *testing.T) {
	s := serve(t, httpapi.Options{Source: sparse(t), Catalog: packed(t,
		catalog.Device{ID: "pump 7/a", Type: "pump", Properties: []catalog.Property{{Name: "Water Temp, °C", Type: hotreader.Double, Unit: "°C"}, {Name: "state", Type: hotreader.ShortString}}},
		catalog.Device{ID: "valve"},
	)})
	got, _, err := infinity{url: s.URL + "/v1/devices", params: [][2]string{{"limit", "1"}}, root: "items", pages: 5, columns: map[string]string{"id": "string"}}.ask(t)
	if err != nil || fmt.Sprint(got.rows) != "[[pump 7/a] [valve]]" {
		t.Errorf("devices: %v, %v", got, err)
	}
	got, _, err = infinity{url: s.URL + "/v1/devices/pump%207%2Fa", root: "properties"}.ask(t)
	if err != nil || fmt.Sprint(got.names, got.rows) != "[name type unit value] [[Water Temp, °C DOUBLE °C <nil>] [state STRING <nil> <nil>]]" {
		t.Errorf("properties: %v, %v", got, err)
	}
}

// The pages of one answer have the range of the first, however long its reader takes.
func TestPagesOfAMovingRange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := memstore.New()
		h, err := httpapi.New(httpapi.Options{Source: m, Token: static(t, current)})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ query, want string }{
			{"&start=-40m&order=desc", "3 2 1 0"},
			{"&start=now-40m", "0 1 2 3"},
			{"&end=-10m&order=desc", "3 2 1 0"},
			{"&start=-40m&end=-20m", "0 1 2"},
		} {
			for i := range 4 {
				r := hotreader.Record{Time: time.Now().Add(time.Duration(i-4) * 10 * time.Minute), Fields: []hotreader.Field{{Name: "p", Value: num(fmt.Sprint(i))}}}
				if err := m.Write(t.Context(), c.query, []hotreader.Record{r}); err != nil {
					t.Fatal(err)
				}
			}
			path := "/v1/devices/" + url.PathEscape(c.query) + "/history?property=p&limit=1" + c.query
			var got []string
			for token := ""; ; {
				r := httptest.NewRequestWithContext(t.Context(), "GET", path+"&next_token="+token, nil)
				r.Header.Set("Authorization", "Bearer "+current)
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				var p page
				if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 200 || len(p.Items) == 0 {
					t.Fatalf("%s: %d %s", c.query, w.Code, w.Body)
				}
				got = append(got, fmt.Sprint(p.Items[0]["p"]))
				if token = p.NextToken; token == "" {
					break
				}
				time.Sleep(time.Second)
			}
			if all := strings.Join(got, " "); all != c.want {
				t.Errorf("%s: %s, want %s", c.query, all, c.want)
			}
		}
	})
}

// A token of a moving range is good for the same words only.
func TestMovingRangeTokenBelongsToItsQuery(t *testing.T) {
	m := memstore.New()
	for i := range 3 {
		if err := m.Write(t.Context(), "d", []hotreader.Record{{Time: time.Now().Add(-time.Duration(i+1) * time.Minute), Fields: []hotreader.Field{{Name: "p", Value: num("1")}}}}); err != nil {
			t.Fatal(err)
		}
	}
	s := serve(t, httpapi.Options{Source: m})
	const path = "/v1/devices/d/history?property=p&limit=1&start=-24h&end=now"
	first, _ := getPage(t, s, path)
	fixed, _ := getPage(t, s, "/v1/devices/d/history?property=p&limit=1&start=2026-01-01")
	for changed, token := range map[string]string{
		strings.Replace(path, "-24h", "-23h", 1):                   first.NextToken,
		strings.Replace(path, "-24h", "now-24h", 1):                first.NextToken,
		strings.Replace(path, "&end=now", "", 1):                   first.NextToken,
		strings.Replace(path, "start=-24h", "start=2026-01-01", 1): first.NextToken,
		path: fixed.NextToken,
		"/v1/devices/d/history?property=p&start=2026-01-01":              first.NextToken,
		"/v1/devices/d/history?property=p&start=2026-01-01&end=now":      fixed.NextToken,
		"/v1/devices/d/history?property=p&start=now&end=-24h&limit=1":    first.NextToken,
		"/v1/devices/d/history?property=p&property=q&start=-24h&end=now": first.NextToken,
	} {
		problem(t, ask(t, s, "GET", changed+"&next_token="+token, ""), 400, hotreader.CodeInvalid)
	}
	if second, _ := getPage(t, s, path+"&next_token="+first.NextToken); len(second.Items) != 1 {
		t.Errorf("the second page is %v", second)
	}
}

// The token is taken in either header; of both, ours decides.
func TestBearer(t *testing.T) {
	s := serve(t, httpapi.Options{})
	for _, c := range []struct {
		authorization, own []string
		want               int
	}{
		{[]string{"Bearer " + current}, nil, 200},
		{[]string{"bearer  " + previous}, nil, 200},
		{[]string{"Bearer of-another-service"}, []string{current}, 200},
		{[]string{"Bearer " + current}, []string{"wrong"}, 401},
		{[]string{"Bearer " + current}, []string{""}, 401},
		{[]string{"Bearer " + current, "Bearer " + current}, nil, 401},
		{[]string{"Bearer " + current + "," + previous}, nil, 401},
		{[]string{"Bearer"}, nil, 401},
		{[]string{current}, nil, 401},
		{[]string{"Token " + current}, nil, 401},
		{[]string{"Bearer\t" + current}, nil, 401},
	} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+history, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header["Authorization"] = c.authorization
		if c.own != nil {
			req.Header[identity.TokenHeader] = c.own
		}
		if got := do(t, req); got.status != c.want {
			t.Errorf("%q, %q: %d %s", c.authorization, c.own, got.status, got.body)
		} else if c.want == 401 && (problem(t, got, 401, hotreader.CodeUnauthenticated) != "" || got.header.Get("WWW-Authenticate") != "Bearer") {
			t.Errorf("%q: %v %s", c.authorization, got.header, got.body)
		}
	}
}

// Each problem has a trace id of its own, refusals of a token whatever the caller says.
func TestEachProblemHasItsTrace(t *testing.T) {
	s := serve(t, httpapi.Options{})
	seen := map[string]bool{}
	for _, c := range []struct{ path, method, token string }{
		{history, "GET", "wrong"}, {history, "GET", "wrong"}, {history, "GET", ""}, {"/v1/devices", "GET", ""},
		{history + "&limit=0", "GET", current}, {history + "&limit=0", "GET", current}, {"/nowhere", "GET", current}, {"/nowhere", "GET", current},
		{"/v1/devices/nobody", "GET", current}, {"/v1/devices/nobody", "GET", current}, {"/health", "PUT", ""}, {"/health", "PUT", ""},
	} {
		headers := []string{identity.TokenHeader, c.token}
		if c.token != current {
			headers = append(headers, "X-Request-Id", "always-the-same")
		}
		got := ask(t, s, c.method, c.path, "", headers...)
		var p struct {
			TraceID string `json:"trace_id"`
		}
		if err := json.Unmarshal([]byte(got.body), &p); err != nil || got.status < 400 || len(p.TraceID) != 32 || seen[p.TraceID] {
			t.Errorf("%s %s: %d %s: %v", c.method, c.path, got.status, got.body, err)
		}
		seen[p.TraceID] = true
	}
}
