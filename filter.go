package hotreader

import (
	"bytes"
	"fmt"
)

// Op is a filter's comparison.
type Op uint8

// The comparisons.
const (
	Equal Op = iota
	NotEqual
	Less
	LessEqual
	Greater
	GreaterEqual
)

var opNames = [...]string{"=", "!=", "<", "<=", ">", ">="}

// String returns the operator as queries write it.
func (o Op) String() string {
	if int(o) < len(opNames) {
		return opNames[o]
	}
	return "?"
}

// ParseOp returns the operator that text names: = != <> < <= > >=.
func ParseOp(text string) (Op, error) {
	if text == "<>" {
		return NotEqual, nil
	}
	for i, name := range opNames {
		if name == text {
			return Op(i), nil
		}
	}
	return 0, &Error{Op: "filter", Code: CodeInvalid,
		Err: fmt.Errorf("operator %.40q is unknown; use one of = != <> < <= > >=", text)}
}

// Filter keeps the rows in which Property compares to Value as Op says. The
// property need not be among those selected. A row that does not have it does
// not pass.
type Filter struct {
	Property string
	Op       Op
	Value    Value // never null; a Bool allows only Equal and NotEqual
}

func (f *Filter) check() string {
	if msg := checkName(f.Property); msg != "" {
		return msg
	}
	switch {
	case f.Op > GreaterEqual:
		return fmt.Sprintf("on %q has the unknown operator %d", f.Property, f.Op)
	case f.Value.kind == Null:
		return fmt.Sprintf("on %q has no value to compare with", f.Property)
	case f.Value.kind == Bool && f.Op > NotEqual:
		return fmt.Sprintf("on %q orders booleans with %s; only = and != compare them", f.Property, f.Op)
	}
	return ""
}

// Match reports whether v passes. Numbers compare as exact decimals, strings by
// their bytes; a number and numeric text compare as numbers. Values of these kinds that
// do not compare are unequal. A boolean compares with what the type Boolean takes for
// one, and what it does not take is neither true nor false: it never passes.
func (f *Filter) Match(v Value) bool {
	c, ok := f.compare(v)
	if !ok {
		return f.Op == NotEqual && v.kind != Null && f.Value.kind != Bool
	}
	switch f.Op {
	case Equal:
		return c == 0
	case NotEqual:
		return c != 0
	case Less:
		return c < 0
	case LessEqual:
		return c <= 0
	case Greater:
		return c > 0
	case GreaterEqual:
		return c >= 0
	}
	return false
}

// Compares reports whether v is of a kind that the filter's value compares with, as
// Match has it.
func (f *Filter) Compares(v Value) bool {
	_, ok := f.compare(v)
	return ok
}

func (f *Filter) compare(v Value) (c int, ok bool) {
	w := f.Value
	if w.kind == Bool {
		if v, ok = v.truth(); !ok {
			return 0, false
		}
	}
	switch {
	case v.kind == w.kind && (w.kind == String || w.kind == Bool):
		return bytes.Compare(v.text, w.text), true
	case numeric(v) && numeric(w):
		return CompareNumbers(v.text, w.text), true
	}
	return 0, false
}

func numeric(v Value) bool { return v.kind == Number || v.kind == String && IsNumber(v.text) }
