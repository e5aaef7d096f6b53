package sniff

import (
	"math"
	"slices"
	"strings"
)

// What columns are called that name devices; that name properties; that hold a
// property's value; and that hold a state.
var (
	deviceNames = []string{"device", "deviceid", "iotdeviceid", "devid", "deveui", "deveuihex", "devicename", "deviceuid", "deviceuuid", "enddeviceid", "sensorid", "sensorname", "station",
		"stationid", "stationname", "machine", "machineid", "asset", "assetid", "thing", "thingname", "thingid", "node", "nodeid", "nodename", "container", "containerid", "containername", "mac", "macaddress", "serial",
		"serialnumber", "serialno", "meter", "meterid", "gateway", "gatewayid", "host", "hostname", "iothubconnectiondeviceid", "pump", "pumpid", "unitid", "equipment", "equipmentid", "clientid", "applianceid", "siteid", "locationid", "tagid", "id",
		"geraet", "gerät", "geraetename", "gerätename", "maschine", "maschinenname", "maschinennummer", "maschinennr", "maschinenid", "anlage", "anlagenname", "anlagennr", "zählernummer", "messstelle", "máquina", "maquina", "macchina", "equipo",
		"name", "sensor", "source", "topic", "pod", "instance", "room", "house", "household", "building", "turbine", "inverter", "vehicle", "vin", "imei", "truck", "tank", "boiler", "valve", "lclid", "nmi", "mpan"}
	keyNames = []string{"sensor", "metric", "metricname", "measurement", "measure", "variable", "variablename", "parameter", "param", "channel", "tag", "tagname", "name", "property", "propertyname", "field", "key", "signal", "item",
		"entityid", "point", "pointname", "attribute", "quantity", "datapoint", "register", "obis", "obiscode", "type", "sensorname", "sensorid", "series"}
	valueNames = []string{"value", "val", "reading", "readings", "state", "wert", "messwert", "result", "v", "measured", "measuredvalue", "valeur", "valor", "waarde", "numericvalue", "doublevalue"}
	stateNames = []string{"state", "status", "mode", "quality", "alarm", "event", "zustand", "betriebsart", "modus", "qualität", "meldung"}
)

// called reports whether a column is called one of names, whatever separates its words.
func called(name string, names []string) bool {
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		name = name[i+1:]
	}
	plain := strings.ToLower(strings.Map(func(r rune) rune {
		if strings.ContainsRune("_- .:$#", r) {
			return -1
		}
		return r
	}, name))
	return slices.Contains(names, plain)
}

// findDevice finds the column that names devices. One that has several comes first.
func (g *Guess) findDevice() {
	for i := range g.Columns {
		c := &g.Columns[i]
		if slices.Contains(g.Time, i) || !called(c.Name, deviceNames) && !strings.HasSuffix(c.Name, "Id") && !strings.HasSuffix(strings.ToLower(strings.ReplaceAll(c.Name, " ", "_")), "_id") {
			continue
		}
		found := different(c.Cells)
		// An id of its own for each row is the row's, not a device's.
		if len(found) == 1 || len(found) > 1 && (len(found) < g.rows() || g.rows() < 10 && !called(c.Name, []string{"id"})) {
			if g.Device < 0 || len(found) > 1 {
				g.Device, g.Devices = i, found
			}
			if len(found) > 1 {
				return
			}
		}
	}
}

// findPairs finds a column with the names of properties beside one with their values:
// of several, the one with which the fewest values would replace each other.
func (g *Guess) findPairs() {
	value := -1
	for i := range g.Columns {
		c := &g.Columns[i] // InfluxDB has a column called result beside its _value
		if called(c.Name, valueNames) && len(different(c.Cells)) > 0 && (value < 0 || c.Name == "_value") {
			value = i
		}
	}
	if value < 0 {
		return
	}
	fewest := math.MaxInt
	for i := range g.Columns {
		c := &g.Columns[i]
		if i == value || slices.Contains(g.Time, i) || !called(c.Name, keyNames) {
			continue
		}
		found := different(c.Cells)
		if len(found) < 2 || !c.Texts && !called(c.Name, []string{"sensor", "channel", "sensorid", "register"}) {
			continue
		}
		lost := g.lost(i, g.Device)
		if called(c.Name, []string{"entityid"}) { // Home Assistant's, to whose InfluxDB a unit is the _measurement
			lost = -1
		}
		if lost < fewest {
			g.Key, g.Value, g.Keys, fewest = i, value, found, lost
		}
	}
}

// lost counts records that have the time of another one, and its cells in columns.
func (g *Guess) lost(columns ...int) (n int) {
	seen := map[string]bool{}
	for row := range g.rows() {
		parts := []string{g.TimeText(row)}
		for _, i := range columns {
			if i >= 0 {
				parts = append(parts, g.Columns[i].Cells[row])
			}
		}
		is := strings.Join(parts, "\x00")
		if seen[is] {
			n++
		}
		seen[is] = true
	}
	return n
}

// Apart reports whether each property that the column key names is of one device alone.
func (g *Guess) Apart(key int) bool {
	of := map[string]string{}
	for row, name := range g.Columns[key].Cells {
		device := g.Columns[g.Device].Cells[row]
		if other, ok := of[name]; ok && other != device {
			return false
		}
		of[name] = device
	}
	return key == g.Device || len(g.Devices) > 1
}

// Swapped reports whether the columns of names and of values are each other's: the names
// are numbers with fractions, or the columns are called so.
func (g *Guess) Swapped(key, value int) bool {
	if key < 0 || value < 0 || g.Key == value && g.Value == key {
		return key >= 0 && value >= 0
	}
	names := different(g.Columns[key].Cells)
	return g.Columns[value].Texts && slices.ContainsFunc(names, func(s string) bool { return strings.ContainsAny(s, ".,") }) &&
		!slices.ContainsFunc(names, func(s string) bool { return !IsNumber(s) })
}

// FindMixed finds a column in which lines of one time, and of one device of that column,
// differ, where they have other values in common: those would replace each other. It is
// one of texts, or beside a column of devices that which seems to name them; of several,
// the one with which the fewest values would.
func (g *Guess) FindMixed(device int) {
	several := g.Device >= 0 && len(g.Devices) > 1
	if g.Key >= 0 || several == (device < 0) || several && device == g.Device {
		return
	}
	fewest := math.MaxInt
	for i := range g.Columns {
		c := &g.Columns[i]
		if slices.Contains(g.Time, i) || !several && !c.Texts || several && i != g.Device {
			continue
		}
		pairs := 0
		for row := 1; row < g.rows(); row++ {
			same := g.TimeText(row) == g.TimeText(row-1) && (device < 0 || g.Columns[device].Cells[row] == g.Columns[device].Cells[row-1])
			if same && c.Cells[row] != "" && c.Cells[row-1] != "" && c.Cells[row] != c.Cells[row-1] && g.overlap(row, i) {
				pairs++
			}
		}
		if lost := g.lost(i, device); pairs > 0 && 4*pairs >= g.rows()-1 && lost < fewest {
			g.Mixed, g.Keys, fewest = i, different(c.Cells), lost
		}
	}
}

// overlap reports whether a row and the one before have numbers in one column.
func (g *Guess) overlap(row, but int) bool {
	for i := range g.Columns {
		c := &g.Columns[i]
		if i != but && !c.Texts && !slices.Contains(g.Time, i) && c.Cells[row] != "" && c.Cells[row-1] != "" {
			return true
		}
	}
	return false
}

// Alternates returns the texts between which a column changes from line to line, if
// they are few, as names of devices are; else nil. A state stays for some lines, or is
// called so.
func (g *Guess) Alternates(i int) []string {
	cells := g.Columns[i].Cells
	changes, numbers := 0, false
	for row := 1; row < len(cells); row++ {
		if cells[row] != cells[row-1] {
			changes++
		}
		numbers = numbers || g.overlap(row, i)
	}
	found := different(cells)
	if !g.Columns[i].Texts || called(g.Columns[i].Name, stateNames) || !numbers || slices.Contains(cells, "") || 2*changes < len(cells) || len(found) < 2 || 4*len(found) > len(cells) {
		return nil
	}
	return found
}

// different returns the different texts that are not empty.
func different(cells []string) (found []string) {
	seen := map[string]bool{}
	for _, text := range cells {
		if text = strings.TrimSpace(text); text != "" && !seen[text] {
			seen[text] = true
			found = append(found, text)
		}
	}
	return found
}
