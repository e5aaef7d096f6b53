package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hotreader"
	"hotreader/config"
	"hotreader/deploy"
	"hotreader/deploy/doctor"
	"hotreader/deploy/local"
	"hotreader/internal/nearest"
)

// errUnwell ends a command whose examination found a broken hop and has said so.
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
		Short: "Send real queries through a deployed link, and say which hop is broken",
		Long: `Send real queries through a deployed link, and say which hop is broken, why,
and what to do: the connection file, the Hot Reader API in hot storage's cloud,
hot storage behind it, and the twin's reader, which on AWS is invoked as IoT
TwinMaker invokes it. Also that none of them answers without the token.

Nothing is changed. A device that has no data yet is a warning.

The credentials are those of Terraform: to invoke the functions on AWS they need
lambda:InvokeFunction.

Exit code 0: every hop is well. 1: one is not.`,
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
		e := &deploy.Engine{Project: p}
		if e.Artifacts, err = artifactsFolder("", p.Dir); err != nil {
			return err
		}
		if e.Terraform, err = deploy.FindTerraform(cmd.Context(), ""); err != nil {
			a.note("what was deployed is not known, only what the names and the connection file tell: %v", err)
			return a.doctorCloud(cmd.Context(), p, &d, nil)
		}
		deployed, err := outputsOf(cmd.Context(), e)
		if err != nil {
			return err
		}
		return a.doctorCloud(cmd.Context(), p, &d, deployed)
	}
	return cmd
}

// targets are the words of --target.
var targets = []string{"cloud", "local"}

// isLocal reads --target.
func isLocal(command, target string) (bool, error) {
	switch target {
	case "cloud":
		return false, nil
	case "local":
		return true, nil
	}
	if meant := nearest.Word(target, targets); meant != "" {
		return false, usagef("%s: --target %s is unknown; did you mean %s?", command, target, meant)
	}
	return false, usagef("%s: --target %s is unknown; there are cloud and local", command, target)
}

// doctorCloud examines what is deployed on the clouds. deployed is what their
// deployments say; without it, names and the connection file have to do.
func (a *app) doctorCloud(ctx context.Context, p *config.Project, d *examining, deployed map[config.Cloud]doctor.Deployed) error {
	all, err := config.OpenConnections(p.Dir)
	if err != nil {
		return err
	}
	for _, c := range []config.Cloud{p.L3, p.L4} {
		if side := deployed[c]; c == config.AWS && side.Region == "" && p.Options.AWS.Region != "" {
			if deployed == nil {
				deployed = map[config.Cloud]doctor.Deployed{}
			}
			side.Region = p.Options.AWS.Region
			deployed[c] = side
		}
	}
	in, err := examination(p, all, d)
	if err != nil {
		return err
	}
	in.Deployed = deployed
	return a.examine(ctx, in, d.asJSON)
}

// outputsOf is what the deployments of a project's clouds say of themselves.
func outputsOf(ctx context.Context, e *deploy.Engine) (map[config.Cloud]doctor.Deployed, error) {
	sides, err := e.Outputs(ctx)
	if err != nil {
		return nil, err
	}
	all := map[config.Cloud]doctor.Deployed{}
	for _, s := range sides {
		if !s.Stands {
			continue
		}
		d := doctor.Deployed{URL: s.URL, Region: s.Region, Store: s.Store, Functions: map[config.Role]string{}}
		for role, f := range s.Functions {
			d.Functions[config.Role(role)] = f.Name
		}
		all[s.Cloud] = d
	}
	return all, nil
}

// settling is how long a cloud may take until what was just deployed works:
// permissions and routes spread slowly.
const settling = 90 * time.Second

// checkLink proves a link that was just deployed: it examines it, again and
// again for a while if something is broken, and prints the last report.
func (a *app) checkLink(e *deploy.Engine) func(context.Context) error {
	return func(ctx context.Context) error {
		deployed, err := outputsOf(ctx, e)
		if err != nil {
			return err
		}
		all, err := config.OpenConnections(e.Project.Dir)
		if err != nil {
			return err
		}
		in, err := examination(e.Project, all, &examining{})
		if err != nil {
			return err
		}
		in.Deployed = deployed
		talk := &app{stdout: a.stderr, stderr: a.stderr, data: a.talk, talk: a.talk, now: a.now}
		for end := a.now().Add(settling); ; {
			report := a.diagnose(ctx, in)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if report.OK || a.now().After(end) {
				return errors.Join(talk.printReport(&report), unwell(&report))
			}
			a.note("not well yet (%s); looking again in 10 s", strings.Join(report.Broken, ", "))
			select {
			case <-time.After(10 * time.Second):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
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
	in, err := examinationLocal(p, state, d)
	if err != nil {
		return err
	}
	return a.examine(ctx, in, d.asJSON)
}

func notServing(command string, p *config.Project) error {
	return &hotreader.Error{Op: command, Code: hotreader.CodeConfig,
		Err: fmt.Errorf("%s is not deployed on this machine; start it with: hotreader deploy --target local --project %s", p.Twin, p.Dir)}
}

func examinationLocal(p *config.Project, state *local.State, d *examining) (doctor.Input, error) {
	all, err := config.OpenConnections(local.Dir(p.Dir))
	if err != nil {
		return doctor.Input{}, err
	}
	in, err := examination(p, all, d)
	in.Deployed, in.Target = state.Deployed(), " --target local"
	return in, err
}

func examination(p *config.Project, all *config.Connections, d *examining) (doctor.Input, error) {
	topology, err := deploy.NewTopology(p)
	if err != nil {
		return doctor.Input{}, err
	}
	device, err := deviceOf(p, d.device)
	if err != nil {
		return doctor.Input{}, err
	}
	in := doctor.Input{Topology: topology, Device: doctor.DeviceOf(device), Project: p.Dir, Timeout: d.timeout}
	if topology.Connection != "" {
		in.Link = doctor.LinkOf(all, topology.Connection)
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
	if meant := nearest.Word(id, ids); meant != "" {
		return config.Device{}, usagef("doctor: --device %s is not configured; did you mean %s?", id, meant)
	}
	return config.Device{}, usagef("doctor: --device %s is not configured; there are %s", id, strings.Join(ids, ", "))
}

// examine runs the doctor and prints what it found.
func (a *app) examine(ctx context.Context, in doctor.Input, asJSON bool) error {
	report := a.diagnose(ctx, in)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if asJSON {
		if err := json.NewEncoder(a.stdout).Encode(report); err != nil {
			return writeEnd(err)
		}
	} else if err := a.printReport(&report); err != nil {
		return err
	}
	return unwell(&report)
}

func (a *app) diagnose(ctx context.Context, in doctor.Input) doctor.Report {
	line := newProgress(a.stderr)
	in.Asking = func(hop string) { line.show("asking %s", hop) }
	defer line.clear()
	return doctor.Run(ctx, in)
}

// unwell is an error if a hop is broken.
func unwell(r *doctor.Report) error {
	if r.OK {
		return nil
	}
	return fmt.Errorf("doctor: broken: %s: %w", cmp.Or(strings.Join(r.Broken, ", "), "see above"), errUnwell)
}

// printReport prints a report: a table on a terminal, else a line for each
// check.
func (a *app) printReport(r *doctor.Report) error {
	looks := map[doctor.Verdict]func(string) string{doctor.OK: a.data.good, doctor.Warning: a.data.line, doctor.Failed: a.data.bad, doctor.Skipped: a.data.dim}
	if width := terminalWidth(a.stdout); width > 0 {
		t := newTable(a.stdout, a.data, "HOP", "CHECK", "VERDICT", "TIME", "")
		t.right[3] = true
		before := ""
		for _, c := range r.Checks {
			at, says := c.Hop(), ""
			if at == before {
				at = ""
			}
			before = c.Hop()
			if c.Verdict == doctor.OK || c.Verdict == doctor.Skipped { // what is wrong stands below, in full
				says = printable(c.Says)
			}
			t.row(cell{text: at}, cell{text: c.Name}, cell{string(c.Verdict), looks[c.Verdict]}, cell{checkTime(c), a.data.dim}, cell{says, a.data.dim})
		}
		if err := t.end(); err != nil {
			return writeEnd(err)
		}
		for _, c := range r.Checks {
			if c.Verdict != doctor.Warning && c.Verdict != doctor.Failed {
				continue
			}
			fmt.Fprintf(a.stdout, "\n%s %s: %s\n", looks[c.Verdict](c.Hop()+", "+c.Name+":"), c.Verdict, printable(c.Says))
			if c.Behind != "" {
				fmt.Fprintf(a.stdout, "  because of: %s\n", c.Behind)
			}
			if c.Remedy != "" {
				fmt.Fprintf(a.stdout, "  to do: %s\n", printable(c.Remedy))
			}
		}
		fmt.Fprintln(a.stdout)
		if r.OK {
			fmt.Fprintf(a.stdout, "%s from %s to %s.\n", a.data.good("Every hop is well,"), r.L4, r.L3)
		}
		return nil
	}
	for _, c := range r.Checks {
		text := fmt.Sprintf("%-7s %s: %s", c.Verdict, c.Hop(), c.Name)
		if at := checkTime(c); at != "" {
			text += " (" + at + ")"
		}
		if c.Says != "" {
			text += ": " + printable(c.Says)
		}
		if c.Behind != "" {
			text += "; because of: " + c.Behind
		}
		if c.Remedy != "" {
			text += "; to do: " + printable(c.Remedy)
		}
		if _, err := fmt.Fprintln(a.stdout, text); err != nil {
			return writeEnd(err)
		}
	}
	return nil
}

func checkTime(c doctor.Check) string {
	if c.Took == 0 {
		return ""
	}
	return took(c.Took)
}
