package sniff

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"hotreader/cmd/hotreader/internal/importer/timetext"
)

// said writes what a file was taken for.
func said(g Guess) string {
	var parts []string
	if g.JSON {
		parts = append(parts, fmt.Sprintf("lines=%v path=%v inner=%v typed=%v", g.Shape.Lines, g.Shape.Path, g.Shape.Inner, g.Shape.Typed))
	} else {
		parts = append(parts, fmt.Sprintf("%q names=%d data=%d", g.Delimiter, g.HeaderLine, g.DataLine))
	}
	var names []string
	for _, i := range g.Time {
		names = append(names, g.Columns[i].Name)
	}
	parts = append(parts, "time="+strings.Join(names, "+")+" "+g.Format.Hint())
	for _, m := range []struct {
		name string
		mark rune
	}{{"decimal", g.Style.Decimal}, {"thousands", g.Style.Thousands}} {
		if m.mark != 0 {
			parts = append(parts, m.name+string(m.mark))
		}
	}
	if g.Descending {
		parts = append(parts, "descending")
	}
	if g.Device >= 0 {
		parts = append(parts, fmt.Sprintf("device=%s %v", g.Columns[g.Device].Name, g.Devices))
	}
	if g.Key >= 0 {
		parts = append(parts, fmt.Sprintf("pairs=%s=%s %v", g.Columns[g.Key].Name, g.Columns[g.Value].Name, g.Keys))
	}
	for _, c := range g.Columns {
		if g.Unsure && c.Unsure != "" {
			parts = append(parts, "unsure="+c.Name)
		}
	}
	if g.Zone != "" {
		parts = append(parts, "zone="+g.Zone)
	}
	return strings.Join(parts, " ")
}

func TestLook(t *testing.T) {
	for _, c := range []struct{ name, head, want string }{
		{"commas", "timestamp,a\n2026-01-01,1\n", `',' names=1 data=2 time=timestamp iso8601`},
		{"semicolons and commas", "time;a;b\n2026-01-01;1,5;2,5\n", `';' names=1 data=2 time=time iso8601 decimal,`},
		{"tabs", "time\ta\n2026-01-01\t1\n", `'\t' names=1 data=2 time=time iso8601`},
		{"bars", "time|a\n2026-01-01|1\n", `'|' names=1 data=2 time=time iso8601`},
		{"blanks", "time   a\n2026-01-01  1\n", `' ' names=1 data=2 time=time iso8601`},
		{"said by the first line", "sep=;\ntime;a,b\n2026-01-01;1\n", `';' names=2 data=3 time=time iso8601`},
		{"quoted", "\"time\";\"a;b\"\n\"2026-01-01\";\"1\"\n", `';' names=1 data=2 time=time iso8601`},
		{"fractions with a comma", "time;a\n2026-01-01 10:00:00,123;5\n2026-01-01 10:00:01,123;5\n", `';' names=1 data=2 time=time iso8601`},
		{"points and commas", "time;a\n2026-01-01;1.234,5\n", `';' names=1 data=2 time=time iso8601 decimal, thousands.`},
		{"a point, or thousands", "time;a;b\n2026-01-01;1.469;-2.001\n2026-01-02;999;\n", `';' names=1 data=2 time=time iso8601 unsure=a unsure=b`},
		{"a point that another column shows", "time;a;b\n2026-01-01;1.469;1.5\n", `';' names=1 data=2 time=time iso8601`},
		{"a point after nothing", "time;a\n2026-01-01;1.469\n2026-01-02;0.469\n", `';' names=1 data=2 time=time iso8601`},
		{"a point among commas", "time,a\n2026-01-01,1.469\n", `',' names=1 data=2 time=time iso8601`},
		{"title", "Report\n\ntime,a\n2026-01-01,1\n", `',' names=3 data=4 time=time iso8601`},
		{"units", "time,a\ns,°C\n2026-01-01,1\n2026-01-02,2\n", `',' names=1 data=3 time=time iso8601`},
		{"names in a comment", "# x\n#time,a\n2026-01-01,1\n2026-01-02,2\n", `',' names=2 data=3 time=time iso8601`},
		{"the time is not the first", "a,when\n1,2026-01-01 10:00\n", `',' names=1 data=2 time=when iso8601`},
		{"date and time of day", "Date,Time,a\n13.02.2026,10:00,1\n", `',' names=1 data=2 time=Date+Time day, month, year`},
		{"a time that is no time", "time,stamp,a\n0,2026-01-01,1\n1,2026-01-02,1\n", `',' names=1 data=2 time=stamp iso8601`},
		{"parts of a date", "year,month,day,hour,a\n2026,1,2,3,4\n", `',' names=1 data=2 time=year+month+day+hour %Y %m %d %H`},
		{"seconds", "ts,a\n1767225600,1\n", `',' names=1 data=2 time=ts epoch_s, seconds since 1970`},
		{"nanoseconds", "_time,a\n1767225600000000000,1\n", `',' names=1 data=2 time=_time epoch_ns, nanoseconds since 1970`},
		{"newest first", "time,a\n2026-01-02,1\n2026-01-01,1\n", `',' names=1 data=2 time=time iso8601 descending`},
		{"zone in the name", "\"Date Time, GMT-05:00\",a\n01/13/26 10:00,1\n", `',' names=1 data=2 time=Date Time, GMT-05:00 month, day, year zone=-05:00`},
		{"a zone's name in the name", "Time [America/New_York],a\n2026-01-13 10:00,1\n", `',' names=1 data=2 time=Time [America/New_York] iso8601 zone=America/New_York`},
		{"a zone in the second name", "Date,Time (MEZ),a\n13.02.2026,10:00,1\n", `',' names=1 data=2 time=Date+Time (MEZ) day, month, year zone=MEZ`},
		{"no zone in the name", "Date/Time et,a\n2026-01-13 10:00,1\n", `',' names=1 data=2 time=Date/Time et iso8601`},
		{"devices", "Device ID,time,a\nx,2026-01-01,1\ny,2026-01-01,1\n", `',' names=1 data=2 time=time iso8601 device=Device ID [x y]`},
		{"one device", "device,time,a\nx,2026-01-01,1\nx,2026-01-02,1\n", `',' names=1 data=2 time=time iso8601 device=device [x]`},
		{"an id for each row", "id,time,a\n1,2026-01-01,1\n2,2026-01-02,1\n", `',' names=1 data=2 time=time iso8601`},
		{"pairs", "time,sensor,value\n2026-01-01,t,1\n2026-01-01,h,1\n", `',' names=1 data=2 time=time iso8601 device=sensor [t h] pairs=sensor=value [t h]`},
		{"a text beside a value", "time,status,value\n2026-01-01,on,1\n2026-01-02,off,1\n", `',' names=1 data=2 time=time iso8601`},
		{"only names", "timestamp,a\n", `',' names=1 data=0 time=timestamp iso8601`},

		{"JSON lines", `{"ts":1767225600,"a":1}` + "\n", `lines=true path=[] inner=[] typed=false time=ts epoch_s, seconds since 1970`},
		{"an array", ` [ {"time":"2026-01-01"}]`, `lines=false path=[] inner=[] typed=false time=time iso8601`},
		{"a document", `{"a":{"results":[{"time":"2026-01-01"}]}}`, `lines=false path=[a results] inner=[] typed=false time=time iso8601`},
		{"a record with an array", `{"time":"2026-01-01","gateways":[{"time":"2026-01-02"}]}` + "\n", `lines=true path=[] inner=[] typed=false time=time iso8601`},
		{"a cut document", `{"results":[{"time":"2026-01-01","a":1},{"ti`, `lines=false path=[results] inner=[] typed=false time=time iso8601`},
		{"wrapped types", `{"Item":{"time":{"S":"2026-01-01"}}}` + "\n", `lines=true path=[] inner=[Item] typed=true time=time iso8601`},
		{"nested time", `{"a":{"$ts":"2026-01-01"},"b":1}`, `lines=true path=[] inner=[] typed=false time=a.$ts iso8601`},
	} {
		g, err := Look([]byte(c.head), true, Options{HeaderLine: FindHeader})
		if got := said(g); err != nil || got != c.want {
			t.Errorf("%s: %s, %v; want %s", c.name, got, err, c.want)
		}
	}
}

func TestWhatIsToldStands(t *testing.T) {
	layout, err := timetext.ParseFormat("%d/%m/%Y")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		head  string
		given Options
		want  string
	}{
		{"a,b;c\n2026-01-01,1;2\n", Options{Delimiter: ';', HeaderLine: FindHeader, Time: "a,b"}, `"2026-01-01,1" in "a,b" is not a time that is known`},
		{"x,y\ntime,a\n2026-01-01,1\n", Options{HeaderLine: 1}, `',' names=1 data=3 time=x iso8601`},
		{"2026-01-01,1\n", Options{HeaderLine: 0}, `',' names=0 data=1 time=column1 iso8601`},
		{"time,at,a\n2026-01-01,2026-01-02,1\n", Options{HeaderLine: FindHeader, Time: "at"}, `',' names=1 data=2 time=at iso8601`},
		{"D+T,a\n2026-01-01,1\n", Options{HeaderLine: FindHeader, Time: "D+T"}, `',' names=1 data=2 time=D+T iso8601`},
		{"D,T,a\n2026-01-01,10:00,1\n", Options{HeaderLine: FindHeader, Time: "D+T"}, `',' names=1 data=2 time=D+T iso8601`},
		{"time,a\n01/02/2026,1\n", Options{HeaderLine: FindHeader, TimeFormat: &layout}, `',' names=1 data=2 time=time %d/%m/%Y`},
		{"// x\ntime,a\n2026-01-01,1\n", Options{HeaderLine: FindHeader, Comment: "//"}, `',' names=2 data=3 time=time iso8601`},
		{`{"a":1}`, Options{HeaderLine: FindHeader, Format: "csv"}, `no column holds a time`},
		{"time,a\n2026-01-01,1\n", Options{HeaderLine: FindHeader, Format: "json"}, `lines=false path=[] inner=[] typed=false time= iso8601`},
	} {
		g, err := Look([]byte(c.head), true, c.given)
		got := said(g)
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%q: %s, want %s", c.head, got, c.want)
		}
	}
}

// Each message names the flag that helps.
func TestAdvice(t *testing.T) {
	for head, want := range map[string]string{
		"":                                        "0: the file is empty",
		"2026-01-01,1\n2026-01-02,2\n":            "1: this is data, and no line before it names the columns; give --header-line 0",
		"a,b\n1,2\n":                              "1: no column holds a time that is known; there are \"a\", \"b\"; name the one that does with --time",
		"time,a\n46023.5,1\n":                     "2: \"46023.5\" in \"time\" may be a spreadsheet's count of days; give --time time --time-format excel",
		"time,a\nsoon,1\n":                        "2: \"soon\" in \"time\" is not a time that is known; give --time-format",
		"time,a\n26-01-02 00:00:00,1\n":           "1: in \"time\", \"26-01-02 00:00:00\" may begin with the day or with the year; give --time-format '%d-%m-%y %H:%M:%S' for the day, or '%y-%m-%d %H:%M:%S'",
		"time,a\n01/02/2026,1\n02/02/2026,2\n":    "1: in \"time\", \"01/02/2026\" may begin with the day or with the month; give --time-format",
		"time,timestamp\n2026-01-01,2026-01-02\n": "1: both \"timestamp\" and \"time\" are there, and either may hold the time; give --time timestamp or --time time",
		`{"h":{"time":["2026-01-01"],"t":[1]}}`:   `1: "h.time" holds an array, but import reads an object for each time; make those first: jq -c '.h as $all | $all.time | keys[]`,
		`{"time":["2026-01-01"],"t":[1]}`:         `1: "time" holds an array, but import reads an object for each time; make those first: jq -c '. as $all | $all.time | keys[]`,
		"time,a\n2026-01-01,\xff\n":               "2: it is not UTF-8 text; give --encoding windows-1252",
	} {
		_, err := Look([]byte(head), true, Options{HeaderLine: FindHeader})
		e, ok := errors.AsType[*Error](err)
		if !ok {
			t.Errorf("%q: %v, want %s", head, err, want)
			continue
		}
		if got := fmt.Sprintf("%d: %s", e.Line, e.Text); !strings.HasPrefix(got, want) {
			t.Errorf("%q: %s, want %s", head, got, want)
		}
	}
}

// What is cut off before a line ends that names columns is not called empty.
func TestNoLineEnds(t *testing.T) {
	for _, head := range []string{strings.Repeat("column,", 100), strings.Repeat("\n", 700), "\n\n" + strings.Repeat("x", 698)} {
		if _, err := Look([]byte(head), false, Options{HeaderLine: FindHeader}); err == nil || !strings.HasPrefix(err.Error(), "in its first 700 bytes no line ends") {
			t.Errorf("%.20q: %v", head, err)
		}
	}
}

func TestEncoding(t *testing.T) {
	for _, c := range []struct{ head, given, name, wrong string }{
		{"abc", "", "utf-8", ""}, {"\xef\xbb\xbfabc", "", "utf-8", ""}, {"\xff\xfea\x00", "", "utf-16le", ""}, {"\xfe\xff\x00a", "utf-16", "utf-16be", ""},
		{"a\x00b\x00c\x00d\x00", "", "utf-16le", ""}, {"\x00a\x00b\x00c\x00d", "", "utf-16be", ""},
		{"abc", "latin1", "latin1", ""}, {"abc", "CP1250", "cp1250", ""}, {"abc", "cp850", "cp850", ""}, {"abc", "utf-8-sig", "utf-8-sig", ""},
		{"abc", "klingon", "klingon", "encoding klingon is unknown"},
	} {
		name, _, _, err := Encoding([]byte(c.head), c.given)
		if name != c.name || (err != nil) != (c.wrong != "") || err != nil && !strings.HasPrefix(err.Error(), c.wrong) {
			t.Errorf("%q, %s: %s, %v", c.head, c.given, name, err)
		}
	}
}

// Any bytes are taken for something, or rejected.
func FuzzLook(f *testing.F) {
	for _, head := range []string{"time;a\n2026-01-01;1,5\n", "#a\nb,c\n1,2\n", `{"x":[{"time":1}]}`, "sep=;\n", "\"", "a b\n2026-01-01 1\n"} {
		f.Add([]byte(head), true)
	}
	f.Fuzz(func(t *testing.T, head []byte, whole bool) {
		g, err := Look(head, whole, Options{HeaderLine: FindHeader})
		if err == nil && len(g.Columns) > 0 && len(g.Time) == 0 {
			t.Errorf("%q: no time and no error", head)
		}
	})
}
