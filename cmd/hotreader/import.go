package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"hotreader"
	"hotreader/cmd/hotreader/internal/importer"
	"hotreader/cmd/hotreader/internal/terminal"
	"hotreader/codec/plain"
	"hotreader/store/all"
)

// importing is what import is told beside what goes on as it is.
type importing struct {
	importer.Options
	timeFormat, delimiter string
	renames               []string
	asJSON                bool
}

const importText = `Write the rows of a CSV file or of JSON lines into a store. FILE - is standard
input. A file that ends in .csv, .jsonl or .ndjson is what it says; any other is
looked into.

CSV needs a first line with the columns' names. Cells that are numbers, true or
false become that, empty ones are left out, all else is text. Digits are kept
as they are. Standard error tells how many values of which kind each column
gave; a number with a decimal comma is text, and warned of.

Times are ISO 8601, without a zone in UTC, unless --time-format says that they
are seconds or milliseconds since 1970.

A device has one row an instant: where several lines have the same one, the
last line stands, as it does over what the store already has. So an import that
broke off may simply be repeated. Where writing costs money or time, go on where
it stopped: it says how many lines are stored, and --skip leaves out as many.

` + storeURLs

func (a *app) importer() *cobra.Command {
	k := importing{Options: importer.Options{In: a.stdin, Open: all.Open}}
	cmd := &cobra.Command{
		Use:   "import --store URL --device ID FILE",
		Short: "Write the rows of a file into a store",
		Long:  importText,
		Example: `  hotreader import --store bolt:pump.db --device pump-7 pump.csv
  hotreader import --store bolt:pump.db --device pump-7 --time ts --rename value=temperature --rename note= log.jsonl
  zcat old.csv.gz | hotreader import --store 'dynamodb://twin-hot-iot-data?region=eu-central-1' --device pump-7 -`,
		Args: func(_ *cobra.Command, args []string) error {
			switch len(args) {
			case 0:
				return usagef("import: which file? Give its name, or - for standard input")
			case 1:
				k.File = args[0]
				return nil
			}
			return usagef("import: %d files are given, but one is imported at a time", len(args))
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := k.check(); err != nil {
				return err
			}
			return a.runImport(cmd.Context(), &k)
		},
	}
	f := cmd.Flags()
	f.StringVar(&k.Store, "store", "", "write into this store (a store `URL`)")
	f.StringVar(&k.Device, "device", "", "the device's `id`")
	f.StringVar(&k.Decode.Time, "time", "", "`name` of the column or key with the time (default timestamp, or else time)")
	f.StringVar(&k.timeFormat, "time-format", importer.TimeFormats[0], "`format` of the times: "+strings.Join(importer.TimeFormats, ", "))
	f.StringArrayVar(&k.renames, "rename", nil, "`a=b` stores column or key a as property b, a= leaves it out; repeat it")
	f.StringVar(&k.Format, "format", "", "`format` of the file, csv or jsonl, whatever its name says")
	f.StringVar(&k.delimiter, "delimiter", ",", "`character` between the cells of a CSV file, as ';' or '\\t' for a tab")
	f.Int64Var(&k.Skip, "skip", 0, "leave out the first `lines` that have values: an earlier import has stored them")
	f.BoolVar(&k.asJSON, "json", false, "print the result as JSON")
	f.SortFlags = false
	words(cmd, "format", "csv", "jsonl")
	words(cmd, "time-format", importer.TimeFormats...)
	return cmd
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
	if err != nil {
		if result.Lines > 0 {
			stored := k.Skip + result.Lines
			a.note("%s before that are stored; go on with --skip %d, or repeat the import as a whole", terminal.Plural(stored, "line", "lines"), stored)
		}
		return err
	}
	if k.asJSON {
		a.sayWarnings(&result)
		return a.printJSON(result)
	}
	a.sayImported(&result)
	return nil
}

func (k *importing) check() (err error) {
	switch {
	case k.Store == "":
		return usagef("import: where to? Give --store URL")
	case k.Device == "":
		return usagef("import: which device? Give --device ID")
	case k.Skip < 0:
		return usagef("import: --skip %d: give the number of lines that are stored already", k.Skip)
	case k.Format != "" && k.Format != "csv" && k.Format != "jsonl":
		return usagef("import: --format %s is unknown; there are csv and jsonl", k.Format)
	}
	if k.Decode.Comma, err = parseDelimiter(k.delimiter); err != nil {
		return err
	}
	i := slices.Index(importer.TimeFormats, k.timeFormat)
	if i < 0 {
		return usagef("import: --time-format %s is unknown; there are %s", k.timeFormat, strings.Join(importer.TimeFormats, ", "))
	}
	k.Decode.TimeFormat = plain.TimeFormat(i)
	k.Decode.Rename = map[string]string{}
	for _, r := range k.renames {
		from, to, ok := strings.Cut(r, "=")
		if !ok || from == "" {
			return usagef("import: --rename %s: write it column=property, or column= to leave it out", r)
		}
		k.Decode.Rename[from] = to
	}
	return nil
}

// parseDelimiter reads --delimiter: one character, or \t.
func parseDelimiter(text string) (rune, error) {
	if text == `\t` {
		return '\t', nil
	}
	r, n := utf8.DecodeRuneInString(text)
	if n == 0 || n != len(text) || r == utf8.RuneError || strings.ContainsRune("\"\r\n", r) {
		return 0, usagef("import: --delimiter %q: give one character, as ';', or '\\t' for a tab", text)
	}
	return r, nil
}

// shownColumns are how many columns a person is told of.
const shownColumns = 20

func (a *app) sayImported(r *importer.Result) {
	device := terminal.Printable(r.Device)
	if r.Lines == 0 {
		fmt.Fprintf(a.stdout, "%s: the file has no rows\n", device)
		a.sayLeftOut(r)
		return
	}
	most := ""
	if r.Unsure > 0 {
		most = "at most "
	}
	fmt.Fprintf(a.stdout, "%s: %s%s from %s to %s\n", device, most, terminal.Plural(r.Rows, "row", "rows"),
		hotreader.AppendTime(nil, *r.First), hotreader.AppendTime(nil, *r.Last))
	if r.Shared > 0 {
		fmt.Fprintf(a.stdout, "%s shared an instant with an earlier one and replaced it\n", terminal.Plural(r.Shared, "line", "lines"))
	}
	for i, c := range r.Columns {
		if i == shownColumns {
			a.note("and %s", terminal.Plural(len(r.Columns)-i, "column more", "columns more"))
			break
		}
		a.note("%s: %s", terminal.Printable(c.Name), c.Kinds())
	}
	a.sayLeftOut(r)
	a.sayWarnings(r)
	if terminal.Is(a.stderr) {
		a.note("%s", a.talk.Dim(fmt.Sprintf("%s in %s", terminal.Plural(r.Lines, "line", "lines"), terminal.Took(time.Duration(r.Seconds*1e9)))))
	}
}

// sayLeftOut tells of cells that are not stored.
func (a *app) sayLeftOut(r *importer.Result) {
	if r.LeftOut > 0 {
		a.note("%s left out: null, NaN or infinite", terminal.Plural(r.LeftOut, "cell is", "cells are"))
	}
}

// sayWarnings tells of what is hardly what was meant.
func (a *app) sayWarnings(r *importer.Result) {
	for _, c := range r.Columns[:min(len(r.Columns), shownColumns)] {
		if c.Commas > 0 {
			a.note("%s %s: %s a number with a comma (\"%s\"), stored as text; for numbers write a point",
				a.talk.Bad("warning:"), terminal.Printable(c.Name), terminal.Plural(c.Commas, "text looks like", "texts look like"), c.Comma)
		}
	}
	if r.Unsure > 0 {
		a.note("%s %s far out of order: if an earlier line has the same instant, it was replaced",
			a.talk.Bad("warning:"), terminal.Plural(r.Unsure, "line is", "lines are"))
	}
}
