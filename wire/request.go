package wire

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"hotreader"
	"hotreader/internal/jsontext"
)

// MaxNextToken bounds an Envelope's NextToken, in bytes.
const MaxNextToken = 17880

// Bounds of its other texts.
const (
	maxTraceID = 128
	maxSource  = 64
)

// ParseEnvelope reads the body of POST /read. It ignores unknown keys, and reports all
// that is wrong with the known ones in one error of CodeInvalid (CodeTooLarge if body
// is longer than MaxEnvelope). The Envelope does not refer to body's memory.
//
// encoding/json does not fit: it accepts duplicate keys, and keys that differ in case.
func ParseEnvelope(body []byte) (*Envelope, error) {
	if len(body) > MaxEnvelope {
		return nil, &hotreader.Error{Op: "envelope", Code: hotreader.CodeTooLarge,
			Err: fmt.Errorf("the body has %d bytes, at most %d are allowed", len(body), MaxEnvelope)}
	}
	e := &Envelope{}
	x := envelopeReader{}
	x.envelope(e, bytes.Clone(bytes.TrimSpace(body)))
	if len(x.wrong) > 0 {
		return nil, &hotreader.Error{Op: "envelope", Code: hotreader.CodeInvalid, Err: errors.New(strings.Join(x.wrong, "; "))}
	}
	if _, err := e.Query(); err != nil {
		return nil, err
	}
	return e, nil
}

// envelopeReader collects what is wrong with an envelope. Its methods get values of
// valid JSON without surrounding space. key and what name the value in messages.
type envelopeReader struct{ wrong []string }

func (x *envelopeReader) bad(format string, args ...any) {
	const most = 20
	if len(x.wrong) < most {
		x.wrong = append(x.wrong, fmt.Sprintf(format, args...))
	}
}

func (x *envelopeReader) envelope(e *Envelope, body []byte) {
	if wrong := checkBody(body); wrong != "" {
		x.bad("the body %s", wrong)
		return
	}
	var payload []byte
	has, ok := x.object("the body", body, members{
		"source_cloud": into(&e.SourceCloud, x.word(maxSource)),
		"target_layer": into(&e.TargetLayer, x.oneOf("expected %s, %s or %s", TargetLayer, ColdLayer, ArchiveLayer)),
		"message_type": into(&e.MessageType, x.oneOf("expected %s or %s", MessageQuery, MessageLastEntry)),
		"timestamp":    into(&e.Timestamp, x.word(maxSource)),
		"trace_id":     into(&e.TraceID, x.word(maxTraceID)),
		"payload":      func(_ string, value []byte) { payload = value },
	})
	if !ok {
		return
	}
	x.need(has, "%s is missing", "target_layer", "message_type", "payload")
	if payload != nil {
		x.payload(&e.Payload, payload, e.MessageType == MessageLastEntry)
	}
}

// checkBody says why body is not JSON; "" if it is.
func checkBody(body []byte) string {
	if len(body) == 0 {
		return "is empty; expected a JSON object"
	}
	if !utf8.Valid(body) {
		return "is not valid UTF-8"
	}
	s := jsontext.Scanner{Data: body}
	err := s.Skip()
	if err == nil {
		err = s.End()
	}
	if err != nil {
		return "is not JSON: " + err.Error()
	}
	return ""
}

func (x *envelopeReader) payload(p *Payload, raw []byte, last bool) {
	var types []byte
	has, ok := x.object("payload", raw, members{
		"iot_device_id":       into(&p.Device, x.text),
		"start_time":          into(&p.Start, x.time),
		"end_time":            into(&p.End, x.end),
		"selected_properties": into(&p.Properties, x.names),
		"property_types":      func(_ string, value []byte) { types = value },
		"order":               into(&p.Order, x.order),
		"max_results":         into(&p.MaxResults, x.count),
		"next_token":          into(&p.NextToken, x.token),
		"filters":             into(&p.Filters, x.filters),
		"interpolation":       into(&p.Interpolation, x.interpolation),
		"downsample":          into(&p.Pick, x.pick),
		"entity_id":           into(&p.EntityID, x.text),
		"component_name":      into(&p.ComponentName, x.text),
	})
	if !ok {
		return
	}
	if last {
		has["start_time"], has["end_time"] = true, true
	}
	x.need(has, "%s is missing in the payload", "iot_device_id", "start_time", "end_time", "selected_properties")
	if (p.EntityID == "") != (p.ComponentName == "") {
		x.bad("entity_id and component_name go together; one of them is missing")
	}
	if types != nil {
		x.types(p, types)
	}
}

// is reports whether raw is of the expected kind; if not, it notes the error.
func (x *envelopeReader) is(what string, raw []byte, want jsontext.Kind) bool {
	kind := jsontext.KindOf(raw)
	if kind != want {
		x.bad("%s is %s; expected %s", what, kind, want)
	}
	return kind == want
}

// need notes an error for each missing key. format has a place for the key.
func (x *envelopeReader) need(has map[string]bool, format string, keys ...string) {
	for _, key := range keys {
		if !has[key] {
			x.bad(format, key)
		}
	}
}

// members are what reads the members of a JSON object, by their keys; others are ignored.
type members map[string]func(key string, value []byte)

// into returns what reads a member into to. Messages name it by its key.
func into[T any](to *T, read func(key string, raw []byte) T) func(string, []byte) {
	return func(key string, raw []byte) { *to = read(key, raw) }
}

// object reads the members of the JSON object in raw. It returns the keys that it has,
// and whether raw is an object.
func (x *envelopeReader) object(what string, raw []byte, all members) (has map[string]bool, ok bool) {
	return x.each(what, raw, func(key string, value []byte) {
		if read := all[key]; read != nil {
			if what != "the body" && what != "payload" {
				key = what + "." + key
			}
			read(key, value)
		}
	})
}

// each calls visit with each member of the JSON object in raw.
func (x *envelopeReader) each(what string, raw []byte, visit func(key string, value []byte)) (has map[string]bool, ok bool) {
	if !x.is(what, raw, jsontext.Object) {
		return nil, false
	}
	has = make(map[string]bool)
	for key, value := range jsontext.Members(raw) {
		if has[key] {
			x.bad("%.60q is twice in %s", key, what)
			continue
		}
		has[key] = true
		visit(key, value)
	}
	return has, true
}

// list returns the elements of the JSON array in raw; nil if raw is not an array or has
// more than most elements.
func (x *envelopeReader) list(key string, raw []byte, most int) [][]byte {
	if !x.is(key, raw, jsontext.Array) {
		return nil
	}
	list := slices.AppendSeq([][]byte{}, jsontext.Elements(raw))
	if len(list) > most {
		x.bad("%s has %d entries, at most %d are allowed", key, len(list), most)
		return nil
	}
	return list
}

func (x *envelopeReader) text(key string, raw []byte) string {
	if !x.is(key, raw, jsontext.String) {
		return ""
	}
	s := jsontext.Unquote(raw)
	if s == "" && key != "next_token" && key != "source_cloud" && key != "timestamp" && key != "trace_id" {
		x.bad("%s is empty", key)
	}
	return s
}

// word reads a string that will appear in logs and headers.
func (x *envelopeReader) word(most int) func(key string, raw []byte) string {
	return func(key string, raw []byte) string {
		s := x.text(key, raw)
		if len(s) > most {
			x.bad("%s has %d bytes, at most %d are allowed", key, len(s), most)
			return ""
		}
		if i := strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }); i >= 0 {
			x.bad("%s has a character that is not printable ASCII, at byte %d", key, i+1)
			return ""
		}
		return s
	}
}

// oneOf reads one of a few words, which format names.
func (x *envelopeReader) oneOf(format string, words ...any) func(key string, raw []byte) string {
	return func(key string, raw []byte) string {
		s := x.text(key, raw)
		if s != "" && !slices.Contains(words, any(s)) {
			x.bad("%s is %.40q; "+format, append([]any{key, s}, words...)...)
		}
		return s
	}
}

func (x *envelopeReader) token(key string, raw []byte) string {
	s := x.text(key, raw)
	if len(s) > MaxNextToken {
		x.bad("%s has %d bytes, at most %d are allowed", key, len(s), MaxNextToken)
	}
	return s
}

func (x *envelopeReader) time(key string, raw []byte) time.Time {
	s := x.text(key, raw)
	if s == "" {
		return time.Time{}
	}
	t, err := hotreader.ParseTime([]byte(s))
	if err != nil {
		x.bad("%s: %v", key, err)
	}
	return t
}

// end reads the end of the range, in which lastTime means an open one.
func (x *envelopeReader) end(key string, raw []byte) time.Time {
	n := len(x.wrong)
	t := x.time(key, raw)
	switch {
	case len(x.wrong) > n || t.Equal(lastTime):
		return time.Time{}
	case t.IsZero():
		return t.Add(-1) // the year 1 was given; the zero time would leave the range open
	}
	return t
}

func (x *envelopeReader) names(key string, raw []byte) []string {
	list := x.list(key, raw, hotreader.MaxProperties)
	if list != nil && len(list) == 0 {
		x.bad("%s is empty; name at least one property", key)
	}
	names := make([]string, 0, len(list))
	for i, item := range list {
		names = append(names, x.text(key+"["+strconv.Itoa(i)+"]", item))
	}
	return names
}

func (x *envelopeReader) types(p *Payload, raw []byte) {
	types := make([]hotreader.Type, len(p.Properties))
	x.each("property_types", raw, func(name string, value []byte) {
		i := slices.Index(p.Properties, name)
		if i < 0 {
			return
		}
		word := x.text(fmt.Sprintf("property_types[%.60q]", name), value)
		t, ok := hotreader.ParseType(word)
		if !ok {
			x.bad("property_types gives %.60q the unknown type %.40q; expected DOUBLE, INTEGER, LONG, BOOLEAN, STRING, NUMBER or TEXT", name, word)
		}
		types[i] = t
		p.Types = types
	})
}

func (x *envelopeReader) order(key string, raw []byte) hotreader.Order {
	s := x.text(key, raw)
	switch {
	case strings.EqualFold(s, hotreader.Descending.String()):
		return hotreader.Descending
	case s != "" && !strings.EqualFold(s, hotreader.Ascending.String()):
		x.bad("%s is %.40q; expected ASCENDING or DESCENDING", key, s)
	}
	return hotreader.Ascending
}

// count reads a whole number of at least 1.
func (x *envelopeReader) count(key string, raw []byte) int {
	if !x.is(key, raw, jsontext.Number) {
		return 0
	}
	v, _, ok := hotreader.Integer.Convert(hotreader.NumberValue(raw), nil)
	n, err := strconv.Atoi(string(v.Text()))
	switch {
	case !ok:
		x.bad("%s is %.40s; expected a whole number from 1 to %d", key, raw, math.MaxInt32)
	case err != nil || n < 1:
		x.bad("%s is %.40s; expected at least 1, or leave it out", key, raw)
		n = 0
	}
	return n
}

func (x *envelopeReader) filters(key string, raw []byte) []hotreader.Filter {
	var filters []hotreader.Filter
	for i, item := range x.list(key, raw, hotreader.MaxFilters) {
		at := fmt.Sprintf("%s[%d]", key, i)
		var f hotreader.Filter
		property := into(&f.Property, x.text)
		has, ok := x.object(at, item, members{"property_name": property, "propertyName": property, "value": into(&f.Value, x.value), "operator": into(&f.Op, x.op(at))})
		if !ok {
			continue
		}
		if has["property_name"] == has["propertyName"] {
			x.bad("%s needs property_name, once", at)
		}
		x.need(has, at+".%s is missing", "operator", "value")
		filters = append(filters, f)
	}
	return filters
}

func (x *envelopeReader) op(filter string) func(key string, raw []byte) hotreader.Op {
	return func(key string, raw []byte) hotreader.Op {
		op, err := hotreader.ParseOp(x.text(key, raw))
		if err != nil {
			x.bad("%s: %v", filter, err)
		}
		return op
	}
}

// value reads a bare JSON value, or TwinMaker's object with one.
func (x *envelopeReader) value(key string, raw []byte) hotreader.Value {
	kind := jsontext.KindOf(raw)
	switch kind {
	case jsontext.String:
		return hotreader.StringValue([]byte(jsontext.Unquote(raw)))
	case jsontext.Boolean:
		return hotreader.BoolValue(raw[0] == 't')
	case jsontext.Number:
		return hotreader.NumberValue(raw)
	case jsontext.Object:
		return x.typedValue(key, raw)
	}
	x.bad("%s is %s; expected a number, a string or a boolean", key, kind)
	return hotreader.Value{}
}

// typedKinds are the keys of TwinMaker's object, with the kind of value of each.
var typedKinds = map[string]hotreader.Kind{"doubleValue": hotreader.Number, "integerValue": hotreader.Number,
	"longValue": hotreader.Number, "booleanValue": hotreader.Bool, "stringValue": hotreader.String}

func (x *envelopeReader) typedValue(key string, raw []byte) hotreader.Value {
	var v hotreader.Value
	n := 0
	x.each(key, raw, func(name string, value []byte) {
		want, known := typedKinds[name]
		switch kind := jsontext.KindOf(value); {
		case !known || kind == jsontext.Null:
		case kind == jsontext.Object:
			x.bad("%s.%s is an object; expected a value", key, name)
		default:
			n++
			if v = x.value(key+"."+name, value); v.Kind() != want {
				x.bad("%s.%s is %s; expected a %s", key, name, kind, want)
			}
		}
	})
	if n != 1 {
		x.bad("%s has %d values; expected one of doubleValue, integerValue, longValue, booleanValue, stringValue", key, n)
	}
	return v
}

// pick returns the grid and the rows to pick from its intervals.
func (x *envelopeReader) pick(key string, raw []byte) (p hotreader.Pick) {
	has, ok := x.object(key, raw, members{"pick": into(&p.Kind, x.pickKind), "origin": into(&p.Origin, x.time), "every_ms": into(&p.Every, x.millis)})
	if ok {
		x.need(has, "%s is missing in "+key, "pick", "origin", "every_ms")
	}
	return p
}

func (x *envelopeReader) pickKind(key string, raw []byte) hotreader.PickKind {
	word := x.text(key, raw)
	kind, known := hotreader.ParsePickKind(word)
	if !known {
		x.bad("%s %.40q is unknown; expected m4 or last", key, word)
	}
	return kind
}

// millis reads a whole number of milliseconds of at least 1.
func (x *envelopeReader) millis(key string, raw []byte) time.Duration {
	if !x.is(key, raw, jsontext.Number) {
		return 0
	}
	const most = math.MaxInt64 / int64(time.Millisecond)
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || n < 1 || n > most {
		x.bad("%s is %.40s; expected a whole number from 1 to %d", key, raw, most)
		return 0
	}
	return time.Duration(n) * time.Millisecond
}

// interpolation returns the step. Its keys may be in snake or camel case.
func (x *envelopeReader) interpolation(key string, raw []byte) time.Duration {
	var step int
	kind := "LINEAR"
	ofType, interval := into(&kind, x.text), into(&step, x.count)
	has, ok := x.object(key, raw, members{"interpolation_type": ofType, "interpolationType": ofType, "interval_in_seconds": interval, "intervalInSeconds": interval})
	if !ok {
		return 0
	}
	if kind != "LINEAR" && kind != "" {
		x.bad("%s of type %.40q is unknown; expected LINEAR", key, kind)
	}
	if !has["interval_in_seconds"] && !has["intervalInSeconds"] {
		x.bad("%s has no interval_in_seconds", key)
	}
	return time.Duration(step) * time.Second
}
