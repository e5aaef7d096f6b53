package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// build is what the program knows of itself, and the shape of version --json.
type build struct {
	Version  string `json:"version"`  // of the module, "(devel)" when built from a work tree
	Commit   string `json:"commit"`   // "" = built without version control
	Time     string `json:"time"`     // of the commit, or ""
	Modified *bool  `json:"modified"` // the work tree had changes; null = not known
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func thisBuild() build {
	info, _ := debug.ReadBuildInfo()
	return buildOf(info)
}

// buildOf returns what info, which may be nil, tells.
func buildOf(info *debug.BuildInfo) build {
	b := build{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info == nil {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			modified := s.Value == "true"
			b.Modified = &modified
		}
	}
	return b
}

func (a *app) version() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Say which build this is",
		Long: `Say which build this is: version, commit, Go version and platform. In JSON commit
is "" and modified null if the build had no version control to ask.`,
		Example: `  hotreader version
  hotreader version --json | jq -r .commit`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			b := thisBuild()
			if asJSON {
				return a.printJSON(b)
			}
			fmt.Fprintf(a.stdout, "hotreader %s\n", b.Version)
			if b.Commit != "" {
				changed := ""
				if b.Modified != nil && *b.Modified {
					changed = ", changed since"
				}
				fmt.Fprintf(a.stdout, "commit %s of %s%s\n", b.Commit, b.Time, changed)
			}
			fmt.Fprintf(a.stdout, "%s %s\n", b.Go, b.Platform)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
