package records

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"hotreader"
	"hotreader/internal/jsontext"
)

// types are DynamoDB's, as its JSON writes them.
var types = []string{"S", "N", "BOOL", "NULL", "M", "L", "SS", "NS", "B", "BS"}

// IsTyped reports whether all values of an object are wrapped with their types.
func IsTyped(object []byte) bool {
	typed := false
	for _, value := range jsontext.Members(object) {
		if kind, _ := wrapped(value); !slices.Contains(types, kind) {
			return false
		}
		typed = true
	}
	return typed
}

// wrapped returns the type with which a value is wrapped, "" if it is not, and the value.
func wrapped(value []byte) (kind string, inner []byte) {
	n := 0
	for name, of := range jsontext.Members(value) {
		kind, inner = name, of
		n++
	}
	if n != 1 {
		return "", nil
	}
	return kind, inner
}

// Untyped returns an object without its values' types.
func Untyped(object []byte) ([]byte, error) {
	s := jsontext.Scanner{Data: object}
	if err := cmp.Or(s.Skip(), s.End()); err != nil { // what follows passes over what is no JSON
		return nil, err
	}
	return untypedMembers(nil, object, 0)
}

func untypedMembers(dst, object []byte, depth int) (_ []byte, err error) {
	switch {
	case depth > 40: // DynamoDB keeps 32 levels
		return nil, errors.New("it is nested too deep")
	case jsontext.KindOf(object) != jsontext.Object:
		return nil, errors.New("a map of DynamoDB's is no object")
	}
	between := byte('{')
	for name, value := range jsontext.Members(object) {
		dst = append(jsontext.AppendString(append(dst, between), name), ':')
		if dst, err = untypedValue(dst, value, depth); err != nil {
			return nil, err
		}
		between = ','
	}
	if between == '{' {
		dst = append(dst, between)
	}
	return append(dst, '}'), nil
}

func untypedValue(dst, value []byte, depth int) ([]byte, error) {
	kind, inner := wrapped(value)
	switch kind {
	case "":
		return nil, errors.New("a value is not wrapped with its type")
	case "N":
		return untypedNumber(dst, inner)
	case "M":
		return untypedMembers(dst, inner, depth+1)
	case "L":
		return untypedList(dst, inner, func(dst, value []byte) ([]byte, error) { return untypedValue(dst, value, depth+1) })
	case "NS":
		return untypedList(dst, inner, untypedNumber)
	case "NULL":
		return append(dst, "null"...), nil
	case "S", "BOOL", "SS", "B", "BS":
		return append(dst, inner...), nil
	}
	return nil, fmt.Errorf("the type %.20q is not one of DynamoDB's", kind)
}

func untypedNumber(dst, value []byte) ([]byte, error) {
	digits := jsontext.Unquote(value)
	if !hotreader.IsNumber([]byte(digits)) {
		return nil, fmt.Errorf("%.40q is no number", digits)
	}
	return append(dst, digits...), nil
}

func untypedList(dst, list []byte, element func(dst, value []byte) ([]byte, error)) (_ []byte, err error) {
	if jsontext.KindOf(list) != jsontext.Array {
		return nil, errors.New("a list of DynamoDB's is no array")
	}
	between := byte('[')
	for value := range jsontext.Elements(list) {
		if dst, err = element(append(dst, between), value); err != nil {
			return nil, err
		}
		between = ','
	}
	if between == '[' {
		dst = append(dst, between)
	}
	return append(dst, ']'), nil
}
