package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hotreader"
	"hotreader/codec/plain"
)

const timeHelp = "an instant (2026-03-02T06:00:00Z; without a zone UTC), now, or before now as -90m, -24h, -7d, -2w"

// instant is a flag that holds a point in time, absolute or relative to now.
type instant struct {
	time time.Time
	text string
	now  func() time.Time
}

func (i *instant) String() string { return i.text }
func (i *instant) Type() string   { return "time" }

func (i *instant) Set(text string) error {
	t, err := parseInstant(text, i.now())
	if err != nil {
		return err
	}
	i.time, i.text = t, text
	return nil
}

func parseInstant(text string, now time.Time) (time.Time, error) {
	text = strings.TrimSpace(text)
	if text == "now" {
		return now, nil
	}
	if strings.HasPrefix(text, "-") || strings.HasPrefix(text, "+") {
		d, err := parseSpan(text[1:])
		if err != nil {
			return time.Time{}, err
		}
		if text[0] == '-' {
			d = -d
		}
		return now.Add(d), nil
	}
	t, err := hotreader.ParseTime([]byte(text))
	if err != nil {
		return time.Time{}, fmt.Errorf("give %s", timeHelp)
	}
	return t, nil
}

// parseSpan reads a Go duration, and besides whole or broken days (d) and weeks (w).
func parseSpan(text string) (time.Duration, error) {
	unit := time.Duration(0)
	switch {
	case strings.HasSuffix(text, "d"):
		unit = 24 * time.Hour
	case strings.HasSuffix(text, "w"):
		unit = 7 * 24 * time.Hour
	}
	if unit > 0 {
		n, err := strconv.ParseFloat(text[:len(text)-1], 64)
		if err == nil && n >= 0 && n*float64(unit) < float64(1<<62) {
			return time.Duration(n * float64(unit)), nil
		}
	} else if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return d, nil
	}
	return 0, fmt.Errorf("%q is not a span of time; give one as 90m, 24h, 7d or 2w", text)
}

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

// nameList is a flag that holds names, separated by commas. A name in double
// quotes may have commas, too; any other is taken as it is.
type nameList []string

func (l *nameList) String() string { return strings.Join(*l, ",") }

// Type returns what help calls a value.
func (l *nameList) Type() string { return "name" }

// Set adds names.
func (l *nameList) Set(text string) error {
	names, err := plain.Names(text)
	*l = append(*l, names...)
	return err
}

// words offers a flag's words to the shell.
func words(cmd *cobra.Command, flag string, words ...string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag's name is wrong: every test would find it
	}
}
