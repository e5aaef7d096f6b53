package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"hotreader"
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
