package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hotreader"
	"hotreader/cmd/hotreader/internal/inspector"
	"hotreader/cmd/hotreader/internal/terminal"
	"hotreader/internal/shell"
	"hotreader/layout"
	"hotreader/store/all"
)

const inspectText = `Look at a few items of a table, container or collection with an unknown
layout, and say how to read it: the config_hot_reader.json of a project folder and
the store URL, both with the layout; the properties with kinds and types; what the
layout has no place for; the init command; and the next one. All of it was tried:
inspect reads the latest values with the layout before it prints them.

It ignores the parameters of a layout in the URL. With --device it looks at that
device's items, which shows more, above all where ids are a part of a key.

It needs more permissions than a reader. On DynamoDB your own credentials need
dynamodb:DescribeTable, dynamodb:Scan and dynamodb:Query. It asks for some dozens
of items in a few small requests; for a device that is not a key it looks at up to
4,000.

With --json it prints one document: layout, store (the URL with the layout),
items, devices, device and property (to try with), newest (time of the item they
are from), properties (name, kinds, type, items, example), latest (property, time,
value), reasons (which of several readings was taken), not_placed, problems and
next (the command). A store of its own layout (mem:, bolt:) says needs_no_layout.

The exit code is 3 if no layout reads all of the items that were looked at. The
layout that reads the most is still printed, and what it does not read.

`

func (a *app) inspect() *cobra.Command {
	o := inspector.Options{Open: all.OpenReader}
	asJSON := false
	cmd := &cobra.Command{
		Use:   "inspect --store URL [--device ID]",
		Short: "Find the layout of a table that another program filled",
		Long:  inspectText + storeURLs,
		Example: `  hotreader inspect --store 'dynamodb://telemetry?region=eu-central-1'
  hotreader inspect --store cosmos://twin.documents.azure.com/iot/messages --device pump-7
  hotreader inspect --store 'firestore://my-project/(default)/devices/pump-7/telemetry' --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Store == "" {
				return usagef("inspect: which store? Give --store URL")
			}
			r, err := inspector.Run(cmd.Context(), o)
			switch {
			case r.Store == "":
			case asJSON:
				if printed := a.printIndented(r, " "); printed != nil {
					return printed
				}
			default:
				if printed := a.printInspected(&r); printed != nil {
					return printed
				}
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Store, "store", "", "look into this store (a store `URL`)")
	f.StringVar(&o.Device, "device", "", "look for items of this device (its `id`)")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	f.SortFlags = false
	return cmd
}

// shownDevices are how many ids a person is shown.
const shownDevices = 5

func (a *app) printInspected(r *inspector.Result) error {
	if r.Needless {
		fmt.Fprintln(a.stdout, "This store has a layout of its own; you need not give one.")
		return nil
	}
	a.note("%s looked at%s", terminal.Plural(r.Items, "item", "items"), seen(r.Devices))
	config := r.Config()
	text, err := json.Marshal(config)
	if err != nil {
		return err
	}
	head := "For config_hot_reader.json, whose layout is also that of HOTREADER_LAYOUT:"
	switch {
	case len(r.Problems) > 0:
		head = "For config_hot_reader.json, as close as a layout comes:"
	case config["layout"] == nil:
		head = "For config_hot_reader.json; the default layout fits:"
	}
	a.paragraph(head, string(text))
	a.paragraph("As a store URL:", shell.Word(r.Store))
	if err := a.printProperties(r); err != nil {
		return err
	}
	if paths := r.Renamed(); paths != nil {
		named := *r
		named.Layout.Properties = layout.Properties{Paths: paths}
		text, err := json.Marshal(named.Config())
		if err != nil {
			return err
		}
		a.paragraph("For a twin on AWS, whose property names have only a-z, A-Z, 0-9, _ and -, config_hot_reader.json is instead:", string(text))
	}
	if command := r.Init(); command != "" {
		a.paragraph("For a project folder, with other devices and a wider type where you know of them:", command)
	}
	a.paragraph("Which reading was taken:", r.Reasons...)
	a.paragraph("Not placed:", r.NotPlaced...)
	if r.Next != "" {
		a.paragraph("Go on with:", r.Next)
	}
	return nil
}

func seen(devices []string) string {
	if len(devices) == 0 {
		return ""
	}
	more := ""
	if len(devices) > shownDevices {
		more = ", …"
	}
	return ", of " + terminal.Plural(len(devices), "device", "devices") + ": " + terminal.Printable(strings.Join(devices[:min(len(devices), shownDevices)], ", ")) + more +
		"; --device ID looks at another one, which may have other properties"
}

// paragraph prints a headline and what is to be pasted below it, in one line each, if
// there is anything.
func (a *app) paragraph(head string, lines ...string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintln(a.stdout, terminal.Printable(head))
	for _, l := range lines {
		fmt.Fprintln(a.stdout, "  "+terminal.Printable(l))
	}
	fmt.Fprintln(a.stdout)
}

// printProperties prints what was seen, and what was read with the layout.
func (a *app) printProperties(r *inspector.Result) error {
	if len(r.Properties) == 0 {
		return nil
	}
	latest := map[string]inspector.Value{}
	for _, v := range r.Latest {
		latest[v.Property] = v
	}
	t := terminal.NewTable(a.stdout, a.data, "PROPERTY", "KIND", "TYPE", "ITEMS", "EXAMPLE", "LATEST OF "+r.Device)
	t.Right(3)
	whole, number := false, ""
	for _, p := range r.Properties {
		whole = whole || slices.Contains(p.Kinds, "list") || slices.Contains(p.Kinds, "object")
		if slices.Contains(p.Kinds, "text") && p.Type == "double" {
			number = p.Name
		}
		newest := ""
		if v, ok := latest[p.Name]; ok {
			newest = clipped(fmt.Sprint(v.Value)) + " at " + string(hotreader.AppendTime(nil, v.Time.In(time.UTC)))
		}
		t.Texts(p.Name, strings.Join(p.Kinds, ", "), p.Type, strconv.Itoa(p.Items), p.Example, newest)
	}
	if err := t.End(); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout)
	if number != "" {
		a.note("a text that is a number, as all of %s are, is a number where it is declared as double", terminal.Printable(number))
	}
	if whole {
		a.note("a list or an object is declared as string; its value is the text of its JSON")
	}
	return nil
}

// clipped shortens a long text.
func clipped(text string) string {
	const most = 40
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}
