package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"hotreader"
)

// referenceEnvelope is ParseEnvelope by means of encoding/json.
func referenceEnvelope(body []byte) (*Envelope, error) {
	if len(body) > MaxEnvelope {
		return nil, &hotreader.Error{Op: "envelope", Code: hotreader.CodeTooLarge,
			Err: fmt.Errorf("the body has %d bytes, at most %d are allowed", len(body), MaxEnvelope)}
	}
	e := &Envelope{}
	x := &reference{}
	x.envelope(e, body)
	if len(x.wrong) > 0 {
		return nil, &hotreader.Error{Op: "envelope", Code: hotreader.CodeInvalid, Err: errors.New(strings.Join(x.wrong, "; "))}
	}
	if _, err := e.Query(); err != nil {
		return nil, err
	}
	return e, nil
}

type reference struct{ wrong []string }

func (x *reference) bad(format string, args ...any) {
	const most = 20
	if len(x.wrong) < most {
		x.wrong = append(x.wrong, fmt.Sprintf(format, args...))
	}
}

func (x *reference) envelope(e *Envelope, body []byte) {
	body = bytes.TrimSpace(body)
	switch {
	case len(body) == 0:
		x.bad("the body is empty; want a JSON object")
		return
	case !utf8.Valid(body):
		x.bad("the body is not valid UTF-8")
		return
	case !json.Valid(body):
		x.bad("the body is not JSON: %v", json.Unmarshal(body, new(any)))
		return
	}
	var payload json.RawMessage
	has := x.object("the body", body, func(key string, value json.RawMessage) {
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
	if has == nil {
		return
	}
	for _, key := range []string{"target_layer", "message_type", "payload"} {
		if !has[key] {
			x.bad("%s is missing", key)
		}
	}
	if payload != nil {
		x.payload(&e.Payload, payload, e.MessageType == MessageLastEntry)
	}
}

func (x *reference) payload(p *Payload, raw json.RawMessage, last bool) {
	var types json.RawMessage
	has := x.object("payload", raw, func(key string, value json.RawMessage) {
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
	if has == nil {
		return
	}
	need := []string{"iot_device_id", "start_time", "end_time", "selected_properties"}
	if last {
		need = []string{"iot_device_id", "selected_properties"}
	}
	for _, key := range need {
		if !has[key] {
			x.bad("%s is missing in the payload", key)
		}
	}
	if (p.EntityID == "") != (p.ComponentName == "") {
		x.bad("entity_id and component_name go together; one of them is missing")
	}
	if types != nil {
		x.types(p, types)
	}
}

// object is what the real one is, by a decoder.
func (x *reference) object(what string, raw json.RawMessage, visit func(key string, value json.RawMessage)) map[string]bool {
	if raw[0] != '{' {
		x.bad("%s is %s; want an object", what, jsonKind(string(raw)))
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.Token()
	has := make(map[string]bool)
	for d.More() {
		name, _ := d.Token()
		var value json.RawMessage
		d.Decode(&value)
		key := name.(string)
		if has[key] {
			x.bad("%.60q stands twice in %s", key, what)
			continue
		}
		has[key] = true
		visit(key, value)
	}
	return has
}

func (x *reference) list(key string, raw json.RawMessage, most int) (list []json.RawMessage) {
	if raw[0] != '[' {
		x.bad("%s is %s; want a list", key, jsonKind(string(raw)))
		return nil
	}
	json.Unmarshal(raw, &list)
	if len(list) > most {
		x.bad("%s has %d entries, at most %d are allowed", key, len(list), most)
		return nil
	}
	return list
}

// unquote reads a JSON string.
func unquoteReference(raw []byte) (s string) {
	json.Unmarshal(raw, &s)
	return s
}

func (x *reference) text(key string, raw json.RawMessage) string {
	if raw[0] != '"' {
		x.bad("%s is %s; want a string", key, jsonKind(string(raw)))
		return ""
	}
	s := unquoteReference(raw)
	if s == "" && key != "next_token" && key != "source_cloud" && key != "timestamp" && key != "trace_id" {
		x.bad("%s is empty", key)
	}
	return s
}

// word reads a string that goes into logs and headers.
func (x *reference) word(key string, raw json.RawMessage, most int) string {
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

func (x *reference) time(key string, raw json.RawMessage) time.Time {
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

func (x *reference) end(key string, raw json.RawMessage) time.Time {
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

func (x *reference) names(key string, raw json.RawMessage) []string {
	list := x.list(key, raw, hotreader.MaxProperties)
	names := make([]string, 0, len(list))
	for i, item := range list {
		names = append(names, x.text(fmt.Sprintf("%s[%d]", key, i), item))
	}
	if list != nil && len(list) == 0 {
		x.bad("%s is empty; name at least one property", key)
	}
	return names
}

func (x *reference) types(p *Payload, raw json.RawMessage) {
	types := make([]hotreader.Type, len(p.Properties))
	x.object("property_types", raw, func(name string, value json.RawMessage) {
		for i, property := range p.Properties {
			if property != name {
				continue
			}
			word := x.text(fmt.Sprintf("property_types[%.60q]", name), value)
			t, ok := hotreader.ParseType(word)
			if !ok {
				x.bad("property_types gives %.60q the unknown type %.40q; want DOUBLE, INTEGER, LONG, BOOLEAN, STRING, NUMBER or TEXT", name, word)
			}
			types[i] = t
			p.Types = types
		}
	})
}

func (x *reference) order(key string, raw json.RawMessage) hotreader.Order {
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
func (x *reference) count(key string, raw json.RawMessage) int {
	if !hotreader.IsNumber(raw) {
		x.bad("%s is %s; want a whole number", key, jsonKind(string(raw)))
		return 0
	}
	v, _, ok := hotreader.Integer.Convert(hotreader.NumberValue(raw), nil)
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

func (x *reference) filters(key string, raw json.RawMessage) []hotreader.Filter {
	var filters []hotreader.Filter
	for i, item := range x.list(key, raw, hotreader.MaxFilters) {
		at := fmt.Sprintf("%s[%d]", key, i)
		var f hotreader.Filter
		has := x.object(at, item, func(key string, value json.RawMessage) {
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
		if has == nil {
			continue
		}
		if has["property_name"] == has["propertyName"] {
			x.bad("%s needs property_name, once", at)
		}
		for _, key := range []string{"operator", "value"} {
			if !has[key] {
				x.bad("%s.%s is missing", at, key)
			}
		}
		filters = append(filters, f)
	}
	return filters
}

// value reads a bare JSON value, or TwinMaker's object of one.
func (x *reference) value(key string, raw json.RawMessage) hotreader.Value {
	switch raw[0] {
	case '"':
		return hotreader.StringValue([]byte(unquoteReference(raw)))
	case 't':
		return hotreader.BoolValue(true)
	case 'f':
		return hotreader.BoolValue(false)
	case '{':
		return x.typedValue(key, raw)
	}
	if hotreader.IsNumber(raw) {
		return hotreader.NumberValue(raw)
	}
	x.bad("%s is %s; want a number, a string or a boolean", key, jsonKind(string(raw)))
	return hotreader.Value{}
}

func (x *reference) typedValue(key string, raw json.RawMessage) hotreader.Value {
	want := map[string]hotreader.Kind{"doubleValue": hotreader.Number, "integerValue": hotreader.Number,
		"longValue": hotreader.Number, "booleanValue": hotreader.Bool, "stringValue": hotreader.String}
	var v hotreader.Value
	n := 0
	has := x.object(key, raw, func(name string, value json.RawMessage) {
		kind, ok := want[name]
		switch {
		case !ok || value[0] == 'n':
		case value[0] == '{':
			x.bad("%s.%s is an object; want a value", key, name)
		default:
			n++
			if v = x.value(key+"."+name, value); v.Kind() != kind {
				x.bad("%s.%s is %s; want a %s", key, name, jsonKind(string(value)), kind)
			}
		}
	})
	if has != nil && n != 1 {
		x.bad("%s has %d values; want one of doubleValue, integerValue, longValue, booleanValue, stringValue", key, n)
	}
	return v
}

// interpolation reads the step, in either spelling of its keys.
func (x *reference) interpolation(key string, raw json.RawMessage) time.Duration {
	var step int
	kind := "LINEAR"
	has := x.object(key, raw, func(name string, value json.RawMessage) {
		switch name {
		case "interpolation_type", "interpolationType":
			kind = x.text(key+"."+name, value)
		case "interval_in_seconds", "intervalInSeconds":
			step = x.count(key+"."+name, value)
		}
	})
	if has == nil {
		return 0
	}
	if kind != "LINEAR" && kind != "" {
		x.bad("%s of type %.40q is unknown; want LINEAR", key, kind)
	}
	if !has["interval_in_seconds"] && !has["intervalInSeconds"] {
		x.bad("%s has no interval_in_seconds", key)
	}
	return time.Duration(step) * time.Second
}
