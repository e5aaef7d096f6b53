package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/spf13/cobra"

	"hotreader"
	"hotreader/catalog"
	"hotreader/cmd/hotreader/internal/exporter"
	"hotreader/cmd/hotreader/internal/terminal"
	"hotreader/function"
	"hotreader/internal/shell"
	"hotreader/store/all"
)

const exportText = `Copy the history of devices out of a store into object storage, as Parquet in the
order of time, for cold storage and for query engines (docs/engines.md). What was
written is read back and compared with the store; then the command says which
range of which device could be deleted from the store. It deletes nothing.

Below the target's prefix lie device_id=ID/FIRST-LAST.parquet, and beside them for
each range a plan and a manifest, device_id=ID/_START-END.manifest.json: source,
columns, objects with their times, rows and checksums. Export rejects a
target that holds other data.

Without --start, export goes on after what was exported before; without --end, it
ends a day ago at midnight (UTC), for rows arrive late. So the same command, once
a day or a month, keeps cold storage filled.

An export that was stopped or killed goes on when it is run again, and ends with the
same bytes. If the store changed meanwhile, it fails and says where.

The store is read twice: to plan, then to write. mem: and bolt: know the devices
and properties that they have; of another store, name them (--device, --property),
or the project folder that lists them. Other properties are not copied; if mem: or
bolt: knows some of the device, nothing of it is called deletable.

Objects of a source in no order of time, as of DynamoDB's export to S3
(format=export), are sorted in --memory; a longer range is read in parts.

With --json, a line for each device: device, start, end, first, last, rows,
objects, bytes, manifest, already (an earlier run has done it), deletable, notes,
warnings.

`

const exportExamples = `  hotreader export --store bolt:pump.db --to file:cold --device pump-7
  hotreader export --store bolt:pump.db --to s3://plant-cold/rows --all
  hotreader export --store 'dynamodb://twin-hot-iot-data?region=eu-central-1' --to s3://plant-cold/rows --project twin --all
  hotreader export --store cosmos://twin.documents.azure.com/iot/hot --to azblob://plantcold/rows/2026 --device pump-7 --property temperature --end 2026-03-01
  # DynamoDB's export to S3
  hotreader export --store 's3://exports/AWSDynamoDB/0123/data?format=export' --to s3://plant-cold/rows --device pump-7 --property temperature --start 2026-01-01`

// exporting are the arguments of export.
type exporting struct {
	exporter.Options
	project    string
	devices    []string
	names      nameList
	all        bool
	start, end instant
	memory     int64
	asJSON     bool
}

func (a *app) exporter() *cobra.Command {
	k := exporting{start: instant{now: a.now}, end: instant{now: a.now}}
	cmd := &cobra.Command{
		Use:     "export --store URL --to URL (--device ID… | --all)",
		Short:   "Copy history into object storage, as Parquet",
		Long:    exportText + storeURLs,
		Example: exportExamples,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := k.check(); err != nil {
				return err
			}
			return a.runExport(cmd.Context(), &k)
		},
	}
	f := cmd.Flags()
	f.StringVar(&k.From, "store", "", "copy from this store (a store `URL`)")
	f.StringVar(&k.To, "to", "", "copy into this object storage (file:, s3:, azblob: or gs: `URL`, with region and endpoint)")
	f.StringArrayVar(&k.devices, "device", nil, "copy this device (its `id`); repeat it")
	f.BoolVar(&k.all, "all", false, "copy all devices that the store, or the project, lists")
	f.Var(&k.names, "property", "`name` of a property to copy; repeat it, or separate names by commas (default those that the store, or the project, lists)")
	f.StringVar(&k.project, "project", "", "take devices and properties from this project `folder`")
	f.Var(&k.start, "start", "from this `time` on: "+timeHelp)
	f.Var(&k.end, "end", "up to this `time`, included")
	f.Int64Var(&k.ObjectRows, "object-rows", 1_000_000, "`rows` of an object, at most")
	f.Int64Var(&k.GroupRows, "group-rows", 20_000, "`rows` of a row group, at most: the least that a reader fetches")
	f.Int64Var(&k.memory, "memory", 512, "`MB` of rows that are sorted at once, where a source has no order")
	f.BoolVar(&k.asJSON, "json", false, "print the result as JSON lines")
	f.SortFlags = false
	return cmd
}

func (k *exporting) check() error {
	switch {
	case k.From == "":
		return usagef("export: where from? Give --store URL")
	case k.To == "":
		return usagef("export: where to? Give --to URL")
	case k.all == (len(k.devices) > 0):
		return usagef("export: which devices? Give --device ID or --all, one of them")
	case k.project != "" && len(k.names) > 0:
		return usagef("export: --project and --property exclude each other")
	case k.ObjectRows < 1 || k.GroupRows < 1 || k.memory < 1 || k.memory > 1<<20:
		return usagef("export: --object-rows, --group-rows and --memory: give a number of 1 or more")
	}
	k.Start, k.End = k.start.time, k.end.time
	return nil
}

func (a *app) runExport(ctx context.Context, k *exporting) (err error) {
	store, err := all.OpenReader(ctx, k.From)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	k.Source = store
	if s, ok := store.(interface{ Sort(bytes int64) }); ok {
		s.Sort(k.memory << 20)
		k.Source = exporter.Sorted{Source: store}
	}
	if k.Devices, err = k.list(ctx, function.Lister(store)); err != nil {
		return err
	}
	if k.Target, k.Prefix, err = all.OpenTarget(ctx, k.To); err != nil {
		return err
	}
	k.From, k.To, k.Now = withoutUser(k.From), withoutUser(k.To), a.now()
	line := terminal.NewProgress(a.stderr)
	k.Progress = func(device, doing string, rows, of int64) {
		if of == 0 {
			line.Show("%s: %s, %s rows", terminal.Printable(device), doing, terminal.Count(rows))
		} else {
			line.Show("%s: %s, %3d %%  %s rows", terminal.Printable(device), doing, 100*rows/of, terminal.Count(rows))
		}
	}
	defer line.Clear()
	return exporter.Run(ctx, k.Options, func(r exporter.Result) error {
		line.Clear()
		if k.asJSON {
			return a.printJSON(r)
		}
		a.sayExported(k, &r)
		return nil
	})
}

// withoutUser returns a URL without its user info.
func withoutUser(text string) string {
	if u, err := url.Parse(text); err == nil && u.User != nil {
		u.User = nil
		return u.String()
	}
	return text
}

// list finds the devices and their properties.
func (k *exporting) list(ctx context.Context, lister hotreader.Lister) (found []exporter.Device, err error) {
	page := func(after string) ([]catalog.Device, error) {
		if lister == nil {
			return nil, usagef("export: this store cannot list devices and properties; give --device and --property, or --project DIR")
		}
		return catalog.List(ctx, lister, "", after, devicesPage)
	}
	if k.project != "" {
		t, err := openTwin(k.project)
		if err != nil {
			return nil, err
		}
		page = func(after string) ([]catalog.Device, error) {
			return t.devices.Devices("", "", after, devicesPage), nil
		}
	}
	known := map[string][]string{}
	for after, more := "", k.all || len(k.names) == 0; more; {
		some, err := page(after)
		if err != nil {
			return nil, err
		}
		for _, d := range some {
			after = d.ID
			known[d.ID] = stored(d.Properties)
			if k.all {
				found = append(found, exporter.Device{ID: d.ID})
			}
		}
		more = len(some) == devicesPage
	}
	for _, id := range k.devices {
		if _, ok := known[id]; !ok && len(k.names) == 0 {
			return nil, &hotreader.Error{Op: "export", Code: hotreader.CodeNotFound, Err: fmt.Errorf("the device %q is not listed", id)}
		}
		if !slices.ContainsFunc(found, func(d exporter.Device) bool { return d.ID == id }) {
			found = append(found, exporter.Device{ID: id})
		}
	}
	for i := range found {
		d := &found[i]
		if d.Properties = known[d.ID]; len(k.names) > 0 {
			d.Properties = k.names
		}
		if d.Listed = lister != nil; !d.Listed {
			continue
		}
		of, err := catalog.List(ctx, lister, d.ID, "", 1)
		if err != nil {
			return nil, err
		}
		if len(of) == 1 && of[0].ID == d.ID {
			d.Others = stored(of[0].Properties)
		}
	}
	return found, nil
}

// stored returns the names of the properties that rows have.
func stored(all []catalog.Property) (names []string) {
	for _, p := range all {
		if p.Constant == "" {
			names = append(names, p.Name)
		}
	}
	return names
}

func (a *app) sayExported(k *exporting, r *exporter.Result) {
	device := terminal.Printable(r.Device)
	at := hotreader.AppendTime
	switch {
	case r.Rows == 0:
		fmt.Fprintf(a.stdout, "%s: there are no rows up to %s\n", device, at(nil, r.End))
	case r.Already:
		fmt.Fprintf(a.stdout, "%s: %s up to %s were exported before\n", device, terminal.Plural(r.Rows, "row", "rows"), at(nil, r.End))
	default:
		fmt.Fprintf(a.stdout, "%s: %s from %s to %s, %s, %s, read back and compared\n", device, terminal.Plural(r.Rows, "row", "rows"),
			at(nil, r.First), at(nil, r.Last), terminal.Plural(r.Objects, "object", "objects"), terminal.Size(r.Bytes))
	}
	if r.Rows > 0 && r.Delete {
		these := ""
		if !r.Listed {
			these = "these properties of "
		}
		fmt.Fprintf(a.stdout, "%s: from %s to %s, %s%s could now be deleted from %s\n", device, at(nil, r.Start), at(nil, r.End),
			these, terminal.Plural(r.Rows, "row", "rows"), shell.Word(k.From))
	}
	for _, w := range r.Warnings {
		a.note("%s %s: %s", a.talk.Bad("warning:"), device, terminal.Printable(w.String()))
	}
	for _, n := range r.Notes {
		a.note("%s: %s", device, terminal.Printable(n))
	}
	if r.Rows > 0 && !r.Delete {
		a.note("%s: what was left out has no copy, so delete nothing of this range", device)
	}
}
