package storetest

import (
	"slices"
	"strings"
	"testing"
	"time"

	"hotreader"
)

// hardNumbers are within what the poorest store keeps: 38 digits, and
// magnitudes from 1E-130 to 9.9…E+125. No two are equal.
var hardNumbers = []string{
	"0", "1", "-1", "1.5", "73.96732207", "74.93588199999998", "0.1", "-0.1", "1e2", "1.0E-5", "-2.5e+10", "250e-2",
	"9007199254740993", "-9007199254740993", "9223372036854775807", "-9223372036854775808", "18446744073709551616",
	"12345678901234567890123456789012345678", "0.12345678901234567890123456789012345678",
	"-1234567890123456789.0123456789012345678", "1E-130", "9.9999999999999999999999999999999999999E+125",
	"-9.9999999999999999999999999999999999999E+125", "3.1415926535897932384626433832795028842",
}

func valuesNumbers(t testing.TB, h Harness) {
	r, w := h.open(t)
	var records []hotreader.Record
	var want []hotreader.Row
	for i, d := range hardNumbers {
		records = append(records, record(at(time.Duration(i)*time.Second), field("n", num(d))))
		want = append(want, row(at(time.Duration(i)*time.Second), num(d)))
	}
	write(t, w, "d", records...)
	undeclared := []hotreader.Type{hotreader.Untyped}
	if h.WideNumbersAsText {
		undeclared[0] = hotreader.AnyNumber
	}
	h.expect(t, r, hotreader.Query{Device: "d", Properties: []string{"n"}, Types: undeclared}, want...)
	h.expect(t, r, hotreader.Query{Device: "d", Properties: []string{"n"}, Types: []hotreader.Type{hotreader.Double}}, want...)
	for i, row := range want {
		h.expect(t, r, hotreader.Query{Device: "d", Properties: []string{"n"}, Types: undeclared,
			Filters: []hotreader.Filter{{Property: "n", Op: hotreader.Equal, Value: num(hardNumbers[i])}}}, row)
	}
	for _, got := range read(t, r, hotreader.Query{Device: "d", Properties: []string{"n"}, Types: undeclared}) {
		if text := got.Values[0].Text(); !hotreader.IsNumber(text) {
			t.Errorf("the number %q is not one of JSON's grammar", text)
		}
	}
}

var hardStrings = []string{
	"", " ", "a", "0", "1.50", "-0", "true", "null", "NaN", "é", "e\u0301", "日本語", "🌡️", "\u2028\u2029", "\x00", "a\x00b",
	"line\nbreak\r\n", "tab\t", `"quoted" \ back`, "</script>", "=1+1", "\u007f\u0001", "\ufeffbom", "\ufffd", "2024-02-28T23:59:00Z",
	strings.Repeat("x", 255), strings.Repeat("é", 256), strings.Repeat("long ", 20_000), strings.Repeat("日", 60_000),
}

func valuesStrings(t testing.TB, h Harness) {
	r, w := h.open(t)
	var want []hotreader.Row
	for i, s := range hardStrings {
		tm := at(time.Duration(i) * time.Second)
		write(t, w, "d", record(tm, field("s", str(s)), field("n", num("1"))))
		want = append(want, row(tm, str(s), num("1")))
	}
	q := hotreader.Query{Device: "d", Properties: []string{"s", "n"}, Types: []hotreader.Type{hotreader.AnyString, hotreader.AnyNumber}}
	h.expect(t, r, q, want...)
	q.Order = hotreader.Descending
	slices.Reverse(want)
	h.expect(t, r, q, want...)
}

func valuesKinds(t testing.TB, h Harness) {
	r, w := h.open(t)
	write(t, w, "d", record(base, field("t", boolean(true)), field("f", boolean(false)), field("n", num("1")), field("s", str("1")), field("z", num("0"))))
	h.expect(t, r, hotreader.Query{Device: "d", Properties: []string{"t", "f", "n", "s", "z"}},
		row(base, boolean(true), boolean(false), num("1"), str("1"), num("0")))
}

func typesDeclared(t testing.TB, h Harness) {
	r, w := h.open(t)
	stored := []hotreader.Value{
		num("1"), num("1.0"), num("2.5"), num("1e3"), num("2147483647"), num("2147483648"), num("-2147483648"), num("-2147483649"),
		num("9223372036854775807"), num("9223372036854775808"), num("12345678901234567890123456789012345678"),
		str("12"), str("12.50"), str("1e2"), str("twelve"), str(""), str(" 12"), str("0x1F"), str("NaN"), str("Infinity"),
		str(strings.Repeat("é", 256)), str(strings.Repeat("x", 257)), boolean(true), boolean(false), str("true"),
	}
	if !h.RewritesNumbers {
		stored = append(stored, num("1e400"), num("1e-400"), str("1e400"))
	}
	var records []hotreader.Record
	for i, v := range stored {
		records = append(records, record(at(time.Duration(i)*time.Second), field("v", v)))
	}
	write(t, w, "d", records...)
	for _, typ := range []hotreader.Type{hotreader.AnyNumber, hotreader.AnyString, hotreader.Boolean, hotreader.Double,
		hotreader.Integer, hotreader.Long, hotreader.ShortString} {
		q := hotreader.Query{Device: "d", Properties: []string{"v"}, Types: []hotreader.Type{typ}}
		got, want := read(t, r, q), answer(records, q)
		if h.RewritesNumbers && (typ == hotreader.AnyString || typ == hotreader.ShortString) {
			got, want = onlyText(records, got), onlyText(records, want)
		}
		if msg := h.differ(got, want); msg != "" {
			t.Errorf("%s: %s", describe(q), msg)
		}
		if typ == hotreader.Integer || typ == hotreader.Long {
			for _, row := range got {
				if text := row.Values[0].Text(); strings.ContainsAny(string(text), ".eE+") {
					t.Errorf("%s: the integer %s is not in plain digits", describe(q), text)
				}
			}
		}
	}
	// In one row some fit and some do not.
	write(t, w, "mixed", record(base, field("a", str("x")), field("b", num("1.5")), field("c", num("7"))))
	h.expect(t, r, hotreader.Query{Device: "mixed", Properties: []string{"a", "b", "c"},
		Types: []hotreader.Type{hotreader.Double, hotreader.Integer, hotreader.Untyped}}, row(base, null, null, num("7")))
	h.expect(t, r, hotreader.Query{Device: "mixed", Properties: []string{"a", "b"},
		Types: []hotreader.Type{hotreader.Double, hotreader.Boolean}})
}

// onlyText drops the rows whose stored value is a number, for stores that
// spell it in their own style when it becomes text.
func onlyText(records []hotreader.Record, rows []hotreader.Row) []hotreader.Row {
	return slices.DeleteFunc(slices.Clone(rows), func(r hotreader.Row) bool {
		return slices.ContainsFunc(records, func(s hotreader.Record) bool {
			return s.Time.Equal(r.Time) && s.Fields[0].Value.Kind() == hotreader.Number
		})
	})
}

func typesInferred(t testing.TB, h Harness) {
	r, w := h.open(t)
	s := func(n int) time.Time { return at(time.Duration(n) * time.Second) }
	write(t, w, "d",
		record(s(0), field("p", num("1")), field("q", str("a")), field("r", boolean(true))),
		record(s(1), field("p", str("2")), field("q", num("5")), field("r", num("1"))),
		record(s(2), field("p", str("x")), field("q", boolean(true)), field("r", str("true"))),
		record(s(3), field("p", boolean(true)), field("q", str("")), field("r", boolean(false))),
		record(s(4), field("p", num("3"))))
	// The kind of the first value: it decides, the same for all.
	first := []hotreader.Type{hotreader.FirstKind}
	q := hotreader.Query{Device: "d", Properties: []string{"p"}, Types: first}
	h.expect(t, r, q, row(s(0), num("1")), row(s(1), num("2")), row(s(4), num("3")))
	q.Order = hotreader.Descending
	h.expect(t, r, q, row(s(4), num("3")), row(s(1), num("2")), row(s(0), num("1")))
	q.Order, q.Start = hotreader.Ascending, s(1) // begins with numeric text
	h.expect(t, r, q, row(s(1), str("2")), row(s(2), str("x")), row(s(4), str("3")))
	h.expect(t, r, hotreader.Query{Device: "d", Properties: []string{"q"}, Types: first}, row(s(0), str("a")), row(s(1), str("5")), row(s(3), str("")))
	h.expect(t, r, hotreader.Query{Device: "d", Properties: []string{"r"}, Types: first},
		row(s(0), boolean(true)), row(s(1), boolean(true)), row(s(2), boolean(true)), row(s(3), boolean(false)))
	// A declared type of one property leaves the other to be inferred.
	h.expect(t, r, hotreader.Query{Device: "d", Properties: []string{"p", "q"}, Types: []hotreader.Type{hotreader.Integer, hotreader.FirstKind}},
		row(s(0), num("1"), str("a")), row(s(1), num("2"), str("5")), row(s(3), null, str("")), row(s(4), num("3"), null))
}

// typesMixed looks at what a series without a declared type has: each value in its
// stored kind, the same in both directions, and a warning where kinds are mixed.
func typesMixed(t testing.TB, h Harness) {
	r, w := h.open(t)
	write(t, w, "d", record(at(0), field("p", str("unavailable")), field("q", num("1"))), record(at(time.Second), field("p", num("2")), field("q", num("2"))),
		record(at(2*time.Second), field("p", boolean(true))))
	want := []hotreader.Row{row(at(0), str("unavailable"), num("1")), row(at(time.Second), num("2"), num("2")), row(at(2*time.Second), boolean(true), null)}
	for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
		q := hotreader.Query{Device: "d", Properties: []string{"p", "q"}, Order: order}
		stats := new(hotreader.Stats)
		rows, err, breach := collect(q, r.Read(hotreader.WithStats(t.Context(), stats), q))
		if err != nil || breach != nil {
			t.Fatalf("%v, %v", err, breach)
		}
		if msg := h.differ(rows, want); msg != "" {
			t.Errorf("%v: %s", order, msg)
		}
		if got, want := stats.Warnings(), []hotreader.Warning{{Reason: hotreader.MixedKinds, Property: "p", Count: 2}}; !slices.Equal(got, want) {
			t.Errorf("%v: warnings %v, want %v", order, got, want)
		}
		slices.Reverse(want)
	}
}

var ops = []hotreader.Op{hotreader.Equal, hotreader.NotEqual, hotreader.Less, hotreader.LessEqual, hotreader.Greater, hotreader.GreaterEqual}

func filtersOperators(t testing.TB, h Harness) {
	r, w := h.open(t)
	stored := []hotreader.Value{
		num("-1"), num("0"), num("9"), num("10"), num("10.0"), num("10.5"), num("1e1"), num("100"),
		num("12345678901234567890123456789012345678"), num("12345678901234567890123456789012345677"),
		str("10"), str("9"), str("9.0"), str("abc"), str("abd"), str(""), str("Z"), str("é"), boolean(true), boolean(false),
	}
	stored = slices.DeleteFunc(stored, h.isText) // it compares as text with text
	var records []hotreader.Record
	for i, v := range stored {
		records = append(records, record(at(time.Duration(i)*time.Second), field("v", v), field("n", num("1"))))
	}
	records = append(records, record(at(time.Hour), field("n", num("1")))) // v is missing
	write(t, w, "d", records...)
	for _, op := range ops {
		for _, v := range []hotreader.Value{num("10"), num("9.5"), num("1.00e1"), num("12345678901234567890123456789012345678"),
			str("10"), str("abc"), str(""), boolean(true), boolean(false)} {
			if v.Kind() == hotreader.Bool && op > hotreader.NotEqual {
				continue // rejected, see queryInvalid
			}
			q := hotreader.Query{Device: "d", Properties: []string{"n"}, Filters: []hotreader.Filter{{Property: "v", Op: op, Value: v}}}
			h.expect(t, r, q, answer(records, q)...)
		}
	}
	// Filters must all pass.
	q := hotreader.Query{Device: "d", Properties: []string{"n"}, Filters: []hotreader.Filter{
		{Property: "v", Op: hotreader.Greater, Value: num("0")}, {Property: "v", Op: hotreader.Less, Value: num("100")},
		{Property: "v", Op: hotreader.NotEqual, Value: num("10.5")}, {Property: "n", Op: hotreader.Equal, Value: num("1")}}}
	h.expect(t, r, q, answer(records, q)...)
	q.Filters = append(q.Filters, hotreader.Filter{Property: "absent", Op: hotreader.NotEqual, Value: num("1")})
	h.expect(t, r, q)
}

func filtersUnselected(t testing.TB, h Harness) {
	r, w := h.open(t)
	write(t, w, "d",
		record(at(0), field("temperature", num("20")), field("state", str("run"))),
		record(at(time.Second), field("temperature", num("21")), field("state", str("stop"))),
		record(at(2*time.Second), field("temperature", num("22"))),
		record(at(3*time.Second), field("state", str("run"))),
		record(at(4*time.Second), field("temperature", num("24")), field("state", str("run"))))
	q := hotreader.Query{Device: "d", Properties: []string{"temperature"},
		Filters: []hotreader.Filter{{Property: "state", Op: hotreader.Equal, Value: str("run")}}}
	h.expect(t, r, q, row(at(0), num("20")), row(at(4*time.Second), num("24")))
	q.Filters[0].Op = hotreader.NotEqual // a row that does not have it does not pass
	h.expect(t, r, q, row(at(time.Second), num("21")))
}

func filtersLimit(t testing.TB, h Harness) {
	r, w := h.open(t)
	records := ramp(400, time.Second)
	write(t, w, "d", records...)
	for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
		for _, limit := range []int{1, 5, 60} {
			q := hotreader.Query{Device: "d", Properties: []string{"n"}, Order: order, Limit: limit, Filters: []hotreader.Filter{
				{Property: "n", Op: hotreader.GreaterEqual, Value: num("150")}, {Property: "n", Op: hotreader.Less, Value: num("200")}}}
			h.expect(t, r, q, answer(records, q)...)
		}
	}
}

func lastNewest(t testing.TB, h Harness) {
	r, w := h.open(t)
	write(t, w, "d",
		record(at(0), field("a", num("1")), field("b", num("1")), field("c", num("1"))),
		record(at(time.Second), field("a", num("2")), field("b", str("x")), field("c", num("2"))),
		record(at(2*time.Second), field("a", num("3")), field("b", boolean(true))))
	q := hotreader.Query{Device: "d", Properties: []string{"a", "b"}, Last: true}
	h.expect(t, r, q, row(at(2*time.Second), num("3"), boolean(true)))
	q.Properties = []string{"a", "b", "c"}
	want := []hotreader.Row{row(at(2*time.Second), num("3"), boolean(true), null), row(at(time.Second), null, null, num("2"))}
	h.expect(t, r, q, want...)
	q.Limit = 1 // order and limit are ignored
	h.expect(t, r, q, want...)
	q.Order = hotreader.Descending
	h.expect(t, r, q, want...)
	q.Properties = append(q.Properties, "absent")
	for i := range want {
		want[i].Values = append(want[i].Values, null)
	}
	h.expect(t, r, q, want...)
	h.expect(t, r, hotreader.Query{Device: "d", Properties: []string{"absent"}, Last: true})
}

func lastOlder(t testing.TB, h Harness) {
	r, w := h.open(t)
	// Each property was seen last in another row, nulls in between.
	names := []string{"a", "b", "c", "d"}
	var records []hotreader.Record
	for i := range 40 {
		var f []hotreader.Field
		for k, n := range names {
			if i <= 10*k+9 {
				f = append(f, field(n, num("1"+strings.Repeat("0", k)+string(rune('0'+i%10)))))
			} else {
				f = append(f, field(n, null))
			}
		}
		records = append(records, record(at(time.Duration(i)*time.Minute), f...))
	}
	write(t, w, "d", records...)
	m := func(n int) time.Time { return at(time.Duration(n) * time.Minute) }
	h.expect(t, r, hotreader.Query{Device: "d", Properties: names, Last: true},
		row(m(39), null, null, null, num("10009")), row(m(29), null, null, num("1009"), null),
		row(m(19), null, num("109"), null, null), row(m(9), num("19"), null, null, null))
}

func lastLookBack(t testing.TB, h Harness) {
	r, w := h.open(t)
	records := ramp(hotreader.LookBack+20, time.Second)
	set := func(back int, name string) { // in the row that is back-th from the newest
		rec := &records[len(records)-back]
		rec.Fields = append(rec.Fields, field(name, num("7")))
	}
	set(hotreader.LookBack, "within")
	set(hotreader.LookBack+1, "beyond")
	write(t, w, "d", records...)
	newest, edge := records[len(records)-1], records[len(records)-hotreader.LookBack]
	q := hotreader.Query{Device: "d", Properties: []string{"n", "within", "beyond"}, Last: true}
	h.expect(t, r, q, row(newest.Time, newest.Fields[0].Value, null, null), row(edge.Time, null, num("7"), null))
	q.Properties = []string{"beyond"}
	h.expect(t, r, q)
	// It counts stored rows, whether a filter keeps them or not.
	h.expect(t, r, hotreader.Query{Device: "d", Properties: []string{"beyond"}, Last: true,
		Filters: []hotreader.Filter{{Property: "beyond", Op: hotreader.Equal, Value: num("7")}}})
	// It counts from the end of the range that is asked for.
	q.End = records[len(records)-2].Time
	h.expect(t, r, q, row(records[len(records)-hotreader.LookBack-1].Time, num("7")))
}

// lastAhead: a device whose clock was once wrong has its newest value all the same.
func lastAhead(t testing.TB, h Harness) {
	r, w := h.open(t)
	now := time.Now().Truncate(time.Second).UTC()
	ahead := time.Date(4026, 1, 1, 0, 0, 0, 0, time.UTC)
	write(t, w, "d", record(now, field("p", num("1"))), record(ahead, field("p", num("2"))))
	q := hotreader.Query{Device: "d", Properties: []string{"p"}, Last: true}
	h.expect(t, r, q, row(now, num("1")))
	q.End = ahead // it can be asked for
	h.expect(t, r, q, row(ahead, num("2")))
	q.Start, q.End = now.Add(72*time.Hour), time.Time{}
	h.expect(t, r, q)
}

func lastNarrowed(t testing.TB, h Harness) {
	r, w := h.open(t)
	s := func(n int) time.Time { return at(time.Duration(n) * time.Second) }
	write(t, w, "d",
		record(s(0), field("p", num("1")), field("q", num("5")), field("state", str("run"))),
		record(s(1), field("p", num("2")), field("state", str("run"))),
		record(s(2), field("p", str("broken")), field("q", str("7")), field("state", str("stop"))))
	q := hotreader.Query{Device: "d", Properties: []string{"p", "q"}, Last: true, Types: []hotreader.Type{hotreader.Double, hotreader.Long}}
	// The newest value that fits its type, not the newest value.
	h.expect(t, r, q, row(s(2), null, num("7")), row(s(1), num("2"), null))
	q.End = s(1)
	h.expect(t, r, q, row(s(1), num("2"), null), row(s(0), null, num("5")))
	q.Start = s(1)
	h.expect(t, r, q, row(s(1), num("2"), null))
	q.Start, q.End = time.Time{}, time.Time{}
	q.Filters = []hotreader.Filter{{Property: "state", Op: hotreader.Equal, Value: str("run")}}
	h.expect(t, r, q, row(s(1), num("2"), null), row(s(0), null, num("5")))
	q.Start, q.End = s(10), time.Time{}
	h.expect(t, r, q)
}
