// Package restorer restores archived objects: it plans, asks, and looks how far that is.
package restorer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"hotreader"
	"hotreader/internal/cost"
	"hotreader/store/coldstore"
)

// A Job is what is to be restored.
type Job struct {
	Archives   []Archive
	Devices    []string
	Start, End time.Time // of the rows; zero = open
	Tier       string
	Days       int // that copies are kept
	Prices     cost.Figures
}

// An Archive is where objects lie.
type Archive interface {
	Objects(context.Context, hotreader.Query) ([]coldstore.Object, error)
	coldstore.Restorer
}

// A Group is objects of one state and class.
type Group struct {
	State   coldstore.State `json:"state"`
	Class   string          `json:"class,omitempty"` // of what cannot be read
	Objects int64           `json:"objects"`
	Bytes   int64           `json:"bytes"`
	Until   time.Time       `json:"until,omitzero"`    // the first copy of what is restored expires
	Restore *cost.Restore   `json:"restore,omitempty"` // what it takes until they can be read
}

// A Plan is the state of all objects of a Job, and what would be asked for.
type Plan struct {
	Groups  []Group `json:"groups"`
	Objects int64   `json:"objects"` // that would be asked for
	Bytes   int64   `json:"bytes"`
	cost.Restore

	wanted []wanted
}

// wanted is an object that is to be restored.
type wanted struct {
	archive Archive
	object  coldstore.Object
}

// Ongoing reports whether restores go on.
func (p *Plan) Ongoing() bool {
	return slices.ContainsFunc(p.Groups, func(g Group) bool { return g.State == coldstore.Ongoing })
}

// Plan looks at all objects. It asks for none.
func (j *Job) Plan(ctx context.Context) (*Plan, error) {
	p := &Plan{Groups: []Group{}, Restore: cost.Restore{Tier: j.Tier}}
	for _, a := range j.Archives {
		seen := map[string]bool{}
		for _, device := range j.Devices {
			objects, err := a.Objects(ctx, hotreader.Query{Device: device, Start: j.Start, End: j.End})
			if err != nil {
				return nil, err
			}
			for i := range objects {
				if o := &objects[i]; !seen[o.Key] {
					seen[o.Key] = true
					p.add(a, o)
				}
			}
		}
	}
	order := []coldstore.State{coldstore.Archived, coldstore.Expired, coldstore.Ongoing, coldstore.Restored, coldstore.Online}
	slices.SortFunc(p.Groups, func(a, b Group) int {
		return cmp.Or(slices.Index(order, a.State)-slices.Index(order, b.State), strings.Compare(a.Class, b.Class))
	})
	for i := range p.Groups {
		if err := j.price(p, &p.Groups[i]); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// add counts an object.
func (p *Plan) add(a Archive, o *coldstore.Object) {
	state := o.State()
	i := slices.IndexFunc(p.Groups, func(g Group) bool { return g.State == state && g.Class == o.Archive })
	if i < 0 {
		i, p.Groups = len(p.Groups), append(p.Groups, Group{State: state, Class: o.Archive})
	}
	g := &p.Groups[i]
	sum := func(all int64) int64 { return min(all, math.MaxInt64-max(0, o.Size)) + max(0, o.Size) }
	if g.Objects, g.Bytes = g.Objects+1, sum(g.Bytes); state == coldstore.Restored && (g.Until.IsZero() || o.Until.Before(g.Until)) {
		g.Until = o.Until
	}
	if state == coldstore.Archived || state == coldstore.Expired {
		p.Objects, p.Bytes, p.wanted = p.Objects+1, sum(p.Bytes), append(p.wanted, wanted{a, *o})
	}
}

// price says what it takes until the objects of a group can be read.
func (j *Job) price(p *Plan, g *Group) error {
	if g.Class == "" {
		return nil
	}
	class := cost.Archived(g.Class)
	if g.State == coldstore.Ongoing { // no list says by which tier
		r := j.Prices.Restore(class, cost.Standard, 0, 0, 0)
		g.Restore = &r
		return nil
	}
	if !slices.Contains(class.Tiers, j.Tier) {
		return &hotreader.Error{Op: "restore", Code: hotreader.CodeInvalid,
			Err: fmt.Errorf("%s has no tier %s; choose %s", g.Class, j.Tier, strings.Join(class.Tiers, " or "))}
	}
	r := j.Prices.Restore(class, j.Tier, g.Objects, g.Bytes, j.Days)
	g.Restore, p.USD, p.Hours = &r, p.USD+r.USD, max(p.Hours, r.Hours)
	return nil
}

// maxAsked is how many requests go on at once.
const maxAsked = 8

// Ask asks for all that the plan says, and calls done as it goes. It returns how many were
// asked for; objects that are gone by now are an error, after the others were asked for.
func (j *Job) Ask(ctx context.Context, p *Plan, done func(asked int64)) (int64, error) {
	var asked, gone atomic.Int64
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(maxAsked)
	for _, w := range p.wanted {
		group.Go(func() error {
			if within.Err() != nil { // another has failed
				return within.Err()
			}
			err := w.archive.Restore(within, &w.object, j.Tier, j.Days)
			switch {
			case err == nil:
				done(asked.Add(1))
			case coldstore.IsChanged(err):
				gone.Add(1)
				err = nil
			}
			return err
		})
	}
	err := group.Wait()
	if err == nil && gone.Load() > 0 {
		err = &hotreader.Error{Op: "restore", Code: hotreader.CodeUnavailable,
			Err: errors.New("objects were deleted after they were listed: run it again, for their rows lie elsewhere now")}
	}
	return asked.Load(), err
}
