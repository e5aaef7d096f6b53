package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"hotreader"
	"hotreader/cmd/hotreader/internal/terminal"
	"hotreader/codec/plain"
)

// asking is what query and latest have in common.
type asking struct {
	app     *app
	source  source
	device  string
	names   nameList
	types   []string
	filters []string
	formats []string // that there are
	format  string
	asJSON  bool
}

func (k *asking) flags(cmd *cobra.Command) {
	k.source.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&k.device, "device", "", "the device's `id`")
	f.Var(&k.names, "property", "`name` of a property to read; repeat it, or separate names by commas")
	f.StringArrayVar(&k.types, "type", nil, "`name=type` of a property: "+plain.TypeWords+"; repeat it")
	f.StringArrayVar(&k.filters, "filter", nil, "keep the rows that pass this `test`, as 'temperature>80', with = != < <= > >=; repeat it to demand more")
	f.StringVar(&k.format, "format", "", "`format` of the answer: "+strings.Join(k.formats, ", ")+" (default table on a terminal, jsonl elsewhere)")
	f.BoolVar(&k.asJSON, "json", false, "the same as --format json")
	f.SortFlags = false
	words(cmd, "format", k.formats...)
}

// query checks the flags and builds the query.
func (k *asking) query(cmd *cobra.Command) (q hotreader.Query, err error) {
	if err := k.source.check(cmd); err != nil {
		return q, err
	}
	switch {
	case k.device == "":
		return q, usagef("%s: which device? Give --device ID", cmd.Name())
	case len(k.names) == 0:
		return q, usagef("%s: which property? Give --property NAME", cmd.Name())
	case k.asJSON && k.format != "" && k.format != "json":
		return q, usagef("%s: --json and --format %s contradict each other; choose one", cmd.Name(), k.format)
	case k.asJSON:
		k.format = "json"
	case k.format == "" && terminal.Is(k.app.stdout):
		k.format = "table"
	case k.format == "":
		k.format = "jsonl"
	case !slices.Contains(k.formats, k.format):
		return q, usagef("%s: --format %s is unknown; %s", cmd.Name(), k.format, meantAndAll(k.format, k.formats))
	}
	q = hotreader.Query{Device: k.device, Properties: k.names}
	if q.Types, err = plain.Types(k.names, k.types); err != nil {
		return q, usagef("%s: --type: %v", cmd.Name(), err)
	}
	for _, text := range k.filters {
		f, err := parseFilter(text)
		if err != nil {
			return q, usagef("%s: --filter %v", cmd.Name(), err)
		}
		q.Filters = append(q.Filters, f)
	}
	return q, nil
}
