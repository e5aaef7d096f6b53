package hotreader

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Kind is what a Value is.
type Kind uint8

// The kinds. A property that a row does not have is Null too.
const (
	Null Kind = iota
	Bool
	Number
	String
)

// String returns the kind's name.
func (k Kind) String() string {
	return [...]string{"null", "boolean", "number", "string"}[k&3]
}

// Value is one property of one row. It refers to the bytes it was made from and
// makes no copy; the zero Value is null.
type Value struct {
	text  []byte // a Number's digits, a String's UTF-8; a Bool's 1 or 0
	kind  Kind
	plain bool // a Number that is known to have no exponent
}

var bools = [2][]byte{{'0'}, {'1'}}

// BoolValue returns the Value of b.
func BoolValue(b bool) Value {
	if b {
		return Value{text: bools[1], kind: Bool}
	}
	return Value{text: bools[0], kind: Bool}
}

// NumberValue returns the number that digits spell. They must be a number of
// JSON's grammar: a decoder that reads untrusted bytes checks with IsNumber
// first, for encoders copy the digits as they are.
func NumberValue(digits []byte) Value { return Value{text: digits, kind: Number} }

// DecimalValue is NumberValue for digits without an exponent, which is then not
// looked for again.
func DecimalValue(digits []byte) Value { return Value{digits, Number, true} }

// StringValue returns the string of text, which must be valid UTF-8.
func StringValue(text []byte) Value { return Value{text: text, kind: String} }

// Int64Value returns i as a number. It allocates: for writers and tests.
func Int64Value(i int64) Value { return Value{text: strconv.AppendInt(nil, i, 10), kind: Number} }

// Float64Value returns the shortest number that reads back as f, and null for
// NaN and the infinities, which are no numbers in JSON. It allocates: for
// writers and tests.
func Float64Value(f float64) Value {
	if f != f || f-f != 0 {
		return Value{}
	}
	return Value{text: strconv.AppendFloat(nil, f, 'g', -1, 64), kind: Number}
}

// Kind returns what v is.
func (v Value) Kind() Kind { return v.kind }

// IsNull reports whether v is null.
func (v Value) IsNull() bool { return v.kind == Null }

// Bool returns v's truth; false unless v is a Bool.
func (v Value) Bool() bool { return v.kind == Bool && v.text[0] == '1' }

// Text returns a Number's digits or a String's UTF-8, not to be changed, valid
// as long as the row v came in; nil for other kinds.
func (v Value) Text() []byte {
	if v.kind < Number {
		return nil
	}
	return v.text
}

// Float64 returns the float64 nearest to a Number, and whether v is a Number
// within range.
func (v Value) Float64() (float64, bool) {
	if v.kind != Number {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(v.text), 64)
	return f, err == nil
}

// Clone returns a copy of v that owns its memory.
func (v Value) Clone() Value {
	if v.kind >= Number {
		v.text = bytes.Clone(v.text)
	}
	return v
}

// String returns v as a person would write it, for messages and tests.
func (v Value) String() string {
	switch v.kind {
	case Bool:
		return strconv.FormatBool(v.Bool())
	case Number:
		return string(v.text)
	case String:
		return strconv.Quote(string(v.text))
	}
	return "null"
}

// Same reports whether a and b are the same value: numbers as decimals, so that
// 1.50 and 1.5 are, and kinds never mixed.
func Same(a, b Value) bool {
	if a.kind != b.kind {
		return false
	}
	if a.kind == Number {
		return CompareNumbers(a.text, b.text) == 0
	}
	return bytes.Equal(a.text, b.text)
}

// Type is what a property's values are declared to be.
type Type uint8

// The types. AnyNumber, AnyString and Boolean say only the kind; they are what
// FirstKind becomes when the first value of a property is seen.
const (
	Untyped     Type = iota // each value in the kind that is stored; a series that mixes kinds has a warning
	AnyNumber               // any decimal
	AnyString               // any text
	Boolean                 // true or false
	Double                  // a number within float64's range; its digits are kept
	Integer                 // a whole number of 32 bits
	Long                    // a whole number of 64 bits
	ShortString             // text of 1 to 256 characters, TwinMaker's STRING
	AsStored                // as Untyped, without the warning: the caller applies the types
	FirstKind               // the kind of the first value, for TwinMaker, whose series have one kind
)

var typeNames = [...]string{"", "NUMBER", "TEXT", "BOOLEAN", "DOUBLE", "INTEGER", "LONG", "STRING", "STORED", "FIRST"}

// String returns the word for t, "" for Untyped: TwinMaker's, but for NUMBER, TEXT,
// STORED and FIRST, which are ours.
func (t Type) String() string { return typeNames[t%Type(len(typeNames))] }

// ParseType returns the type that String writes as word, in any letter case. STORED
// and FIRST are not among them: they never cross the wire.
func ParseType(word string) (Type, bool) {
	for i, name := range typeNames[:AsStored] {
		if strings.EqualFold(name, word) {
			return Type(i), true
		}
	}
	return Untyped, false
}

// Numeric reports whether values of t are numbers.
func (t Type) Numeric() bool { return t == AnyNumber || t == Double || t == Integer || t == Long }

// maxShortString is TwinMaker's limit on a string value, in characters.
const maxShortString = 256

// Convert returns v as a value of type t, and whether t can hold it without
// loss. Numeric text and numbers become each other; Boolean takes 0 and 1, however
// written, and true and false in any letter case, for that is how devices without
// booleans report them. A whole number comes back
// in plain digits, however it was written. buf is used for the rare value
// whose digits change; pass its result in again to reuse the memory.
func (t Type) Convert(v Value, buf []byte) (_ Value, _ []byte, ok bool) {
	if v.kind == Null {
		return Value{}, buf, false
	}
	switch t {
	case Untyped, AsStored, FirstKind:
		return v, buf, true
	case AnyString:
		if v.kind == Number {
			v.kind = String
		}
		return v, buf, v.kind == String
	case ShortString:
		if v.kind == Number {
			v.kind = String
		}
		ok = v.kind == String && len(v.text) > 0 &&
			(len(v.text) <= maxShortString || utf8.RuneCount(v.text) <= maxShortString)
		return v, buf, ok
	case Boolean:
		v, ok = v.truth()
		return v, buf, ok
	}
	if v.kind == String && IsNumber(v.text) {
		v.kind = Number
	}
	if v.kind != Number {
		return v, buf, false
	}
	switch t {
	case Double:
		return v, buf, v.fitsDouble()
	case Integer, Long:
		bits := 32
		if t == Long {
			bits = 64
		}
		n := len(buf)
		buf, ok = appendWhole(buf, v.text, bits)
		if !ok {
			return v, buf, false
		}
		if len(buf) > n {
			v.text = buf[n:len(buf):len(buf)]
		}
		return v, buf, true
	}
	return v, buf, true
}

// storedAs returns the type of a value that t cannot hold; Untyped = it is like none.
func (t Type) storedAs(v Value) Type {
	switch {
	case v.kind == Bool:
		return Boolean
	case t == ShortString: // of another length
		return t
	}
	for _, other := range [...]Type{Long, Double, ShortString} {
		if _, _, fits := other.Convert(v, nil); fits && (other != ShortString || v.kind == String) {
			return other
		}
	}
	return Untyped
}

// misfit says why t cannot hold values of a type, without one of them, for logs say it too.
func (t Type) misfit(stored Type) string {
	switch {
	case stored == Untyped:
		return ""
	case t == ShortString && stored == t:
		return fmt.Sprintf("the type is STRING, which has 1 to %d characters", maxShortString)
	}
	text := fmt.Sprintf("the type is %s, what is stored is %s", t, stored)
	if (t == Integer || t == Long) && (stored == Double || stored == Long) {
		text += fmt.Sprintf("; declared as %s, no number would be left out", stored)
	}
	return text
}

// truth returns v as a Bool, and whether it says one: 0, 1, true, false.
func (v Value) truth() (Value, bool) {
	switch {
	case v.kind == Bool:
		return v, true
	case v.kind == String && bytes.EqualFold(v.text, []byte("true")):
		return BoolValue(true), true
	case v.kind == String && bytes.EqualFold(v.text, []byte("false")):
		return BoolValue(false), true
	case !numeric(v):
		return v, false
	}
	for i, digits := range bools {
		if CompareNumbers(v.text, digits) == 0 {
			return BoolValue(i == 1), true
		}
	}
	return v, false
}

// Type returns the type that a property of no declared type has from its first
// value on: the one that says only the kind. Untyped for Null.
func (k Kind) Type() Type {
	switch k {
	case Bool:
		return Boolean
	case Number:
		return AnyNumber
	case String:
		return AnyString
	}
	return Untyped
}
