package main

import (
	"fmt"
	"io"
	"strings"

	"hotreader/cmd/hotreader/internal/terminal"
	"hotreader/deploy"
)

// verb is how an action is told: while it goes on, when it is done, and before a
// resource, as in a diff.
type verb struct{ doing, done, mark string }

var verbs = map[deploy.Action]verb{
	deploy.Create:  {"creating", "created", "+"},
	deploy.Change:  {"changing", "changed", "~"},
	deploy.Replace: {"replacing", "replaced", "±"},
	deploy.Destroy: {"destroying", "destroyed", "-"},
}

func verbOf(a deploy.Action) verb {
	if v, ok := verbs[a]; ok {
		return v
	}
	return verb{"preparing", "done", ""}
}

// printSide prints what becomes of one cloud.
func printSide(w io.Writer, p terminal.Paint, s deploy.SidePlan) {
	fmt.Fprintf(w, "%s: %s\n", p.Bold(string(s.Cloud)), s.Summary())
	printChanges(w, p, "", s.Changes)
	printChanges(w, p, "not as it was deployed (changed by hand?), and set right again", s.Drift)
	for _, text := range s.Public {
		fmt.Fprintf(w, "  public: %s\n", terminal.Printable(text))
	}
	for _, text := range s.Notes {
		fmt.Fprintf(w, "  note: %s\n", terminal.Printable(text))
	}
}

// Of a list of more than manyChanges, those that are alike but for their names are
// put together where there are more than alikeChanges of them.
const manyChanges, alikeChanges = 60, 10

// printChanges prints a heading, if there is anything below it, and a line for each
// change, or, of a long list, for those that are alike: a project of hundreds of
// devices is still read through.
func printChanges(w io.Writer, p terminal.Paint, heading string, all []deploy.ResourceChange) {
	if len(all) > 0 && heading != "" {
		fmt.Fprintf(w, "  %s:\n", heading)
	}
	kind := func(c deploy.ResourceChange) string {
		return string(c.Action) + "\x00" + c.What + "\x00" + strings.Join(c.Fields, "\x00")
	}
	alike := map[string][]string{}
	for _, c := range all {
		alike[kind(c)] = append(alike[kind(c)], c.Name)
	}
	for _, c := range all {
		k := kind(c)
		names, there := alike[k]
		if len(all) > manyChanges && len(names) > alikeChanges {
			c.What = fmt.Sprintf("%d × %s", len(names), c.What)
			c.Name = fmt.Sprintf("%s, %s, … %s", names[0], names[1], names[len(names)-1])
			delete(alike, k)
		}
		if there {
			printChange(w, p, c)
		}
	}
}

func printChange(w io.Writer, p terminal.Paint, c deploy.ResourceChange) {
	look := p.Good
	if c.Action == deploy.Destroy || c.Action == deploy.Replace {
		look = p.Bad
	}
	text := "  " + look(verbOf(c.Action).mark) + " " + c.What + " " + terminal.Printable(c.Name)
	if len(c.Fields) > 0 {
		text += ": " + terminal.Printable(strings.Join(c.Fields, ", "))
	}
	fmt.Fprintln(w, text)
}
