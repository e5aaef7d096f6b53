package twinmaker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"hotreader"
	"hotreader/internal/jsontext"
)

// dataValue is TwinMaker's DataValue. Events carry it with null for the kinds
// that it is not.
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

const wantDataValue = "want one of doubleValue, integerValue, longValue, stringValue, booleanValue"

// empty reports whether d holds nothing at all.
func (d *dataValue) empty() bool {
	for _, raw := range []json.RawMessage{d.Double, d.Integer, d.Long, d.String, d.Boolean, d.List, d.Map, d.Relationship, d.Expression} {
		if !isNull(raw) {
			return false
		}
	}
	return true
}

// value returns the one value that d holds. Lenient, a number may be text;
// text that is no number at all (NaN, Infinity) is then null.
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
		return hotreader.Value{}, fmt.Errorf("is %s; want a number", what(raw))
	}
	return hotreader.NumberValue(text), nil
}

func readString(raw json.RawMessage) (hotreader.Value, error) {
	if raw[0] != '"' {
		return hotreader.Value{}, fmt.Errorf("is %s; want a string", what(raw))
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
	return hotreader.Value{}, fmt.Errorf("is %s; want true or false", what(raw))
}

// isNull reports whether a field is absent or null.
func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// what names a JSON value for a message.
func what(raw json.RawMessage) string {
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

// parseFilters reads TwinMaker's propertyFilters,
//
//	[{"propertyName":"temperature","operator":">","value":{"doubleValue":1.5}}]
//
// where value may also be a bare number, string or boolean. Numbers keep their
// digits. null is no filter. An error is of CodeInvalid and names each filter
// that is wrong.
func parseFilters(raw json.RawMessage) (filters []hotreader.Filter, err error) {
	const op = "filters"
	raw = bytes.TrimSpace(raw)
	if isNull(raw) {
		return nil, nil
	}
	var wrong []string
	bad := func(i int, format string, args ...any) {
		wrong = append(wrong, fmt.Sprintf("propertyFilters[%d]", i)+fmt.Sprintf(format, args...))
	}
	var list []json.RawMessage
	if raw[0] != '[' || json.Unmarshal(raw, &list) != nil {
		return nil, invalid(op, []string{"propertyFilters is " + what(raw) + "; want an array of {propertyName, operator, value}"})
	}
	if len(list) > hotreader.MaxFilters {
		return nil, invalid(op, []string{fmt.Sprintf("propertyFilters has %d filters; want at most %d", len(list), hotreader.MaxFilters)})
	}
	for i, raw := range list {
		var f struct {
			PropertyName json.RawMessage `json:"propertyName"`
			Operator     json.RawMessage `json:"operator"`
			Value        json.RawMessage `json:"value"`
		}
		if raw[0] != '{' || json.Unmarshal(raw, &f) != nil {
			bad(i, " is %s; want {propertyName, operator, value}", what(raw))
			continue
		}
		var name, operator string
		if json.Unmarshal(f.PropertyName, &name) != nil || name == "" {
			bad(i, ".propertyName is %s; want a property's name", what(f.PropertyName))
			continue
		}
		if json.Unmarshal(f.Operator, &operator) != nil || operator == "" {
			bad(i, ".operator is %s; want one of = != <> < <= > >=", what(f.Operator))
			continue
		}
		compare, err := hotreader.ParseOp(operator)
		if err != nil {
			bad(i, ".operator: %s", cause(err))
			continue
		}
		v, err := filterValue(f.Value)
		if err != nil {
			bad(i, ".value %v", err)
			continue
		}
		filters = append(filters, hotreader.Filter{Property: name, Op: compare, Value: v})
	}
	if err := invalid(op, wrong); err != nil {
		return nil, err
	}
	return filters, nil
}

func filterValue(raw json.RawMessage) (hotreader.Value, error) {
	if isNull(raw) {
		return hotreader.Value{}, fmt.Errorf("is %s; want a value to compare with", what(raw))
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
		return hotreader.Value{}, errors.New("is an array; want a single value")
	}
	return readNumber(raw, false)
}

// parseInterpolation reads TwinMaker's interpolation,
//
//	{"interpolationType":"LINEAR","intervalInSeconds":60}
//
// and returns the distance of its steps; 0 for null, which is none. An error is
// of CodeInvalid.
func parseInterpolation(raw json.RawMessage) (time.Duration, error) {
	raw = bytes.TrimSpace(raw)
	if isNull(raw) {
		return 0, nil
	}
	var i struct {
		Type     json.RawMessage `json:"interpolationType"`
		Interval json.RawMessage `json:"intervalInSeconds"`
	}
	if raw[0] != '{' || json.Unmarshal(raw, &i) != nil {
		return 0, invalid("interpolation", []string{"interpolation is " + what(raw) + "; want {interpolationType, intervalInSeconds}"})
	}
	var wrong []string
	var kind string
	if json.Unmarshal(i.Type, &kind) != nil || kind != "LINEAR" {
		wrong = append(wrong, "interpolation.interpolationType is "+what(i.Type)+"; want LINEAR")
	}
	seconds, err := strconv.ParseInt(string(i.Interval), 10, 64)
	if err != nil || seconds < 1 || seconds > int64(maxInterval/time.Second) {
		wrong = append(wrong, fmt.Sprintf("interpolation.intervalInSeconds is %s; want a whole number from 1 to %d", what(i.Interval), maxInterval/time.Second))
	}
	if err := invalid("interpolation", wrong); err != nil {
		return 0, err
	}
	return time.Duration(seconds) * time.Second, nil
}
