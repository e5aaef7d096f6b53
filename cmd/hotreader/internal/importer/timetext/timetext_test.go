package timetext

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

func wants(t *testing.T, f Format, text, want string) {
	t.Helper()
	r, ok := f.Parse(text)
	got := ""
	if ok {
		got = r.Time.Format("2006-01-02T15:04:05.999999999")
		if r.Instant {
			got += "Z"
		} else if r.Zone != "" {
			got += " " + r.Zone
		}
	}
	if got != want {
		t.Errorf("%s: %q is %q, want %q", f.Name, text, got, want)
	}
}

// What is found out of one text alone, "" = it is no time. Z: the text says which
// instant it is.
func TestCalendar(t *testing.T) {
	for text, want := range map[string]string{
		"2026-01-02T03:04:05.123456789Z":           "2026-01-02T03:04:05.123456789Z",
		"2026-01-02 03:04:05":                      "2026-01-02T03:04:05",
		"2026-01-02 03:04":                         "2026-01-02T03:04:00",
		"2026-01-02":                               "2026-01-02T00:00:00",
		"2026-1-2 3:04":                            "2026-01-02T03:04:00",
		"2026/01/02 03:04:05":                      "2026-01-02T03:04:05",
		"2026.01.02 03:04:05":                      "2026-01-02T03:04:05",
		"2026-01-02 03:04:05 UTC":                  "2026-01-02T03:04:05Z",
		"2026-01-02 03:04:05 utc":                  "2026-01-02T03:04:05Z",
		"2026-01-02 03:04:05GMT":                   "2026-01-02T03:04:05Z",
		"2026-01-02 03:04:05 Z":                    "2026-01-02T03:04:05Z",
		"2026-01-02 03:04:05 +0100":                "2026-01-02T02:04:05Z",
		"2026-01-02 03:04:05 -03:30":               "2026-01-02T06:34:05Z",
		"2026-01-02T03:04:05+01":                   "2026-01-02T02:04:05Z",
		"2026-01-02T03:04:05+01:00[Europe/Berlin]": "2026-01-02T02:04:05Z",
		"2026-01-02 03:04:05 CET":                  "2026-01-02T02:04:05Z",
		"2026-07-02 03:04:05 CEST":                 "2026-07-02T01:04:05Z",
		"2026-01-02 03:04:05 GMT+2":                "2026-01-02T01:04:05Z",
		"2026-01-02 03:04:05 IST":                  "2026-01-02T03:04:05 IST",
		"2026-01-02 03:04:05,25":                   "2026-01-02T03:04:05.25",
		"2026-01-02_03:04:05":                      "2026-01-02T03:04:05",
		"2026-01-02 24:00":                         "2026-01-03T00:00:00",
		"2026-12-31 24:00:00":                      "2027-01-01T00:00:00",
		"2026-01-02 3:04 PM":                       "2026-01-02T15:04:00",
		"2026-01-02 12:04 a.m.":                    "2026-01-02T00:04:00",
		"2026-01-02 3 pm":                          "2026-01-02T15:00:00",
		"02-Jan-2026 10:00:00":                     "2026-01-02T10:00:00",
		"2-jan-26 10:00":                           "2026-01-02T10:00:00",
		"02 January 2026 10:00":                    "2026-01-02T10:00:00",
		"2026-Jan-02 10:00":                        "2026-01-02T10:00:00",
		"02/Jan/2026:10:00:00 +0100":               "2026-01-02T09:00:00Z",
		"Jan 2, 2026 10:00:00 PM":                  "2026-01-02T22:00:00",
		"Jan 2, 2026, 10:00":                       "2026-01-02T10:00:00",
		"Fri, 02 Jan 2026 10:00:00 GMT":            "2026-01-02T10:00:00Z",
		"Fri Jan  2 10:00:00 2026":                 "2026-01-02T10:00:00",
		"Fri Jan  2 10:00:00 UTC 2026":             "2026-01-02T10:00:00Z",
		"02-Mai-2026 10:00":                        "2026-05-02T10:00:00",
		"Fr, 02.01.2026 10:00":                     "2026-01-02T10:00:00",
		"Mo. 5. Okt 2026 10:00":                    "2026-10-05T10:00:00",
		"20260102":                                 "2026-01-02T00:00:00",
		"20260102T030405Z":                         "2026-01-02T03:04:05Z",
		"20260102 030405":                          "2026-01-02T03:04:05",
		"20260102:0010":                            "2026-01-02T00:10:00",
		"20260102-03:04":                           "2026-01-02T03:04:00",
		"202601020304":                             "2026-01-02T03:04:00",
		"20260102030405":                           "2026-01-02T03:04:05",
		"10:00 2026-01-02":                         "2026-01-02T10:00:00",
		"31.12.2026 10:00":                         "2026-12-31T10:00:00",
		"31.12.26 10:00":                           "2026-12-31T10:00:00",
		"1.2.2026 9:05:06":                         "2026-02-01T09:05:06",
		"31/12/2026 10:00":                         "2026-12-31T10:00:00",
		"31-12-2026 10:00":                         "2026-12-31T10:00:00",
		"31/12/2026, 10:00:00":                     "2026-12-31T10:00:00",
		"31. 12. 2026 10:00":                       "2026-12-31T10:00:00",
		"10:00:00 31.12.2026":                      "2026-12-31T10:00:00",
		"12/31/2026 3:04 PM":                       "2026-12-31T15:04:00",
		"12/31/26 12:00:00 AM":                     "2026-12-31T00:00:00",
		"12/31/2026 3:04:05.678 PM":                "2026-12-31T15:04:05.678",
		"12-31-2026":                               "2026-12-31T00:00:00",
		"02/29/2024 24:00":                         "2024-03-01T00:00:00",

		"":                                "",
		"yesterday":                       "",
		"2026-13-01":                      "",
		"2026-02-30":                      "",
		"2026-01-01 25:00":                "",
		"2026-01-01 24:01":                "",
		"2026-01-01 10:60":                "",
		"2026-01-01 13:00 PM":             "",
		"2026-01-01 10:00:00 x":           "",
		"2026-01-01 10:00:00 hello world": "",
		"31/31/2026":                      "",
		"21.5":                            "",
		"1,5":                             "",
		"12":                              "",
		"1767225600":                      "",
		"10:00":                           "",
		"pump-7":                          "",
		"192.168.1.1":                     "",
		"2026":                            "",
		"Mayor":                           "",
	} {
		wants(t, Calendar([]string{text}, "").Format, text, want)
	}
}

// Numbers of each unit, spreadsheets' days, and layouts that are given.
func TestNamedFormats(t *testing.T) {
	for _, c := range []struct{ format, text, want string }{
		{"epoch_s", "1767225600", "2026-01-01T00:00:00Z"},
		{"epoch_s", "1767225600.25", "2026-01-01T00:00:00.25Z"},
		{"epoch_s", "1767225600,25", "2026-01-01T00:00:00.25Z"},
		{"epoch_s", "1.767E9", "2025-12-29T09:20:00Z"},
		{"epoch_s", "1.7672256e+09", "2026-01-01T00:00:00Z"},
		{"epoch_s", "-0.25", "1969-12-31T23:59:59.75Z"},
		{"epoch_s", "1e300", ""},
		{"epoch_s", "1767225600000", ""},
		{"epoch_s", "x", ""},
		{"epoch_ms", "1767225600001.000002", "2026-01-01T00:00:00.001000002Z"},
		{"epoch_us", "1767225600123456", "2026-01-01T00:00:00.123456Z"},
		{"epoch_ns", "1767225600123456789", "2026-01-01T00:00:00.123456789Z"},
		{"epoch_ns:text", "1767225600123456789", "2026-01-01T00:00:00.123456789Z"},
		{"excel", "46023", "2026-01-01T00:00:00"},
		{"excel", "46023.5", "2026-01-01T12:00:00"},
		{"excel", "46023,5", "2026-01-01T12:00:00"},
		{"excel", "46023.4166666667", "2026-01-01T10:00:00"},
		{"excel", "46023.41667", "2026-01-01T10:00:00"},
		{"excel", "46023.416672454", "2026-01-01T10:00:00.5"},
		{"excel", "1", "1900-01-01T00:00:00"},
		{"excel", "61", "1900-03-01T00:00:00"},
		{"excel", "0.5", ""},
		{"excel", "-1", ""},
		{"iso8601+09:00", "2026-01-01 09:00:00", "2026-01-01T00:00:00Z"},
		{"iso8601+09:00", "2026-01-01 09:00:00Z", "2026-01-01T09:00:00Z"},
		{"iso8601_minute", "2026-01-01T06:00Z", "2026-01-01T06:00:00Z"},
		{"%d.%m.%Y %H:%M", "31.12.2026 10:00", "2026-12-31T10:00:00"},
		{"%d.%m.%Y %H:%M", "31.12.2026 24:00", "2027-01-01T00:00:00"},
		{"%d.%m.%Y %H:%M", "24.12.2026 10:00", "2026-12-24T10:00:00"},
		{"%d.%m.%Y %H:%M", "24.12.2026 24:01", ""},
		{"%m/%d/%Y %H", "12/31/2026 24", "2027-01-01T00:00:00"},
		{"%Y %m %d %H", "2026 1 2 3", "2026-01-02T03:00:00"},
		{"%Y-%j", "2026-032", "2026-02-01T00:00:00"},
		{"%Y-%m-%d %H:%M:%S %z", "2026-01-02 03:04:05 +0100", "2026-01-02T02:04:05Z"},
		{"%Y-%m-%d %H:%M:%S %Z", "2026-01-02 03:04:05 CET", "2026-01-02T02:04:05Z"},
		{"%Y-%m-%d %H:%M:%S %Z", "2026-01-02 03:04:05 UTC", "2026-01-02T03:04:05Z"},
		{"%d/%b/%Y:%H:%M:%S.%f", "02/Jan/2026:03:04:05.5", "2026-01-02T03:04:05.5"},
		{"%I:%M %p, %d.%m.%y", "03:04 PM, 31.12.26", "2026-12-31T15:04:00"},
	} {
		f, err := ParseFormat(c.format)
		if err != nil {
			t.Errorf("%s: %v", c.format, err)
			continue
		}
		wants(t, f, c.text, c.want)
	}
	for name, says := range map[string]string{
		"iso": "is unknown; there are", "%H:%M": "names no year", "%Y-%Q": "is no strftime layout", "iso8601+x": "zone", "native": "unknown", "": "unknown",
	} {
		if f, err := ParseFormat(name); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q is taken for %+v, %v; want %q", name, f, err, says)
		}
	}
}

func TestDayAndMonth(t *testing.T) {
	for _, c := range []struct {
		samples, hint, want string
		undecided           bool
	}{
		{"01/02/2026|13/02/2026", "", "day, month, year", false},
		{"01/02/2026|02/13/2026", "", "month, day, year", false},
		{"01/02/2026|02/02/2026", "", "day, month, year", true},
		{"01/01/2026|02/02/2026", "", "day, month, year", false}, // it makes no difference
		{"01/02/2026", "DATE (MM/DD/YYYY)", "month, day, year", false},
		{"01/02/2026", "dd/mm/yyyy", "day, month, year", false},
		{"01.02.2026", "", "day, month, year", false},
		{"01-02-2026", "", "day, month, year", true},
		{"26-01-02 10:00|26-01-03 10:00", "", "day, month, year", true}, // or year, month, day
		{"26-01-02", "dd-mm-yy", "day, month, year", false},
		{"26/01/32|26/02/32", "", "day, month, year", false}, // no month has 32 days
		{"26-01-02|27-01-02", "", "day, month, year", false}, // the first goes on
		{"2026-01-02", "", "iso8601", false},
		{"02-Jan-2026", "", "iso8601", false},
	} {
		g := Calendar(strings.Split(c.samples, "|"), c.hint)
		if g.Format.Hint() != c.want || (g.Other != nil) != c.undecided {
			t.Errorf("%s (%s): %s, undecided %v; want %s, %v", c.samples, c.hint, g.Format.Hint(), g.Other != nil, c.want, c.undecided)
		}
	}
}

func TestUnits(t *testing.T) {
	for samples, want := range map[string]string{
		"1767225600|1767225601": "epoch_s", "1767225600000": "epoch_ms", "1767225600000000": "epoch_us", "1767225600000000000": "epoch_ns",
		"1.767E9": "epoch_s", "1767225600.5": "epoch_s", "0|1|2": "", "46023.5": "", "21.5": "", "x": "",
	} {
		if got := Numbers(strings.Split(samples, "|")).Format.Name; got != want {
			t.Errorf("%s: %q, want %q", samples, got, want)
		}
	}
	if g := Serials([]string{"46023", "46023.5", "7", "x"}); g.Matched != 2 {
		t.Errorf("%d days of a spreadsheet", g.Matched)
	}
}

// The order of the file separates the two passes of a repeated hour.
func TestTwice(t *testing.T) {
	for _, c := range []struct {
		name, walls, want string
		descending        bool
	}{
		{"each quarter", "01:45 02:00 02:15 02:30 02:45 02:00 02:15 02:30 02:45 03:00", "23:45 00:00 00:15 00:30 00:45 01:00 01:15 01:30 01:45 02:00", false},
		{"each hour", "01:00 02:00 02:00 03:00", "23:00 00:00 01:00 02:00", false},
		{"newest first", "03:00 02:30 02:00 02:30 02:00 01:30", "02:00 01:30 01:00 00:30 00:00 23:30", true},
		{"hours, newest first", "03:00 02:00 02:00 01:00", "02:00 01:00 00:00 23:00", true},
		{"once only", "01:00 02:30 03:00", "23:00 00:30 02:00", false},
		{"from within", "02:30 02:45 02:15", "00:30 00:45 01:15", false},
		{"in no order", "03:30 02:30 01:00", "02:30 ? 23:00", false},
		{"one out of order", "02:10 02:05 02:20 02:05", "00:10 01:05 01:20 ?", false},
		{"in no order, newest first", "01:00 02:30 03:00", "23:00 ? 02:00", true},
	} {
		zone, err := ParseZone("Europe/Berlin")
		if err != nil {
			t.Fatal(err)
		}
		clock := Clock{Zone: zone, Descending: c.descending}
		var got []string
		for wall := range strings.FieldsSeq(c.walls) {
			r, _ := iso.Parse("2026-10-25 " + wall)
			at, err := clock.Instant("", r)
			if err != nil && strings.Contains(err.Error(), "sort the file by time") {
				got = append(got, "?")
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, at.UTC().Format("15:04"))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %s, want %s", c.name, strings.Join(got, " "), c.want)
		}
	}
}

// Of so many series none more is remembered; their times that come once are read all the same.
func TestManySeries(t *testing.T) {
	zone, err := ParseZone("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	clock := Clock{Zone: zone}
	once, _ := iso.Parse("2026-10-25 01:00")
	twice, _ := iso.Parse("2026-10-25 02:00")
	for i := range maxSeries + 1 {
		if _, err := clock.Instant(strconv.Itoa(i), once); err != nil {
			t.Fatal(err)
		}
	}
	_, inside := clock.Instant("0", twice)
	_, beyond := clock.Instant(strconv.Itoa(maxSeries), twice)
	if inside != nil || beyond == nil || !strings.Contains(beyond.Error(), "split the file by device") || len(clock.last) > maxSeries {
		t.Errorf("%v, %v, %d are remembered", inside, beyond, len(clock.last))
	}
}

func TestZones(t *testing.T) {
	at := func(zone, text string) string {
		var c Clock
		if zone != "" {
			z, err := ParseZone(zone)
			if err != nil {
				return err.Error()
			}
			c.Zone = z
		}
		r, ok := iso.Parse(text)
		if !ok {
			return "no time"
		}
		got, err := c.Instant("", r)
		if err != nil {
			return err.Error()
		}
		return got.UTC().Format(time.RFC3339)
	}
	for _, c := range []struct{ zone, text, want string }{
		{"", "2026-01-01 10:00", "2026-01-01T10:00:00Z"},
		{"+01:00", "2026-01-01 10:00", "2026-01-01T09:00:00Z"},
		{"UTC", "2026-01-01 10:00", "2026-01-01T10:00:00Z"},
		{"GMT-5", "2026-01-01 10:00", "2026-01-01T15:00:00Z"},
		{"Europe/Berlin", "2026-07-01 10:00", "2026-07-01T08:00:00Z"},
		{"Europe/Berlin", "2026-07-01 10:00Z", "2026-07-01T10:00:00Z"},
		{"CET", "2026-07-01 10:00", "2026-07-01T08:00:00Z"},
		{"America/Chicago", "2026-11-01 01:30 CST", "2026-11-01T07:30:00Z"},
		{"America/Chicago", "2026-11-01 01:30 CDT", "2026-11-01T06:30:00Z"},
		{"", "2026-01-01 10:00 CST", "the zone CST is not known, or is several; name yours, as --zone America/Chicago"},
		{"Europe/Berlin", "2026-03-29 02:30", "2026-03-29 02:30:00 does not exist in Europe/Berlin, whose clocks skip it; if the file's clock does not change, give --zone with an offset, as +01:00"},
		{"Mars", "2026-01-01", "zone Mars is unknown; give a zone's name as Europe/Berlin, or an offset as +01:00 for a clock that never changes"},
		{"Local", "2026-01-01", "give a zone's name as Europe/Berlin, or an offset as +01:00 for a clock that never changes"},
		{"EST", "2026-07-01", "EST does not say when its clock changes; give your zone, as America/New_York, or an offset, as +01:00, if it never does"},
		{"cst", "2026-07-01", "cst does not say when its clock changes; give your zone, as America/Chicago, or an offset, as +01:00, if it never does"},
		{"Central Time", "2026-07-01", "Central Time does not say when its clock changes; give your zone, as America/Chicago, or an offset, as +01:00, if it never does"},
		{"EST5EDT", "2026-07-01 10:00", "2026-07-01T14:00:00Z"},
		{"chicago", "2026-07-01", "zone chicago is unknown; did you mean America/Chicago?"},
		{"AMERICA/new york", "2026-07-01", "zone AMERICA/new york is unknown; did you mean America/New_York?"},
	} {
		if got := at(c.zone, c.text); got != c.want {
			t.Errorf("%s in %q: %s, want %s", c.text, c.zone, got, c.want)
		}
	}
}

// Any text is read or rejected.
func FuzzCalendar(f *testing.F) {
	for _, text := range []string{"2026-01-02T03:04:05.5+01:00", "12/31/2026 3:04 PM", "Fri Jan  2 10:00:00 UTC 2026", "20260102T030405Z", "46023.5"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, f := range append([]Format{iso, dayFirst, monthFirst, serial}, epochs...) {
			if r, ok := f.Parse(text); ok && !inYears(r.Time) {
				t.Errorf("%s: %q is %v", f.Name, text, r.Time)
			}
		}
	})
}
