package records

import (
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
		if typeOf(value) == "" {
			return false
		}
		typed = true
	}
	return typed
}

// typeOf returns the type with which a value is wrapped, "" if it is not.
func typeOf(value []byte) (name string) {
	if jsontext.KindOf(value) != jsontext.Object {
		return ""
	}
	n := 0
	for key := range jsontext.Members(value) {
		name = key
		n++
	}
	if n != 1 || !slices.Contains(types, name) {
		return ""
	}
	return name
}

// Untyped returns an object without its values' types.
func Untyped(object []byte) ([]byte, error) {
	var s jsontext.Scanner
	s.Reset(object)
	return untypedMembers(nil, &s, 0)
}

func untypedMembers(dst []byte, s *jsontext.Scanner, depth int) ([]byte, error) {
	if depth > 40 { // DynamoDB keeps 32 levels
		return nil, errors.New("it is nested too deep")
	}
	if err := s.Token('{'); err != nil {
		return nil, err
	}
	dst = append(dst, '{')
	for more := !s.Is('}'); more; {
		name, err := s.Name()
		if err != nil {
			return nil, err
		}
		dst = append(jsontext.AppendString(dst, name), ':')
		if dst, err = untypedValue(dst, s, depth); err != nil {
			return nil, err
		}
		if more = s.Is(','); more {
			dst = append(dst, ',')
		} else if err := s.Token('}'); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

func untypedValue(dst []byte, s *jsontext.Scanner, depth int) ([]byte, error) {
	if err := s.Token('{'); err != nil {
		return nil, fmt.Errorf("a value is not wrapped with its type: %w", err)
	}
	kind, err := s.Name()
	if err != nil {
		return nil, err
	}
	switch string(kind) {
	case "N":
		dst, err = untypedNumber(dst, s)
	case "M":
		dst, err = untypedMembers(dst, s, depth+1)
	case "L":
		dst, err = untypedList(dst, s, func(dst []byte) ([]byte, error) { return untypedValue(dst, s, depth+1) })
	case "NS":
		dst, err = untypedList(dst, s, func(dst []byte) ([]byte, error) { return untypedNumber(dst, s) })
	case "NULL":
		dst, err = append(dst, "null"...), s.Skip()
	case "S", "BOOL", "SS", "B", "BS":
		s.Space()
		from := s.Pos
		err = s.Skip()
		dst = append(dst, s.Data[from:s.Pos]...)
	default:
		err = fmt.Errorf("the type %.20q is not one of DynamoDB's", kind)
	}
	if err != nil {
		return nil, err
	}
	return dst, s.Token('}')
}

func untypedNumber(dst []byte, s *jsontext.Scanner) ([]byte, error) {
	text, err := s.Text()
	if err == nil && !hotreader.IsNumber(text) {
		err = fmt.Errorf("%.40q is no number", text)
	}
	return append(dst, text...), err
}

func untypedList(dst []byte, s *jsontext.Scanner, element func([]byte) ([]byte, error)) (_ []byte, err error) {
	if err := s.Token('['); err != nil {
		return nil, err
	}
	dst = append(dst, '[')
	for more := !s.Is(']'); more; {
		if len(dst) > maxRecord {
			return nil, errLong
		}
		if dst, err = element(dst); err != nil {
			return nil, err
		}
		if more = s.Is(','); more {
			dst = append(dst, ',')
		} else if err := s.Token(']'); err != nil {
			return nil, err
		}
	}
	return append(dst, ']'), nil
}
