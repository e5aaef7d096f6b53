package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"hotreader/cmd/hotreader/internal/terminal"
	"hotreader/config"
	"hotreader/deploy"
	"hotreader/deploy/doctor"
	"hotreader/internal/bounded/awsbound"
	"hotreader/internal/retries"
)

// operator is the person who runs an Engine from the command line.
type operator struct {
	app      *app
	engine   *deploy.Engine
	yes      bool
	question string // "" = the twin's name is asked for
	noCheck  bool
}

// Report prints what an Engine does: a line for all that is done, and on a
// terminal a line that changes for what goes on.
func (o *operator) Report(e deploy.Event) {
	what := strings.TrimSpace(e.What + " " + terminal.Printable(e.Name))
	switch e.Kind {
	case deploy.Note:
		o.app.note("%s: %s", e.Cloud, terminal.Printable(e.Text))
	case deploy.Began, deploy.Goes:
		verb := "…"
		if e.Elapsed > 0 {
			verb = fmt.Sprintf("… %.0f s", e.Elapsed.Seconds())
		}
		o.app.line.Show("%s: %s %s%s", e.Cloud, verbOf(e.Action).doing, what, verb)
	case deploy.Done:
		long := ""
		if e.Elapsed >= 2*time.Second {
			long = " after " + e.Elapsed.String()
		}
		o.app.note("%s: %s %s%s", e.Cloud, o.app.talk.Good(verbOf(e.Action).done), what, long)
	case deploy.Failed:
		o.app.note("%s: %s %s", e.Cloud, o.app.talk.Bad("failed: "+string(e.Action)), what)
	}
}

// Approve shows a plan and asks, unless --yes is given.
func (o *operator) Approve(ctx context.Context, s deploy.SidePlan) (bool, error) {
	o.app.line.Clear()
	printSide(o.app.stderr, o.app.talk, s)
	if o.yes {
		return true, nil
	}
	if o.question == "" {
		answer, err := o.app.ask(ctx, "This cannot be undone. The twin's name, to destroy this on "+string(s.Cloud)+": ")
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		return answer == o.engine.Project.Twin, err
	}
	return o.app.agreed(ctx, o.question+" on "+string(s.Cloud))
}

// agreed asks for a yes.
func (a *app) agreed(ctx context.Context, question string) (bool, error) {
	answer, err := a.ask(ctx, question+"? [y/N] ")
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	switch strings.ToLower(answer) {
	case "y", "yes":
		return err == nil, err
	}
	return false, err
}

// HoldsData looks into hot storage, on AWS alone.
func (o *operator) HoldsData(ctx context.Context, s deploy.SideStatus) (bool, error) {
	if s.Cloud != config.AWS {
		return true, errors.New("this program looks into DynamoDB only")
	}
	load := []func(*awsconfig.LoadOptions) error{awsconfig.WithAPIOptions(awsbound.Options())}
	if s.Region != "" {
		load = append(load, awsconfig.WithRegion(s.Region))
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return true, err
	}
	out, err := dynamodb.NewFromConfig(cfg).Scan(ctx, &dynamodb.ScanInput{TableName: aws.String(s.Store), Limit: aws.Int32(1)})
	if _, ok := errors.AsType[*types.ResourceNotFoundException](err); ok {
		return false, nil // removed by hand
	}
	if err != nil {
		return true, err
	}
	return len(out.Items) > 0, nil
}

// settling is how long a cloud may take until what was just deployed works:
// permissions and routes spread slowly.
const settling = 90 * time.Second

// Check proves a link that was just deployed: it examines it, again and again
// for a while if something is broken, and prints the last report.
func (o *operator) Check(ctx context.Context) error {
	if o.noCheck {
		return nil
	}
	deployed, err := outputsOf(ctx, o.engine)
	if err != nil {
		return err
	}
	in, err := examination(o.engine.Project, o.engine.Project.Dir, &examining{})
	if err != nil {
		return err
	}
	in.Deployed = deployed
	a := o.app
	talk := &app{stdout: a.stderr, stderr: a.stderr, data: a.talk, talk: a.talk, line: a.line, now: a.now}
	for end := a.now().Add(settling); ; {
		report := a.diagnose(ctx, in)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if report.OK || a.now().After(end) {
			return errors.Join(talk.printReport(&report), unwell(&report))
		}
		broken := slices.IndexFunc(report.Checks, func(c doctor.Check) bool { return c.Verdict == doctor.Failed })
		a.note("not well yet (%s: %s); looking again in 10 s", strings.Join(report.Broken, ", "), terminal.Printable(report.Checks[broken].Says))
		if err := retries.Wait(ctx, 10*time.Second); err != nil {
			return err
		}
	}
}

// verb is how an action is shown: while it goes on, when it is done, and before a
// resource, as in a diff.
type verb struct{ doing, done, mark string }

var verbs = map[deploy.Action]verb{
	deploy.Create:  {"creating", "created", "+"},
	deploy.Change:  {"changing", "changed", "~"},
	deploy.Replace: {"replacing", "replaced", "±"},
	deploy.Destroy: {"destroying", "destroyed", "-"},
}

func verbOf(a deploy.Action) verb {
	if v, ok := verbs[a]; ok {
		return v
	}
	return verb{"preparing", "done", ""}
}

// printSide prints what becomes of one cloud.
func printSide(w io.Writer, p terminal.Paint, s deploy.SidePlan) {
	fmt.Fprintf(w, "%s: %s\n", p.Bold(string(s.Cloud)), s.Summary())
	printChanges(w, p, "", s.Changes)
	printChanges(w, p, "not as it was deployed (changed by hand?), and set right again", s.Drift)
	for _, text := range s.Public {
		fmt.Fprintf(w, "  public: %s\n", terminal.Printable(text))
	}
	for _, text := range s.Notes {
		fmt.Fprintf(w, "  note: %s\n", terminal.Printable(text))
	}
}

// Of a list of more than manyChanges, those that are alike but for their names are
// put together where there are more than alikeChanges of them.
const manyChanges, alikeChanges = 60, 10

// printChanges prints a heading, if there is anything below it, and a line for each
// change, or, of a long list, for those that are alike: a project of hundreds of
// devices is still read through.
func printChanges(w io.Writer, p terminal.Paint, heading string, all []deploy.ResourceChange) {
	if len(all) > 0 && heading != "" {
		fmt.Fprintf(w, "  %s:\n", heading)
	}
	kind := func(c deploy.ResourceChange) string {
		return string(c.Action) + "\x00" + c.What + "\x00" + strings.Join(c.Fields, "\x00")
	}
	alike := map[string][]string{}
	for _, c := range all {
		alike[kind(c)] = append(alike[kind(c)], c.Name)
	}
	for _, c := range all {
		k := kind(c)
		names, there := alike[k]
		if len(all) > manyChanges && len(names) > alikeChanges {
			c.What = fmt.Sprintf("%d × %s", len(names), c.What)
			c.Name = fmt.Sprintf("%s, %s, … %s", names[0], names[1], names[len(names)-1])
			delete(alike, k)
		}
		if there {
			printChange(w, p, c)
		}
	}
}

func printChange(w io.Writer, p terminal.Paint, c deploy.ResourceChange) {
	look := p.Good
	if c.Action == deploy.Destroy || c.Action == deploy.Replace {
		look = p.Bad
	}
	text := "  " + look(verbOf(c.Action).mark) + " " + c.What + " " + terminal.Printable(c.Name)
	if len(c.Fields) > 0 {
		text += ": " + terminal.Printable(strings.Join(c.Fields, ", "))
	}
	fmt.Fprintln(w, text)
}
