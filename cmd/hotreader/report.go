package main

import (
	"fmt"
	"strings"

	"hotreader/cmd/hotreader/internal/terminal"
	"hotreader/deploy/doctor"
)

// printReport prints a report: a table on a terminal, else a line for each
// check.
func (a *app) printReport(r *doctor.Report) error {
	if terminal.Is(a.stdout) {
		return a.printReportTable(r)
	}
	for _, c := range r.Checks {
		text := fmt.Sprintf("%-7s %s: %s", c.Verdict, c.Hop(), c.Name)
		if at := checkTime(c); at != "" {
			text += " (" + at + ")"
		}
		for _, more := range []struct{ before, text string }{
			{": ", terminal.Printable(c.Says)}, {"; because of: ", c.Behind}, {"; to do: ", terminal.Printable(c.Remedy)},
		} {
			if more.text != "" {
				text += more.before + more.text
			}
		}
		if _, err := fmt.Fprintln(a.stdout, text); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) printReportTable(r *doctor.Report) error {
	looks := map[doctor.Verdict]func(string) string{doctor.OK: a.data.Good, doctor.Warning: a.data.Line, doctor.Failed: a.data.Bad, doctor.Skipped: a.data.Dim}
	t := terminal.NewTable(a.stdout, a.data, "HOP", "CHECK", "VERDICT", "TIME", "")
	t.Right(3)
	var wrong strings.Builder
	before := ""
	for _, c := range r.Checks {
		at, says := c.Hop(), terminal.Printable(c.Says)
		if at == before {
			at = ""
		}
		before = c.Hop()
		if c.Verdict == doctor.Warning || c.Verdict == doctor.Failed { // it stands below, in full
			fmt.Fprintf(&wrong, "\n%s %s: %s\n", looks[c.Verdict](c.Hop()+", "+c.Name+":"), c.Verdict, says)
			if c.Behind != "" {
				fmt.Fprintf(&wrong, "  because of: %s\n", c.Behind)
			}
			if c.Remedy != "" {
				fmt.Fprintf(&wrong, "  to do: %s\n", terminal.Printable(c.Remedy))
			}
			says = ""
		}
		t.Row(terminal.Cell{Text: at}, terminal.Cell{Text: c.Name}, terminal.Cell{Text: string(c.Verdict), Look: looks[c.Verdict]},
			terminal.Cell{Text: checkTime(c), Look: a.data.Dim}, terminal.Cell{Text: says, Look: a.data.Dim})
	}
	if err := t.End(); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout, wrong.String())
	if r.OK {
		fmt.Fprintf(a.stdout, "%s from %s to %s.\n", a.data.Good("Every hop is well,"), r.L4, r.L3)
	}
	return nil
}

func checkTime(c doctor.Check) string {
	if c.Took == 0 {
		return ""
	}
	return terminal.Took(c.Took)
}
