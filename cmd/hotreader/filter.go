package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"hotreader"
)

const filterHelp = "as 'temperature>80', 'state!=off' or 'running=true' (operators = != < <= > >=)"

// parseFilter reads a filter as people write it: property, operator, value. A
// value is a number, true, false or text; quotes make text of anything.
func parseFilter(text string) (hotreader.Filter, error) {
	at := strings.IndexAny(text, "=!<>")
	if at < 0 {
		return hotreader.Filter{}, fmt.Errorf("%q has no operator; write it %s", text, filterHelp)
	}
	end := at
	for end < len(text) && strings.IndexByte("=!<>", text[end]) >= 0 {
		end++
	}
	name, value := strings.TrimSpace(text[:at]), strings.TrimSpace(text[end:])
	operator := text[at:end]
	if operator == "==" {
		operator = "="
	}
	op, err := hotreader.ParseOp(operator)
	if err != nil {
		return hotreader.Filter{}, fmt.Errorf("%q: operator %q is unknown; write it %s", text, operator, filterHelp)
	}
	if name == "" {
		return hotreader.Filter{}, fmt.Errorf("%q names no property; write it %s", text, filterHelp)
	}
	if value == "" {
		return hotreader.Filter{}, fmt.Errorf("%q has nothing to compare with; write it %s", text, filterHelp)
	}
	f := hotreader.Filter{Property: name, Op: op}
	switch {
	case value == "true" || value == "false":
		f.Value = hotreader.BoolValue(value == "true")
	case hotreader.IsNumber([]byte(value)):
		f.Value = hotreader.NumberValue([]byte(value))
	case len(value) >= 2 && value[0] == '\'' && value[len(value)-1] == '\'':
		f.Value = hotreader.StringValue([]byte(value[1 : len(value)-1]))
	case value[0] == '"':
		var s string
		if err := json.Unmarshal([]byte(value), &s); err != nil {
			return f, fmt.Errorf("%q: the quoted text does not end, or has a wrong escape", text)
		}
		f.Value = hotreader.StringValue([]byte(s))
	default:
		f.Value = hotreader.StringValue([]byte(value))
	}
	return f, nil
}
