package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"unicode/utf8"

	"hotreader"
)

// The packed form. All numbers are 32 bits, little endian:
//
//	magic        8 bytes
//	version
//	check        CRC-32C of all that follows
//	counts       of devices, types, members, sets, listed, properties, texts, bytes of text
//	devices      by id: id, type plus 1 (0 = its own), set
//	types        by name: name, first of its members; then how many members there are
//	members      the devices that share a type, by type and id
//	sets         where each begins in listed; then how many are listed
//	listed       the properties of each set
//	properties   name, unit, value, type | flags<<8
//	texts        where each begins in the text; then how many bytes of text there are
//	text         UTF-8
//
// Names, ids, units and values are numbers of texts. Each text, each property and
// each set of properties is there once. Text 0 is "".
const (
	magic   = "hrcat\r\n\x1a" // damaged by whatever takes it for text
	version = 1

	checkAt  = 12 // where check is
	countsAt = 16
	headEnd  = countsAt + 8*4

	maxBytes = 256 << 20 // of a packed catalogue

	deviceBytes   = 3 * 4
	typeBytes     = 2 * 4
	propertyBytes = 4 * 4
)

// Flags of a property: what its value is.
const (
	initialValue  = 1
	constantValue = 2
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// counts are how many records there are of each kind.
type counts struct {
	devices, types, members, sets, listed, properties, texts, bytes int
}

// layout is where the records begin.
type layout struct {
	devicesAt, typesAt, membersAt, setsAt, listedAt, propertiesAt, textsAt, textAt, end int
}

func (n counts) layout() (l layout) {
	l.devicesAt = headEnd
	l.typesAt = l.devicesAt + n.devices*deviceBytes
	l.membersAt = l.typesAt + n.types*typeBytes + 4
	l.setsAt = l.membersAt + n.members*4
	l.listedAt = l.setsAt + n.sets*4 + 4
	l.propertiesAt = l.listedAt + n.listed*4
	l.textsAt = l.propertiesAt + n.properties*propertyBytes
	l.textAt = l.textsAt + n.texts*4 + 4
	l.end = l.textAt + n.bytes
	return l
}

// op is what fails.
const op = "catalogue of devices"

func damaged(what string) error {
	return &hotreader.Error{Op: op, Code: hotreader.CodeConfig,
		Err: fmt.Errorf("it is damaged (%s); deploy again, which makes it anew", what)}
}

// Open opens a packed catalogue, of which it keeps a copy. Any damage is an error of
// CodeConfig.
func Open(packed []byte) (*Catalog, error) {
	return Read(bytes.NewReader(packed), len(packed))
}

// Read is Open for one that is read from r and has about size bytes.
func Read(r io.Reader, size int) (*Catalog, error) {
	// Of a string, names are parts that need no memory. A string that is read in
	// pieces is in memory once, and each piece is checked while it is at hand.
	var data strings.Builder
	data.Grow(min(max(size, 0), maxBytes) + 1)
	var check uint32
	piece := make([]byte, 64<<10)
	for {
		n, err := r.Read(piece)
		if from := countsAt - data.Len(); from < n {
			check = crc32.Update(check, castagnoli, piece[max(from, 0):n])
		}
		data.Write(piece[:n])
		if data.Len() > maxBytes {
			return nil, damaged("it is larger than any that deploy makes")
		}
		if err == io.EOF {
			return open(data.String(), check)
		}
		if err != nil {
			return nil, &hotreader.Error{Op: op, Code: hotreader.CodeConfig, Err: fmt.Errorf("it cannot be read: %w; deploy again, which makes it anew", err)}
		}
	}
}

func open(data string, check uint32) (*Catalog, error) {
	c := &Catalog{data: data}
	switch {
	case len(data) < headEnd:
		return nil, damaged("it is cut short")
	case data[:len(magic)] != magic:
		return nil, &hotreader.Error{Op: op, Code: hotreader.CodeConfig,
			Err: errors.New("this is no packed catalogue; deploy again, which makes one of config_iot_devices.json")}
	case c.number(len(magic)) != version:
		return nil, &hotreader.Error{Op: op, Code: hotreader.CodeConfig,
			Err: fmt.Errorf("its version is %d, and this program reads version %d; deploy again, so that both are of one release", c.number(len(magic)), version)}
	case uint32(c.number(checkAt)) != check:
		return nil, damaged("its checksum does not match")
	}
	for i, n := range []*int{&c.devices, &c.types, &c.members, &c.sets, &c.listed, &c.properties, &c.texts, &c.bytes} {
		if *n = c.number(countsAt + 4*i); *n > len(data) {
			return nil, damaged("its counts are wrong")
		}
	}
	if c.layout = c.counts.layout(); c.end != len(data) {
		return nil, damaged("its counts are wrong")
	}
	for _, check := range []func() error{c.checkTexts, c.checkDevices, c.checkTypes, c.checkProperties} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *Catalog) checkTexts() error {
	if c.texts == 0 || !utf8.ValidString(c.data[c.textAt:]) {
		return damaged("its text is not UTF-8")
	}
	if !c.rising(c.textsAt, c.texts, c.bytes) || c.text(0) != "" {
		return damaged("its texts overlap")
	}
	for i := range c.texts {
		if i > 0 && c.text(i) == "" {
			return damaged("two of its texts are empty")
		}
		if at := c.textAt + c.number(c.textsAt+4*i); at < c.end && !utf8.RuneStart(c.data[at]) {
			return damaged("its text is not UTF-8")
		}
	}
	return nil
}

// rising reports whether n numbers and the one after them, which is most, never
// fall, from 0 on.
func (c *Catalog) rising(at, n, most int) bool {
	last := 0
	for i := range n + 1 {
		v := c.number(at + 4*i)
		if v < last || i == 0 && n > 0 && v != 0 {
			return false
		}
		last = v
	}
	return last == most
}

func (c *Catalog) checkDevices() error {
	if c.devices > MaxDevices {
		return damaged("it has too many devices")
	}
	for i := range c.devices {
		at := c.devicesAt + i*deviceBytes
		switch {
		case c.number(at) >= c.texts, c.number(at+4) > c.types, c.number(at+8) >= c.sets:
			return damaged("a device refers to nothing")
		case c.id(i) == "", i > 0 && c.id(i-1) >= c.id(i):
			return damaged("its devices are not in order")
		}
	}
	return nil
}

func (c *Catalog) checkTypes() error {
	last := 0
	for t := range c.types {
		at := c.typesAt + t*typeBytes
		first := c.number(at + 4)
		switch {
		case c.number(at) >= c.texts, first < last, first > c.members, t == 0 && first != 0:
			return damaged("a type refers to nothing")
		case c.typeName(t) == "", t > 0 && c.typeName(t-1) >= c.typeName(t):
			return damaged("its types are not in order")
		}
		last = first
	}
	if c.number(c.membersAt-4) != c.members || c.types == 0 && c.members > 0 {
		return damaged("its counts are wrong")
	}
	for t := range c.types {
		for m := c.firstMember(t); m < c.memberEnd(t); m++ {
			i := c.member(m)
			if i >= c.devices || c.typeOf(i) != t+1 || m > c.firstMember(t) && c.member(m-1) >= i {
				return damaged("the devices of a type are others")
			}
		}
	}
	shared := 0
	for i := range c.devices {
		if c.typeOf(i) > 0 {
			shared++
		}
	}
	if shared != c.members {
		return damaged("the devices of a type are others")
	}
	return nil
}

func (c *Catalog) checkProperties() error {
	if !c.rising(c.setsAt, c.sets, c.listed) {
		return damaged("its sets overlap")
	}
	for i := range c.listed {
		if c.number(c.listedAt+4*i) >= c.properties {
			return damaged("a set refers to nothing")
		}
	}
	for p := range c.properties {
		at := c.propertiesAt + p*propertyBytes
		kind := c.number(at + 12)
		switch {
		case c.number(at) >= c.texts, c.number(at+4) >= c.texts, c.number(at+8) >= c.texts, c.number(at) == 0:
			return damaged("a property refers to nothing")
		case !stored(hotreader.Type(kind & 0xff)), kind>>8 > constantValue, (kind>>8 == 0) != (c.number(at+8) == 0):
			return damaged("a property has a type that is not known")
		}
	}
	return nil
}

// stored reports whether a catalogue may hold a type.
func stored(t hotreader.Type) bool {
	known, ok := hotreader.ParseType(t.String())
	return ok && known == t
}

// number reads 32 bits.
func (c *Catalog) number(at int) int {
	s := c.data[at : at+4]
	return int(uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24)
}

// text returns a text by its number.
func (c *Catalog) text(i int) string {
	return c.data[c.textAt+c.number(c.textsAt+4*i) : c.textAt+c.number(c.textsAt+4*i+4)]
}

func (c *Catalog) id(device int) string    { return c.text(c.number(c.devicesAt + device*deviceBytes)) }
func (c *Catalog) typeOf(device int) int   { return c.number(c.devicesAt + device*deviceBytes + 4) } // plus 1
func (c *Catalog) setOf(device int) int    { return c.number(c.devicesAt + device*deviceBytes + 8) }
func (c *Catalog) typeName(t int) string   { return c.text(c.number(c.typesAt + t*typeBytes)) }
func (c *Catalog) firstMember(t int) int   { return c.number(c.typesAt + t*typeBytes + 4) }
func (c *Catalog) member(m int) int        { return c.number(c.membersAt + 4*m) }
func (c *Catalog) firstListed(set int) int { return c.number(c.setsAt + 4*set) }

// memberEnd is where the members of type t end: where the next type's begin.
func (c *Catalog) memberEnd(t int) int {
	if t+1 == c.types {
		return c.members
	}
	return c.firstMember(t + 1)
}

func (c *Catalog) property(i int) Property {
	at := c.propertiesAt + i*propertyBytes
	kind := c.number(at + 12)
	p := Property{Name: c.text(c.number(at)), Unit: c.text(c.number(at + 4)), Type: hotreader.Type(kind & 0xff)}
	switch value := c.text(c.number(at + 8)); kind >> 8 {
	case initialValue:
		p.Initial = value
	case constantValue:
		p.Constant = value
	}
	return p
}
