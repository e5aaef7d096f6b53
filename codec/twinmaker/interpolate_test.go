package twinmaker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"hotreader"

	"pgregory.net/rapid"
)

// answer is TwinMaker's history answer, with values as text.
type answer struct {
	PropertyValues []struct {
		Reference json.RawMessage `json:"entityPropertyReference"`
		Values    []struct {
			Time  string                     `json:"time"`
			Value map[string]json.RawMessage `json:"value"`
		} `json:"values"`
	} `json:"propertyValues"`
	NextToken *string `json:"nextToken"`
}

// failer is what *testing.T, *testing.B and *rapid.T have in common.
type failer interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// series returns each property's points as "time value" (the time without its
// date), and how many there are.
func (a *answer) series(t failer) (series [][]string, points int) {
	t.Helper()
	for _, p := range a.PropertyValues {
		var s []string
		for _, v := range p.Values {
			if len(v.Value) != 1 {
				t.Fatalf("a point has the values %v", v.Value)
			}
			for _, digits := range v.Value {
				s = append(s, v.Time+" "+string(digits))
				points++
			}
		}
		series = append(series, s)
	}
	return series, points
}

// history asks for one page.
func history(t failer, r *Responder, req Request) (answer, string) {
	t.Helper()
	body, err := r.AppendHistory(context.Background(), nil, req)
	return parsed(t, body, err)
}

func parsed(t failer, body []byte, err error) (answer, string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var a answer
	if err := json.Unmarshal(body, &a); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return a, string(body)
}

// follow asks for all pages and returns the series put together, or that they end
// with no value left.
func follow(t failer, r *Responder, req Request) (series [][]string, pages int) {
	t.Helper()
	series = make([][]string, len(req.Query.Properties))
	for {
		text, err := r.AppendHistory(context.Background(), nil, req)
		pages++
		if errors.Is(err, hotreader.CodeUnreadable) {
			return [][]string{{"unreadable"}}, pages
		}
		a, body := parsed(t, text, err)
		part, points := a.series(t)
		for i := range part {
			series[i] = append(series[i], part[i]...)
		}
		if a.NextToken == nil {
			return series, pages
		}
		if points == 0 || *a.NextToken == "" || len(*a.NextToken) > MaxTokenChars {
			t.Fatalf("page %d has %d points and the token %q: %s", pages, points, *a.NextToken, body)
		}
		if pages > 10_000 {
			t.Fatal("the pages have no end")
		}
		req.NextToken = *a.NextToken
	}
}

func show(series [][]string) string {
	var b strings.Builder
	for i, s := range series {
		fmt.Fprintf(&b, "%d: %s\n", i, strings.Join(s, ", "))
	}
	return b.String()
}

func TestInterpolation(t *testing.T) {
	const day = "2024-03-01T00:00:"
	rows := func(t *testing.T) *rowsReader {
		return rowsOf(t, `
			a       n   f
			2024-03-01T00:00:01Z     10      -   true
			2024-03-01T00:00:03Z     -       0   true
			2024-03-01T00:00:05Z     20.50   -   true
			2024-03-01T00:00:05.500Z -       5   true
			2024-03-01T00:00:09Z     20.50   -1  true`)
	}
	cases := []struct {
		name       string
		properties []string
		types      []hotreader.Type
		start, end string
		interval   time.Duration
		want       []string
	}{
		{"between two points, and on them with their own digits", []string{"a"}, nil, day + "00Z", day + "59Z", 2 * time.Second, []string{
			"02 12.625, 04 17.875, 06 20.50, 08 20.50"}},
		{"on the points", []string{"a"}, nil, day + "01Z", day + "59Z", 4 * time.Second, []string{
			"01 10, 05 20.50, 09 20.50"}},
		{"points outside the range are not known", []string{"a"}, nil, day + "02Z", day + "08Z", time.Second, []string{
			"05 20.50"}},
		{"whole numbers, halves away from zero", []string{"n"}, []hotreader.Type{hotreader.Integer}, day + "00.250Z", day + "59Z", time.Second, []string{
			"03.250 1, 04.250 3, 05.250 5, 06.250 4, 07.250 2, 08.250 0"}},
		{"two properties, each within its own points", []string{"n", "a"}, nil, day + "00Z", day + "59Z", 2 * time.Second, []string{
			"04 2, 06 4.142857142857143, 08 0.7142857142857144",
			"02 12.625, 04 17.875, 06 20.50, 08 20.50"}},
		{"what is no number has no values", []string{"f", "a"}, nil, day + "00Z", day + "59Z", 4 * time.Second, []string{
			"", "04 17.875, 08 20.50"}},
		{"steps from a year long ago cost nothing", []string{"a"}, nil, "1899-01-01T00:00:00Z", day + "59Z", time.Second, []string{
			"01 10, 02 12.625, 03 15.25, 04 17.875, 05 20.50, 06 20.50, 07 20.50, 08 20.50, 09 20.50"}},
		{"no property has a point", []string{"x"}, nil, day + "00Z", day + "59Z", time.Second, []string{""}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
				req := ask(c.properties...)
				req.Query.Types = c.types
				req.Query.Start, req.Query.End = instant(t, c.start), instant(t, c.end)
				req.Query.Order = order
				req.Interpolation = c.interval
				a, _ := history(t, &Responder{Reader: rows(t), Warnings: true}, req)
				got, _ := a.series(t)
				for i, s := range got {
					for j := range s {
						s[j] = strings.Replace(strings.Replace(strings.TrimPrefix(s[j], day), ".000Z", "", 1), "Z", "", 1)
					}
					if order == hotreader.Descending {
						slices.Reverse(s)
					}
					if text := strings.Join(s, ", "); text != c.want[i] {
						t.Errorf("%v: %s is %s; want %s", order, c.properties[i], text, c.want[i])
					}
				}
			}
		})
	}
}

func TestInterpolationOfLongNumbersIsExact(t *testing.T) {
	r := rowsOf(t, `
		n
		2024-03-01T00:00:00Z  9007199254740993
		2024-03-01T00:00:02Z  9007199254740995
		2024-03-01T00:00:04Z  -9223372036854775808
		2024-03-01T00:00:06Z  9223372036854775807`)
	req := ask("n")
	req.Query.Types = []hotreader.Type{hotreader.Long}
	req.Query.Start = r.rows[0].Time
	req.Interpolation = time.Second
	a, _ := history(t, &Responder{Reader: r}, req)
	got, _ := a.series(t)
	for i, want := range []string{"9007199254740993", "9007199254740994", "9007199254740995", "-4607182418800017407",
		"-9223372036854775808", "-1", "9223372036854775807"} {
		if i >= len(got[0]) || !strings.HasSuffix(got[0][i], " "+want) {
			t.Errorf("value %d of %v is not %s", i, got[0], want)
		}
	}
}

// TestInterpolationReadsLittle: a page reads the rows of its window and the points that
// close it, not the whole range.
func TestInterpolationReadsLittle(t *testing.T) {
	r := seconds(10_000, "a", "b")
	req := ask("a", "b")
	req.Query.Start = r.rows[0].Time
	req.Interpolation = 2 * time.Second
	req.MaxResults = 20
	for page := range 3 {
		r.yielded = 0
		a, _ := history(t, &Responder{Reader: r}, req)
		if a.NextToken == nil {
			t.Fatal("no nextToken")
		}
		if r.yielded > 25 {
			t.Errorf("page %d of 10 steps, 2 s apart, read %d rows a second apart", page, r.yielded)
		}
		req.NextToken = *a.NextToken
	}
}

// TestInterpolationPagesBySizeReadOnce: after a page that the byte budget ended, the next
// page does not read its rows again.
func TestInterpolationPagesBySizeReadOnce(t *testing.T) {
	r := seconds(5_000, "a", "b", "c")
	req := ask("a", "b", "c")
	req.Query.Start = r.rows[0].Time
	req.Interpolation = time.Second
	responder := &Responder{Reader: r, MaxBytes: 20_000}
	_, pages := follow(t, responder, req)
	if pages < 20 {
		t.Fatalf("%d pages; the budget was not kept", pages)
	}
	if most := 5_000 + 4*pages; r.yielded > most {
		t.Errorf("%d rows were read for 5000 in %d pages; want at most %d", r.yielded, pages, most)
	}
}

// linear is a simple implementation of interpolation: over all points at once, in exact
// fractions.
func linear(points []hotreader.Row, column int, typ hotreader.Type, start time.Time, interval time.Duration) (steps []time.Time, values []*big.Rat, exact []string) {
	rat := func(row hotreader.Row) *big.Rat {
		v, _ := new(big.Rat).SetString(string(row.Values[column].Text()))
		return v
	}
	if len(points) == 0 {
		return nil, nil, nil
	}
	at := start
	for at.Before(points[0].Time) {
		at = at.Add(interval)
	}
	for i := range points {
		for ; !at.After(points[i].Time); at = at.Add(interval) {
			if at.Equal(points[i].Time) {
				steps, values, exact = append(steps, at), append(values, rat(points[i])), append(exact, string(points[i].Values[column].Text()))
				continue
			}
			if i == 0 {
				continue
			}
			a, b := points[i-1], points[i]
			f := big.NewRat(int64(at.Sub(a.Time)), int64(b.Time.Sub(a.Time)))
			v := new(big.Rat).Sub(rat(b), rat(a))
			v.Add(v.Mul(v, f), rat(a))
			steps, values, exact = append(steps, at), append(values, v), append(exact, "")
		}
	}
	return steps, values, exact
}

// TestInterpolationPagesPutTogether: over random series, intervals and pages of
// both kinds, the pages put together are the unpaged answer, both orders give
// the same, and the values are those of the plain formula.
func TestInterpolationPagesPutTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		properties := rapid.IntRange(1, 3).Draw(t, "properties")
		start := time.Date(2024, 3, 1, 0, 0, 0, rapid.SampledFrom([]int{0, 500_000_000, 1}).Draw(t, "nanos"), time.UTC)
		types := make([]hotreader.Type, properties)
		names := []string{"a", "b", "c"}[:properties]
		every := make([]int, properties) // one in so many rows has the property
		for i := range types {
			types[i] = rapid.SampledFrom([]hotreader.Type{hotreader.Untyped, hotreader.Double, hotreader.Integer, hotreader.Long}).Draw(t, "type")
			every[i] = rapid.SampledFrom([]int{1, 1, 2, 7, 20}).Draw(t, "every")
		}
		r := &rowsReader{names: names}
		at := start.Add(time.Duration(rapid.IntRange(-3000, 3000).Draw(t, "offset")) * time.Millisecond)
		for range rapid.IntRange(0, 60).Draw(t, "rows") {
			at = at.Add(time.Duration(rapid.SampledFrom([]int{1, 250, 500, 1000, 1000, 1500, 3000, 20000}).Draw(t, "step")) * time.Millisecond)
			row := hotreader.Row{Time: at, Values: make([]hotreader.Value, properties)}
			for i := range row.Values {
				if rapid.IntRange(1, every[i]).Draw(t, "has") == 1 {
					n := rapid.IntRange(-1000, 1000).Draw(t, "n")
					if types[i].Numeric() && types[i] != hotreader.Double {
						row.Values[i] = hotreader.Int64Value(int64(n))
					} else {
						row.Values[i] = hotreader.NumberValue(fmt.Appendf(nil, "%d.%02d", n, rapid.IntRange(0, 99).Draw(t, "cents")))
					}
				}
			}
			r.rows = append(r.rows, row)
		}
		req := ask(names...)
		req.Query.Types = types
		req.Query.Start = start
		if rapid.Bool().Draw(t, "ends") {
			req.Query.End = start.Add(time.Duration(rapid.IntRange(0, 60_000).Draw(t, "end")) * time.Millisecond)
		}
		interval := time.Duration(rapid.IntRange(1, 5).Draw(t, "interval")) * time.Second
		req.Interpolation = interval

		whole, n := follow(t, &Responder{Reader: r}, req)
		if n != 1 {
			t.Fatalf("%d pages", n)
		}
		for i := range names {
			var points []hotreader.Row
			for _, row := range r.rows {
				if !row.Values[i].IsNull() && !row.Time.Before(start) && (req.Query.End.IsZero() || !row.Time.After(req.Query.End)) {
					points = append(points, row)
				}
			}
			steps, values, exact := linear(points, i, types[i], start, interval)
			if len(steps) != len(whole[i]) {
				t.Fatalf("property %d has %d steps; want %d\n%s", i, len(whole[i]), len(steps), show(whole))
			}
			for j, step := range steps {
				gotTime, gotValue, _ := strings.Cut(whole[i][j], " ")
				if want := string(hotreader.AppendTime(nil, step)); gotTime != want {
					t.Fatalf("step %d of property %d is %s; want %s", j, i, gotTime, want)
				}
				got, _ := new(big.Rat).SetString(gotValue)
				switch {
				case exact[j] != "" && gotValue != exact[j]:
					t.Fatalf("step %d of property %d is %s; want the point's own %s", j, i, gotValue, exact[j])
				case types[i] == hotreader.Integer || types[i] == hotreader.Long:
					want, _ := values[j].Float64()
					if gotValue != fmt.Sprint(int64(math.Round(want))) {
						t.Fatalf("step %d of property %d is %s; want %v rounded", j, i, gotValue, want)
					}
				default:
					d, _ := new(big.Rat).Sub(got, values[j]).Float64()
					if math.Abs(d) > 1e-9 {
						t.Fatalf("step %d of property %d is %s; want %v", j, i, gotValue, values[j].FloatString(10))
					}
				}
			}
		}

		req.MaxResults = rapid.IntRange(1, 40).Draw(t, "maxResults")
		paged, _ := follow(t, &Responder{Reader: r}, req)
		same(t, "pages by maxResults", paged, whole)
		responder := &Responder{Reader: r, MaxBytes: 1000 + 1000*properties + rapid.IntRange(0, 2000).Draw(t, "bytes")}
		req.MaxResults = 0
		paged, _ = follow(t, responder, req)
		same(t, "pages by bytes", paged, whole)
		req.MaxResults = rapid.IntRange(10, 40).Draw(t, "maxResults")
		req.Query.Order = hotreader.Descending
		paged, _ = follow(t, responder, req)
		for i := range paged {
			slices.Reverse(paged[i])
		}
		same(t, "descending pages", paged, whole)
	})
}

func same(t *rapid.T, what string, got, want [][]string) {
	if show(got) != show(want) {
		t.Fatalf("%s:\n%swant\n%s", what, show(got), show(want))
	}
}

// TestInterpolationAtTheEndsOfFloat64: no value becomes infinite, and all are
// numbers of JSON's grammar.
func TestInterpolationAtTheEndsOfFloat64(t *testing.T) {
	r := rowsOf(t, `
		a
		2024-03-01T00:00:00Z -1.7e308
		2024-03-01T00:00:02Z 1.7e308
		2024-03-01T00:00:04Z -1.7e308
		2024-03-01T00:00:08Z 1e-300
		2024-03-01T00:00:10Z 3e-300
		2024-03-01T00:00:12Z -3e-300
		2024-03-01T00:00:14Z 1e25
		2024-03-01T00:00:16Z 1.0e25`)
	req := ask("a")
	req.Query.Start, req.Interpolation = r.rows[0].Time, time.Second
	a, _ := history(t, &Responder{Reader: r}, req)
	got, _ := a.series(t)
	for i, want := range []string{"-1.7e308", "0", "1.7e308", "0", "-1.7e308", "", "", "", "1e-300", "", "3e-300", "0", "-3e-300", "5e+24", "1e25", "1e25", "1.0e25"} {
		if _, digits, _ := strings.Cut(got[0][i], " "); want != "" && digits != want || !hotreader.IsNumber([]byte(digits)) {
			t.Errorf("step %d is %s; want %s", i, digits, want)
		}
	}
}

// TestInterpolationLooksFarOnce: for a property that reports rarely, one page reads on to
// its next point; the token carries that point to later pages.
func TestInterpolationLooksFarOnce(t *testing.T) {
	r := seconds(1000, "dense", "seldom")
	for i := range r.rows {
		if i != 0 && i != 900 {
			r.rows[i].Values[1] = hotreader.Value{}
		}
	}
	req := ask("dense", "seldom")
	req.Query.Start, req.Interpolation = r.rows[0].Time, time.Second
	whole, _ := follow(t, &Responder{Reader: r}, req)
	req.MaxResults = 20
	r.yielded = 0
	paged, pages := follow(t, &Responder{Reader: r}, req)
	if show(paged) != show(whole) || pages != 100 {
		t.Errorf("%d pages that are not the whole", pages)
	}
	if r.yielded > 1000+901+4*pages {
		t.Errorf("%d rows were read for 1000", r.yielded)
	}
}
