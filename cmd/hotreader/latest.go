package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"hotreader"
)

func (a *app) latest() *cobra.Command {
	k := &asking{app: a, formats: []string{"table", "json", "jsonl", "csv", "twinmaker"}}
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
	k.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		q, err := k.query(cmd)
		if err != nil {
			return err
		}
		q.Last = true
		return k.answer(cmd.Context(), q)
	}
	return cmd
}
