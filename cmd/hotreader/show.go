package main

import (
	"fmt"
	"time"

	"hotreader"
	"hotreader/cmd/hotreader/internal/terminal"
)

// show writes a value for a person.
func show(v hotreader.Value) string {
	switch v.Kind() {
	case hotreader.Null:
		return "–"
	case hotreader.String:
		return terminal.Printable(string(v.Text()))
	}
	return v.String()
}

// appendPlainTime appends t in UTC with as many decimals as it has, three at
// least.
func appendPlainTime(dst []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(dst, "unknown"...)
	}
	at := len(dst)
	dst = hotreader.AppendTime(dst, t)
	dst[at+10] = ' '
	return dst[:len(dst)-1]
}

// ago writes an age roughly.
func ago(d time.Duration) string {
	switch {
	case d < -time.Minute:
		return "ahead of this clock"
	case d < 0:
		return "0 s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%s days", terminal.Count(int(d.Hours()/24)))
}
