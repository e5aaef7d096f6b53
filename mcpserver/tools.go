package mcpserver

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"hotreader"
	"hotreader/catalog"
)

// Limits of an answer. A token is about three bytes of such JSON.
const (
	maxBytes    = 6000 // of an answer's items; the rest of it takes some more
	maxText     = 200  // bytes of a text value
	maxPoints   = 200
	maxWarnings = 10
	listPage    = 500
	maxProperty = hotreader.MaxProperties
)

// calls are the tools.
type calls struct {
	o      Options
	within func(context.Context) context.Context // returns the context that knows the caller, of the one of the SDK
	log    func(error)
}

func (c calls) may(ctx context.Context, device string) bool {
	return c.o.May == nil || c.o.May(ctx, device)
}

// size returns how many bytes v takes in an answer.
func size(v any) int {
	text, _ := json.Marshal(v) // of texts and numbers, which cannot fail
	return len(text) + 1
}

type listIn struct {
	Prefix string `json:"prefix,omitempty" jsonschema:"only ids that begin with this"`
	Type   string `json:"type,omitempty" jsonschema:"only devices of this component type"`
	After  string `json:"after,omitempty" jsonschema:"only ids after this one; the last id of the answer before"`
}

type listed struct {
	ID         string `json:"id"`
	Type       string `json:"type,omitempty"`
	Properties int    `json:"properties"`
}

type listOut struct {
	Devices  []listed `json:"devices"`
	Complete bool     `json:"complete" jsonschema:"false: more devices follow"`
	More     string   `json:"more,omitempty" jsonschema:"how to get the others"`
	LeftOut  int      `json:"left_out,omitempty" jsonschema:"devices whose ids are longer than an answer"`
}

func (c calls) listDevices(ctx context.Context, in listIn) (out listOut, err error) {
	out.Devices = []listed{}
	left := maxBytes
	for after := in.After; ; {
		page, err := c.page(ctx, in, after)
		if err != nil {
			return out, err
		}
		for _, d := range page {
			if after = d.ID; !c.may(ctx, d.ID) {
				continue
			}
			one := listed{d.ID, d.Type, len(d.Properties)}
			if size(one) > maxBytes {
				out.LeftOut++
				continue
			}
			if left -= size(one); left < 0 {
				last := out.Devices[len(out.Devices)-1].ID
				out.More = fmt.Sprintf("more devices follow: ask again with after %q, or narrow the list with prefix or type", last)
				return out, nil
			}
			out.Devices = append(out.Devices, one)
		}
		if out.Complete = len(page) < listPage; out.Complete {
			return out, nil
		}
	}
}

// page returns devices after an id.
func (c calls) page(ctx context.Context, in listIn, after string) ([]catalog.Device, error) {
	switch {
	case c.o.Catalog != nil:
		return c.o.Catalog.Devices(in.Prefix, in.Type, after, listPage), nil
	case c.o.Lister == nil:
		return nil, invalid("there is no list of devices here: neither a catalogue nor a store that can list them")
	case in.Type != "":
		return nil, invalid("there are no component types here, for there is no catalogue")
	}
	return catalog.List(ctx, c.o.Lister, in.Prefix, after, listPage)
}

// device returns a device that the caller may read. Another one is as one that is not
// there.
func (c calls) device(ctx context.Context, id string) (d catalog.Device, err error) {
	unknown := invalid(fmt.Sprintf("the device %.100q is unknown; list_devices names those that there are", id))
	switch {
	case id == "" || !c.may(ctx, id):
		return d, unknown
	case c.o.Catalog != nil:
		d, ok := c.o.Catalog.Device(id)
		if !ok {
			return d, unknown
		}
		return d, nil
	case c.o.Lister == nil:
		return catalog.Device{ID: id}, nil
	}
	page, err := c.page(ctx, listIn{Prefix: id}, "")
	if err != nil {
		return d, err
	}
	if len(page) == 0 || page[0].ID != id {
		return d, unknown
	}
	return page[0], nil
}

type deviceIn struct {
	Device string `json:"device" jsonschema:"id of the device"`
}

type property struct {
	Name     string `json:"name"`
	Type     string `json:"type,omitempty"`
	Unit     string `json:"unit,omitempty"`
	Constant string `json:"constant,omitempty" jsonschema:"the value that it always has; it has no history"`
}

type deviceOut struct {
	ID         string     `json:"id"`
	Type       string     `json:"type,omitempty"`
	Properties []property `json:"properties"`
	Complete   bool       `json:"complete" jsonschema:"false: the device has more properties"`
}

func (c calls) describe(ctx context.Context, in deviceIn) (deviceOut, error) {
	d, err := c.device(ctx, in.Device)
	out := deviceOut{ID: d.ID, Type: d.Type, Properties: []property{}, Complete: true}
	left := maxBytes
	for _, p := range d.Properties {
		one := property{p.Name, p.Type.String(), p.Unit, cut(p.Constant)}
		if left -= size(one); left < 0 {
			out.Complete = false
			break
		}
		out.Properties = append(out.Properties, one)
	}
	return out, err
}

type latestIn struct {
	Device     string   `json:"device" jsonschema:"id of the device"`
	Properties []string `json:"properties,omitempty" jsonschema:"names of properties; none = all"`
}

type value struct {
	Time  string `json:"time"`
	Value any    `json:"value"`
}

type latestOut struct {
	Values   map[string]value `json:"values"`
	Complete bool             `json:"complete" jsonschema:"false: some properties are left out; name fewer"`
	Rows     int64            `json:"stands_for_rows" jsonschema:"stored rows that were looked at"`
	Warnings []string         `json:"warnings,omitempty"`
}

func (c calls) latest(ctx context.Context, in latestIn) (out latestOut, err error) {
	q, all, err := c.query(ctx, in.Device, in.Properties)
	if err != nil {
		return out, err
	}
	q.Last = true
	out.Values, out.Complete = map[string]value{}, all
	left, stats := maxBytes, new(hotreader.Stats)
	for row, err := range c.o.Reader.Read(hotreader.WithStats(ctx, stats), q) {
		if err != nil {
			return out, err
		}
		for i, v := range row.Values {
			if v.IsNull() {
				continue
			}
			one := value{stamp(row.Time), plain(v)}
			if left -= size(one) + len(q.Properties[i]) + 4; left < 0 {
				out.Complete = false
				continue
			}
			out.Values[q.Properties[i]] = one
		}
	}
	out.Rows, out.Warnings = stats.Looked.Load(), c.told(ctx, stats, nil)
	return out, nil
}

// query returns the query for properties of a device, all that are stored if none is
// named; and whether those are all.
func (c calls) query(ctx context.Context, device string, names []string) (q hotreader.Query, all bool, err error) {
	d, err := c.device(ctx, device)
	if err != nil {
		return q, false, err
	}
	q.Device = d.ID
	declared := map[string]hotreader.Type{}
	for _, p := range d.Properties {
		if p.Constant == "" {
			declared[p.Name] = p.Type
			if len(names) == 0 {
				q.Properties = append(q.Properties, p.Name)
			}
		}
	}
	for _, name := range names {
		if _, known := declared[name]; len(d.Properties) > 0 && !known {
			return q, false, invalid(fmt.Sprintf("the device has no property %.100q that it reports; describe_device names them", name))
		}
		if !slices.Contains(q.Properties, name) {
			q.Properties = append(q.Properties, name)
		}
	}
	if all = len(q.Properties) <= maxProperty; !all {
		q.Properties = q.Properties[:maxProperty]
	}
	if len(q.Properties) == 0 {
		return q, false, invalid("name the properties: which the device has is not known here")
	}
	for _, name := range q.Properties {
		q.Types = append(q.Types, declared[name])
	}
	return q, all, nil
}

// told appends the warnings of a read to an answer's own, and passes its counts on.
func (c calls) told(ctx context.Context, stats *hotreader.Stats, all []string) []string {
	hotreader.StatsOf(ctx).Add(stats)
	for _, w := range stats.Warnings() {
		all = append(all, cut(w.String()))
	}
	if more := len(all) - maxWarnings; more > 0 {
		all = append(all[:maxWarnings], fmt.Sprintf("and %d more warnings; ask for fewer properties", more))
	}
	return all
}

func stamp(t time.Time) string {
	if t.IsZero() { // as of a foreign peer's latest values
		return "unknown"
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// plain returns a value for JSON: a number keeps its digits.
func plain(v hotreader.Value) any {
	switch v.Kind() {
	case hotreader.Bool:
		return v.Bool()
	case hotreader.Number:
		if len(v.Text()) <= maxText {
			return json.Number(v.Text())
		}
		return cut(v.Text())
	case hotreader.String:
		return cut(v.Text())
	}
	return nil
}

// cut cuts a text to maxText bytes, and says so.
func cut[T string | []byte](text T) string {
	if len(text) <= maxText {
		return string(text)
	}
	return strings.ToValidUTF8(string(text[:maxText]), "") + fmt.Sprintf("… (%d bytes)", len(text))
}

type rangeIn struct {
	Device     string   `json:"device" jsonschema:"id of the device"`
	Properties []string `json:"properties,omitempty" jsonschema:"names of properties; none = all"`
	Start      string   `json:"start" jsonschema:"2026-03-02T06:00:00Z, or before now as -24h"`
	End        string   `json:"end,omitempty" jsonschema:"as start; none = now"`
}

// between sets the times of a query.
func (c calls) between(q *hotreader.Query, in rangeIn) (err error) {
	now := c.o.Now().UTC()
	if q.Start, err = instant(in.Start, now); err != nil {
		return err
	}
	if q.End = now; in.End != "" {
		if q.End, err = instant(in.End, now); err != nil {
			return err
		}
	}
	if q.End.Before(q.Start) {
		return invalid("the end is before the start")
	}
	return nil
}

func instant(text string, now time.Time) (time.Time, error) {
	if before, ok := strings.CutPrefix(text, "-"); ok {
		if d, err := time.ParseDuration(before); err == nil && d >= 0 {
			return now.Add(-d), nil
		}
	} else if t, err := hotreader.ParseTime([]byte(text)); err == nil {
		return t, nil
	}
	return now, invalid(fmt.Sprintf("invalid time %.60q: expected 2026-03-02T06:00:00Z, or before now as -90m or -24h", text))
}

type historyIn struct {
	rangeIn
	Points *int `json:"points,omitempty" jsonschema:"about how many rows; 4 to 200, none = 40"`
}

type historyOut struct {
	Columns  []string `json:"columns" jsonschema:"time, then the properties"`
	Rows     [][]any  `json:"rows"`
	Complete bool     `json:"complete" jsonschema:"false: rows or properties are missing; warnings say which"`
	For      int64    `json:"stands_for_rows" jsonschema:"stored rows that were looked at"`
	Warnings []string `json:"warnings,omitempty"`
}

// defaultPoints is how many rows history returns where it is not said.
const defaultPoints = 40

func (c calls) history(ctx context.Context, in historyIn) (out historyOut, err error) {
	q, all, err := c.query(ctx, in.Device, in.Properties)
	if err != nil {
		return out, err
	}
	if err := c.between(&q, in.rangeIn); err != nil {
		return out, err
	}
	points := defaultPoints
	if in.Points != nil {
		points = *in.Points
	}
	if points < hotreader.MinPoints || points > maxPoints {
		return out, invalid(fmt.Sprintf("points is 4 to %d", maxPoints))
	}
	q.Pick = hotreader.Points(q.Start, q.End, points)
	out.Columns, out.Rows, out.Complete = append([]string{"time"}, q.Properties...), [][]any{}, all
	left, stats := maxBytes-size(out.Columns), new(hotreader.Stats)
	for row, err := range c.o.Reader.Read(hotreader.WithStats(ctx, stats), q) {
		if err != nil {
			return out, err
		}
		one := []any{stamp(row.Time)}
		for _, v := range row.Values {
			one = append(one, plain(v))
		}
		if left -= size(one); left < 0 {
			out.Complete = false
			out.Warnings = append(out.Warnings, fmt.Sprintf("the answer is full: the rows from %s to the end, the newest, are missing; ask for fewer points or properties, or once more with this start", one[0]))
			break
		}
		out.Rows = append(out.Rows, one)
	}
	if !all {
		out.Warnings = append(out.Warnings, fmt.Sprintf("only the first %d properties are here; name the others to get them", len(q.Properties)))
	}
	out.For, out.Warnings = stats.Looked.Load(), c.told(ctx, stats, out.Warnings)
	return out, nil
}
