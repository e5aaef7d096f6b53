package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // --zone, where the machine has no zones
	"unicode/utf8"

	"github.com/spf13/cobra"

	"hotreader"
	"hotreader/cmd/hotreader/internal/importer"
	"hotreader/cmd/hotreader/internal/importer/sniff"
	"hotreader/cmd/hotreader/internal/importer/timetext"
	"hotreader/cmd/hotreader/internal/terminal"
	"hotreader/codec/plain"
	"hotreader/store/all"
)

// importing are the arguments of import: the importer's, and those that need a conversion.
type importing struct {
	importer.Options
	delimiter, decimal, thousands string
	timeFormat, zone              string
	headerLine                    string
	missing, only, units          nameList
	pivot, badLines               string
	renames, types                []string
	merge, replace                bool
	asJSON                        bool
}

const importText = `Write the rows of CSV files or of JSON into a store. FILE - is standard input;
files of gzip and zstd are unpacked.

Import looks at the first lines of a file and says what it takes it for:
encoding, delimiter, the line with the columns' names, where the time is and how
it is written, decimal mark. Where it is wrong, or asks, set the flags below.

Cells that are numbers, true or false become that: .5, 5., +5 and 007 are
numbers, too, and so are the booleans of spreadsheets in other languages, as
WAHR. Numbers with a unit, as 21.5 °C, are text unless --unit names the unit.
Empty cells are left out, and so are NaN, null, #N/A and, in a column of
numbers, -, NA, n/a and None. All else is text; each cell keeps its own kind.
Digits are kept as they are. Diagnostics on stderr say how many values of which
kind each column gave, and what was left out and why.

JSON is lines, an array, objects one after the other, or a document with an
array of records in it. Nested objects become a.b, and DynamoDB's types are
unwrapped.

Times without a zone are UTC, unless --zone or the column's name (GMT-05:00,
America/Chicago) says otherwise. Where days and months are ambiguous, import
asks. Of an hour that a zone has twice, the file's order separates the passes.

A device has one row an instant. In an embedded store and in memory, a line of
an instant that is there is merged property by property, so several files may
each bring their columns, and an import may be repeated. --replace replaces whole
rows. In the stores of clouds whole items are written; --merge updates them
instead, with a request a row. Where that costs money or time, go on where an
import stopped: it says how many lines are stored, and --skip leaves out as many.

Names with blanks, commas or signs: --time 'Date Time, GMT-05:00' and --rename
'Water Temp, °C=water' are quoted for the shell alone. In lists, as --only has
and query's --property, a name with a comma also needs double quotes:
--only '"Water Temp, °C",b'.

` + storeURLs

const importExamples = `  hotreader import --store bolt:pump.db --device pump-7 pump.csv
  hotreader import --store bolt:pump.db --device-column device_id fleet.csv.gz
  hotreader import --store bolt:pump.db --device pump-7 --dry-run pump.csv
  # times
  hotreader import --store bolt:pump.db --device pump-7 --time Date+Time --zone Europe/Berlin meter.csv
  hotreader import --store bolt:pump.db --device pump-7 --time-format '%d.%m.%Y %H:%M' pump.csv
  # numbers, and lines around the table
  hotreader import --store bolt:pump.db --device pump-7 --decimal , --thousands . --null -999,NA pump.csv
  hotreader import --store bolt:pump.db --device pump-7 --unit '°C,bar' pump.csv
  hotreader import --store bolt:pump.db --device pump-7 --header-line 4 --skip-after-header 2 --encoding latin1 logger.dat
  hotreader import --store bolt:pump.db --device pump-7 --bad-lines skip pump.csv
  # a line for each value
  hotreader import --store bolt:pump.db --device pump-7 --pivot sensor=value long.csv
  # JSON, from standard input
  hotreader import --store bolt:pump.db --device pump-7 --time ts --rename value=temperature --rename note= - < log.jsonl`

func (a *app) importer() *cobra.Command {
	k := importing{Options: importer.Options{In: a.stdin, Open: all.Open}}
	cmd := &cobra.Command{
		Use:     "import --store URL (--device ID|--device-column NAME) FILE…",
		Short:   "Write the rows of files into a store",
		Long:    importText,
		Example: importExamples,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("import: which file? Give its name, or - for standard input")
			}
			if n := len(slices.DeleteFunc(slices.Clone(args), func(s string) bool { return s != "-" })); n > 1 {
				return usagef("import: standard input is given twice")
			}
			k.Files = args
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, flag := range []string{"delimiter", "decimal", "thousands"} {
				if f := cmd.Flags().Lookup(flag); f.Changed && f.Value.String() == "" {
					return usagef("import: --%s is empty; give one character", flag)
				}
			}
			if err := k.check(); err != nil {
				return err
			}
			return a.runImport(cmd.Context(), &k)
		},
	}
	k.flags(cmd)
	return cmd
}

func (k *importing) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&k.Store, "store", "", "write into this store (a store `URL`)")
	f.StringVar(&k.Device, "device", "", "all rows are of this device (its `id`)")
	f.StringVar(&k.DeviceColumn, "device-column", "", "each row has its device in the column, or under the key, `name`")
	f.StringVar(&k.Sniff.Time, "time", "", "`name` of the column or key with the time; several with a plus between, as Date+Time")
	f.StringVar(&k.timeFormat, "time-format", "", "`format` of the times: "+strings.Join(timetext.Names, ", ")+", or a strftime layout")
	f.StringVar(&k.zone, "zone", "", "`zone` of times that have none, as Europe/Berlin or +01:00 (default UTC)")
	f.StringVar(&k.Sniff.Format, "format", "", "`format` of the file, csv or jsonl, whatever it looks like")
	f.StringVar(&k.delimiter, "delimiter", "", "`character` between the cells of a table, as ';' or '\\t' for a tab")
	f.StringVar(&k.decimal, "decimal", "", "decimal `mark` of numbers")
	f.StringVar(&k.thousands, "thousands", "", "`mark` between thousands, as . or ' '")
	f.Var(&k.units, "unit", "`units` beside numbers, which are not stored, as '°C,%'")
	f.Var(&k.missing, "null", "`words` that stand for a missing value, beside those that are known; separated by commas")
	f.StringVar(&k.headerLine, "header-line", "", "`number` of the line with the columns' names; 0 = there is none")
	f.IntVar(&k.SkipAfter, "skip-after-header", -1, "leave out so many `lines` after the header")
	f.Lookup("skip-after-header").DefValue = "0" // not -1: the flag is not set
	f.StringVar(&k.Sniff.Comment, "comment", "", "leave out lines that begin with this `text`")
	f.StringVar(&k.Encoding, "encoding", "", "`encoding` of the file, as latin1, windows-1250 or utf-16 (default as its first bytes say, or else utf-8)")
	f.StringVar(&k.pivot, "pivot", "", "each line has one property, its name and value in two columns, as `sensor=value`; none = store both as they are")
	f.StringArrayVar(&k.renames, "rename", nil, "`a=b` stores column or key a as property b, a= leaves it out; repeat it")
	f.Var(&k.only, "only", "store these columns alone: `names` separated by commas")
	f.StringArrayVar(&k.types, "type", nil, "`name=type` stores a column as double, integer, long, boolean or string; other values are left out; repeat it")
	f.StringVar(&k.badLines, "bad-lines", "fail", "`what` to do with a line that cannot be read: fail, or skip it and write it to FILE.rejected")
	f.BoolVar(&k.DryRun, "dry-run", false, "read the whole file with all checks, store nothing, print the first rows as they would be stored")
	f.BoolVar(&k.replace, "replace", false, "a row that is there is replaced as a whole")
	f.BoolVar(&k.merge, "merge", false, "in the stores of clouds, too, merge a row that is there: a request a row")
	f.Int64Var(&k.Skip, "skip", 0, "leave out the first `lines` that have values: an earlier import of the same file, unchanged, has stored them")
	f.BoolVar(&k.asJSON, "json", false, "print the result as JSON")
	f.SortFlags = false
	words(cmd, "format", "csv", "jsonl")
	words(cmd, "time-format", timetext.Names...)
	words(cmd, "bad-lines", "fail", "skip")
}

func (a *app) runImport(ctx context.Context, k *importing) error {
	line := terminal.NewProgress(a.stderr)
	k.Progress = func(lines, percent int64) {
		if percent < 0 {
			line.Show("%s lines", terminal.Count(lines))
		} else {
			line.Show("%3d %%  %s lines", percent, terminal.Count(lines))
		}
	}
	result, err := importer.Run(ctx, k.Options)
	line.Clear()
	if err == nil && k.asJSON {
		a.sayWarnings(&result)
		return a.printJSON(result)
	}
	for _, f := range result.Files {
		a.note("%s: %s", terminal.Printable(f.Name), terminal.Printable(f.Taken))
	}
	for _, row := range result.Rows {
		fmt.Fprintln(a.stdout, terminal.Printable(row))
	}
	if err != nil {
		if result.Lines > 0 && !k.DryRun {
			stored, again, on := k.Skip+result.Lines, "import all of it again; what is stored already is not stored twice", ""
			if result.Created != "" {
				again = "delete " + terminal.Printable(result.Created) + ", which this import made, and begin again"
			}
			if hotreader.CodeOf(err) != hotreader.CodeInvalid { // else the lines, or how they are taken, are to change
				on = fmt.Sprintf("; or go on with --skip %d, if the file is unchanged", stored)
			}
			a.note("%s before that are stored; %s%s", terminal.Plural(stored, "line", "lines"), again, on)
		}
		return err
	}
	a.sayImported(k, &result)
	return nil
}

func (k *importing) check() (err error) {
	switch {
	case k.Store == "" && !k.DryRun:
		return usagef("import: where to? Give --store URL")
	case k.Device != "" && k.DeviceColumn != "":
		return usagef("import: --device and --device-column exclude each other")
	case k.merge && k.replace:
		return usagef("import: --merge and --replace exclude each other")
	case k.replace && k.pivot != "" && k.pivot != "none":
		return usagef("import: --pivot and --replace exclude each other: each line would replace the values of those of its instant; leave --replace out, or import into a new store")
	case k.Skip < 0:
		return usagef("import: --skip %d: give the number of lines that are stored already", k.Skip)
	case k.badLines != "fail" && k.badLines != "skip":
		return usagef("import: --bad-lines %s is unknown; there are fail and skip", k.badLines)
	}
	k.SkipBad = k.badLines == "skip"
	if k.merge {
		k.Writing = importer.Merging
	} else if k.replace {
		k.Writing = importer.Replacing
	}
	switch k.Sniff.Format {
	case "", "csv", "json":
	case "jsonl", "ndjson":
		k.Sniff.Format = "json"
	default:
		return usagef("import: --format %s is unknown; there are csv and jsonl", k.Sniff.Format)
	}
	if err := k.checkTimes(); err != nil {
		return err
	}
	if err := k.checkMarks(); err != nil {
		return err
	}
	return k.checkColumns()
}

func (k *importing) checkTimes() error {
	if k.timeFormat != "" {
		f, err := timetext.ParseFormat(k.timeFormat)
		if err != nil {
			return usagef("import: --time-format %v", err)
		}
		k.Sniff.TimeFormat = &f
	}
	if k.zone != "" {
		zone, err := timetext.ParseZone(k.zone)
		if err != nil {
			return usagef("import: --zone: %v", err)
		}
		k.Zone = zone
	}
	k.Sniff.HeaderLine = sniff.FindHeader
	if k.headerLine != "" {
		n, err := strconv.Atoi(k.headerLine)
		if err != nil || n < 0 {
			return usagef("import: --header-line %s: give the number of a line, or 0 if none has names", k.headerLine)
		}
		k.Sniff.HeaderLine = n
	}
	return nil
}

func (k *importing) checkMarks() (err error) {
	style := &k.Sniff.Style
	for _, m := range []struct {
		flag, text string
		into       *rune
	}{{"delimiter", k.delimiter, &k.Sniff.Delimiter}, {"decimal", k.decimal, &style.Decimal}, {"thousands", k.thousands, &style.Thousands}} {
		if *m.into, err = parseMark(m.flag, m.text); err != nil {
			return err
		}
	}
	if style.Decimal == style.Thousands && style.Decimal != 0 || style.Thousands == '.' && style.Decimal == 0 {
		if style.Decimal != 0 {
			return usagef("import: --decimal and --thousands are the same")
		}
		style.Decimal = ',' // a point between thousands leaves nothing else
	}
	style.Missing = k.missing
	for _, unit := range k.units {
		style.Units = append(style.Units, strings.TrimSpace(unit))
	}
	return nil
}

func (k *importing) checkColumns() error {
	if k.pivot == "none" {
		k.PlainPairs = true
	} else if k.pivot != "" {
		i := strings.LastIndexByte(k.pivot, '=')
		if i < 1 || i == len(k.pivot)-1 {
			return usagef("import: --pivot %s: write it name=value, the columns with the names and the values of properties, or none", k.pivot)
		}
		k.Key, k.Value = k.pivot[:i], k.pivot[i+1:]
	}
	if len(k.only) > 0 {
		k.Only = k.only
	}
	k.Rename = map[string]string{}
	for _, r := range k.renames {
		i := strings.LastIndexByte(r, '=')
		if i < 1 {
			return usagef("import: --rename %s: write it column=property, or column= to leave it out", r)
		}
		k.Rename[r[:i]] = r[i+1:]
	}
	k.Types = map[string]hotreader.Type{}
	for _, t := range k.types {
		i := strings.LastIndexByte(t, '=')
		if i < 1 {
			return usagef("import: --type %s: write it name=type; the types are %s", t, plain.TypeWords)
		}
		typ, ok := hotreader.ParseType(t[i+1:])
		if !ok || typ == hotreader.Untyped {
			return usagef("import: --type %s: %s", t, meantAndAll(strings.ToLower(t[i+1:]), strings.Split(plain.TypeWords, ", ")))
		}
		k.Types[t[:i]] = typ
	}
	return nil
}

// parseMark reads a flag that is one character, or \t; 0 = it is not given.
func parseMark(flag, text string) (rune, error) {
	switch text {
	case "":
		return 0, nil
	case `\t`, "tab":
		return '\t', nil
	case "space":
		return ' ', nil
	}
	r, n := utf8.DecodeRuneInString(text)
	if n != len(text) || r == utf8.RuneError || strings.ContainsRune("\"\r\n", r) || flag != "delimiter" && strings.ContainsRune("0123456789+-eE", r) {
		return 0, usagef("import: --%s %q: give one character, as ';', or '\\t' for a tab", flag, text)
	}
	return r, nil
}

// shown is how many columns, devices and reasons a person is shown.
const shown = 20

func (a *app) sayImported(k *importing, r *importer.Result) {
	say := func(format string, args ...any) { fmt.Fprintf(a.stdout, format+"\n", args...) }
	if k.DryRun { // stdout has the rows
		say = a.note
	}
	for i, d := range r.Devices {
		if i == shown {
			a.note("and %s", terminal.Plural(len(r.Devices)-i, "device more", "devices more"))
			break
		}
		say("%s: %s from %s to %s", terminal.Printable(d.ID), terminal.Plural(d.Lines, "line", "lines"),
			hotreader.AppendTime(nil, d.First), hotreader.AppendTime(nil, d.Last))
	}
	if r.Lines == 0 {
		say("there are no rows")
	} else if !k.DryRun {
		say("%s", outcome(r))
	}
	for i, c := range r.Columns {
		if i == shown {
			a.note("and %s", terminal.Plural(len(r.Columns)-i, "column more", "columns more"))
			break
		}
		a.note("%s: %s", terminal.Printable(c.Name), c.Kinds())
	}
	a.sayLeftOut(r)
	a.sayWarnings(r)
	if k.DryRun {
		a.note("nothing is stored: this is a dry run")
	}
	if terminal.Is(a.stderr) {
		a.note("%s", a.talk.Dim(fmt.Sprintf("%s in %s", terminal.Plural(r.Lines, "line", "lines"), terminal.Took(time.Duration(r.Seconds*1e9)))))
	}
}

// outcome says what became of the lines.
func outcome(r *importer.Result) string {
	var parts []string
	for _, p := range []struct {
		n         int64
		one, many string
	}{
		{r.Written, "item written", "items written"},
		{r.Stored, "row stored", "rows stored"},
		{r.Merged, "line merged into a row that was there", "lines merged into rows that were there"},
		{r.Overwriting, "of them replaced a value", "of them replaced values"},
		{r.Replaced, "row replaced", "rows replaced"},
		{r.Unchanged, "line changed nothing", "lines changed nothing"},
	} {
		if p.n > 0 {
			parts = append(parts, terminal.Plural(p.n, p.one, p.many))
		}
	}
	return strings.Join(parts, ", ")
}

// sayLeftOut reports values and lines that are not stored.
func (a *app) sayLeftOut(r *importer.Result) {
	for i, l := range r.LeftOut {
		if i == shown {
			a.note("and more of other columns")
			break
		}
		a.note("%s: %s left out: %s (%q)", terminal.Printable(l.Column), terminal.Plural(l.Count, "value", "values"), l.Reason, l.Example)
	}
	if r.BadLines > 0 {
		where := ""
		if len(r.Rejected) > 0 {
			where = "; with the reasons they are in " + terminal.Printable(strings.Join(r.Rejected, ", "))
		}
		a.note("%s %s left out%s", a.talk.Bad("warning:"), terminal.Plural(r.BadLines, "line that cannot be read is", "lines that cannot be read are"), where)
	}
}

// sayWarnings reports what is probably not what was meant.
func (a *app) sayWarnings(r *importer.Result) {
	marked, flags := 0, []string(nil)
	among := map[string][]*importer.Column{} // numbers, texts that a flag leaves out
	for _, c := range r.Columns {
		if c.Marked > 0 {
			if marked++; marked > shown {
				continue
			}
			what := ""
			if strings.HasPrefix(c.Advice, "--unit") {
				what = " with a unit"
			}
			a.note("%s %s: %s a number%s (\"%s\"), stored as text; for numbers give %s",
				a.talk.Bad("warning:"), terminal.Printable(c.Name), terminal.Plural(c.Marked, "text looks like", "texts look like"), what, terminal.Printable(c.Mark), terminal.Printable(c.Advice))
		} else if flag := c.Missing(); flag != "" {
			if among[flag] == nil {
				flags = append(flags, flag)
			}
			among[flag] = append(among[flag], c)
		}
	}
	if marked > shown {
		a.note("%s and %s", a.talk.Bad("warning:"), terminal.Plural(marked-shown, "column more with such texts", "columns more with such texts"))
	}
	for _, flag := range flags[:min(len(flags), shown)] {
		columns := terminal.Printable(among[flag][0].Name)
		if more := len(among[flag]) - 1; more > 0 {
			columns += " and " + terminal.Plural(more, "column more", "columns more")
		}
		texts := int64(0)
		for _, c := range among[flag] {
			texts += c.Texts
		}
		again := "give"
		if r.Stored+r.Merged > 0 { // a second import removes nothing
			again = "import into a new store with"
		}
		a.note("%s: %s among numbers; to leave such values out, %s %s", columns, terminal.Plural(texts, "text", "texts"), again, terminal.Printable(flag))
	}
	for _, text := range r.Warnings {
		a.note("%s %s", a.talk.Bad("warning:"), terminal.Printable(text))
	}
	for _, note := range r.Notes {
		a.note("%s", terminal.Printable(note))
	}
}
