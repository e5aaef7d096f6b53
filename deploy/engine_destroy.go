package deploy

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"hotreader/config"
	"hotreader/deploy/topology"
)

// Destroy removes what Deploy has made, the twin's side first, and then the
// connection. Hot storage that holds data stops it, unless deleteData
// is set.
func (e *Engine) Destroy(ctx context.Context, deleteData bool) (removed bool, err error) {
	w, end, err := e.begin("destroy")
	if err != nil {
		return false, err
	}
	defer end()
	sides := slices.Clone(w.sides)
	slices.Reverse(sides)
	if err := w.unneeded(ctx); err != nil {
		return false, err
	}
	// First look everywhere, then touch: an error leaves all as it was.
	var stand []topology.Side
	for _, s := range sides {
		ok, err := w.mayDestroy(ctx, s, deleteData)
		if err != nil {
			return false, err
		}
		if ok {
			stand = append(stand, s)
		}
	}
	for _, s := range stand {
		if err := w.destroySide(ctx, s); err != nil {
			return false, err
		}
	}
	for _, s := range sides {
		for _, dir := range []string{w.dir, w.place} {
			if err := os.RemoveAll(filepath.Join(dir, string(s.Cloud))); err != nil {
				return false, err
			}
		}
		if err := w.forgetLinks(s.Cloud); err != nil {
			return false, err
		}
	}
	return len(stand) > 0, nil
}

// forgetLinks removes the connections to a cloud.
func (w *work) forgetLinks(cloud config.Cloud) error {
	there := false
	for _, l := range w.top.Links {
		if _, ok := w.conns.Get(l.ID); ok && l.Cloud == cloud {
			w.conns.Remove(l.ID)
			there = true
		}
	}
	if !there {
		return nil
	}
	return w.conns.Save()
}

// unneeded rejects the destruction of hot storage's side alone while the twin's side,
// which asks it, is deployed in this project.
func (w *work) unneeded(ctx context.Context) error {
	if len(w.sides) == len(w.top.Sides) || !w.sides[0].Asked() {
		return nil
	}
	twin := w.top.Sides[len(w.top.Sides)-1]
	f, err := w.folder(twin)
	if err != nil {
		return err
	}
	if !w.mayBeDeployed(f) {
		return nil
	}
	st, _, err := w.sideStatus(ctx, twin)
	if err != nil {
		return err
	}
	if st.Deployed {
		return configError("destroy", "the twin on %s is deployed, and calls this one; destroy it first (--only %s), or both at once", twin.Cloud, twin.Cloud)
	}
	return nil
}

// mayDestroy reports whether anything of side s is deployed, and an error if it must
// stay.
func (w *work) mayDestroy(ctx context.Context, s topology.Side, deleteData bool) (bool, error) {
	f, err := w.folder(s)
	if err != nil {
		return false, err
	}
	begun, err := f.begun()
	if err != nil {
		return false, err
	}
	if len(begun) > 0 {
		if f, _, err = w.render(ctx, s, true); err != nil {
			return false, err
		}
		if err := w.takeIn(ctx, f); err != nil {
			return false, err
		}
	}
	st, _, err := w.sideStatus(ctx, s)
	if err != nil || !st.Deployed {
		return false, err
	}
	if !st.MakesStore || deleteData {
		return true, nil
	}
	holds, err := w.HoldsData(ctx, st)
	doubt := "holds data"
	if err != nil {
		holds, doubt = true, fmt.Sprintf("may hold data (it could not be looked at: %v)", err)
	}
	if holds {
		return false, configError("destroy", "hot storage %s on %s %s; nothing was removed. Save what you need, then say --delete-data", st.Store, s.Cloud, doubt)
	}
	return true, nil
}

// takeIn brings what a stopped run has left into the state, with what it needs, to be
// destroyed from there. That changes the cloud, so it is asked for.
func (w *work) takeIn(ctx context.Context, f *folder) error {
	taken, plan, err := w.adopt(ctx, f)
	if err != nil {
		return err
	}
	if len(taken) > 0 {
		what := emptyPlan(f.cloud)
		what.Notes = append(what.Notes, "a stopped run has left this; it is imported, with what it needs, and then destroyed with the rest")
		for _, r := range plan.ResourceChanges {
			if slices.Contains(taken, r.Address) {
				what.Changes = append(what.Changes, ResourceChange{Action: Destroy, What: noun(r.Type), Name: resourceName(r), Address: r.Address})
			}
		}
		what.sort()
		if err := w.approve(ctx, f, what); err != nil {
			return err
		}
		if err := f.bring(ctx, taken); err != nil {
			return err
		}
	}
	return f.settled()
}

func (w *work) destroySide(ctx context.Context, s topology.Side) error {
	f, _, err := w.render(ctx, s, false)
	if err != nil {
		return err
	}
	all, err := f.state(ctx)
	if err != nil {
		return err
	}
	what := emptyPlan(s.Cloud)
	var guards []string
	for _, r := range all.resources {
		what.Changes = append(what.Changes, ResourceChange{Action: Destroy, What: noun(r.kind), Name: nameOf(r.kind, r.address, r.values), Address: r.address})
		if r.guarded() {
			guards = append(guards, r.address)
		}
	}
	what.sort()
	if err := w.approve(ctx, f, what); err != nil {
		return err
	}
	// What guards the data is taken away only now that its end is decided. It is
	// a change like any other, so it is made before the rest is destroyed.
	if len(guards) > 0 {
		if err := f.bring(ctx, guards); err != nil {
			return err
		}
	}
	return f.destroy(ctx)
}
