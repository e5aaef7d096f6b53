package twinmaker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hotreader"
	"hotreader/test/golden"

	"pgregory.net/rapid"
)

// held compares an answer with the file of that name.
func held(t *testing.T, name string, got []byte) {
	t.Helper()
	if !json.Valid(got) {
		t.Fatalf("not JSON: %s", got)
	}
	var indented bytes.Buffer
	_ = json.Indent(&indented, got, "", " ")
	indented.WriteByte('\n')
	golden.File(t, filepath.Join("testdata", "answers", name), indented.Bytes())
}

// machine has values of each type, gaps, and values that do not fit their type.
func machine(t testing.TB) *rowsReader {
	r := rowsOf(t, `
		temperature running cycles total mode
		2022-04-07T04:04:42Z          588.168                                true   7          9007199254740993      "run"
		2022-04-07T04:04:42.5Z        -                                      -      -          -                     "idle"
		2022-04-07T04:04:43.000001Z   592.42240000000000000000000000000001   false  2147483648 -9223372036854775808  -
		2022-04-07T04:04:44.123456789Z 1e400                                 2      7.0        "17"                  ""
		2022-04-07T04:04:45Z          "-0.5e-3"                              -      -7         1                     -`)
	r.rows[1].Values[4] = hotreader.StringValue([]byte("a \"quoted\\\" \n\t\r\x00\x1f\x7f </script> é ☃ 😀 \u2028\u2029 bad \xff\xc3 end"))
	return r
}

func machineRequest(t testing.TB) Request {
	req, err := Devices{}.DecodeHistory(t.Context(), file(t, "events", "history.json"))
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func TestAppendHistory(t *testing.T) {
	req := machineRequest(t)
	var stats hotreader.Stats
	body, err := (&Responder{Reader: machine(t)}).AppendHistory(hotreader.WithStats(t.Context(), &stats), []byte("kept"), req)
	if err != nil {
		t.Fatal(err)
	}
	body, ok := bytes.CutPrefix(body, []byte("kept"))
	if !ok {
		t.Fatalf("what dst held is gone: %s", body)
	}
	held(t, "history.json", body)
	if n := stats.Skipped(); n != 4 { // 2147483648, 1e400, 2 as a boolean, ""
		t.Errorf("%d values were counted as left out; want 4", n)
	}
	if bytes.ContainsAny(body, "\n\u2028\u2029") {
		t.Error("a line break is in the answer as it is")
	}

	req.Query.Order = hotreader.Descending
	down, _ := history(t, &Responder{Reader: machine(t)}, req)
	req.Query.Order = hotreader.Ascending
	up, _ := history(t, &Responder{Reader: machine(t)}, req)
	want, _ := up.series(t)
	got, _ := down.series(t)
	for i := range got {
		slices.Reverse(got[i])
	}
	if show(got) != show(want) {
		t.Errorf("descending is not the reverse:\n%s\n%s", show(got), show(want))
	}
}

// TestPitfall02NothingIsAnsweredAsSuch: a property without values has an empty series. An
// error is never answered as an empty series.
func TestPitfall02NothingIsAnsweredAsSuch(t *testing.T) {
	req := machineRequest(t)
	body, err := (&Responder{Reader: &rowsReader{}}).AppendHistory(t.Context(), nil, req)
	if err != nil {
		t.Fatal(err)
	}
	held(t, "nothing.json", body)
	req.Query.Properties, req.Query.Types = []string{"temperature", "nobody-has-it"}, nil
	a, _ := history(t, &Responder{Reader: machine(t)}, req)
	if got, n := a.series(t); len(got) != 2 || len(got[1]) != 0 || n == 0 {
		t.Errorf("series %v", got)
	}

	for _, fail := range []error{&hotreader.Error{Op: "store", Code: hotreader.CodeThrottled}, errors.New("anything"), context.Canceled} {
		for after := range 3 {
			r := machine(t)
			r.before = func(_ context.Context, i int) error {
				if i == after {
					return fail
				}
				return nil
			}
			for name, ask := range map[string]func(context.Context, []byte, Request) ([]byte, error){
				"history": (&Responder{Reader: r}).AppendHistory, "last entry": (&Responder{Reader: r}).AppendLastEntry} {
				req := machineRequest(t)
				req.Query.Properties, req.Query.Types = append(req.Query.Properties, "nobody-has-it"), nil
				body, err := ask(t.Context(), []byte("kept"), req)
				if !errors.Is(err, fail) || string(body) != "kept" {
					t.Errorf("%s: error %v, answer %s; want %v after row %d", name, err, body, fail, after)
				}
				if _, ok := errors.AsType[*hotreader.Error](err); !ok {
					t.Errorf("%s: %T is no *hotreader.Error", name, err)
				}
			}
		}
	}
}

// TestPitfall05OneDialect: value keys are lowerCamel and values are JSON values of their
// kind, for every type, declared or not.
func TestPitfall05OneDialect(t *testing.T) {
	for _, types := range [][]hotreader.Type{nil, machineRequest(t).Query.Types} {
		req := machineRequest(t)
		req.Query.Types = types
		_, body := history(t, &Responder{Reader: machine(t)}, req)
		for _, not := range []string{"DoubleValue", "StringValue", "items", `doubleValue":"`, `integerValue":"`, `longValue":"`, `booleanValue":"`, "null"} {
			if strings.Contains(body, not) {
				t.Errorf("types %v: %q is in %s", types, not, body)
			}
		}
	}
}

// TestPitfall06OrderMaxResultsAndPages: order, maxResults and nextToken work. Pages hold
// whole rows, and together the whole answer, each row once.
func TestPitfall06OrderMaxResultsAndPages(t *testing.T) {
	r := seconds(100, "a", "b", "c")
	req := ask("a", "b", "c")
	for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
		req.Query.Order = order
		req.MaxResults = 0
		whole, n := follow(t, &Responder{Reader: r}, req)
		if n != 1 || len(whole[0]) != 100 {
			t.Fatalf("%d pages, %d rows", n, len(whole[0]))
		}
		if newest := strings.HasSuffix(whole[0][0], " 99.0"); newest != (order == hotreader.Descending) {
			t.Errorf("%v begins with %s", order, whole[0][0])
		}
		for maxResults, rows := range map[int]int{1: 1, 2: 1, 3: 1, 5: 1, 6: 2, 299: 99, 300: 100, 301: 100, MaxResults: 100} {
			req.MaxResults = maxResults
			req.NextToken = ""
			a, _ := history(t, &Responder{Reader: r}, req)
			got, _ := a.series(t)
			for i := range got {
				if len(got[i]) != rows {
					t.Errorf("maxResults %d: %d rows of property %d; want %d", maxResults, len(got[i]), i, rows)
				}
			}
			if (a.NextToken != nil) != (rows < 100) {
				t.Errorf("maxResults %d: nextToken %v", maxResults, a.NextToken)
			}
			paged, n := follow(t, &Responder{Reader: r}, req)
			if show(paged) != show(whole) {
				t.Errorf("maxResults %d: the pages put together are not the whole", maxResults)
			}
			if want := (100 + rows - 1) / rows; n != want {
				t.Errorf("maxResults %d: %d pages; want %d", maxResults, n, want)
			}
		}
	}
}

// TestByteBudget: the nextToken leads to what the byte budget cuts off.
func TestByteBudget(t *testing.T) {
	r := seconds(1000, "a", "b", "c")
	req := ask("a", "b", "c")
	whole, _ := follow(t, &Responder{Reader: r}, req)
	for _, most := range []int{1200, 2000, 5000, 70_001} {
		responder := &Responder{Reader: r, MaxBytes: most}
		paged, n := follow(t, responder, req)
		if show(paged) != show(whole) {
			t.Errorf("%d bytes: the pages put together are not the whole", most)
		}
		if n < 2 {
			t.Errorf("%d bytes: %d pages", most, n)
		}
		body, err := responder.AppendHistory(t.Context(), make([]byte, 100), req)
		if err != nil || len(body)-100 > most || len(body)-100 < most-700 {
			t.Errorf("%d bytes: a page of %d, %v", most, len(body)-100, err)
		}
	}
	_, err := (&Responder{Reader: r, MaxBytes: around(&req) + overhead(&req, "d") + 150}).AppendHistory(t.Context(), nil, req)
	if !errors.Is(err, hotreader.CodeTooLarge) {
		t.Errorf("not one row fits, but the error is %v", err)
	}
	req.Interpolation, req.Query.Start = time.Second, r.rows[0].Time
	if _, err := (&Responder{Reader: r, MaxBytes: around(&req) + overhead(&req, "d") + 150}).AppendHistory(t.Context(), nil, req); !errors.Is(err, hotreader.CodeTooLarge) {
		t.Errorf("not one step fits, but the error is %v", err)
	}
	if _, err := (&Responder{Reader: r, MaxBytes: 300}).AppendLastEntry(t.Context(), nil, req); !errors.Is(err, hotreader.CodeTooLarge) {
		t.Errorf("the last entry does not fit, but the error is %v", err)
	}
}

// TestTimeBudget: the answer has the rows that were read in time; without any, it is an
// error.
func TestTimeBudget(t *testing.T) {
	for _, interval := range []time.Duration{0, time.Second} {
		t.Run(fmt.Sprintf("interpolation %v", interval), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := seconds(100, "a", "b")
				req := ask("a", "b")
				req.Query.Start, req.Interpolation = r.rows[0].Time, interval
				whole, _ := follow(t, &Responder{Reader: r}, req)
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				r.before = func(ctx context.Context, _ int) error {
					select {
					case <-time.After(time.Second): // so that nine rows come before 500 ms are left
						return nil
					case <-ctx.Done():
						return &hotreader.Error{Op: "slow", Code: hotreader.CodeDeadline}
					}
				}
				body, err := (&Responder{Reader: r}).AppendHistory(ctx, nil, req)
				if err != nil {
					t.Fatal(err)
				}
				if ctx.Err() != nil {
					t.Error("no time was left to send it")
				}
				var a answer
				if err := json.Unmarshal(body, &a); err != nil || a.NextToken == nil {
					t.Fatalf("%v, %s", err, body)
				}
				got, n := a.series(t)
				if n != 18 {
					t.Errorf("%d points; want those of 9 rows", n)
				}
				r.before = nil
				req.NextToken = *a.NextToken
				rest, _ := follow(t, &Responder{Reader: r}, req)
				for i := range got {
					got[i] = append(got[i], rest[i]...)
				}
				if show(got) != show(whole) {
					t.Error("the page and its rest are not the whole")
				}

				for _, reserve := range []time.Duration{0, time.Hour} {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					r.before = func(ctx context.Context, _ int) error {
						<-ctx.Done()
						return &hotreader.Error{Op: "stuck", Code: hotreader.CodeDeadline}
					}
					req.NextToken = ""
					if _, err := (&Responder{Reader: r, Reserve: reserve}).AppendHistory(ctx, nil, req); !errors.Is(err, hotreader.CodeDeadline) {
						t.Errorf("nothing came in time, but the error is %v", err)
					}
					cancel()
				}
			})
		})
	}
}

// TestTimeBudgetOfAnInattentiveReader: the time budget holds even with a Reader that
// ignores its context.
func TestTimeBudgetOfAnInattentiveReader(t *testing.T) {
	for _, interval := range []time.Duration{0, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			r := seconds(5000, "a")
			r.before = func(context.Context, int) error { time.Sleep(10 * time.Millisecond); return nil }
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			req := ask("a")
			req.Query.Start, req.Interpolation = r.rows[0].Time, interval
			body, err := (&Responder{Reader: r}).AppendHistory(ctx, nil, req)
			if err != nil || ctx.Err() != nil {
				t.Fatalf("%v, %v", err, ctx.Err())
			}
			var a answer
			if err := json.Unmarshal(body, &a); err != nil || a.NextToken == nil {
				t.Fatalf("%v %s", err, body)
			}
		})
	}
}

// TestCanceled: a caller that left gets no page.
func TestCanceled(t *testing.T) {
	for _, interval := range []time.Duration{0, time.Second} {
		r := seconds(100, "a")
		ctx, cancel := context.WithCancel(t.Context())
		r.before = func(_ context.Context, i int) error {
			if i == 50 {
				cancel()
				return &hotreader.Error{Op: "gone", Code: hotreader.CodeCanceled, Err: ctx.Err()}
			}
			return nil
		}
		req := ask("a")
		req.Query.Start, req.Interpolation = r.rows[0].Time, interval
		if body, err := (&Responder{Reader: r}).AppendHistory(ctx, nil, req); !errors.Is(err, hotreader.CodeCanceled) {
			t.Errorf("%s, %v", body, err)
		}
	}
}

// TestPageOfRowsWithoutAPoint: rows without a value that can be sent do not make a page
// empty.
func TestPageOfRowsWithoutAPoint(t *testing.T) {
	r := seconds(500, "a")
	for i := 1; i < len(r.rows); i++ {
		if i%100 != 0 {
			r.rows[i].Values[0] = hotreader.NumberValue([]byte("1e400")) // a number, but no double
		}
	}
	req := ask("a")
	req.MaxResults = 1
	var stats hotreader.Stats
	got, pages := follow(t, &Responder{Reader: r}, req)
	if len(got[0]) != 5 || pages != 5 {
		t.Errorf("%v in %d pages", got, pages)
	}
	req.MaxResults = 0
	if _, err := (&Responder{Reader: r}).AppendHistory(hotreader.WithStats(t.Context(), &stats), nil, req); err != nil || stats.Skipped() != 495 {
		t.Errorf("%v, %d values left out; want 495", err, stats.Skipped())
	}
}

// TestPagesPutTogether: over random rows with gaps and kinds, the pages of any
// size, by count and by bytes, put together are the unpaged answer, or end in its
// error.
func TestPagesPutTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &rowsReader{names: []string{"a", "b"}}
		at := time.Date(2024, 2, 29, 23, 59, 50, 0, time.UTC)
		for range rapid.IntRange(0, 40).Draw(t, "rows") {
			at = at.Add(time.Duration(rapid.SampledFrom([]int64{1, 1e6, 1e9, 86_400e9}).Draw(t, "gap")))
			row := hotreader.Row{Time: at}
			for range r.names {
				row.Values = append(row.Values, rapid.SampledFrom([]hotreader.Value{{}, {}, hotreader.NumberValue([]byte("1.50")), hotreader.NumberValue([]byte("1e999")),
					hotreader.BoolValue(true), hotreader.StringValue([]byte("7")), hotreader.StringValue([]byte("\u2028")), hotreader.StringValue(nil)}).Draw(t, "value"))
			}
			r.rows = append(r.rows, row)
		}
		req := ask("b", "a")
		req.Query.Order = hotreader.Order(rapid.IntRange(0, 1).Draw(t, "order"))
		told := rapid.Bool().Draw(t, "told")
		whole, n := follow(t, &Responder{Reader: r, Warnings: told}, req)
		if n != 1 {
			t.Fatalf("%d pages", n)
		}
		req.MaxResults = rapid.IntRange(1, 30).Draw(t, "maxResults")
		paged, _ := follow(t, &Responder{Reader: r, Warnings: told}, req)
		same(t, "by count", paged, whole)
		req.MaxResults = 0
		paged, _ = follow(t, &Responder{Reader: r, Warnings: told, MaxBytes: rapid.IntRange(600, 3000).Draw(t, "bytes")}, req)
		same(t, "by bytes", paged, whole)
	})
}

func TestAppendLastEntry(t *testing.T) {
	req, err := Devices{}.DecodeLastEntry(t.Context(), file(t, "events", "last-entry.json"))
	if err != nil {
		t.Fatal(err)
	}
	body, err := (&Responder{Reader: machine(t)}).AppendLastEntry(t.Context(), []byte("kept"), req)
	if err != nil {
		t.Fatal(err)
	}
	held(t, "last-entry.json", bytes.TrimPrefix(body, []byte("kept")))

	body, err = (&Responder{Reader: &rowsReader{}}).AppendLastEntry(t.Context(), nil, req)
	if err != nil || string(body) != `{"propertyValues":{}}` {
		t.Errorf("of no rows: %s, %v", body, err)
	}
}

// TestPitfall07OneMissingPropertyOfTheLastEntry: a missing property does not affect the
// others, and numbers are numbers.
func TestPitfall07OneMissingPropertyOfTheLastEntry(t *testing.T) {
	r := rowsOf(t, `
		a   b    c     d
		2024-03-01T00:00:00Z  1.50  "x"  -     1e400
		2024-03-01T00:00:01Z  -     "y"  -     2
		2024-03-01T00:00:02Z  -     -    false 1e400`)
	req := ask("c", "nobody-has-it", "b", "a", "d")
	body, err := (&Responder{Reader: r}).AppendLastEntry(t.Context(), nil, req)
	if err != nil {
		t.Fatal(err)
	}
	const ref = `{"propertyReference":{"entityId":"e","componentName":"c","propertyName":`
	want := `{"propertyValues":{"c":` + ref + `"c"},"propertyValue":{"booleanValue":false}},` +
		`"b":` + ref + `"b"},"propertyValue":{"stringValue":"y"}},` +
		`"a":` + ref + `"a"},"propertyValue":{"doubleValue":1.50}},` +
		`"d":` + ref + `"d"},"propertyValue":{"doubleValue":2}}}}`
	if string(body) != want {
		t.Errorf("got  %s\nwant %s", body, want)
	}
}

// TestLastEntryPassesOverWhatCannotBeSent: for a property without a declared type, an
// older value replaces a newer one that TwinMaker cannot take.
func TestLastEntryPassesOverWhatCannotBeSent(t *testing.T) {
	r := rowsOf(t, `
		a    b
		2024-03-01T00:00:00Z  7     "old"
		2024-03-01T00:00:01Z  "x"   true
		2024-03-01T00:00:02Z  1e400 ""`)
	body, err := (&Responder{Reader: r}).AppendLastEntry(t.Context(), nil, ask("a", "b"))
	if err != nil || !bytes.Contains(body, []byte(`"doubleValue":7`)) || !bytes.Contains(body, []byte(`"stringValue":"old"`)) {
		t.Errorf("%s, %v", body, err)
	}
	if len(r.queries) != 2 {
		t.Errorf("%d reads", len(r.queries))
	}
}

// TestPitfall11WhatTheClientCannotTake: no empty token; no empty page with a token; a
// reference, time and value with every point; whole numbers without a fraction; an
// external id where there is no entity.
func TestPitfall11WhatTheClientCannotTake(t *testing.T) {
	req := machineRequest(t)
	for _, ref := range []Reference{{EntityID: "e \"1\"", ComponentName: "c\u2028"}, {ExternalNames: []string{"id"}}, {}} {
		for maxResults := range 30 {
			req.Ref, req.MaxResults, req.NextToken = ref, maxResults, ""
			for {
				a, body := history(t, &Responder{Reader: machine(t)}, req)
				points := 0
				for i, p := range a.PropertyValues {
					var r struct {
						EntityID, ComponentName, PropertyName string
						ExternalIDProperty                    map[string]string
					}
					if err := json.Unmarshal(p.Reference, &r); err != nil || r.PropertyName != req.Query.Properties[i] || r.EntityID != ref.EntityID || r.ComponentName != ref.ComponentName {
						t.Fatalf("reference %s, %v", p.Reference, err)
					}
					if ref.ExternalNames != nil && r.ExternalIDProperty[ref.ExternalNames[0]] != "press-1" {
						t.Fatalf("reference %s", p.Reference)
					}
					key := [...]string{"doubleValue", "booleanValue", "integerValue", "stringValue", "longValue"}[i]
					for _, v := range p.Values {
						if n := len(v.Time); n < 20 || n > 35 || !strings.HasSuffix(v.Time, "Z") {
							t.Errorf("time %q", v.Time)
						}
						if v.Value[key] == nil || key == "integerValue" && bytes.ContainsAny(v.Value[key], ".eE\"") {
							t.Errorf("value %v of %s", v.Value, p.Reference)
						}
						points++
					}
				}
				if strings.Contains(body, `"nextToken":""`) || a.NextToken != nil && points == 0 {
					t.Fatal(body)
				}
				if a.NextToken == nil {
					break
				}
				req.NextToken = *a.NextToken
			}
		}
	}
}

// TestRequestsAreChecked: also those that do not come from an event.
func TestRequestsAreChecked(t *testing.T) {
	for says, change := range map[string]func(*Request){
		"the device id is empty":               func(r *Request) { r.Query.Device = "" },
		"maxResults is -1":                     func(r *Request) { r.MaxResults = -1 },
		"entityId and componentName belong":    func(r *Request) { r.Ref.EntityID = "" },
		"nextToken has 17881 characters":       func(r *Request) { r.NextToken = strings.Repeat("a", 17_881) },
		"interpolation.intervalInSeconds is -": func(r *Request) { r.Interpolation = -time.Second },
		"interpolation.intervalInSeconds is 1.5": func(r *Request) {
			r.Interpolation = 1500 * time.Millisecond
			r.Query.Start = time.Unix(1, 0)
		},
		"interpolation needs startTime": func(r *Request) { r.Interpolation = time.Second },
	} {
		req := ask("a")
		change(&req)
		if _, err := (&Responder{Reader: seconds(1, "a")}).AppendHistory(t.Context(), nil, req); !errors.Is(err, hotreader.CodeInvalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v; want one that says %q", err, says)
		}
	}
	// A last entry has no pages and no steps; what asks for them is passed over.
	req := ask("a")
	req.MaxResults, req.Interpolation = -1, -1
	if _, err := (&Responder{Reader: seconds(1, "a")}).AppendLastEntry(t.Context(), nil, req); err != nil {
		t.Error(err)
	}
}

// TestNoAllocationPerRow: what an answer allocates does not grow with its rows.
func TestNoAllocationPerRow(t *testing.T) {
	for name, interval := range map[string]time.Duration{"rows": 0, "steps": time.Second} {
		allocations := func(rows int) float64 {
			r := &pageReader{rows: seconds(rows, "a", "b", "c", "d").rows}
			req := ask("a", "b", "c", "d")
			req.Query.Types = []hotreader.Type{hotreader.Double, hotreader.Double, hotreader.Double, hotreader.Double}
			req.Query.Start, req.Interpolation = r.rows[0].Time, interval
			if interval > 0 {
				req.Query.Start = req.Query.Start.Add(500 * time.Millisecond)
				req.Query.Types = nil
			}
			responder := &Responder{Reader: r, MaxBytes: 100 << 20}
			var dst []byte
			return testing.AllocsPerRun(10, func() {
				var err error
				if dst, err = responder.AppendHistory(t.Context(), dst[:0], req); err != nil {
					t.Fatal(err)
				}
			})
		}
		// A pool may be emptied at any time: some growing is none per row.
		if few, many := allocations(10), allocations(5000); many > few+100 {
			t.Errorf("%s: %.0f allocations for 10 rows, %.0f for 5000", name, few, many)
		}
	}
}

// Each point tells its row's time, whatever the row before was of: of the same
// minute, of another, of one before 1970, with more decimals.
func TestPointsTellTheirTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p page
		at := time.Unix(rapid.SampledFrom([]int64{-62167219200, -61, 0, 1649304239}).Draw(t, "s"), 0).UTC()
		for _, step := range rapid.SliceOf(rapid.Int64Range(-150_000, 150_000)).Draw(t, "ms") {
			if next := at.Add(time.Duration(step)*time.Millisecond + 1); next.Year() >= 0 {
				at = next
			}
			p.setHead(at)
			if want := `{"time":"` + string(hotreader.AppendTime(nil, at)) + `","value":{`; string(p.head) != want {
				t.Fatalf("a point at %v begins with %s, want %s", at, p.head, want)
			}
		}
	})
}
