package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"hotreader"
	"hotreader/cmd/hotreader/internal/terminal"
	"hotreader/config"
	"hotreader/deploy"
)

// validation is the shape of validate --json.
type validation struct {
	OK       bool      `json:"ok"`
	Project  string    `json:"project"`
	Problems []problem `json:"problems"`
}

type problem struct {
	File    string `json:"file"`  // "" = the folder
	Place   string `json:"place"` // in the file, as [0].properties[1].name; "" = the file as a whole
	Problem string `json:"problem"`
}

func (a *app) validator() *cobra.Command {
	dir, asJSON := "", false
	cmd := &cobra.Command{
		Use:   "validate --project DIR",
		Short: "Check a project folder: all that plan would reject",
		Long: `Check a project folder: names, devices, layout, options and connections, all that
plan would reject. It sends no request and changes nothing. Each problem is a line
with the file and the place in it.

Editors check most of it as you type, by the JSON Schemas in the folder schemas.`,
		Example: "  hotreader validate --project twin\n  hotreader validate --project twin --json | jq -r '.problems[].file'",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			p, err := deploy.Check(dir)
			found := validation{OK: err == nil, Project: dir, Problems: problemsOf(err)}
			if asJSON {
				if err := a.printIndented(found, "  "); err != nil {
					return err
				}
			} else {
				for _, one := range found.Problems {
					place := ""
					if one.Place != "" {
						place = one.Place + ": "
					}
					fmt.Fprintln(a.stdout, oneLine(one.File+": "+place+one.Problem))
				}
			}
			if err != nil {
				return &hotreader.Error{Op: "validate", Code: hotreader.CodeConfig,
					Err: fmt.Errorf("%s to be changed in %s", terminal.Plural(len(found.Problems), "thing has", "things have"), dir)}
			}
			if !asJSON {
				fmt.Fprintln(a.stdout, a.sayProject(p))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "project", ".", "the project `folder`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// problemsOf takes an error of a project folder apart.
func problemsOf(err error) []problem {
	all := []problem{}
	for _, p := range config.Problems(err) {
		file, place, _ := strings.Cut(p.Where, ".json: ")
		if place != "" {
			file += ".json"
		}
		all = append(all, problem{filepath.Base(strings.TrimPrefix(file, "project folder ")), place, p.Err.Error()})
	}
	return all
}

// sayProject says what a project folder is.
func (a *app) sayProject(p *config.Project) string {
	types := map[string]bool{}
	for _, d := range p.Devices {
		types[d.Type] = types[d.Type] || d.Type != ""
	}
	delete(types, "")
	of := ""
	if len(types) > 0 {
		of = " of " + terminal.Plural(len(types), "type", "types")
	}
	return fmt.Sprintf("%s: %s; hot storage on %s, the twin on %s, %s%s", terminal.Printable(p.Twin), a.data.Good("all is right"), p.L3, p.L4, terminal.Plural(len(p.Devices), "device", "devices"), of)
}
