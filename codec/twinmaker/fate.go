package twinmaker

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"hotreader"
	"hotreader/internal/component"
	"hotreader/internal/nearest"
)

// ErrLookBack is in the error of latest values of which the look-back found not
// one, and which may be there all the same.
var ErrLookBack = errors.New("no property has a value among the device's newest records")

// account counts what the page leaves out itself, and notes what has become of each
// property's values.
func (p *page) account(req *Request, stats *hotreader.Stats) {
	if req.Alarm {
		p.accountStates(req.names(), stats)
	}
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

// known drops the warnings of unknown properties that pages before had, or that the
// catalogue lists beside others that were found.
func (p *page) known(req *Request, stats *hotreader.Stats) {
	var listed []string
	for i, name := range p.names {
		if p.columns[i].fate != 0 {
			stats.Retract(hotreader.UnknownProperty, name)
		}
		if req.Unlisted.Instead != nil && !slices.Contains(req.Unlisted.Properties, name) {
			listed = append(listed, name)
		}
	}
	stats.Listed(listed, p.names)
}

// accountStates reports alarm statuses that TwinMaker's alarms do not have.
func (p *page) accountStates(names []Name, stats *hotreader.Stats) {
	i := slices.IndexFunc(names, func(n Name) bool { return n.Property == component.AlarmStatus })
	if i < 0 {
		return
	}
	buf, value := p.columns[names[i].Column].buf, `"value":{"stringValue":"`
	n := bytes.Count(buf, []byte(value))
	for _, state := range component.AlarmStates {
		n -= bytes.Count(buf, []byte(value+state+`"`))
	}
	if n > 0 {
		stats.Warn(hotreader.Warning{Reason: hotreader.AlarmState, Property: p.names[names[i].Column], Count: int64(n), Detail: "an alarm panel knows " + strings.Join(component.AlarmStates, ", ")})
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

// setFates sets the properties' fates, as of the pages before.
func (p *page) setFates(fates []fate) {
	for i, f := range fates {
		p.columns[i].fate = f
	}
}

// ended returns the error of a query that ends with this page.
func (r *Responder) ended(req *Request, fates []fate, stats *hotreader.Stats) error {
	for i, name := range req.Query.Properties {
		if value, ok := req.Constants[name]; ok && fates[i]&given == 0 {
			stats.Retract(hotreader.LookBackEnded, name) // there is no older value
			stats.Warn(hotreader.Warning{Reason: hotreader.Constant, Property: name, Detail: fmt.Sprintf("its value is %.300s, which TwinMaker has itself", value)})
		}
	}
	if err := nothingLeft(req.Query.Properties, fates, stats, r.Warnings); err != nil {
		return err
	}
	return req.mistaken(fates, stats)
}

// nothingLeft returns the error of a query that ends with this page and has no value
// although values were left out. If the answer says what was, that holds for all
// properties together; else of each.
func nothingLeft(names []string, fates []fate, stats *hotreader.Stats, told bool) error {
	var lost []string
	none := true
	for i, name := range names {
		none = none && fates[i]&given == 0
		if fates[i] == missed {
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
	if !none {
		why += "; a query for the other properties alone is answered"
	}
	return &hotreader.Error{Op: "twinmaker: read", Code: hotreader.CodeUnreadable,
		Err: fmt.Errorf("no value of %s is left: %s", strings.Join(lost, ", "), why)}
}

// mistaken returns the error of an answer without values whose device or property neither
// the catalogue lists nor storage knows.
func (r *Request) mistaken(fates []fate, stats *hotreader.Stats) error {
	if slices.ContainsFunc(fates, func(f fate) bool { return f != 0 }) {
		return nil
	}
	var wrong []string
	for _, w := range stats.Warnings() {
		switch {
		case w.Reason == hotreader.Constant && r.Constants[w.Property] != "":
			wrong = append(wrong, w.String())
		case w.Reason == hotreader.UnknownDevice && r.Unlisted.Among != nil:
			text := fmt.Sprintf("device %q is not in the catalogue of devices, and nothing is stored for it", short(r.Query.Device))
			if near := nearest.Word(r.Query.Device, r.Unlisted.Among); near != "" {
				text += fmt.Sprintf("; did you mean %q?", near)
			}
			wrong = append(wrong, text)
		case w.Reason == hotreader.UnknownProperty && slices.Contains(r.Unlisted.Properties, w.Property):
			wrong = append(wrong, fmt.Sprintf("property %q is not in the catalogue %s", short(w.Property), r.listed(w.Property)))
		}
	}
	return invalid("twinmaker: read", wrong)
}

// listed says whose properties the catalogue lists instead of one that no record has, and which.
func (r *Request) listed(property string) string {
	var names []string
	for _, p := range r.Unlisted.Instead {
		names = append(names, p.Name)
	}
	whose, none := fmt.Sprintf("for the device %q", short(r.Query.Device)), "and no record that was looked at has it"
	if r.Fleet != nil {
		whose = fmt.Sprintf("for the type %q", short(r.Fleet.Type))
	}
	switch near := nearest.Word(property, names); {
	case len(names) == 0:
		return "of devices, " + none
	case near != "":
		return fmt.Sprintf("%s, %s; did you mean %s?", whose, none, nearest.Listed(near))
	}
	return fmt.Sprintf("%s, but %.300s, %s", whose, nearest.Listed(names[:min(len(names), 30)]...), none)
}

// found returns the error of latest values that the look-back did not find.
func (p *page) found(stats *hotreader.Stats) error {
	ended := texts(stats, func(w hotreader.Warning) bool { return w.Reason == hotreader.LookBackEnded })
	if len(ended) == 0 || slices.ContainsFunc(p.columns, func(c column) bool { return c.fate&given != 0 }) {
		return nil
	}
	if !slices.ContainsFunc(stats.Warnings(), func(w hotreader.Warning) bool { return w.Reason == hotreader.LookBackEnded && w.Property != "" }) {
		return &hotreader.Error{Op: "twinmaker: latest values", Code: hotreader.CodeNotFound, Err: fmt.Errorf("%w: %s", ErrLookBack, strings.Join(ended, "; "))}
	}
	advice := "raise HOTREADER_LOOK_BACK"
	if unknown := texts(stats, func(w hotreader.Warning) bool { return w.Reason == hotreader.UnknownProperty }); len(unknown) > 0 {
		advice = strings.Join(unknown, "; ") + "; if older records have it, " + advice
	}
	return &hotreader.Error{Op: "twinmaker: latest values", Code: hotreader.CodeNotFound,
		Err: fmt.Errorf("%w; %s: %s", ErrLookBack, advice, strings.Join(ended, "; "))}
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
