package storetest

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"hotreader"
)

// Stores that keep times as text hold several spellings of them, whose order as
// text is not their order in time within a second (pitfall 3). Everything here
// is put by PutRaw, in UTC, as other programs write it.

// mixed are instants of one second, in true order, with what text order makes
// of them: "." and "+" sort before "Z", so 00Z comes after 00.999Z.
var mixed = []struct {
	text   string
	offset time.Duration
}{
	{"2024-02-28T23:59:00Z", 0},
	{"2024-02-28T23:59:00.000000001Z", 1},
	{"2024-02-28T23:59:00.000001Z", time.Microsecond},
	{"2024-02-28T23:59:00.0010Z", time.Millisecond},
	{"2024-02-28T23:59:00.01+00:00", 10 * time.Millisecond},
	{"2024-02-28T23:59:00.1Z", 100 * time.Millisecond},
	{"2024-02-28T23:59:00.100000000001Z", 100 * time.Millisecond}, // replaced below: cut to the nanosecond it is the same instant
	{"2024-02-28T23:59:00.123456Z", 123456 * time.Microsecond},
	{"2024-02-28T23:59:00.2", 200 * time.Millisecond},
	{"2024-02-28T23:59:00.25-00:00", 250 * time.Millisecond},
	{"2024-02-28T23:59:00.500Z", 500 * time.Millisecond},
	{"2024-02-28T23:59:00.999999999Z", time.Second - 1},
	{"2024-02-28T23:59:01+00:00", time.Second},
	{"2024-02-28T23:59:01.000001Z", time.Second + time.Microsecond},
	{"2024-02-28T23:59:02.000Z", 2 * time.Second},
	{"2024-02-28T23:59:02.5Z", 2*time.Second + 500*time.Millisecond},
	{"2024-02-28T23:59:03", 3 * time.Second},
	{"2024-02-28T23:59:03.75+0000", 3*time.Second + 750*time.Millisecond},
}

func putMixed(t testing.TB, h Harness, device string) []hotreader.Row {
	var want []hotreader.Row
	for i, m := range mixed {
		h.PutRaw(t, device, m.text, field("n", num(strconv.Itoa(i))))
		if m.text == "2024-02-28T23:59:00.100000000001Z" {
			if h.LatestWins {
				want[len(want)-1].Values[0] = num(strconv.Itoa(i))
			}
			continue // 00.1Z is greater in byte order and wins
		}
		want = append(want, row(at(m.offset), num(strconv.Itoa(i))))
	}
	return want
}

func textOrder(t testing.TB, h Harness) {
	r, _ := h.open(t)
	want := putMixed(t, h, "d")
	q := hotreader.Query{Device: "d", Properties: []string{"n"}}
	h.expect(t, r, q, want...)
	for limit := 1; limit <= len(want); limit++ {
		q.Limit = limit
		h.expect(t, r, q, want[:limit]...)
	}
	slices.Reverse(want)
	q.Order = hotreader.Descending
	for limit := 1; limit <= len(want); limit++ {
		q.Limit = limit
		h.expect(t, r, q, want[:limit]...)
	}
	q.Last = true
	h.expect(t, r, q, want[0])

	// Many seconds, three widths each: text order is wrong in every one.
	var many []hotreader.Row
	for i := range 150 {
		second := at(time.Duration(i) * time.Second)
		clock := second.Format("2006-01-02T15:04:05")
		for k, m := range []struct {
			text   string
			offset time.Duration
		}{{"Z", 0}, {".25Z", 250 * time.Millisecond}, {".250001+00:00", 250001 * time.Microsecond}} {
			n := num(strconv.Itoa(3*i + k))
			h.PutRaw(t, "many", clock+m.text, field("n", n))
			many = append(many, row(second.Add(m.offset), n))
		}
	}
	q = hotreader.Query{Device: "many", Properties: []string{"n"}}
	h.expect(t, r, q, many...)
	slices.Reverse(many)
	q.Order = hotreader.Descending
	h.expect(t, r, q, many...)
}

// textOneInstant: of several texts of one instant the greatest in byte order
// wins, which is the shortest with Z: what time.RFC3339Nano writes. Stores that know
// better take the one that was stored last.
func textOneInstant(t testing.TB, h Harness) {
	r, w := h.open(t)
	for _, texts := range [][]string{ // ascending in byte order
		{"2024-02-28T23:59:00", "2024-02-28T23:59:00+00:00", "2024-02-28T23:59:00.000+00:00", "2024-02-28T23:59:00.000000Z", "2024-02-28T23:59:00.000Z", "2024-02-28T23:59:00Z"},
		{"2024-02-28T23:59:00.5", "2024-02-28T23:59:00.5+00:00", "2024-02-28T23:59:00.500000Z", "2024-02-28T23:59:00.500Z", "2024-02-28T23:59:00.5Z"},
	} {
		instant, err := hotreader.ParseTime([]byte(texts[0]))
		if err != nil {
			t.Fatal(err)
		}
		for n := 2; n <= len(texts); n++ {
			device := fmt.Sprintf("%d of %s", n, texts[0])
			some := texts[:n]
			puts := []int{n - 1} // the order of writing does not matter
			for i := range n - 1 {
				puts = append(puts, i)
			}
			if h.LatestSecondWins {
				slices.Sort(puts)
			}
			for _, i := range puts {
				fields := []hotreader.Field{field("n", num(strconv.Itoa(i)))}
				if i == 0 {
					fields = append(fields, field("first", boolean(true)))
				}
				h.PutRaw(t, device, some[i], fields...)
			}
			h.PutRaw(t, device, "2024-02-28T23:59:07Z", field("n", num("7")))
			greatest := 0
			for i := range some {
				if some[i] > some[greatest] {
					greatest = i
				}
			}
			if h.LatestWins {
				greatest = max(n-2, 0)
			}
			one, other := row(instant, num(strconv.Itoa(greatest))), row(at(7*time.Second), num("7"))
			q := hotreader.Query{Device: device, Properties: []string{"n"}}
			h.expect(t, r, q, one, other)
			q.Limit = 2
			h.expect(t, r, q, one, other)
			q.Order = hotreader.Descending
			h.expect(t, r, q, other, one)
			q.End = instant
			h.expect(t, r, q, one)
			// They are one row: it has what only one of them has.
			h.expect(t, r, hotreader.Query{Device: device, Properties: []string{"first"}, End: instant}, row(instant, boolean(true)))
			h.expect(t, r, hotreader.Query{Device: device, Properties: []string{"n", "first"}, End: instant, Last: true},
				row(instant, num(strconv.Itoa(greatest)), boolean(true)))
		}
	}
	// So what our Writer wrote wins against what was there.
	h.PutRaw(t, "d", "2024-02-28T23:59:00.000Z", field("n", num("1")))
	write(t, w, "d", record(base, field("n", num("2"))))
	h.PutRaw(t, "d", "2024-02-28T23:59:00.000000Z", field("n", num("3")))
	stands := num("2")
	if h.LatestWins {
		stands = num("3")
	}
	h.expect(t, r, hotreader.Query{Device: "d", Properties: []string{"n"}}, row(base, stands))
	h.expect(t, r, hotreader.Query{Device: "d", Properties: []string{"n"}, Last: true}, row(base, stands))
}

// textBounds is pitfall 3: …00Z as text excluded …00.000Z.
func textBounds(t testing.TB, h Harness) {
	r, _ := h.open(t)
	all := putMixed(t, h, "d")
	for i := range all {
		for k := i; k < len(all); k++ {
			for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
				want := slices.Clone(all[i : k+1])
				if order == hotreader.Descending {
					slices.Reverse(want)
				}
				h.expect(t, r, hotreader.Query{Device: "d", Properties: []string{"n"}, Order: order, Start: all[i].Time, End: all[k].Time}, want...)
			}
		}
	}
	// Resume after each.
	for i := range all[:len(all)-1] {
		rest, _ := hotreader.Query{Device: "d", Properties: []string{"n"}}.Behind(all[i].Time)
		h.expect(t, r, rest, all[i+1:]...)
	}
}

func textUnreadable(t testing.TB, h Harness) {
	r, _ := h.open(t)
	bad := []string{"2024-02-28", "2024-02-28T23:59", "2024-02-30T00:00:00Z", "2024-02-28T23:59:00+01:00", "2024-02-28T25:00:00Z",
		"2024-02-28 23:59:00Z", "yesterday", "1709164740", "2024-02-28T23:59:00Zulu"}
	for i, text := range bad {
		h.PutRaw(t, "d", text, field("n", num(strconv.Itoa(100+i))))
	}
	h.PutRaw(t, "d", "2024-02-28T23:59:00Z", field("n", num("1")))
	h.PutRaw(t, "d", "2024-02-28T23:59:01Z", field("n", num("2")))
	for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
		stats := new(hotreader.Stats)
		q := hotreader.Query{Device: "d", Properties: []string{"n"}, Order: order}
		want := []hotreader.Row{row(at(0), num("1")), row(at(time.Second), num("2"))}
		if order == hotreader.Descending {
			slices.Reverse(want)
		}
		rows, err := failure(hotreader.WithStats(t.Context(), stats), t, r, q)
		if err != nil {
			t.Fatalf("%s: %v", describe(q), err)
		}
		if msg := h.differ(rows, want); msg != "" {
			t.Errorf("%s: %s", describe(q), msg)
		}
		if n := stats.Skipped(); !h.NoStats && n != int64(len(bad)) {
			t.Errorf("%s: %d items are counted as skipped, want %d", describe(q), n, len(bad))
		}
	}
}
