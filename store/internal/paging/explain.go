package paging

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"hotreader"
	"hotreader/internal/nearest"
	"hotreader/layout"
)

// Look is how a store looks at a few items, whatever their times are.
type Look struct {
	// Items returns up to n items of a partition, the newest ones if the store knows
	// them. number reports that the partition's value is a number in the store.
	Items func(ctx context.Context, value string, n int) (items []layout.Item, number bool, err error)

	// End returns the item of a partition with the least of all times, or with the
	// greatest, whatever their types are and however they are written; of the texts
	// only those that begin as a time would, if the store can compare them. nil = there is none.
	End func(ctx context.Context, value string, least bool) (*layout.Item, error)
}

// How long what was found in a look is held to be true.
const (
	lookEach  = time.Minute
	asideEach = time.Hour
)

// looks are the looks at devices of late.
type looks struct {
	mu     sync.Mutex
	items  map[string]look
	asides map[string]look
}

type look struct {
	at    time.Time
	items []layout.Item
}

// maxLooks bounds the devices of which a look is remembered.
const maxLooks = 1000

// recall returns the look of a device that is not older than fresh.
func recall(all map[string]look, device string, fresh time.Duration) (look, bool) {
	l, ok := all[device]
	return l, ok && time.Since(l.at) < fresh
}

func remember(all map[string]look, device string, items []layout.Item) map[string]look {
	if all == nil || len(all) >= maxLooks {
		all = map[string]look{}
	}
	all[device] = look{time.Now(), items}
	return all
}

// explain finds out what it means that a scan found nothing, or nothing of a property:
// that there is nothing, or that the layout is another one. It looks at a few items,
// once a device and minute.
func (s *Scanner) explain(ctx context.Context, q *hotreader.Query, f *found) error {
	if s.Look.Items == nil || f.useful > 0 && (f.err != nil || len(f.lacking) == 0) || f.given && f.last == "" {
		return f.err
	}
	value := f.last // where there are items
	if value == "" {
		value = s.value(q)
	}
	items, err := s.look(ctx, value, f.readable+f.unreadable > 0)
	stats := hotreader.StatsOf(ctx)
	if f.useful > 0 { // that the look fails is no failure of the query
		s.warnUnknown(stats, f, items)
		return nil
	}
	if _, refused := errors.AsType[*Mismatch](err); refused && !Numeric(value) {
		stats.Warn(hotreader.Warning{Reason: hotreader.UnknownDevice, Detail: fmt.Sprintf("%s is a number there, and %q is none as it is written there", s.Layout.DeviceKey, value)})
		return nil
	}
	if err != nil || ctx.Err() != nil {
		return err
	}
	if f.err == nil && len(items) == 0 && f.readable+f.unreadable == 0 {
		stats.Warn(hotreader.Warning{Reason: hotreader.UnknownDevice, Detail: s.nothing(q.Device, value)})
		return nil
	}
	if f.readable == 0 && len(items) > 0 {
		if err := s.unreadable(items); err != nil {
			return err
		}
	}
	if f.err != nil {
		return f.err
	}
	if f.readable == 0 && f.unreadable > 0 {
		return &hotreader.Error{Op: "store", Code: hotreader.CodeUnreadable,
			Err: fmt.Errorf("none of %d items has a readable time in %s, as %s; "+hotreader.InspectHelp, f.unreadable, s.Layout.TimeKey, s.formats())}
	}
	s.warnUnknown(stats, f, items)
	return nil
}

// nothing says that a look at a partition found no items, and neither did the scan.
func (s *Scanner) nothing(device, value string) string {
	switch path := s.Layout.Collection; {
	case strings.Contains(path, "{device}"):
		return fmt.Sprintf("no document is in %s; is the device's id right?", strings.Replace(path, "{device}", device, 1))
	case s.template.Dated():
		return fmt.Sprintf("the range has no items, and of the partitions only %q was looked at as a whole, which is empty; is the device's id right, and does %s hold the partition's value?", value, s.Layout.DeviceKey)
	}
	return fmt.Sprintf("nothing has the %s %q; is the device's id right, and does the key %q hold it?", s.Layout.DeviceKey, value, s.Layout.DeviceKey)
}

// warnUnknown warns of the properties of which a scan found nothing and that no item
// looked at has.
func (s *Scanner) warnUnknown(stats *hotreader.Stats, f *found, items []layout.Item) {
	for _, p := range f.lacking {
		if detail, unknown := s.unknown(p, items); unknown {
			stats.Warn(hotreader.Warning{Reason: hotreader.UnknownProperty, Property: p, Detail: detail})
		}
	}
}

// look returns a few items of a partition. some says that the scan came upon items in it.
func (s *Scanner) look(ctx context.Context, value string, some bool) ([]layout.Item, error) {
	s.seen.mu.Lock()
	l, fresh := recall(s.seen.items, value, lookEach)
	s.seen.mu.Unlock()
	if fresh && !(some && len(l.items) == 0) { // what was empty a moment ago is not any more
		return l.items, nil
	}
	n := 2
	if s.Layout.Narrow() { // an item shows one property
		n = 25
	}
	items, number, err := s.Look.Items(ctx, value, n)
	if err != nil {
		return nil, err
	}
	if len(items) > 0 {
		s.numbers.Store(number)
	}
	s.seen.mu.Lock()
	s.seen.items = remember(s.seen.items, value, items)
	s.seen.mu.Unlock()
	return items, nil
}

// PartitionOf returns the value of the partition of a device's row as it is written
// now: dates are in the zone of the newest time format.
func (s *Scanner) PartitionOf(device string, at time.Time) string {
	s.once.Do(s.prepare)
	return s.template.Value(device, at.In(s.codecs[len(s.codecs)-1].Zone()))
}

// value returns the partition's value that explains most where nothing
// was found: of dated ones the last in the range.
func (s *Scanner) value(q *hotreader.Query) string {
	at := time.Now()
	if !q.End.IsZero() && q.End.Before(at) {
		at = q.End
	}
	return s.PartitionOf(q.Device, at)
}

// unreadable returns the error of items none of which has a readable time; nil if one
// has.
func (s *Scanner) unreadable(items []layout.Item) error {
	path := s.time
	for _, it := range items {
		if v, ok := it.At(path); ok {
			if _, ok := s.Layout.ReadTime(v); ok {
				return nil
			}
		}
	}
	it, key := items[0], s.Layout.TimeKey
	v, ok := it.At(path)
	var what string
	where := "(in the layout, or after the ? of a store URL)"
	switch barrier := it.Barrier(path); {
	case barrier != "":
		what = fmt.Sprintf("%s, so it has no %s; set time_key", barrier, key)
	case !ok:
		what = fmt.Sprintf("it has no %s, but %s; set time_key", key, fields(it))
	default:
		what = fmt.Sprintf("its %s is %s, not %s", key, layout.Describe(v), s.formats())
		if g, ok := layout.GuessTime(v); ok {
			what += "; set " + settings(g)
			if both := s.both(g); both != "" {
				where += ", or time_format to " + both + " if older items are as it says"
			}
		} else {
			what += ", and like none of the formats; set time_key if the time is elsewhere"
		}
	}
	return &hotreader.Error{Op: "store", Code: hotreader.CodeUnreadable,
		Err: fmt.Errorf("no item has a readable time. Item %s: %s %s; "+hotreader.InspectHelp, it.Key, what, where)}
}

func (s *Scanner) formats() string { return strings.Join(s.Layout.TimeFormat, " or ") }

// odd describes an item without a readable time among others, by what it has there.
func (s *Scanner) odd(at hotreader.Value) string {
	var v any
	switch at.Kind() {
	case hotreader.Number:
		v = json.Number(at.Text())
	case hotreader.String:
		v = string(at.Text())
	case hotreader.Bool:
		v = at.Bool()
	default:
		return fmt.Sprintf("the first has no %s that could be a time", s.Layout.TimeKey)
	}
	return fmt.Sprintf("of the first, %s is %s, not %s%s", s.Layout.TimeKey, layout.Describe(v), s.formats(), s.beside(v))
}

// beside says what to set to read items with such a time beside the others; "" where it
// is like none of the formats.
func (s *Scanner) beside(v any) string {
	g, ok := layout.GuessTime(v)
	switch {
	case !ok:
		return ""
	case len(s.Layout.TimeFormat) > 1:
		return "; it would take " + settings(g) + ", but a layout reads two formats at the most"
	case s.both(g) == "":
		return ", and what surrounds the time is not as in time_prefix and time_suffix"
	}
	return "; set time_format to " + s.both(g) + " to have both"
}

// both writes the time_format that reads the times of g, too; "" if there is none.
func (s *Scanner) both(g layout.Layout) string {
	l := s.Layout
	l.TimeFormat = append(slices.Clone(l.TimeFormat), g.TimeFormat...)
	if g.TimePrefix != l.TimePrefix || g.TimeSuffix != l.TimeSuffix || l.Check(s.Cloud) != nil {
		return ""
	}
	text, _ := json.Marshal(l.TimeFormat) // of texts: cannot fail
	return string(text)
}

// settings writes the settings of a guessed layout.
func settings(g layout.Layout) string {
	text := "time_format to " + strings.Join(g.TimeFormat, ",")
	if g.TimePrefix != "" {
		text += fmt.Sprintf(", time_prefix to %q", g.TimePrefix)
	}
	if g.TimeSuffix != "" {
		text += fmt.Sprintf(", time_suffix to %q", g.TimeSuffix)
	}
	return text
}

// fields names what an item has.
func fields(it layout.Item) string {
	names := slices.Sorted(maps.Keys(it.Fields))
	const most = 12
	more := ""
	if len(names) > most {
		names, more = names[:most], ", …"
	}
	return strings.Join(names, ", ") + more
}

// unknown reports whether none of items has a property, and says what they have.
func (s *Scanner) unknown(property string, items []layout.Item) (detail string, unknown bool) {
	if len(items) == 0 {
		return "", false
	}
	if s.Layout.Narrow() {
		return s.unknownNarrow(property, items)
	}
	for _, it := range items {
		for _, path := range s.Layout.Paths(property) {
			if _, ok := it.At(path); ok && !s.isKey(strings.Join(path, ".")) {
				return "", false
			}
			if barrier := it.Barrier(path); barrier != "" {
				detail = barrier
			}
		}
	}
	base, path := s.Layout.Properties.Base, s.Layout.Properties.Paths[property]
	switch in, ok := items[0].At(layout.ParsePath(base)); {
	case path != "": // right, as a rule: a device need not send all
		detail = cmp.Or(detail, s.parent(items[0], layout.ParsePath(path)))
		return fmt.Sprintf("the newest has nothing at %s; %s%s", path, detail, s.above(items[0], property, "its entry from the layout's properties")), true
	case base == "":
		detail = cmp.Or(detail, "the newest has "+s.shown(items[0])+cmp.Or(s.within(items[0], property), s.meant(property, items[0].Fields)))
		if names := nearest.First(property, slices.Sorted(maps.Keys(s.Layout.Properties.Paths))); len(names) > 0 {
			detail = fmt.Sprintf("properties of the layout name %s, and %s", nearest.Listed(names[:min(len(names), 12)]...), detail)
		}
		return detail, true
	case !ok:
		return fmt.Sprintf("the newest has no %s, but %s", base, s.shown(items[0])) + s.move(items[0], property), true
	default:
		if members, is := in.(map[string]any); is {
			return fmt.Sprintf("in %s, where properties says it is, the newest has %s%s", base, fields(layout.Item{Fields: members}), s.meant(property, members)), true
		}
		if what := layout.Encoded(in); what != "" {
			return base + " is " + what, true
		}
		return cmp.Or(detail, base+" is "+layout.Describe(in)) + s.move(items[0], property), true
	}
}

// meant says which field a property's name may have been meant to be.
func (s *Scanner) meant(property string, fields map[string]any) string {
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(fields)), s.isKey)
	if near := nearest.Word(property, names); near != "" {
		return "; did you mean " + nearest.Listed(near) + "?"
	}
	return ""
}

// move says how to set properties, which leads nowhere.
func (s *Scanner) move(it layout.Item, property string) string {
	return cmp.Or(s.above(it, property, "properties from the layout"), s.within(it, property), "; set properties")
}

// above says what to remove from the layout if an item has a property at top level.
func (s *Scanner) above(it layout.Item, property, what string) string {
	if _, ok := it.At([]string{property}); !ok || s.isKey(property) {
		return ""
	}
	return fmt.Sprintf("; it is at top level: remove %s", what)
}

// parent says what the last object of a path holds that is there.
func (s *Scanner) parent(it layout.Item, path []string) string {
	for n := len(path) - 1; n > 0; n-- {
		v, _ := it.At(path[:n])
		if members, is := v.(map[string]any); is {
			return fmt.Sprintf("%s has %s", strings.Join(path[:n], "."), cmp.Or(fields(layout.Item{Fields: members}), "nothing"))
		}
	}
	return "it has " + s.shown(it)
}

// within says which object at top level has a property, or cannot show whether it has.
func (s *Scanner) within(it layout.Item, property string) (what string) {
	for _, name := range slices.Sorted(maps.Keys(it.Fields)) {
		if encoded := layout.Encoded(it.Fields[name]); encoded != "" {
			what = "; " + name + " is " + encoded
		}
		for _, path := range new(layout.Layout).Paths(property) {
			if _, ok := it.At(append([]string{name}, path...)); !ok {
				continue
			}
			if len(s.Layout.Properties.Paths) > 0 {
				return fmt.Sprintf("; %s has it, and properties does not list it", name)
			}
			return fmt.Sprintf("; %s has it: set properties to %s", name, strings.ReplaceAll(name, ".", `\.`))
		}
	}
	return what
}

// shown names what an item has beside its keys.
func (s *Scanner) shown(it layout.Item) string {
	own := layout.Item{Fields: maps.Clone(it.Fields)}
	maps.DeleteFunc(own.Fields, func(name string, _ any) bool { return s.isKey(name) })
	return cmp.Or(fields(own), "no properties")
}

// isKey reports whether a field is the item's device, time or id, which are no properties.
func (s *Scanner) isKey(name string) bool {
	return slices.Contains([]string{s.Layout.DeviceKey, s.Layout.TimeKey, "id", "_ts"}, name)
}

func (s *Scanner) unknownNarrow(property string, items []layout.Item) (detail string, unknown bool) {
	value := layout.ParsePath(s.Layout.ValueKey)
	names := map[string]bool{}
	var empty *layout.Item // of the property, without a value
	for _, it := range items {
		name := ""
		if text, ok := it.At(s.time); ok && s.Layout.NameKey == "" {
			key, _ := text.(string)
			name = string(s.codecs[0].Property([]byte(key)))
		} else if v, ok := it.At(layout.ParsePath(s.Layout.NameKey)); ok {
			name = fmt.Sprint(v)
		}
		names[name] = true
		if _, ok := it.At(value); ok && name == property {
			return "", false
		} else if name == property {
			empty = &it
		}
	}
	if empty != nil {
		return fmt.Sprintf("item %s is of it and has no %s, but %s; set value_key", empty.Key, s.Layout.ValueKey, s.shown(*empty)), true
	}
	return "the newest items are of " + strings.Join(slices.Sorted(maps.Keys(names)), ", "), true
}
