package deploy

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	tfjson "github.com/hashicorp/terraform-json"

	"hotreader/config"
	"hotreader/deploy/render"
	"hotreader/deploy/topology"
)

// Plan says what Deploy would do, and changes nothing. With an error it returns
// the sides that it had planned before.
func (e *Engine) Plan(ctx context.Context) (Plan, error) {
	w, end, err := e.begin("plan")
	if err != nil {
		return Plan{}, err
	}
	defer end()
	plan := Plan{Twin: w.top.Twin, Sides: []SidePlan{}}
	sides, changing, err := w.between(ctx)
	if err != nil {
		return plan, err
	}
	for _, s := range sides {
		p, err := w.planSide(ctx, s)
		if err != nil {
			return plan, err
		}
		if changing {
			p.Notes = append(p.Notes, "the twin changes over: the APIs take both the token and what "+string(w.top.L4)+" signs, then the one that is left is taken away")
		}
		plan.Sides = append(plan.Sides, p)
	}
	return plan, nil
}

func (w *work) planSide(ctx context.Context, s topology.Side) (SidePlan, error) {
	f, pending, err := w.render(ctx, s, true)
	if err == nil {
		err = w.known(ctx, s, f)
	}
	if err != nil {
		return SidePlan{}, err
	}
	tf, err := f.plan(ctx, nil)
	if err != nil {
		return SidePlan{}, err
	}
	f.drop(planFile) // no later run may apply it
	var notes []string
	for _, cloud := range pending {
		notes = append(notes, "the API's URL on "+cloud+" is known once that cloud is deployed")
	}
	p := w.planned(ctx, s, tf, s.Token && w.conn.Token.IsZero(), notes)
	if begun, err := f.begun(); err == nil && len(begun) > 0 {
		p.Notes = append(p.Notes, "an earlier run was stopped; deploy imports what it made and could not write down")
	}
	return p, nil
}

// planned is a side's plan, with its notes.
func (w *work) planned(ctx context.Context, s topology.Side, plan *tfjson.Plan, newToken bool, notes []string) SidePlan {
	p := sidePlan(s, plan)
	p.Notes = append(p.Notes, notes...)
	if newToken {
		p.Notes = append(p.Notes, "a new token is made, and kept in config_inter_cloud.json under "+w.top.Connection)
	}
	p.Notes = append(p.Notes, w.identityNotes(s)...)
	if note := w.accountNote(ctx, s, p); note != "" {
		p.Notes = append(p.Notes, note)
	}
	return p
}

// Deploy makes what the project needs, hot storage's side first: it plans a
// side, asks, applies exactly that plan, writes the connection, and goes on to
// the next one. At the end the link is proven, if Check is set and both sides
// were meant.
func (e *Engine) Deploy(ctx context.Context) error {
	w, end, err := e.begin("deploy")
	if err != nil {
		return err
	}
	defer end()
	switch end, err := w.changeOver(ctx); {
	case err != nil:
		return err
	case !end:
		return nil
	}
	if err := w.forgetIdentity(); err != nil {
		return err
	}
	if err := w.deploy(ctx, w.sides); err != nil {
		return err
	}
	if len(w.sides) < len(w.top.Sides) && w.sides[0].Asked() {
		w.Report(Event{Kind: Note, Cloud: w.sides[0].Cloud, Text: fmt.Sprintf("the API is at %s; next is the twin's cloud: %s --only %s, or, if another team deploys it, hand over the entry %s of config_inter_cloud.json",
			w.urls[w.sides[0].Cloud], w.again("deploy"), w.top.L4, w.linkTo(w.sides[0].Cloud))})
	}
	return w.check(ctx)
}

func (w *work) deploy(ctx context.Context, sides []topology.Side) error {
	if err := w.identify(ctx, sides); err != nil {
		return err
	}
	if err := w.ready(sides); err != nil {
		return err
	}
	for _, s := range sides {
		if err := w.deploySide(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// ready rejects what cannot be deployed before anything is touched.
func (w *work) ready(sides []topology.Side) error {
	for _, s := range sides {
		if err := w.distinct(s); err != nil {
			return err
		}
		if s.Asked() && !s.L4 {
			continue // it comes first, and gives the rest what it needs
		}
		for _, l := range w.top.Links {
			api := l.Cloud
			first := slices.ContainsFunc(sides, func(s topology.Side) bool { return s.Cloud == api })
			if !first && (w.urls[api] == "" || w.conn.Token.IsZero() && !w.Project.Federated()) {
				return configError(w.command, "the twin on %s asks the API on %s, whose URL and token are not known; "+
					"deploy that cloud first (%s --only %s), or put its entry %s into config_inter_cloud.json if another team has deployed it",
					s.Cloud, api, w.again("deploy"), api, l.ID)
			}
		}
	}
	return nil
}

// linkTo is the first connection to the API on a cloud.
func (w *work) linkTo(cloud config.Cloud) string {
	for _, l := range w.top.Links {
		if l.Cloud == cloud {
			return l.ID
		}
	}
	return ""
}

// known rejects a new token for a deployment whose token the credentials file does not
// have: callers with that token would be cut off.
func (w *work) known(ctx context.Context, s topology.Side, f *folder) error {
	if kept, _ := w.conns.Get(w.top.Connection); !s.Token || !kept.Token.IsZero() || !w.mayBeDeployed(f) {
		return nil
	}
	all, err := f.state(ctx)
	if err != nil || !slices.ContainsFunc(all.resources, managed.holdsToken) {
		return err
	}
	return configError(string(s.Cloud), "what is deployed has a token, but config_inter_cloud.json has no entry %s: bring the file back, "+
		"or write the entry anew with the token from the secret on %s. A new token would cut off all callers with the old one", w.top.Connection, s.Cloud)
}

func (w *work) deploySide(ctx context.Context, s topology.Side) error {
	fresh := s.Token && w.conn.Token.IsZero()
	if fresh {
		w.conn.Provider, w.conn.Token, w.conn.RotatedAt = w.top.API, config.NewToken(), w.now()
	}
	f, _, err := w.render(ctx, s, true)
	if err == nil && fresh {
		err = w.known(ctx, s, f)
	}
	if err != nil {
		return err
	}
	taken, plan, err := w.adopt(ctx, f)
	if err == nil && plan == nil {
		plan, err = f.plan(ctx, nil)
	}
	if err != nil {
		return err
	}
	var notes []string
	for _, address := range taken {
		notes = append(notes, "taken in, for a stopped run has left it: "+address)
	}
	what := w.planned(ctx, s, plan, fresh, notes)
	if len(what.Changes) == 0 && len(plan.OutputChanges) == 0 && len(taken) == 0 {
		if err := f.settled(); err != nil {
			return err
		}
		f.say(Event{Kind: Note, Text: "nothing to do"})
		f.drop(planFile)
	} else if err := w.carryOut(ctx, s, f, what); err != nil {
		return err
	}
	if !s.Asked() || len(s.Public) == 0 {
		return nil
	}
	all, err := f.state(ctx)
	if err != nil {
		return err
	}
	w.urls[s.Cloud] = all.outputs.URL
	if s.Cloud == w.top.API {
		w.conn.Provider, w.conn.URL, w.conn.Function = s.Cloud, all.outputs.URL, s.Functions[0].Name
	}
	return w.save()
}

// carryOut applies the saved plan, once it is approved.
func (w *work) carryOut(ctx context.Context, s topology.Side, f *folder, what SidePlan) error {
	if len(what.Changes) > 0 {
		if err := w.approve(ctx, f, what); err != nil {
			return err
		}
	}
	// The token is in its file before any cloud has it: what stops us from
	// here on leaves a token that the next run knows.
	if s.Token || w.hasPageKey(s) {
		if err := w.save(); err != nil {
			return err
		}
	}
	return f.apply(ctx)
}

func (w *work) approve(ctx context.Context, f *folder, what SidePlan) error {
	f.names = map[string]string{}
	for _, c := range what.Changes {
		f.names[c.Address] = c.Name
	}
	ok, err := w.Approve(ctx, what)
	if err == nil && !ok {
		err = ErrDeclined
	}
	if err != nil {
		f.drop(planFile)
		f.drop(importFile)
	}
	return err
}

// Render writes, below dir, a folder for each cloud that plain `terraform apply`
// accepts. It holds no token: Terraform asks for it, as for a URL that is not
// known yet.
func (e *Engine) Render(dir string) ([]string, error) {
	w, err := e.open("render")
	if err != nil {
		return nil, err
	}
	if err := config.CheckFolder(dir); err != nil {
		return nil, err
	}
	var made []string
	for _, s := range w.sides {
		in, _ := w.inputs(s, render.AskURL)
		to := filepath.Join(dir, string(s.Cloud))
		if err := render.Folder(to, s, in, e.Artifacts); err != nil {
			return nil, err
		}
		made = append(made, to)
	}
	return made, nil
}

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
