package plain

import (
	"bufio"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"hotreader"
)

// Limits on a file that is imported, so that a damaged one (a quote that is
// never closed) costs no more memory than these.
const (
	maxLine    = 1 << 20 // bytes of one row
	maxFields  = 1000    // values of one row
	batchBytes = 1 << 20 // of values in one batch
)

// Options say how a file is read. The zero value is ready.
type Options struct {
	Time       string            // name of the column, or key, of the time; "" = "timestamp", or "time" if there is no "timestamp"
	TimeFormat TimeFormat        // how times are written
	Rename     map[string]string // column or key → property; "" leaves it out
	Batch      int               // records of a batch; 0 = 1000
	Comma      rune              // CSV: what separates cells; 0 = ','
}

// Decoder reads records of one device from a file, once.
//
// Numbers keep their exact digits. A CSV cell that is a number of JSON's grammar
// is a number; true and false, in any letter case, are booleans; an empty cell,
// null, NaN and the infinities are absent; all else is text, without the
// apostrophe that guards a formula. Times are in the Options' format. A line
// without any value is passed over. LeftOut counts the cells that say null, NaN or
// infinite.
type Decoder struct {
	next  func(*Decoder) error // adds one line to the batch; io.EOF at the end
	o     Options
	lines atomic.Int64
	left  int64

	records []hotreader.Record
	fields  []hotreader.Field // of all records of the batch
	text    []byte            // values' bytes of the batch
	failed  error
}

// NewCSV returns the Decoder of a CSV file: RFC 4180, the first line names the
// columns, a byte order mark and either line end are accepted.
func NewCSV(r io.Reader, o Options) *Decoder {
	limited := &lineLimit{r: r}
	src := &csvSource{limit: limited}
	br := bufio.NewReader(limited)
	src.csv = csv.NewReader(br)
	src.csv.ReuseRecord = true
	if o.Comma != 0 {
		src.csv.Comma = o.Comma
	}
	src.in = br
	return &Decoder{next: src.next, o: o}
}

// NewJSONL returns the Decoder of a file with one flat JSON object a line. An
// object or array as a value is an error, unless Options.Rename leaves it out.
func NewJSONL(r io.Reader, o Options) *Decoder {
	src := &jsonSource{in: bufio.NewScanner(r)}
	src.in.Buffer(make([]byte, 0, 64<<10), maxLine)
	return &Decoder{next: src.next, o: o}
}

// Lines returns how many lines of the file have been read, for a progress
// display; it may be called while Batches runs.
func (d *Decoder) Lines() int64 { return d.lines.Load() }

// LeftOut returns how many cells of CSV said null, NaN or infinite, in all that
// was read. Empty cells, and a null of JSON, say nothing and are not counted.
func (d *Decoder) LeftOut() int64 { return d.left }

// Batches yields the file's records in batches. A batch is valid until the
// next. The first line that cannot be read ends the sequence with an error of
// CodeInvalid that names it; what stands before that line has been yielded.
func (d *Decoder) Batches() iter.Seq2[[]hotreader.Record, error] {
	return func(yield func([]hotreader.Record, error) bool) {
		size := cmp.Or(max(d.o.Batch, 0), 1000)
		for d.failed == nil {
			d.records, d.fields, d.text = d.records[:0], d.fields[:0], d.text[:0]
			for d.failed == nil && len(d.records) < size && len(d.text) < batchBytes {
				d.failed = d.next(d)
			}
			if len(d.records) > 0 && !yield(d.records, nil) {
				return
			}
		}
		if !errors.Is(d.failed, io.EOF) {
			yield(nil, d.failed)
		}
	}
}

// fail returns the error for a line of the file; line 0 is the whole of it.
func fail(line int, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	if line > 0 {
		err = fmt.Errorf("line %d: %w", line, err)
	}
	return &hotreader.Error{Op: "import", Code: hotreader.CodeInvalid, Err: err}
}

// keep copies text into the batch's memory.
func (d *Decoder) keep(text string) []byte {
	n := len(d.text)
	d.text = append(d.text, text...)
	return d.text[n:len(d.text):len(d.text)]
}

// add ends a record whose fields begin at from.
func (d *Decoder) add(line int, timeText string, from int) error {
	if len(d.fields) == from {
		return nil
	}
	t, err := d.o.TimeFormat.parse(strings.TrimSpace(timeText))
	if err != nil {
		return fail(line, "%w", err)
	}
	if year := t.Year(); year < 0 || year > 9999 { // its zone moved it there
		return fail(line, "%.50q is not in the years 0 to 9999 of UTC", timeText)
	}
	d.records = append(d.records, hotreader.Record{Time: t, Fields: d.fields[from:len(d.fields):len(d.fields)]})
	return nil
}

// property returns what a column or key is stored as, "" if it is left out, and
// what is wrong with that.
func (o *Options) property(key string) (name, wrong string) {
	name, renamed := o.Rename[key]
	if !renamed {
		name = key
	} else if name == "" {
		return "", ""
	}
	return name, checkName(name)
}

// checkName says what is wrong with a property's name, or "".
func checkName(name string) string {
	switch {
	case name == "":
		return "has no name"
	case len(name) > hotreader.MaxNameBytes:
		return fmt.Sprintf("has a name of %d bytes; at most %d are allowed", len(name), hotreader.MaxNameBytes)
	case !utf8.ValidString(name):
		return "has a name that is not UTF-8"
	}
	return ""
}

// TimeFormat is how a file writes its times. The zero value is ISO8601.
type TimeFormat uint8

// The formats of times. Epochs are decimals, read exactly; digits behind the
// nanosecond are cut off.
const (
	ISO8601     TimeFormat = iota // what hotreader.ParseTime reads, and with a blank before the zone
	EpochSecs                     // seconds since 1970, as 1772431200.25
	EpochMillis                   // milliseconds since 1970
)

// OptionsError is an error that other Options would avoid. If no field says
// which, Options.Time has to name the time's column or key.
type OptionsError struct {
	Err        error
	Time       []string // for Options.Time, the likeliest first
	Comma      rune     // for Options.Comma
	TimeFormat TimeFormat
}

func (e *OptionsError) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong.
func (e *OptionsError) Unwrap() error { return e.Err }

func bothTimes() error {
	return &OptionsError{Time: []string{"timestamp", TimeName},
		Err: fmt.Errorf("both \"timestamp\" and %q are there, and either may hold the time", TimeName)}
}

// noTime is the error of a file whose names, of columns or keys, lack want.
func noTime(what, want string, names []string) error {
	e := &OptionsError{Err: fmt.Errorf("no %s is named %q, which holds the time; there are %.200q", what, want, names)}
	for _, name := range names {
		if likelyTime(name) && len(e.Time) < 3 {
			e.Time = append(e.Time, name)
		}
	}
	return e
}

// likelyTime reports whether people call a time so.
func likelyTime(name string) bool {
	name = strings.ToLower(name)
	for _, begin := range []string{"time", "date", "zeit", "datum"} {
		if strings.HasPrefix(name, begin) {
			return true
		}
	}
	return slices.Contains([]string{"ts", "t", "at", "when", "epoch", "_time"}, name)
}

// otherComma returns what seems to separate the only column's names, or 0.
func otherComma(columns []string) rune {
	if len(columns) != 1 {
		return 0
	}
	for _, comma := range []rune{';', '\t', '|'} {
		if strings.ContainsRune(columns[0], comma) {
			return comma
		}
	}
	return 0
}

func (f TimeFormat) parse(text string) (time.Time, error) {
	if f == ISO8601 {
		t, err := hotreader.ParseTime([]byte(text))
		if err == nil {
			return t, nil
		}
		// Ruby, Go and psql write a blank before the zone.
		if i := strings.LastIndexByte(text, ' '); i > len(time.DateOnly) && i+1 < len(text) && (text[i+1] == '+' || text[i+1] == '-') {
			if t, err := hotreader.ParseTime([]byte(text[:i] + text[i+1:])); err == nil {
				return t, nil
			}
		}
		return t, epochMeant(text, err)
	}
	unit, decimals := "seconds", 9
	if f == EpochMillis {
		unit, decimals = "milliseconds", 6
	}
	t, ok := epoch(text, decimals)
	if !ok {
		return t, fmt.Errorf("%.50q is not a time: want %s since 1970, of the years 0 to 9999, in plain digits", text, unit)
	}
	return t, nil
}

// epochMeant adds to err which format text is in, if it seems to be an epoch.
func epochMeant(text string, err error) error {
	if t, ok := epoch(text, 9); ok && t.Year() >= 1975 && t.Year() < 2200 {
		return &OptionsError{TimeFormat: EpochSecs, Err: err}
	}
	if t, ok := epoch(text, 6); ok && t.Year() >= 1975 && t.Year() < 2200 {
		return &OptionsError{TimeFormat: EpochMillis, Err: err}
	}
	return err
}

// epoch reads a decimal of a unit that has so many decimals in nanoseconds.
func epoch(text string, decimals int) (time.Time, bool) {
	digits, negative := strings.CutPrefix(text, "-")
	whole, fraction, broken := strings.Cut(digits, ".")
	if broken && fraction == "" || strings.Trim(whole+fraction, "0123456789") != "" {
		return time.Time{}, false
	}
	units, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	if len(fraction) > decimals {
		fraction = fraction[:decimals]
	}
	nanos, err := strconv.ParseInt(fraction+strings.Repeat("0", decimals-len(fraction)), 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	perSecond, nanosPerUnit := int64(1), int64(1_000_000_000)
	for range 9 - decimals {
		perSecond, nanosPerUnit = 10*perSecond, nanosPerUnit/10
	}
	seconds := units / perSecond
	nanos += units % perSecond * nanosPerUnit
	if negative {
		seconds, nanos = -seconds, -nanos
	}
	const most = 1 << 40 // seconds; beyond the year 9999, and far from where a time overflows
	if seconds < -most || seconds > most {
		return time.Time{}, false
	}
	t := time.Unix(seconds, nanos).UTC()
	return t, t.Year() >= 0 && t.Year() <= 9999
}
