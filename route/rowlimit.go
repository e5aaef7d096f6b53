package route

import (
	"context"
	"fmt"
	"iter"
	"math"
	"time"

	"hotreader"
)

// RowLimit bounds how many stored rows a read may look at.
type RowLimit struct {
	Rows    int     // 0 = any number
	Store   string  // whose price it is, as "DynamoDB"; "" = reading costs nothing
	Million float64 // USD for a million rows, by the list price
	Date    string  // of that price
}

// Within returns a Source whose reads end with an error of CodeTooLarge at the row
// after the limit. The error says how many rows the range has and what they cost, as
// far as its first rows show.
func (l RowLimit) Within(src hotreader.Source) hotreader.Source {
	if l.Rows <= 0 {
		return src
	}
	return limited{src, l}
}

type limited struct {
	source hotreader.Source
	limit  RowLimit
}

// Scan implements hotreader.Source.
func (s limited) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		a, shared := ctx.Value(allowanceKey{}).(*allowance)
		if !shared {
			a = &allowance{query: &q}
		}
		s.source.Scan(ctx, q)(func(row hotreader.Row, err error) bool {
			if err == nil && a.looked == s.limit.Rows {
				err = s.limit.exceeded(a.query, row.Time)
			}
			a.looked++
			return yield(row, err) && err == nil
		})
	}
}

// allowance is what the scans of one query have looked at: however it is cut, it has the
// limit's rows once.
type allowance struct {
	query  *hotreader.Query
	looked int
}

type allowanceKey struct{}

// withAllowance has the scans that follow, one at a time, count together.
func withAllowance(ctx context.Context, a *allowance) context.Context {
	return context.WithValue(ctx, allowanceKey{}, a)
}

// exceeded is the error of a read of q that has come to the time at.
func (l RowLimit) exceeded(q *hotreader.Query, at time.Time) error {
	text := fmt.Sprintf("the query looks at more than %d stored rows", l.Rows)
	rows := float64(l.Rows)
	covered, all := at.Sub(q.Start), q.End.Sub(q.Start)
	if q.Backward() {
		covered = q.End.Sub(at)
	}
	if !q.Start.IsZero() && !q.End.IsZero() && covered > 0 && all > covered {
		rows *= float64(all) / float64(covered)
		digits := math.Pow(10, math.Floor(math.Log10(rows))-1)
		rows = math.Round(rows/digits) * digits
		text += fmt.Sprintf("; its range has about %.0f", rows)
	}
	if l.Store != "" {
		text += fmt.Sprintf(", which cost %.2g USD in %s (list price of %s)", rows/1e6*l.Million, l.Store, l.Date)
	}
	return &hotreader.Error{Op: "read", Code: hotreader.CodeTooLarge,
		Err: fmt.Errorf("%s; ask for a shorter range, or raise HOTREADER_MAX_ROWS", text)}
}
