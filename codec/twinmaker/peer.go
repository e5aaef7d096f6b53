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

// PeerAnswer is the answer of an older peer, which knows only TwinMaker's JSON.
type PeerAnswer struct {
	Rows      []hotreader.Row     // with the values of the query's properties; they own their memory
	NextToken string              // "" on the last page
	Warnings  []hotreader.Warning // the peer's, and of text in place of a number
}

// ParseHistoryAnswer reads an older peer's answer to q. Rows come ascending by time,
// one per instant; of two points at one instant the later in the answer wins.
//
// It accepts keys in any letter case (DoubleValue), numbers as text and, if time is
// absent, timestamp in epoch seconds. Text that is not a number (NaN) is no point, and
// counted as left out. Properties that q does not name are ignored, unless there are no
// others. Anything else that is not in TwinMaker's format is an error of CodeProtocol,
// which says what came instead. Range, filters and types are not applied.
func ParseHistoryAnswer(body []byte, q hotreader.Query) (PeerAnswer, error) {
	values, a, err := openAnswer(body, '[', &q)
	if err != nil {
		return PeerAnswer{}, err
	}
	var list []peerSeries
	if err := json.Unmarshal(values, &list); err != nil {
		return PeerAnswer{}, shapeError(err)
	}
	var cells []peerCell
	asked := len(list) == 0
	for _, series := range list {
		name := series.Reference.PropertyName
		if name == "" {
			return PeerAnswer{}, protocol("a series without entityPropertyReference.propertyName")
		}
		if at := slices.Index(q.Properties, name); at >= 0 {
			asked = true
			if cells, err = series.appendTo(cells, at); err != nil {
				return PeerAnswer{}, err
			}
		}
	}
	if !asked {
		return PeerAnswer{}, protocol("only properties that were not requested, as %q", short(list[0].Reference.PropertyName))
	}
	slices.SortStableFunc(cells, func(a, b peerCell) int { return a.time.Compare(b.time) })
	n := len(q.Properties)
	rows := instants(cells)
	if rows*n > maxCells {
		return PeerAnswer{}, tooMuch("%d rows of %d properties, more than %d values", rows, n, maxCells)
	}
	var slab []hotreader.Value
	lost := make([]int64, n) // points that the peer gave, but whose value is none
	a.Rows = make([]hotreader.Row, 0, rows)
	for _, c := range cells {
		if len(a.Rows) == 0 || !a.Rows[len(a.Rows)-1].Time.Equal(c.time) {
			if len(slab) < n {
				slab = make([]hotreader.Value, max(n, min(len(cells), 1024)*n))
			}
			a.Rows = append(a.Rows, hotreader.Row{Time: c.time, Values: slab[:n:n]})
			slab = slab[n:]
		}
		a.Rows[len(a.Rows)-1].Values[c.property] = c.value
		if c.value.IsNull() {
			lost[c.property]++
		}
	}
	for i, count := range lost {
		a.noNumber(q.Properties[i], count)
	}
	return a, nil
}

// instants counts the different times of cells in their order.
func instants(cells []peerCell) (n int) {
	for i := range cells {
		if i == 0 || !cells[i].time.Equal(cells[i-1].time) {
			n++
		}
	}
	return n
}

// noNumber warns of points that the peer gave, but whose value is none.
func (a *PeerAnswer) noNumber(property string, count int64) {
	if count > 0 {
		a.Warnings = append(a.Warnings, hotreader.Warning{Reason: hotreader.Unreadable, Property: property, Count: count})
	}
}

// peerSeries is the series of one property in an answer.
type peerSeries struct {
	Reference struct {
		PropertyName string `json:"propertyName"`
	} `json:"entityPropertyReference"`
	Values peerPoints `json:"values"`
}

// peerPoints is a list of points, up to the first that is wrong. Each is converted as it
// is decoded: as JSON it takes several times the memory.
type peerPoints struct {
	cells []peerCell
	wrong error
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *peerPoints) UnmarshalJSON(text []byte) error {
	if isNull(text) {
		return nil
	}
	if text[0] != '[' {
		return fmt.Errorf("values is %s", describe(text))
	}
	p.cells = make([]peerCell, 0, bytes.Count(text, []byte{','})/2+1) // a point has a comma within and one after it
	d := json.NewDecoder(bytes.NewReader(text))
	_, _ = d.Token() // the bracket
	for p.wrong == nil && d.More() {
		var point struct {
			Time      json.RawMessage `json:"time"`
			Timestamp json.RawMessage `json:"timestamp"`
			Value     *dataValue      `json:"value"`
		}
		if err := d.Decode(&point); err != nil {
			return err
		}
		var c peerCell
		var ok bool
		if c.time, ok = peerTime(point.Time, point.Timestamp); !ok {
			p.wrong = fmt.Errorf("has %s for its time", describe(point.Time))
		} else if point.Value == nil {
			p.wrong = errors.New("has no value")
		} else {
			c.value, p.wrong = point.Value.value(true)
		}
		p.cells = append(p.cells, c)
	}
	return nil
}

// peerCell is a point of one property.
type peerCell struct {
	time     time.Time
	property int
	value    hotreader.Value
}

// appendTo appends the series' points. property is its index in the query.
func (s *peerSeries) appendTo(cells []peerCell, property int) ([]peerCell, error) {
	own := s.Values.cells
	if s.Values.wrong != nil {
		return nil, protocol("%s: point %d %v", short(s.Reference.PropertyName), len(own), s.Values.wrong)
	}
	for i := range own {
		own[i].property = property
	}
	if len(cells) == 0 {
		return own, nil
	}
	return append(cells, own...), nil
}

// ParseLastEntryAnswer reads an older peer's last-entry answer as rows, newest first.
// TwinMaker's format has no times there, so it is one row of zero time; if the peer
// adds times, there is one row for each. It accepts what ParseHistoryAnswer accepts, and
// ignores an entry without a value.
func ParseLastEntryAnswer(body []byte, q hotreader.Query) (PeerAnswer, error) {
	values, a, err := openAnswer(body, '{', &q)
	if err != nil {
		return PeerAnswer{}, err
	}
	var entries map[string]json.RawMessage
	if err := json.Unmarshal(values, &entries); err != nil {
		return PeerAnswer{}, shapeError(err)
	}
	asked := len(entries) == 0
	for at, name := range q.Properties {
		text, ok := entries[name]
		if !ok {
			continue
		}
		asked = true
		var e struct {
			Time      json.RawMessage `json:"time"`
			Timestamp json.RawMessage `json:"timestamp"`
			Value     *dataValue      `json:"propertyValue"`
		}
		if err := json.Unmarshal(text, &e); err != nil {
			return PeerAnswer{}, shapeError(err)
		}
		if e.Value == nil {
			continue
		}
		t, ok := peerTime(e.Time, e.Timestamp)
		if !ok && !(isNull(e.Time) && isNull(e.Timestamp)) {
			return PeerAnswer{}, protocol("%s has %s for its time", short(name), describe(e.Time))
		}
		v, err := e.Value.value(true)
		if err != nil {
			return PeerAnswer{}, protocol("%s %v", short(name), err)
		}
		if v.IsNull() {
			a.noNumber(name, 1)
		}
		i := slices.IndexFunc(a.Rows, func(r hotreader.Row) bool { return r.Time.Equal(t) })
		if i < 0 {
			i = len(a.Rows)
			a.Rows = append(a.Rows, hotreader.Row{Time: t, Values: make([]hotreader.Value, len(q.Properties))})
		}
		a.Rows[i].Values[at] = v
	}
	if !asked {
		return PeerAnswer{}, protocol("only properties that were not requested")
	}
	slices.SortStableFunc(a.Rows, func(a, b hotreader.Row) int { return b.Time.Compare(a.Time) })
	return a, nil
}

// openAnswer checks the outside of an answer to q and returns its propertyValues,
// which must begin with open.
func openAnswer(body []byte, open byte, q *hotreader.Query) (values json.RawMessage, a PeerAnswer, err error) {
	if err := checkAnswer(body); err != nil {
		return nil, a, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, a, protocol("broken or cut JSON (%d bytes)", len(body))
	}
	values, ok := fields["propertyValues"]
	if !ok {
		var names []string
		for name := range fields {
			names = append(names, strconv.Quote(short(name)))
		}
		slices.Sort(names)
		return nil, a, protocol("an object without propertyValues (it has: %s)", strings.Join(names[:min(len(names), 10)], ", "))
	}
	if values[0] != open {
		return nil, a, protocol("propertyValues is %s", describe(values))
	}
	if raw := fields["nextToken"]; !isNull(raw) && json.Unmarshal(raw, &a.NextToken) != nil {
		return nil, a, protocol("nextToken is %s", describe(raw))
	} else if string(raw) == `""` && open == '[' {
		return nil, a, protocol("an empty nextToken; it must be left out at the end")
	}
	a.Warnings, err = readWarnings(fields["warnings"], q)
	return values, a, err
}

// checkAnswer says what body is if it is no JSON object.
func checkAnswer(body []byte) error {
	body = bytes.TrimSpace(body)
	switch {
	case len(body) == 0:
		return protocol("an empty body")
	case body[0] == '<':
		return protocol("HTML or XML")
	case body[0] != '{' && !json.Valid(body):
		return protocol("text that is not JSON")
	case body[0] != '{':
		return protocol("%s", describe(body))
	}
	switch deep, commas := shape(body); {
	case deep:
		return protocol("JSON that nests deeper than %d levels", maxDepth)
	case commas > maxParts:
		return tooMuch("JSON of more than %d parts", maxParts)
	}
	return nil
}

// What a peer's answer may become in memory. A point of 60 bytes has two commas, so
// what takes more parts, or a row for each point of many properties, is no answer of
// 8 MB that a peer sends.
const (
	maxParts = 400_000   // members and elements
	maxCells = 2_000_000 // rows times properties
)

func tooMuch(format string, args ...any) error {
	return &hotreader.Error{Op: "peer's answer", Code: hotreader.CodeTooLarge, Err: fmt.Errorf(format+"; ask for less", args...)}
}

// Bounds of a peer's warnings.
const (
	maxWarnings = 1024
	maxCount    = 1 << 40
	maxDetail   = 1000
)

// readWarnings reads a peer's warnings, but for those of properties that the query
// does not select.
func readWarnings(raw json.RawMessage, q *hotreader.Query) ([]hotreader.Warning, error) {
	var all []hotreader.Warning
	if !isNull(raw) && json.Unmarshal(raw, &all) != nil || len(all) > maxWarnings {
		return nil, protocol("warnings that are not a list of {code, property, count, message}")
	}
	all = slices.DeleteFunc(all, func(w hotreader.Warning) bool { return w.Property != "" && !slices.Contains(q.Properties, w.Property) })
	for i := range all {
		w := &all[i]
		if w.Reason == "" || len(w.Reason) > 32 || strings.Trim(string(w.Reason), "abcdefghijklmnopqrstuvwxyz_") != "" || w.Count < 0 || w.Count > maxCount {
			return nil, protocol("a warning of the code %q with the count %d", short(string(w.Reason)), w.Count)
		}
		if len(w.Detail) > maxDetail {
			w.Detail = strings.ToValidUTF8(w.Detail[:maxDetail], "") + "…"
		}
	}
	return all, nil
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
		Err: fmt.Errorf("expected TwinMaker's JSON, but there came: "+format, args...)}
}
