package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"hotreader"
)

// MaxEnvelope is how many bytes a request's body may have.
const MaxEnvelope = 256 << 10

// TargetLayer is the only layer that the read path addresses.
const TargetLayer = "L3-Hot-Read"

// What an Envelope's MessageType may be.
const (
	MessageQuery     = "query"
	MessageLastEntry = "query_last_entry"
)

const (
	maxTraceID   = 128
	maxSource    = 64
	maxNextToken = 17880
)

// Envelope is the body of POST /read.
type Envelope struct {
	SourceCloud string // "aws", "azure", "gcp", or what a foreign caller calls itself; may be empty
	TargetLayer string // TargetLayer
	MessageType string // MessageQuery or MessageLastEntry
	Timestamp   string // when the caller asked, as it wrote it; informative
	TraceID     string // up to 128 printable ASCII characters; may be empty
	Payload     Payload
}

// Payload is the query in an Envelope.
type Payload struct {
	Device     string
	Start, End time.Time // zero = open
	Properties []string
	Types      []hotreader.Type // of Properties, one by one; nil = none is declared
	Order      hotreader.Order
	Filters    []hotreader.Filter

	// MaxResults counts points, over all properties. 0 = as many as the
	// answer's budgets allow.
	MaxResults    int
	NextToken     string        // JSON answers only: where the last page ended
	Interpolation time.Duration // step of linear interpolation, JSON answers only; 0 = none

	// How a JSON answer names the entity; both or neither.
	EntityID, ComponentName string
}

// NewEnvelope returns the request for q, made now. The limit, in rows, is sent
// as points: rows × properties.
func NewEnvelope(q hotreader.Query, sourceCloud, traceID string) *Envelope {
	e := &Envelope{
		SourceCloud: sourceCloud,
		TargetLayer: TargetLayer,
		MessageType: MessageQuery,
		Timestamp:   string(hotreader.AppendTime(nil, time.Now())),
		TraceID:     traceID,
		Payload: Payload{Device: q.Device, Start: q.Start, End: q.End, Properties: q.Properties,
			Types: q.Types, Order: q.Order, Filters: q.Filters},
	}
	if q.Last {
		e.MessageType, e.Payload.Order = MessageLastEntry, hotreader.Ascending
	} else if n := len(q.Properties); n > 0 && q.Limit > 0 && q.Limit <= math.MaxInt32/n {
		e.Payload.MaxResults = q.Limit * n
	}
	return e
}

// Query returns what e asks for. Limit is MaxResults as whole rows, at least
// one; who answers in pages of points instead sets it to zero and uses
// MaxResults.
func (e *Envelope) Query() (hotreader.Query, error) {
	p := &e.Payload
	q := hotreader.Query{Device: p.Device, Properties: p.Properties, Types: p.Types, Start: p.Start, End: p.End,
		Order: p.Order, Filters: p.Filters, Last: e.MessageType == MessageLastEntry}
	if q.Last {
		q.Order = hotreader.Ascending
	} else if p.MaxResults > 0 && len(p.Properties) > 0 {
		q.Limit = max(p.MaxResults/len(p.Properties), 1)
	}
	return q, q.Check()
}

// The bounds that stand for an open range. The first is the zero time.Time; the
// clock of time.Time goes on behind the last, but its text does not.
var (
	firstTime = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
	lastTime  = time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC)
)

func appendBound(dst []byte, t, open time.Time) []byte {
	switch {
	case t.IsZero():
		t = open
	case t.Before(firstTime):
		t = firstTime
	case t.After(lastTime):
		t = lastTime
	}
	dst = hotreader.AppendTime(append(dst, '"'), t)
	return append(dst, '"')
}

// Append appends e as JSON.
func (e *Envelope) Append(dst []byte) []byte {
	p := &e.Payload
	dst = appendString(append(dst, `{"source_cloud":`...), e.SourceCloud)
	dst = appendString(append(dst, `,"target_layer":`...), e.TargetLayer)
	dst = appendString(append(dst, `,"message_type":`...), e.MessageType)
	dst = appendString(append(dst, `,"timestamp":`...), e.Timestamp)
	dst = appendString(append(dst, `,"trace_id":`...), e.TraceID)
	dst = appendString(append(dst, `,"payload":{"iot_device_id":`...), p.Device)
	dst = appendBound(append(dst, `,"start_time":`...), p.Start, time.Time{})
	dst = appendBound(append(dst, `,"end_time":`...), p.End, lastTime)
	dst = append(dst, `,"selected_properties":[`...)
	for i, name := range p.Properties {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, name)
	}
	dst = append(dst, ']')
	dst = p.appendTypes(dst)
	if e.MessageType != MessageLastEntry {
		dst = appendString(append(dst, `,"order":`...), p.Order.String())
	}
	if p.MaxResults > 0 {
		dst = strconv.AppendInt(append(dst, `,"max_results":`...), int64(p.MaxResults), 10)
	}
	if p.NextToken != "" {
		dst = appendString(append(dst, `,"next_token":`...), p.NextToken)
	}
	for i, f := range p.Filters {
		if i == 0 {
			dst = append(dst, `,"filters":[`...)
		} else {
			dst = append(dst, ',')
		}
		dst = appendString(append(dst, `{"property_name":`...), f.Property)
		dst = appendString(append(dst, `,"operator":`...), f.Op.String())
		dst = append(appendValue(append(dst, `,"value":`...), f.Value), '}')
		if i == len(p.Filters)-1 {
			dst = append(dst, ']')
		}
	}
	if p.Interpolation > 0 {
		dst = append(dst, `,"interpolation":{"interpolation_type":"LINEAR","interval_in_seconds":`...)
		dst = strconv.AppendInt(dst, int64(p.Interpolation/time.Second), 10)
		dst = append(dst, '}')
	}
	if p.EntityID != "" {
		dst = appendString(append(dst, `,"entity_id":`...), p.EntityID)
	}
	if p.ComponentName != "" {
		dst = appendString(append(dst, `,"component_name":`...), p.ComponentName)
	}
	return append(dst, '}', '}')
}

func (p *Payload) appendTypes(dst []byte) []byte {
	comma := false
	for i, t := range p.Types {
		if t == hotreader.Untyped || i >= len(p.Properties) {
			continue
		}
		if comma {
			dst = append(dst, ',')
		} else {
			dst = append(dst, `,"property_types":{`...)
		}
		comma = true
		dst = appendString(append(appendString(dst, p.Properties[i]), ':'), t.String())
	}
	if comma {
		dst = append(dst, '}')
	}
	return dst
}

func appendString(dst []byte, s string) []byte {
	b, _ := json.Marshal(s) // a string always can be
	return append(dst, b...)
}

func appendValue(dst []byte, v hotreader.Value) []byte {
	switch v.Kind() {
	case hotreader.Bool:
		return strconv.AppendBool(dst, v.Bool())
	case hotreader.Number:
		return append(dst, v.Text()...)
	case hotreader.String:
		return appendString(dst, string(v.Text()))
	}
	return append(dst, "null"...)
}

// ParseEnvelope reads the body of POST /read. Keys it does not know are passed
// over; of those it knows it reports all that is wrong, in one error of
// CodeInvalid (CodeTooLarge if body is longer than MaxEnvelope). The Envelope
// holds a copy of body, so body may be used again.
//
// encoding/json is not used, for most of a last entry's time would go into it: a
// decoder for each object, the keys seen in maps, a string for each value. So the
// body becomes one string, which is looked at once for whether it is JSON, and then
// walked; names and texts are parts of it.
func ParseEnvelope(body []byte) (*Envelope, error) {
	if len(body) > MaxEnvelope {
		return nil, &hotreader.Error{Op: "envelope", Code: hotreader.CodeTooLarge,
			Err: fmt.Errorf("the body has %d bytes, at most %d are allowed", len(body), MaxEnvelope)}
	}
	e := &Envelope{}
	x := reading{}
	x.envelope(e, string(bytes.TrimSpace(body)))
	if len(x.wrong) > 0 {
		return nil, &hotreader.Error{Op: "envelope", Code: hotreader.CodeInvalid, Err: errors.New(strings.Join(x.wrong, "; "))}
	}
	if _, err := e.Query(); err != nil {
		return nil, err
	}
	return e, nil
}

// reading collects what is wrong with an envelope. Its methods get parts of JSON
// that is known to be valid, without blanks around them.
type reading struct{ wrong []string }

func (x *reading) bad(format string, args ...any) {
	const most = 20
	if len(x.wrong) < most {
		x.wrong = append(x.wrong, fmt.Sprintf(format, args...))
	}
}

// The keys of the envelope's objects. Which is which is said where they are read.
var (
	envelopeKeys = []string{"source_cloud", "target_layer", "message_type", "timestamp", "trace_id", "payload"}
	payloadKeys  = []string{"iot_device_id", "start_time", "end_time", "selected_properties", "property_types", "order", "max_results",
		"next_token", "filters", "interpolation", "entity_id", "component_name"}
	filterKeys        = []string{"property_name", "propertyName", "operator", "value"}
	valueKeys         = []string{"doubleValue", "integerValue", "longValue", "booleanValue", "stringValue"}
	valueKinds        = [...]hotreader.Kind{hotreader.Number, hotreader.Number, hotreader.Number, hotreader.Bool, hotreader.String}
	interpolationKeys = []string{"interpolation_type", "interpolationType", "interval_in_seconds", "intervalInSeconds"}
)

func (x *reading) envelope(e *Envelope, body string) {
	switch {
	case body == "":
		x.bad("the body is empty; want a JSON object")
		return
	case !utf8.ValidString(body):
		x.bad("the body is not valid UTF-8")
		return
	case !validJSON(body) && !json.Valid([]byte(body)): // the second one has the last word, on what is nested deeply
		x.bad("the body is not JSON: %v", json.Unmarshal([]byte(body), new(any)))
		return
	}
	payload := ""
	has, ok := x.object("the body", body, envelopeKeys, func(n int, key, value string) {
		switch key {
		case "source_cloud":
			e.SourceCloud = x.word(key, value, maxSource)
		case "target_layer":
			if e.TargetLayer = x.text(key, value); e.TargetLayer != TargetLayer && e.TargetLayer != "" {
				x.bad("target_layer is %.40q; this is %s", e.TargetLayer, TargetLayer)
			}
		case "message_type":
			e.MessageType = x.text(key, value)
			if e.MessageType != MessageQuery && e.MessageType != MessageLastEntry && e.MessageType != "" {
				x.bad("message_type is %.40q; want %s or %s", e.MessageType, MessageQuery, MessageLastEntry)
			}
		case "timestamp":
			e.Timestamp = x.word(key, value, maxSource)
		case "trace_id":
			e.TraceID = x.word(key, value, maxTraceID)
		case "payload":
			payload = value
		}
	})
	if !ok {
		return
	}
	for _, n := range [...]int{1, 2, 5} {
		if !has.key(n) {
			x.bad("%s is missing", envelopeKeys[n])
		}
	}
	if payload != "" {
		x.payload(&e.Payload, payload, e.MessageType == MessageLastEntry)
	}
}

func (x *reading) payload(p *Payload, raw string, last bool) {
	types := ""
	has, ok := x.object("payload", raw, payloadKeys, func(n int, key, value string) {
		switch key {
		case "iot_device_id":
			p.Device = x.text(key, value)
		case "start_time":
			p.Start = x.time(key, value)
		case "end_time":
			p.End = x.end(key, value)
		case "selected_properties":
			p.Properties = x.names(key, value)
		case "property_types":
			types = value
		case "order":
			p.Order = x.order(key, value)
		case "max_results":
			p.MaxResults = x.count(key, value)
		case "next_token":
			if p.NextToken = x.text(key, value); len(p.NextToken) > maxNextToken {
				x.bad("next_token has %d bytes, at most %d are allowed", len(p.NextToken), maxNextToken)
			}
		case "filters":
			p.Filters = x.filters(key, value)
		case "interpolation":
			p.Interpolation = x.interpolation(key, value)
		case "entity_id":
			p.EntityID = x.text(key, value)
		case "component_name":
			p.ComponentName = x.text(key, value)
		}
	})
	if !ok {
		return
	}
	for n, key := range payloadKeys[:4] {
		if bound := n == 1 || n == 2; !has.key(n) && !(last && bound) {
			x.bad("%s is missing in the payload", key)
		}
	}
	if (p.EntityID == "") != (p.ComponentName == "") {
		x.bad("entity_id and component_name go together; one of them is missing")
	}
	if types != "" {
		x.types(p, types)
	}
}

// keys tells which of an object's known keys were there, by number: of at most
// hotreader.MaxProperties, which is the most that an object here knows.
type keys [(hotreader.MaxProperties + 63) / 64]uint64

func (k *keys) key(n int) bool { return k[n/64]>>(n%64)&1 != 0 }
func (k *keys) add(n int)      { k[n/64] |= 1 << (n % 64) }

// object calls visit with each member of the JSON object in raw whose key is
// known, and its number among these. It returns which of them were there, and
// whether raw is an object.
func (x *reading) object(what, raw string, known []string, visit func(n int, key, value string)) (has keys, ok bool) {
	if raw[0] != '{' {
		x.bad("%s is %s; want an object", what, jsonKind(raw))
		return has, false
	}
	var others map[string]bool // for what stands twice; few callers send any
	for i := next(raw, 1); raw[i] != '}'; {
		end := valueEnd(raw, i)
		key := unquote(raw[i:end])
		i = next(raw, end)
		end = valueEnd(raw, i)
		value := raw[i:end]
		i = next(raw, end)
		n := slices.Index(known, key)
		if n >= 0 && has.key(n) || n < 0 && others[key] {
			x.bad("%.60q stands twice in %s", key, what)
			continue
		}
		if n < 0 {
			if others == nil {
				others = make(map[string]bool)
			}
			others[key] = true
			continue
		}
		has.add(n)
		visit(n, key, value)
	}
	return has, true
}

// next returns the index of the next key, value or closing bracket in valid JSON.
func next(raw string, i int) int {
	for {
		switch raw[i] {
		case ' ', '\t', '\r', '\n', ',', ':':
			i++
		default:
			return i
		}
	}
}

// valueEnd returns the index behind the value that begins at raw[i], in valid
// JSON.
func valueEnd(raw string, i int) int {
	if raw[i] == '"' {
		return stringEnd(raw, i)
	}
	depth := 0
	for ; i < len(raw); i++ {
		switch raw[i] {
		case '"':
			i = stringEnd(raw, i) - 1
		case '{', '[':
			depth++
		case '}', ']':
			switch depth--; depth {
			case 0:
				return i + 1
			case -1: // of what holds a number or a word
				return i
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
	}
	return i
}

// stringEnd returns the index behind the string that begins at raw[i], in valid
// JSON.
func stringEnd(raw string, i int) int {
	for i++; raw[i] != '"'; i++ {
		if raw[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// unquote reads a JSON string, which is valid.
func unquote(raw string) string {
	if strings.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	return unescape(raw)
}

// unescape is apart, for s is allocated whether it is used or not.
func unescape(raw string) (s string) {
	_ = json.Unmarshal([]byte(raw), &s) // of valid JSON
	return s
}

func jsonKind(raw string) string {
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

func (x *reading) text(key, raw string) string {
	if raw[0] != '"' {
		x.bad("%s is %s; want a string", key, jsonKind(raw))
		return ""
	}
	s := unquote(raw)
	if s == "" && key != "next_token" && key != "source_cloud" && key != "timestamp" && key != "trace_id" {
		x.bad("%s is empty", key)
	}
	return s
}

// isText reports whether text would find nothing wrong with raw. Who has to make
// the key's name asks it first.
func isText(raw string) bool { return raw[0] == '"' && len(raw) > len(`""`) }

// word reads a string that goes into logs and headers.
func (x *reading) word(key, raw string, most int) string {
	s := x.text(key, raw)
	if len(s) > most {
		x.bad("%s has %d bytes, at most %d are allowed", key, len(s), most)
		return ""
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			x.bad("%s has a character that is not printable ASCII, at byte %d", key, i+1)
			return ""
		}
	}
	return s
}

func (x *reading) time(key, raw string) time.Time {
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

func (x *reading) end(key, raw string) time.Time {
	n := len(x.wrong)
	t := x.time(key, raw)
	switch {
	case len(x.wrong) > n || t.Equal(lastTime):
		return time.Time{}
	case t.IsZero():
		return t.Add(-1) // an end in the first instant is an end, not an open range
	}
	return t
}

func (x *reading) names(key, raw string) []string {
	n, ok := x.list(key, raw, hotreader.MaxProperties)
	if !ok {
		return nil
	}
	if n == 0 {
		x.bad("%s is empty; name at least one property", key)
	}
	names := make([]string, 0, n)
	for item := range items(raw) {
		if isText(item) {
			names = append(names, unquote(item))
			continue
		}
		names = append(names, x.text(fmt.Sprintf("%s[%d]", key, len(names)), item))
	}
	return names
}

// list returns how many entries the list in raw has, and whether it is one of at
// most that many.
func (x *reading) list(key, raw string, most int) (n int, ok bool) {
	if raw[0] != '[' {
		x.bad("%s is %s; want a list", key, jsonKind(raw))
		return 0, false
	}
	for range items(raw) {
		n++
	}
	if n > most {
		x.bad("%s has %d entries, at most %d are allowed", key, n, most)
		return 0, false
	}
	return n, true
}

// items returns the entries of the JSON list in raw.
func items(raw string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := next(raw, 1); raw[i] != ']'; {
			end := valueEnd(raw, i)
			if !yield(raw[i:end]) {
				return
			}
			i = next(raw, end)
		}
	}
}

func (x *reading) types(p *Payload, raw string) {
	types := make([]hotreader.Type, len(p.Properties))
	x.object("property_types", raw, p.Properties, func(n int, name, value string) {
		for i := n; i < len(types); i++ { // whoever names a property twice hears of both
			if p.Properties[i] != name {
				continue
			}
			var word string
			if isText(value) {
				word = unquote(value)
			} else {
				word = x.text(fmt.Sprintf("property_types[%.60q]", name), value)
			}
			t, ok := hotreader.ParseType(word)
			if !ok {
				x.bad("property_types gives %.60q the unknown type %.40q; want DOUBLE, INTEGER, LONG, BOOLEAN, STRING, NUMBER or TEXT", name, word)
			}
			types[i] = t
			p.Types = types
		}
	})
}

func (x *reading) order(key, raw string) hotreader.Order {
	s := x.text(key, raw)
	switch {
	case strings.EqualFold(s, hotreader.Descending.String()):
		return hotreader.Descending
	case s != "" && !strings.EqualFold(s, hotreader.Ascending.String()):
		x.bad("%s is %.40q; want ASCENDING or DESCENDING", key, s)
	}
	return hotreader.Ascending
}

// count reads a whole number of at least 1.
func (x *reading) count(key, raw string) int {
	digits := []byte(raw)
	if !hotreader.IsNumber(digits) {
		x.bad("%s is %s; want a whole number", key, jsonKind(raw))
		return 0
	}
	v, _, ok := hotreader.Integer.Convert(hotreader.NumberValue(digits), nil)
	if !ok {
		x.bad("%s is %.40s; want a whole number from 1 to %d", key, raw, math.MaxInt32)
		return 0
	}
	n, err := strconv.Atoi(string(v.Text()))
	if err != nil || n < 1 {
		x.bad("%s is %.40s; want at least 1, or leave it out", key, raw)
		return 0
	}
	return n
}

func (x *reading) filters(key, raw string) []hotreader.Filter {
	n, ok := x.list(key, raw, hotreader.MaxFilters)
	if !ok || n == 0 {
		return nil
	}
	filters := make([]hotreader.Filter, 0, n)
	i := 0
	for item := range items(raw) {
		at := fmt.Sprintf("%s[%d]", key, i)
		i++
		var f hotreader.Filter
		has, ok := x.object(at, item, filterKeys, func(n int, key, value string) {
			switch key {
			case "property_name", "propertyName":
				f.Property = x.text(at+"."+key, value)
			case "operator":
				op, err := hotreader.ParseOp(x.text(at+"."+key, value))
				if err != nil {
					x.bad("%s: %v", at, err)
				}
				f.Op = op
			case "value":
				f.Value = x.value(at+"."+key, value)
			}
		})
		if !ok {
			continue
		}
		if has.key(0) == has.key(1) {
			x.bad("%s needs property_name, once", at)
		}
		for n := 2; n < len(filterKeys); n++ {
			if !has.key(n) {
				x.bad("%s.%s is missing", at, filterKeys[n])
			}
		}
		filters = append(filters, f)
	}
	return filters
}

// value reads a bare JSON value, or TwinMaker's object of one.
func (x *reading) value(key, raw string) hotreader.Value {
	switch raw[0] {
	case '"':
		return hotreader.StringValue([]byte(unquote(raw)))
	case 't':
		return hotreader.BoolValue(true)
	case 'f':
		return hotreader.BoolValue(false)
	case '{':
		return x.typedValue(key, raw)
	}
	if digits := []byte(raw); hotreader.IsNumber(digits) {
		return hotreader.NumberValue(digits)
	}
	x.bad("%s is %s; want a number, a string or a boolean", key, jsonKind(raw))
	return hotreader.Value{}
}

func (x *reading) typedValue(key, raw string) hotreader.Value {
	var v hotreader.Value
	n := 0
	_, ok := x.object(key, raw, valueKeys, func(k int, name, value string) {
		switch {
		case value[0] == 'n':
		case value[0] == '{':
			x.bad("%s.%s is an object; want a value", key, name)
		default:
			n++
			if v = x.value(key+"."+name, value); v.Kind() != valueKinds[k] {
				x.bad("%s.%s is %s; want a %s", key, name, jsonKind(value), valueKinds[k])
			}
		}
	})
	if ok && n != 1 {
		x.bad("%s has %d values; want one of doubleValue, integerValue, longValue, booleanValue, stringValue", key, n)
	}
	return v
}

// interpolation reads the step, in either spelling of its keys.
func (x *reading) interpolation(key, raw string) time.Duration {
	var step int
	kind := "LINEAR"
	has, ok := x.object(key, raw, interpolationKeys, func(n int, name, value string) {
		switch name {
		case "interpolation_type", "interpolationType":
			kind = x.text(key+"."+name, value)
		case "interval_in_seconds", "intervalInSeconds":
			step = x.count(key+"."+name, value)
		}
	})
	if !ok {
		return 0
	}
	if kind != "LINEAR" && kind != "" {
		x.bad("%s of type %.40q is unknown; want LINEAR", key, kind)
	}
	if !has.key(2) && !has.key(3) {
		x.bad("%s has no interval_in_seconds", key)
	}
	return time.Duration(step) * time.Second
}
