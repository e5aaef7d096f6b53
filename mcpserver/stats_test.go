package mcpserver

import (
	"strings"
	"testing"
	"time"

	"hotreader"
)

// Of a text that is cut anyhow, stats keeps no copy.
func TestLongTextsAreNotKept(t *testing.T) {
	at := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	var c counted
	for _, v := range []struct {
		value hotreader.Value
		want  string
	}{
		{hotreader.StringValue([]byte("short")), "short"},
		{hotreader.StringValue([]byte(strings.Repeat("x", 1_000_000))), "xx… (1000000 bytes)"},
		{hotreader.NumberValue([]byte(strings.Repeat("9", 1_000_000))), "99… (1000000 bytes)"},
		{hotreader.StringValue([]byte("short again")), "short again"},
	} {
		c.add(at, v.value)
		c.end("p")
		if got := c.Last.Value.(string); !strings.HasSuffix(got, v.want) || cap(c.text) > maxText || len(c.last.Text()) > maxText {
			t.Errorf("%.20s … %d bytes kept; want %s", got, cap(c.text), v.want)
		}
	}
}
