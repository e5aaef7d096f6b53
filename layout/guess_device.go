package layout

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"hotreader/internal/nearest"
)

// deviceNames are names of fields that hold a device, the likeliest first, folded.
var deviceNames = []string{"deviceid", "iothubconnectiondeviceid", "connectiondeviceid", "device", "thingname", "thingid", "thing",
	"machineid", "machine", "assetid", "asset", "sensorid", "equipmentid", "equipment", "clientid", "dev", "devid", "deveui", "sensor",
	"sensorno", "sensornumber", "station", "stationid", "meter", "meterid", "nodeid", "node", "unitid",
	"serialnumber", "serial", "imei", "mac", "gatewayid", "gateway", "entityid", "objectid"}

// deviceScore says how much a name promises to be a device's, 0 to 10.
func deviceScore(f *field) int {
	name := f.last()
	if i := slices.Index(deviceNames, name); i >= 0 {
		return 10 - i/5
	}
	if strings.Contains(name, "device") || strings.Contains(name, "thing") && !strings.Contains(name, "type") {
		return 5
	}
	if slices.Contains([]string{"pk", "partitionkey", "partition", "bucket", "hashkey"}, name) {
		return 3
	}
	return 0
}

// oneEach is what speaks against a field of which no two items share a value.
func oneEach(f *field) int {
	if n := len(f.distinct()); n > 2 && n == f.n {
		return -40
	}
	return 0
}

// findDevice finds where the device's id is: in a field, in a part of one, or in the
// collection's path.
func (g *guess) findDevice() {
	if g.schema.Cloud == Firestore && g.inPath() {
		return
	}
	if g.device == nil {
		g.device = g.bestDevice()
	}
	if g.device == nil {
		g.problem("no field looks like that of a device; the items have %s. Set device_key to the one that is", g.names())
		return
	}
	g.layout.DeviceKey = g.keyName(g.device)
	if oneEach(g.device) < 0 && deviceScore(g.device) == 0 {
		g.problem("each item has a %s of its own, so that no device's items can be asked for by it", g.layout.DeviceKey)
	}
	g.partition()
}

// bestDevice finds the field that most likely holds the device; nil if there is none.
func (g *guess) bestDevice() *field {
	var best *field
	score := 0
	for i := range g.fields {
		f := &g.fields[i]
		if f == g.time || len(f.distinct()) == 0 {
			continue
		}
		n := 2*deviceScore(f) - len(f.path)/2
		if n > 0 {
			n += oneEach(f) / 4
		}
		if deviceScore(f) >= 5 { // a few items may be of a device each
			n = max(n, 1)
		}
		if w := g.schema.Device; w != "" && slices.Contains(f.distinct(), w) {
			n += 20
		} else if w != "" && slices.ContainsFunc(f.distinct(), func(s string) bool { return strings.Contains(s, w) }) {
			n += 10
		}
		n -= 10 * (len(g.items) - f.n) / len(g.items)
		if _, text := f.first().(string); !text && deviceScore(f) == 0 {
			n = 0
		}
		if n > score {
			best, score = f, n
		}
	}
	for i := range g.fields {
		if f := &g.fields[i]; best != nil && f != best && f.n == best.n && deviceScore(f) >= 8 && deviceScore(best) >= 8 {
			g.because("%s and %s may be the device; took %s, by its name", best.name(), f.name(), best.name())
		}
	}
	return best
}

// inPath reports whether the device is in the collection's path, and places it
// there.
func (g *guess) inPath() bool {
	var paths [][]string // of the collections
	for _, it := range g.items {
		path := strings.Split(it.Path, "/")
		paths = append(paths, path[:len(path)-1])
		if len(path) != len(strings.Split(g.items[0].Path, "/")) {
			g.problem("documents lie at different depths, as %s and %s", g.items[0].Path, it.Path)
			return false
		}
	}
	first := paths[0]
	if len(first) < 3 {
		if id := strings.Join(first, "/"); id != g.schema.Collection && id != "" {
			g.layout.Collection = id
		}
		return false
	}
	at := g.deviceAt(paths)
	if f := g.bestDevice(); at < 0 || f != nil && !sameAs(f, paths, at) && deviceScore(f) >= 8 && deviceScore(&field{path: first[:at]}) < 8 {
		if slices.ContainsFunc(paths, func(p []string) bool { return !slices.Equal(p, first) }) {
			g.problem("documents lie in different collections, as %s and %s, and neither path says of which device they are", strings.Join(first, "/"), strings.Join(paths[len(paths)-1], "/"))
		}
		g.layout.Collection = strings.Join(first, "/")
		return false
	}
	template := slices.Clone(first)
	template[at] = "{device}"
	g.layout.Collection = strings.Join(template, "/")
	var others []string
	for i, p := range paths {
		g.devices[i] = p[at]
		p = slices.Clone(p)
		if p[at] = "{device}"; !slices.Equal(p, template) {
			g.devices[i] = ""
			others = appendNew(others, strings.Join(p, "/"))
		}
	}
	if len(others) > 0 {
		g.aside("documents of %s; a layout has one path", strings.Join(others, ", "))
	}
	g.because("the device is the document above the collection, as %s", strings.Join(first, "/"))
	return true
}

// deviceAt finds the id in collections' paths that is the device's: the one asked for,
// or else the last.
func (g *guess) deviceAt(paths [][]string) int {
	for _, p := range paths {
		for i := 1; i < len(p); i += 2 {
			if p[i] == g.schema.Device && p[i] != "" {
				return i
			}
		}
	}
	for i := len(paths[0]) - 2; i > 0; i -= 2 { // below a collection whose name says so
		if name := strings.TrimSuffix(folded(paths[0][i-1]), "s"); deviceScore(&field{path: []string{name}}) >= 5 {
			return i
		}
	}
	return len(paths[0]) - 2
}

// sameAs reports whether a field says what the paths have at one place.
func sameAs(f *field, paths [][]string, at int) bool {
	for i, p := range paths {
		if text, ok := Text(f.values[i]); ok && text != p[at] {
			return false
		}
	}
	return true
}

// A part is a partition's value, taken apart at its date.
type part struct {
	before, after string
	text          string // of both: the value without its date
}

// partition finds how the values of the device's field are made of the device and the
// date, and which devices there are.
func (g *guess) partition() {
	values := g.device.texts()
	form, parts := g.dates(values, g.zones)
	if form == "" {
		form, parts = g.otherClock(values, parts)
	}
	template := ""
	for _, find := range []func(i int, p part) string{g.wanted, g.named, g.rest(parts, form != "")} {
		if template = g.template(form, parts, find); template != "" {
			break
		}
	}
	if template == "" {
		g.problem("the values of %s, as %q, are made in no uniform manner from a device", g.layout.DeviceKey, values[0])
		return
	}
	g.layout.Partition = template
	if number, text := g.ids(); number != "" {
		g.problem("%s holds the number %s and the text %q, which are two devices to a database; a query finds the rows of one of them", g.layout.DeviceKey, number, text)
	}
	if _, err := ParseTemplate(template); err != nil {
		g.problem("%v", err)
	}
	g.unsure(values, template)
}

// ids returns an id that is a number in some items and a text in others; "" if there is
// none.
func (g *guess) ids() (number, text string) {
	for _, v := range g.device.values {
		if n, ok := v.(json.Number); ok && slices.Contains(g.device.values, any(string(n))) {
			return string(n), string(n)
		}
	}
	return "", ""
}

// unsure says that a value may as well be a constant and a device.
func (g *guess) unsure(values []string, template string) {
	if devices := g.deviceList(); template == "{device}" && len(devices) == 1 {
		if i := strings.LastIndexAny(devices[0], "#|/"); i > 0 {
			g.because("%q was taken as a device's id as a whole; if %q precedes all ids, --device %s finds that", devices[0], devices[0][:i+1], devices[0][i+1:])
		}
	}
	if template != "{device}" {
		g.because("%s holds values like %q, made as %s", g.layout.DeviceKey, values[0], template)
	}
}

// template returns the template in which find's text is the device, in all values that
// have a time; "" if there is none.
func (g *guess) template(form string, parts []part, find func(i int, p part) string) string {
	template := ""
	devices := make([]string, len(parts))
	for i, p := range parts {
		if p.text == "" {
			continue
		}
		device := find(i, p)
		if device == "" {
			return ""
		}
		one := place(p.before, device)
		if one != p.before {
			one += form + p.after
		} else {
			one += form + place(p.after, device)
		}
		if template != "" && template != one || !strings.Contains(one, "{device}") {
			return ""
		}
		template, devices[i] = one, device
	}
	if template != "" {
		g.devices = devices
	}
	return template
}

// place puts {device} where the device is in text: between separators if it does.
func place(text, device string) string {
	for i := 0; device != "" && i+len(device) <= len(text); i++ {
		end := i + len(device)
		if text[i:end] == device && (i == 0 || strings.IndexByte(separators, text[i-1]) >= 0) && (end == len(text) || strings.IndexByte(separators, text[end]) >= 0) {
			return text[:i] + "{device}" + text[end:]
		}
	}
	return strings.Replace(text, device, "{device}", 1)
}

// wanted returns the device that is asked for, if it is in p between constants and not a
// part of another id, as pump in pump-01.
func (g *guess) wanted(_ int, p part) string {
	for _, text := range []string{p.before, p.after} {
		before, after, found := strings.Cut(place(text, g.schema.Device), "{device}")
		begins := strings.Trim(before, separators) == "" || strings.ContainsAny(before[len(before)-1:], "#|/:")
		if found && begins && (strings.Trim(after, separators) == "" || strings.ContainsAny(after[:1], "#|/:")) {
			return g.schema.Device
		}
	}
	return ""
}

// named returns the device that another field of the item names, if it is in p.
func (g *guess) named(i int, p part) string {
	best, score := "", 4
	for k := range g.fields {
		f := &g.fields[k]
		text, ok := Text(f.values[i])
		if n := deviceScore(f); ok && f != g.device && f != g.time && n > score && strings.Contains(p.text, text) {
			best, score = text, n
		}
	}
	return best
}

// separators stand between the parts of a key.
const separators = "#|/:_-. "

// rest returns what takes all for the device but the date and the constants around it, as
// those of a topic: dt/{device}/data.
func (g *guess) rest(parts []part, dated bool) func(int, part) string {
	device := func(p part) string {
		if !dated {
			return p.text
		}
		return cmp.Or(strings.TrimRight(p.before, separators), strings.TrimLeft(p.after, separators))
	}
	var all []string
	for _, p := range parts {
		if p.text != "" {
			all = appendNew(all, device(p))
		}
	}
	before := common(all)
	for i, s := range all {
		all[i] = strings.TrimPrefix(s, before)
	}
	after := commonEnd(all)
	return func(_ int, p part) string { return strings.TrimSuffix(strings.TrimPrefix(device(p), before), after) }
}

// commonEnd returns what all of several values end with, from a separator on; "" if
// nothing of one would be left.
func commonEnd(all []string) string {
	if len(all) < 2 {
		return ""
	}
	end := all[0]
	for _, s := range all[1:] {
		for !strings.HasSuffix(s, end) {
			end = end[1:]
		}
	}
	i := strings.IndexAny(end, "#|/:")
	if i < 0 || slices.Contains(all, end[i:]) {
		return ""
	}
	return end[i:]
}

// common returns what all of the values begin with, up to a separator: of a single one
// the word for a kind of thing, as DEVICE#.
func common(all []string) string {
	if len(all) == 0 {
		return ""
	}
	head := front(all)
	if len(all) == 1 {
		i := strings.IndexAny(head, "#|/:")
		if i <= 0 || i == len(head)-1 || deviceScore(&field{path: []string{head[:i]}}) == 0 && !slices.Contains([]string{"dev", "iot", "meter", "pump"}, folded(head[:i])) {
			return ""
		}
		return head[:i+1]
	}
	return head[:strings.LastIndexAny(head, "#|/:")+1]
}

// deviceList returns the devices that were seen, each once.
func (g *guess) deviceList() []string {
	all := slices.Compact(slices.Sorted(slices.Values(g.devices)))
	if len(all) > 0 && all[0] == "" {
		all = all[1:]
	}
	return all
}

// newest returns the newest item that has a time and a device, the selected one if
// there is one; -1 if there is none.
func (g *guess) newest() int {
	best := -1
	for i, at := range g.times {
		switch {
		case at.IsZero() || g.devices[i] == "":
		case best < 0 || g.devices[i] == g.schema.Device && g.devices[best] != g.schema.Device:
			best = i
		case at.After(g.times[best]) && (g.devices[best] != g.schema.Device || g.devices[i] == g.schema.Device):
			best = i
		}
	}
	return best
}

// choose chooses what to try the layout with.
func (g *guess) choose() {
	g.Devices = g.deviceList()
	i := g.newest()
	if i < 0 {
		return
	}
	g.Device, g.Newest = g.devices[i], g.times[i]
	if w := g.schema.Device; w != "" && w != g.Device {
		g.problem("no item that was looked at is of device %q; those are of %s, and there may be others: inspect without --device shows more", w, nearest.Listed(nearest.First(w, g.Devices)[:min(len(g.Devices), 5)]...))
	}
	if at := g.times[i]; at.After(time.Now().AddDate(0, 0, 1)) {
		g.because("the newest item has a time ahead of now, %s; latest leaves such out", at.Format(time.RFC3339))
	}
	if g.Property = g.propertyOf(i); g.Property == "" && len(g.Properties) == 0 {
		g.problem("the items hold nothing but their keys, so there is no property to read")
	}
}
