package twinmaker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"hotreader"
	"hotreader/internal/jsontext"
)

// dataValue is TwinMaker's DataValue. In events the kinds that it does not hold are
// null.
type dataValue struct {
	Double       json.RawMessage `json:"doubleValue"`
	Integer      json.RawMessage `json:"integerValue"`
	Long         json.RawMessage `json:"longValue"`
	String       json.RawMessage `json:"stringValue"`
	Boolean      json.RawMessage `json:"booleanValue"`
	List         json.RawMessage `json:"listValue"`
	Map          json.RawMessage `json:"mapValue"`
	Relationship json.RawMessage `json:"relationshipValue"`
	Expression   json.RawMessage `json:"expression"`
}

const wantDataValue = "expected one of doubleValue, integerValue, longValue, stringValue, booleanValue"

// empty reports whether d holds nothing at all.
func (d *dataValue) empty() bool {
	for _, raw := range []json.RawMessage{d.Double, d.Integer, d.Long, d.String, d.Boolean, d.List, d.Map, d.Relationship, d.Expression} {
		if !isNull(raw) {
			return false
		}
	}
	return true
}

// value returns the one value that d holds. lenient accepts numbers as text; text that
// is not a number (NaN, Infinity) is then null.
func (d *dataValue) value(lenient bool) (v hotreader.Value, err error) {
	held := ""
	hold := func(key string, raw json.RawMessage, read func(json.RawMessage) (hotreader.Value, error)) {
		if isNull(raw) || err != nil {
			return
		}
		if held != "" {
			err = fmt.Errorf("holds both %s and %s; %s", held, key, wantDataValue)
			return
		}
		held = key
		if read == nil {
			err = fmt.Errorf("holds %s; %s", key, wantDataValue)
		} else if v, err = read(raw); err != nil {
			err = fmt.Errorf("has a %s that %w", key, err)
		}
	}
	number := func(raw json.RawMessage) (hotreader.Value, error) { return readNumber(raw, lenient) }
	hold("doubleValue", d.Double, number)
	hold("integerValue", d.Integer, number)
	hold("longValue", d.Long, number)
	hold("stringValue", d.String, readString)
	hold("booleanValue", d.Boolean, readBool)
	hold("listValue", d.List, nil)
	hold("mapValue", d.Map, nil)
	hold("relationshipValue", d.Relationship, nil)
	hold("expression", d.Expression, nil)
	if err == nil && held == "" {
		err = errors.New("holds no value; " + wantDataValue)
	}
	return v, err
}

func readNumber(raw json.RawMessage, lenient bool) (hotreader.Value, error) {
	text := []byte(raw)
	if lenient && raw[0] == '"' {
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return hotreader.Value{}, err
		}
		if text = []byte(strings.TrimSpace(s)); !hotreader.IsNumber(text) {
			return hotreader.Value{}, nil
		}
	}
	if !hotreader.IsNumber(text) {
		return hotreader.Value{}, fmt.Errorf("is %s; expected a number", describe(raw))
	}
	return hotreader.NumberValue(text), nil
}

func readString(raw json.RawMessage) (hotreader.Value, error) {
	if raw[0] != '"' {
		return hotreader.Value{}, fmt.Errorf("is %s; expected a string", describe(raw))
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return hotreader.StringValue([]byte(s)), err
}

func readBool(raw json.RawMessage) (hotreader.Value, error) {
	switch string(raw) {
	case "true":
		return hotreader.BoolValue(true), nil
	case "false":
		return hotreader.BoolValue(false), nil
	}
	return hotreader.Value{}, fmt.Errorf("is %s; expected true or false", describe(raw))
}

// whole reads a whole number from least to most; 0 and false if it is none.
func whole(raw json.RawMessage, least, most int64) (int64, bool) {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || n < least || n > most {
		return 0, false
	}
	return n, true
}

// isNull reports whether a field is absent or null.
func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// describe describes a JSON value for a message.
func describe(raw json.RawMessage) string {
	switch kind := jsontext.KindOf(raw); kind {
	case jsontext.String:
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return string(kind)
		}
		return "the string " + strconv.Quote(short(s))
	case jsontext.Boolean:
		return "the boolean " + short(string(bytes.TrimSpace(raw)))
	case jsontext.Number:
		return "the number " + short(string(bytes.TrimSpace(raw)))
	default:
		return string(kind)
	}
}

// short cuts a text that a message quotes.
func short(s string) string {
	const most = 40
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// readFilters reads TwinMaker's propertyFilters,
//
//	[{"propertyName":"temperature","operator":">","value":{"doubleValue":1.5}}]
//
// where value may also be a bare number, string or boolean. Numbers keep their
// digits. null means no filters. A filter that no row could pass is an error: one on a
// property that the component does not have or that no record has, or against a value
// that the property cannot have. A filter on the external id is of devices.
func (e *event) readFilters(req *Request) {
	var list []json.RawMessage
	if !e.read("propertyFilters", e.fields["propertyFilters"], &list, "an array of {propertyName, operator, value}") {
		return
	}
	if len(list) > hotreader.MaxFilters {
		e.bad("propertyFilters has %d filters; expected at most %d", len(list), hotreader.MaxFilters)
		return
	}
	for i, raw := range list {
		field := fmt.Sprintf("propertyFilters[%d]", i)
		f, err := readFilter(raw)
		if err != nil {
			e.bad("%s%v", field, err)
			continue
		}
		t, known := e.described[f.Property]
		if i := slices.Index(e.selected, f.Property); i >= 0 {
			t, known = e.types[i], true
		}
		ofDevice := slices.ContainsFunc(e.externals, func(x external) bool { return x.name == f.Property })
		if ofDevice {
			t = hotreader.ShortString
		}
		switch {
		case !known:
			e.bad("%s.propertyName is %q, which is not among the component's properties", field, short(f.Property))
		case !ofDevice && e.constant[f.Property]:
			e.bad("%s.propertyName is %q, which is a constant and in no record; leave the filter out", field, short(f.Property))
		case !canHave(t, f.Value):
			e.bad("%s.value is %s, which property %q, declared %v, cannot have", field, short(f.Value.String()), short(f.Property), t)
		case ofDevice && f.Value.Kind() != hotreader.String:
			e.bad("%s.value is %s, but property %q is an external id; expected a stringValue", field, short(f.Value.String()), short(f.Property))
		}
		if ofDevice {
			f.Value = hotreader.StringValue(f.Value.Text())
			req.DeviceFilters = append(req.DeviceFilters, f)
			continue
		}
		f.Property = e.storedName(f.Property)
		req.Query.Filters = append(req.Query.Filters, f)
	}
}

// canHave reports whether a property of type t can have the value v.
func canHave(t hotreader.Type, v hotreader.Value) bool {
	if t == hotreader.Boolean {
		return v.Kind() == hotreader.Bool
	}
	_, _, ok := t.Convert(v, nil)
	return ok
}

// readFilter reads one filter. Its error continues the name of the filter's field.
func readFilter(raw json.RawMessage) (f hotreader.Filter, err error) {
	var in struct {
		PropertyName json.RawMessage `json:"propertyName"`
		Operator     json.RawMessage `json:"operator"`
		Value        json.RawMessage `json:"value"`
	}
	if raw[0] != '{' || json.Unmarshal(raw, &in) != nil {
		return f, fmt.Errorf(" is %s; expected {propertyName, operator, value}", describe(raw))
	}
	var operator string
	if json.Unmarshal(in.PropertyName, &f.Property) != nil || f.Property == "" {
		return f, fmt.Errorf(".propertyName is %s; expected a property's name", describe(in.PropertyName))
	}
	if json.Unmarshal(in.Operator, &operator) != nil || operator == "" {
		return f, fmt.Errorf(".operator is %s; expected one of = != <> < <= > >=", describe(in.Operator))
	}
	if f.Op, err = hotreader.ParseOp(operator); err != nil {
		return f, fmt.Errorf(".operator: %s", cause(err))
	}
	if f.Value, err = filterValue(in.Value); err != nil {
		return f, fmt.Errorf(".value %w", err)
	}
	return f, nil
}

func filterValue(raw json.RawMessage) (hotreader.Value, error) {
	if isNull(raw) {
		return hotreader.Value{}, fmt.Errorf("is %s; expected a value to compare with", describe(raw))
	}
	switch raw[0] {
	case '{':
		var d dataValue
		if err := json.Unmarshal(raw, &d); err != nil {
			return hotreader.Value{}, err
		}
		return d.value(false)
	case '"':
		return readString(raw)
	case 't', 'f':
		return readBool(raw)
	case '[':
		return hotreader.Value{}, errors.New("is an array; expected a single value")
	}
	return readNumber(raw, false)
}

// readInterpolation reads TwinMaker's interpolation,
//
//	{"interpolationType":"LINEAR","intervalInSeconds":60}
//
// and returns the distance of its steps; 0 for null.
func (e *event) readInterpolation(raw json.RawMessage) time.Duration {
	var i struct {
		Type     json.RawMessage `json:"interpolationType"`
		Interval json.RawMessage `json:"intervalInSeconds"`
	}
	if !e.read("interpolation", raw, &i, "{interpolationType, intervalInSeconds}") {
		return 0
	}
	if string(i.Type) != `"LINEAR"` {
		e.bad("interpolation.interpolationType is %s; expected LINEAR", describe(i.Type))
	}
	seconds, ok := whole(i.Interval, 1, int64(maxInterval/time.Second))
	if !ok {
		e.bad("interpolation.intervalInSeconds is %s; expected a whole number from 1 to %d", describe(i.Interval), maxInterval/time.Second)
	}
	return time.Duration(seconds) * time.Second
}
