package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"hotreader"
	"hotreader/cmd/hotreader/internal/terminal"
	"hotreader/config"
	"hotreader/deploy/doctor"
	"hotreader/deploy/local"
	"hotreader/deploy/topology"
	"hotreader/internal/shell"
)

// localText is the help of deploy --target local.
const localText = `

With --target local the project is deployed to this machine: the same functions
as processes on loopback, hot storage as its cloud's emulator, and what the
clouds put in between played by stand-ins. Of the emulators, DynamoDB Local listens
on every address, and checks no credentials. It needs no account and no Terraform.
It runs until ^C, or with --once until the doctor has spoken, and data is in
memory only. What is left in .hotreader/local are the functions' programs, for
the next time, and the last events.`

// localDeploying are the arguments of deploy --target local beside the others.
type localDeploying struct {
	engines string // the folder of make emulators; "" = .engines, here or beside the program's folder
	device  string // of the doctor's queries; "" = the first
	once    bool   // end after the doctor
}

func (o *localDeploying) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.engines, "engines", "", "local: the `folder` with the emulators (default: .engines, as make emulators fills it)")
	f.StringVar(&o.device, "device", "", "local: `id` of the device that the doctor and the events ask about (default: the first)")
	f.BoolVar(&o.once, "once", false, "local: end after the doctor, with its exit code")
}

// localAnswer is the shape of deploy --target local --json, one line.
type localAnswer struct {
	State  local.State   `json:"state"`
	Doctor doctor.Report `json:"doctor"`
}

// deploy starts a project on this machine, examines it, and serves until
// ctx ends.
func (o *localDeploying) deploy(ctx context.Context, d *deployment) error {
	a := d.app
	p, target, err := o.start(ctx, d)
	if err != nil {
		return err
	}
	defer target.Close()
	state := target.State()
	if !d.json {
		if err := a.printRuns(&state); err != nil {
			return err
		}
		fmt.Fprintln(a.stdout)
	}
	in, err := examinationLocal(p, &state, &examining{device: o.device})
	if err != nil {
		return err
	}
	report := a.diagnose(ctx, in)
	if ctx.Err() != nil {
		return nil // a signal ended it: run says so
	}
	if d.json {
		err = a.printJSON(localAnswer{state, report})
	} else {
		err = a.printReport(&report)
	}
	if err != nil {
		return err
	}
	if o.once {
		return unwell(&report)
	}
	if !d.json {
		a.sayLocal(p, &state, target.Shell(), in.Device)
	}
	err = a.serveLocal(ctx, p, target)
	target.Close()
	a.note("%s is stopped; nothing of it runs on this machine any more, and its data is gone", p.Twin)
	return err
}

func (o *localDeploying) start(ctx context.Context, d *deployment) (*config.Project, *local.Target, error) {
	p, err := config.LoadProject(d.project)
	if err != nil {
		return nil, nil, err
	}
	if index := p.Options.Layout.Index; index != "" {
		p.Options.Layout.Index = ""
		d.app.note("the emulator's table gets the keys of the index %s as its own", index)
	}
	artifacts, err := artifactsFolder(d.artifacts, p.Dir)
	if err != nil {
		return nil, nil, err
	}
	p.Options.Identity = "" // no cloud signs anything here
	top, err := topology.New(p)
	if err != nil {
		return nil, nil, err
	}
	if _, err := deviceOf(p, o.device); err != nil { // before anything is started
		return nil, nil, err
	}
	engines, err := enginesFolder(o.engines, p.Dir)
	if err != nil {
		return nil, nil, err
	}
	if p.L3 == config.AWS {
		d.app.note("DynamoDB Local listens on every address of this machine and checks no credentials: other machines reach its records unless a firewall keeps them out")
	}
	line := d.app.line
	defer line.Clear()
	target, err := local.Start(ctx, local.Options{
		Project: p, Topology: top, Engines: engines, Artifacts: artifacts, Device: o.device, Began: line.Put,
	})
	return p, target, err
}

// serveLocal waits for the end, and reports each program that ends before.
func (a *app) serveLocal(ctx context.Context, p *config.Project, target *local.Target) error {
	broken := 0
	for {
		select {
		case err := <-target.Failures():
			broken++
			a.note("%s %s", a.talk.Bad("hotreader:"), err)
			a.note("the others go on; `hotreader doctor --target local --project %s` shows what that breaks", shell.Word(p.Dir))
		case <-ctx.Done():
			if broken > 0 {
				return fmt.Errorf("deploy: %s ended meanwhile", terminal.Plural(broken, "program", "programs"))
			}
			return nil
		}
	}
}

// enginesFolder returns the folder with the emulators. Where none is found it
// returns the likeliest, for the error to name.
func enginesFolder(named, project string) (string, error) {
	const folder = ".engines"
	if named != "" {
		return named, nil
	}
	if self, err := os.Executable(); err == nil { // in bin or dist of the source
		if dir := filepath.Join(filepath.Dir(filepath.Dir(self)), folder); isFolder(dir) {
			return dir, nil
		}
	}
	return ours(folder, "--engines", project)
}

func isFolder(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// sayLocalToo says to a command that asks the clouds what runs on this machine.
func (a *app) sayLocalToo(command, project string) {
	if s, serving, err := local.Read(project); err == nil && serving {
		a.note("this asks the clouds; %s runs on this machine, too: hotreader %s --target local --project %s", terminal.Printable(s.Twin), command, shell.Word(project))
	}
}

func (a *app) printRuns(s *local.State) error {
	t := terminal.NewTable(a.stdout, a.data, "CLOUD", "WHAT", "PID", "WHERE")
	t.Right(2)
	for _, p := range s.Runs {
		t.Row(terminal.Cell{Text: string(p.Cloud)}, terminal.Cell{Text: p.Name}, terminal.Cell{Text: strconv.Itoa(p.PID), Look: a.data.Dim}, terminal.Cell{Text: p.Address})
	}
	return t.End()
}

// sayLocal shows commands to type.
func (a *app) sayLocal(p *config.Project, s *local.State, variables []string, d doctor.Device) {
	w, me, dir, quoted := a.stdout, invocation(), local.Dir(p.Dir), shell.Word
	fmt.Fprintf(w, "\n%s\n\n", a.data.Bold("It runs until ^C; data is in memory only, in "+terminal.Printable(s.Store.Is)+". In another terminal:"))
	fmt.Fprintln(w, "  # fill it from a file of your own") // a shell may read what is behind a #, as zsh does: nothing of the project's
	fmt.Fprintf(w, "  %s%s import --store %s --device %s --rename value=%s FILE.csv\n", strings.Join(append(variables, ""), " "), me, quoted(s.Store.URL), quoted(d.ID), quoted(d.Properties[max(0, slices.Index(d.Types, hotreader.Double))]))
	if at := s.Sides[string(p.L3)].URL; at != "" {
		fmt.Fprintln(w, "  # hot storage's API")
		fmt.Fprintf(w, "  export %s=$(jq -r '.connections[].token' %s)\n", tokenVariable, quoted(filepath.Join(dir, "config_inter_cloud.json")))
		fmt.Fprintf(w, "  %s query --remote %s --device %s --property %s --limit 5\n", me, at, quoted(d.ID), quoted(d.Properties[0]))
	}
	fmt.Fprintln(w, "  # what the functions log")
	fmt.Fprintf(w, "  tail -n 20 %s/*%s\n", quoted(dir), local.LogSuffix)
	switch side := s.Sides[string(p.L4)]; {
	case p.L4 == config.AWS:
		ask := func(how, event string, role config.Role) {
			fmt.Fprintf(w, "  # as %s\n  curl -d @%s %s/2015-03-31/functions/%s/invocations\n",
				how, quoted(filepath.Join(dir, event+".json")), side.LambdaURL, side.Functions[role])
		}
		ask("TwinMaker asks for a history", string(config.History), config.History)
		ask("TwinMaker asks for latest values", string(config.LastEntry), config.LastEntry)
		if shared := doctor.Shared(p); shared.Type != "" {
			ask("an alarm panel asks, about all devices of the type "+quoted(shared.Type), local.FleetEvent, config.History)
		}
	case p.L3 != p.L4:
		fmt.Fprintln(w, "  # as dashboards ask the twin's reader")
		fmt.Fprintf(w, "  curl -H \"X-Inter-Cloud-Token: $%s\" '%s/v1/devices/%s/latest?property=%s'\n", tokenVariable, side.URL, url.PathEscape(d.ID), url.QueryEscape(d.Properties[0]))
	}
	fmt.Fprintf(w, "  %s doctor --project %s --target local --device %s\n\n", me, quoted(p.Dir), quoted(d.ID))
}

// localStatus is the shape of status --target local --json.
type localStatus struct {
	Serving bool         `json:"serving"`
	State   *local.State `json:"state,omitempty"`
}

// statusLocal reports what runs on this machine.
func (a *app) statusLocal(_ context.Context, d *deployment) error {
	p, err := config.LoadProject(d.project)
	if err != nil {
		return err
	}
	state, serving, err := local.Read(p.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !serving {
		state = nil
	}
	if d.json {
		return a.printJSON(localStatus{serving, state})
	}
	if !serving {
		return notServing("status", p)
	}
	if err := a.printRuns(state); err != nil {
		return err
	}
	return ended("status", state)
}

// ended returns the error of programs that do not run any more.
func ended(command string, state *local.State) error {
	var dead []string
	for _, r := range state.Runs {
		if !r.Alive() {
			dead = append(dead, r.Name)
		}
	}
	if len(dead) == 0 {
		return nil
	}
	return &hotreader.Error{Op: command, Code: hotreader.CodeStore,
		Err: fmt.Errorf("ended by themselves: %s; press ^C where deploy runs, then deploy again", strings.Join(dead, ", "))}
}

// destroyLocal ends what runs on this machine. What it holds is in memory, and
// gone with it.
func (a *app) destroyLocal(ctx context.Context, d *deployment) error {
	p, err := config.LoadProject(d.project)
	if err != nil {
		return err
	}
	there, err := local.Destroy(ctx, p.Dir)
	if err != nil {
		return err
	}
	if there {
		a.note("%s does not run on this machine any more, and its folder %s is removed.", p.Twin, local.Dir(p.Dir))
	} else {
		a.note("%s is not deployed on this machine.", p.Twin)
	}
	return nil
}
