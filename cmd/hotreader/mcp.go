package main

import (
	"context"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"hotreader/function"
	"hotreader/identity"
	"hotreader/mcpserver"
)

const mcpText = `Let an assistant read telemetry, through the Model Context Protocol on stdin and
stdout. The tools are list_devices, describe_device, latest, history and stats. All
of them only read. An answer has at most about 2,000 tokens and says whether it is
complete.

The devices are those of the catalogue; without one, those of a mem: or bolt: store, or
of the API. Where there is none of these, give the assistant the devices and
properties. HOTREADER_DEVICES names the devices that it may read, as "pump-7,valve-*";
all if it is not set.

` + tokenText

func (a *app) mcp() *cobra.Command {
	var s source
	var list string
	cmd := &cobra.Command{
		Use:   "mcp (--store URL | --remote URL)",
		Short: "Let an assistant read telemetry (Model Context Protocol)",
		Long:  mcpText,
		Example: `  hotreader mcp --store bolt:pump.db
  hotreader mcp --remote https://api.example.com --token-file token`,
		Args: noArgs,
	}
	s.flags(cmd)
	cmd.Flags().StringVar(&list, "catalog", "", "`file` with the packed catalogue of devices (default: hotreader-catalog beside this program, if it is there)")
	cmd.Flags().SortFlags = false
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := s.check(cmd); err != nil {
			return err
		}
		return a.runMCP(cmd.Context(), &s, list)
	}
	return cmd
}

func (a *app) runMCP(ctx context.Context, s *source, list string) error {
	reader, stores, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = stores.Close() }() // they were read
	o := mcpserver.Options{Reader: reader, Version: thisBuild().Version, Lister: stores.lister(), Logger: a.logger(slog.LevelInfo)}
	if o.Catalog, err = function.OpenCatalog(list); err != nil {
		return err
	}
	if text, set := os.LookupEnv("HOTREADER_DEVICES"); set {
		if strings.TrimSpace(text) == "" {
			return usagef("mcp: HOTREADER_DEVICES is empty, which would be all devices; name some, or leave it out")
		}
		devices, err := identity.ParseDevices(text)
		if err != nil {
			return usagef("mcp: HOTREADER_DEVICES: %v", err)
		}
		o.May = func(_ context.Context, device string) bool { return devices.Has(device) }
	}
	server, err := mcpserver.New(o)
	if err != nil {
		return err
	}
	return server.Run(ctx, mcpserver.Lines(a.stdin, a.stdout))
}
