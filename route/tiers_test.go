package route

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/store/memstore"
	"hotreader/store/storetest"
)

// splitting writes each record into the tiers that hold its instant.
type splitting struct {
	tiers []*memstore.Store
	holds func(tier int, t time.Time) bool
}

func (s splitting) Write(ctx context.Context, device string, records []hotreader.Record) error {
	for i, tier := range s.tiers {
		kept := slices.DeleteFunc(slices.Clone(records), func(r hotreader.Record) bool { return !s.holds(i, r.Time) })
		if err := tier.Write(ctx, device, kept); err != nil {
			return err
		}
		if err := hotreader.CheckRecords(device, records); err != nil { // also what this tier does not get
			return &hotreader.Error{Op: "write", Code: hotreader.CodeInvalid, Err: err}
		}
	}
	return nil
}

// threeTiers returns tiers whose reads of an upper tier are as short as they get.
func threeTiers(stores []*memstore.Store) hotreader.Source {
	src := Tiers(Tier{"hot storage", stores[0]}, Tier{"cold storage", stores[1]}, Tier{"archive", stores[2]}).(*twoTiers)
	short(src)
	short(src.lower.(*twoTiers))
	return src
}

func short(s *twoTiers) { s.short, s.long = 100, 300 }

func newTiers() []*memstore.Store {
	return []*memstore.Store{memstore.New(), memstore.New(), memstore.New()}
}

// Three tiers are one Source, wherever they are cut, and whatever part of them overlaps.
func TestTiersConform(t *testing.T) {
	base := time.Date(2024, time.February, 28, 23, 59, 0, 0, time.UTC) // where most of the suite's rows begin
	for name, cuts := range map[string][4]int{                         // hot from, cold from … to, archive to
		"all in archive": {2e9, 1e9, 1e9, 1e9},
		"thirds":         {120, 30, 119, 29},
		"overlaps":       {60, 3, 100, 90},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, storetest.Harness{OnlyWrites: true, New: func(testing.TB) (hotreader.Source, hotreader.Writer) {
				tiers := newTiers()
				return threeTiers(tiers), splitting{tiers, func(i int, at time.Time) bool {
					n := int(max(min(at.Sub(base).Seconds(), 1e9), -1e9))
					return [3]bool{n >= cuts[0], n >= cuts[1] && n <= cuts[2], n <= cuts[3]}[i]
				}}
			}})
		})
	}
}

// scattered fills three tiers with rows of any instants, several with the same one. It
// returns the store of what they are together.
func scattered(t *testing.T, r *rand.Rand, tiers []*memstore.Store) *memstore.Store {
	t.Helper()
	whole := memstore.New()
	for second := range 60 {
		if r.IntN(4) == 0 {
			continue
		}
		together := map[string]hotreader.Value{}
		for i := range tiers {
			if r.IntN(3) == 0 && (second+i)%3 > 0 {
				continue
			}
			record := hotreader.Record{Time: at(second)}
			for _, name := range []string{"p", "q"} {
				if r.IntN(3) == 0 {
					continue
				}
				v := hotreader.Int64Value(int64(r.IntN(9)))
				record.Fields = append(record.Fields, hotreader.Field{Name: name, Value: v})
				if _, there := together[name]; !there {
					together[name] = v
				}
			}
			if err := tiers[i].Write(t.Context(), "d", []hotreader.Record{record}); err != nil {
				t.Fatal(err)
			}
		}
		record := hotreader.Record{Time: at(second)}
		for name, v := range together {
			record.Fields = append(record.Fields, hotreader.Field{Name: name, Value: v})
		}
		if err := whole.Write(t.Context(), "d", []hotreader.Record{record}); err != nil {
			t.Fatal(err)
		}
	}
	return whole
}

// anyQuery is a query of each kind but for latest values without a filter.
func anyQuery(r *rand.Rand) hotreader.Query {
	q := hotreader.Query{Device: "d", Properties: []string{"p"}, Order: hotreader.Order(r.IntN(2))}
	if r.IntN(2) == 0 {
		q.Properties = append(q.Properties, "q")
	}
	if r.IntN(2) == 0 {
		q.Start = at(r.IntN(40) - 5)
		q.End = q.Start.Add(time.Duration(r.IntN(50)) * time.Second)
	}
	if r.IntN(2) == 0 {
		q.Filters = []hotreader.Filter{{Property: []string{"p", "q"}[r.IntN(2)], Op: hotreader.Greater, Value: hotreader.Int64Value(int64(r.IntN(5)))}}
	}
	switch r.IntN(4) {
	case 0:
		q.Limit = 1 + r.IntN(9)
	case 1:
		q.Pick = hotreader.Pick{Kind: hotreader.PickKind(1 + r.IntN(2)), Origin: at(r.IntN(20)), Every: time.Duration(1+r.IntN(15)) * time.Second}
	case 2:
		q.Last = len(q.Filters) > 0
	}
	return q
}

func told(rows []hotreader.Row) (text string) {
	for _, row := range rows {
		text += fmt.Sprintf("%d:%v ", row.Time.Unix()-at(0).Unix(), row.Values)
	}
	return text
}

// Whatever lies where, the answer is that of one store which holds, of each instant and
// property, the uppermost value.
func TestTiersAreOneHistory(t *testing.T) {
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 17))
		tiers := newTiers()
		whole, src := scattered(t, r, tiers), threeTiers(tiers)
		for range 40 {
			q := anyQuery(r)
			want, err := collect(t.Context(), whole, q)
			if err != nil {
				t.Fatal(err)
			}
			got, err := collect(t.Context(), src, q)
			if err != nil || told(got) != told(want) {
				t.Fatalf("seed %d, %+v:\n%s, %v; want\n%s", seed, q, told(got), err, told(want))
			}
		}
	}
}

// asked is a Source that keeps the queries which it gets.
type asked struct {
	hotreader.Source
	queries []hotreader.Query
}

func (a *asked) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		a.queries = append(a.queries, q)
		a.Source.Scan(ctx, q)(yield)
	}
}

// twoOf returns two tiers: a row a day in cold, days 0 to 90, with properties p and
// old, and in hot from day 60 on with p alone.
func twoOf(t *testing.T) (hot, cold *asked, src hotreader.Source) {
	t.Helper()
	stores := newTiers()
	for day := range 90 {
		records := []hotreader.Record{{Time: at(day * 86400), Fields: []hotreader.Field{{Name: "p", Value: hotreader.Int64Value(int64(day))}}}}
		if day >= 60 {
			if err := stores[0].Write(t.Context(), "d", records); err != nil {
				t.Fatal(err)
			}
		}
		if day < 62 {
			records[0].Fields = append(records[0].Fields, hotreader.Field{Name: "old", Value: hotreader.Int64Value(-1)})
			if err := stores[1].Write(t.Context(), "d", records); err != nil {
				t.Fatal(err)
			}
		}
	}
	hot, cold = &asked{Source: stores[0]}, &asked{Source: stores[1]}
	return hot, cold, Tiers(Tier{"hot storage", hot}, Tier{"cold storage", cold})
}

// Hints go to the lower tier where it alone holds rows, and to no other.
func TestTiersPassOnHints(t *testing.T) {
	filters := []hotreader.Filter{{Property: "p", Op: hotreader.GreaterEqual, Value: hotreader.Int64Value(0)}}
	for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
		hot, cold, src := twoOf(t)
		q := query()
		q.Filters, q.Order, q.Start, q.End = filters, order, at(0), at(90*86400)
		q.Pick = hotreader.Pick{Kind: hotreader.PickLast, Origin: at(0), Every: 240 * time.Hour}
		if rows, err := collect(t.Context(), src, q); len(rows) != 10 || err != nil {
			t.Errorf("%v: %d rows, %v; want 10", order, len(rows), err)
		}
		for _, asked := range hot.queries {
			if len(asked.Filters) > 0 || asked.Pick.Kind != hotreader.PickAll {
				t.Errorf("%v: hot storage is asked %+v", order, asked)
			}
		}
		hinted := 0
		for _, asked := range cold.queries {
			if asked.Pick.Kind != hotreader.PickAll && len(asked.Filters) == 1 {
				hinted++
				if asked.End.After(at(60 * 86400)) {
					t.Errorf("%v: cold storage is asked with hints up to %s", order, asked.End)
				}
			}
		}
		if hinted != 1 || len(cold.queries) != 2 {
			t.Errorf("%v: cold storage is asked %d times, %d with hints: %+v", order, len(cold.queries), hinted, cold.queries)
		}
	}
}

// Latest values ask cold storage only for what hot storage lacks, and not at all where
// the look-back ended there.
func TestTiersLatest(t *testing.T) {
	for _, c := range []struct {
		properties string
		lookBack   int
		cold       string // properties that it is asked for
		values     string
	}{
		{"p", 0, "", "89"},
		{"p old", 0, "old", "89 -1"},
		{"p old", 30, "", "89"}, // the look-back ends at hot storage's last row
		{"none", 0, "none", ""},
	} {
		_, cold, src := twoOf(t)
		q := query()
		q.Properties, q.Last, q.LookBack = strings.Fields(c.properties), true, c.lookBack
		stats := new(hotreader.Stats)
		rows, err := collect(hotreader.WithStats(t.Context(), stats), src, q)
		if err != nil {
			t.Fatal(err)
		}
		var values, asked []string
		for _, row := range rows {
			for _, v := range row.Values {
				if !v.IsNull() {
					values = append(values, string(v.Text()))
				}
			}
		}
		for _, q := range cold.queries {
			asked = append(asked, q.Properties...)
		}
		if strings.Join(values, " ") != c.values || strings.Join(asked, " ") != c.cold {
			t.Errorf("%s: %v, cold storage is asked for %v; want %+v", c.properties, values, asked, c)
		}
		ended := slices.ContainsFunc(stats.Warnings(), func(w hotreader.Warning) bool { return w.Reason == hotreader.LookBackEnded })
		if ended != (c.lookBack > 0) {
			t.Errorf("%s: %v", c.properties, stats.Warnings())
		}
	}
}

// Rows with long texts end the search for latest values before they fill the memory.
func TestTiersLatestIsBounded(t *testing.T) {
	came, long := 0, hotreader.StringValue(bytes.Repeat([]byte("x"), 400_000))
	hot := readerFunc(func(_ context.Context, _ hotreader.Query, yield func(hotreader.Row, error) bool) {
		for came < 1000 && yield(hotreader.Row{Time: at(-came), Values: []hotreader.Value{long, {}}}, nil) {
			came++
		}
	})
	cold := &asked{Source: memstore.New()}
	q, stats := query(), new(hotreader.Stats)
	q.Properties, q.Last = []string{"long", "none"}, true
	got, err := collect(hotreader.WithStats(t.Context(), stats), Tiers(Tier{"hot storage", hot}, Tier{"cold storage", cold}), q)
	warned := slices.ContainsFunc(stats.Warnings(), func(w hotreader.Warning) bool { return w.Reason == hotreader.LookBackEnded && w.Property == "none" })
	if err != nil || len(got) != 1 || came > 50 || len(cold.queries) > 0 || !warned {
		t.Errorf("%d rows, %v; %d were held, cold storage was asked %d times; %v", len(got), err, came, len(cold.queries), stats.Warnings())
	}
}

// A tier that fails is named, whichever it is, and the answer fails.
func TestTiersFail(t *testing.T) {
	for i, name := range []string{"hot storage", "cold storage", "archive"} {
		for _, last := range []bool{false, true} {
			tiers := []Tier{{"hot storage", memstore.New()}, {"cold storage", memstore.New()}, {"archive", memstore.New()}}
			tiers[i].Source = &rows{fail: func(int, int) error { return failure(hotreader.CodeForbidden) }}
			q := query()
			q.Last = last
			if _, err := collect(t.Context(), Tiers(tiers...), q); !errors.Is(err, hotreader.CodeForbidden) || err.Error() != name+": peer: broke" {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// A device or a property is unknown where both tiers say so.
func TestTiersWarn(t *testing.T) {
	warns := func(warnings ...hotreader.Warning) hotreader.Source {
		return readerFunc(func(ctx context.Context, q hotreader.Query, _ func(hotreader.Row, error) bool) {
			for _, w := range warnings {
				hotreader.StatsOf(ctx).Warn(w)
			}
		})
	}
	device := hotreader.Warning{Reason: hotreader.UnknownDevice}
	property := hotreader.Warning{Reason: hotreader.UnknownProperty, Property: "p"}
	broken := hotreader.Warning{Reason: hotreader.Unreadable, Count: 2}
	for _, c := range []struct{ hot, cold, want []hotreader.Warning }{
		{[]hotreader.Warning{device}, nil, nil},
		{nil, []hotreader.Warning{property}, nil},
		{[]hotreader.Warning{device, property}, []hotreader.Warning{device, property}, []hotreader.Warning{device, property}},
		{[]hotreader.Warning{broken}, []hotreader.Warning{device}, []hotreader.Warning{broken}},
	} {
		stats := new(hotreader.Stats)
		_, err := collect(hotreader.WithStats(t.Context(), stats), Tiers(Tier{"hot", warns(c.hot...)}, Tier{"cold", warns(c.cold...)}), query())
		if got := stats.Warnings(); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%v and %v: %v, %v; want %v", c.hot, c.cold, got, err, c.want)
		}
	}
}
