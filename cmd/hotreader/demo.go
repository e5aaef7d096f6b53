package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hotreader"
	"hotreader/cmd/hotreader/internal/chart"
	"hotreader/cmd/hotreader/internal/demo"
	"hotreader/cmd/hotreader/internal/machine"
	"hotreader/cmd/hotreader/internal/terminal"
	"hotreader/httpapi"
	"hotreader/internal/shell"
)

// demoAnswer is the shape of demo --json.
type demoAnswer struct {
	OK     bool          `json:"ok"`
	Seed   uint64        `json:"seed"`
	Device string        `json:"device"`
	Rows   int           `json:"rows"` // in each cloud
	Routes []demo.Result `json:"routes"`
	Clouds []*demo.Cloud `json:"clouds,omitempty"` // absent with --once
}

type demonstrating struct {
	once, asJSON, corrupt bool
	address               string
	addressGiven          bool
	seed                  uint64
}

func (a *app) demo() *cobra.Command {
	d := demonstrating{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run three clouds on this machine and check that each reads each",
		Long: `Run three clouds on this machine and check that each reads each.

Each simulated cloud has hot and cold storage of its own, filled with the telemetry
of a pump (warm-up, load cycles, noise, a bearing that fails), its own Hot Reader API
on a port of its own, and its own token. A mover was stopped between the two: some
rows lie in both. Then all nine routes from a twin's cloud (L4)
to a cloud of hot storage (L3) are asked as AWS IoT TwinMaker asks: pages
ascending and descending, filtered, interpolated, latest values. Every point that
comes is compared with what was written.

With --once that is all. Otherwise the clouds go on being served, and the pumps
go on reporting, until ^C (exit code 130) or SIGTERM (0); everything is removed
then.`,
		Example: `  hotreader demo
  hotreader demo --once && echo all nine are right
  hotreader demo --once --json | jq '.routes[] | select(.ok | not)'
  hotreader demo --once --corrupt   # changes one stored value: the check must find it`,
		Args: noArgs,
	}
	f := cmd.Flags()
	f.BoolVar(&d.once, "once", false, "check, and end")
	f.StringVar(&d.address, "listen", defaultListen, "`address` of the first cloud's API; the others take the next two ports")
	f.Uint64Var(&d.seed, "seed", 0, "`number` that makes the pumps' signals; the same one makes the same signals (default: any)")
	f.BoolVar(&d.asJSON, "json", false, "print the result as JSON")
	f.BoolVar(&d.corrupt, "corrupt", false, "change one stored value after writing, to see the check fail")
	f.SortFlags = false
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		d.addressGiven = cmd.Flags().Changed("listen")
		if !cmd.Flags().Changed("seed") {
			d.seed = uint64(rand.Uint32())
		}
		if !loopback(d.address) {
			return usagef("demo: --listen %s is not an address of this machine alone; give one as 127.0.0.1:8080", d.address)
		}
		return a.runDemo(cmd.Context(), &d)
	}
	return cmd
}

func (a *app) runDemo(ctx context.Context, d *demonstrating) (err error) {
	listeners, err := a.demoListeners(ctx, d)
	if err != nil {
		return err
	}
	line := a.line
	if !d.asJSON {
		a.note("%s", a.talk.Bold("Three clouds on this machine, each with hot and cold storage, an API and a token of its own."))
		a.note("%s\n", a.talk.Dim(fmt.Sprintf("A pump reports to each: %s rows, four hours up to now (--seed %d).", terminal.Count(demo.Rows), d.seed)))
	}
	clouds, err := demo.Start(ctx, demo.Options{
		Seed: d.seed, Now: a.now().UTC(), Corrupt: d.corrupt, Listeners: listeners,
		Wrote: func(done, total int) { line.Show("writing %s of %s rows", terminal.Count(done), terminal.Count(total)) },
	})
	line.Clear()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, clouds.Close()) }()

	if !d.asJSON && terminal.Is(a.stderr) && !terminal.Low(a.stderr, lowDemo) {
		a.demoChart(clouds.All[0])
	}
	answer, err := a.demoRoutes(ctx, d, clouds, line)
	if err != nil {
		return err
	}
	if d.asJSON {
		if !d.once && answer.OK {
			answer.Clouds = clouds.All[:]
		}
		err = a.printJSON(answer)
	} else {
		err = a.printRoutes(answer)
	}
	if err != nil {
		return err
	}
	if err := answer.verdict(); err != nil || d.once {
		return err
	}
	if !d.asJSON {
		a.sayServing(clouds)
	}
	return a.live(ctx, d, clouds, line)
}

// demoListeners takes three ports: for --once any, else those that were asked
// for. If the default is taken and no flag asked for it, any will do, too.
func (a *app) demoListeners(ctx context.Context, d *demonstrating) (all [3]net.Listener, err error) {
	host, text, err := net.SplitHostPort(d.address)
	if err != nil {
		return all, usagef("demo: --listen %s: %v", d.address, err)
	}
	port, err := strconv.Atoi(text)
	if err != nil || port < 0 || port > 65533 {
		return all, usagef("demo: --listen %s: expected a port from 0 to 65533, for the next two are taken, too", d.address)
	}
	if d.once && !d.addressGiven {
		port = 0
	}
	all, err = listenInRow(ctx, host, port)
	if err != nil && !d.addressGiven && port > 0 {
		a.note("%s", a.talk.Dim(fmt.Sprintf("Port %d or one of the next two is taken; using free ones instead.", port)))
		return listenInRow(ctx, host, 0)
	}
	return all, err
}

// listenInRow takes a port and the next two; of port 0 any three.
func listenInRow(ctx context.Context, host string, port int) (all [3]net.Listener, err error) {
	for i := range all {
		if all[i], err = httpapi.Listen(ctx, "--listen", net.JoinHostPort(host, strconv.Itoa(port))); err != nil {
			for _, l := range all[:i] {
				l.Close()
			}
			return all, err
		}
		if port > 0 {
			port++
		}
	}
	return all, nil
}

// demoChart shows what the first cloud's pump did.
func (a *app) demoChart(c *demo.Cloud) {
	properties := []string{"temperature", "state"}
	drawing := chart.New(a.stderr, a.talk, terminal.Width(a.stderr), 8, properties)
	for _, r := range c.Truth() {
		values := make([]hotreader.Value, len(properties))
		for _, f := range r.Fields {
			if i := slices.Index(properties, f.Name); i >= 0 {
				values[i] = f.Value
			}
		}
		drawing.Add(hotreader.Row{Time: r.Time, Values: values})
	}
	_ = drawing.End() // diagnostics only
	a.note("")
}

// demoRoutes checks all nine routes.
func (a *app) demoRoutes(ctx context.Context, d *demonstrating, clouds *demo.Clouds, line *terminal.Progress) (*demoAnswer, error) {
	defer line.Clear()
	answer := &demoAnswer{OK: true, Seed: d.seed, Device: demo.Device, Rows: demo.Rows}
	for l4 := range demo.Names {
		for l3 := range demo.Names {
			line.Show("asking %s from %s", demo.Names[l3], demo.Names[l4])
			r, err := clouds.Check(ctx, l4, l3)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err != nil {
				r.Wrong = oneLine(err.Error())
			}
			answer.OK = answer.OK && r.OK
			answer.Routes = append(answer.Routes, r)
		}
	}
	return answer, nil
}

// printRoutes prints the table of what was found.
func (a *app) printRoutes(answer *demoAnswer) error {
	t := terminal.NewTable(a.stdout, a.data, "TWIN (L4)", "HOT STORAGE (L3)", "MODE", "POINTS", "PAGES", "WIRE", "TIME", "VERDICT")
	t.Right(3, 4, 5, 6)
	points := 0
	for _, r := range answer.Routes {
		points += r.Points
		wire := terminal.Cell{Text: "–", Look: a.data.Dim}
		if r.Way == "remote" {
			wire = terminal.Cell{Text: terminal.Size(r.Bytes)}
		}
		verdict := terminal.Cell{Text: "right", Look: a.data.Good}
		if !r.OK {
			verdict = terminal.Cell{Text: "WRONG", Look: a.data.Bad}
		}
		t.Row(terminal.Cell{Text: r.L4}, terminal.Cell{Text: r.L3}, terminal.Cell{Text: r.Way, Look: a.data.Dim},
			terminal.Cell{Text: terminal.Count(r.Points)}, terminal.Cell{Text: terminal.Count(r.Pages)}, wire, terminal.Cell{Text: terminal.Took(r.Took)}, verdict)
	}
	if err := t.End(); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout)
	if answer.OK {
		fmt.Fprintf(a.stdout, "%s %s points are what was written.\n", a.data.Good("All nine routes are right:"), terminal.Count(points))
	}
	for _, r := range answer.Routes {
		if !r.OK {
			fmt.Fprintf(a.stdout, "%s %s\n", a.data.Bad(fmt.Sprintf("%s reading %s:", r.L4, r.L3)), r.Wrong)
		}
	}
	return nil
}

// verdict is an error if a route is wrong.
func (r *demoAnswer) verdict() error {
	wrong := 0
	for _, route := range r.Routes {
		if !route.OK {
			wrong++
		}
	}
	if wrong > 0 {
		return fmt.Errorf("demo: %d of %d routes are wrong: %w", wrong, len(r.Routes), errDiffers)
	}
	return nil
}

// lowDemo is how many lines the demo needs, with its chart and all to type. On fewer it
// says less, so that the table of routes is still to be seen.
const lowDemo = 45

// sayServing shows the clouds' addresses and commands to type.
func (a *app) sayServing(clouds *demo.Clouds) {
	w, at := a.stdout, clouds.All[0].URL
	if terminal.Low(w, lowDemo) {
		fmt.Fprintf(w, "%s\n%s\n", a.data.Bold("The clouds go on, until ^C. In another terminal:"), "  export "+tokenVariable+"="+clouds.All[0].Token)
		fmt.Fprintf(w, "  %s latest --remote %s --device %s \\\n      --property temperature,speed --watch\n", invocation(), at, demo.Device)
		for _, c := range clouds.All[1:] {
			fmt.Fprintf(w, "%s\n", a.data.Dim("  "+c.Name+" "+c.URL+" token "+c.Token))
		}
		return
	}
	fmt.Fprintf(w, "\n%s\n\n", a.data.Bold("The clouds go on, and the pumps report every second, until ^C."))
	for _, c := range clouds.All {
		fmt.Fprintf(w, "  %-6s %s  %s\n", c.Name, c.URL, a.data.Dim("token "+c.Token))
	}
	fmt.Fprintf(w, "\nIn a browser: %s/\n", a.data.Bold(at))
	fmt.Fprintf(w, "\n%s\n\n  export %s=%s\n", a.data.Bold("In another terminal:"), tokenVariable, clouds.All[0].Token)
	for _, ask := range []string{
		"query --remote %s --device %s --property temperature,vibration,state --start -4h --format chart",
		"query --remote %s --device %s --property temperature --filter 'temperature>90'",
		"latest --remote %s --device %s --property temperature,speed,running,state",
	} {
		fmt.Fprintf(w, "  %s %s\n", invocation(), fmt.Sprintf(ask, at, demo.Device))
	}
	for _, get := range []string{
		"curl -H \"X-Inter-Cloud-Token: $%s\" '%s/v1/devices/%s/history?property=temperature&property=state&order=DESCENDING&limit=5'",
		"curl -i -H \"X-Inter-Cloud-Token: $%s\" -H 'Accept: text/csv' '%s/v1/devices/%s/history?property=temperature'\n",
	} {
		fmt.Fprintf(w, "  "+get+"\n", tokenVariable, at, demo.Device)
	}
}

// invocation is how this program was called, for a person to type again.
func invocation() string {
	program, err := os.Executable()
	if err == nil && strings.Contains(program, "go-build") {
		return "go run ./cmd/hotreader"
	}
	if name := os.Args[0]; filepath.Base(name) != name {
		return shell.Word(name)
	}
	return "hotreader"
}

// live lets the pumps report, and one route be checked anew, each second until ctx ends.
func (a *app) live(ctx context.Context, d *demonstrating, clouds *demo.Clouds, line *terminal.Progress) error {
	clouds.Live(a.now().Truncate(time.Second))
	ticks := time.NewTicker(time.Second)
	defer ticks.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			line.Clear()
			if !d.asJSON {
				a.note("Stopped; the stores are removed.")
			}
			return nil
		case <-ticks.C:
		}
		r, err := clouds.Tick(ctx)
		if err != nil && ctx.Err() == nil {
			return err
		}
		_, _ = clouds.Check(ctx, n/len(demo.Names)%len(demo.Names), n%len(demo.Names)) // the page shows what it finds
		if !d.asJSON {
			line.Put(liveLine(r))
		}
	}
}

func liveLine(r hotreader.Record) string {
	parts := []string{"  " + r.Time.UTC().Format(time.TimeOnly) + " UTC"}
	for _, p := range machine.Properties() {
		i := slices.IndexFunc(r.Fields, func(f hotreader.Field) bool { return f.Name == p.Name })
		if i >= 0 && p.Name != "running" {
			parts = append(parts, strings.TrimSpace(show(r.Fields[i].Value)+" "+p.Unit))
		}
	}
	return strings.Join(parts, "   ")
}
