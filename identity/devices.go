package identity

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"unicode/utf8"

	"hotreader"
)

// Devices names the devices that may be read: ids, and ID prefixes with a
// * after them. The empty list is all devices. Each connection has a token of
// its own, so the list of an API is the list of its token.
type Devices []string

// ParseDevices reads "pump-7,valve-*". Blanks around an entry do not count. An
// entry without anything in it is an error, and so is a text of blanks: what was
// meant to be a list must not become all devices. "" is all devices.
func ParseDevices(text string) (Devices, error) {
	if text == "" {
		return nil, nil
	}
	var d Devices
	for entry := range strings.SplitSeq(text, ",") {
		entry = strings.TrimSpace(entry)
		n := len(d) + 1
		switch star := strings.IndexByte(entry, '*'); {
		case entry == "":
			return nil, fmt.Errorf("entry %d is empty; expected ids, or ID prefixes as pump-*, with commas between", n)
		case star >= 0 && star < len(entry)-1:
			return nil, fmt.Errorf("entry %d, %.40q, has a * before its end; it can only be the last character, as in pump-*", n, entry)
		case len(entry) > hotreader.MaxDeviceBytes || !utf8.ValidString(entry):
			return nil, fmt.Errorf("entry %d: invalid device ID: expected up to %d bytes of UTF-8", n, hotreader.MaxDeviceBytes)
		}
		d = append(d, entry)
	}
	return d, nil
}

// Has reports whether device may be read.
func (d Devices) Has(device string) bool {
	for _, entry := range d {
		beginning, ok := strings.CutSuffix(entry, "*")
		if ok && strings.HasPrefix(device, beginning) || device == entry {
			return true
		}
	}
	return len(d) == 0
}

// Check rejects a device that may not be read, by its name alone and with
// CodeForbidden, so that the answer does not show which devices exist.
func (d Devices) Check(device string) error {
	if d.Has(device) {
		return nil
	}
	return &hotreader.Error{Op: "devices", Code: hotreader.CodeForbidden, Err: errOutside}
}

// Guard returns src for the devices of d. It rejects others without a query to
// src.
func (d Devices) Guard(src hotreader.Source) hotreader.Source {
	if len(d) == 0 {
		return src
	}
	return guard{src, d}
}

type guard struct {
	hotreader.Source
	devices Devices
}

func (g guard) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	if err := g.devices.Check(q.Device); err != nil {
		return hotreader.Fail(err)
	}
	return g.Source.Scan(ctx, q)
}

var errOutside = errors.New("the device is outside of those that may be read here; the operator names them in HOTREADER_DEVICES, or with --devices")
