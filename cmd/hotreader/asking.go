package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"hotreader"
	"hotreader/cmd/hotreader/internal/terminal"
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
	f.StringArrayVar(&k.types, "type", nil, "`name=type` of a property: "+typeWords+"; repeat it")
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
	for _, text := range k.types {
		if err := declare(&q, text); err != nil {
			return q, usagef("%s: --type %v", cmd.Name(), err)
		}
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

const typeWords = "double, integer, long, boolean, string, text, number"

// declare adds a type, as name=type, to the query.
func declare(q *hotreader.Query, text string) error {
	i := strings.LastIndexByte(text, '=')
	if i < 0 {
		return fmt.Errorf("%q: write it name=type; the types are %s", text, typeWords)
	}
	name, word := text[:i], text[i+1:]
	t, ok := hotreader.ParseType(word)
	if !ok || t == hotreader.Untyped {
		return fmt.Errorf("%q: type %q is unknown; %s", text, word, meantAndAll(strings.ToLower(word), strings.Split(typeWords, ", ")))
	}
	at := slices.Index(q.Properties, name)
	if at < 0 {
		return fmt.Errorf("%q: no --property is named %q", text, name)
	}
	if q.Types == nil {
		q.Types = make([]hotreader.Type, len(q.Properties))
	}
	if q.Types[at] != hotreader.Untyped {
		return fmt.Errorf("%q: property %q has a type already", text, name)
	}
	q.Types[at] = t
	return nil
}

// nameList is a flag that holds names, separated by commas. A name in double
// quotes may have commas, too; any other is taken as it is.
type nameList []string

func (l *nameList) String() string { return strings.Join(*l, ",") }

// Type returns what help calls a value.
func (l *nameList) Type() string { return "name" }

// Set adds names.
func (l *nameList) Set(text string) error {
	r := csv.NewReader(strings.NewReader(text))
	r.LazyQuotes = true
	all, err := r.ReadAll()
	if err != nil || len(all) > 1 {
		return errors.New("these are no names separated by commas; put one with a comma or a line break into double quotes")
	}
	for _, names := range all {
		*l = append(*l, names...)
	}
	return nil
}
