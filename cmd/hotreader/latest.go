package main

import (
	"github.com/spf13/cobra"

	"hotreader"
)

func (a *app) latest() *cobra.Command {
	k := &asking{app: a, formats: []string{"table", "json", "jsonl", "csv", "twinmaker"}}
	end, lookBack := &instant{now: a.now}, hotreader.LookBack
	cmd := &cobra.Command{
		Use:   "latest (--store URL | --remote URL) --device ID --property NAME...",
		Short: "Read the newest value of each property",
		Long: `Read the newest value of each property of a device, even where the newest row
lacks it. At most --look-back rows of the device are looked at, from the newest on.
A warning says where that ended the search. A row more than a day ahead of the
clock is passed over, unless --end is later.

The formats json, jsonl and csv hold rows, newest first: those that the values
come from, each with the values that are newest.

` + kindText + "\n\n" + tokenText + `

` + storeURLs,
		Example: `  hotreader latest --store bolt:pump.db --device pump-7 --property temperature,state
  hotreader latest --remote https://reader.example.com --device pump-7 --property temperature --json`,
		Args: noArgs,
	}
	k.flags(cmd)
	cmd.Flags().Var(end, "end", "the newest not after this `time`; default: a day ahead of now")
	cmd.Flags().IntVar(&lookBack, "look-back", lookBack, "look at this many `rows` at most")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		q, err := k.query(cmd)
		if err != nil {
			return err
		}
		if lookBack < 1 {
			return usagef("latest: --look-back %d does not fit; want a whole number of rows, at least 1", lookBack)
		}
		q.Last, q.LookBack, q.End = true, lookBack, end.time
		return k.answer(cmd.Context(), q)
	}
	return cmd
}
