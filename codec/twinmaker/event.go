package twinmaker

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"hotreader"
	"hotreader/internal/component"
	"hotreader/internal/jsontext"
)

// DecodeHistory reads an event of TwinMaker's dataReader connector. It ignores unknown
// fields; of a field that comes twice the last one counts. One error of CodeInvalid
// (CodeTooLarge for more than MaxEvent bytes) names all that is wrong, field by field.
func (d Devices) DecodeHistory(ctx context.Context, event []byte) (Request, error) {
	return d.decode(ctx, "twinmaker: history event", event, false)
}

// DecodeLastEntry reads an event of TwinMaker's
// attributePropertyValueReaderByEntity connector, as DecodeHistory does.
func (d Devices) DecodeLastEntry(ctx context.Context, event []byte) (Request, error) {
	return d.decode(ctx, "twinmaker: last-entry event", event, true)
}

func (d Devices) decode(ctx context.Context, op string, body []byte, last bool) (Request, error) {
	e, err := parseEvent(op, body)
	if err != nil {
		return Request{}, err
	}
	var req Request
	q := &req.Query
	q.Last = last
	e.selected = e.readSelected()
	e.readProperties()
	q.Properties = e.selected
	q.Types = e.types
	e.readNames(&req)
	e.readReference(&req.Ref)
	req.Alarm = slices.ContainsFunc(e.externals, func(x external) bool { return x.name == component.AlarmKey })
	e.readFilters(&req)
	e.readTabular()
	req.NextToken = e.text("nextToken")
	req.Warnings = string(e.fields["warnings"]) == "true"
	if last {
		if req.NextToken != "" {
			e.bad("nextToken is given, but a last-entry answer has one page only")
		}
	} else {
		e.readHistory(&req)
	}
	if len(e.wrong) == 0 {
		if err := d.find(ctx, e, &req); err != nil {
			return Request{}, err
		}
		d.declare(&req)
		if err := d.filtered(op, &req); err != nil {
			return Request{}, err
		}
		if err := req.check(op); err != nil {
			return Request{}, err
		}
	}
	return req, invalid(op, e.wrong)
}

// event is an event taken apart into its fields, with what is wrong with them.
type event struct {
	op        string
	fields    map[string]json.RawMessage
	wrong     []string
	selected  []string
	types     []hotreader.Type          // of the selected properties
	described map[string]hotreader.Type // by property
	constant  map[string]bool           // properties that are not in records
	stored    map[string]string         // by property: its name in the store, if that differs
	externals []external                // sorted by name
}

// external is a property that says it holds the external id, and the id, "" if it has
// no value.
type external struct{ name, id string }

// readReference reads what the answer's properties belong to. Of an entity, a component
// within components has a path beside its name, or instead of it. Without an entity,
// it is the property that says it is an external id.
func (e *event) readReference(ref *Reference) {
	ref.EntityID, ref.ComponentName, ref.ComponentPath = e.text("entityId"), e.text("componentName"), e.text("componentPath")
	component := cmp.Or(ref.ComponentName, ref.ComponentPath)
	switch {
	case ref.EntityID != "" && component == "":
		e.bad("entityId comes without componentName; expected both or neither")
	case ref.EntityID == "" && component != "":
		e.bad("componentName comes without entityId; expected both or neither")
	}
}

// readTabular rejects conditions that an answer could only ignore.
func (e *event) readTabular() {
	var conditions map[string]json.RawMessage
	e.read("tabularConditions", e.fields["tabularConditions"], &conditions, "an object")
	for name, raw := range conditions {
		if !isNull(raw) && string(raw) != "[]" {
			e.bad("tabularConditions has %s, but this data connector has no tabular properties; leave it out", short(name))
		}
	}
}

func (e *event) bad(format string, args ...any) {
	e.wrong = append(e.wrong, fmt.Sprintf(format, args...))
}

func parseEvent(op string, body []byte) (*event, error) {
	fail := func(code hotreader.Code, format string, args ...any) error {
		return &hotreader.Error{Op: op, Code: code, Err: fmt.Errorf(format, args...)}
	}
	switch {
	case len(body) > MaxEvent:
		return nil, fail(hotreader.CodeTooLarge, "it has %d bytes; at most %d are taken", len(body), MaxEvent)
	case !utf8.Valid(body):
		return nil, fail(hotreader.CodeInvalid, "it is not valid UTF-8; expected a JSON object")
	case tooDeep(body):
		return nil, fail(hotreader.CodeInvalid, "it nests deeper than %d levels", maxDepth)
	}
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return nil, fail(hotreader.CodeInvalid, "it is empty; expected a JSON object")
	}
	e := &event{op: op}
	if err := json.Unmarshal(body, &e.fields); err != nil {
		if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return nil, fail(hotreader.CodeInvalid, "it is %s; expected a JSON object", describe(body))
		}
		return nil, fail(hotreader.CodeInvalid, "it is not JSON: %w", err)
	}
	if e.fields == nil {
		return nil, fail(hotreader.CodeInvalid, "it is null; expected a JSON object")
	}
	return e, nil
}

// tooDeep reports whether JSON nests deeper than maxDepth.
func tooDeep(body []byte) bool {
	deep, _ := shape(body)
	return deep
}

// shape reports whether JSON nests too deep, and counts the commas between its parts.
func shape(body []byte) (deep bool, commas int) {
	var n jsontext.Nesting
	for _, c := range body {
		if n.Add(c); n.Depth > maxDepth {
			return true, commas
		}
		if c == ',' && !n.Quoted {
			commas++
		}
	}
	return false, commas
}

// read reads a field into v. It reports whether the field is there and is what want
// describes; if it is something else, it notes the error.
func (e *event) read(field string, raw json.RawMessage, v any, want string) bool {
	if isNull(raw) {
		return false
	}
	if json.Unmarshal(raw, v) != nil {
		e.bad("%s is %s; expected %s", field, describe(raw), want)
		return false
	}
	return true
}

// text returns a field that must be a string; "" if it is absent or null.
func (e *event) text(name string) (s string) {
	e.read(name, e.fields[name], &s, "a string")
	return s
}

func (e *event) readSelected() []string {
	raw := e.fields["selectedProperties"]
	want := fmt.Sprintf("expected an array of 1 to %d property names", MaxSelected)
	var list []json.RawMessage
	if isNull(raw) || json.Unmarshal(raw, &list) != nil {
		e.bad("selectedProperties is %s; %s", describe(raw), want)
		return nil
	}
	if len(list) == 0 || len(list) > MaxSelected {
		e.bad("selectedProperties has %d names; %s", len(list), want)
		return nil
	}
	var names []string
	for i, raw := range list {
		var name string
		if isNull(raw) || json.Unmarshal(raw, &name) != nil || name == "" {
			e.bad("selectedProperties[%d] is %s; expected a property's name", i, describe(raw))
		} else if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// property is an event's description of a property.
type property struct {
	Definition struct {
		DataType struct {
			Type json.RawMessage `json:"type"`
		} `json:"dataType"`
		IsExternalID       json.RawMessage `json:"isExternalId"`
		IsTimeSeries       json.RawMessage `json:"isTimeSeries"`
		IsStoredExternally json.RawMessage `json:"isStoredExternally"`
		DefaultValue       json.RawMessage `json:"defaultValue"`
		Configuration      json.RawMessage `json:"configuration"`
	} `json:"definition"`
	Value json.RawMessage `json:"value"`
}

// readProperties reads the declared types of the selected properties, the stored names
// and the external ids. An event need not describe every selected property.
func (e *event) readProperties() {
	e.types, e.described, e.constant = make([]hotreader.Type, len(e.selected)), map[string]hotreader.Type{}, map[string]bool{}
	var properties map[string]json.RawMessage
	e.read("properties", e.fields["properties"], &properties, "an object of property definitions")
	series := map[string]bool{} // by property
	for name, raw := range properties {
		field := "properties." + short(name)
		var p property
		if err := json.Unmarshal(raw, &p); err != nil {
			if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && t.Field != "" {
				e.bad("%s.%s is of type %s; expected an object", field, t.Field, t.Value)
			} else {
				e.bad("%s is %s; expected an object", field, describe(raw))
			}
			continue
		}
		def := &p.Definition
		series[name] = string(def.IsTimeSeries) == "true"
		e.constant[name] = string(def.IsStoredExternally) == "false" && !series[name]
		e.readStored(field, name, def.Configuration)
		t, ok := dataType(def.DataType.Type)
		e.described[name] = t
		if i := slices.Index(e.selected, name); i >= 0 {
			e.types[i] = t
			if !ok {
				e.bad("%s.definition.dataType.type is %s; a selected property must be STRING, DOUBLE, INTEGER, LONG, BOOLEAN, LIST or MAP", field, describe(def.DataType.Type))
			}
		}
		e.readExternal(field, name, &p)
	}
	for name, isSeries := range series {
		base, ok := strings.CutSuffix(name, component.LatestSuffix)
		if ok && !isSeries && series[base] && e.stored[name] == "" {
			e.store(name, e.storedName(base))
		}
	}
	slices.SortFunc(e.externals, func(a, b external) int { return strings.Compare(a.name, b.name) })
	slices.Sort(e.wrong) // the map above has no order
}

// readExternal reads the external id, if the property holds it.
func (e *event) readExternal(field, name string, p *property) {
	switch flag := p.Definition.IsExternalID; {
	case isNull(flag) || string(flag) == "false":
	case string(flag) == "true":
		id := e.externalID(field+".value", p.Value)
		if id == "" {
			id = e.externalID(field+".definition.defaultValue", p.Definition.DefaultValue)
		}
		e.externals = append(e.externals, external{name, id})
	default:
		e.bad("%s.definition.isExternalId is %s; expected true or false", field, describe(flag))
	}
}

// StoredAs is the key in a property's configuration for its name in the store, if that
// differs from the property's own name.
const StoredAs = "storedAs"

// readStored reads a property's name in the store, if its configuration has one.
func (e *event) readStored(field, name string, raw json.RawMessage) {
	var configuration map[string]json.RawMessage
	e.read(field+".definition.configuration", raw, &configuration, "an object")
	raw = configuration[StoredAs]
	if isNull(raw) {
		return
	}
	var stored string
	if json.Unmarshal(raw, &stored) != nil || stored == "" {
		e.bad("%s.definition.configuration.%s is %s; expected the name of a stored property", field, StoredAs, describe(raw))
		return
	}
	e.store(name, stored)
}

func (e *event) store(name, stored string) {
	if e.stored == nil {
		e.stored = map[string]string{}
	}
	e.stored[name] = stored
}

func (e *event) storedName(name string) string {
	if stored := e.stored[name]; stored != "" {
		return stored
	}
	return name
}

// readNames replaces the query's properties by their names in the store, each once. If
// any differ, the request gets the names for the answer.
func (e *event) readNames(req *Request) {
	q := &req.Query
	if !slices.ContainsFunc(q.Properties, func(name string) bool { return e.storedName(name) != name }) {
		return
	}
	selected, types := q.Properties, q.Types
	q.Properties, q.Types = nil, nil
	for i, name := range selected {
		stored := e.storedName(name)
		column := slices.Index(q.Properties, stored)
		switch {
		case column < 0:
			column = len(q.Properties)
			q.Properties, q.Types = append(q.Properties, stored), append(q.Types, types[i])
		case !q.Last:
			e.bad("selectedProperties has two that are both %q in the store; expected each once", stored)
		case q.Types[column] != types[i]:
			e.bad("properties.%s is declared otherwise than another that is %q in the store, too; expected one type, or one request for each", short(name), stored)
		}
		req.Names = append(req.Names, Name{name, column})
	}
}

// dataTypes are TwinMaker's words for types. Lists and maps are stored, and answered, as
// the text of their JSON.
var dataTypes = map[string]hotreader.Type{
	"STRING": hotreader.ShortString, "DOUBLE": hotreader.Double, "INTEGER": hotreader.Integer, "LONG": hotreader.Long,
	"BOOLEAN": hotreader.Boolean, "LIST": hotreader.ShortString, "MAP": hotreader.ShortString,
}

// dataType returns a property's type, and whether a selected property may have it.
func dataType(raw json.RawMessage) (hotreader.Type, bool) {
	var word string
	_ = json.Unmarshal(raw, &word) // what is not a string is not among them
	t, ok := dataTypes[word]
	return t, ok || isNull(raw)
}

// externalID returns the id in a DataValue; "" if there is none.
func (e *event) externalID(field string, raw json.RawMessage) string {
	var d dataValue
	if !e.read(field, raw, &d, "{stringValue}") || d.empty() { // TwinMaker also sends an empty DataValue for no value
		return ""
	}
	v, err := d.value(false)
	if err != nil {
		e.bad("%s, the external id, %v", field, err)
	}
	return string(v.Text())
}

// readHistory reads the fields that only a history event has.
func (e *event) readHistory(req *Request) {
	q := &req.Query
	q.Start = e.time("startTime", "startDateTime")
	q.End = e.time("endTime", "endDateTime")
	if !q.Start.IsZero() && !q.End.IsZero() && q.Start.After(q.End) {
		e.bad("startTime %s is after endTime %s", hotreader.AppendTime(nil, q.Start), hotreader.AppendTime(nil, q.End))
	}
	switch raw := e.fields["orderByTime"]; {
	case isNull(raw) || string(raw) == `"ASCENDING"`:
	case string(raw) == `"DESCENDING"`:
		q.Order = hotreader.Descending
	default:
		e.bad("orderByTime is %s; expected ASCENDING or DESCENDING", describe(raw))
	}
	if raw := e.fields["maxResults"]; !isNull(raw) {
		n, ok := whole(raw, 1, MaxResults)
		if !ok {
			e.bad("maxResults is %s; expected a whole number from 1 to %d", describe(raw), MaxResults)
		}
		req.MaxResults = int(n)
	}
	if n := len(req.NextToken); n > MaxTokenChars {
		e.bad("nextToken has %d characters; expected at most %d", n, MaxTokenChars)
	}
	req.Interpolation = e.readInterpolation(e.fields["interpolation"])
}

// time returns the time in a field in ISO 8601 or, if that is absent, in the deprecated
// one in epoch seconds; zero if both are absent.
func (e *event) time(name, epochName string) time.Time {
	if raw := e.fields[name]; !isNull(raw) {
		var text string
		if !e.read(name, raw, &text, "a time in ISO 8601") {
			return time.Time{}
		}
		t, err := hotreader.ParseTime([]byte(text))
		if err != nil {
			e.bad("%s: %v", name, err)
			return time.Time{}
		}
		return closed(t)
	}
	raw := e.fields[epochName]
	if isNull(raw) {
		return time.Time{}
	}
	// Years 0 to 9999: ISO 8601 as used here has no others.
	seconds, ok := whole(raw, -62_167_219_200, 253_402_300_799)
	if !ok {
		e.bad("%s is %s; expected whole seconds since 1970, of the years 0 to 9999", epochName, describe(raw))
		return time.Time{}
	}
	return closed(time.Unix(seconds, 0).UTC())
}

// closed keeps the beginning of the year 1, which is Go's zero time, from being taken
// for an open bound.
func closed(t time.Time) time.Time {
	if t.IsZero() {
		return t.Add(-1)
	}
	return t
}
