package storetest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"hotreader"
)

func rangeInclusive(t testing.TB, h Harness) {
	r, w := h.open(t)
	write(t, w, "d", ramp(5, time.Second)...)
	s := func(n int) hotreader.Row { return row(at(time.Duration(n)*time.Second), num(strconv.Itoa(n))) }
	q := hotreader.Query{Device: "d", Properties: []string{"n"}}
	for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
		q.Order = order
		for _, c := range []struct {
			from, to time.Duration
			want     []hotreader.Row
		}{
			{time.Second, 3 * time.Second, []hotreader.Row{s(1), s(2), s(3)}},
			{2 * time.Second, 2 * time.Second, []hotreader.Row{s(2)}},
			{time.Second + 1, 3*time.Second - 1, []hotreader.Row{s(2)}},
			{time.Second - 1, time.Second + 1, []hotreader.Row{s(1)}},
			{-time.Hour, time.Hour, []hotreader.Row{s(0), s(1), s(2), s(3), s(4)}},
		} {
			q.Start, q.End = at(c.from), at(c.to)
			want := slices.Clone(c.want)
			if order == hotreader.Descending {
				slices.Reverse(want)
			}
			h.expect(t, r, q, want...)
		}
	}
}

func rangeZones(t testing.TB, h Harness) {
	r, w := h.open(t)
	berlin, nepal := time.FixedZone("", 3600), time.FixedZone("", 5*3600+45*60)
	write(t, w, "d",
		record(base.In(nepal), field("n", num("0"))),
		record(at(time.Second).In(berlin), field("n", num("1"))),
		record(at(2*time.Second), field("n", num("2"))))
	h.expect(t, r, hotreader.Query{Device: "d", Properties: []string{"n"},
		Start: at(time.Second).In(nepal), End: at(time.Second).In(berlin)},
		row(at(time.Second), num("1")))
	h.expect(t, r, hotreader.Query{Device: "d", Properties: []string{"n"}, Start: base.In(berlin)},
		row(base, num("0")), row(at(time.Second), num("1")), row(at(2*time.Second), num("2")))
}

func rangeEmpty(t testing.TB, h Harness) {
	r, w := h.open(t)
	q := hotreader.Query{Device: "nobody", Properties: []string{"n"}}
	h.expectEmpty(t, r, q)
	write(t, w, "d", ramp(3, time.Minute)...)
	h.expect(t, r, q) // an unknown device
	q.Last = true
	h.expect(t, r, q)

	all := []hotreader.Row{row(base, num("0")), row(at(time.Minute), num("1")), row(at(2*time.Minute), num("2"))}
	q = hotreader.Query{Device: "d", Properties: []string{"n"}}
	h.expect(t, r, q, all...)
	q.Start = at(time.Minute)
	h.expect(t, r, q, all[1:]...)
	q.Start, q.End = time.Time{}, at(time.Minute)
	h.expect(t, r, q, all[:2]...)
	for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
		q.Order = order
		q.Start, q.End = at(time.Second), at(2*time.Second) // between rows
		h.expect(t, r, q)
		q.Start, q.End = at(-time.Hour), at(-1) // before all
		h.expect(t, r, q)
		q.Start, q.End = at(2*time.Minute+1), time.Time{} // after all
		h.expect(t, r, q)
		q.Start, q.End = time.Time{}, at(-1)
		h.expect(t, r, q)
	}
}

func rangeNanoseconds(t testing.TB, h Harness) {
	r, w := h.open(t)
	// Widths differ as they would in text: 0, 1, 3, 6 and 9 decimals.
	offsets := []time.Duration{0, 1, 2, 10, 999, 1000, 1001, time.Millisecond - 1, time.Millisecond,
		100 * time.Millisecond, 123456 * time.Microsecond, 500 * time.Millisecond, time.Second - 1, time.Second}
	var records []hotreader.Record
	var want []hotreader.Row
	for i, o := range offsets {
		records = append(records, record(at(o), field("n", num(strconv.Itoa(i)))))
		want = append(want, row(at(o), num(strconv.Itoa(i))))
	}
	slices.Reverse(records)
	write(t, w, "d", records...)
	q := hotreader.Query{Device: "d", Properties: []string{"n"}}
	h.expect(t, r, q, want...)
	for i := range offsets { // each as start and as end: of itself alone, with its neighbour, and far apart
		for _, k := range []int{i, min(i+1, len(offsets)-1), len(offsets) - 1 - i%3} {
			q.Start, q.End = at(offsets[min(i, k)]), at(offsets[max(i, k)])
			h.expect(t, r, q, want[min(i, k):max(i, k)+1]...)
		}
	}
	q.Order = hotreader.Descending
	q.Start, q.End = at(1), at(time.Second-1)
	reversed := slices.Clone(want[1 : len(want)-1])
	slices.Reverse(reversed)
	h.expect(t, r, q, reversed...)
}

func rangeAges(t testing.TB, h Harness) {
	r, w := h.open(t)
	times := []time.Time{
		time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC),
		time.Date(1899, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
		time.Date(1969, 12, 31, 23, 59, 59, 1, time.UTC),
		time.Unix(0, 0).UTC(),
		time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC),
		time.Date(2262, 4, 12, 0, 0, 0, 0, time.UTC), // beyond int64 nanoseconds
		time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
	}
	var want []hotreader.Row
	for i, tm := range times {
		write(t, w, "d", record(tm, field("n", num(strconv.Itoa(i)))))
		want = append(want, row(tm, num(strconv.Itoa(i))))
	}
	q := hotreader.Query{Device: "d", Properties: []string{"n"}}
	h.expect(t, r, q, want...)
	q.Start, q.End = times[1], times[3]
	h.expect(t, r, q, want[1:4]...)
	// TwinMaker's query for the newest row.
	h.expect(t, r, hotreader.Query{Device: "d", Properties: []string{"n"}, Order: hotreader.Descending, Limit: 1,
		Start: time.Date(1899, 1, 1, 0, 0, 0, 0, time.UTC)}, want[6])
}

func orderReverse(t testing.TB, h Harness) {
	r, w := h.open(t)
	records := ramp(700, 7*time.Second)
	write(t, w, "d", records...)
	q := hotreader.Query{Device: "d", Properties: []string{"n"}}
	up := read(t, r, q)
	if msg := h.differ(up, answer(records, q)); msg != "" {
		t.Errorf("%s: %s", describe(q), msg)
	}
	q.Order = hotreader.Descending
	slices.Reverse(up)
	h.expect(t, r, q, up...)
}

func limits(t testing.TB, h Harness) {
	r, w := h.open(t)
	records := ramp(30, time.Second)
	write(t, w, "d", records...)
	for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
		for _, limit := range []int{1, 2, 29, 30, 31, 1 << 40} {
			q := hotreader.Query{Device: "d", Properties: []string{"n"}, Order: order, Limit: limit}
			h.expect(t, r, q, answer(records, q)...)
			q.Start, q.End = at(3*time.Second), at(20*time.Second)
			h.expect(t, r, q, answer(records, q)...)
		}
	}
	// Rows that do not come do not count.
	for i := range 10 {
		write(t, w, "holes", record(at(time.Duration(2*i)*time.Second), field("other", num("1"))),
			record(at(time.Duration(2*i+1)*time.Second), field("n", num(strconv.Itoa(i)))))
	}
	h.expect(t, r, hotreader.Query{Device: "holes", Properties: []string{"n"}, Limit: 3},
		row(at(time.Second), num("0")), row(at(3*time.Second), num("1")), row(at(5*time.Second), num("2")))
}

func resumeEverywhere(t testing.TB, h Harness) {
	r, w := h.open(t)
	records := ramp(16, 1) // neighbours one nanosecond apart, with one digit and two
	write(t, w, "d", records...)
	for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
		for _, limit := range []int{0, 4} {
			q := hotreader.Query{Device: "d", Properties: []string{"n"}, Order: order, Start: at(2), End: at(13)}
			whole := read(t, r, q)
			if len(whole) != 12 {
				t.Fatalf("%s: %d rows came, want 12", describe(q), len(whole))
			}
			for i, last := range whole {
				rest, more := q.Behind(last.Time)
				if more != (i < len(whole)-1) {
					t.Fatalf("Behind row %d says %t", i, more)
				}
				if !more {
					continue
				}
				rest.Limit = limit
				want := whole[i+1:]
				if limit > 0 && limit < len(want) {
					want = want[:limit]
				}
				h.expect(t, r, rest, want...)
			}
		}
	}
}

func rowsSelected(t testing.TB, h Harness) {
	r, w := h.open(t)
	write(t, w, "d",
		record(at(0), field("a", num("1"))),
		record(at(1*time.Second), field("b", num("2"))),
		record(at(2*time.Second)),
		record(at(3*time.Second), field("a", null), field("b", null)),
		record(at(4*time.Second), field("a", null), field("b", num("3"))),
		record(at(5*time.Second), field("a", str("")), field("c", num("9"))))
	h.expect(t, r, hotreader.Query{Device: "d", Properties: []string{"a"}, Types: []hotreader.Type{hotreader.AnyNumber}},
		row(at(0), num("1")))
	h.expect(t, r, hotreader.Query{Device: "d", Properties: []string{"b"}},
		row(at(1*time.Second), num("2")), row(at(4*time.Second), num("3")))
	h.expect(t, r, hotreader.Query{Device: "d", Properties: []string{"a", "b"}, Types: []hotreader.Type{hotreader.AnyString, hotreader.AnyNumber}},
		row(at(0), str("1"), null), row(at(1*time.Second), null, num("2")),
		row(at(4*time.Second), null, num("3")), row(at(5*time.Second), str(""), null))
	h.expect(t, r, hotreader.Query{Device: "d", Properties: []string{"nothing has it"}})
}

func rowsColumns(t testing.TB, h Harness) {
	r, w := h.open(t)
	write(t, w, "d",
		record(at(0), field("a", num("1")), field("b", num("2")), field("c", num("3"))),
		record(at(time.Second), field("c", num("6")), field("a", num("4"))))
	h.expect(t, r, hotreader.Query{Device: "d", Properties: []string{"c", "absent", "a", "b"}},
		row(at(0), num("3"), null, num("1"), num("2")),
		row(at(time.Second), num("6"), null, num("4"), null))
}

// rowsValid looks at each row before and after its neighbour comes: a reader
// that reads ahead into the same memory is caught by what it yields, and one
// whose rows cannot be kept by Clone, by what was kept.
func rowsValid(t testing.TB, h Harness) {
	r, w := h.open(t)
	var records []hotreader.Record
	for i := range 600 {
		// Texts of one length, so that a clobbered one is still well formed.
		records = append(records, record(at(time.Duration(i)*time.Second),
			field("s", str(fmt.Sprintf("text %05d", i))), field("n", num(strconv.Itoa(10_000+i))), field("b", boolean(i%3 == 0))))
	}
	write(t, w, "d", records...)
	for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
		q := hotreader.Query{Device: "d", Properties: []string{"s", "n", "b"}, Order: order}
		want := answer(records, q)
		var kept []hotreader.Row
		for got, err := range r.Read(t.Context(), q) {
			if err != nil {
				t.Fatal(err)
			}
			if len(kept) < len(want) {
				if msg := h.differ([]hotreader.Row{got}, want[len(kept):len(kept)+1]); msg != "" {
					t.Fatalf("%s: in the loop: %s", describe(q), msg)
				}
			}
			kept = append(kept, got.Clone())
		}
		if msg := h.differ(kept, want); msg != "" {
			t.Errorf("%s: rows kept by Clone: %s", describe(q), msg)
		}
	}
}

func devicesApart(t testing.TB, h Harness) {
	r, w := h.open(t)
	// Each is a prefix, a neighbour or a different spelling of another.
	devices := []string{"d", "d1", "d10", "d1 ", "D1", "d1\x00", "d1_2024", "é", "e\u0301"}
	for i, d := range devices {
		write(t, w, d, record(base, field("n", num(strconv.Itoa(i)))), record(at(time.Second), field("n", num(strconv.Itoa(100+i)))))
	}
	for i, d := range devices {
		h.expect(t, r, hotreader.Query{Device: d, Properties: []string{"n"}},
			row(base, num(strconv.Itoa(i))), row(at(time.Second), num(strconv.Itoa(100+i))))
		h.expect(t, r, hotreader.Query{Device: d, Properties: []string{"n"}, Last: true},
			row(at(time.Second), num(strconv.Itoa(100+i))))
	}
	h.expect(t, r, hotreader.Query{Device: "d1_", Properties: []string{"n"}})
}

func devicesHostile(t testing.TB, h Harness) {
	r, w := h.open(t)
	devices := []string{
		"a/b", "a?b=c&d", "a#b", "é", "日本語", "100%", "%2F", "a%00b", "..", ".", "/", "//", "../../etc/passwd",
		`'; DROP TABLE d; --`, `"quoted"`, "back\\slash", "a b", " ", "tab\t", "new\nline", "+", ":", ";", "{}", "$ne",
		"emoji 🌡️", strings.Repeat("x", hotreader.MaxDeviceBytes), strings.Repeat("é", hotreader.MaxDeviceBytes/2),
	}
	refused := func(d string) bool { return h.RefusesDevice != nil && h.RefusesDevice(d) }
	for i, d := range devices {
		rec := record(base, field("n", num(strconv.Itoa(i))))
		if refused(d) {
			h.expectRefusal(t, w, d, rec)
			continue
		}
		write(t, w, d, rec)
	}
	for i, d := range devices {
		q := hotreader.Query{Device: d, Properties: []string{"n"}}
		if refused(d) {
			if rows, err := failure(t.Context(), t, r, q); len(rows) > 0 || hotreader.CodeOf(err) != hotreader.CodeInvalid {
				t.Errorf("%s: %d rows and the error %v, want one of %s", describe(q), len(rows), err, hotreader.CodeInvalid)
			}
			continue
		}
		h.expect(t, r, q, row(base, num(strconv.Itoa(i))))
		q.Last = true
		h.expect(t, r, q, row(base, num(strconv.Itoa(i))))
	}
}

var hostileNames = []string{
	"name", "value", "values", "status", "count", "size", "order", "select", "time", "date", "items", "data", "null", "true",
	"a.b", "a", "b", "a.b.c", "a b", " lead", "trail ", `q"uote`, "q'uote", "`tick`", "[0]", "a[0]", "#n", ":v", "$x", "%20", "a/b", "a\\b",
	"Temperature", "temperature", "TEMPERATURE", "température", "温度", "🌡️", "a-b", "a_b", "0", "1st", "-", "__proto__", "new\nline",
	strings.Repeat("n", hotreader.MaxNameBytes),
}

func namesHostile(t testing.TB, h Harness) {
	r, w := h.open(t)
	var fields []hotreader.Field
	want := row(base)
	for i, n := range hostileNames {
		f := field(n, num(strconv.Itoa(i)))
		if h.RefusesName != nil && h.RefusesName(n) {
			h.expectRefusal(t, w, "d", record(base, f))
			f.Value = null
		} else {
			fields = append(fields, f)
		}
		want.Values = append(want.Values, f.Value)
	}
	write(t, w, "d", record(base, fields...))
	for i, n := range hostileNames {
		v := want.Values[i]
		if v.IsNull() {
			h.expect(t, r, hotreader.Query{Device: "d", Properties: []string{n}})
			continue
		}
		h.expect(t, r, hotreader.Query{Device: "d", Properties: []string{"absent", n}, Last: i%2 == 0}, row(base, null, v))
		h.expect(t, r, hotreader.Query{Device: "d", Properties: []string{"a"},
			Filters: []hotreader.Filter{{Property: n, Op: hotreader.Equal, Value: v}}}, row(base, num("15")))
	}
	h.expect(t, r, hotreader.Query{Device: "d", Properties: hostileNames}, want)
}

func namesMany(t testing.TB, h Harness) {
	r, w := h.open(t)
	var names []string
	var fields []hotreader.Field
	var filters []hotreader.Filter
	want := row(base)
	for i := range hotreader.MaxProperties {
		n := fmt.Sprintf("property %d %s", i, strings.Repeat("x", 200))
		names = append(names, n)
		fields = append(fields, field(n, num(strconv.Itoa(i))))
		want.Values = append(want.Values, num(strconv.Itoa(i)))
		if i < hotreader.MaxFilters {
			filters = append(filters, hotreader.Filter{Property: fmt.Sprintf("filtered %d", i), Op: hotreader.Equal, Value: boolean(true)})
			fields = append(fields, field(filters[i].Property, boolean(true)))
		}
	}
	write(t, w, "d", record(base, fields...), record(at(1), fields[:1]...))
	h.expect(t, r, hotreader.Query{Device: "d", Properties: names, Filters: filters}, want)
}
