package layout

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// An Item is a stored item as it lies, for looking at it. Values are nil, bool,
// json.Number, string, time.Time, []any and map[string]any, or a Kind that says what
// else is there.
type Item struct {
	Key    string // what identifies it, for messages
	Path   string // Firestore: of the document, from the root of the database
	Fields map[string]any
}

// AppendNew appends those of more that are not in items yet.
func AppendNew(items []Item, more ...Item) []Item {
	for _, it := range more {
		if !slices.ContainsFunc(items, func(o Item) bool { return o.Key == it.Key && o.Path == it.Path }) {
			items = append(items, it)
		}
	}
	return items
}

// A Kind is a value that no answer can hold, by what it is, as "bytes".
type Kind string

// At returns what an item has at a path, and whether there is something.
func (it Item) At(path []string) (v any, ok bool) {
	v = it.Fields
	for _, name := range path {
		m, is := v.(map[string]any)
		if !is {
			return nil, false
		}
		if v, ok = m[name]; !ok {
			return nil, false
		}
	}
	return v, true
}

// Barrier says where a path ends early, at something that has no members: "payload is
// the number 5". It is empty where the path does not, or where its first name is missing.
func (it Item) Barrier(path []string) string {
	for n := 1; n < len(path); n++ {
		v, ok := it.At(path[:n])
		if !ok {
			return ""
		}
		if _, is := v.(map[string]any); !is {
			return strings.Join(path[:n], ".") + " is " + cmp.Or(Encoded(v), Describe(v))
		}
	}
	return ""
}

// Encoded says what a text is that holds what would be properties, and what to do; "" = v
// is none.
func Encoded(v any) string {
	text, ok := v.(string)
	if !ok || len(text) < 8 {
		return ""
	}
	if text[0] == '{' && json.Valid([]byte(text)) {
		return "text that holds JSON; let what writes it store an object"
	}
	if raw, err := base64.StdEncoding.DecodeString(text); err == nil && len(raw) > 1 && raw[0] == '{' && json.Valid(raw) {
		return "base64. IoT Hub stores messages so that do not say contentType application/json and contentEncoding utf-8"
	}
	return ""
}

// Describe says what a value is, as `the text "x"`.
func Describe(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(v)
	case json.Number:
		return "the number " + clip(string(v))
	case string:
		return fmt.Sprintf("the text %q", clip(v))
	case time.Time:
		return "the timestamp " + v.UTC().Format(time.RFC3339Nano)
	case []any:
		return fmt.Sprintf("a list of %d", len(v))
	case map[string]any:
		return fmt.Sprintf("an object of %d fields", len(v))
	case Kind:
		return string(v)
	}
	return fmt.Sprintf("a %T", v)
}

// clip shortens a text for messages.
func clip(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	n := most
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// ReadTime reads a time of an item by one of l's formats.
func (l *Layout) ReadTime(v any) (time.Time, bool) {
	at, _, ok := l.readTime(v)
	return at, ok
}

// readTime is ReadTime, with the zone of the format.
func (l *Layout) readTime(v any) (at time.Time, zone *time.Location, ok bool) {
	defaults := l.WithDefaults()
	for _, name := range defaults.TimeFormat {
		f, err := ParseFormat(name)
		if err != nil {
			continue
		}
		switch v := v.(type) {
		case time.Time:
			if f.Kind == NativeTime {
				return v, f.Zone(), true
			}
		case json.Number:
			if t, ok := f.Parse([]byte(v)); ok && f.Kind == NumberTime {
				return t, f.Zone(), true
			}
		case string:
			text, ok := strings.CutPrefix(v, l.TimePrefix)
			if before, after, named := strings.Cut(l.TimeSuffix, "{property}"); named && ok {
				if text, _, ok = strings.Cut(text, before); ok {
					ok = strings.HasSuffix(v, after)
				}
			} else if ok {
				text, ok = strings.CutSuffix(text, l.TimeSuffix)
			}
			if t, is := f.Parse([]byte(text)); ok && is && f.Kind == TextTime {
				return t, f.Zone(), true
			}
		}
	}
	return time.Time{}, time.UTC, false
}

// GuessTime returns the settings by which a field's value is a time: its format, and a
// prefix and suffix if it needs them. ok is false if it looks like none. An offset of a
// single text may be daylight saving's.
func GuessTime(v any) (l Layout, ok bool) {
	switch v := v.(type) {
	case time.Time:
		return Layout{TimeFormat: Formats{Native}}, true
	case json.Number:
		f, ok := guessEpoch(string(v))
		return Layout{TimeFormat: Formats{f}}, ok
	case string:
		begin := strings.IndexAny(v, "0123456789")
		for ; begin >= 0 && begin < len(v); begin++ {
			if v[begin] < '0' || v[begin] > '9' || begin > 0 && v[begin-1] >= '0' && v[begin-1] <= '9' {
				continue
			}
			if f, n := guessText(v[begin:]); n > 0 {
				l := Layout{TimeFormat: Formats{f}, TimePrefix: v[:begin], TimeSuffix: v[begin+n:]}
				_, ok = l.ReadTime(v)
				return l, ok
			}
		}
	}
	return l, false
}

// guessEpoch takes a number for a time of the years 2001 to 2286 by its magnitude.
func guessEpoch(digits string) (name string, ok bool) {
	for _, name := range []string{EpochSecs, EpochMillis, EpochMicros, EpochNanos} {
		f, _ := ParseFormat(name)
		if t, ok := f.Parse([]byte(digits)); ok && t.Unix() >= 1e9 && t.Unix() < 1e10 {
			return name, true
		}
	}
	return "", false
}

// guessText finds the format of the time that s begins with, and its length; 0 = none.
func guessText(s string) (name string, n int) {
	end := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(s)
	}
	if rest := s[end:]; strings.HasPrefix(rest, ".") {
		if fraction := len(rest) - 1 - len(strings.TrimLeft(rest[1:], "0123456789")); fraction > 0 {
			end += 1 + fraction
		}
	}
	if name, ok := guessEpoch(s[:end]); ok {
		return name + ":text", end
	}
	const minute = len("2006-01-02T15:04")
	if len(s) < minute || s[4] != '-' || s[7] != '-' || s[13] != ':' {
		return "", 0
	}
	name = ISO8601
	if s[10] == ' ' {
		name = ISO8601Blank
	} else if len(s) == minute || s[minute] != ':' {
		name = ISO8601Minute
	}
	// The longest text that is a time: what follows is a suffix.
	for n = min(len(s), len("2006-01-02T15:04:05.000000000 +00:00")); n >= minute; n-- {
		with := name
		if zone := strings.LastIndexAny(s[:n], "+-"); zone >= minute {
			if offset, ok := readOffset([]byte(s[zone:n])); ok && offset != 0 {
				with += time.Time{}.In(time.FixedZone("", int(offset/time.Second))).Format("-07:00")
			}
		}
		f, err := ParseFormat(with)
		if err != nil {
			continue
		}
		if _, ok := f.Parse([]byte(s[:n])); ok && !namesZone(s[n:]) {
			return with, n
		} else if ok {
			return "", 0
		}
	}
	return "", 0
}

// namesZone reports whether what follows a time is the name of a zone other than UTC,
// as JST: which offset that is, only the table's owner knows.
func namesZone(s string) bool {
	s = strings.TrimPrefix(s, " ")
	return len(s) >= 2 && len(s) <= 5 && s != "UTC" && s != "GMT" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}
