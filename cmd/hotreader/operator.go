package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"hotreader/cmd/hotreader/internal/terminal"
	"hotreader/config"
	"hotreader/deploy"
)

// operator is who runs an engine from the command line.
type operator struct {
	app      *app
	engine   *deploy.Engine
	line     *terminal.Progress
	yes      bool
	question string // "" = the twin's name is asked for
	noCheck  bool
}

// Report prints what an engine does: a line for all that is done, and on a
// terminal a line that changes for what goes on.
func (o *operator) Report(e deploy.Event) {
	what := strings.TrimSpace(e.What + " " + terminal.Printable(e.Name))
	switch e.Kind {
	case deploy.Note:
		o.line.Clear()
		o.app.note("%s: %s", e.Cloud, terminal.Printable(e.Text))
	case deploy.Began, deploy.Goes:
		verb := "…"
		if e.Elapsed > 0 {
			verb = fmt.Sprintf("… %.0f s", e.Elapsed.Seconds())
		}
		o.line.Show("%s: %s %s%s", e.Cloud, verbOf(e.Action).doing, what, verb)
	case deploy.Done:
		o.line.Clear()
		long := ""
		if e.Elapsed >= 2*time.Second {
			long = " after " + e.Elapsed.String()
		}
		o.app.note("%s: %s %s%s", e.Cloud, o.app.talk.Good(verbOf(e.Action).done), what, long)
	case deploy.Failed:
		o.line.Clear()
		o.app.note("%s: %s %s", e.Cloud, o.app.talk.Bad("failed: "+string(e.Action)), what)
	}
}

// Approve shows a plan and asks, unless --yes is given.
func (o *operator) Approve(ctx context.Context, s deploy.SidePlan) (bool, error) {
	printSide(o.app.stderr, o.app.talk, s)
	if o.yes {
		return true, nil
	}
	if o.question == "" {
		answer, err := o.app.ask(ctx, "This cannot be undone. The twin's name, to destroy this on "+string(s.Cloud)+": ")
		return answer == o.engine.Project.Twin, err
	}
	answer, err := o.app.ask(ctx, o.question+" on "+string(s.Cloud)+"? [y/N] ")
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
	var load []func(*awsconfig.LoadOptions) error
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
