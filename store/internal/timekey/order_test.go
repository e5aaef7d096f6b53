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
	"hotreader/layout"
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
	codec := codecOf(format)
	o.Begin(hotreader.WithStats(context.Background(), stats), codec, &q, q.Columns(), func(r hotreader.Row, err error) bool {
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
			key := hotreader.Value{}
			switch text := page[from:digits:digits]; {
			case it.key == "":
			case codec.Kind == layout.NumberTime:
				key = hotreader.NumberValue(text)
			default:
				key = hotreader.StringValue(text)
			}
			if !o.Add(key, nil) {
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

func codecOf(format string) *Codec {
	return &NewCodecs(layout.Layout{TimeFormat: layout.Formats{format}})[0]
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
				got, stats := ordered(&o, q, layout.ISO8601, items, []int{a, b})
				if !slices.Equal(got, want) {
					t.Fatalf("%v in pages of %d, %d: %q, want %q", q.Order, a, b, got, want)
				}
				if n := stats.Skipped(); n != 4 {
					t.Errorf("%d items and values were counted as left out, want 2 unreadable and 2 replaced", n)
				}
			}
		}

	}
}

// Pitfall 10: two items of the very same key, which some stores allow, are one
// row, the same in both directions.
func TestPitfall10EqualKeysAreOneRow(t *testing.T) {
	var o Order
	for format, key := range map[string]string{layout.ISO8601: "2024-01-01T00:00:01Z", layout.EpochSecs: "1704067201", layout.EpochMillis: "1704067201000"} {
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
		format := rapid.SampledFrom([]string{layout.ISO8601, layout.EpochMillis, layout.EpochSecs}).Draw(t, "format")
		byTime := map[time.Time]item{}
		var items []item
		for i := range rapid.IntRange(0, 30).Draw(t, "items") {
			at := time.Unix(1704067200+rapid.Int64Range(0, 3).Draw(t, "second"), rapid.SampledFrom([]int64{0, 1, 5e8, 123456000, 999999999}).Draw(t, "nanos")).UTC()
			it := item{string(codecOf(format).Append(nil, at, "")), i}
			if format == layout.ISO8601 && rapid.Bool().Draw(t, "wide") {
				it.key = strings.TrimSuffix(at.Format("2006-01-02T15:04:05.000000000Z"), "Z") + rapid.SampledFrom([]string{"Z", "+00:00", ""}).Draw(t, "zone")
			}
			if slices.ContainsFunc(items, func(other item) bool { return other.key == it.key }) {
				continue
			}
			items = append(items, it)
			if there, ok := byTime[at]; !ok || compareRanks([]byte(it.key), []byte(there.key)) > 0 {
				byTime[at] = it
			}
		}
		slices.SortFunc(items, func(a, b item) int { return compareRanks([]byte(a.key), []byte(b.key)) })
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
		keys[i] = codecOf(layout.ISO8601).Append(nil, time.Unix(int64(i/3), int64(i%3)*1e8), "")
	}
	digits := []byte("1")
	yield := func(hotreader.Row, error) bool { return true }
	var o Order
	codec := codecOf(layout.ISO8601)
	if n := testing.AllocsPerRun(10, func() {
		o.Begin(t.Context(), codec, &query, query.Properties, yield)
		for _, key := range keys {
			o.Slot()[0] = hotreader.NumberValue(digits)
			o.Add(hotreader.StringValue(key), nil)
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
		o.Begin(t.Context(), codecOf(layout.ISO8601), &q, q.Columns(), func(_ hotreader.Row, err error) bool {
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
			if !o.Add(hotreader.StringValue(codecOf(layout.ISO8601).Append(nil, at.Add(time.Duration(i)), "")), nil) {
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

// After each page Rest asks for all that was not passed on, from the beginning
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
			want, _ := ordered(new(Order), q, layout.ISO8601, stored, nil)
			var got []string
			var o Order
			pass := func(r hotreader.Row, err error) bool {
				got = append(got, fmt.Sprintf("%s %s", r.Time.Format("05.999999999"), r.Values[0]))
				return err == nil
			}
			o.Begin(t.Context(), codecOf(layout.ISO8601), &q, q.Properties, pass)
			times := 0
			for _, it := range stored[:size] {
				if it.key != "yesterday" {
					times++
				}
				o.Slot()[0] = hotreader.NumberValue(fmt.Append(nil, it.n))
				o.Add(hotreader.StringValue([]byte(it.key)), nil)
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
			second.Begin(t.Context(), codecOf(layout.ISO8601), &rest, rest.Properties, pass)
			for _, it := range stored {
				second.Slot()[0] = hotreader.NumberValue(fmt.Append(nil, it.n))
				second.Add(hotreader.StringValue([]byte(it.key)), nil)
			}
			second.Pass()
			if !slices.Equal(got, want) {
				t.Errorf("%v %d items: %q, want %q", order, size, got, want)
			}
		}
	}
}

// Items of one instant are one row. Property by property the one written last wins;
// where that is unknown, the rest is asked for again, with ranks.
func TestOneRowAnInstant(t *testing.T) {
	type stored struct {
		key, rank string
		a, b      string // "" = it has none
	}
	for name, c := range map[string]struct {
		items    []stored
		want     string
		replaced int64
		conflict bool // without ranks
	}{
		"two properties":         {[]stored{{"00:00:01Z", "1", "1", ""}, {"00:00:01.000Z", "2", "", "2"}}, "01 1 2", 0, false},
		"the later one":          {[]stored{{"00:00:01Z", "2", "1", ""}, {"00:00:01Z", "1", "3", "2"}}, "01 1 2", 1, true},
		"the same value":         {[]stored{{"00:00:01Z", "1", "1", ""}, {"00:00:01Z", "2", "1.0", ""}}, "01 1.0 null", 0, false},
		"ranks are numbers":      {[]stored{{"00:00:01Z", "9", "1", ""}, {"00:00:01Z", "10", "2", ""}}, "01 2 null", 1, true},
		"three":                  {[]stored{{"00:00:01Z", "1", "1", "1"}, {"00:00:01Z", "2", "2", ""}, {"00:00:01Z", "3", "", "3"}}, "01 2 3", 2, true},
		"not within the range":   {[]stored{{"00:00:09Z", "1", "1", ""}, {"00:00:09Z", "2", "2", ""}}, "", 0, false},
		"other instants between": {[]stored{{"00:00:01.5Z", "1", "5", ""}, {"00:00:01Z", "1", "1", ""}, {"00:00:01.50Z", "2", "", "6"}}, "01 1 null; 01.5 5 6", 0, false},
	} {
		for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
			for _, ranked := range []bool{true, false} {
				q := hotreader.Query{Device: "d", Properties: []string{"a", "b"}, Order: order, End: time.Date(2024, 1, 1, 0, 0, 5, 0, time.UTC)}
				items, stats := slices.Clone(c.items), new(hotreader.Stats)
				if order == hotreader.Descending {
					slices.Reverse(items)
				}
				var got []string
				var o Order
				o.Begin(hotreader.WithStats(t.Context(), stats), codecOf(layout.ISO8601), &q, q.Columns(), func(r hotreader.Row, _ error) bool {
					got = append(got, fmt.Sprintf("%s %v %v", r.Time.Format("05.9"), r.Values[0], r.Values[1]))
					return true
				})
				add := func() {
					for _, it := range items {
						for i, text := range []string{it.a, it.b} {
							o.Slot()[i] = hotreader.Value{}
							if text != "" {
								o.Slot()[i] = hotreader.NumberValue([]byte(text))
							}
						}
						o.Add(hotreader.StringValue([]byte("2024-01-01T"+it.key)), []byte(it.rank))
					}
					o.Pass()
				}
				if !ranked {
					o.Unranked()
				}
				if add(); o.Conflict() != (c.conflict && !ranked) {
					t.Errorf("%s, %v: conflict %v", name, order, o.Conflict())
				}
				if o.Conflict() {
					if rest, ok := o.Waiting(); !ok || !rest.Contains(time.Date(2024, 1, 1, 0, 0, 1, 0, time.UTC)) || len(got) > 0 {
						t.Errorf("%s, %v: waiting for %v to %v, %v", name, order, rest.Start, rest.End, got)
					}
					o.Again()
					add()
				}
				o.Release(1 << 20)
				if order == hotreader.Descending {
					slices.Reverse(got)
				}
				if text := strings.Join(got, "; "); stats.Skipped() != c.replaced || text != c.want && (ranked || c.conflict) {
					t.Errorf("%s, %v, ranked %v: %s, %d replaced; want %s, %d", name, order, ranked, text, stats.Skipped(), c.want, c.replaced)
				}
			}
		}
	}
}

// A store whose items are in no order is not believed: rows would come twice, or be lost.
func TestItemsInNoOrderAreAnError(t *testing.T) {
	for _, c := range []struct {
		order   hotreader.Order
		seconds []string
		want    string
	}{
		{hotreader.Ascending, []string{"05", "03", "09", "01"}, "00:00:03Z came after 2024-01-01T00:00:05Z"},
		{hotreader.Descending, []string{"05", "03", "09", "01"}, "00:00:09Z came after 2024-01-01T00:00:03Z"},
		{hotreader.Ascending, []string{"00", "59", "00"}, "00:00:00Z came after 2024-01-01T00:00:59Z"}, // which is beyond the range
	} {
		q := query
		q.Order = c.order
		var o Order
		var failed error
		o.Begin(t.Context(), codecOf(layout.ISO8601), &q, q.Columns(), func(_ hotreader.Row, err error) bool {
			failed = err
			return err == nil
		})
		if c.seconds[1] == "59" {
			q.End = time.Date(2024, 1, 1, 0, 0, 30, 0, time.UTC)
		}
		for _, second := range c.seconds {
			o.Slot()[0] = hotreader.BoolValue(true)
			if !o.Add(hotreader.StringValue([]byte("2024-01-01T00:00:"+second+"Z")), nil) {
				break
			}
		}
		if hotreader.CodeOf(failed) != hotreader.CodeProtocol || !strings.Contains(failed.Error(), c.want) || !o.Stopped() {
			t.Errorf("%s: %v", c.order, failed)
		}
	}
}
