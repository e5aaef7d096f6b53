// Package local deploys a project to this machine: the same topology as on the
// clouds, as processes on loopback, but for DynamoDB Local, which listens on every
// address. Hot storage is its cloud's emulator; the
// functions are the programs that are delivered, in the environment that the
// topology gives them; what the clouds put before them (Lambda and API Gateway,
// the Azure Functions host) is played by small stand-ins. So what is proven here
// is the wiring: names, routes, tokens, formats. What is not: permissions,
// networks, limits and the clouds' own behaviour.
//
// Everything ends with the process that started it, and data is in memory only.
package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"hotreader"
	"hotreader/config"
	"hotreader/deploy/doctor"
	"hotreader/deploy/render"
	"hotreader/deploy/topology"
	"hotreader/dev/played"
	"hotreader/internal/shell"
)

// Options say what is deployed.
type Options struct {
	Project   *config.Project
	Topology  topology.Topology
	Engines   string // the folder with the emulators, as `make emulators` fills it
	Artifacts string // the folder with the programs, as `make dist` fills it
	Device    string // the id of that which the events for people ask for; "" = the first with properties

	// Env is more environment for the functions of a role, beside and before what
	// the topology says: another log level, or a fault, to see what comes of it.
	Env map[config.Role]map[string]string

	Began func(what string) // called before each step, for a progress line; may be nil
}

// Target is a project that runs on this machine. Close ends it.
type Target struct {
	o       Options
	dir     string
	release func() // the lock
	hot     hot
	token   config.Secret

	mu       sync.Mutex
	children []*child
	servers  []*http.Server
	closing  bool
	failures chan error
	state    State
}

// Start starts all of it, hot storage's cloud first, and returns when every
// program is ready. Whatever fails, nothing is left running. Errors that
// the user can correct are of CodeConfig.
func Start(ctx context.Context, o Options) (_ *Target, err error) {
	if o.Began == nil {
		o.Began = func(string) {}
	}
	dir, err := filepath.Abs(Dir(o.Project.Dir))
	if err != nil {
		return nil, configError("%w", err)
	}
	t := &Target{o: o, dir: dir, failures: make(chan error, 16),
		state: State{Twin: o.Topology.Twin, PID: os.Getpid(), Started: time.Now().UTC().Truncate(time.Second), Sides: map[string]Served{}}}
	if err := t.check(); err != nil {
		return nil, err
	}
	if err := t.folder(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			t.Close()
		}
	}()
	o.Began("starting " + emulatorOf(o.Topology.L3).Name)
	address, err := t.startEngine(ctx, o.Topology.L3)
	if err != nil {
		return nil, failed(err)
	}
	if t.hot, err = t.createStore(ctx, address); err != nil {
		return nil, err
	}
	t.state.Store = StoreState{o.Topology.L3, t.hot.words, t.hot.url}
	for _, s := range o.Topology.Sides {
		if err := t.startSide(ctx, s); err != nil {
			return nil, failed(err)
		}
	}
	return t, errors.Join(t.connect(), t.writeEvents(), t.writeState())
}

// failed gives an error without a code that of something to be corrected.
func failed(err error) error {
	if _, ok := errors.AsType[*hotreader.Error](err); ok || hotreader.CodeOf(err) != hotreader.CodeInternal {
		return err
	}
	return configError("%w", err)
}

// check reports everything that is missing, before anything is started.
func (t *Target) check() error {
	_, _, err := t.findEmulator(emulatorOf(t.o.Topology.L3))
	problems := []error{err}
	for _, s := range t.o.Topology.Sides {
		name, err := artifact(s.Cloud)
		if err == nil {
			if _, serr := os.Stat(filepath.Join(t.o.Artifacts, name)); serr != nil {
				err = fmt.Errorf("%s is missing; run `make functions`, or name the folder that it fills with --artifacts", filepath.Join(t.o.Artifacts, name))
			}
		}
		problems = append(problems, err)
	}
	if err := errors.Join(problems...); err != nil {
		return configError("%w", err)
	}
	return nil
}

// folder makes the work folder and takes its lock.
func (t *Target) folder() error {
	if err := config.CheckFolder(filepath.Dir(t.dir)); err != nil {
		return err
	}
	if err := os.MkdirAll(t.dir, 0o700); err != nil {
		return configError("%w", err)
	}
	above := filepath.Dir(t.dir)
	//nolint:gosec // G302: folders need the right to be entered
	if err := errors.Join(os.Chmod(above, 0o700), os.Chmod(t.dir, 0o700), os.WriteFile(filepath.Join(above, ".gitignore"), []byte("*\n"), 0o600)); err != nil {
		return configError("%w", err)
	}
	release, err := takeLock(t.dir)
	if errors.Is(err, errServing) {
		who := ""
		if s, _, err := Read(t.o.Project.Dir); err == nil {
			who = fmt.Sprintf(" (process %d, since %s)", s.PID, s.Started.Local().Format(time.DateTime))
		}
		return configError("the project is deployed here already, by another process%s; end that with ^C, or with: hotreader destroy --target local --project %s", who, shell.Word(t.o.Project.Dir))
	}
	if err != nil {
		return configError("%w", err)
	}
	t.release = release
	// What a process that was killed has left is of no use.
	for _, name := range []string{stateFile, connectionsFile} {
		if err := os.Remove(filepath.Join(t.dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return configError("%w", err)
		}
	}
	t.token = config.NewToken()
	return nil
}

const connectionsFile = "config_inter_cloud.json"

// adopt makes the target responsible for a child, and watches it.
func (t *Target) adopt(c *child, p Run) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.children = append(t.children, c)
	t.state.Runs = append(t.state.Runs, p)
	go func() {
		<-c.exited
		t.mu.Lock()
		defer t.mu.Unlock()
		if !t.closing {
			select {
			case t.failures <- c.ended():
			default: // one is enough to know of
			}
		}
	}()
}

// serve serves h on a free port of this machine, and returns its address.
func (t *Target) serve(ctx context.Context, h http.Handler) (string, error) {
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	t.mu.Lock()
	t.servers = append(t.servers, s)
	t.mu.Unlock()
	go func() { _ = s.Serve(l) }() // until it is closed
	return l.Addr().String(), nil
}

// startSide starts one cloud's functions.
func (t *Target) startSide(ctx context.Context, s topology.Side) error {
	t.o.Began("unpacking the programs of " + string(s.Cloud))
	for _, tier := range s.Tiers {
		if err := os.MkdirAll(t.tier(tier), 0o700); err != nil {
			return err
		}
	}
	program, err := unpack(s.Cloud, t.o.Artifacts, filepath.Join(t.dir, "bin"))
	if err == nil {
		err = placeCatalog(t.o.Project, filepath.Dir(program))
	}
	if err != nil {
		return err
	}
	served := Served{}
	if s.Cloud == config.AWS {
		served, err = t.startFunctions(ctx, s, program)
	} else {
		served.URL, err = t.startServer(ctx, s, program)
	}
	t.state.Sides[string(s.Cloud)] = served
	return err
}

// env is the environment of a function.
func (t *Target) env(s topology.Side, f topology.Function) map[string]string {
	env := maps.Clone(f.Env)
	if env == nil {
		env = map[string]string{}
	}
	if f.Store {
		maps.Copy(env, t.hot.env)
	}
	if f.Remote {
		env["REMOTE_READER_URL"] = t.state.Sides[string(t.o.Topology.L3)].URL
	}
	for name, cloud := range f.Lower {
		env[name] = t.state.Sides[string(cloud)].URL
	}
	for _, tier := range s.Tiers {
		env["HOTREADER_"+strings.ToUpper(tier.Name)] = "file:" + t.tier(tier)
	}
	if s.Cloud == config.AWS {
		env["AWS_ENDPOINT_URL_IOTTWINMAKER"] = config.NoTwinMaker
	}
	if s.Token {
		env["INTER_CLOUD_TOKEN"] = t.token.Reveal()
	}
	return env
}

// tier is the folder that replaces a lower tier's bucket.
func (t *Target) tier(tier config.Tier) string { return filepath.Join(t.dir, tier.Name) }

// pairs writes an environment as programs are given it; later ones win.
func pairs(envs ...map[string]string) []string {
	all := map[string]string{}
	for _, e := range envs {
		maps.Copy(all, e)
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, name+"="+all[name])
	}
	return list
}

// startFunctions starts the functions on AWS, with Lambda and, before an API, API
// Gateway.
func (t *Target) startFunctions(ctx context.Context, s topology.Side, program string) (Served, error) {
	host := played.Lambda{}
	served := Served{Region: t.region(), Functions: map[config.Role]string{}}
	for _, f := range s.Functions {
		t.o.Began("starting " + f.Name + " on aws")
		fn := played.NewFunction(f.Name, t.region())
		runtimeAPI, err := t.serve(ctx, fn.RuntimeAPI())
		if err != nil {
			return served, err
		}
		c, err := runFunction(f.Name+" on aws", t.dir, pairs(fn.Env(string(f.Role), runtimeAPI), t.env(s, f), t.o.Env[f.Role]), program)
		if err != nil {
			return served, err
		}
		go func() {
			<-c.exited
			fn.Exit(c.err)
		}()
		p := Run{Name: f.Name, Cloud: s.Cloud, PID: c.pid()}
		err = await(ctx, c, func(context.Context) error { return polled(fn) })
		if err == nil && f.Role == config.API {
			p.Address, err = t.serve(ctx, played.APIGateway(fn))
			p.Address = "http://" + p.Address + "/" + played.Stage
			served.URL = p.Address
		}
		if err != nil {
			c.stop()
			return served, err
		}
		host[f.Name], served.Functions[f.Role] = fn, f.Name
		t.adopt(c, p)
	}
	at, err := t.serve(ctx, host)
	if err != nil {
		return served, err
	}
	served.LambdaURL = "http://" + at
	for i := range t.state.Runs {
		if p := &t.state.Runs[i]; p.Cloud == config.AWS && p.Address == "" {
			p.Address = served.LambdaURL + played.InvokePath(p.Name)
		}
	}
	return served, nil
}

// polled says whether a function has asked for its first event.
func polled(f *played.Function) error {
	select {
	case <-f.Polled():
		return nil
	default:
		return errors.New("it has not asked for an event yet")
	}
}

// startServer starts the program of Azure or Google Cloud, which serves all
// roles of a side, and returns where it is asked.
func (t *Target) startServer(ctx context.Context, s topology.Side, program string) (string, error) {
	f := s.Functions[0]
	name := f.Host + " on " + string(s.Cloud)
	t.o.Began("starting " + name)
	c, address, err := onFreePort(ctx, func(port string) (*child, error) {
		env := map[string]string{"PORT": port, "HOTREADER_HOST": "127.0.0.1", "K_SERVICE": f.Host}
		if s.Cloud == config.Azure {
			env = map[string]string{"FUNCTIONS_CUSTOMHANDLER_PORT": port}
		} else if !f.Store {
			env["GOOGLE_CLOUD_PROJECT"] = t.project()
		}
		return runFunction(name, t.dir, pairs(env, t.env(s, f), t.o.Env[f.Role]), program)
	}, healthy)
	if err != nil {
		return "", err
	}
	if s.Cloud == config.Azure {
		if address, err = t.serve(ctx, played.FunctionsHost(&url.URL{Scheme: "http", Host: address})); err != nil {
			c.stop()
			return "", err
		}
	}
	at := "http://" + address
	t.adopt(c, Run{Name: f.Host, Cloud: s.Cloud, PID: c.pid(), Address: at})
	return at, nil
}

// direct asks this machine, whatever proxy the environment names.
var direct = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func healthy(ctx context.Context, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/healthz", nil)
	if err != nil {
		return err
	}
	resp, err := direct.Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close() // it is not read
	if resp.StatusCode != http.StatusOK {
		return errors.New("/healthz answers " + resp.Status)
	}
	return nil
}

// connect writes the credentials file of this target: the project's own is the
// clouds'.
func (t *Target) connect() error {
	if len(t.o.Topology.Links) == 0 {
		return nil
	}
	all, err := config.OpenConnections(t.dir)
	if err != nil {
		return err
	}
	for _, l := range t.o.Topology.Links {
		all.Put(l.ID, config.Connection{Provider: l.Cloud, Function: t.o.Topology.Side(l.Cloud).Functions[0].Name,
			URL: t.state.Sides[string(l.Cloud)].URL, Token: t.token, RotatedAt: t.state.Started})
	}
	return all.Save()
}

// writeEvents writes what TwinMaker would send, for people to invoke functions
// with.
func (t *Target) writeEvents() error {
	if t.o.Topology.L4 != config.AWS {
		return nil
	}
	twin, now, events := t.o.Topology.Twin, time.Now(), map[string][]byte{}
	asked := func(d config.Device) bool { return len(d.Properties) > 0 && (t.o.Device == "" || t.o.Device == d.ID) }
	if i := slices.IndexFunc(t.o.Project.Devices, asked); i >= 0 {
		for _, role := range []config.Role{config.History, config.LastEntry} {
			events[string(role)] = doctor.Event(twin, doctor.DeviceOf(t.o.Project, t.o.Project.Devices[i]), role, 10, now)
		}
	}
	if shared := doctor.Shared(t.o.Project); shared.Type != "" {
		events[FleetEvent] = doctor.FleetEvent(twin, shared, now)
	}
	for name, text := range events {
		if err := render.ReplaceFile(filepath.Join(t.dir, name+".json"), bytes.NewReader(text)); err != nil {
			return err
		}
	}
	return nil
}

// FleetEvent is the name, without .json, of the file with an event about all devices of
// a component type.
const FleetEvent = "component-type"

// State returns what runs.
func (t *Target) State() State { return t.state }

// Shell returns the variables, as NAME=value, with which the command reaches hot
// storage under State().Store.URL.
func (t *Target) Shell() []string { return t.hot.shell }

// Dir returns the target's folder, which holds its credentials file.
func (t *Target) Dir() string { return t.dir }

// Failures returns a line for each program that has ended by itself, with what
// it wrote last. The others go on.
func (t *Target) Failures() <-chan error { return t.failures }

// Close ends every program: the functions, then hot storage. The folder stays,
// without what is no longer true: the state and the connection.
func (t *Target) Close() {
	t.mu.Lock()
	t.closing = true
	children, servers := t.children, t.servers
	t.children, t.servers = nil, nil
	t.mu.Unlock()
	var functions sync.WaitGroup
	for _, c := range children[min(1, len(children)):] { // the first is hot storage
		functions.Go(c.stop)
	}
	functions.Wait()
	for _, c := range children[:min(1, len(children))] {
		c.stop()
	}
	for _, s := range servers {
		_ = s.Close() // callers that still ask get no answer
	}
	if t.release != nil {
		for _, name := range []string{stateFile, connectionsFile} {
			_ = os.Remove(filepath.Join(t.dir, name)) // the next start removes it, too
		}
		t.release()
		t.release = nil
	}
}

func configError(format string, args ...any) error {
	return &hotreader.Error{Op: "local target", Code: hotreader.CodeConfig, Err: fmt.Errorf(format, args...)}
}
