package promapi

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"hotreader"
)

// told are the warnings of one answer.
// It is safe for concurrent use.
type told struct {
	mu sync.Mutex
	of map[tellKey]*telling
}

type tellKey struct {
	reason   hotreader.Reason
	property string
}

type telling struct {
	count   int64
	device  string // the first
	devices int
	detail  string
}

// Reasons of this API alone; the others are hotreader's.
const (
	aText     hotreader.Reason = "left out: a text is no sample"
	aConstant hotreader.Reason = "left out: a constant, which is not reported, is no series"
	tooBig    hotreader.Reason = "left out: beyond a float64"
	rounded   hotreader.Reason = "with digits that a float64 cannot hold: rounded"
	noMetric  hotreader.Reason = "no metric has this name: each has letters of A to Z, digits, _ and : alone"
)

// tell adds a warning about a device.
func (t *told) tell(device string, w hotreader.Warning) {
	switch w.Reason {
	case hotreader.UnknownDevice, hotreader.UnknownProperty: // a series without samples lacks nothing
		return
	case hotreader.MixedKinds:
		w.Detail = fmt.Sprintf("as dataType in the project's config_iot_devices.json, or with import --type %s=string", w.Property)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of == nil {
		t.of = map[tellKey]*telling{}
	}
	key := tellKey{w.Reason, w.Property}
	one := t.of[key]
	if one == nil {
		one = &telling{device: device, detail: w.Detail}
		t.of[key] = one
	}
	one.count += w.Count
	one.devices++
	one.device = min(one.device, device) // whatever comes first
}

// texts returns all warnings as sentences, sorted.
func (t *told) texts() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []string
	for key, one := range t.of {
		var b strings.Builder
		b.WriteString(hotreader.Warning{Reason: key.reason, Property: key.property, Count: one.count, Detail: one.detail}.String())
		if one.device != "" {
			fmt.Fprintf(&b, " (device %s", one.device)
			if one.devices > 1 {
				fmt.Fprintf(&b, " and %d more", one.devices-1)
			}
			b.WriteByte(')')
		}
		all = append(all, b.String())
	}
	slices.Sort(all)
	return all
}
