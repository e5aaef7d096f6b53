package plain

import (
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strings"

	"hotreader"
	"hotreader/internal/nearest"
)

// Names reads a list of names as a line of CSV has it, as `a,b` or
// `"Water Temp, °C",b`, or as Grafana writes a variable of several values, {a,b}.
func Names(text string) ([]string, error) {
	if inner, ok := strings.CutPrefix(text, "{"); ok && strings.HasSuffix(inner, "}") {
		text = strings.TrimSuffix(inner, "}")
	}
	if open := strings.HasPrefix(text, "{"); open != strings.HasSuffix(text, "}") {
		return nil, errors.New("a brace has no partner; write a list as a,b or {a,b}, and put a name with a brace into double quotes")
	}
	r := csv.NewReader(strings.NewReader(text))
	r.LazyQuotes = true
	lines, err := r.ReadAll()
	if err != nil || len(lines) > 1 {
		return nil, errors.New("these are no names separated by commas; put one with a comma or a line break into double quotes")
	}
	if len(lines) == 0 {
		return []string{""}, nil
	}
	return lines[0], nil
}

// TypeWords are the types that can be declared.
const TypeWords = "double, integer, long, boolean, string, text, number"

// Types reads the types of properties: each as name=type, or else one for each
// property, in their order, where an empty one declares none. It returns nil if
// none is given.
func Types(properties, given []string) ([]hotreader.Type, error) {
	if len(given) == 0 {
		return nil, nil
	}
	types := make([]hotreader.Type, len(properties))
	inOrder := !slices.ContainsFunc(given, func(text string) bool { return strings.Contains(text, "=") })
	if n := len(given); inOrder && n != len(properties) {
		return nil, fmt.Errorf("types given: %d, properties: %d; write one for each, or name=type; there are "+TypeWords, n, len(properties))
	}
	for at, word := range given {
		i := strings.LastIndexByte(word, '=')
		switch {
		case inOrder && word == "":
			continue
		case inOrder:
			word, i = properties[at]+"="+word, len(properties[at])
		case i < 0:
			return nil, fmt.Errorf("%q: write it name=type; there are "+TypeWords, word)
		default:
			at = slices.Index(properties, word[:i])
		}
		name, word := word[:i], word[i+1:]
		t, ok := hotreader.ParseType(word)
		switch {
		case !ok || t == hotreader.Untyped:
			return nil, unknownType(name, word)
		case at < 0:
			return nil, fmt.Errorf("%q: no property of that name is selected", name)
		case types[at] != hotreader.Untyped:
			return nil, fmt.Errorf("property %q has a type already", name)
		}
		types[at] = t
	}
	return types, nil
}

func unknownType(name, word string) error {
	meant := ""
	if near := nearest.Word(strings.ToLower(word), strings.Split(TypeWords, ", ")); near != "" {
		meant = "did you mean " + near + "? "
	}
	return fmt.Errorf("property %q: type %q is unknown; %sthere are "+TypeWords, name, word, meant)
}
