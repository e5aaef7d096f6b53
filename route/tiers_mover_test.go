package route

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"hotreader"
)

// shelves are three tiers of one device, a row a second. They are read as a service is:
// page by page, each as the tier is at that moment.
type shelves struct {
	tiers [3]map[int]bool
	seen  func() // before each page
}

func (s *shelves) Scan(ctx context.Context, tier int, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	const page = 2
	return func(yield func(hotreader.Row, error) bool) {
		for more := true; more; {
			s.seen()
			var seconds []int
			for second := range s.tiers[tier] {
				if q.Contains(at(second)) {
					seconds = append(seconds, second)
				}
			}
			slices.Sort(seconds)
			if q.Backward() {
				slices.Reverse(seconds)
			}
			for _, second := range seconds[:min(page, len(seconds))] {
				values := make([]hotreader.Value, len(q.Columns()))
				for i, name := range q.Columns() {
					if name == "p" || name == "rare" && second == 3 {
						values[i] = hotreader.Int64Value(int64(second))
					}
				}
				if !yield(hotreader.Row{Time: at(second), Values: values}, nil) {
					return
				}
			}
			if more = len(seconds) > page; more {
				q, more = q.Behind(at(seconds[page-1]))
			}
		}
	}
}

// steps are what a mover does: for each batch it copies the rows, then deletes them one
// by one, first from hot to cold storage, then on to the archive.
func (s *shelves) steps() (steps []func()) {
	for _, move := range []struct{ from, first, last int }{{0, 0, 3}, {0, 4, 5}, {1, 0, 2}, {0, 6, 8}} {
		upper, lower := s.tiers[move.from], s.tiers[move.from+1]
		steps = append(steps, func() {
			for second := move.first; second <= move.last; second++ {
				lower[second] = true
			}
		})
		for second := move.first; second <= move.last; second++ {
			steps = append(steps, func() { delete(upper, second) })
		}
	}
	return steps
}

// A mover stops after any of its steps, and does any number of steps at any point of a
// read: each time all rows come, each once.
func TestTiersWhileAMoverRuns(t *testing.T) {
	const rows = 12
	kept := hotreader.Filter{Property: "p", Op: hotreader.GreaterEqual, Value: hotreader.Int64Value(0)}
	for name, q := range map[string]hotreader.Query{
		"ascending":  {},
		"descending": {Order: hotreader.Descending},
		"filtered":   {Filters: []hotreader.Filter{kept}, Start: at(0), End: at(rows)},
		"picked":     {Pick: hotreader.Pick{Kind: hotreader.PickM4, Origin: at(0), Every: time.Second}},
		"latest":     {Last: true, Properties: []string{"p", "rare"}},
	} {
		q.Device = "d"
		if q.Properties == nil {
			q.Properties = []string{"p"}
		}
		want := ""
		for i := range rows {
			second := i
			if q.Backward() {
				second = rows - 1 - i
			}
			switch {
			case !q.Last:
				want += fmt.Sprintf("%d:[%d] ", second, second)
			case second == rows-1:
				want += fmt.Sprintf("%d:[%d null] ", second, second)
			case second == 3:
				want += "3:[null 3] "
			}
		}
		t.Run(name, func(t *testing.T) { moved(t, rows, q, want) })
	}
}

func moved(t *testing.T, rows int, q hotreader.Query, want string) {
	reads := 0
	total := len((&shelves{}).steps())
	for before := range total + 1 { // steps done before the read
		for at := 0; ; at++ { // the page at which it goes on
			pages := 0
			for during := range total - before + 1 {
				for _, each := range []bool{false, true} { // all at that page, or one a page
					s := &shelves{tiers: [3]map[int]bool{{}, {}, {}}}
					for second := range rows {
						s.tiers[0][second] = true
					}
					steps := s.steps()
					for _, step := range steps[:before] {
						step()
					}
					steps = steps[before : before+during]
					pages = 0
					s.seen = func() {
						for pages >= at && len(steps) > 0 {
							steps[0]()
							if steps = steps[1:]; each {
								break
							}
						}
						pages++
					}
					var tiers []Tier
					for i, name := range []string{"hot", "cold", "archive"} {
						tiers = append(tiers, Tier{name, readerFunc(func(ctx context.Context, q hotreader.Query, yield func(hotreader.Row, error) bool) {
							s.Scan(ctx, i, q)(yield)
						})})
					}
					src := Tiers(tiers...).(*twoTiers)
					short(src)
					short(src.lower.(*twoTiers))
					got, err := collect(t.Context(), src, q)
					if reads++; err != nil || told(got) != want {
						t.Fatalf("%d steps before, %d at page %d (one a page: %v): %s, %v; want\n%s", before, during, at, each, told(got), err, want)
					}
				}
			}
			if at > pages {
				break
			}
		}
	}
	if !strings.Contains(want, "11:") || reads < 1000 {
		t.Errorf("%d reads", reads)
	}
}
