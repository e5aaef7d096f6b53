package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"hotreader"
	"hotreader/catalog"
	"hotreader/internal/jsontext"
	"hotreader/internal/pagetoken"
)

// pageOf returns the first n devices after an id, by id.
type pageOf func(ctx context.Context, after string, n int) ([]catalog.Device, error)

var errNoCatalog = refuse(http.StatusNotFound, hotreader.CodeNotFound,
	"this API cannot list devices: it has no catalogue, and its store cannot list them. A catalogue is needed: deploy packs one, or set HOTREADER_CATALOG")

// list returns what lists the devices whose id begins with prefix, of a component
// type unless that is "".
func (a *api) list(prefix, kind string) (pageOf, error) {
	if c := a.o.Catalog; c != nil {
		return func(_ context.Context, after string, n int) ([]catalog.Device, error) {
			return c.Devices(prefix, kind, after, n), nil
		}, nil
	}
	switch {
	case a.o.Lister == nil:
		return nil, errNoCatalog
	case kind != "":
		return nil, invalid("type: a catalogue is needed to know the devices' types, and this API has none; leave it out")
	}
	return func(ctx context.Context, after string, n int) ([]catalog.Device, error) {
		return catalog.List(ctx, a.o.Lister, prefix, after, n)
	}, nil
}

// listsAtOnce is how many lists of devices are made at once: each may hold all devices
// with all their properties.
const listsAtOnce = 4

// devices answers GET /v1/devices with the devices that the caller may read.
func (a *api) devices(c *call) error {
	p, err := c.parameters()
	if err != nil {
		return err
	}
	prefix, _ := p.single("prefix")
	kind, _ := p.single("type")
	limit := p.limit()
	form := appendDevice
	switch names, _ := p.single("names"); names {
	case "true":
		form = appendNamed
	case "", "false":
	default:
		p.bad("names is %.40q; give true or false", names)
	}
	if err := p.err(); err != nil {
		return err
	}
	page, err := a.list(prefix, kind)
	if err != nil {
		return err
	}
	after := ""
	if token, ok := p.single("next_token"); ok {
		if after, err = a.verifyDevice(c.ctx, token, prefix, kind); err != nil {
			return err
		}
	}
	return a.answer(c, jsonType, func(dst []byte) ([]byte, error) {
		place, err := a.lists.Enter(c.ctx, c.caller.Name, c.caller.Address)
		if err != nil {
			return dst, err
		}
		defer place.Leave()
		dst, last, err := a.appendDevices(c, append(dst, `{"items":[`...), asked{page, after, limit, form})
		if err != nil {
			return dst, err
		}
		dst = append(dst, `],"next_token":`...)
		if last == "" {
			return append(dst, "null}\n"...), nil
		}
		token := a.signDevice(last, prefix, kind)
		c.next(p, token)
		return append(jsontext.AppendString(dst, token), "}\n"...), nil
	})
}

// devicesRoom is kept free for the end of a list: a token holds an id.
const devicesRoom = 4 << 10

// asked is what is asked for of a list.
type asked struct {
	page  pageOf
	after string
	limit int                                       // 0 = none
	form  func(dst []byte, d catalog.Device) []byte // appends a device
}

// appendDevices appends a page of devices as JSON. It returns the id of its last one
// if another page follows, else "". A page has one device at least.
func (a *api) appendDevices(c *call, dst []byte, l asked) ([]byte, string, error) {
	limit, after := l.limit, l.after
	atOnce := catalog.MaxDevices // a store may look at all ids for each page
	if limit > 0 {
		atOnce = min(max(limit+1, 100), atOnce) // one more shows whether there is another page
	}
	last := ""
	for {
		some, err := l.page(c.ctx, after, atOnce)
		if err == nil {
			err = c.ctx.Err()
		}
		if err != nil {
			if err = asDeadline(c.ctx, err); last != "" && outOfTime(c.ctx, err) {
				return dst, last, nil
			}
			return dst, "", err
		}
		for _, d := range some {
			after = d.ID
			if !c.caller.Devices.Has(d.ID) {
				continue
			}
			before := len(dst)
			if last != "" {
				dst = append(dst, ',')
			}
			dst = l.form(dst, d)
			if last != "" && (c.rows == limit && limit > 0 || len(dst) > a.o.MaxAnswer-devicesRoom) {
				return dst[:before], last, nil
			}
			if len(dst) > a.o.MaxAnswer {
				return dst, "", errManyProperties
			}
			last = d.ID
			c.rows++
		}
		if len(some) < atOnce {
			return dst, "", nil
		}
	}
}

func appendDevice(dst []byte, d catalog.Device) []byte {
	dst = jsontext.AppendString(append(dst, `{"id":`...), d.ID)
	if dst = append(dst, `,"type":`...); d.Type == "" {
		dst = append(dst, "null"...)
	} else {
		dst = jsontext.AppendString(dst, d.Type)
	}
	return append(strconv.AppendInt(append(dst, `,"properties":`...), int64(len(d.Properties)), 10), '}')
}

// appendNamed is appendDevice with the names of the properties.
func appendNamed(dst []byte, d catalog.Device) []byte {
	dst = append(bytes.TrimSuffix(appendDevice(dst, d), []byte("}")), `,"names":[`...)
	for i, p := range d.Properties {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = jsontext.AppendString(dst, p.Name)
	}
	return append(dst, "]}"...)
}

const (
	devicesPurpose = "hotreader devices page"
	devicesVersion = 1
)

// signDevice returns the next_token for the devices after id.
func (a *api) signDevice(id, prefix, kind string) string {
	b := append([]byte{devicesVersion}, id...)
	return pagetoken.Sign(b, a.pages.Keys(devicesPurpose)[0], devicesMessage(b, prefix, kind), pageMAC)
}

func (a *api) verifyDevice(ctx context.Context, token, prefix, kind string) (id string, err error) {
	b, sum, ok := pagetoken.Split(token, pageMAC)
	if !ok || b[0] != devicesVersion || !a.signed(ctx, devicesPurpose, devicesMessage(b, prefix, kind), sum) {
		return "", invalid("the next_token does not belong to this list; send it with the same prefix and type as before, or begin without it")
	}
	return string(b[1:]), nil
}

func devicesMessage(position []byte, prefix, kind string) []byte {
	return pagetoken.AppendText(pagetoken.AppendText(pagetoken.AppendText(nil, string(position)), prefix), kind)
}

// description is a device as GET /v1/devices/{id} returns it.
type description struct {
	ID         string              `json:"id"`
	Type       *string             `json:"type"`
	Properties []describedProperty `json:"properties"`
	First      *string             `json:"first_time"`
	Last       *string             `json:"last_time"`
	Warnings   []hotreader.Warning `json:"warnings,omitempty"`
}

// describedProperty has null for what is not known.
type describedProperty struct {
	Name  string          `json:"name"`
	Type  *string         `json:"type"`
	Unit  *string         `json:"unit"`
	Value json.RawMessage `json:"value"` // of a constant
}

// describe answers GET /v1/devices/{id}.
func (a *api) describe(c *call) error {
	c.device = c.id()
	p, err := c.parameters()
	if err != nil {
		return err
	}
	constants, _ := p.single("constants")
	if constants != "" && constants != "true" && constants != "false" {
		p.bad("constants is %.40q; give true or false", constants)
	}
	if err := p.err(); err != nil {
		return err
	}
	if err := c.caller.Devices.Check(c.device); err != nil {
		return err
	}
	return a.answer(c, jsonType, func(dst []byte) ([]byte, error) {
		d, err := a.described(c)
		if err != nil {
			return dst, err
		}
		if err := a.times(c, d); err != nil {
			return dst, err
		}
		if constants == "false" {
			d.Properties = slices.DeleteFunc(d.Properties, func(p describedProperty) bool { return p.Value != nil })
		}
		d.Warnings = c.stats.Warnings()
		size := 0
		for i := range d.Properties {
			size += len(d.Properties[i].Name) + len(d.Properties[i].Value) + propertyRoom
		}
		if size > a.o.MaxAnswer {
			return dst, errManyProperties
		}
		text, err := json.Marshal(d)
		if len(text) > a.o.MaxAnswer {
			return dst, errManyProperties
		}
		return append(append(dst, text...), '\n'), err
	})
}

// propertyRoom is what a property takes beside its name and value.
const propertyRoom = 48

var errManyProperties error = &hotreader.Error{Op: "answer", Code: hotreader.CodeTooLarge,
	Err: errors.New("the device has more properties than an answer may name; name those that you need to history and latest")}

// described returns what the catalogue lists of the device, else what the store does.
func (a *api) described(c *call) (*description, error) {
	if a.o.Catalog == nil && a.o.Lister == nil {
		return nil, errNoCatalog
	}
	if a.o.Catalog != nil {
		if d, ok := a.o.Catalog.Device(c.device); ok {
			return describedOf(d), nil
		}
	}
	if a.o.Lister != nil {
		some, err := catalog.List(c.ctx, a.o.Lister, c.device, "", 1)
		if err != nil {
			return nil, asDeadline(c.ctx, err)
		}
		if len(some) > 0 && some[0].ID == c.device {
			return describedOf(some[0]), nil
		}
	}
	return nil, refuse(http.StatusNotFound, hotreader.CodeNotFound, "there is no device %.200q; GET /v1/devices lists those that there are", c.device)
}

func describedOf(of catalog.Device) *description {
	d := &description{ID: of.ID, Type: known(of.Type), Properties: []describedProperty{}}
	for _, p := range of.Properties {
		one := describedProperty{Name: p.Name, Type: known(p.Type.String()), Unit: known(p.Unit)}
		if p.Constant != "" {
			one.Value = json.RawMessage(p.Constant)
		}
		d.Properties = append(d.Properties, one)
	}
	return d
}

// known returns nil for "".
func known(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// times finds the times of the device's first and last row, but not of one more than a
// day ahead of the clock: it hides nothing.
func (a *api) times(c *call, d *description) error {
	q := hotreader.Query{Device: d.ID, Limit: 1}
	for _, p := range d.Properties {
		if p.Value == nil {
			q.Properties = append(q.Properties, p.Name)
		}
	}
	if most := hotreader.MaxProperties; len(q.Properties) > most {
		q.Properties = q.Properties[:most]
		c.stats.Warn(hotreader.Warning{Reason: hotreader.LookBackEnded, Detail: fmt.Sprintf("first and last are the times of the first %d properties", most)})
	}
	if len(q.Properties) == 0 {
		return nil
	}
	q.Types = slices.Repeat([]hotreader.Type{hotreader.AsStored}, len(q.Properties))
	q.End = time.Now().Add(24 * time.Hour)
	var err error
	switch d.First, err = a.timeOf(c, q); {
	case hotreader.CodeOf(err) == hotreader.CodeInvalid: // the query is right, but such a store needs a start
		c.stats.Warn(hotreader.Warning{Reason: hotreader.LookBackEnded, Detail: "the first time is not known: " + err.Error()})
	case err != nil || d.First == nil:
		return err
	}
	q.Order = hotreader.Descending
	d.Last, err = a.timeOf(c, q)
	return err
}

// timeOf returns the time of a query's row; nil if there is none.
func (a *api) timeOf(c *call, q hotreader.Query) (*string, error) {
	for row, err := range a.reads(c, a.reader.Read).Read(c.ctx, q) {
		if err != nil {
			return nil, err
		}
		text := string(hotreader.AppendTime(nil, row.Time))
		return &text, nil
	}
	return nil, nil
}
