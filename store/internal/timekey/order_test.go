package timekey

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hotreader"
)

// item is a stored row: its key, and the number that is its only value.
type item struct {
	key string
	n   int
}

// ordered passes items, in the store's order, through an Order, pages of the
// given sizes each in a buffer that is overwritten once the page is done.
func ordered(o *Order, q hotreader.Query, format string, items []item, pages []int) ([]string, *hotreader.Stats) {
	stats := new(hotreader.Stats)
	var got []string
	o.Begin(hotreader.WithStats(context.Background(), stats), format, &q, q.Columns(), func(r hotreader.Row, err error) bool {
		got = append(got, fmt.Sprintf("%s %s", r.Time.Format("05.999999999"), r.Values[0]))
		return err == nil
	})
	defer o.Release(1 << 20)
	for _, size := range append(pages, len(items)) {
		size = min(size, len(items))
		var page []byte
		for _, it := range items[:size] {
			from := len(page)
			page = append(page, it.key...)
			digits := len(page)
			page = fmt.Append(page, it.n)
			o.Slot()[0] = hotreader.NumberValue(page[digits:len(page):len(page)])
			key := page[from:digits:digits]
			if it.key == "" {
				key = nil
			}
			if !o.Add(key) {
				return got, stats
			}
		}
		o.Keep()
		for i := range page {
			page[i] = '!'
		}
		items = items[size:]
	}
	o.Pass()
	return got, stats
}

var query = hotreader.Query{Device: "d", Properties: []string{"n"}}

func TestPitfall03OrderIsThatOfInstants(t *testing.T) {
	items := []item{ // as text sorts
		{"2024-01-01T00:00:00", 0},
		{"2024-01-01T00:00:01+00:00", 10},
		{"2024-01-01T00:00:01.000Z", 11},
		{"2024-01-01T00:00:01.123456Z", 14},
		{"2024-01-01T00:00:01.12Z", 13},
		{"2024-01-01T00:00:01Z", 12},
		{"yesterday", -1},
		{"", -2},
		{"2024-01-01T00:00:02.25Z", 22},
		{"2024-01-01T00:00:02.2Z", 21},
	}
	want := []string{"00 0", "01 12", "01.12 13", "01.123456 14", "02.2 21", "02.25 22"}
	var o Order
	for _, descending := range []bool{false, true} {
		items, want, q := slices.Clone(items), slices.Clone(want), query
		if descending {
			slices.Reverse(items)
			slices.Reverse(want)
			q.Order = hotreader.Descending
		}
		for a := range len(items) + 1 {
			for b := range len(items) + 1 - a {
				got, stats := ordered(&o, q, ISO8601, items, []int{a, b})
				if !slices.Equal(got, want) {
					t.Fatalf("%v in pages of %d, %d: %q, want %q", q.Order, a, b, got, want)
				}
				if n := stats.Skipped(); n != 2 {
					t.Errorf("%d items were counted as skipped, want 2", n)
				}
			}
		}

	}
}

// Pitfall 10: two items of the very same key, which some stores allow, are one
// row, the same in both directions.
func TestPitfall10EqualKeysAreOneRow(t *testing.T) {
	var o Order
	for format, key := range map[string]string{ISO8601: "2024-01-01T00:00:01Z", EpochSecs: "1704067201", EpochMillis: "1704067201000"} {
		items := []item{{key, 1}, {key, 2}, {key, 3}}
		if got, _ := ordered(&o, query, format, items, []int{1, 1}); !slices.Equal(got, []string{"01 3"}) {
			t.Errorf("%s ascending: %q", format, got)
		}
		slices.Reverse(items)
		q := query
		q.Order = hotreader.Descending
		if got, _ := ordered(&o, q, format, items, []int{1, 1}); !slices.Equal(got, []string{"01 3"}) {
			t.Errorf("%s descending: %q", format, got)
		}
	}
}

func TestOrderOfAnyItemsInAnyPages(t *testing.T) {
	var o Order
	rapid.Check(t, func(t *rapid.T) {
		format := rapid.SampledFrom([]string{ISO8601, EpochMillis, EpochSecs}).Draw(t, "format")
		byTime := map[time.Time]item{}
		var items []item
		for i := range rapid.IntRange(0, 30).Draw(t, "items") {
			at := time.Unix(1704067200+rapid.Int64Range(0, 3).Draw(t, "second"), rapid.SampledFrom([]int64{0, 1, 5e8, 123456000, 999999999}).Draw(t, "nanos")).UTC()
			it := item{string(Append(nil, format, at)), i}
			if format == ISO8601 && rapid.Bool().Draw(t, "wide") {
				it.key = strings.TrimSuffix(at.Format("2006-01-02T15:04:05.000000000Z"), "Z") + rapid.SampledFrom([]string{"Z", "+00:00", ""}).Draw(t, "zone")
			}
			if slices.ContainsFunc(items, func(other item) bool { return other.key == it.key }) {
				continue
			}
			items = append(items, it)
			if there, ok := byTime[at]; !ok || Compare(format, []byte(it.key), []byte(there.key)) > 0 {
				byTime[at] = it
			}
		}
		slices.SortFunc(items, func(a, b item) int { return Compare(format, []byte(a.key), []byte(b.key)) })
		var want []string
		times := make([]time.Time, 0, len(byTime))
		for at := range byTime {
			times = append(times, at)
		}
		slices.SortFunc(times, time.Time.Compare)
		for _, at := range times {
			want = append(want, fmt.Sprintf("%s %d", at.Format("05.999999999"), byTime[at].n))
		}
		q := query
		if rapid.Bool().Draw(t, "descending") {
			q.Order = hotreader.Descending
			slices.Reverse(items)
			slices.Reverse(want)
		}
		got, _ := ordered(&o, q, format, items, rapid.SliceOfN(rapid.IntRange(0, 6), 0, 6).Draw(t, "pages"))
		if !slices.Equal(got, want) {
			t.Fatalf("got %q\nwant %q", got, want)
		}
	})
}

func TestOrderDoesNotAllocate(t *testing.T) {
	keys := make([][]byte, 1000)
	for i := range keys {
		keys[i] = Append(nil, ISO8601, time.Unix(int64(i/3), int64(i%3)*1e8))
	}
	digits := []byte("1")
	yield := func(hotreader.Row, error) bool { return true }
	var o Order
	if n := testing.AllocsPerRun(10, func() {
		o.Begin(t.Context(), ISO8601, &query, query.Properties, yield)
		for _, key := range keys {
			o.Slot()[0] = hotreader.NumberValue(digits)
			o.Add(key)
		}
		o.Keep()
		o.Pass()
	}); n > 2 {
		t.Errorf("%v allocations for 1000 rows", n)
	}
}

// A device may have written any number of rows into one second, over any number
// of pages. They are held, but not without bound.
func TestOrderHoldsNoMoreThanItsBound(t *testing.T) {
	q := query
	for i := range hotreader.MaxProperties - 1 {
		q.Properties = append(slices.Clip(q.Properties), fmt.Sprint(i))
	}
	for name, text := range map[string]string{"many": "1", "large": strings.Repeat("1", 100_000)} {
		var failed error
		rows := 0
		var o Order
		o.Begin(t.Context(), ISO8601, &q, q.Columns(), func(_ hotreader.Row, err error) bool {
			if failed != nil {
				t.Errorf("%s: something follows the error", name)
			}
			if failed = err; err == nil {
				rows++
			}
			return true
		})
		at := time.Unix(1704067200, 0)
		bytes := 0
		for i := range 2 * maxHeldValues / len(q.Properties) {
			o.Slot()[0] = hotreader.NumberValue([]byte(text))
			if !o.Add(Append(nil, ISO8601, at.Add(time.Duration(i)))) {
				break
			}
			if o.Keep(); cap(o.arena) > 4*maxHeldBytes {
				break
			}
			bytes += len(text)
		}
		if hotreader.CodeOf(failed) != hotreader.CodeTooLarge || rows > 0 {
			t.Errorf("%s: after %d bytes %v and %d rows, want too_large and none", name, bytes, failed, rows)
		}
	}
}

// Behind each page Rest asks for all that was not passed on, from the beginning
// of the second that is held: read so, the answer is whole, whatever the order.
func TestRestOfAPage(t *testing.T) {
	items := []item{
		{"2024-01-01T00:00:00Z", 0},
		{"2024-01-01T00:00:01.5Z", 2},
		{"2024-01-01T00:00:01Z", 1},
		{"2024-01-01T00:00:02Z", 3},
		{"2024-01-01T00:00:09.25Z", 4},
		{"yesterday", -1},
	}
	for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
		for size := 1; size < len(items); size++ {
			q, stored := query, slices.Clone(items)
			if q.Order = order; order == hotreader.Descending {
				slices.Reverse(stored)
			}
			want, _ := ordered(new(Order), q, ISO8601, stored, nil)
			var got []string
			var o Order
			pass := func(r hotreader.Row, err error) bool {
				got = append(got, fmt.Sprintf("%s %s", r.Time.Format("05.999999999"), r.Values[0]))
				return err == nil
			}
			o.Begin(t.Context(), ISO8601, &q, q.Properties, pass)
			times := 0
			for _, it := range stored[:size] {
				if it.key != "yesterday" {
					times++
				}
				o.Slot()[0] = hotreader.NumberValue(fmt.Append(nil, it.n))
				o.Add([]byte(it.key))
			}
			o.Keep()
			rest, span, ok := o.Rest()
			if ok != (times > 0) {
				t.Fatalf("%v %d items: rest %v", order, size, ok)
			}
			if !ok {
				continue
			}
			if times == 1 && span != 0 || span < 0 || span > 10*time.Second {
				t.Errorf("%v %d items cover %s", order, size, span)
			}
			if _, _, again := o.Rest(); again {
				t.Errorf("%v %d items: a page without rows has a rest", order, size)
			}
			var second Order
			second.Begin(t.Context(), ISO8601, &rest, rest.Properties, pass)
			for _, it := range stored {
				second.Slot()[0] = hotreader.NumberValue(fmt.Append(nil, it.n))
				second.Add([]byte(it.key))
			}
			second.Pass()
			if !slices.Equal(got, want) {
				t.Errorf("%v %d items: %q, want %q", order, size, got, want)
			}
		}
	}
}
