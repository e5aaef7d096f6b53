package twinmaker_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/codec/twinmaker"
)

// A few bytes of JSON must not become much memory, whatever the peer sends.
func TestPeerAnswersAreBounded(t *testing.T) {
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprint("p", i))
	}
	series := func(values string) []byte {
		return []byte(`{"propertyValues":[{"entityPropertyReference":{"propertyName":"p1"},"values":[` + values + `]}]}`)
	}
	var rows strings.Builder
	for i := range 60_000 {
		fmt.Fprintf(&rows, `{"time":%q,"value":{"doubleValue":1}},`, time.Unix(int64(i), 0).UTC().Format(time.RFC3339))
	}
	for name, body := range map[string][]byte{
		"empty points":      series(strings.Repeat(`{},`, 10<<20) + `{}`),
		"points of numbers": series(strings.Repeat(`1,`, 15<<20) + `1`),
		"warnings":          []byte(`{"propertyValues":[],"warnings":[` + strings.Repeat(`{},`, 10<<20) + `{}]}`),
		"a row a point":     series(strings.TrimSuffix(rows.String(), ",")),
		"a page of 6 MB":    series(strings.Repeat(`{"time":"2026-03-01T00:00:00.000Z","value":{"doubleValue":"NaN"}},`, 90_000) + `{"timestamp":1,"value":{"longValue":1}}`),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := twinmaker.ParseHistoryAnswer(body, hotreader.Query{Device: "d", Properties: names})
		runtime.ReadMemStats(&after)
		if took := (after.TotalAlloc - before.TotalAlloc) >> 20; errors.Is(err, hotreader.CodeTooLarge) == strings.HasPrefix(name, "a page") || took > 100 {
			t.Errorf("%s: %d MB, %v", name, took, err)
		}
	}
}
