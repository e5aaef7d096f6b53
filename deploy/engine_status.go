package deploy

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"hotreader/config"
	"hotreader/deploy/render"
	"hotreader/deploy/topology"
)

// FunctionStatus is a function as its module's output has it.
type FunctionStatus struct {
	Name string `json:"name"`
	ID   string `json:"id"` // ARN, resource id or service name
	URL  string `json:"url"`
}

// SideStatus is what is deployed on one cloud.
type SideStatus struct {
	Cloud       config.Cloud              `json:"cloud"`
	Deployed    bool                      `json:"stands"`    // anything at all
	Resources   int                       `json:"resources"` // how many
	URL         string                    `json:"url"`       // "" = nothing is public
	Region      string                    `json:"region"`
	Store       string                    `json:"store"`             // hot storage here; "" = none
	Functions   map[string]FunctionStatus `json:"functions"`         // by role; nil = none
	Subject     string                    `json:"subject,omitempty"` // of the functions, as in config_inter_cloud.json; "" = the cloud signs nothing for them
	Trust       string                    `json:"trust,omitempty"`   // HOTREADER_TRUST of the API
	Callers     []string                  `json:"callers,omitempty"` // their names in it
	MakesStore  bool                      `json:"makes_store"`       // hot storage was made by us, and would be destroyed
	Drift       []ResourceChange          `json:"drift"`             // never nil; changed by hand
	Pending     []ResourceChange          `json:"pending"`           // never nil; what the project says, and is not applied
	Interrupted bool                      `json:"interrupted"`       // a run was killed here; deploy or destroy takes it up
}

// TokenStatus is what is known of a connection's token.
type TokenStatus struct {
	Connection string    `json:"connection"`
	Set        bool      `json:"set"`
	Rotating   bool      `json:"rotating"` // the previous one is still accepted
	RotatedAt  time.Time `json:"rotated_at,omitzero"`
}

// Status is what is deployed of a project.
type Status struct {
	Twin  string       `json:"twin"`
	Sides []SideStatus `json:"clouds"`
	Token *TokenStatus `json:"token"` // nil = the project needs none

	Identity *Identity `json:"identity,omitempty"` // how the functions prove themselves to other clouds; nil = by the token
}

// Status says what is deployed, and its drift. It changes nothing.
func (e *Engine) Status(ctx context.Context) (Status, error) {
	w, end, err := e.begin("status")
	if err != nil {
		return Status{}, err
	}
	defer end()
	st := Status{Twin: w.top.Twin, Sides: []SideStatus{}}
	for _, s := range w.sides {
		one, f, err := w.sideStatus(ctx, s)
		if err == nil && one.Deployed {
			err = w.compare(ctx, s, f, &one)
		}
		if err != nil {
			return Status{}, err
		}
		st.Sides = append(st.Sides, one)
	}
	if w.top.Connection != "" {
		st.Token = &TokenStatus{Connection: w.top.Connection, Set: !w.conn.Token.IsZero(), Rotating: !w.conn.PreviousToken.IsZero(), RotatedAt: w.conn.RotatedAt}
	}
	st.Identity, err = w.identity(ctx)
	return st, err
}

// Outputs says what is deployed on each of the project's clouds, whatever Only says,
// as the last runs have left it: nothing is compared with the clouds. It takes no
// lock, so that Check may call it.
func (e *Engine) Outputs(ctx context.Context) ([]SideStatus, error) {
	quiet := *e
	quiet.Operator = nil
	w, err := quiet.open("status")
	if err != nil {
		return nil, err
	}
	if err := w.places(); err != nil {
		return nil, err
	}
	var all []SideStatus
	for _, s := range w.top.Sides {
		one, _, err := w.sideStatus(ctx, s)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// sideStatus reads the state. It looks at the folder as the last run has left it;
// only where there is none, for the state is kept elsewhere, it makes one.
func (w *work) sideStatus(ctx context.Context, s topology.Side) (st SideStatus, f *folder, err error) {
	st = SideStatus{Cloud: s.Cloud, Drift: []ResourceChange{}, Pending: []ResourceChange{}}
	if f, err = w.folder(s); err != nil {
		return st, nil, err
	}
	_, err = os.Stat(filepath.Join(f.dir, "main.tf.json"))
	switch {
	case !w.elsewhere(s.Cloud) && !w.mayBeDeployed(f):
		return st, f, nil
	case err == nil:
		err = f.init(ctx)
	case !errors.Is(err, fs.ErrNotExist):
	default:
		f, _, err = w.render(ctx, s, true)
	}
	if err != nil {
		return st, f, err
	}
	begun, err := f.begun()
	if err != nil {
		return st, f, err
	}
	all, err := f.state(ctx)
	st.Interrupted, st.Resources, st.Deployed = len(begun) > 0, len(all.resources), len(all.resources) > 0
	if err != nil || !st.Deployed {
		return st, f, err
	}
	st.MakesStore = slices.ContainsFunc(all.resources, managed.holdsRows)
	out := all.outputs
	st.URL, st.Region, st.Store, st.Functions = out.URL, out.Region, out.Store, out.Functions
	st.Subject, st.Trust, st.Callers = out.Identity.subject(), out.Trust, callerNames(out.Trust)
	return st, f, nil
}

// compare adds what was changed by hand, and what is not deployed yet.
func (w *work) compare(ctx context.Context, s topology.Side, f *folder, st *SideStatus) error {
	f.drop(importFile) // of a stopped run; found anew by the next deploy
	plan, err := f.plan(ctx, nil)
	if err != nil {
		return err
	}
	f.drop(planFile)
	p := sidePlan(s, plan)
	st.Drift = p.Drift
	for _, c := range p.Changes {
		if !slices.ContainsFunc(p.Drift, func(d ResourceChange) bool { return d.Address == c.Address }) {
			st.Pending = append(st.Pending, c)
		}
	}
	return nil
}

// Check reports all that a project folder has in it which Plan would reject. It asks no
// cloud and runs nothing. The project is nil if its files cannot be read as one.
func Check(dir string) (*config.Project, error) {
	p, err := config.LoadProject(dir)
	connections, wrong := config.OpenConnections(dir)
	all := []error{err, wrong, config.CheckFolder(filepath.Join(dir, config.WorkFolder))}
	if err != nil {
		return nil, errors.Join(all...)
	}
	top, topErr := topology.New(p)
	_, catalogErr := render.Catalog(p)
	all = append(all, topErr, catalogErr)
	w := &work{Engine: &Engine{Project: p}, top: top}
	if wrong == nil {
		w.conn, _ = connections.Get(top.Connection)
	}
	for _, side := range top.Sides {
		all = append(all, render.Check(side, p), w.distinct(side))
	}
	return p, errors.Join(all...)
}
