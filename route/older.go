package route

import (
	"context"
	"fmt"
	"iter"
	"time"

	"hotreader"
)

// WarnOlder returns a Source of src's rows that warns the caller of a range that begins
// before the days that hot storage keeps: older rows may have been moved to where they
// are not read. days = 0: it is not known how many it keeps, and src is returned.
func WarnOlder(src hotreader.Source, days int) hotreader.Source {
	if days <= 0 {
		return src
	}
	return warnOlder{src, days}
}

type warnOlder struct {
	hotreader.Source
	days int
}

// Scan implements hotreader.Source.
func (s warnOlder) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		if kept := time.Now().AddDate(0, 0, -s.days); !q.Last && q.Start.Before(kept) {
			hotreader.StatsOf(ctx).Warn(hotreader.Warning{Reason: hotreader.OlderNotRead,
				Detail: fmt.Sprintf("hot storage may not have what is older than %d days (hot_storage_size_in_days), and cold storage is not configured", s.days)})
		}
		s.Source.Scan(ctx, q)(yield)
	}
}
