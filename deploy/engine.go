// Package deploy turns a project folder into functions, APIs, permissions and
// secrets on up to three clouds, and away again. Package topology decides what is
// needed where, package render writes it down for Terraform or OpenTofu, and an
// Engine has one of them carry it out.
package deploy

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"time"

	"github.com/gofrs/flock"

	"hotreader"
	"hotreader/config"
	"hotreader/deploy/render"
	"hotreader/deploy/topology"
	"hotreader/internal/bounded"
)

// Engine carries a topology out with Terraform or OpenTofu. One run at a time
// works in a project folder; a second one is rejected.
//
// What is applied is kept where each cloud's backend says, in PROJECT/.hotreader/CLOUD
// by default. Terraform itself works in a folder of the user's own, for a project
// folder may come from a stranger, and Terraform takes whatever lies beside a root
// module for a part of it, programs too. The next run continues one that was
// stopped, or killed, at any moment.
type Engine struct {
	Project   *config.Project
	Artifacts string       // the folder with the functions' packages, as `make dist` makes it
	Terraform string       // the program, see FindTerraform
	Work      string       // where Terraform works, for this project alone; "" = in the user's cache folder
	Only      config.Cloud // "" = all clouds of the project
	Environ   []string     // nil = os.Environ()
	Operator  Operator     // nil = Unattended

	// Drain is how long a request may live that was sent before a rotation, see
	// Rotate; 0 = 30 s, negative = it is not waited for.
	Drain time.Duration

	// Finish ends a change from the token to federation, or back, of a run with Only:
	// the other cloud is deployed, too.
	Finish bool

	// Now is the time; nil = time.Now.
	Now func() time.Time
}

// Operator decides for an Engine, and gets its reports.
type Operator interface {
	// Report reports what goes on.
	Report(Event)

	// Approve shows what is to be done to a cloud, and says whether it may be. It is
	// not asked if there is nothing to do.
	Approve(context.Context, SidePlan) (bool, error)

	// HoldsData says whether the hot storage that was made on a cloud holds
	// anything. An error = it may.
	HoldsData(context.Context, SideStatus) (bool, error)

	// Check proves the link once it is deployed, and between the steps of a token's
	// rotation.
	Check(context.Context) error
}

// Unattended is an Operator that approves everything but the end of data, and
// says nothing.
type Unattended struct{}

// Report does nothing.
func (Unattended) Report(Event) {}

// Approve approves.
func (Unattended) Approve(context.Context, SidePlan) (bool, error) { return true, nil }

// HoldsData reports that it may.
func (Unattended) HoldsData(context.Context, SideStatus) (bool, error) {
	return true, errors.New("an unattended run does not look into it")
}

// Check proves nothing.
func (Unattended) Check(context.Context) error { return nil }

// Kind says what an Event is about.
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

// ErrDeclined is the error of a run that Approve has not approved.
var ErrDeclined = errors.New("not approved; nothing was changed")

// work is one locked run.
type work struct {
	*Engine
	Operator
	command string // that the user has given, for messages
	top     topology.Topology
	dir     string          // .hotreader
	place   string          // Engine.Work, absolute
	sides   []topology.Side // of top, those that are meant
	conns   *config.Connections
	conn    config.Connection       // zero if the topology has none, or nothing is known yet
	urls    map[config.Cloud]string // of the APIs, as far as they are known
	environ []string
	noted   map[config.Cloud]bool // the notes on environ were reported
}

// open reads what is known of the project, for command.
func (e *Engine) open(command string) (*work, error) {
	top, err := topology.New(e.Project)
	if err != nil {
		return nil, err
	}
	w := &work{Engine: e, Operator: e.Operator, command: command, top: top, environ: e.Environ, noted: map[config.Cloud]bool{}, urls: map[config.Cloud]string{}}
	if w.Operator == nil {
		w.Operator = Unattended{}
	}
	if w.environ == nil {
		w.environ = os.Environ()
	}
	for _, s := range top.Sides {
		if e.Only == "" || e.Only == s.Cloud {
			w.sides = append(w.sides, s)
		}
	}
	if len(w.sides) == 0 {
		return nil, &hotreader.Error{Op: command, Code: hotreader.CodeInvalid,
			Err: fmt.Errorf("nothing of this project is on %s: hot storage is on %s and the twin on %s", e.Only, top.L3, top.L4)}
	}
	if w.conns, err = config.OpenConnections(e.Project.Dir); err != nil {
		return nil, err
	}
	if top.Connection != "" {
		w.conn, _ = w.conns.Get(top.Connection)
	}
	for _, l := range top.Links {
		c, _ := w.conns.Get(l.ID)
		w.urls[l.Cloud] = cmp.Or(w.urls[l.Cloud], c.URL)
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
	if err := w.places(); err != nil {
		return nil, nil, err
	}
	//nolint:gosec // G302: a folder needs the right to be entered
	if err := errors.Join(os.MkdirAll(w.dir, 0o700), os.Chmod(w.dir, 0o700), os.WriteFile(filepath.Join(w.dir, ".gitignore"), []byte("*\n"), 0o600)); err != nil {
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

// tokenText is what the secret of side s is to hold. A side that only asks needs
// the current token alone; one that signs gets it from people, and does not send it.
func tokenText(s topology.Side, c config.Connection) string {
	text := c.Token.Reveal()
	if (s.Asked() || s.Signs) && text != "" && !c.PreviousToken.IsZero() {
		text += "," + c.PreviousToken.Reveal()
	}
	return text
}

// tokenVersion numbers a secret's text, so that another text has another number
// on every machine, and after every crash. Of 256 random bits it shows 31.
func tokenVersion(text string) int {
	sum := sha256.Sum256([]byte("hotreader token version\x00" + text))
	return int(binary.BigEndian.Uint32(sum[:])>>1) | 1
}

// folder returns side s's work folder.
func (w *work) folder(s topology.Side) (*folder, error) {
	secrets := []string{w.conn.Token.Reveal(), w.conn.PreviousToken.Reveal(), w.conn.PageKey.Reveal()}
	env, notes, err := environment(w.environ, secrets...)
	if err != nil {
		return nil, err
	}
	// The modules' own steps call this program.
	if self, err := os.Executable(); err == nil {
		env["PATH"] = filepath.Dir(self) + string(os.PathListSeparator) + env["PATH"]
	}
	f := &folder{cloud: s.Cloud, dir: filepath.Join(w.place, string(s.Cloud)), home: filepath.Join(w.dir, string(s.Cloud)), binary: w.Terraform, env: env, report: w.Report}
	if w.noted[s.Cloud] {
		notes = nil
	}
	w.noted[s.Cloud] = true
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
	if w.hasPageKey(s) {
		f.pageKey = cmp.Or(w.conn.PageKey.Reveal(), config.NewToken().Reveal()) // as above
	}
	return f, nil
}

// inputs are what side s's root module is made of. pending are the clouds of which the
// API's URL is not known yet; unknown takes its place.
func (w *work) inputs(s topology.Side, unknown string) (in render.Inputs, pending []string) {
	in = render.Inputs{Project: w.Project, Lower: map[string]string{}}
	if s.Token {
		in.TokenVersion = 1
		if text := tokenText(s, w.conn); text != "" {
			in.TokenVersion = tokenVersion(text)
		}
	}
	if w.hasPageKey(s) {
		in.PageKeyVersion = 1
		if !w.conn.PageKey.IsZero() {
			in.PageKeyVersion = tokenVersion(w.conn.PageKey.Reveal())
		}
	}
	in.Trust = w.trust(s, unknown)
	url := func(cloud config.Cloud) string {
		if w.urls[cloud] == "" && !slices.Contains(pending, string(cloud)) {
			pending = append(pending, string(cloud))
		}
		return cmp.Or(w.urls[cloud], unknown)
	}
	if s.Functions[0].Remote {
		in.RemoteURL = url(w.top.L3)
	}
	for _, variable := range slices.Sorted(maps.Keys(s.Functions[0].Lower)) {
		in.Lower[variable] = url(s.Functions[0].Lower[variable])
	}
	return in, pending
}

// render brings side s's folder up to date and returns it, ready to be planned.
func (w *work) render(ctx context.Context, s topology.Side, keepStore bool) (f *folder, pending []string, err error) {
	if f, err = w.folder(s); err != nil {
		return nil, nil, err
	}
	in, pending := w.inputs(s, "https://known-after-apply.invalid/read")
	in.DropStore, in.State = !keepStore, filepath.Join(f.home, stateFile)
	if w.elsewhere(s.Cloud) {
		in.State = ""
		if i, err := os.Stat(filepath.Join(f.home, stateFile)); err == nil && i.Size() > 0 {
			return nil, nil, configError(string(s.Cloud), "config_hot_reader.json has a backend, but a state lies in %s; bring it into the backend with `terraform state push`, or take the backend out, and move the file away", f.home)
		}
	} else if err := os.MkdirAll(f.home, 0o700); err != nil {
		return nil, nil, err
	}
	if err := render.Folder(f.dir, s, in, w.Artifacts); err != nil {
		return nil, nil, err
	}
	// What a stopped run was about to import is found anew.
	if err := os.Remove(filepath.Join(f.dir, importFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	return f, pending, f.init(ctx)
}

// elsewhere reports whether a cloud's state is kept in a backend.
func (w *work) elsewhere(cloud config.Cloud) bool {
	kind := w.Project.Options.Backend[cloud].Type
	return kind != "" && kind != "local"
}

// mayBeDeployed reports whether anything may have been deployed to a cloud from here. A
// plan leaves a root module, too; a local state is there only if something
// was applied. To look further needs the cloud's provider, and its credentials.
func (w *work) mayBeDeployed(f *folder) bool {
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

// save writes the connections, if that changes the file.
func (w *work) save() error {
	for _, l := range w.top.Links {
		c := w.conn
		if l.ID != w.top.Connection {
			side := w.top.Side(l.Cloud)
			c.Provider, c.URL, c.Function = l.Cloud, w.urls[l.Cloud], side.Functions[0].Name
		}
		w.conns.Put(l.ID, c)
	}
	return w.conns.Save()
}

// again is a command line for this project, to be pasted.
func (e *Engine) again(command string) string {
	return fmt.Sprintf("hotreader %s --project %s", command, e.Project.Dir)
}

func (e *Engine) now() time.Time {
	now := time.Now
	if e.Now != nil {
		now = e.Now
	}
	return now().UTC().Truncate(time.Second)
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func configError(op, format string, args ...any) error {
	return &hotreader.Error{Op: op, Code: hotreader.CodeConfig, Err: fmt.Errorf(format, args...)}
}

// holder describes the holder of a lock, for the message of the rejected run.
type holder struct {
	Command string    `json:"command"`
	PID     int       `json:"pid"`
	User    string    `json:"user"`
	Host    string    `json:"host"`
	Since   time.Time `json:"since"`
}

func (h holder) String() string {
	return fmt.Sprintf("hotreader %s, started by %s on %s at %s (process %d)", h.Command, h.User, h.Host, h.Since.Format(time.DateTime), h.PID)
}

// lockFolder takes the lock of a work folder for command. The operating system
// holds it, so it ends with the process, however that ends; the file's text is
// only for the message.
func lockFolder(dir, command string) (release func(), err error) {
	name := filepath.Join(dir, "lock")
	lock := flock.New(name, flock.SetPermissions(0o600))
	ok, err := lock.TryLock()
	if err != nil {
		return nil, &hotreader.Error{Op: command, Code: hotreader.CodeConfig, Err: fmt.Errorf("%s: %w", name, err)}
	}
	if !ok {
		who := "another run, which has not said its name yet,"
		var h holder
		if text, err := bounded.ReadFile(name, bounded.Text); err == nil && json.Unmarshal(text, &h) == nil && h.PID != 0 {
			who = h.String()
		}
		return nil, &hotreader.Error{Op: command, Code: hotreader.CodeOverloaded, Err: fmt.Errorf("%s is at work in this project; wait for it, or stop it with ^C and try again", who)}
	}
	h := holder{Command: command, PID: os.Getpid(), User: "unknown user", Host: "this machine", Since: time.Now().Round(time.Second)}
	if u, err := user.Current(); err == nil {
		h.User = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		h.Host = host
	}
	text, err := json.Marshal(h)
	if err == nil {
		err = os.WriteFile(name, append(text, '\n'), 0o600) // the same file: a new one would not be locked
	}
	if err != nil {
		_ = lock.Unlock()
		return nil, &hotreader.Error{Op: command, Code: hotreader.CodeConfig, Err: err}
	}
	return func() {
		_ = os.Truncate(name, 0)
		_ = lock.Unlock()
	}, nil
}
