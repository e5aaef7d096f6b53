package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hotreader"
	"hotreader/cmd/hotreader/internal/restorer"
	"hotreader/cmd/hotreader/internal/terminal"
	"hotreader/config"
	"hotreader/deploy"
	"hotreader/internal/cost"
	"hotreader/internal/retries"
	"hotreader/store/all"
	"hotreader/store/coldstore"
)

// restoring are the arguments of restore.
type restoring struct {
	app                     *app
	cold, archive, project  string
	prices                  string
	start, end              *instant
	job                     restorer.Job
	plan, yes, wait, asJSON bool
	every                   time.Duration
}

// maxDays is how many days a copy may be kept.
const maxDays = 365

const restoreText = `Restore archived objects that may hold rows of a device and range: those in S3's
classes GLACIER and DEEP_ARCHIVE, and in Azure's tier Archive. Until then a query
of them fails with not_restored. Google Cloud Storage has no class that must be
restored.

The plan comes first: objects by state, with their bytes, what a restore costs by
the list prices (or yours, --prices), and when they can be read. Then it asks. Run
it again at any time: what is being restored, or can be read, is not asked for
again. With --wait it stays until all can be read; a run that was stopped is taken
up by the next one.

States:
  archived  it must be restored
  expired   its copy has expired: it must be restored again
  ongoing   a restore goes on (Azure: it is being rehydrated)
  restored  its copy can be read, until a date
  online    it can be read

S3 makes copies, which are kept for --days and paid for. Azure moves the blob to
its tier Hot, where it stays until you move it back; a blob that was archived less
than 180 days ago costs the rest of them. Azure has no tier bulk, and expedited is
its priority High; DEEP_ARCHIVE has no tier expedited.

You need s3:ListBucket and s3:RestoreObject, on Azure the role Storage Blob Data
Contributor. The functions need neither, and have neither.`

func (a *app) restore() *cobra.Command {
	k := &restoring{app: a, start: &instant{now: a.now}, end: &instant{now: a.now}, every: time.Minute}
	cmd := &cobra.Command{
		Use:   "restore (--cold URL | --archive URL | --project DIR) --device ID...",
		Short: "Restore archived objects, so that queries can read them",
		Long:  restoreText,
		Example: `  hotreader restore --archive s3://plant-archive/rows --device pump-7 --start 2025-01-01 --end 2025-03-31 --plan
  hotreader restore --archive s3://plant-archive/rows --device pump-7 --start 2025-01-01 --end 2025-03-31 \
      --tier bulk --days 14 --wait
  hotreader restore --project twin --device pump-7 --start -90d --yes --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return k.run(cmd) },
	}
	f := cmd.Flags()
	f.StringVar(&k.cold, "cold", "", "the objects of this cold storage (a store `URL`)")
	f.StringVar(&k.archive, "archive", "", "the objects of this archive (a store `URL`)")
	f.StringVar(&k.project, "project", "", "those of this project `folder`")
	f.StringArrayVar(&k.job.Devices, "device", nil, "the device's `id`; repeat it")
	f.Var(k.start, "start", "from this `time` on; default: from the first row")
	f.Var(k.end, "end", "to this `time`; default: to the last row")
	f.StringVar(&k.job.Tier, "tier", cost.Standard, "how `fast`: expedited, standard or bulk")
	f.IntVar(&k.job.Days, "days", cost.Days, "how many `days` S3 keeps the copies")
	f.StringVar(&k.prices, "prices", "", "a JSON `file` with prices of your own, as of hotreader cost")
	f.BoolVar(&k.plan, "plan", false, "show the plan, and ask for nothing")
	f.BoolVar(&k.yes, "yes", false, "do not ask")
	f.BoolVar(&k.wait, "wait", false, "wait until all objects can be read")
	f.DurationVar(&k.every, "every", k.every, "how often --wait looks")
	f.BoolVar(&k.asJSON, "json", false, "print JSON")
	f.SortFlags = false
	words(cmd, "tier", cost.Tiers()...)
	complete(cmd, "device", projectIDs(&k.project))
	return cmd
}

// check says what is wrong with the flags.
func (k *restoring) check(cmd *cobra.Command) error {
	j := &k.job
	switch {
	case k.project == "" && k.cold == "" && k.archive == "":
		return usagef("restore: of what? Give --cold URL, --archive URL or --project DIR")
	case k.project != "" && (k.cold != "" || k.archive != ""):
		return usagef("restore: --project names cold storage and the archive; leave out --cold and --archive")
	case len(j.Devices) == 0:
		return usagef("restore: which device? Give --device ID")
	case !slices.Contains(cost.Tiers(), j.Tier):
		return usagef("restore: --tier %s is unknown; %s", j.Tier, meantAndAll(j.Tier, cost.Tiers()))
	case j.Days < 1 || j.Days > maxDays:
		return usagef("restore: --days must be 1 to %d", maxDays)
	case k.every <= 0:
		return usagef("restore: --every must be more than 0")
	case k.plan:
		return nil
	}
	return k.app.mayAsk(cmd, k.yes)
}

// open opens what holds the objects, and returns what closes it.
func (k *restoring) open(ctx context.Context) (urls []string, closeAll func(), err error) {
	var opened []all.Archive
	closeAll = func() {
		for _, o := range opened {
			_ = o.Close() // it was only read
		}
	}
	for _, url := range []string{k.cold, k.archive} {
		if url != "" {
			urls = append(urls, url)
		}
	}
	if k.project != "" {
		p, err := config.LoadProject(k.project)
		if err != nil {
			return nil, closeAll, err
		}
		if urls = objectsOf(p); urls == nil {
			return nil, closeAll, &hotreader.Error{Op: "restore", Code: hotreader.CodeConfig, Err: errors.New("the project has neither cold storage nor an archive: config_hot_reader.json names none")}
		}
	}
	for _, url := range urls {
		a, err := all.OpenArchive(ctx, url)
		if err != nil {
			return nil, closeAll, err
		}
		opened, k.job.Archives = append(opened, a), append(k.job.Archives, a)
	}
	return urls, closeAll, nil
}

// objectsOf returns the URLs of a project's lower tiers.
func objectsOf(p *config.Project) (urls []string) {
	for _, t := range p.Tiers()[1:] {
		query := p.Options.Layout.URL()
		query.Del("collection") // hot storage's alone, as is index
		query.Del("index")
		if t.Cloud == config.AWS && p.Options.AWS.Region != "" {
			query.Set("region", p.Options.AWS.Region)
		}
		url, format, _ := strings.Cut(t.URL(t.Cloud), "?")
		if text := strings.Trim(format+"&"+query.Encode(), "&"); text != "" {
			url += "?" + text
		}
		urls = append(urls, url)
	}
	return urls
}

func (k *restoring) run(cmd *cobra.Command) (err error) {
	if err = k.check(cmd); err != nil {
		return err
	}
	if k.job.Prices, err = figuresOf(k.prices); err != nil {
		return err
	}
	ctx := cmd.Context()
	urls, closeAll, err := k.open(ctx)
	defer closeAll()
	if err != nil {
		return err
	}
	k.job.Start, k.job.End = k.start.time, k.end.time
	plan, err := k.job.Plan(ctx)
	if err != nil {
		return err
	}
	if !k.asJSON {
		if err := k.print(plan, urls); err != nil {
			return err
		}
	}
	asked, err := k.ask(ctx, plan)
	if err == nil && k.wait && !k.plan {
		plan, err = k.waited(ctx)
	}
	if err != nil || !k.asJSON {
		return err
	}
	return k.app.printIndented(struct {
		Places []string `json:"places"`
		Prices string   `json:"prices_of"`
		Days   int      `json:"days"`
		*restorer.Plan
		Asked int64 `json:"asked"`
	}{urls, cost.Date, k.job.Days, plan, asked}, "  ")
}

// print prints a plan.
func (k *restoring) print(p *restorer.Plan, urls []string) error {
	t := terminal.NewTable(k.app.stdout, k.app.data, "STATE", "CLASS", "OBJECTS", "BYTES", "USD", "READABLE")
	t.Right(2, 3, 4)
	for _, g := range p.Groups {
		usd, when := dollars(0), "now"
		switch {
		case g.State == coldstore.Ongoing:
			when = "within " + g.Restore.Wait() + " of being asked for"
		case g.Restore != nil:
			usd, when = dollars(g.Restore.USD), "after "+g.Restore.Wait()
		case !g.Until.IsZero():
			when = "until " + g.Until.UTC().Format("2006-01-02 15:04")
		}
		t.Texts(string(g.State), cmp.Or(g.Class, "–"), terminal.Count(g.Objects), terminal.Size(g.Bytes), usd, when)
	}
	if err := t.End(); err != nil {
		return err
	}
	where := strings.Join(urls, " ")
	switch {
	case len(p.Groups) == 0:
		k.app.note("no objects there may hold rows of this range")
	case p.Objects > 0:
		k.app.note("To restore %s by tier %s costs about %s USD, by list prices of %s, and takes up to %s.", terminal.Plural(p.Objects, "object", "objects"), p.Tier, dollars(p.USD), cost.Date, p.Wait())
		if strings.Contains(where, "s3://") {
			k.app.note("S3 keeps the copies for %s, which is in the price.", terminal.Plural(k.job.Days, "day", "days"))
		}
		if strings.Contains(where, "azblob://") {
			k.app.note("On Azure the blobs move to the tier Hot and stay there. Not in the price: keeping them there, and the\nrest of 180 days for those that were archived less long ago.")
		}
	case p.Ongoing():
		k.app.note("nothing to ask for: restores go on")
	case strings.HasPrefix(where, "gs://") || strings.HasPrefix(where, "file:"):
		k.app.note("nothing to restore: every object there can be read as it is")
	default:
		k.app.note("nothing to restore")
	}
	return nil
}

// ask asks for what the plan says, after a yes.
func (k *restoring) ask(ctx context.Context, p *restorer.Plan) (int64, error) {
	if k.plan || p.Objects == 0 {
		return 0, nil
	}
	a, objects := k.app, terminal.Plural(p.Objects, "object", "objects")
	if !k.yes {
		if ok, err := a.agreed(ctx, fmt.Sprintf("Restore %s for about %s USD", objects, dollars(p.USD))); err != nil || !ok {
			return 0, cmp.Or(err, deploy.ErrDeclined)
		}
	}
	asked, err := k.job.Ask(ctx, p, func(n int64) { a.line.Show("asked for %s of %s", terminal.Count(n), objects) })
	a.line.Clear()
	if !k.asJSON || err != nil {
		a.note("asked for %s of %s", terminal.Count(asked), objects)
	}
	return asked, err
}

// waited waits until all objects can be read.
func (k *restoring) waited(ctx context.Context) (*restorer.Plan, error) {
	defer k.app.line.Clear()
	began := k.app.now()
	k.app.note("waiting until all objects can be read; ^C ends the waiting, not the restores")
	for n := 0; ; n++ {
		p, err := k.job.Plan(ctx)
		switch {
		case err != nil:
			return nil, err
		case p.Objects == 0 && !p.Ongoing():
			k.app.note("all objects can be read")
			return p, nil
		case !p.Ongoing() && n > 0:
			return nil, &hotreader.Error{Op: "restore", Code: hotreader.CodeNotRestored,
				Err: fmt.Errorf("%s of the range are archived, and no restore goes on; run it again", terminal.Plural(p.Objects, "object", "objects"))}
		}
		k.app.line.Put(progress(p, k.app.now().Sub(began)))
		if err := retries.Wait(ctx, k.every); err != nil {
			return nil, err
		}
	}
}

// progress says how far restores are.
func progress(p *restorer.Plan, since time.Duration) string {
	var ready, total int64
	for _, g := range p.Groups {
		if total += g.Objects; g.Class == "" {
			ready += g.Objects
		}
	}
	return fmt.Sprintf("%s of %s can be read, after %s", terminal.Count(ready), terminal.Plural(total, "object", "objects"), since.Round(time.Second))
}
