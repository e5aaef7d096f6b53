package layout

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A timing is how a field's values are read as times.
type timing struct {
	field  *field
	layout Layout   // its format, prefix and suffix
	read   int      // values that it reads
	zones  []string // the formats, where they differ in the offset alone
	odd    any      // a value that it does not read
	fronts []string // the texts before the times, where they differ
}

// findKeys finds the fields of the time and of the device, as far as the database's
// keys say which.
func (g *guess) findKeys() bool {
	if len(g.schema.Keys) == 0 {
		t := g.bestTime(nil)
		if t == nil {
			g.problem("no field holds a time that can be read; the items have %s", g.names())
			return false
		}
		g.take(t)
		return true
	}
	type candidate struct {
		key    Key
		time   *timing
		device *field
		score  int
	}
	var all []candidate
	for _, k := range g.schema.Keys {
		c := candidate{key: k, device: g.at(KeyPath(g.schema.Cloud, k.Partition))}
		if k.Sort != "" {
			if f := g.at(KeyPath(g.schema.Cloud, k.Sort)); f != nil {
				c.time = g.timing(f)
			}
		} else if g.schema.Cloud != DynamoDB {
			c.time = g.bestTime(c.device)
		}
		if c.time == nil || c.device == nil {
			continue
		}
		c.score = 100*c.time.read/len(g.items) + 3*deviceScore(c.device) + oneEach(c.device)
		if k.Index == "" {
			c.score += 5
		}
		if k.Partial {
			c.score -= 10
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		g.noKey()
		return false
	}
	best := slices.MaxFunc(all, func(a, b candidate) int { return cmp.Compare(a.score, b.score) })
	g.device, g.layout.Index = best.device, best.key.Index
	for _, c := range all {
		if c.key != best.key {
			g.because("took %s, not %s", best.key, c.key)
		}
	}
	if own := g.schema.Keys[0]; best.key.Index != "" && !slices.ContainsFunc(all, func(c candidate) bool { return c.key == own }) {
		g.because("took %s, for in %s no time is at the second place", best.key, own)
	}
	if best.key.Partial {
		g.aside("what index %s does not hold of the items: it is not one of all attributes", best.key.Index)
	}
	g.take(best.time)
	return true
}

// String names a key in a sentence.
func (k Key) String() string {
	name := "the table's own key"
	if k.Index != "" {
		name = "index " + k.Index
	}
	if k.Sort == "" {
		return fmt.Sprintf("%s (%s)", name, k.Partition)
	}
	return fmt.Sprintf("%s (%s, %s)", name, k.Partition, k.Sort)
}

// noKey says why no key leads to rows by device and time.
func (g *guess) noKey() {
	time := g.bestTime(nil)
	switch {
	case g.schema.Cloud == DynamoDB:
		var keys []string
		for _, k := range g.schema.Keys {
			keys = append(keys, k.String())
		}
		could := ""
		if time != nil {
			could = "; " + time.field.name() + " holds times"
		}
		g.problem("no key and no index has a time at its second place (there is %s)%s; items can only be asked for by such a key: add a secondary index of the device and the time",
			strings.Join(keys, ", "), could)
	case time == nil:
		g.problem("no field holds a time that can be read; the items have %s", g.names())
	default:
		g.problem("the items have no %s, by which they are partitioned; they have %s", g.schema.Keys[0].Partition, g.names())
	}
}

// names lists the items' fields.
func (g *guess) names() string {
	var names []string
	for _, f := range g.fields {
		names = append(names, f.name())
	}
	if len(names) > 12 {
		names = append(names[:12], "…")
	}
	return strings.Join(names, ", ")
}

// take makes a timing the layout's.
func (g *guess) take(t *timing) {
	g.time = t.field
	g.layout.TimeKey = g.keyName(t.field)
	g.layout.TimeFormat, g.layout.TimePrefix, g.layout.TimeSuffix = t.layout.TimeFormat, t.layout.TimePrefix, t.layout.TimeSuffix
	g.readTimes(t)
	switch {
	case len(t.zones) > 2:
		g.problem("the times of %s are written with %d offsets (%s); a layout reads two of them at the most", g.layout.TimeKey, len(t.zones), strings.Join(t.zones, ", "))
	case len(t.zones) == 2:
		g.because("the times of %s alternate between two offsets (%s), as with daylight saving; no one format reads both, so that the list of the two was taken",
			g.layout.TimeKey, strings.Join(t.zones, ", "))
	}
	if len(t.fronts) > 0 {
		g.problem("what precedes the time in %s differs (%q); a layout has one constant there, so that only items with %q are read",
			g.layout.TimeKey, t.fronts[:min(len(t.fronts), 5)], t.layout.TimePrefix)
	}
	if missing := len(g.items) - t.field.n; missing > 0 {
		g.problem("%d of %d items are not read, for they have no %s", missing, len(g.items), g.layout.TimeKey)
	}
	if unread := t.field.n - t.read; unread > 0 && len(t.zones) <= 2 && len(t.fronts) == 0 {
		g.problem("%d of %d items are not read, for their %s is no such time, as %s", unread, len(g.items), g.layout.TimeKey, Describe(t.odd))
	}
	g.withoutZone(t.field)
}

// readTimes reads the items' times.
func (g *guess) readTimes(t *timing) {
	g.times, g.zones = nil, nil
	for _, v := range t.field.values {
		at, zone, _ := t.layout.readTime(v)
		g.times, g.zones = append(g.times, at), append(g.zones, zone)
	}
}

// withoutZone reports that a time without a zone is taken for UTC.
func (g *guess) withoutZone(f *field) {
	for i, v := range f.values {
		text, ok := v.(string)
		if !ok || g.times[i].IsZero() || !strings.HasPrefix(g.layout.TimeFormat[0], ISO8601) || strings.ContainsAny(g.layout.TimeFormat[0], "+") {
			continue
		}
		text = strings.TrimPrefix(text, g.layout.TimePrefix)
		if len(text) < 16 || strings.ContainsAny(text[10:], "Zz+") || strings.Contains(text[10:], "-") {
			continue
		}
		g.because("times like %q say no zone and are taken for UTC; if the clock is another, write it after the format, as %s+09:00", clip(text), g.layout.TimeFormat[0])
		return
	}
}

// timing finds how a field's values are read as times; nil if they are none. Of what may
// stand around the times, it takes what reads most.
func (g *guess) timing(f *field) *timing {
	var formats, prefixes []string
	count := map[string]int{}
	suffixes := map[string][]string{} // by prefix
	for _, v := range f.values {
		one, ok := GuessTime(v)
		if !ok {
			continue
		}
		count[one.TimePrefix]++
		formats = appendNew(formats, one.TimeFormat[0])
		prefixes = appendNew(prefixes, one.TimePrefix)
		suffixes[one.TimePrefix] = appendNew(suffixes[one.TimePrefix], one.TimeSuffix)
	}
	if len(formats) == 0 {
		return nil
	}
	t := timing{field: f}
	t.layout.TimePrefix = slices.MaxFunc(prefixes, func(a, b string) int { return cmp.Compare(count[a], count[b]) })
	if 4*count[t.layout.TimePrefix] < 3*f.n && len(prefixes) > 1 {
		t.fronts = prefixes
	}
	t.zones = zones(formats)
	behind := suffixes[t.layout.TimePrefix]
	named := slices.DeleteFunc(slices.Clone(behind), func(s string) bool { return s == "" })
	for _, some := range [][]string{behind, named, {""}} {
		if len(some) > 0 {
			t.settle(formats, suffix(some))
		}
	}
	if t.read == 0 || 2*t.read < f.n && len(t.zones) <= 2 && len(t.fronts) == 0 {
		return nil
	}
	return &t
}

func appendNew(all []string, s string) []string {
	if slices.Contains(all, s) {
		return all
	}
	return append(all, s)
}

// settle takes the format that reads all values with a suffix, or else the two that read
// most, if they read more than what was taken before.
func (t *timing) settle(formats []string, suffix string) {
	var tries []Formats
	for i, a := range formats {
		tries = slices.Insert(tries, i, Formats{a})
		for _, b := range formats[i+1:] {
			tries = append(tries, Formats{a, b})
		}
	}
	for _, f := range tries {
		l := Layout{TimePrefix: t.layout.TimePrefix, TimeSuffix: suffix, TimeFormat: f}
		read, odd := 0, any(nil)
		for _, v := range t.field.values {
			at, ok := l.ReadTime(v)
			if _, number := v.(json.Number); number && len(formats) > 1 && at.Unix() < 1e9 {
				ok = false // it counts in another unit
			}
			if ok {
				read++
			} else if v != absent {
				odd = v
			}
		}
		if read > t.read {
			t.read, t.odd, t.layout = read, odd, l
		}
	}
	// Of one instant the second format wins, so that the newer one is to be.
	if f := t.layout.TimeFormat; len(f) == 2 && t.newest(f[0]).After(t.newest(f[1])) {
		t.layout.TimeFormat = Formats{f[1], f[0]}
	}
}

// newest returns the newest time that is of one format.
func (t *timing) newest(format string) (newest time.Time) {
	l := t.layout
	l.TimeFormat = Formats{format}
	for _, v := range t.field.values {
		if at, ok := l.ReadTime(v); ok && at.After(newest) {
			newest = at
		}
	}
	return newest
}

// zones returns those of formats that differ in the offset alone; none if there are not
// two.
func zones(formats []string) []string {
	byBase := map[string][]string{}
	for _, name := range formats {
		if f, err := ParseFormat(name); err == nil && f.Kind == TextTime && !f.Epoch() {
			byBase[f.base] = append(byBase[f.base], name)
		}
	}
	for _, name := range formats {
		if f, _ := ParseFormat(name); len(byBase[f.base]) > 1 {
			return slices.Sorted(slices.Values(byBase[f.base]))
		}
	}
	return nil
}

// suffix returns the template of the text after the times, with {property} for what
// differs.
func suffix(all []string) string {
	if len(all) == 1 {
		return all[0]
	}
	head := front(all)
	if i := strings.IndexFunc(head, alphanumeric); i >= 0 {
		head = head[:i]
	}
	if head == "" {
		return ""
	}
	tail := all[0][len(head):]
	for _, s := range all[1:] {
		for !strings.HasSuffix(s[len(head):], tail) {
			tail = tail[1:]
		}
	}
	if i := strings.IndexAny(tail, "#|/:"); i >= 0 {
		tail = tail[i:]
	} else {
		tail = ""
	}
	return head + "{property}" + tail
}

// front returns what all begin with.
func front(all []string) string {
	head := all[0]
	for _, s := range all[1:] {
		for !strings.HasPrefix(s, head) {
			head = head[:len(head)-1]
		}
	}
	return head
}

func alphanumeric(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r > 127
}

// bestTime finds the field that most likely is the time of which the properties are;
// nil if there is none.
func (g *guess) bestTime(device *field) *timing {
	var best, other *timing
	score := 0
	for i := range g.fields {
		f := &g.fields[i]
		if f == device {
			continue
		}
		t := g.timing(f)
		n := timeScore(f)
		if t == nil || 2*t.read < len(g.items) || n < 5 && 5*t.read < 4*len(g.items) {
			continue
		}
		if _, number := f.first().(json.Number); number && n <= 2 {
			continue
		} else if n == 2 {
			n = 4
		}
		if len(f.distinct()) == 1 && len(g.items) > 2 {
			n -= 5
		}
		if device != nil && g.datesOf(device, t) {
			if n += 20; strings.Contains(f.last(), "enqueued") { // which IoT Hub makes its keys of
				n += 5
			}
		}
		if t.read < len(g.items) {
			n -= 2
		}
		switch {
		case best == nil || n > score:
			best, other, score = t, best, n
		case other == nil:
			other = t
		}
	}
	if best != nil && other != nil {
		why := "by its name"
		if score >= 20 {
			why = "for the dates in " + device.name() + " are its dates"
		}
		g.because("%s and %s are times; took %s, %s", best.field.name(), other.field.name(), best.field.name(), why)
	}
	return best
}

// datesOf reports whether a field's values have the dates of t's times in them.
func (g *guess) datesOf(device *field, t *timing) bool {
	of := guess{items: g.items, device: device}
	of.readTimes(t)
	form, _ := of.dates(device.texts(), of.zones)
	return form != ""
}

// timeScore says how much a name promises to be that of the device's own clock.
func timeScore(f *field) int {
	name := f.last()
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(name, w) })
	}
	switch {
	case f.path[0] == "_ts":
		return 3
	case has("expire", "ttl", "updated", "modified", "deleted", "install"):
		return 1
	case has("enqueued"):
		return 6
	case has("received", "processed", "ingest", "created", "inserted", "arrival"):
		return 5
	case slices.Contains([]string{"sk", "sortkey", "rangekey"}, name):
		return 8
	case slices.Contains([]string{"timestamp", "ts", "time", "t", "datetime", "eventtime", "date", "when", "at"}, name):
		return 10
	case has("time", "date", "clock", "epoch", "measuredat", "recordedat", "observedat") || strings.HasSuffix(name, "ts") || strings.HasSuffix(name, "at"):
		return 8
	}
	return 2
}
