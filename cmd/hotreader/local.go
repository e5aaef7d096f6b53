package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"hotreader"
	"hotreader/config"
	"hotreader/deploy"
	"hotreader/deploy/doctor"
	"hotreader/deploy/local"
)

// alsoLocal gives a command of the deployer the flag --target, and with it the
// second place where a project can be deployed: this machine.
func (a *app) alsoLocal(cmd *cobra.Command) *cobra.Command {
	target, o := "cloud", localDeploying{}
	f := cmd.Flags()
	f.StringVar(&target, "target", target, "where: cloud, or local, on this machine, with emulators")
	if cmd.Name() == "deploy" {
		f.StringVar(&o.engines, "engines", "", "local: the `folder` with the emulators (default: .engines, as make engines fills it)")
		f.StringVar(&o.device, "device", "", "local: `id` of the device that the doctor asks about (default: the first)")
		f.BoolVar(&o.once, "once", false, "local: end after the doctor, with its exit code")
		cmd.Example += "\n  hotreader deploy --project twin --target local"
		cmd.Long += `

With --target local the project is deployed to this machine: the same functions
as processes on loopback, hot storage as its cloud's emulator, and what the
clouds put in between played by stand-ins. It needs no account and no Terraform.
It runs until ^C, or with --once until the doctor has spoken, and data is in
memory only. What is left in .hotreader/local are the functions' programs, for
the next time, and the last events.`
	}
	words(cmd, "target", targets...)
	onCloud := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		local, err := isLocal(cmd.Name(), target)
		if err != nil {
			return err
		}
		if !local {
			for _, name := range []string{"engines", "device", "once"} {
				if cmd.Flags().Changed(name) {
					return usagef("%s: --%s is for --target local only", cmd.Name(), name)
				}
			}
			return onCloud(cmd, args)
		}
		for _, name := range []string{"only", "terraform", "install-terraform", "delete-data", "no-check"} {
			if cmd.Flags().Changed(name) {
				return usagef("%s: --%s is not for --target local", cmd.Name(), name)
			}
		}
		text := func(name string) string {
			if flag := cmd.Flags().Lookup(name); flag != nil {
				return flag.Value.String()
			}
			return ""
		}
		p, err := config.LoadProject(text("project"))
		if err != nil {
			return err
		}
		o.asJSON = text("json") == "true"
		switch cmd.Name() {
		case "status":
			return a.statusLocal(p, o.asJSON)
		case "destroy":
			return a.destroyLocal(cmd.Context(), p)
		}
		if o.artifacts, err = artifactsFolder(text("artifacts"), p.Dir); err != nil {
			return err
		}
		return a.deployLocal(cmd.Context(), p, o)
	}
	return cmd
}

// localDeploying is what deploy --target local is told beside the project.
type localDeploying struct {
	engines   string // the folder of make engines; "" = .engines, here or beside the program's folder
	artifacts string // the folder of make dist
	device    string // whom the doctor asks about; "" = the first
	once      bool   // end after the doctor
	asJSON    bool
}

// localAnswer is the shape of deploy --target local --json, one line.
type localAnswer struct {
	State  local.State   `json:"state"`
	Doctor doctor.Report `json:"doctor"`
}

// deployLocal starts a project on this machine, examines it, and serves until
// ctx ends.
func (a *app) deployLocal(ctx context.Context, p *config.Project, o localDeploying) error {
	topology, err := deploy.NewTopology(p)
	if err != nil {
		return err
	}
	if _, err := deviceOf(p, o.device); err != nil { // before anything is started
		return err
	}
	engines, err := enginesFolder(o.engines, p.Dir)
	if err != nil {
		return err
	}
	line := newProgress(a.stderr)
	target, err := local.Start(ctx, local.Options{
		Project: p, Topology: topology,
		Engines:   engines,
		Artifacts: o.artifacts,
		Began:     func(what string) { line.put(what) },
	})
	line.clear()
	if err != nil {
		return err
	}
	defer target.Close()
	state := target.State()
	if !o.asJSON {
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
		return nil // told to end: run says so
	}
	if o.asJSON {
		err = json.NewEncoder(a.stdout).Encode(localAnswer{state, report})
	} else {
		err = a.printReport(&report)
	}
	if err != nil {
		return writeEnd(err)
	}
	if o.once {
		return unwell(&report)
	}
	if !o.asJSON {
		a.sayLocal(p, target, in.Device)
	}
	err = a.serveLocal(ctx, target)
	target.Close()
	a.note("%s is stopped; nothing of it runs on this machine any more, and its data is gone", p.Twin)
	return err
}

// serveLocal waits for the end, and tells of each program that does not.
func (a *app) serveLocal(ctx context.Context, target *local.Target) error {
	broken := 0
	for {
		select {
		case err := <-target.Failures():
			broken++
			a.note("%s %s", a.talk.bad("hotreader:"), err)
			a.note("the others go on; `hotreader doctor --target local` tells what that breaks")
		case <-ctx.Done():
			if broken > 0 {
				return fmt.Errorf("deploy: %s ended meanwhile", plural(broken, "program", "programs"))
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
	if _, err := os.Stat(folder); err != nil {
		if self, err := os.Executable(); err == nil { // in bin or dist of the source
			if dir := filepath.Join(filepath.Dir(filepath.Dir(self)), folder); isFolder(dir) {
				return dir, nil
			}
		}
	}
	return ours(folder, "--engines", project)
}

func isFolder(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

func (a *app) printRuns(s *local.State) error {
	t := newTable(a.stdout, a.data, "CLOUD", "WHAT", "PID", "WHERE")
	t.right[2] = true
	for _, p := range s.Runs {
		t.row(cell{text: string(p.Cloud)}, cell{text: p.Name}, cell{strconv.Itoa(p.PID), a.data.dim}, cell{text: p.Address})
	}
	return writeEnd(t.end())
}

// sayLocal tells what to type.
func (a *app) sayLocal(p *config.Project, target *local.Target, d doctor.Device) {
	w, me, s := a.stdout, invocation(), target.State()
	shell := strings.Join(append(target.Shell(), ""), " ")
	fmt.Fprintf(w, "\n%s\n\n", a.data.bold("It runs until ^C; data is in memory only. In another terminal:"))
	fmt.Fprintf(w, "  # fill it: %s\n", s.Store.Is)
	fmt.Fprintf(w, "  %s%s import --store '%s' --device %s --rename value=%s examples/pump.csv\n", shell, me, s.Store.URL, d.ID, d.Properties[0])
	if at := s.Sides[string(p.L3)].URL; at != "" {
		fmt.Fprintln(w, "  # the door of hot storage's cloud")
		fmt.Fprintf(w, "  export %s=$(jq -r '.connections[].token' %s)\n", tokenVariable, filepath.Join(target.Dir(), "config_inter_cloud.json"))
		fmt.Fprintf(w, "  %s query --remote %s --device %s --property %s --limit 5\n", me, at, d.ID, d.Properties[0])
	}
	switch side := s.Sides[string(p.L4)]; {
	case p.L4 == config.AWS:
		fmt.Fprintln(w, "  # as TwinMaker asks")
		fmt.Fprintf(w, "  curl -d @%s %s/2015-03-31/functions/%s/invocations\n",
			filepath.Join(target.Dir(), string(config.History)+".json"), side.LambdaURL, side.Functions[config.History])
	case p.L3 != p.L4:
		fmt.Fprintln(w, "  # as dashboards ask the twin's reader")
		fmt.Fprintf(w, "  curl -H \"X-Inter-Cloud-Token: $%s\" '%s/v1/devices/%s/latest?property=%s'\n", tokenVariable, side.URL, d.ID, d.Properties[0])
	}
	fmt.Fprintf(w, "  %s doctor --project %s --target local\n\n", me, p.Dir)
}

// localStatus is the shape of status --target local --json.
type localStatus struct {
	Serving bool         `json:"serving"`
	State   *local.State `json:"state,omitempty"`
}

// statusLocal tells what runs on this machine.
func (a *app) statusLocal(p *config.Project, asJSON bool) error {
	state, serving, err := local.Read(p.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !serving {
		state = nil
	}
	if asJSON {
		return writeEnd(json.NewEncoder(a.stdout).Encode(localStatus{serving, state}))
	}
	if !serving {
		return notServing("status", p)
	}
	if err := a.printRuns(state); err != nil {
		return err
	}
	var dead []string
	for _, r := range state.Runs {
		if !r.Alive() {
			dead = append(dead, r.Name)
		}
	}
	if len(dead) > 0 {
		return &hotreader.Error{Op: "status", Code: hotreader.CodeStore, Err: errors.New("ended by themselves: " + strings.Join(dead, ", "))}
	}
	return nil
}

// destroyLocal ends what runs on this machine. What it holds is in memory, and
// gone with it.
func (a *app) destroyLocal(ctx context.Context, p *config.Project) error {
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
