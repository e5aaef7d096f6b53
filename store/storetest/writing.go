package storetest

import (
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"hotreader"
)

func writeLastWins(t testing.TB, h Harness) {
	r, w := h.open(t)
	q := hotreader.Query{Device: "d", Properties: []string{"n"}}
	// Within one call, in different zones, and with others between.
	write(t, w, "d", record(base, field("n", num("1"))), record(at(time.Second), field("n", num("9"))),
		record(base.In(time.FixedZone("", -7*3600)), field("n", num("2"))))
	h.expect(t, r, q, row(base, num("2")), row(at(time.Second), num("9")))
	// Across calls.
	write(t, w, "d", record(base, field("n", num("3"))))
	write(t, w, "d", record(base, field("n", num("4"))))
	h.expect(t, r, q, row(base, num("4")), row(at(time.Second), num("9")))
	// Written again, nothing changes.
	write(t, w, "d", record(base, field("n", num("4"))))
	h.expect(t, r, q, row(base, num("4")), row(at(time.Second), num("9")))
	// One nanosecond beside it is another row.
	write(t, w, "d", record(at(1), field("n", num("5"))))
	h.expect(t, r, q, row(base, num("4")), row(at(1), num("5")), row(at(time.Second), num("9")))
	// A batch in which each instant comes three times.
	var records []hotreader.Record
	for i := range 90 {
		records = append(records, record(at(time.Duration(i%30)*time.Minute), field("n", num(strconv.Itoa(i)))))
	}
	write(t, w, "batch", records...)
	q.Device = "batch"
	h.expect(t, r, q, answer(records, q)...)
}

func writeReplaces(t testing.TB, h Harness) {
	r, w := h.open(t)
	write(t, w, "d", record(base, field("a", num("1")), field("b", num("1"))), record(at(1), field("a", num("7"))))
	write(t, w, "d", record(base, field("b", str("new")), field("c", boolean(true))))
	h.expect(t, r, hotreader.Query{Device: "d", Properties: []string{"a", "b", "c"}},
		row(base, null, str("new"), boolean(true)), row(at(1), num("7"), null, null))
	// A record of nothing but nulls leaves a row with no property.
	write(t, w, "d", record(base, field("b", null)))
	h.expect(t, r, hotreader.Query{Device: "d", Properties: []string{"a", "b", "c"}}, row(at(1), num("7"), null, null))
}

// A Writer that can merge keeps what a record lacks, within a call and across.
func writeMerges(t testing.TB, h Harness) {
	r, w := h.open(t)
	merge := func(records ...hotreader.Record) (n hotreader.Changes) {
		t.Helper()
		var err error
		switch w := w.(type) {
		case hotreader.Updater:
			n, err = w.Update(t.Context(), "d", records, hotreader.Merge)
		case hotreader.Merger: // no two records of a call may share an instant
			for _, r := range records {
				err = errors.Join(err, w.Merge(t.Context(), "d", []hotreader.Record{r}))
			}
		}
		if err != nil {
			t.Error(err)
		}
		return n
	}
	_, counts := w.(hotreader.Updater)
	if _, merges := w.(hotreader.Merger); !counts && !merges {
		t.Error("the Writer cannot merge")
		return
	}
	want := func(got hotreader.Changes, added, changed, same, over int64) {
		t.Helper()
		all := hotreader.Changes{Added: added, Changed: changed, Same: same, Over: over}
		if over > 0 {
			all.Values = map[string]int64{"a": over}
		}
		if counts && !reflect.DeepEqual(got, all) {
			t.Errorf("%+v, want %+v", got, all)
		}
	}
	q := hotreader.Query{Device: "d", Properties: []string{"a", "b", "c"}}
	want(merge(record(base, field("a", num("1")), field("b", null)), record(at(1), field("a", num("7"))), record(base, field("b", str("x")))), 2, 1, 0, 0)
	h.expect(t, r, q, row(base, num("1"), str("x"), null), row(at(1), num("7"), null, null))
	want(merge(record(base, field("c", boolean(true)), field("a", num("2"))), record(at(2), field("c", num("3"))), record(at(1), field("a", num("7")))), 1, 1, 1, 1)
	merged := []hotreader.Row{row(base, num("2"), str("x"), boolean(true)), row(at(1), num("7"), null, null), row(at(2), null, null, num("3"))}
	h.expect(t, r, q, merged...)
	want(merge(record(base, field("b", str("x"))), record(base, field("a", null))), 0, 0, 2, 0)
	h.expect(t, r, q, merged...)
	if !counts {
		return
	}
	n, err := w.(hotreader.Updater).Update(t.Context(), "d", []hotreader.Record{record(base, field("b", num("9"))), record(at(3), field("a", num("1"))), record(at(1), field("a", num("7")))}, hotreader.Replace)
	if want(n, 1, 1, 1, 0); err != nil {
		t.Error(err)
	}
	h.expect(t, r, q, row(base, null, num("9"), null), row(at(1), num("7"), null, null), row(at(2), null, null, num("3")), row(at(3), num("1"), null, null))
}

func writeOrder(t testing.TB, h Harness) {
	r, w := h.open(t)
	const n = 2000
	// 7 has no factor in common with 2000: every index once, far from sorted.
	var stored []hotreader.Record
	for i := range n {
		k := i * 7 % n
		stored = append(stored, record(at(time.Duration(k)*time.Second), field("n", num(strconv.Itoa(i)))))
	}
	q := hotreader.Query{Device: "d", Properties: []string{"n"}}
	for batch := range slices.Chunk(stored, 173) {
		write(t, w, "d", batch...)
	}
	h.expect(t, r, q, answer(stored, q)...)
	// Backwards, one row a call, in front of what is there.
	for i := range 30 {
		rec := record(at(time.Duration(-i)*time.Second), field("n", num(strconv.Itoa(-i))))
		write(t, w, "d", rec)
		stored = append(stored, rec)
	}
	// Between what is there, and over it.
	for i := range 30 {
		rec := record(at(time.Duration(i)*500*time.Millisecond), field("n", num(strconv.Itoa(100_000+i))))
		write(t, w, "d", rec)
		stored = append(stored, rec)
	}
	h.expect(t, r, q, answer(stored, q)...)
	q.Order = hotreader.Descending
	h.expect(t, r, q, answer(stored, q)...)
}

func writeNothing(t testing.TB, h Harness) {
	r, w := h.open(t)
	write(t, w, "d")
	h.expectEmpty(t, r, hotreader.Query{Device: "d", Properties: []string{"n"}})
	write(t, w, "d", record(base, field("n", num("1"))))
	write(t, w, "d")
	h.expect(t, r, hotreader.Query{Device: "d", Properties: []string{"n"}}, row(base, num("1")))
}

// writeRefuses: what no query could ask for is rejected and not half stored.
func writeRefuses(t testing.TB, h Harness) {
	r, w := h.open(t)
	good := record(base, field("n", num("1")))
	for _, c := range []struct {
		what, device string
		record       hotreader.Record
	}{
		{"no device", "", good},
		{"a device id over the limit", strings.Repeat("x", hotreader.MaxDeviceBytes+1), good},
		{"a device id that is not UTF-8", "\xff", good},
		{"no property name", "d", record(at(1), field("", num("1")))},
		{"a property name over the limit", "d", record(at(1), field(strings.Repeat("x", hotreader.MaxNameBytes+1), num("1")))},
		{"a property name that is not UTF-8", "d", record(at(1), field("\xff", num("1")))},
		{"a property twice", "d", record(at(1), field("n", num("1")), field("n", num("2")))},
		{"a number that is none", "d", record(at(1), field("n", num("x")))},
		{"a text that is not UTF-8", "d", record(at(1), field("n", str("\xff")))},
		{"no time", "d", record(time.Time{}, field("n", num("1")))},
		{"a time before the year 0", "d", record(time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC), field("n", num("1")))},
		{"a time after the year 9999", "d", record(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), field("n", num("1")))},
	} {
		err := w.Write(t.Context(), c.device, []hotreader.Record{good, c.record})
		if e, ok := errors.AsType[*hotreader.Error](err); !ok || e.Code != hotreader.CodeInvalid {
			t.Errorf("a record with %s: the error is %v, want one of %s", c.what, err, hotreader.CodeInvalid)
		}
	}
	h.expectEmpty(t, r, hotreader.Query{Device: "d", Properties: []string{"n"}})
	write(t, w, "d", good)
	h.expect(t, r, hotreader.Query{Device: "d", Properties: []string{"n"}}, row(base, num("1")))
}
