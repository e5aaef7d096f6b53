package hotreader

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Stats counts what a query costs, and has the warnings that its answer comes with. Put
// one into the context with WithStats and every Source and Reader on the path adds
// to it. The zero value is ready; it is safe for concurrent use.
type Stats struct {
	Looked   atomic.Int64 // stored rows looked at
	Rows     atomic.Int64 // rows that belong to the answer
	Points   atomic.Int64 // values of properties in those
	Reads    atomic.Int64 // calls to the store, or pages of it
	Bytes    atomic.Int64 // bytes that came from the store or, where it is remote, over the wire
	Attempts atomic.Int64 // requests to another cloud
	Age      atomic.Int64 // of the oldest rows that came from a cache, in ns since they were read; 0 = none did; see Aged

	mu       sync.Mutex
	warnings map[about]*Warning
	others   int // of warnings, those of reasons that are not known here
	details  int // their bytes
}

// about is what a Warning is about. There is one for each.
type about struct {
	property string
	reason   Reason
}

// Bounds of what another cloud's warnings may become. Those of known reasons are no more
// than the properties of a query allow.
const (
	maxOthers  = 64       // warnings of other reasons
	maxDetails = 64 << 10 // bytes of all details
)

// Reason says what a Warning is about. Reasons cross the wire and stand in answers;
// they never change.
type Reason string

// The reasons. Of the first three something is missing in the answer.
const (
	Unreadable Reason = "unreadable" // an item without a usable time, or a value of no kind that an answer can hold
	WrongType  Reason = "wrong_type" // the property's type cannot hold the value without loss
	Replaced   Reason = "replaced"   // another value of the same instant was written later

	MixedKinds      Reason = "mixed_kinds"      // values of a property without a declared type that are not of its first value's kind
	AlarmState      Reason = "alarm_state"      // texts of an alarm status that TwinMaker's alarms do not have
	MixedTimes      Reason = "mixed_times"      // items whose time is of a type that the layout does not name: they are not in the answer
	UnknownDevice   Reason = "unknown_device"   // nothing is stored for the device, whatever the range, or the catalogue does not list it
	UnknownProperty Reason = "unknown_property" // the device has items, but none that was looked at has the property; the catalogue does not list it, or nothing was found
	LookBackEnded   Reason = "look_back"        // the search for the latest value ended at its bound
	Constant        Reason = "constant"         // the catalogue gives the property one value for all times: devices do not report it
	OlderNotRead    Reason = "older_not_read"   // the range begins before the days that hot storage is to keep, and no other tier is read
	MoreWarnings    Reason = "more_warnings"    // another cloud has more warnings, of reasons that are not known here

	ChangesNotPicked Reason = "changes_not_picked" // a text or boolean changes between rows that were picked
)

// A Warning says what an answer lacks, or why it may not be what was
// meant. Count is of values of Property; of property "", of whole items.
type Warning struct {
	Reason   Reason
	Property string
	Count    int64  // 0 = there is nothing to count
	Detail   string // what was found and what to do, a sentence without a full stop; may be empty
}

// said is what each reason says where a Warning has no detail.
var said = map[Reason]string{
	Unreadable:      "unreadable",
	WrongType:       "left out, not of the property's type",
	Replaced:        "replaced by a later write of the same instant",
	MixedKinds:      "of another kind than the first; declare a type to get one kind",
	AlarmState:      "that no alarm has",
	MixedTimes:      "some items are not in the answer: their time is of another type or form",
	UnknownDevice:   "no data of this device is known",
	UnknownProperty: "no item that was looked at has this property",
	LookBackEnded:   "no value within the newest records",
	Constant:        "a constant of the catalogue, which devices do not report",
	OlderNotRead:    "older records may be missing",
	MoreWarnings:    "another cloud has more warnings",

	ChangesNotPicked: "between the picked rows are not in the answer; to see each state ask for all rows (without points or pick), or for a shorter range",
}

// String returns w as a sentence, as `temperature: 3 values left out, not of the
// property's type`.
func (w Warning) String() string {
	var b strings.Builder
	what := "item"
	if w.Property != "" {
		what = "value"
		b.WriteString(w.Property + ": ")
	}
	if w.Reason == ChangesNotPicked {
		what = "change"
	}
	text := said[w.Reason]
	if w.Reason == LookBackEnded && w.Property == "" {
		text = "the search ended before all was read"
	}
	switch w.Reason {
	case UnknownDevice, UnknownProperty, LookBackEnded, OlderNotRead, Constant, MixedTimes, MoreWarnings:
	default:
		if w.Count > 1 {
			what += "s"
		}
		if w.Count > 0 {
			fmt.Fprintf(&b, "%d %s ", w.Count, what)
		}
	}
	b.WriteString(cmp.Or(text, string(w.Reason)))
	if w.Detail != "" {
		b.WriteString("; " + w.Detail)
	}
	return b.String()
}

// LeavesOut reports whether w is about values that are missing in the answer, and
// that no other value replaces.
func (w Warning) LeavesOut() bool { return w.Reason == Unreadable || w.Reason == WrongType }

// warningText is a Warning as answers and logs have it.
type warningText struct {
	Code     Reason `json:"code"`
	Property string `json:"property,omitempty"`
	Count    int64  `json:"count,omitempty"`
	Message  string `json:"message"`
}

// MarshalJSON implements json.Marshaler:
//
//	{"code":"wrong_type","property":"temperature","count":3,"message":"…"}
func (w Warning) MarshalJSON() ([]byte, error) {
	return json.Marshal(warningText{w.Reason, w.Property, w.Count, w.String()})
}

// UnmarshalJSON implements json.Unmarshaler.
func (w *Warning) UnmarshalJSON(text []byte) error {
	var t warningText
	if err := json.Unmarshal(text, &t); err != nil {
		return err
	}
	*w = Warning{Reason: t.Code, Property: t.Property, Count: t.Count}
	rest, same := strings.CutPrefix(t.Message, w.String())
	if _, known := said[w.Reason]; known && !same { // in another version's words
		_, rest, _ = strings.Cut(t.Message, "; ")
	}
	w.Detail = strings.TrimPrefix(rest, "; ")
	return nil
}

// AppendWarnings appends warnings as the next member of a JSON object; nothing
// if there are none.
func AppendWarnings(dst []byte, warnings []Warning) []byte {
	if len(warnings) == 0 {
		return dst
	}
	text, _ := json.Marshal(warnings) // texts and a number cannot fail
	return append(append(dst, `,"warnings":`...), text...)
}

// LeaveOut counts n values of property that were left out; of "", items.
func (s *Stats) LeaveOut(property string, why Reason, n int64) {
	if n > 0 {
		s.Warn(Warning{Reason: why, Property: property, Count: n})
	}
}

// Warn adds a warning. Warnings of one property and reason are one: their counts
// add up, and the first detail stays (of WrongType the first by letters, whatever came first). There are at most 64 of reasons that are not known
// here; MoreWarnings counts the others. Beyond 64 KB of details, warnings have none.
func (s *Stats) Warn(w Warning) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.warnings[about{w.Property, w.Reason}]
	if _, known := said[w.Reason]; old == nil && !known {
		if s.others++; s.others > maxOthers {
			w = Warning{Reason: MoreWarnings, Count: 1}
			old = s.warnings[about{w.Property, w.Reason}]
		}
	}
	if old == nil {
		if s.warnings == nil {
			s.warnings = map[about]*Warning{}
		}
		old = &Warning{Reason: w.Reason, Property: w.Property}
		s.warnings[about{w.Property, w.Reason}] = old
	}
	old.Count += w.Count
	first := old.Detail == "" || w.Reason == WrongType && w.Detail != "" && w.Detail < old.Detail
	if more := len(w.Detail) - len(old.Detail); first && s.details+more <= maxDetails {
		old.Detail = w.Detail
		s.details += more
	}
}

// Retract drops a warning that turned out wrong.
func (s *Stats) Retract(why Reason, property string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.warnings, about{property, why})
}

// Listed drops the warnings of unknown properties that a catalogue lists, unless of all
// that a query asks for: where one is found the layout is right, and of another the few
// items that were looked at may have no value.
func (s *Stats) Listed(listed, all []string) {
	unknown := 0
	for _, w := range s.Warnings() {
		if w.Reason == UnknownProperty && slices.Contains(all, w.Property) {
			unknown++
		}
	}
	for _, name := range listed {
		if unknown < len(all) {
			s.Retract(UnknownProperty, name)
		}
	}
}

// Warnings returns all warnings, by property and reason.
func (s *Stats) Warnings() []Warning {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Warning
	for _, w := range s.warnings {
		all = append(all, *w)
	}
	slices.SortFunc(all, func(a, b Warning) int {
		return cmp.Or(cmp.Compare(a.Property, b.Property), cmp.Compare(a.Reason, b.Reason))
	})
	return all
}

// Skipped returns how many values and items were left out.
func (s *Stats) Skipped() (n int64) {
	for _, w := range s.Warnings() {
		switch w.Reason {
		case Unreadable, WrongType, Replaced:
			n += w.Count
		}
	}
	return n
}

// Nothing returns the error of an answer that has no value although values were
// left out of it, for that is no empty answer; nil if none was left out.
func (s *Stats) Nothing() error {
	var all []string
	warnings := s.Warnings()
	unknown := slices.ContainsFunc(warnings, func(w Warning) bool { return w.Reason == UnknownProperty })
	for _, w := range warnings {
		if w.LeavesOut() && !(unknown && w.Property == "") { // those items are not why
			all = append(all, w.String())
		}
	}
	if len(all) == 0 {
		return nil
	}
	return &Error{Op: "read", Code: CodeUnreadable, Err: fmt.Errorf("no value is left: %s", strings.Join(all, "; "))}
}

// Aged notes that rows came from a cache, which were read age ago.
func (s *Stats) Aged(age time.Duration) {
	for {
		old := s.Age.Load()
		if next := max(int64(age), 1); next <= old || s.Age.CompareAndSwap(old, next) {
			return
		}
	}
}

// Add adds what from has counted.
func (s *Stats) Add(from *Stats) {
	s.Cost(from)
	for _, w := range from.Warnings() {
		s.Warn(w)
	}
}

// Cost is Add without the warnings.
func (s *Stats) Cost(from *Stats) {
	s.Looked.Add(from.Looked.Load())
	s.Rows.Add(from.Rows.Load())
	s.Points.Add(from.Points.Load())
	s.Reads.Add(from.Reads.Load())
	s.Bytes.Add(from.Bytes.Load())
	s.Attempts.Add(from.Attempts.Load())
	if age := from.Age.Load(); age > 0 {
		s.Aged(time.Duration(age))
	}
}

type statsKey struct{}

// WithStats returns a context in which Sources and Readers count into s.
func WithStats(ctx context.Context, s *Stats) context.Context {
	return context.WithValue(ctx, statsKey{}, s)
}

// StatsOf returns the Stats of ctx, or one without a reader; never nil.
func StatsOf(ctx context.Context) *Stats {
	if s, ok := ctx.Value(statsKey{}).(*Stats); ok {
		return s
	}
	return new(Stats)
}
