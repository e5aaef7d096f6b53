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
	Warnings []problem `json:"warnings,omitempty"` // of what is as it should be only if it is meant
}

type problem struct {
	File    string `json:"file"`  // "" = the folder
	Place   string `json:"place"` // in the file, as [0].properties[1].name; "" = the file as a whole
	Problem string `json:"problem"`
}

func (p problem) String() string {
	if p.Place != "" {
		return p.File + ": " + p.Place + ": " + p.Problem
	}
	return p.File + ": " + p.Problem
}

func (a *app) validator() *cobra.Command {
	dir, asJSON := "", false
	cmd := &cobra.Command{
		Use:   "validate --project DIR",
		Short: "Check a project folder: all that plan would reject",
		Long: `Check a project folder: names, devices, layout, options and connections, all that
plan would reject. It sends no request and changes nothing. Each problem is a line
with the file and the place in it. What may be meant so, as a property that the
layout's properties do not list, is a warning.

Editors check most of it as you type, by the JSON Schemas in the folder schemas.`,
		Example: "  hotreader validate --project twin\n  hotreader validate --project twin --json | jq -r '.problems[].file'",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			p, err := deploy.Check(dir)
			found := validation{OK: err == nil, Project: dir, Problems: problemsOf(err)}
			if p != nil {
				for _, name := range p.Unread() {
					found.Warnings = append(found.Warnings, problem{"config_hot_reader.json", name, "is not read, for hot storage is on " + string(p.L3)})
				}
				for _, text := range p.Unlisted() {
					found.Warnings = append(found.Warnings, problem{"config_hot_reader.json", "layout.properties", text})
				}
			}
			if asJSON {
				if err := a.printIndented(found, "  "); err != nil {
					return err
				}
			} else {
				for _, one := range found.Warnings {
					fmt.Fprintln(a.stdout, oneLine("warning: "+one.String()))
				}
				for _, one := range found.Problems {
					fmt.Fprintln(a.stdout, oneLine(one.String()))
				}
			}
			if err != nil {
				return &hotreader.Error{Op: "validate", Code: hotreader.CodeConfig,
					Err: fmt.Errorf("%s to be changed in %s", terminal.Plural(len(found.Problems), "thing has", "things have"), dir)}
			}
			if !asJSON {
				fmt.Fprintln(a.stdout, a.sayProject(p, len(found.Warnings)))
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

// sayProject says what a project folder is, in which nothing but the warnings is wrong.
func (a *app) sayProject(p *config.Project, warnings int) string {
	state := a.data.Good("all is right")
	if warnings > 0 {
		state = "no problem, " + terminal.Plural(warnings, "warning", "warnings")
	}
	types := map[string]bool{}
	for _, d := range p.Devices {
		types[d.Type] = types[d.Type] || d.Type != ""
	}
	delete(types, "")
	of := ""
	if len(types) > 0 {
		of = " of " + terminal.Plural(len(types), "type", "types")
	}
	return fmt.Sprintf("%s: %s; hot storage on %s, the twin on %s, %s%s", terminal.Printable(p.Twin), state, p.L3, p.L4, terminal.Plural(len(p.Devices), "device", "devices"), of)
}
