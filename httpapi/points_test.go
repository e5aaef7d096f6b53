package httpapi_test

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"hotreader"
	"hotreader/httpapi"
)

// asked keeps the queries that reach a Source.
type asked struct {
	hotreader.Source
	queries *[]hotreader.Query
}

func (a asked) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	*a.queries = append(*a.queries, q)
	return a.Source.Scan(ctx, q)
}

const ofDay = "/v1/devices/d/history?property=a&start=2026-01-01&end=2026-01-02"

// TestFewerPoints: rows of intervals of the range, or of a grid, come in each format.
func TestFewerPoints(t *testing.T) {
	s := serve(t, httpapi.Options{Source: series{n: 4000}}) // a second apart, rising
	for query, want := range map[string]string{
		"&pick=last&every=1h":            "0.5 3600.5 3999.5",
		"&pick=last&every=1h&order=desc": "3999.5 3600.5 0.5",
		"&pick=m4&every=1h":              "0.5 3599.5 3600.5 3999.5",
		"&pick=m4&every=1h&order=desc":   "3999.5 3600.5 3599.5 0.5",
		"&pick=m4&every=1d12h":           "0.5 3999.5", // longer than the range
		"&pick=last&every=10000w":        "3999.5",
		"&points=4":                      "0.5 3999.5",
		"&points=7":                      "0.5 3999.5",
		"&points=96":                     "0.5 3600.5 3601.5 3999.5", // an interval is an hour and a millisecond
	} {
		p, _ := getPage(t, s, ofDay+query)
		var got []string
		for _, item := range p.Items {
			got = append(got, fmt.Sprint(item["a"]))
		}
		if strings.Join(got, " ") != want || p.NextToken != "" {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
		for format, more := range map[string]int{"jsonl": 0, "csv": 1} {
			if n := strings.Count(ask(t, s, "GET", ofDay+query+"&format="+format, "").body, "\n"); n != len(got)+more {
				t.Errorf("%s as %s: %d lines for %d rows", query, format, n, len(got))
			}
		}
	}
	if p, _ := getPage(t, s, ofDay+"&points=1000000"); len(p.Items) != 4000 {
		t.Errorf("more points than rows: %d rows", len(p.Items))
	}
}

func TestFewerPointsRefused(t *testing.T) {
	s := serve(t, httpapi.Options{Source: series{n: 1}})
	for query, want := range map[string]string{
		"points=0":                     `points is "0"; expected a whole number from 4 to 1000000`,
		"points=3":                     `points is "3"`,
		"points=-1":                    `points is "-1"`,
		"points=1000000000":            `points is "1000000000"`,
		"points=1e9":                   `points is "1e9"`,
		"points=":                      `points is ""`,
		"points=100":                   `points needs a start, as start=-24h`,
		"start=-1h&points=8&every=1s":  "points makes its own intervals",
		"start=-1h&points=8&pick=m4":   "points makes its own intervals",
		"pick=m4":                      "pick and every go together",
		"every=1h":                     "pick and every go together",
		"pick=avg&every=1h":            `pick is "avg"; expected m4 or last`,
		"pick=last&every=0s":           `every is "0s"; expected a length of time from 1ms to 200 years`,
		"pick=last&every=60":           `every is "60"`,
		"pick=last&every=-1h":          `every is "-1h"`,
		"pick=last&every=":             `every is ""`,
		"pick=last&every=5us":          `every is "5us"`,
		"pick=last&every=10500w":       `every is "10500w"`,
		"pick=last&every=99999999999w": `every is "99999999999w"`,
		"start=now&end=-1h&points=8":   "is after the end",
		"start=2999-01-01&points=8":    "is after the end", // which is now
		"point=8":                      "did you mean points?",
	} {
		got := ask(t, s, "GET", "/v1/devices/d/history?property=a&"+query, "")
		problem(t, got, 400, hotreader.CodeInvalid)
		if !strings.Contains(strings.ReplaceAll(got.body, `\"`, `"`), want) {
			t.Errorf("%s: %s, want %q", query, got.body, want)
		}
	}
}

// TestFewerPointsInPages: the pages of one answer have the intervals of the first, and
// nothing that was picked is lost between them.
func TestFewerPointsInPages(t *testing.T) {
	for query, moves := range map[string]bool{
		"start=2026-01-01&end=2026-01-02&points=2000":      false,
		"start=2026-01-01&end=2026-01-02&pick=m4&every=7m": false,
		"start=2026-01-01&points=1000000":                  true, // to now
		"start=-50w&end=now&points=1000000":                true,
		"start=-2000w&pick=last&every=10m":                 true,
	} {
		var queries []hotreader.Query
		s := serve(t, httpapi.Options{Source: asked{series{n: 4000}, &queries}})
		for _, order := range []string{"", "&order=desc"} {
			queries = nil
			path := "/v1/devices/d/history?property=a&limit=3&" + query + order
			got := map[any]bool{}
			for at := path; at != ""; {
				p, a := getPage(t, s, at)
				for _, item := range p.Items {
					got[item["time"]] = true
				}
				if at = ""; p.NextToken != "" {
					at = next(t, "/v1/devices/d/history", a.header.Get("Link"))
				}
			}
			first := queries[0]
			for i, q := range queries {
				same := q.Start.Equal(first.Start)
				if order == "" {
					same = q.End.Equal(first.End)
				}
				if !same || !q.Pick.Origin.Equal(first.Pick.Origin) || q.Pick.Every != first.Pick.Every || q.Pick.Kind != first.Pick.Kind {
					t.Fatalf("%s: page %d picks %+v, the first %+v", query+order, i+1, q.Pick, first.Pick)
				}
			}
			first.Limit, first.Order = 0, hotreader.Ascending
			want := 0
			for row, err := range hotreader.NewReader(series{n: 4000}).Read(t.Context(), first) {
				if want++; err != nil || !got[string(hotreader.AppendTime(nil, row.Time))] {
					t.Fatalf("%s: the row at %s is lost, %v", query+order, row.Time, err)
				}
			}
			if len(queries) < 3 || want < 8 || !moves && len(got) > 2*want {
				t.Errorf("%s: %d pages of %d rows, for %d", query+order, len(queries), len(got), want)
			}
		}
	}
}

// TestNextTokenBelongsToItsPick: a token is valid for no other intervals.
func TestNextTokenBelongsToItsPick(t *testing.T) {
	s := serve(t, httpapi.Options{Source: series{n: 4000}})
	asks := []string{"", "&points=100", "&points=101", "&pick=m4&every=7m", "&pick=last&every=7m", "&pick=last&every=8m"}
	var tokens []string
	for _, query := range asks {
		p, _ := getPage(t, s, ofDay+query+"&limit=2")
		tokens = append(tokens, p.NextToken)
	}
	for i, query := range asks {
		for k, token := range tokens {
			got := ask(t, s, "GET", ofDay+query+"&next_token="+token, "")
			if want := map[bool]int{true: 200, false: 400}[i == k]; got.status != want {
				t.Errorf("the token of %q for %q: %d %s", asks[k], query, got.status, got.body)
			}
		}
	}
	if slices.Contains(tokens, "") {
		t.Errorf("no further page: %q", tokens)
	}
}
