package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hotreader"
	"hotreader/codec/plain"
	"hotreader/internal/nearest"
)

// asking is what query and latest have in common.
type asking struct {
	app     *app
	source  source
	device  string
	names   nameList
	types   []string
	filters []string
	format  string
	asJSON  bool
}

func (k *asking) flags(cmd *cobra.Command, formats string) {
	k.source.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&k.device, "device", "", "the device's `id`")
	f.Var(&k.names, "property", "`name` of a property to read; repeat it, or separate names by commas")
	f.StringArrayVar(&k.types, "type", nil, "`name=type` of a property: "+typeWords+"; repeat it")
	f.StringArrayVar(&k.filters, "filter", nil, "keep the rows that pass this `test`, as 'temperature>80', with = != < <= > >=; repeat it to demand more")
	f.StringVar(&k.format, "format", "", "`format` of the answer: "+formats+" (default table on a terminal, jsonl elsewhere)")
	f.BoolVar(&k.asJSON, "json", false, "the same as --format json")
}

// query checks the flags and builds the query.
func (k *asking) query(cmd *cobra.Command, formats ...string) (q hotreader.Query, err error) {
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
	case k.format == "" && terminalWidth(k.app.stdout) > 0:
		k.format = "table"
	case k.format == "":
		k.format = "jsonl"
	case !slices.Contains(formats, k.format):
		did := ""
		if meant := nearest.Word(k.format, formats); meant != "" {
			did = fmt.Sprintf("did you mean %s? ", meant)
		}
		return q, usagef("%s: --format %s is unknown; %sthere are %s", cmd.Name(), k.format, did, strings.Join(formats, ", "))
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

const kindText = `A property takes the kind, number or text or boolean, of its first value in the
read's order, unless --type declares one. Values of another kind are left out,
and standard error says how many.`

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
		did := ""
		if meant := nearest.Word(strings.ToLower(word), strings.Split(typeWords, ", ")); meant != "" {
			did = fmt.Sprintf("did you mean %s? ", meant)
		}
		return fmt.Errorf("%q: type %q is unknown; %sthere are %s", text, word, did, typeWords)
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

func (a *app) query() *cobra.Command {
	k := &asking{app: a}
	start, end := &instant{now: a.now}, &instant{now: a.now}
	order, limit := "ascending", 0
	formats := []string{"table", "chart", "json", "jsonl", "csv", "twinmaker"}
	cmd := &cobra.Command{
		Use:   "query (--store URL | --remote URL) --device ID --property NAME...",
		Short: "Read the history of a device",
		Long: `Read the history of a device, from a store or from a Hot Reader API in another
cloud. All rows of the range come, however many there are; memory does not grow
with them. A way to another cloud that breaks is taken up again behind the last
whole row.

A time is an instant, as 2026-03-02T06:00:00Z (without a zone it is UTC), or now,
or before now, as -90m, -24h, -7d, -2w. Both ends belong to the range.

` + kindText + `

Formats:
  table      aligned columns
  chart      a drawing of each property; no spike is lost, however long the range
  json       one document {"items":[{"time":...,"NAME":...}]}
  jsonl      one such item a line
  csv        RFC 4180; text that a spreadsheet would run as a formula is guarded
  twinmaker  what AWS IoT TwinMaker is answered: one page a line

` + tokenText + `

` + storeURLs,
		Example: `  hotreader query --store bolt:pump.db --device pump-7 --property temperature --start -24h
  hotreader query --store bolt:pump.db --device pump-7 --property temperature,speed --format chart
  hotreader query --remote https://reader.example.com --device pump-7 --property temperature \
      --filter 'temperature>80' --order descending --limit 10 --format csv`,
		Args: noArgs,
	}
	k.flags(cmd, strings.Join(formats, ", "))
	f := cmd.Flags()
	f.Var(start, "start", "from this `time` on; default: from the first row")
	f.Var(end, "end", "to this `time`; default: to the last row")
	f.StringVar(&order, "order", order, "`order` by time: ascending or descending")
	f.IntVar(&limit, "limit", 0, "at most this many `rows`; 0 = all")
	f.SortFlags = false
	words(cmd, "format", formats...)
	words(cmd, "order", "ascending", "descending")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		q, err := k.query(cmd, formats...)
		if err != nil {
			return err
		}
		q.Start, q.End, q.Limit = start.time, end.time, limit
		switch strings.ToLower(order) {
		case "ascending", "asc":
		case "descending", "desc":
			q.Order = hotreader.Descending
		default:
			return usagef("query: --order %s is unknown; there are ascending and descending", order)
		}
		return k.answer(cmd.Context(), q)
	}
	return cmd
}

func (a *app) latest() *cobra.Command {
	k := &asking{app: a}
	formats := []string{"table", "json", "jsonl", "csv", "twinmaker"}
	cmd := &cobra.Command{
		Use:   "latest (--store URL | --remote URL) --device ID --property NAME...",
		Short: "Read the newest value of each property",
		Long: fmt.Sprintf(`Read the newest value of each property of a device, even where the newest row
lacks it: the last %d rows of the device are looked at, at the most.

The formats json, jsonl and csv hold rows, newest first: those that the values
come from, each with the values that are newest.

`, hotreader.LookBack) + kindText + "\n\n" + tokenText + `

` + storeURLs,
		Example: `  hotreader latest --store bolt:pump.db --device pump-7 --property temperature,state
  hotreader latest --remote https://reader.example.com --device pump-7 --property temperature --json`,
		Args: noArgs,
	}
	k.flags(cmd, strings.Join(formats, ", "))
	cmd.Flags().SortFlags = false
	words(cmd, "format", formats...)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		q, err := k.query(cmd, formats...)
		if err != nil {
			return err
		}
		q.Last = true
		return k.answer(cmd.Context(), q)
	}
	return cmd
}

// words offers a flag's words to the shell.
func words(cmd *cobra.Command, flag string, words ...string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag's name is wrong: every test would find it
	}
}

// answer reads q and writes it in the format that was asked for.
func (k *asking) answer(ctx context.Context, q hotreader.Query) error {
	if err := q.Check(); err != nil {
		return err
	}
	a := k.app
	if k.format == "json" || k.format == "jsonl" || k.format == "csv" {
		// Refuse what cannot be written before anything is read.
		if _, err := plain.NewEncoder(plainFormat(k.format), q.Properties); err != nil {
			return err
		}
	}
	reader, closer, err := k.source.open(ctx)
	if err != nil {
		return err
	}
	defer closer.Close()
	stats := &hotreader.Stats{}
	ctx = hotreader.WithStats(ctx, stats)
	began := time.Now()
	line := newProgress(a.stderr)
	if terminalWidth(a.stdout) > 0 && k.format != "chart" {
		line.width = 0 // the rows themselves show how it goes
	}
	n := 0
	rows := func(yield func(hotreader.Row, error) bool) {
		for row, err := range reader.Read(ctx, q) {
			if err == nil {
				if n++; n&1023 == 0 {
					line.show("%s rows", count(n))
				}
			}
			if !yield(row, err) {
				return
			}
		}
	}
	switch k.format {
	case "table":
		err = k.table(q, rows)
	case "chart":
		err = k.chart(q, rows)
	case "twinmaker":
		n, err = k.twinmaker(ctx, reader, q)
	default:
		err = k.plain(q, rows)
	}
	line.clear()
	if err != nil {
		return err
	}
	took := time.Since(began)
	newest := ""
	if n == 0 {
		newest = elsewhere(hotreader.WithStats(ctx, new(hotreader.Stats)), reader, q)
	}
	k.sum(n, q, stats, took, newest)
	return nil
}

// sum says on standard error what the answer cost, and whatever a reader of the
// data alone would miss.
func (k *asking) sum(n int, q hotreader.Query, stats *hotreader.Stats, d time.Duration, newest string) {
	a := k.app
	skipped := stats.Skipped.Load()
	if n == 0 {
		a.note("no rows: device %q has no value of %s%s%s", printable(q.Device), printable(strings.Join(q.Properties, ", ")), within(q), newest)
	}
	if skipped > 0 {
		why := "unreadable, or not of the property's type, which is that of its first value unless --type says"
		if k.format == "twinmaker" {
			why += "; or nothing that TwinMaker takes: numbers beyond a double, texts that are empty or over 256 characters"
		}
		a.note("%s left out: %s", plural(skipped, "value", "values"), why)
	}
	if n > 0 && terminalWidth(a.stderr) > 0 {
		unit := plural(n, "row", "rows")
		if k.format == "twinmaker" {
			unit = plural(n, "page", "pages")
		}
		wire := ""
		if k.source.remote != "" {
			wire = ", " + size(stats.Bytes.Load()) + " over the wire"
		}
		a.note("%s", a.talk.dim(fmt.Sprintf("%s in %s%s", unit, took(d), wire)))
	}
}

// within says what q's rows had to be besides the device's.
func within(q hotreader.Query) string {
	text := ""
	switch {
	case q.Last:
		text = " among the newest"
	case !q.Start.IsZero() || !q.End.IsZero():
		text = " in that range"
	}
	if len(q.Filters) > 0 {
		text += " that passes the filter"
	}
	return text
}

// elsewhere says of a query without rows where there are some, by a look at the
// device's newest.
func elsewhere(ctx context.Context, reader hotreader.Reader, q hotreader.Query) string {
	if !q.Last || len(q.Filters) > 0 {
		last := hotreader.Query{Device: q.Device, Properties: q.Properties, Last: true}
		for row, err := range reader.Read(ctx, last) {
			if err != nil {
				return "" // the answer stands without
			}
			if row.Time.IsZero() { // as from a foreign peer
				break
			}
			return "; its newest is of " + string(hotreader.AppendTime(nil, row.Time))
		}
	}
	return "; are the device's id and the property's name right?"
}

func plainFormat(name string) plain.Format {
	switch name {
	case "json":
		return plain.JSON
	case "csv":
		return plain.CSV
	}
	return plain.JSONL
}

func (k *asking) plain(q hotreader.Query, rows iter.Seq2[hotreader.Row, error]) error {
	e, err := plain.NewEncoder(plainFormat(k.format), q.Properties)
	if err != nil {
		return err
	}
	out := k.app.stdout
	if terminalWidth(out) > 0 {
		out = &visible{w: out}
	}
	w := bufio.NewWriterSize(out, 1<<16)
	if _, err := e.Write(w, rows); err != nil {
		_ = w.Flush() // the rows before the failure are right, and the failure is what counts
		return err
	}
	return writeEnd(w.Flush())
}

// table writes rows, or for a last entry properties, in columns.
func (k *asking) table(q hotreader.Query, rows iter.Seq2[hotreader.Row, error]) error {
	a := k.app
	if q.Last {
		return k.lastTable(q, rows)
	}
	head := append([]string{"TIME (UTC)"}, q.Properties...)
	for i := range head {
		head[i] = printable(head[i])
	}
	t := newTable(a.stdout, a.data, head...)
	cells := make([]cell, len(head))
	var text []byte
	n := 0
	for row, err := range rows {
		if err != nil {
			_ = t.end()
			return err
		}
		n++
		text = appendPlainTime(text[:0], row.Time)
		cells[0] = cell{string(text), a.data.dim}
		for i, v := range row.Values {
			cells[i+1] = cell{text: show(v)}
			if v.Kind() == hotreader.Number && !t.begun {
				t.right[i+1] = true
			}
		}
		t.row(cells...)
	}
	if n == 0 {
		return nil
	}
	return writeEnd(t.end())
}

func (k *asking) lastTable(q hotreader.Query, rows iter.Seq2[hotreader.Row, error]) error {
	a := k.app
	found := make([][]cell, len(q.Properties))
	n := 0
	for row, err := range rows {
		if err != nil {
			return err
		}
		n++
		for i, v := range row.Values {
			if !v.IsNull() {
				found[i] = []cell{{text: printable(q.Properties[i])}, {text: show(v)},
					{string(appendPlainTime(nil, row.Time)), a.data.dim}, {ago(a.now().Sub(row.Time)), a.data.dim}}
			}
		}
	}
	if n == 0 {
		return nil
	}
	t := newTable(a.stdout, a.data, "PROPERTY", "VALUE", "TIME (UTC)", "AGE")
	for i, cells := range found {
		if cells == nil {
			t.row(cell{text: printable(q.Properties[i])}, cell{"–", a.data.dim}, cell{}, cell{})
			continue
		}
		t.row(cells...)
	}
	return writeEnd(t.end())
}

func (k *asking) chart(q hotreader.Query, rows iter.Seq2[hotreader.Row, error]) error {
	height := 10
	if len(q.Properties) > 3 {
		height = 6
	}
	c := newChart(k.app.stdout, k.app.data, terminalWidth(k.app.stdout), height, q.Properties)
	for row, err := range rows {
		if err != nil {
			return err
		}
		c.add(row)
	}
	if err := c.end(); err != nil {
		return writeEnd(err)
	}
	for i, s := range c.series {
		if s.beyond > 0 {
			k.app.note("%s: %s not drawn, beyond what a double holds", printable(q.Properties[i]), plural(s.beyond, "number is", "numbers are"))
		}
	}
	return nil
}

// show writes a value for a person.
func show(v hotreader.Value) string {
	switch v.Kind() {
	case hotreader.Null:
		return "–"
	case hotreader.String:
		return printable(string(v.Text()))
	}
	return v.String()
}

// appendPlainTime appends t in UTC with as many decimals as it has, three at
// least.
func appendPlainTime(dst []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(dst, "unknown"...)
	}
	at := len(dst)
	dst = hotreader.AppendTime(dst, t)
	dst[at+10] = ' '
	return dst[:len(dst)-1]
}

// ago writes an age roughly.
func ago(d time.Duration) string {
	switch {
	case d < -time.Minute:
		return "ahead of this clock"
	case d < 0:
		return "0 s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%s days", count(int(d.Hours()/24)))
}

// writeEnd says of an output that cannot be written that this is the trouble.
func writeEnd(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("writing the answer: %w", err)
}
