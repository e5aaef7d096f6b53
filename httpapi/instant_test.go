package httpapi

import (
	"strings"
	"testing"
	"time"
)

func TestInstants(t *testing.T) {
	now := time.Date(2026, 3, 29, 12, 0, 0, 250, time.UTC)
	for text, want := range map[string]string{
		"2026-01-01":                "2026-01-01T00:00:00Z",
		"2026-01-01T00:00+01:00":    "2025-12-31T23:00:00Z",
		"0":                         "1970-01-01T00:00:00Z",
		"1386018900":                "2013-12-02T21:15:00Z",
		"1386018900.25":             "2013-12-02T21:15:00.25Z",
		"1386018900000":             "2013-12-02T21:15:00Z", // Grafana's ${__from}
		"1386018900123.5":           "2013-12-02T21:15:00.1235Z",
		"1386018900.1234567899":     "2013-12-02T21:15:00.123456789Z",
		"99999999999":               "5138-11-16T09:46:39Z",
		"100000000000":              "1973-03-03T09:46:40Z",
		"now":                       "2026-03-29T12:00:00.00000025Z",
		"-24h":                      "2026-03-28T12:00:00.00000025Z",
		"now-7d":                    "2026-03-22T12:00:00.00000025Z",
		"-1d12h":                    "2026-03-28T00:00:00.00000025Z",
		"now+90m":                   "2026-03-29T13:30:00.00000025Z",
		"-2w3s500ms":                "2026-03-15T11:59:56.50000025Z",
		"":                          "expected ISO 8601",
		"20260101":                  "it would be 1970-08-23",
		"1386018900000000":          "micro- or nanoseconds",
		"99999999999999999999":      "expected ISO 8601",
		"1386018900.2.5":            "expected ISO 8601",
		"-24":                       "expected ISO 8601",
		"-":                         "expected ISO 8601",
		"yesterday":                 "expected ISO 8601",
		"1h":                        "expected ISO 8601",
		"now-":                      "in ms, s, m, h, d or w",
		"now1h":                     "in ms, s, m, h, d or w",
		"now-1h30":                  "in ms, s, m, h, d or w",
		"-1M":                       "in ms, s, m, h, d or w",
		"now/d":                     "in ms, s, m, h, d or w",
		"-h":                        "in ms, s, m, h, d or w",
		"-99999999999999999999999h": "more than 200 years away",
		"-73000d73000d":             "more than 200 years away",
	} {
		got, relative, err := readInstant(text, now)
		switch {
		case err != nil:
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v; want %s", text, err, want)
			}
		case got.Format(time.RFC3339Nano) != want:
			t.Errorf("%q is %s; want %s", text, got.Format(time.RFC3339Nano), want)
		case relative != (text[0] == 'n' || text[0] == '-'):
			t.Errorf("%q is relative: %v", text, relative)
		}
	}
}

func FuzzInstants(f *testing.F) {
	for _, text := range []string{"now-1d12h", "-24h", "1386018900.5", "1386018900000", "2026-01-01T00:00:00Z", "-9223372036854775807ms1w"} {
		f.Add(text)
	}
	now := time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		at, relative, err := readInstant(text, now)
		if err == nil && relative && at.Sub(now).Abs() > mostFar {
			t.Errorf("%q is %v", text, at)
		}
	})
}
