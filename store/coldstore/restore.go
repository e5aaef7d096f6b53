package coldstore

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"hotreader"
	"hotreader/internal/cost"
)

// State says whether an object can be read.
type State string

// The states. On Azure, what is ongoing is being rehydrated, and what was restored stays
// online.
const (
	Archived State = "archived" // it must be restored first
	Ongoing  State = "ongoing"  // a restore of it goes on
	Restored State = "restored" // a copy of it can be read, until it expires
	Expired  State = "expired"  // the copy has expired: it must be restored again
	Online   State = "online"   // it can be read
)

// State returns the object's state.
func (o *Object) State() State {
	switch {
	case o.Asked:
		return Ongoing
	case o.Archive != "" && !o.Until.IsZero():
		return Expired
	case o.Archive != "":
		return Archived
	case !o.Until.IsZero():
		return Restored
	}
	return Online
}

// A Restorer asks a cloud to make archived objects readable, which costs money. Nothing
// that answers queries has one.
type Restorer interface {
	// Restore asks for an object, by one of the tiers of its class, and for a copy of it
	// that is kept for so many days, where the cloud makes copies. That a restore of it
	// goes on, or that it can be read by now, is no error. That it is gone is Changed.
	Restore(ctx context.Context, o *Object, tier string, days int) error
}

// Objects returns the objects that may hold rows of a query, judged by their keys.
func (s *Store) Objects(ctx context.Context, q hotreader.Query) (all []Object, err error) {
	r := &scan{store: s, ctx: ctx, query: q.Closed(time.Now()), stats: hotreader.StatsOf(ctx)}
	defer r.release()
	parts, err := r.list()
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	for _, p := range parts {
		all = append(all, *p.object)
	}
	return all, nil
}

// notRestored returns the error of parts that must be restored first.
func (s *scan) notRestored(parts []part) error {
	n, figures := NotRestored{}, cost.Figures(nil)
	for _, p := range parts {
		o := p.object
		if o.Archive == "" {
			continue
		}
		if figures == nil {
			figures = cost.Listed()
		}
		if n.Objects == 0 {
			n.From, n.To = p.from, p.to
		}
		n.Objects, n.Bytes = n.Objects+1, min(n.Bytes, math.MaxInt64-o.Size)+o.Size
		if p.from.Before(n.From) {
			n.From = p.from
		}
		if p.to.IsZero() || !n.To.IsZero() && p.to.After(n.To) {
			n.To = p.to
		}
		if !slices.Contains(n.Classes, o.Archive) {
			n.Classes = append(n.Classes, o.Archive)
		}
		r := figures.Restore(cost.Archived(o.Archive), cost.Standard, 1, o.Size, cost.Days)
		if n.Hours = max(n.Hours, r.Hours); !o.Asked {
			n.Left, n.USD = n.Left+1, n.USD+r.USD
		}
	}
	if n.Objects == 0 {
		return nil
	}
	return &hotreader.Error{Op: "cold storage", Code: hotreader.CodeNotRestored, Err: &n}
}

// NotRestored says what must be restored before a query can be answered.
type NotRestored struct {
	Objects, Bytes int64
	From, To       time.Time // of their rows, by their keys; zero = unknown
	Classes        []string  // storage classes
	Left           int64     // of the objects, those without a restore request
	cost.Restore             // of those, by the tier cost.Standard
}

func (n *NotRestored) Error() string {
	text := fmt.Sprintf("%d objects of %s lie", n.Objects, size(n.Bytes))
	if n.Objects == 1 {
		text = fmt.Sprintf("1 object of %s lies", size(n.Bytes))
	}
	text += " in archive storage (" + strings.Join(n.Classes, ", ") + ")"
	if !n.From.IsZero() && !n.To.IsZero() {
		text += fmt.Sprintf(", from %s to %s", n.From.UTC().Format(time.RFC3339), n.To.UTC().Format(time.RFC3339))
	}
	switch n.Left {
	case 0:
		return fmt.Sprintf("%s; all are being restored, which takes up to %s; ask again later", text, n.Wait())
	case n.Objects:
	default:
		text += fmt.Sprintf("; being restored: %d, not yet: %d", n.Objects-n.Left, n.Left)
	}
	return fmt.Sprintf("%s; a restore costs about %.2f USD (list prices of %s) and takes up to %s; ask for it with hotreader restore: a query never does", text, max(n.USD, 0.01), cost.Date, n.Wait())
}
