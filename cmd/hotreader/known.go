package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hotreader"
	"hotreader/cmd/hotreader/internal/terminal"
	"hotreader/config"
	"hotreader/internal/nearest"
)

// What a source knows of its devices is for hints and for the shell: if it does not
// know them, or not at once, there are none.

// mostKnown is how many devices are looked at, and knowing how long that may take.
const (
	mostKnown = 1000
	knowing   = 3 * time.Second
)

// ids returns the ids of devices.
func (s *source) ids(ctx context.Context) (ids []string) {
	for _, d := range s.listed(ctx, "") {
		ids = append(ids, d.ID)
	}
	return ids
}

// properties returns the names of a device's properties.
func (s *source) properties(ctx context.Context, device string) []string {
	for _, d := range s.listed(ctx, device) {
		if d.ID == device {
			return d.Properties
		}
	}
	return nil
}

// listed returns devices whose id begins with prefix.
func (s *source) listed(ctx context.Context, prefix string) []hotreader.Listed {
	ctx, stop := context.WithTimeout(ctx, knowing)
	defer stop()
	if s.store == "" && s.remote == "" {
		return nil
	}
	_, stores, err := s.open(ctx)
	if err != nil {
		return nil
	}
	defer func() { _ = stores.Close() }() // they were read
	lister := stores.lister()
	if lister == nil {
		return nil
	}
	devices, _ := lister.Devices(ctx, prefix, "", mostKnown)
	return devices
}

// choices lists names at the end of a message, if there are any.
func choices(names []string) string {
	if len(names) == 0 {
		return ""
	}
	text := "; there are " + nearest.Listed(names[:min(len(names), 20)]...)
	if len(names) > 20 {
		text += " …"
	}
	return terminal.Printable(text)
}

// meantOf says which device a query may have meant that found nothing.
func (s *source) meantOf(ctx context.Context, device string) string {
	ids := s.ids(ctx)
	if near := meant(device, ids); near != "" && !slices.Contains(ids, device) {
		return "; " + near
	}
	return ""
}

type completion = func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective)

// complete has the shell offer values of a flag, which may be a list.
func complete(cmd *cobra.Command, flag string, values func(ctx context.Context) []string) {
	offer := func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		before := typed[:strings.LastIndexByte(typed, ',')+1]
		var all []string
		for _, v := range values(cmd.Context()) {
			if strings.HasPrefix(v, typed[len(before):]) && !strings.ContainsAny(v, "$`\\;&|<>(){}[]\"'!*?#~ \t\r\n") { // bash does not quote what several begin with
				all = append(all, before+v)
			}
		}
		return all, cobra.ShellCompDirectiveNoFileComp
	}
	if err := cmd.RegisterFlagCompletionFunc(flag, offer); err != nil {
		panic(err) // the flag's name is wrong: every test would find it
	}
}

// projectIDs returns the devices of a project folder.
func projectIDs(dir *string) func(context.Context) []string {
	return func(context.Context) (ids []string) {
		p, err := config.LoadProject(*dir)
		if err != nil {
			return nil
		}
		for _, d := range p.Devices {
			ids = append(ids, d.ID)
		}
		return ids
	}
}

// completeConnection offers the connection of a project folder as the one argument.
func completeConnection(dir *string) completion {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		p, err := config.LoadProject(*dir)
		if err != nil || len(args) > 0 || p.L3 == p.L4 && p.L4 == config.AWS {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return []string{config.ConnectionID(p.L4, p.L3)}, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeFolders has the shell offer folders where a flag takes one, and store URLs'
// schemes.
func completeFolders(cmd *cobra.Command) {
	for _, name := range []string{"project", "out", "artifacts", "engines"} {
		if cmd.Flags().Lookup(name) != nil {
			_ = cmd.MarkFlagDirname(name) // it is there
		}
	}
	for _, sub := range cmd.Commands() {
		completeFolders(sub)
	}
}
