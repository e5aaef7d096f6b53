package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"hotreader"
	"hotreader/cmd/hotreader/internal/chart"
)

// fewer are the flags that ask for fewer rows.
type fewer struct {
	points      int
	pick, every string
}

const fewerText = `With --points N about N rows come: of each of N/4 equal intervals from --start to
--end, or now, the first, lowest, highest and last row of each property, as they
are stored. A line through them is the line through all. --pick and --every choose
rows of intervals since 1970 instead. The rows are picked where they lie, so that
few are sent between clouds.`

func (f *fewer) flags(cmd *cobra.Command) {
	cmd.Flags().IntVar(&f.points, "points", 0, "about this many `rows`, that draw the same line as all (default all)")
	cmd.Flags().StringVar(&f.pick, "pick", "", "`rows` of each interval: m4 (first, lowest, highest, last) or last; with --every")
	cmd.Flags().StringVar(&f.every, "every", "", "the `length` of an interval, as 60s, 1h or 7d; with --pick")
	words(cmd, "pick", hotreader.PickM4.String(), hotreader.PickLast.String())
}

// apply makes the flags part of q.
func (f *fewer) apply(q *hotreader.Query, cmd *cobra.Command, now time.Time) error {
	switch given := cmd.Flags().Changed; {
	case given("points") && (given("pick") || given("every")):
		return usagef("query: --points makes its own intervals; give either --points, or --pick and --every")
	case given("pick") != given("every"):
		return usagef("query: --pick and --every go together, as --pick last --every 60s")
	case given("pick"):
		return f.grid(q)
	case !given("points"):
		return nil
	case f.points < hotreader.MinPoints || f.points > hotreader.MaxPoints:
		return usagef("query: --points %d does not fit; expected a whole number from %d to %d", f.points, hotreader.MinPoints, hotreader.MaxPoints)
	case q.Start.IsZero():
		return usagef("query: --points needs --start, as --start -24h")
	}
	if q.End.IsZero() {
		q.End = now
	}
	q.Pick = hotreader.Points(q.Start, q.End, f.points)
	return nil
}

func (f *fewer) grid(q *hotreader.Query) error {
	kind, known := hotreader.ParsePickKind(f.pick)
	if !known {
		return usagef("query: --pick %s is unknown; there are m4 and last", f.pick)
	}
	every, err := parseSpan(f.every)
	if err != nil {
		return usagef("query: --every: %v", err)
	}
	q.Pick = hotreader.Pick{Kind: kind, Origin: time.Unix(0, 0).UTC(), Every: every}
	return nil
}

// pickFor returns the rows of q that c needs: of a history as a whole those that make
// the drawing. Where it begins and ends costs two reads of a row.
func pickFor(ctx context.Context, c *chart.Chart, reader hotreader.Reader, q hotreader.Query) (hotreader.Pick, error) {
	if q.Pick.Kind != hotreader.PickAll || q.Limit > 0 || len(q.Filters) > 0 {
		return q.Pick, nil
	}
	ctx = hotreader.WithStats(ctx, new(hotreader.Stats)) // the answer's own read warns
	q.Limit = 1
	var ends [2]time.Time
	for _, q.Order = range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
		for row, err := range reader.Read(ctx, q) {
			if err != nil {
				return hotreader.Pick{}, err
			}
			ends[q.Order] = row.Time
		}
	}
	if ends[0].IsZero() || ends[1].IsZero() {
		return hotreader.Pick{}, nil
	}
	return c.Pick(ends[0], ends[1]), nil
}
