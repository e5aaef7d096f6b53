package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hotreader"
	"hotreader/cmd/hotreader/internal/terminal"
	"hotreader/config"
	"hotreader/deploy"
	"hotreader/deploy/doctor"
	"hotreader/deploy/local"
	"hotreader/deploy/topology"
	"hotreader/internal/shell"
)

// errUnwell ends a command whose examination found a broken component and has said so.
var errUnwell = errors.New("the link is broken")

type examining struct {
	project, target, device string
	asJSON                  bool
	timeout                 time.Duration
}

func (a *app) doctor() *cobra.Command {
	d := examining{}
	cmd := &cobra.Command{
		Use:   "doctor --project DIR",
		Short: "Send real queries through a deployed link, and name the broken component",
		Long: `Send real queries through a deployed link, and name the component that is broken,
why, and what to do: the credentials file, the Hot Reader API in hot storage's cloud,
hot storage that it reads, and the twin's reader, which on AWS is invoked as IoT
TwinMaker invokes it. Also that none of them answers without the token.

Nothing is changed. A device that has no data yet is a warning.

The credentials are those of Terraform: to invoke the functions on AWS they need
lambda:InvokeFunction.

Exit code 0: every component works. 1: one does not.`,
		Example: `  hotreader doctor --project factory
  hotreader doctor --project factory --target local
  hotreader doctor --project factory --json | jq -r '.broken[]'`,
		Args: noArgs,
	}
	f := cmd.Flags()
	f.StringVar(&d.project, "project", ".", "the project `folder`")
	f.StringVar(&d.target, "target", "cloud", "where it is deployed: cloud, or local, on this machine")
	f.StringVar(&d.device, "device", "", "`id` of the device to ask about (default: the first that is configured)")
	f.DurationVar(&d.timeout, "timeout", 30*time.Second, "how long one answer may take")
	f.BoolVar(&d.asJSON, "json", false, "print the result as JSON")
	f.SortFlags = false
	words(cmd, "target", targets...)
	complete(cmd, "device", projectIDs(&d.project))
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		onThisMachine, err := isLocal(cmd.Name(), d.target)
		if err != nil {
			return err
		}
		p, err := config.LoadProject(d.project)
		if err != nil {
			return err
		}
		if onThisMachine {
			return a.doctorLocal(cmd.Context(), p, &d)
		}
		return a.doctorClouds(cmd.Context(), p, &d)
	}
	return cmd
}

// doctorClouds examines a project on the clouds, with what Terraform knows of them.
func (a *app) doctorClouds(ctx context.Context, p *config.Project, d *examining) error {
	a.sayLocalToo("doctor", p.Dir)
	var err error
	e := &deploy.Engine{Project: p}
	if e.Artifacts, err = artifactsFolder("", p.Dir); err != nil {
		return err
	}
	if e.Terraform, err = deploy.FindTerraform(ctx, ""); err != nil {
		a.note("what was deployed is not known, only what the names and the credentials file say: %v", err)
		return a.doctorCloud(ctx, p, d, nil)
	}
	deployed, err := outputsOf(ctx, e)
	if err != nil {
		return err
	}
	if len(deployed) == 0 {
		a.note("%s is not deployed on a cloud, as far as this folder knows; deploy it with: hotreader deploy --project %s", p.Twin, shell.Word(p.Dir))
	}
	return a.doctorCloud(ctx, p, d, deployed)
}

// doctorCloud examines what is deployed on the clouds. deployed is what their
// deployments say; without it, names and the credentials file have to do.
func (a *app) doctorCloud(ctx context.Context, p *config.Project, d *examining, deployed map[config.Cloud]doctor.Deployed) error {
	if side := deployed[config.AWS]; side.Region == "" && p.Options.AWS.Region != "" && (p.L3 == config.AWS || p.L4 == config.AWS) {
		side.Region = p.Options.AWS.Region
		if deployed == nil {
			deployed = map[config.Cloud]doctor.Deployed{}
		}
		deployed[config.AWS] = side
	}
	in, err := examination(p, p.Dir, d)
	if err != nil {
		return err
	}
	in.Deployed = deployed
	in.Issuer = func(ctx context.Context) (string, error) { return deploy.Issuer(ctx, p.Options.AWS.Region) }
	return a.examine(ctx, p, in, d)
}

// outputsOf is what the deployments of a project's clouds say of themselves.
func outputsOf(ctx context.Context, e *deploy.Engine) (map[config.Cloud]doctor.Deployed, error) {
	sides, err := e.Outputs(ctx)
	if err != nil {
		return nil, err
	}
	all := map[config.Cloud]doctor.Deployed{}
	for _, s := range sides {
		if !s.Deployed {
			continue
		}
		d := doctor.Deployed{URL: s.URL, Region: s.Region, Store: s.Store, Subject: s.Subject, Trust: s.Trust, Functions: map[config.Role]string{}}
		for role, f := range s.Functions {
			d.Functions[config.Role(role)] = f.Name
		}
		all[s.Cloud] = d
	}
	return all, nil
}

// doctorLocal examines what is deployed on this machine.
func (a *app) doctorLocal(ctx context.Context, p *config.Project, d *examining) error {
	state, serving, err := local.Read(p.Dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !serving {
		return notServing("doctor", p)
	}
	if err != nil {
		return err
	}
	if err := ended("doctor", state); err != nil { // what that breaks is shown all the same
		a.note("%v", err)
	}
	in, err := examinationLocal(p, state, d)
	if err != nil {
		return err
	}
	return a.examine(ctx, p, in, d)
}

func notServing(command string, p *config.Project) error {
	return &hotreader.Error{Op: command, Code: hotreader.CodeConfig,
		Err: fmt.Errorf("%s is not deployed on this machine; start it with: hotreader deploy --target local --project %s", p.Twin, shell.Word(p.Dir))}
}

func examinationLocal(p *config.Project, state *local.State, d *examining) (doctor.Input, error) {
	p.Options.Identity = "" // as deploy has it
	in, err := examination(p, local.Dir(p.Dir), d)
	in.Deployed, in.Target = state.Deployed(), " --target local"
	return in, err
}

// examination is what the doctor needs to know; the folder is that of the
// credentials file.
func examination(p *config.Project, folder string, d *examining) (in doctor.Input, err error) {
	all, err := config.OpenConnections(folder)
	if err != nil {
		return in, err
	}
	top, err := topology.New(p)
	if err != nil {
		return in, err
	}
	device, err := deviceOf(p, d.device)
	if err != nil {
		return in, err
	}
	in = doctor.Input{Topology: top, Device: doctor.DeviceOf(p, device), Shared: doctor.Shared(p), Project: p.Dir, Timeout: d.timeout}
	if top.Connection != "" {
		in.Link = doctor.LinkOf(all, top.Connection)
	}
	return in, nil
}

// deviceOf returns the device of that id; of "", the first that has properties.
func deviceOf(p *config.Project, id string) (config.Device, error) {
	var ids []string
	for _, device := range p.Devices {
		ids = append(ids, device.ID)
		if len(device.Properties) > 0 && (id == "" || id == device.ID) {
			return device, nil
		}
		if id == device.ID {
			return device, usagef("doctor: --device %s has no properties in %s", id, filepath.Join(p.Dir, "config_iot_devices.json"))
		}
	}
	if id == "" {
		return config.Device{}, &hotreader.Error{Op: "doctor", Code: hotreader.CodeConfig,
			Err: errors.New("config_iot_devices.json names no device with properties, so there is nothing to ask for; add one")}
	}
	return config.Device{}, usagef("doctor: --device %s is not configured; %s", id, meantOr(id, ids))
}

// examine runs the doctor and prints what it found.
func (a *app) examine(ctx context.Context, p *config.Project, in doctor.Input, d *examining) error {
	if d.device == "" && len(p.Devices) > 1 {
		a.note("asks about %s alone, of %d devices; --device ID asks about another", terminal.Printable(in.Device.ID), len(p.Devices))
	}
	report := a.diagnose(ctx, in)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var err error
	if d.asJSON {
		err = a.printJSON(report)
	} else {
		err = a.printReport(&report)
	}
	return cmp.Or(err, unwell(&report))
}

func (a *app) diagnose(ctx context.Context, in doctor.Input) doctor.Report {
	line := a.line
	in.Asking = func(component string) { line.Show("asking %s", component) }
	defer line.Clear()
	return doctor.Run(ctx, in)
}

// unwell is an error if a component is broken.
func unwell(r *doctor.Report) error {
	if r.OK {
		return nil
	}
	return fmt.Errorf("doctor: broken: %s: %w", cmp.Or(strings.Join(r.Broken, ", "), "see above"), errUnwell)
}

// printReport prints a report: a table on a terminal, else a line for each
// check.
func (a *app) printReport(r *doctor.Report) error {
	if terminal.Is(a.stdout) {
		return a.printReportTable(r)
	}
	for _, c := range r.Checks {
		var text strings.Builder
		fmt.Fprintf(&text, "%-7s %s: %s", c.Verdict, c.Component(), c.Name)
		if at := checkTime(c); at != "" {
			text.WriteString(" (" + at + ")")
		}
		for _, more := range []struct{ before, text string }{
			{": ", terminal.Printable(c.Says)}, {"; because of: ", c.Behind}, {"; to do: ", terminal.Printable(c.Remedy)},
		} {
			if more.text != "" {
				text.WriteString(more.before + more.text)
			}
		}
		if _, err := fmt.Fprintln(a.stdout, text.String()); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) printReportTable(r *doctor.Report) error {
	looks := map[doctor.Verdict]func(string) string{doctor.OK: a.data.Good, doctor.Warning: a.data.Line, doctor.Failed: a.data.Bad, doctor.Skipped: a.data.Dim}
	t := terminal.NewTable(a.stdout, a.data, "COMPONENT", "CHECK", "VERDICT", "TIME", "")
	t.Right(3)
	var wrong strings.Builder
	before := ""
	for _, c := range r.Checks {
		at, says := c.Component(), terminal.Printable(c.Says)
		if at == before {
			at = ""
		}
		before = c.Component()
		if c.Verdict == doctor.Warning || c.Verdict == doctor.Failed { // it follows below, in full
			fmt.Fprintf(&wrong, "\n%s %s: %s\n", looks[c.Verdict](c.Component()+", "+c.Name+":"), c.Verdict, says)
			if c.Behind != "" {
				fmt.Fprintf(&wrong, "  because of: %s\n", c.Behind)
			}
			if c.Remedy != "" {
				fmt.Fprintf(&wrong, "  to do: %s\n", terminal.Printable(c.Remedy))
			}
			says = ""
		}
		t.Row(terminal.Cell{Text: at}, terminal.Cell{Text: c.Name}, terminal.Cell{Text: string(c.Verdict), Look: looks[c.Verdict]},
			terminal.Cell{Text: checkTime(c), Look: a.data.Dim}, terminal.Cell{Text: says, Look: a.data.Dim})
	}
	if err := t.End(); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout, wrong.String())
	if r.OK {
		fmt.Fprintf(a.stdout, "%s from %s to %s.\n", a.data.Good("Every component is well,"), r.L4, r.L3)
	}
	return nil
}

func checkTime(c doctor.Check) string {
	if c.Took == 0 {
		return ""
	}
	return terminal.Took(c.Took)
}
