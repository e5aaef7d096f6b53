package importer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"hotreader"
	"hotreader/cmd/hotreader/internal/importer/sniff"
	"hotreader/cmd/hotreader/internal/importer/timetext"
	"hotreader/internal/jsontext"
	"hotreader/internal/nearest"
	"hotreader/internal/shell"
)

// shownRows are how many rows a dry run shows.
const shownRows = 10

// Run imports. An error names the file and the line, and the flag that helps.
func Run(ctx context.Context, o Options) (Result, error) {
	began := time.Now()
	found := newTally()
	sources, err := o.look(ctx)
	defer func() {
		for _, s := range sources {
			s.in.close()
		}
	}()
	if err != nil {
		return *found.Result, err
	}
	into := &target{url: o.Store, opener: o.Open, writing: o.Writing}
	if o.DryRun {
		into = &target{store: nothing{}}
	}
	defer into.close()
	gathered := newBatch(into, found, o.Skip)
	gathered.shows = o.DryRun
	for _, s := range sources {
		found.Files = append(found.Files, &File{Name: s.in.name, Taken: s.taken()})
		if err = s.importInto(ctx, gathered); err != nil {
			break
		}
	}
	if wrong := gathered.write(ctx, err == nil); err == nil {
		err = wrong
	}
	if err == nil && gathered.skip > 0 {
		err = invalid("--skip %d leaves out more lines than the %d with values that there are", o.Skip, o.Skip-gathered.skip)
	}
	if err != nil {
		found.Created = into.made
		return *found.Result, err
	}
	if err := into.open(ctx); err != nil { // a wrong URL is an error even if there are no rows
		return *found.Result, err
	}
	if gathered.late > 0 {
		found.Notes = append(found.Notes, fmt.Sprintf("%d lines go against the file's order of time: an item that had the instant of one was replaced as a whole; give --merge to keep both", gathered.late))
	}
	for _, s := range sources {
		// In order or not, lines of instants of their own lose nothing.
		if s.late != "" && (s.clock || o.DryRun || found.Overwriting+found.Replaced > 0) {
			if s.clock && !o.DryRun {
				s.late += "; these rows are stored, and a second import removes none of them: " + into.again()
			}
			found.Warnings = append(found.Warnings, s.named(s.late))
		}
	}
	found.Notes = append(found.Notes, into.spellings(ctx, found.Devices)...)
	if o.Progress != nil {
		o.Progress(found.Lines, 100)
	}
	found.Seconds = time.Since(began).Seconds()
	return *found.Result, nil
}

// source is a file that was looked at.
type source struct {
	o     *Options
	file  string // its name; - = standard input
	in    *input
	guess sniff.Guess
	rows  *columns
	late  string // a warning of lines whose times go back
	clock bool   // a clock that was set back may be why
}

// look looks at all files before the first row is written.
func (o *Options) look(ctx context.Context) (all []*source, err error) {
	for _, name := range o.Files {
		in, err := o.opened(ctx, name)
		if err != nil {
			return all, err
		}
		s := &source{o: o, file: name, in: in}
		all = append(all, s)
		head, whole, err := in.head()
		if err != nil {
			return all, err
		}
		given := o.Sniff
		if s.guess, err = sniff.Look(head, whole, given); err == nil {
			s.rows, err = newColumns(o, &s.guess)
		}
		if err == nil {
			err = s.check()
		}
		if err != nil {
			line := s.guess.HeaderLine
			if e, ok := errors.AsType[*sniff.Error](err); ok {
				line = e.Line
			}
			return all, at(in.name, line, "%w", err)
		}
		if in.file != nil && in.size > 0 { // it is read later; a pipe must stay open
			in.close()
		}
	}
	return all, o.checkNames(all)
}

// check finds options about columns and devices that do not fit the file.
func (s *source) check() error {
	o, g := s.o, &s.guess
	names := s.names()
	for _, c := range []struct{ flag, name string }{{"--device-column", o.DeviceColumn}, {"--pivot", o.Key}, {"--pivot", o.Value}} {
		if c.name != "" && !slices.Contains(names, c.name) && len(names) > 0 {
			meant := nearest.Word(c.name, names)
			if meant != "" {
				meant = fmt.Sprintf("; did you mean %q?", meant)
			}
			return fmt.Errorf("%s: nothing is named %q; there are %s%s", c.flag, c.name, quotedList(names), meant)
		}
	}
	if key := slices.Index(names, o.Key); g.Swapped(key, slices.Index(names, o.Value)) {
		return fmt.Errorf("--pivot %s: %q seems to hold values (%s), and %q names; did you mean --pivot %s?",
			shell.Word(o.Key+"="+o.Value), o.Key, quotedList(g.Columns[key].Cells[:min(len(g.Columns[key].Cells), 3)]), o.Value, shell.Word(o.Value+"="+o.Key))
	}
	if o.Zone == nil && g.ZoneExample != "" && s.walls() {
		return fmt.Errorf("the time's column is called after the zone %s, which does not say when its clock changes; give --zone %s, or an offset, as +01:00, if it never does", g.Zone, g.ZoneExample)
	}
	if g.Key >= 0 && o.Key == "" && !o.PlainPairs && g.Columns[g.Key].Name != o.DeviceColumn {
		key, value := g.Columns[g.Key].Name, g.Columns[g.Value].Name
		return fmt.Errorf("%q seems to hold names of properties (%s) and %q their values; give --pivot %s, or --pivot none to store both as they are",
			key, quotedList(g.Keys), value, shell.Word(key+"="+value))
	}
	g.FindMixed(slices.Index(names, o.DeviceColumn))
	if g.Mixed >= 0 && o.Key == "" && !o.PlainPairs && s.rows.list[g.Mixed].role == property {
		name := g.Columns[g.Mixed].Name
		return fmt.Errorf("lines of one time differ in %q (%s), and would replace each other's values; give %s if those are devices, --pivot %s=VALUE if they are properties, --rename %s to leave the column out, or --pivot none to let the last line stand",
			name, quotedList(g.Keys), o.devicesIn(name), shell.Word(name), shell.Word(name+"="))
	}
	if g.Device == g.Key && o.Key == "" {
		g.Device = -1
	}
	if o.DeviceColumn != "" || g.Device < 0 {
		if o.Device == "" && o.DeviceColumn == "" {
			return errors.New("which device? Give --device ID, or --device-column NAME if each row has it")
		}
		return nil
	}
	name := g.Columns[g.Device].Name
	if o.Device == "" {
		return fmt.Errorf("which device? Give --device-column %s, or --device ID", shell.Word(name))
	}
	key := slices.Index(names, o.Key)
	if s.rows.property(name).role == leftOut || o.mentions(name) || key >= 0 && g.Apart(key) { // as the options say: all rows are of one
		g.Device = -1
		return nil
	}
	if len(g.Devices) == 1 { // the reading looks out for a second one
		return nil
	}
	return severalDevices(name, g.Devices[0], g.Devices[1])
}

// devicesIn is the flag for a column of devices, beside those that are given.
func (o *Options) devicesIn(name string) string {
	flag := "--device-column " + shell.Word(name)
	switch {
	case o.DeviceColumn != "":
		return flag + " in place of --device-column " + shell.Word(o.DeviceColumn)
	case o.Device != "":
		return flag + " in place of --device"
	}
	return flag
}

func severalDevices(name, one, other string) error {
	return fmt.Errorf("%q has several devices (%.40q, %.40q), but --device says that all rows are of one; give --device-column %s in its place, or --rename %s to leave the column out, or --rename %s to store it",
		name, one, other, shell.Word(name), shell.Word(name+"="), shell.Word(name+"="+name))
}

// mentions reports whether the options name a column as a property.
func (o *Options) mentions(name string) bool {
	_, typed := o.Types[name]
	return typed || o.Rename[name] != "" || slices.Contains(o.Only, name)
}

func (s *source) names() (names []string) {
	for i := range s.guess.Columns {
		names = append(names, s.guess.Columns[i].Name)
	}
	return names
}

func quotedList(names []string) string {
	var all []string
	for _, name := range names[:min(len(names), 20)] {
		all = append(all, fmt.Sprintf("%.60q", name))
	}
	text := strings.Join(all, ", ")
	if len(names) > 20 {
		text += " …"
	}
	return text
}

// checkNames finds names of the options that no table has. The keys of JSON may
// come later.
func (o *Options) checkNames(all []*source) error {
	var names []string
	for _, s := range all {
		if s.guess.JSON || o.Key != "" {
			return nil
		}
		names = append(names, s.names()...)
	}
	known := func(name string) bool { return slices.Contains(names, name) }
	renamed := func(name string) bool {
		for _, to := range o.Rename {
			if to == name {
				return true
			}
		}
		return known(name)
	}
	wrong := func(flag, name string) error {
		return invalid("%s: no column is named %q; the columns are %s", flag, name, quotedList(names))
	}
	for name := range o.Rename {
		if !known(name) {
			return wrong("--rename", name)
		}
	}
	for _, name := range o.Only {
		if !renamed(name) {
			return wrong("--only", name)
		}
	}
	for name := range o.Types {
		if !renamed(name) {
			return wrong("--type", name)
		}
	}
	return nil
}

// taken says what the file was taken for.
func (s *source) taken() string {
	g := &s.guess
	var parts []string
	switch {
	case g.JSON && g.Shape.Typed:
		parts = append(parts, "DynamoDB's JSON")
	case g.JSON && g.Shape.Path != nil:
		parts = append(parts, "JSON, records in "+strings.Join(g.Shape.Path, "."))
	case g.JSON && g.Shape.Lines:
		parts = append(parts, "JSON lines")
	case g.JSON:
		parts = append(parts, "JSON")
	default:
		name := map[rune]string{',': "commas", ';': "semicolons", '\t': "tabs", ' ': "blanks", '|': "bars"}[g.Delimiter]
		if name == "" {
			name = fmt.Sprintf("%q", g.Delimiter)
		}
		parts = append(parts, "a table with "+name)
		if g.HeaderLine > 1 {
			parts = append(parts, fmt.Sprintf("names in line %d", g.HeaderLine))
		}
	}
	if s.in.encoding != "utf-8" {
		parts = append(parts, s.in.encoding)
	}
	if len(g.Time) > 0 {
		var names []string
		for _, i := range g.Time {
			names = append(names, g.Columns[i].Name)
		}
		text := "time in " + strings.Join(names, "+")
		if g.Format.Name != "" {
			text += " (" + g.Format.Hint() + s.zoneName() + ")"
		}
		parts = append(parts, text)
	}
	if g.Style.Decimal == ',' {
		parts = append(parts, "decimal comma")
	}
	if g.Style.Thousands != 0 {
		parts = append(parts, fmt.Sprintf("thousands apart by %q", g.Style.Thousands))
	}
	return strings.Join(parts, ", ")
}

func (s *source) zoneName() string {
	if z := s.zone(); z != nil {
		return ", " + z.String()
	}
	if s.walls() {
		return ", taken as UTC"
	}
	return ""
}

// walls reports whether a time has no zone.
func (s *source) walls() bool {
	for row := range len(s.guess.Columns[0].Cells) {
		if r, ok := s.guess.Format.Parse(s.guess.TimeText(row)); ok && !r.Instant {
			return true
		}
	}
	return false
}

// zone returns the zone of times without one: the option's, or that of the column's name.
func (s *source) zone() *time.Location {
	if s.o.Zone != nil || s.guess.Zone == "" || s.guess.ZoneExample != "" {
		return s.o.Zone
	}
	zone, err := timetext.ParseZone(s.guess.Zone)
	if err != nil {
		return nil
	}
	return zone
}

// importInto reads the file and writes its rows.
func (s *source) importInto(ctx context.Context, b *batch) (err error) {
	if s.in.file != nil && s.in.size > 0 {
		if s.in, err = s.o.opened(ctx, s.file); err != nil {
			return err
		}
	}
	f := file{in: s.in, rejects: &rejects{dry: s.o.DryRun}}
	f.rows = rows{columns: s.rows, into: b, result: b.result, clock: timetext.Clock{Zone: s.zone(), Descending: s.guess.Descending}}
	err = f.read(func() error {
		if err := b.write(ctx, false); err != nil {
			return err
		}
		if s.o.Progress != nil {
			s.o.Progress(b.result.Lines, s.in.percent())
		}
		return nil
	})
	name, wrong := f.rejects.close()
	if name != "" {
		b.result.Rejected = append(b.result.Rejected, name)
	}
	if err == nil {
		err = wrong
	}
	for _, note := range f.notes() {
		b.result.Notes = append(b.result.Notes, s.named(note))
	}
	s.late, s.clock = f.order.warning(f.clock.Zone, f.clock.Earlier+f.clock.Later > 0), f.order.clock
	return err
}

// named adds the file's name to a text, where there are several files.
func (s *source) named(text string) string {
	if len(s.o.Files) > 1 {
		return s.in.name + ": " + text
	}
	return text
}

// rowText returns a row as JSON.
func rowText(device string, at time.Time, fields []hotreader.Field) string {
	text := jsontext.AppendString([]byte(`{"device":`), device)
	text = append(hotreader.AppendTime(append(text, `,"time":"`...), at), '"')
	for _, f := range fields {
		text = append(jsontext.AppendString(append(text, ','), f.Name), ':')
		if f.Value.Kind() == hotreader.String {
			text = jsontext.AppendString(text, f.Value.Text())
		} else {
			text = append(text, f.Value.String()...)
		}
	}
	return string(append(text, '}'))
}
