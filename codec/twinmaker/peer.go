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
)

// ParseHistoryAnswer reads the answer to q of an older peer, which knows only
// TwinMaker's JSON. It returns the points of q.Properties as rows, always ascending by
// time, one per instant; of two points at one instant the later in the answer stands.
// The rows own their memory. nextToken is "" on the last page.
//
// It accepts keys in any letter case (DoubleValue), numbers as text and, if time is
// absent, timestamp in epoch seconds. It ignores text that is not a number (NaN), and
// properties that q does not name. Anything else that is not in TwinMaker's format is
// an error of CodeProtocol, which says what came instead. Range, filters and types are
// not applied.
func ParseHistoryAnswer(body []byte, q hotreader.Query) (rows []hotreader.Row, nextToken string, err error) {
	values, nextToken, err := openAnswer(body, '[')
	if err != nil {
		return nil, "", err
	}
	var list []peerSeries
	if err := json.Unmarshal(values, &list); err != nil {
		return nil, "", shapeError(err)
	}
	var cells []peerCell
	for _, series := range list {
		name := series.Reference.PropertyName
		if name == "" {
			return nil, "", protocol("a series without entityPropertyReference.propertyName")
		}
		if at := slices.Index(q.Properties, name); at >= 0 {
			if cells, err = series.appendTo(cells, at); err != nil {
				return nil, "", err
			}
		}
	}
	slices.SortStableFunc(cells, func(a, b peerCell) int { return a.time.Compare(b.time) })
	n := len(q.Properties)
	var slab []hotreader.Value
	for _, c := range cells {
		if len(rows) == 0 || !rows[len(rows)-1].Time.Equal(c.time) {
			if len(slab) < n {
				slab = make([]hotreader.Value, max(n, min(len(cells), 1024)*n))
			}
			rows = append(rows, hotreader.Row{Time: c.time, Values: slab[:n:n]})
			slab = slab[n:]
		}
		rows[len(rows)-1].Values[c.property] = c.value
	}
	return rows, nextToken, nil
}

// peerSeries is the series of one property in an answer.
type peerSeries struct {
	Reference struct {
		PropertyName string `json:"propertyName"`
	} `json:"entityPropertyReference"`
	Values []struct {
		Time      json.RawMessage `json:"time"`
		Timestamp json.RawMessage `json:"timestamp"`
		Value     *dataValue      `json:"value"`
	} `json:"values"`
}

// peerCell is a point of one property.
type peerCell struct {
	time     time.Time
	property int
	value    hotreader.Value
}

// appendTo appends the series' points. property is its index in the query.
func (s *peerSeries) appendTo(cells []peerCell, property int) ([]peerCell, error) {
	name := short(s.Reference.PropertyName)
	for i, p := range s.Values {
		t, ok := peerTime(p.Time, p.Timestamp)
		if !ok {
			return nil, protocol("%s: point %d has %s for its time", name, i+1, describe(p.Time))
		}
		if p.Value == nil {
			return nil, protocol("%s: point %d has no value", name, i+1)
		}
		v, err := p.Value.value(true)
		if err != nil {
			return nil, protocol("%s: point %d %v", name, i+1, err)
		}
		cells = append(cells, peerCell{t, property, v})
	}
	return cells, nil
}

// ParseLastEntryAnswer reads an older peer's last-entry answer as rows, newest first.
// TwinMaker's format has no times there, so it is one row of zero time; if the peer
// adds times, there is one row for each. It accepts what ParseHistoryAnswer accepts, and
// ignores an entry without a value.
func ParseLastEntryAnswer(body []byte, q hotreader.Query) (rows []hotreader.Row, err error) {
	values, _, err := openAnswer(body, '{')
	if err != nil {
		return nil, err
	}
	var entries map[string]struct {
		Time      json.RawMessage `json:"time"`
		Timestamp json.RawMessage `json:"timestamp"`
		Value     *dataValue      `json:"propertyValue"`
	}
	if err := json.Unmarshal(values, &entries); err != nil {
		return nil, shapeError(err)
	}
	for at, name := range q.Properties {
		e, ok := entries[name]
		if !ok || e.Value == nil {
			continue
		}
		t, ok := peerTime(e.Time, e.Timestamp)
		if !ok && !(isNull(e.Time) && isNull(e.Timestamp)) {
			return nil, protocol("%s has %s for its time", short(name), describe(e.Time))
		}
		v, err := e.Value.value(true)
		if err != nil {
			return nil, protocol("%s %v", short(name), err)
		}
		i := slices.IndexFunc(rows, func(r hotreader.Row) bool { return r.Time.Equal(t) })
		if i < 0 {
			i = len(rows)
			rows = append(rows, hotreader.Row{Time: t, Values: make([]hotreader.Value, len(q.Properties))})
		}
		rows[i].Values[at] = v
	}
	slices.SortStableFunc(rows, func(a, b hotreader.Row) int { return b.Time.Compare(a.Time) })
	return rows, nil
}

// openAnswer returns an answer's propertyValues, which must begin with open, and its
// nextToken.
func openAnswer(body []byte, open byte) (values json.RawMessage, nextToken string, err error) {
	body = bytes.TrimSpace(body)
	switch {
	case len(body) == 0:
		return nil, "", protocol("an empty body")
	case body[0] == '<':
		return nil, "", protocol("HTML or XML")
	case body[0] != '{' && !json.Valid(body):
		return nil, "", protocol("text that is not JSON")
	case body[0] != '{':
		return nil, "", protocol("%s", describe(body))
	case tooDeep(body):
		return nil, "", protocol("JSON that nests deeper than %d levels", maxDepth)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, "", protocol("broken or cut JSON (%d bytes)", len(body))
	}
	values, ok := fields["propertyValues"]
	if !ok {
		var names []string
		for name := range fields {
			names = append(names, strconv.Quote(short(name)))
		}
		slices.Sort(names)
		return nil, "", protocol("an object without propertyValues (it has: %s)", strings.Join(names[:min(len(names), 10)], ", "))
	}
	if values[0] != open {
		return nil, "", protocol("propertyValues is %s", describe(values))
	}
	if raw := fields["nextToken"]; !isNull(raw) && json.Unmarshal(raw, &nextToken) != nil {
		return nil, "", protocol("nextToken is %s", describe(raw))
	} else if string(raw) == `""` && open == '[' {
		return nil, "", protocol("an empty nextToken; it must be left out at the end")
	}
	return values, nextToken, nil
}

func peerTime(text, epoch json.RawMessage) (time.Time, bool) {
	if !isNull(text) {
		var s string
		if json.Unmarshal(text, &s) != nil {
			return time.Time{}, false
		}
		t, err := hotreader.ParseTime([]byte(s))
		return t, err == nil
	}
	seconds, err := strconv.ParseFloat(string(epoch), 64)
	if err != nil || seconds < -62_167_219_200 || seconds > 253_402_300_799 {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(seconds * 1000)).UTC(), true
}

func shapeError(err error) error {
	if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return protocol("propertyValues: %s is of type %s", t.Field, t.Value)
	}
	return protocol("propertyValues: %v", err)
}

// protocol returns an error that says what came instead of TwinMaker's shape.
func protocol(format string, args ...any) error {
	return &hotreader.Error{Op: "peer's answer", Code: hotreader.CodeProtocol,
		Err: fmt.Errorf("want TwinMaker's JSON, but there came: "+format, args...)}
}
