package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"hotreader"
	"hotreader/cmd/hotreader/internal/terminal"
	"hotreader/codec/plain"
	"hotreader/remote"
)

// devicesPage is how many devices are asked for at once.
const devicesPage = 1000

// listing lists devices.
type listing struct {
	app          *app
	project      string
	source       source
	prefix, kind string
	formatting
}

// listedDevice is a device as it is printed.
type listedDevice struct {
	ID         string `json:"id"`
	Type       string `json:"type,omitempty"`
	Properties int    `json:"properties"`
}

func (a *app) devices() *cobra.Command {
	l := &listing{app: a, formatting: formatting{formats: []string{"table", "json", "jsonl", "csv"}}}
	cmd := &cobra.Command{
		Use:   "devices (--project DIR | --store URL | --remote URL)",
		Short: "List the devices",
		Long: `List the devices, by id: of each its component type, and how many properties it
has.

With --project they are those of config_iot_devices.json: the catalogue, as deploy
packs it into the functions. With --store they are those of which the store has
rows; mem: and bolt: can tell, the clouds' stores cannot without reading all of
their rows. With --remote they are those that a Hot Reader API lists: of its
catalogue or, if it has none, of its store.

` + tokenText + `

Formats:
  table  aligned columns
  json   one document {"items":[{"id":...,"type":...,"properties":3}]}
  jsonl  one such item a line
  csv    RFC 4180; text that a spreadsheet would run as a formula is guarded`,
		Example: `  hotreader devices --project twin
  hotreader devices --project twin --type pump --format csv
  hotreader devices --store bolt:pump.db --prefix pump-
  hotreader devices --remote https://reader.example.com --type pump`,
		Args: noArgs,
	}
	f := cmd.Flags()
	f.StringVar(&l.project, "project", "", "list the devices of this project `folder`")
	f.StringVar(&l.source.store, "store", "", "list the devices of which this store has rows (a store `URL`)")
	l.source.tiers.flags(f)
	f.StringVar(&l.source.remote, "remote", "", "list the devices of this Hot Reader API (an https `URL`, or http to this machine)")
	f.StringVar(&l.source.tokenFile, "token-file", "", "`file` with the API's token, instead of "+tokenVariable)
	f.StringVar(&l.prefix, "prefix", "", "only devices whose id begins with this `text`")
	f.StringVar(&l.kind, "type", "", "only devices of this component type, by `name`; of a device that shares none it is its id")
	l.flags(cmd, "list")
	f.SortFlags = false
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := l.check(); err != nil {
			return err
		}
		if err := l.choose(cmd, a.stdout); err != nil {
			return err
		}
		return l.run(cmd.Context())
	}
	return cmd
}

// check says what is wrong with where the devices are to come from.
func (l *listing) check() error {
	s := &l.source
	switch {
	case l.project != "" && (s.store != "" || s.remote != "") || s.store != "" && s.remote != "":
		return usagef("devices: give one of --project, --store and --remote")
	case l.project == "" && s.store == "" && s.remote == "":
		return usagef("devices: of what? Give --project DIR, --store URL or --remote URL")
	case s.tokenFile != "" && s.remote == "":
		return usagef("devices: --token-file is for --remote only")
	case s.store != "" && l.kind != "":
		return usagef("devices: --type is for --project and --remote; a store does not know of types")
	}
	return s.tiers.check("devices", s.store)
}

func (l *listing) run(ctx context.Context) error {
	all, err := l.list(ctx)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		l.app.note("no devices%s%s", l.narrowed(), l.meantKind(ctx))
	}
	return l.print(all)
}

func (l *listing) narrowed() (text string) {
	if l.prefix != "" {
		text += " whose id begins with " + terminal.Printable(l.prefix)
	}
	if l.kind != "" {
		text += " of the type " + terminal.Printable(l.kind)
	}
	return text
}

// meantKind says which of the types that there are was meant, if one comes close.
func (l *listing) meantKind(ctx context.Context) string {
	if l.kind == "" {
		return ""
	}
	ctx, stop := context.WithTimeout(ctx, knowing)
	defer stop()
	whole := *l
	whole.kind, whole.prefix = "", ""
	all, _ := whole.list(ctx) // it is but a hint
	var kinds []string
	for _, d := range all {
		kinds = append(kinds, d.Type)
	}
	if text := meant(l.kind, kinds); text != "" {
		return "; " + text
	}
	return ""
}

// list returns the devices, by id.
func (l *listing) list(ctx context.Context) ([]listedDevice, error) {
	if l.project != "" {
		return l.ofProject()
	}
	if l.source.remote != "" {
		return l.ofRemote(ctx)
	}
	return l.ofStore(ctx)
}

func (l *listing) ofProject() ([]listedDevice, error) {
	t, err := openTwin(l.project)
	if err != nil {
		return nil, err
	}
	all := []listedDevice{}
	for _, d := range t.devices.Devices(l.prefix, l.kind, "", t.devices.Len()) {
		all = append(all, listedDevice{d.ID, d.Type, len(d.Properties)})
	}
	return all, nil
}

func (l *listing) ofStore(ctx context.Context) ([]listedDevice, error) {
	_, stores, err := l.source.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = stores.Close() }() // they were read
	lister := stores.lister()
	if lister == nil {
		return nil, &hotreader.Error{Op: "devices", Code: hotreader.CodeInvalid,
			Err: errors.New("this store cannot list its devices: it would have to read all of its rows. Their list is the catalogue, which deploy makes of config_iot_devices.json; name its folder with --project DIR")}
	}
	all := []listedDevice{}
	for after := ""; ; after = all[len(all)-1].ID {
		page, err := lister.Devices(ctx, l.prefix, after, devicesPage)
		for _, d := range page {
			all = append(all, listedDevice{ID: d.ID, Properties: len(d.Properties)})
		}
		if err != nil || len(page) < devicesPage {
			return all, err
		}
	}
}

func (l *listing) ofRemote(ctx context.Context) ([]listedDevice, error) {
	far, _, err := l.source.peer()
	if err != nil {
		return nil, err
	}
	all := []listedDevice{}
	for next, last := "", ""; ; {
		var page []remote.Device
		if page, next, err = far.Devices(ctx, l.prefix, l.kind, next); err != nil {
			return nil, fmt.Errorf("%s: %w", l.source.remote, err)
		}
		for _, d := range page {
			if d.ID <= last {
				return nil, &hotreader.Error{Op: "devices", Code: hotreader.CodeProtocol, Err: errors.New("the API's list is not in the order of ids")}
			}
			all, last = append(all, listedDevice{d.ID, d.Type, d.Properties}), d.ID
		}
		if next == "" {
			return all, nil
		}
	}
}

func (l *listing) print(devices []listedDevice) error {
	a := l.app
	switch l.format {
	case "json":
		return a.printJSON(map[string][]listedDevice{"items": devices})
	case "jsonl":
		for _, d := range devices {
			if err := a.printJSON(d); err != nil {
				return err
			}
		}
		return nil
	case "csv":
		return l.csv(devices)
	}
	if len(devices) == 0 {
		return nil
	}
	t := terminal.NewTable(a.stdout, a.data, "DEVICE", "TYPE", "PROPERTIES")
	t.Right(2)
	for _, d := range devices {
		t.Texts(d.ID, d.Type, strconv.Itoa(d.Properties))
	}
	return t.End()
}

func (l *listing) csv(devices []listedDevice) error {
	w := bufio.NewWriter(l.app.visible())
	fmt.Fprint(w, "id,type,properties\n")
	var line []byte
	for _, d := range devices {
		line = append(plain.AppendCell(line[:0], []byte(d.ID)), ',')
		if d.Type != "" {
			line = plain.AppendCell(line, []byte(d.Type))
		}
		line = append(strconv.AppendInt(append(line, ','), int64(d.Properties), 10), '\n')
		_, _ = w.Write(line) // Flush says how it went
	}
	return w.Flush()
}
