// Package cost estimates what queries cost: from what was measured of them, from
// the clouds' list prices, and, where only an account would show it, from what
// is assumed. Each figure says which it is, and can be replaced.
package cost

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"hotreader"
	"hotreader/internal/nearest"
)

// Date is when the list prices were looked up.
const Date = "2026-11-23"

//go:embed figures.json
var listed []byte

// A Figure is a number that costs depend on.
type Figure struct {
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	From   string  `json:"from"` // list, measured, deployed (what the deployer sets), assumed, or given
	Source string  `json:"source,omitempty"`
	Note   string  `json:"note,omitempty"`
}

// Figures are all that costs depend on, by name.
type Figures map[string]Figure

// Listed returns the figures that the program brings.
func Listed() Figures {
	var f Figures
	if err := json.Unmarshal(listed, &f); err != nil {
		panic(err) // the build's own file, which tests read
	}
	return f
}

// Names returns the names: prices first, then what was measured, then the rest,
// each in the order of the alphabet.
func (f Figures) Names() []string {
	order := []string{"list", "measured", "deployed", "assumed", "given"}
	return slices.SortedFunc(maps.Keys(f), func(a, b string) int {
		if d := slices.Index(order, f[a].From) - slices.Index(order, f[b].From); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
}

// With returns f with the reader's own figures in place of those of the same
// name. The file is a JSON object of names, each with a number, or with an
// object as Figure's, of which only the value counts. All that is wrong with it
// is in the error.
func (f Figures) With(file []byte) (Figures, error) {
	var own map[string]json.RawMessage
	if err := json.Unmarshal(file, &own); err != nil {
		return nil, fmt.Errorf("expected an object of names and numbers: %w", err)
	}
	all := maps.Clone(f)
	var wrong []error
	for _, name := range slices.Sorted(maps.Keys(own)) {
		figure, known := f[name]
		if !known {
			hint := ""
			if n := nearest.Word(name, slices.Sorted(maps.Keys(f))); n != "" {
				hint = "; did you mean " + n + "?"
			}
			wrong = append(wrong, fmt.Errorf("%q is no figure%s", name, hint))
			continue
		}
		value, err := number(own[name])
		switch {
		case err != nil:
			wrong = append(wrong, fmt.Errorf("%s: %w", name, err))
		case value < 0:
			wrong = append(wrong, fmt.Errorf("%s: %v is less than nothing", name, value))
		case value > most(name):
			wrong = append(wrong, fmt.Errorf("%s: %v is more than %v, the most there is", name, value, most(name)))
		case value == 0 && divisors[name]:
			wrong = append(wrong, fmt.Errorf("%s: must be more than 0", name))
		case value != figure.Value:
			figure.Value, figure.From, figure.Source, figure.Note = value, "given", "", ""
			all[name] = figure
		}
	}
	return all, errors.Join(wrong...)
}

// divisors cannot be nothing.
var divisors = map[string]bool{"item_bytes": true, "point_json_bytes": true, "aws_memory_mb": true, "last_rows": true}

// most is the largest value that a figure may have.
func most(name string) float64 {
	switch name {
	case "traced": // a share
		return 1
	case "last_rows":
		return hotreader.LookBack
	}
	return 1e6
}

func number(raw json.RawMessage) (float64, error) {
	var value float64
	if json.Unmarshal(raw, &value) == nil && string(raw) != "null" {
		return value, nil
	}
	var o struct {
		Value *float64 `json:"value"`
	}
	if json.Unmarshal(raw, &o) == nil && o.Value != nil {
		return *o.Value, nil
	}
	return 0, errors.New(`expected a number, or an object with a number as "value"`)
}
