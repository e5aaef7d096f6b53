package main

import (
	"bufio"
	"bytes"
	"context"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hotreader"
	"hotreader/cmd/hotreader/internal/terminal"
	"hotreader/codec/twinmaker"
)

const kindText = `Each value comes in the kind that is stored: number, text or boolean. With --type
it becomes that type, and values that do not fit are left out. What is left out,
and a property that mixes kinds, is a warning on stderr; the formats json
and twinmaker have it in the document, too, as "warnings". An answer in which no
value is left is an error.`

const formatsText = `Formats:
  table      aligned columns
  chart      a drawing of each property; no spike is lost, however long the range.
             Without --filter and --limit only the rows that it shows come; of
             texts that change faster than it can show, not each
  json       one document {"items":[{"time":...,"NAME":...}],"warnings":[...]}; a
             value that a row does not have is null
  jsonl      one such item a line
  csv        RFC 4180; text that a spreadsheet would run as a formula is guarded
  twinmaker  the answer for AWS IoT TwinMaker: one page a line`

// mostShown is how many rows a table on a terminal has without --limit.
const mostShown = 1000

func (a *app) query() *cobra.Command {
	k := &asking{app: a, formatting: formatting{formats: []string{"table", "chart", "json", "jsonl", "csv", "twinmaker"}}}
	start, end := &instant{now: a.now}, &instant{now: a.now}
	order, limit, fewer := "ascending", 0, fewer{}
	cmd := &cobra.Command{
		Use:   "query (--store URL | --remote URL) --device ID --property NAME...",
		Short: "Read the history of a device",
		Long: `Read the history of a device, from a store or from a Hot Reader API in another
cloud. All rows of the range come, however many there are; memory does not grow
with them. A connection to another cloud that breaks is resumed after the last
whole row.

A time is an instant, as 2026-03-02T06:00:00Z (without a zone it is UTC), or now,
or before now, as -90m, -24h, -7d, -2w. Both ends belong to the range.

` + fewerText + `

` + kindText + `

` + formatsText + `

` + tokenText + `

` + storeURLs,
		Example: `  hotreader query --store bolt:pump.db --device pump-7 --property temperature --start -24h
  hotreader query --store bolt:pump.db --device pump-7 --property temperature,speed --format chart
  hotreader query --remote https://reader.example.com --device pump-7 --property temperature \
      --filter 'temperature>80' --order descending --limit 10 --format csv`,
		Args: noArgs,
	}
	k.flags(cmd)
	f := cmd.Flags()
	f.Var(start, "start", "from this `time` on; default: from the first row")
	f.Var(end, "end", "to this `time`; default: to the last row")
	f.StringVar(&order, "order", order, "`order` by time: ascending or descending")
	f.IntVar(&limit, "limit", 0, "at most this many `rows`; 0 = all (default all; of a table on a terminal, the first "+terminal.Count(mostShown)+")")
	words(cmd, "order", "ascending", "descending")
	fewer.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		q, err := k.query(cmd)
		if err != nil {
			return err
		}
		q.Start, q.End, q.Limit = start.time, end.time, limit
		switch strings.ToLower(order) {
		case "ascending", "asc":
		case "descending", "desc":
			q.Order = hotreader.Descending
		default:
			return usagef("query: --order %s is unknown; %s", order, meantOr(strings.ToLower(order), []string{"ascending", "descending"}))
		}
		if err := fewer.apply(&q, cmd, a.now()); err != nil {
			return err
		}
		k.bound(cmd, &q)
		return k.answer(cmd.Context(), q)
	}
	return cmd
}

// bound ends a table on a terminal, unless --limit is set.
func (k *asking) bound(cmd *cobra.Command, q *hotreader.Query) {
	if k.format == "table" && terminal.Is(k.app.stdout) && !cmd.Flags().Changed("limit") {
		k.most, q.Limit = mostShown, mostShown+1
	}
}

func (a *app) latest() *cobra.Command {
	k := &asking{app: a, formatting: formatting{formats: []string{"table", "json", "jsonl", "csv", "twinmaker"}}}
	end, lookBack, every := &instant{now: a.now}, hotreader.LookBack, time.Duration(0)
	cmd := &cobra.Command{
		Use:   "latest (--store URL | --remote URL) --device ID --property NAME...",
		Short: "Read the newest value of each property",
		Long: `Read the newest value of each property of a device, even where the newest row
lacks it. At most --look-back rows of the device are looked at, from the newest on.
A warning says where that ended the search. A row more than a day ahead of the
clock is passed over, unless --end is later.

With --watch it reads again every two seconds, or as --watch=10s says, until ^C. On a
terminal the table is drawn anew; elsewhere an answer is printed when it differs from
the one before.

The formats json, jsonl and csv hold rows, newest first: those that the values
come from, each with the values that are newest; others are null in JSON.

` + kindText + "\n\n" + tokenText + `

` + storeURLs,
		Example: `  hotreader latest --store bolt:pump.db --device pump-7 --property temperature,state
  hotreader latest --store bolt:pump.db --device pump-7 --property temperature --watch
  hotreader latest --remote https://reader.example.com --device pump-7 --property temperature --json`,
		Args: noArgs,
	}
	k.flags(cmd)
	cmd.Flags().Var(end, "end", "the newest not after this `time`; default: a day ahead of now")
	cmd.Flags().DurationVar(&every, "watch", 0, "read again after each `span`, until ^C")
	cmd.Flags().Lookup("watch").NoOptDefVal = "2s"
	cmd.Flags().IntVar(&lookBack, "look-back", lookBack, "look at this many `rows` at most")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		q, err := k.query(cmd)
		if err != nil {
			return err
		}
		if lookBack < 1 {
			return usagef("latest: --look-back %d does not fit; expected a whole number of rows, at least 1", lookBack)
		}
		q.Last, q.LookBack, q.End = true, lookBack, end.time
		switch {
		case !cmd.Flags().Changed("watch"):
			return k.answer(cmd.Context(), q)
		case every < 100*time.Millisecond:
			return usagef("latest: --watch=%s is too short; expected 100ms at least", every)
		}
		return k.watch(cmd.Context(), q, every)
	}
	return cmd
}

// twinmaker writes what TwinMaker would be answered, one page a line, and
// returns how many pages have values. Entity and component are named as the
// device.
func (k *asking) twinmaker(ctx context.Context, reader hotreader.Reader, q hotreader.Query) (int, error) {
	w := bufio.NewWriterSize(k.app.stdout, 1<<16)
	answers := twinmaker.Responder{Reader: reader, Warnings: true}
	req := twinmaker.Request{Query: q, Ref: twinmaker.Reference{EntityID: q.Device, ComponentName: q.Device}}
	if q.Limit > 0 { // one page of that many rows
		if q.Limit > twinmaker.MaxResults/len(q.Properties) {
			return 0, usagef("query: --limit %d is more than a page can hold", q.Limit)
		}
		req.MaxResults = q.Limit * len(q.Properties)
		answers.MaxBytes = 1 << 30
		req.Query.Limit = 0
	}
	if q.Limit == 0 {
		// Pages are megabytes, and come fast: on a busy machine the collector would
		// lag by several. What lives is less than half of this.
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(40 << 20))
	}
	page := make([]byte, 0, twinmaker.DefaultMaxBytes) // growing to that would leave as much garbage again
	pages := 0
	for {
		var err error
		if q.Last {
			page, err = answers.AppendLastEntry(ctx, page[:0], req)
		} else {
			page, err = answers.AppendHistory(ctx, page[:0], req)
		}
		if err != nil {
			_ = w.Flush()
			return pages, err
		}
		_, _ = w.Write(page) // the writer keeps its error for Flush
		_ = w.WriteByte('\n')
		empty, next := pageEnd(page)
		if !empty {
			pages++
		}
		if next == "" || q.Limit > 0 {
			return pages, w.Flush()
		}
		req.NextToken = next
	}
}

// pageEnd returns whether a page of our own making is without values, and its
// nextToken. A page is megabytes, so it is not decoded: what is looked for
// cannot stand inside a JSON string, where quotes are escaped.
func pageEnd(page []byte) (empty bool, next string) {
	empty = !bytes.Contains(page, []byte(`"values":[{`)) && !bytes.Contains(page, []byte(`"propertyValue":{`))
	mark := []byte(`],"nextToken":"`)
	if i := bytes.LastIndex(page, mark); i >= 0 {
		next = string(bytes.TrimSuffix(page[i+len(mark):], []byte(`"}`)))
	}
	return empty, next
}
