package deploy

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"hotreader"
	"hotreader/config"
)

// Engine carries a topology out with Terraform or OpenTofu. One run at a time
// works in a project folder; a second one is refused.
//
// What is applied is kept where each cloud's backend says, in PROJECT/.hotreader/CLOUD
// by default. Terraform itself works in a folder of the user's own, for a project
// folder may come from a stranger, and Terraform takes whatever lies beside a root
// module for a part of it, programs too. A run that was stopped, or killed, at any
// moment is taken up by the next one.
type Engine struct {
	Project   *config.Project
	Artifacts string       // the folder with the functions' packages, as `make dist` makes it
	Terraform string       // the program, see FindTerraform
	Work      string       // where Terraform works, for this project alone; "" = in the user's cache folder
	Only      config.Cloud // "" = all clouds of the project
	Environ   []string     // nil = os.Environ()

	// Report is told what goes on; nil = nobody is.
	Report func(Event)

	// Approve is shown what is to be done to a cloud, and says whether it may be.
	// It is not asked if there is nothing to do.
	Approve func(context.Context, SidePlan) (bool, error)

	// HoldsData says whether the hot storage that was made on a cloud holds
	// anything. nil, or an error = it may.
	HoldsData func(context.Context, SideStatus) (bool, error)

	// Check proves the link once it stands, and between the steps of a token's
	// rotation; nil = it is not proven.
	Check func(context.Context) error

	// Drain is how long a request may live that was sent before a rotation, see
	// Rotate; 0 = 30 s, negative = it is not waited for.
	Drain time.Duration

	// Now is the time; nil = time.Now.
	Now func() time.Time
}

// Kind says what an Event tells.
type Kind string

// The kinds of events.
const (
	Began  Kind = "began"
	Goes   Kind = "goes on"
	Done   Kind = "done"
	Failed Kind = "failed"
	Note   Kind = "note" // Text is to be known
)

// Event is a step of an Engine's work.
type Event struct {
	Kind    Kind
	Cloud   config.Cloud
	Action  Action // "" = none, as of a note
	What    string // the resource in words
	Name    string
	Address string
	ID      string // the cloud's, once it is done; "" = not said
	Elapsed time.Duration
	Text    string // of a note
}

// FunctionStatus is a function as its module tells of it.
type FunctionStatus struct {
	Name string `json:"name"`
	ID   string `json:"id"` // ARN, resource id or service name
	URL  string `json:"url"`
}

// SideStatus is what stands on one cloud.
type SideStatus struct {
	Cloud       config.Cloud              `json:"cloud"`
	Stands      bool                      `json:"stands"`    // anything at all
	Resources   int                       `json:"resources"` // how many
	URL         string                    `json:"url"`       // "" = nothing is public
	Region      string                    `json:"region"`
	Store       string                    `json:"store"`       // hot storage here; "" = none
	Functions   map[string]FunctionStatus `json:"functions"`   // by role; nil = none
	MakesStore  bool                      `json:"makes_store"` // hot storage was made by us, and would be destroyed
	Drift       []ResourceChange          `json:"drift"`       // never nil; changed by hand
	Pending     []ResourceChange          `json:"pending"`     // never nil; what the project says, and is not applied
	Interrupted bool                      `json:"interrupted"` // a run was killed here; deploy or destroy takes it up
}

// TokenStatus is what is known of a connection's token.
type TokenStatus struct {
	Connection string    `json:"connection"`
	Set        bool      `json:"set"`
	Rotating   bool      `json:"rotating"` // the previous one is still accepted
	RotatedAt  time.Time `json:"rotated_at,omitzero"`
}

// Status is what stands of a project.
type Status struct {
	Twin  string       `json:"twin"`
	Sides []SideStatus `json:"clouds"`
	Token *TokenStatus `json:"token"` // nil = the project needs none
}

// ErrDeclined is the error of a run that Approve has not approved.
var ErrDeclined = errors.New("not approved; nothing was changed")

// work is one locked run.
type work struct {
	*Engine
	command string // that the user has given, for messages
	top     Topology
	dir     string // .hotreader
	place   string // Engine.Work, absolute
	sides   []Side // of top, those that are meant
	conns   *config.Connections
	conn    config.Connection // zero if the topology has none, or nothing is known yet
	environ []string
}

// open reads what is known of the project.
func (e *Engine) open(command string) (*work, error) {
	top, err := NewTopology(e.Project)
	if err != nil {
		return nil, err
	}
	w := &work{Engine: e, command: command, top: top, environ: e.Environ}
	if w.environ == nil {
		w.environ = os.Environ()
	}
	if w.conns, err = config.OpenConnections(e.Project.Dir); err != nil {
		return nil, err
	}
	if top.Connection != "" {
		w.conn, _ = w.conns.Get(top.Connection)
	}
	return w, nil
}

// places finds the folders that a run works in.
func (w *work) places() (err error) {
	// Absolute, for Terraform works in another folder.
	if w.dir, err = filepath.Abs(filepath.Join(w.Project.Dir, config.WorkFolder)); err != nil {
		return err
	}
	if err := config.CheckFolder(w.dir); err != nil {
		return err
	}
	if w.place, err = w.workPlace(); err != nil {
		return err
	}
	if config.Within(w.Project.Dir, w.place) {
		return configError("work folder", "%s, where Terraform is to work, lies in the project folder; set XDG_CACHE_HOME, or HOME, to a folder elsewhere", w.place)
	}
	ownAlone()
	return os.MkdirAll(w.place, 0o700)
}

// workPlace is a folder that nothing but runs for this project write into.
func (w *work) workPlace() (string, error) {
	if w.Work != "" {
		return filepath.Abs(w.Work)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", configError("work folder", "%w; Terraform works in the user's cache folder", err)
	}
	project, err := filepath.EvalSymlinks(filepath.Dir(w.dir))
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "hotreader", "work", w.top.Twin+"-"+digest([]byte(project))[:16]), nil
}

// begin locks the project for command and reads what is known.
func (e *Engine) begin(command string) (w *work, end func(), err error) {
	if w, err = e.open(command); err != nil {
		return nil, nil, err
	}
	top := w.top
	for _, s := range top.Sides {
		if e.Only == "" || e.Only == s.Cloud {
			w.sides = append(w.sides, s)
		}
	}
	if len(w.sides) == 0 {
		return nil, nil, &hotreader.Error{Op: command, Code: hotreader.CodeInvalid,
			Err: fmt.Errorf("nothing of this project is on %s: hot storage is on %s and the twin on %s", e.Only, top.L3, top.L4)}
	}
	if err := w.places(); err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(w.dir, 0o700); err != nil {
		return nil, nil, err
	}
	if err := os.Chmod(w.dir, 0o700); err != nil { //nolint:gosec // G302: a folder needs the right to be entered
		return nil, nil, err
	}
	if err := writeOnce(filepath.Join(w.dir, ".gitignore"), "*\n"); err != nil {
		return nil, nil, err
	}
	release, err := lockFolder(w.dir, command)
	if err != nil {
		return nil, nil, err
	}
	end = func() {
		_ = sweep(w.dir)
		release()
	}
	if err := sweep(w.dir); err != nil {
		end()
		return nil, nil, err
	}
	return w, end, nil
}

func writeOnce(name, text string) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// tokenText is what the secret of side s is to hold. A side that only asks needs
// the current token alone.
func tokenText(s Side, c config.Connection) string {
	text := c.Token.Reveal()
	if s.L3 && text != "" && !c.PreviousToken.IsZero() {
		text += "," + c.PreviousToken.Reveal()
	}
	return text
}

// tokenVersion numbers a secret's text, so that another text has another number
// whoever applies it, and after whatever crash. Of 256 random bits it tells 31.
func tokenVersion(text string) int {
	sum := sha256.Sum256([]byte("hotreader token version\x00" + text))
	return int(binary.BigEndian.Uint32(sum[:])>>1) | 1
}

// folder returns side s's work folder.
func (w *work) folder(s Side) (*folder, error) {
	secrets := []string{w.conn.Token.Reveal(), w.conn.PreviousToken.Reveal()}
	env, notes, err := environment(w.environ, secrets...)
	if err != nil {
		return nil, err
	}
	// The modules' own steps call this program.
	if self, err := os.Executable(); err == nil {
		env["PATH"] = filepath.Dir(self) + string(os.PathListSeparator) + env["PATH"]
	}
	f := &folder{cloud: s.Cloud, dir: filepath.Join(w.place, string(s.Cloud)), home: filepath.Join(w.dir, string(s.Cloud)), binary: w.Terraform, env: env, report: w.Report}
	for _, n := range notes {
		f.say(Event{Kind: Note, Text: n})
	}
	if s.Token {
		f.secret = tokenText(s, w.conn)
		if f.secret == "" {
			// To plan with: the real one is made when it is deployed.
			f.secret = config.NewToken().Reveal()
		}
	}
	return f, nil
}

// inputs are what side s's root module is made of. pending says that the URL of
// the other side is not known yet.
func (w *work) inputs(s Side) (in Inputs, pending bool) {
	in = Inputs{Project: w.Project}
	if s.Token {
		in.TokenVersion = 1
		if text := tokenText(s, w.conn); text != "" {
			in.TokenVersion = tokenVersion(text)
		}
	}
	if !s.L3 {
		if in.RemoteURL = w.conn.URL; in.RemoteURL == "" {
			in.RemoteURL, pending = "https://known-after-apply.invalid/read", true
		}
	}
	return in, pending
}

// render brings side s's folder up to date and returns it, ready to be planned.
func (w *work) render(ctx context.Context, s Side, keepStore bool) (f *folder, pending bool, err error) {
	if f, err = w.folder(s); err != nil {
		return nil, false, err
	}
	in, pending := w.inputs(s)
	in.DropStore, in.State = !keepStore, filepath.Join(f.home, stateFile)
	if w.elsewhere(s.Cloud) {
		in.State = ""
		if i, err := os.Stat(filepath.Join(f.home, stateFile)); err == nil && i.Size() > 0 {
			return nil, false, configError(string(s.Cloud), "config_hot_reader.json has a backend, but a state lies in %s; bring it into the backend with `terraform state push`, or take the backend out, and move the file away", f.home)
		}
	} else if err := os.MkdirAll(f.home, 0o700); err != nil {
		return nil, false, err
	}
	if err := renderTo(f.dir, s, in, w.Artifacts); err != nil {
		return nil, false, err
	}
	// What a stopped run wanted to take in is found anew.
	if err := os.Remove(filepath.Join(f.dir, importFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, false, err
	}
	return f, pending, f.init(ctx)
}

// Plan says what Deploy would do, and changes nothing. With an error it returns
// the sides that it had planned before.
func (e *Engine) Plan(ctx context.Context) (Plan, error) {
	w, end, err := e.begin("plan")
	if err != nil {
		return Plan{}, err
	}
	defer end()
	plan := Plan{Twin: w.top.Twin, Sides: []SidePlan{}}
	for _, s := range w.sides {
		f, pending, err := w.render(ctx, s, true)
		if err != nil {
			return plan, err
		}
		if err := w.known(ctx, s, f); err != nil {
			return plan, err
		}
		tf, err := f.plan(ctx, nil)
		if err != nil {
			return plan, err
		}
		_ = os.Remove(filepath.Join(f.dir, planFile)) // nobody may apply it later
		p := sidePlan(s, tf)
		if pending {
			p.Notes = append(p.Notes, "the API's URL on "+string(w.top.L3)+" is known once that side is deployed")
		}
		if s.Token && w.conn.Token.IsZero() {
			p.Notes = append(p.Notes, "a new token is made, and kept in config_inter_cloud.json under "+w.top.Connection)
		}
		if begun, err := f.begun(); err == nil && len(begun) > 0 {
			p.Notes = append(p.Notes, "an earlier run was killed; what it made and could not write down is taken in by deploy")
		}
		if note := w.accountNote(ctx, s, p); note != "" {
			p.Notes = append(p.Notes, note)
		}
		plan.Sides = append(plan.Sides, p)
	}
	return plan, nil
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
	if err := w.deploy(ctx, w.sides); err != nil {
		return err
	}
	if len(w.sides) < len(w.top.Sides) && w.sides[0].L3 {
		w.say(Event{Kind: Note, Cloud: w.top.L3, Text: fmt.Sprintf("the API is at %s; next is the twin's side: hotreader deploy --only %s, or, if another team deploys it, hand over the entry %s of config_inter_cloud.json",
			w.conn.URL, w.top.L4, w.top.Connection)})
	}
	return w.check(ctx)
}

func (w *work) deploy(ctx context.Context, sides []Side) error {
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

// ready refuses what cannot be deployed before anything is touched.
func (w *work) ready(sides []Side) error {
	for _, s := range sides {
		if s.L3 {
			return nil // it comes first, and gives the rest what it needs
		}
		if w.conn.URL == "" || w.conn.Token.IsZero() {
			return configError(w.command, "the twin's side on %s asks the API on %s, whose URL and token are not known; "+
				"deploy that side first (hotreader deploy --only %s), or put its entry %s into config_inter_cloud.json if another team has deployed it",
				s.Cloud, w.top.L3, w.top.L3, w.top.Connection)
		}
	}
	return nil
}

// known refuses to give a new token to what stands with one that the connection
// file does not have: whoever holds that one would be cut off.
func (w *work) known(ctx context.Context, s Side, f *folder) error {
	if kept, _ := w.conns.Get(w.top.Connection); !s.Token || !kept.Token.IsZero() || !w.mayStand(f) {
		return nil
	}
	all, err := f.state(ctx)
	if err != nil || !slices.ContainsFunc(all.resources, managed.holdsToken) {
		return err
	}
	return configError(string(s.Cloud), "what stands there has a token, but config_inter_cloud.json has no entry %s: bring the file back, "+
		"or write the entry anew with the token from the secret on %s. A new token would cut off whoever holds that one", w.top.Connection, s.Cloud)
}

func (w *work) deploySide(ctx context.Context, s Side) error {
	fresh := s.Token && w.conn.Token.IsZero()
	if fresh {
		w.conn.Provider, w.conn.Token, w.conn.RotatedAt = w.top.L3, config.NewToken(), w.now()
	}
	f, _, err := w.render(ctx, s, true)
	if err != nil {
		return err
	}
	if fresh {
		if err := w.known(ctx, s, f); err != nil {
			return err
		}
	}
	taken, plan, err := w.adopt(ctx, f)
	if err == nil && plan == nil {
		plan, err = f.plan(ctx, nil)
	}
	if err != nil {
		return err
	}
	what := sidePlan(s, plan)
	for _, address := range taken {
		what.Notes = append(what.Notes, "taken in, for a stopped run has left it: "+address)
	}
	if fresh {
		what.Notes = append(what.Notes, "a new token is made, and kept in config_inter_cloud.json under "+w.top.Connection)
	}
	if note := w.accountNote(ctx, s, what); note != "" {
		what.Notes = append(what.Notes, note)
	}
	if len(what.Changes) == 0 && len(plan.OutputChanges) == 0 && len(taken) == 0 {
		if err := f.settled(); err != nil {
			return err
		}
		f.say(Event{Kind: Note, Text: "nothing to do"})
		_ = os.Remove(filepath.Join(f.dir, planFile))
	} else {
		if len(what.Changes) > 0 {
			if err := w.approve(ctx, f, what); err != nil {
				return err
			}
		}
		// The token is in its file before any cloud has it: whoever stops us from
		// here on leaves a token that the next run knows.
		if s.Token {
			if err := w.save(); err != nil {
				return err
			}
		}
		if err := f.apply(ctx); err != nil {
			return err
		}
	}
	if !s.L3 || !s.Token {
		return nil
	}
	all, err := f.state(ctx)
	if err != nil {
		return err
	}
	w.conn.Provider, w.conn.URL = s.Cloud, all.outputs.URL
	w.conn.Function = s.Functions[0].Name
	return w.save()
}

func (w *work) approve(ctx context.Context, f *folder, what SidePlan) error {
	f.names = map[string]string{}
	for _, c := range what.Changes {
		f.names[c.Address] = c.Name
	}
	if w.Approve == nil {
		return nil
	}
	ok, err := w.Approve(ctx, what)
	if err == nil && !ok {
		err = ErrDeclined
	}
	if err != nil {
		_ = os.Remove(filepath.Join(f.dir, planFile))
	}
	return err
}

// save writes the connection, if that changes the file.
func (w *work) save() error {
	if old, ok := w.conns.Get(w.top.Connection); ok && sameConnection(old, w.conn) {
		return nil
	}
	w.conns.Put(w.top.Connection, w.conn)
	return w.conns.Save()
}

func sameConnection(a, b config.Connection) bool {
	return a.Provider == b.Provider && a.Function == b.Function && a.URL == b.URL &&
		a.Token.Equal(b.Token) && a.PreviousToken.Equal(b.PreviousToken) && a.RotatedAt.Equal(b.RotatedAt)
}

func (e *Engine) say(v Event) {
	if e.Report != nil {
		e.Report(v)
	}
}

func (e *Engine) now() time.Time {
	now := time.Now
	if e.Now != nil {
		now = e.Now
	}
	return now().UTC().Truncate(time.Second)
}

// Status says what stands, and what was changed by hand. It changes nothing.
func (e *Engine) Status(ctx context.Context) (Status, error) {
	w, end, err := e.begin("status")
	if err != nil {
		return Status{}, err
	}
	defer end()
	st := Status{Twin: w.top.Twin, Sides: []SideStatus{}}
	for _, s := range w.sides {
		f, err := w.folder(s)
		if err != nil {
			return Status{}, err
		}
		one, err := w.sideStatus(ctx, s, f, true)
		if err != nil {
			return Status{}, err
		}
		st.Sides = append(st.Sides, one)
	}
	if w.top.Connection != "" {
		st.Token = &TokenStatus{Connection: w.top.Connection, Set: !w.conn.Token.IsZero(), Rotating: !w.conn.PreviousToken.IsZero(), RotatedAt: w.conn.RotatedAt}
	}
	return st, nil
}

// sideStatus reads the state, and with drift compares it with the cloud. It
// looks at the folder as the last run has left it; only where there is none, for
// the state is kept elsewhere, it makes one.
func (w *work) sideStatus(ctx context.Context, s Side, f *folder, drift bool) (SideStatus, error) {
	st := SideStatus{Cloud: s.Cloud, Drift: []ResourceChange{}, Pending: []ResourceChange{}}
	if _, err := os.Stat(filepath.Join(f.dir, "main.tf.json")); errors.Is(err, fs.ErrNotExist) {
		if !w.elsewhere(s.Cloud) && !w.mayStand(f) {
			return st, nil
		}
		if f, _, err = w.render(ctx, s, true); err != nil {
			return st, err
		}
	} else if err != nil {
		return st, err
	} else if err := f.init(ctx); err != nil {
		return st, err
	}
	begun, err := f.begun()
	if err != nil {
		return st, err
	}
	st.Interrupted = len(begun) > 0
	all, err := f.state(ctx)
	if err != nil {
		return st, err
	}
	st.Resources, st.Stands = len(all.resources), len(all.resources) > 0
	if !st.Stands {
		return st, nil
	}
	st.MakesStore = slices.ContainsFunc(all.resources, func(r managed) bool { return r.holdsRows() })
	out := all.outputs
	st.URL, st.Region, st.Store, st.Functions = out.URL, out.Region, out.Store, out.Functions
	if !drift {
		return st, nil
	}
	_ = os.Remove(filepath.Join(f.dir, importFile)) // of a stopped run; found anew by the next deploy
	plan, err := f.plan(ctx, nil)
	if err != nil {
		return st, err
	}
	_ = os.Remove(filepath.Join(f.dir, planFile))
	p := sidePlan(s, plan)
	st.Drift = p.Drift
	for _, c := range p.Changes {
		if !slices.ContainsFunc(p.Drift, func(d ResourceChange) bool { return d.Address == c.Address }) {
			st.Pending = append(st.Pending, c)
		}
	}
	return st, nil
}

// holdsRows reports whether r is hot storage.
func (r managed) holdsRows() bool {
	switch r.kind {
	case "aws_dynamodb_table", "azurerm_cosmosdb_sql_container", "google_firestore_database":
		return true
	}
	return false
}

// holdsToken reports whether the inter-cloud token is in r.
func (r managed) holdsToken() bool {
	switch r.kind {
	case "aws_secretsmanager_secret_version", "azurerm_key_vault_secret", "google_secret_manager_secret_version":
		return true
	}
	return false
}

// rereads reports whether the provider would read the token back from the cloud,
// into plan and state, since the creation of r was broken off before it had noted
// that the token was given in secret. It is forgotten instead: a second one of it
// does no harm, it is another version of the secret.
func (r managed) rereads() bool {
	return r.kind == "aws_secretsmanager_secret_version" || r.kind == "google_secret_manager_secret_version"
}

// guarded reports whether the module's argument keep_store protects r, or r
// stands for that protection.
func (r managed) guarded() bool {
	return r.holdsRows() || r.kind == "aws_s3_bucket" || r.kind == "terraform_data" && r.name == "keep"
}

// Destroy removes what Deploy has made, the twin's side first, and then the
// connection. Hot storage that holds data stands in its way, unless deleteData
// says that it may go.
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
	// First look everywhere, then touch: a refusal leaves all as it was.
	var stand []Side
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
		if s.L3 && w.top.Connection != "" {
			if _, ok := w.conns.Get(w.top.Connection); ok {
				w.conns.Remove(w.top.Connection)
				if err := w.conns.Save(); err != nil {
					return false, err
				}
			}
		}
	}
	return len(stand) > 0, nil
}

// unneeded refuses to destroy hot storage's side alone while the twin's side,
// which asks it, stands in this project.
func (w *work) unneeded(ctx context.Context) error {
	if len(w.sides) == len(w.top.Sides) || !w.sides[0].L3 {
		return nil
	}
	twin := w.top.Sides[1]
	f, err := w.folder(twin)
	if err != nil {
		return err
	}
	if !w.mayStand(f) {
		return nil
	}
	st, err := w.sideStatus(ctx, twin, f, false)
	if err != nil {
		return err
	}
	if st.Stands {
		return configError("destroy", "the twin's side on %s stands, and asks this one; destroy it first (--only %s), or both at once", twin.Cloud, twin.Cloud)
	}
	return nil
}

// mayStand reports whether anything may have been deployed to a cloud from here. A
// plan leaves a root module behind, too; a local state is there only if something
// was applied. To look further needs the cloud's provider, and its credentials.
func (w *work) mayStand(f *folder) bool {
	for _, name := range []string{stateFile, journalFile} {
		if _, err := os.Stat(filepath.Join(f.home, name)); err == nil {
			return true
		}
	}
	if !w.elsewhere(f.cloud) {
		return false
	}
	_, err := os.Stat(filepath.Join(f.dir, "main.tf.json"))
	return err == nil
}

// elsewhere reports whether a cloud's state is kept in a backend.
func (w *work) elsewhere(cloud config.Cloud) bool {
	kind := w.Project.Options.Backend[cloud].Type
	return kind != "" && kind != "local"
}

// mayDestroy reports whether anything of side s stands, and an error if it must
// stay.
func (w *work) mayDestroy(ctx context.Context, s Side, deleteData bool) (bool, error) {
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
		taken, _, err := w.adopt(ctx, f)
		if err != nil {
			return false, err
		}
		if len(taken) > 0 {
			// Into the state, with what they need, to be destroyed from there.
			if err := f.bring(ctx, taken); err != nil {
				return false, err
			}
		}
		if err := f.settled(); err != nil {
			return false, err
		}
	}
	st, err := w.sideStatus(ctx, s, f, false)
	if err != nil || !st.Stands {
		return false, err
	}
	if !st.MakesStore || deleteData {
		return true, nil
	}
	holds, doubt := true, "may hold data"
	if w.HoldsData != nil {
		if holds, err = w.HoldsData(ctx, st); err != nil {
			holds, doubt = true, fmt.Sprintf("may hold data (it could not be looked at: %v)", err)
		} else {
			doubt = "holds data"
		}
	}
	if holds {
		return false, configError("destroy", "hot storage %s on %s %s; nothing was removed. Save what you need, then say --delete-data", st.Store, s.Cloud, doubt)
	}
	return true, nil
}

func (w *work) destroySide(ctx context.Context, s Side) error {
	f, _, err := w.render(ctx, s, false)
	if err != nil {
		return err
	}
	all, err := f.state(ctx)
	if err != nil {
		return err
	}
	what := SidePlan{Cloud: s.Cloud, Changes: []ResourceChange{}, Drift: []ResourceChange{}, Public: []string{}, Notes: []string{}}
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
	top := w.top
	var made []string
	for _, s := range top.Sides {
		if e.Only != "" && e.Only != s.Cloud {
			continue
		}
		in, pending := w.inputs(s)
		if pending {
			in.RemoteURL = "${var." + remoteVariable + "}"
		}
		to := filepath.Join(dir, string(s.Cloud))
		if err := renderTo(to, s, in, e.Artifacts); err != nil {
			return nil, err
		}
		made = append(made, to)
	}
	if len(made) == 0 {
		return nil, &hotreader.Error{Op: "render", Code: hotreader.CodeInvalid,
			Err: fmt.Errorf("nothing of this project is on %s: hot storage is on %s and the twin on %s", e.Only, top.L3, top.L4)}
	}
	return made, nil
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
