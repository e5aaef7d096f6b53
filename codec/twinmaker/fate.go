package twinmaker

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"hotreader"
)

// ErrLookBack is in the error of latest values of which the look-back found not
// one, and which may be there all the same.
var ErrLookBack = errors.New("no property has a value among the device's newest records")

// account counts what the page leaves out itself, and notes what has become of each
// property's values.
func (p *page) account(stats *hotreader.Stats) {
	for i, name := range p.names {
		c := &p.columns[i]
		stats.LeaveOut(name, hotreader.WrongType, c.leftOut)
		if len(c.buf) > 0 {
			c.fate |= given
		}
	}
	for _, w := range stats.Warnings() {
		if i := slices.Index(p.names, w.Property); i >= 0 && w.LeavesOut() {
			p.columns[i].fate |= missed
		}
	}
}

// fates returns the properties' fates, for the next page.
func (p *page) fates() []fate {
	fates := make([]fate, len(p.columns))
	for i := range p.columns {
		fates[i] = p.columns[i].fate
	}
	return fates
}

// whole returns the error of a query that ends with this page and has no value
// although values were left out. Where the answer tells what was, that is so of all
// properties together; else of each.
func (p *page) whole(stats *hotreader.Stats, told bool) error {
	var lost []string
	none := true
	for i, name := range p.names {
		none = none && p.columns[i].fate&given == 0
		if p.columns[i].fate == missed {
			lost = append(lost, name)
		}
	}
	if none {
		if err := stats.Nothing(); err != nil {
			return err
		}
	}
	if len(lost) == 0 || told && !none {
		return nil
	}
	why := "all were left out on the pages before"
	if all := texts(stats, func(w hotreader.Warning) bool { return w.LeavesOut() && slices.Contains(lost, w.Property) }); len(all) > 0 {
		why = strings.Join(all, "; ")
	}
	return &hotreader.Error{Op: "twinmaker: read", Code: hotreader.CodeUnreadable,
		Err: fmt.Errorf("no value of %s is left: %s", strings.Join(lost, ", "), why)}
}

// found returns the error of latest values that the look-back did not find.
func (p *page) found(stats *hotreader.Stats) error {
	ended := texts(stats, func(w hotreader.Warning) bool { return w.Reason == hotreader.LookBackEnded })
	if len(ended) == 0 || slices.ContainsFunc(p.columns, func(c column) bool { return c.fate&given != 0 }) {
		return nil
	}
	return &hotreader.Error{Op: "twinmaker: last entry", Code: hotreader.CodeNotFound,
		Err: fmt.Errorf("%w; raise HOTREADER_LOOK_BACK: %s", ErrLookBack, strings.Join(ended, "; "))}
}

// texts returns those warnings in words.
func texts(stats *hotreader.Stats, which func(hotreader.Warning) bool) (all []string) {
	for _, w := range stats.Warnings() {
		if which(w) {
			all = append(all, w.String())
		}
	}
	return all
}
