package main

import (
	"strings"

	"github.com/spf13/cobra"

	"hotreader"
)

const kindText = `Each value comes in the kind that is stored: number, text or boolean. With --type
it becomes that type, and values that do not fit are left out. What is left out,
and a property that mixes kinds, is a warning on standard error; the formats json
and twinmaker have it in the document, too, as "warnings". An answer in which no
value is left is an error.`

func (a *app) query() *cobra.Command {
	k := &asking{app: a, formats: []string{"table", "chart", "json", "jsonl", "csv", "twinmaker"}}
	start, end := &instant{now: a.now}, &instant{now: a.now}
	order, limit := "ascending", 0
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
  json       one document {"items":[{"time":...,"NAME":...}],"warnings":[...]}
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
	k.flags(cmd)
	f := cmd.Flags()
	f.Var(start, "start", "from this `time` on; default: from the first row")
	f.Var(end, "end", "to this `time`; default: to the last row")
	f.StringVar(&order, "order", order, "`order` by time: ascending or descending")
	f.IntVar(&limit, "limit", 0, "at most this many `rows`; 0 = all")
	words(cmd, "order", "ascending", "descending")
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
			return usagef("query: --order %s is unknown; there are ascending and descending", order)
		}
		return k.answer(cmd.Context(), q)
	}
	return cmd
}
