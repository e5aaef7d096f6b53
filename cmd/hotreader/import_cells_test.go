package main

import "testing"

func TestFilesWithNumbers(t *testing.T) {
	const head = "timestamp,v\n2026-01-01T00:00:00Z,"
	const at = "2026-01-01T00:00:00 v="
	tryAll(t, []kind{
		{name: "without a zero", file: "timestamp,a,b,c,d,e,f\n2026-01-01,.5,-.25,+5,5.,007,-0.0\n", want: "2026-01-01T00:00:00 a=0.5 b=-0.25 c=5 d=5 e=7 f=-0.0"},
		{name: "exponents", file: "timestamp,a,b,c\n2026-01-01,1.767E9,.5e-3,1.e+3\n", want: "2026-01-01T00:00:00 a=1.767E9 b=0.5e-3 c=1e+3"},
		{name: "a minus as typeset", file: head + "−3.5\n", want: at + "-3.5"},
		{name: "more digits than a double", file: head + "12345678901234567890.123456789\n", want: at + "12345678901234567890.123456789"},
		{name: "missing among numbers", file: "timestamp,v\n2026-01-01 00:00,-\n2026-01-01 00:01,NA\n2026-01-01 00:02,n/a\n2026-01-01 00:03,None\n2026-01-01 00:04,#N/A\n2026-01-01 00:05,NaN\n2026-01-01 00:06,null\n2026-01-01 00:07,5\n2026-01-01 00:08,---\n",
			want: "2026-01-01T00:07:00 v=5", says: "v: 8 missing"},
		{name: "the same words in a column of texts", file: "timestamp,v\n2026-01-01 00:00,None\n2026-01-01 00:01,NA\n2026-01-01 00:02,open\n2026-01-01 00:03,closed\n2026-01-01 00:04,locked\n2026-01-01 00:05,null\n",
			want: "2026-01-01T00:00:00 v=\"None\"\n2026-01-01T00:01:00 v=\"NA\"\n2026-01-01T00:02:00 v=\"open\"\n2026-01-01T00:03:00 v=\"closed\"\n2026-01-01T00:04:00 v=\"locked\""},
		{name: "a sentinel", args: "--null -999,ERR", file: "timestamp,a,b\n2026-01-01 00:00,-999,1\n2026-01-01 00:01,-999.0,ERR\n2026-01-01 00:02,3,NA\n", want: "2026-01-01T00:00:00 b=1\n2026-01-01T00:02:00 a=3", says: "b: 2 missing"},
		{name: "a text among numbers keeps its kind", file: "timestamp,v\n2026-01-01 00:00,1\n2026-01-01 00:01,unavailable\n2026-01-01 00:02,true\n2026-01-01 00:03,2\n", want: "2026-01-01T00:00:00 v=1\n2026-01-01T00:01:00 v=\"unavailable\"\n2026-01-01T00:02:00 v=true\n2026-01-01T00:03:00 v=2"},
		{name: "declared", args: "--type code=STRING --type n=LONG --type on=BOOLEAN --type x=DOUBLE", file: "timestamp,code,n,on,x\n2026-01-01 00:00,007,5.0,1,a\n2026-01-01 00:01,-,5.5,off,1e3\n", want: "2026-01-01T00:00:00 code=\"007\" n=5 on=true\n2026-01-01T00:01:00 code=\"-\" on=false x=1e3", says: "n: 1 not LONG"},

		{name: "decimal comma, semicolons", file: "timestamp;v;w\n2026-01-01T00:00:00Z;1,5;2\n2026-01-01T00:00:01Z;-,25;3,0\n", want: "2026-01-01T00:00:00 v=1.5 w=2\n2026-01-01T00:00:01 v=-0.25 w=3.0", says: "decimal comma"},
		{name: "decimal comma and points", file: "timestamp;v\n2026-01-01T00:00:00Z;1.234,5\n2026-01-01T00:00:01Z;20,5\n2026-01-01T00:00:02Z;1.234.567\n", want: "2026-01-01T00:00:00 v=1234.5\n2026-01-01T00:00:01 v=20.5\n2026-01-01T00:00:02 v=1234567"},
		{name: "quoted, with commas between cells", file: "timestamp,v,w\n2026-01-01,\"1,5\",x\n2026-01-02,\"2,25\",y\n", want: "2026-01-01T00:00:00 v=1.5 w=\"x\"\n2026-01-02T00:00:00 v=2.25 w=\"y\""},
		{name: "thousands' commas", file: "timestamp,v\n2026-01-01,\"1,234.5\"\n2026-01-02,\"12\"\n", want: "2026-01-01T00:00:00 v=1234.5\n2026-01-02T00:00:00 v=12"},
		{name: "blanks as told", args: "--decimal , --thousands space", file: "timestamp;v\n2026-01-01;1 234,5\n2026-01-02;1\u00a0234\u202f567,5\n", want: "2026-01-01T00:00:00 v=1234.5\n2026-01-02T00:00:00 v=1234567.5"},
		{name: "apostrophes as told", args: "--thousands \u2019", file: "timestamp;v\n2026-01-01;1'234.5\n2026-01-02;7\n", want: "2026-01-01T00:00:00 v=1234.5\n2026-01-02T00:00:00 v=7"},
		{name: "points as told", args: "--thousands .", file: "timestamp;v\n2026-01-01;1.234\n2026-01-02;7,5\n", want: "2026-01-01T00:00:00 v=1234\n2026-01-02T00:00:00 v=7.5"},
		{name: "commas that may be either", file: "timestamp;v\n2026-01-01;1,234\n2026-01-02;2,345\n", want: "2026-01-01T00:00:00 v=\"1,234\"\n2026-01-02T00:00:00 v=\"2,345\"", says: "for numbers give --decimal or --thousands"},
		{name: "the same, told", args: "--decimal ,", file: "timestamp;v\n2026-01-01;1,234\n2026-01-02;2,345\n", want: "2026-01-01T00:00:00 v=1.234\n2026-01-02T00:00:00 v=2.345"},
		{name: "an epoch with a decimal comma", file: "time;v\n1767225600,5;1,5\n1767225601,25;1,0\n", want: "2026-01-01T00:00:00.5 v=1.5\n2026-01-01T00:00:01.25 v=1.0"},
	})
}

func TestFilesWithTimes(t *testing.T) {
	one := func(text, want string) kind {
		return kind{name: text, file: "Time;v\n" + text + ";1\n", want: want + " v=1"}
	}
	both := func(name, first, second, want1, want2 string) kind {
		return kind{name: name, file: "Date;v\n" + first + ";1\n" + second + ";2\n", want: want1 + " v=1\n" + want2 + " v=2"}
	}
	tryAll(t, []kind{
		one("31.12.2026 10:00", "2026-12-31T10:00:00"),
		one("1.2.2026 9:05", "2026-02-01T09:05:00"),
		one("12/31/2026 3:04 PM", "2026-12-31T15:04:00"),
		one("31/12/2026 15:04:05", "2026-12-31T15:04:05"),
		one("2026/01/02 03:04:05", "2026-01-02T03:04:05"),
		one("02-Jan-2026 10:00:00", "2026-01-02T10:00:00"),
		one("Jan 2, 2026 10:00:00 AM", "2026-01-02T10:00:00"),
		one("Fri, 02 Jan 2026 10:00:00 GMT", "2026-01-02T10:00:00"),
		one("20260102", "2026-01-02T00:00:00"),
		one("20260102T030405Z", "2026-01-02T03:04:05"),
		one("20260102:0010", "2026-01-02T00:10:00"),
		one("20260102030405", "2026-01-02T03:04:05"),
		one("2026-01-02 10:00:00 UTC", "2026-01-02T10:00:00"),
		one("2026-01-02 10:00:00 +0100", "2026-01-02T09:00:00"),
		one("2026-01-02 10:00:00 CET", "2026-01-02T09:00:00"),
		one("2026-01-02T10:00:00.123456789Z", "2026-01-02T10:00:00.123456789"),
		one("2026-01-02 10:00:00,250", "2026-01-02T10:00:00.25"),
		one("1767225600", "2026-01-01T00:00:00"),
		one("1767225600.25", "2026-01-01T00:00:00.25"),
		one("1767225600250", "2026-01-01T00:00:00.25"),
		one("1767225600250001", "2026-01-01T00:00:00.250001"),
		one("1767225600250000001", "2026-01-01T00:00:00.250000001"),
		one("1.767E9", "2025-12-29T09:20:00"),
		one("2026-01-01 24:00", "2026-01-02T00:00:00"),
		one("31.12.2026 24:00:00", "2027-01-01T00:00:00"),
		both("shown by a later line", "01/02/2026 10:00", "13/02/2026 10:00", "2026-02-01T10:00:00", "2026-02-13T10:00:00"),
		both("shown by a later line, month first", "01/02/2026 10:00", "01/13/2026 10:00", "2026-01-02T10:00:00", "2026-01-13T10:00:00"),
		both("seconds in some lines", "2026-01-01T06:00Z", "2026-01-01T06:00:59Z", "2026-01-01T06:00:00", "2026-01-01T06:00:59"),
		{name: "day or month", file: "Date,v\n01/02/2026 10:00,1\n02/02/2026 10:00,2\n", advice: "--time-format '%d/%m/%Y %H:%M:%S'", want: "2026-02-01T10:00:00 v=1\n2026-02-02T10:00:00 v=2"},
		{name: "month first, as told", args: "--time-format %m/%d/%Y_%H:%M", file: "Date,v\n01/02/2026 22:00,1\n02/02/2026 22:30,2\n", want: "2026-01-02T22:00:00 v=1\n2026-02-02T22:30:00 v=2"},
		{name: "days of a spreadsheet", file: "Time,v\n46023,1\n46023.5,2\n46023.7916666667,3\n", advice: "--time Time --time-format excel", want: "2026-01-01T00:00:00 v=1\n2026-01-01T12:00:00 v=2\n2026-01-01T19:00:00 v=3"},
		{name: "a layout", args: "--time when --time-format %Y-%j_%H%M", file: "when,v\n2026-032 1030,1\n", want: "2026-02-01T10:30:00 v=1"},
		{name: "a layout with AM and PM", args: "--time-format %I:%M_%p_%d.%m.%y", file: "time,v\n03:04 PM 31.12.26,1\n", want: "2026-12-31T15:04:00 v=1"},
		{name: "local times", args: "--zone Europe/Berlin", file: "Zeit;v\n31.07.2026 10:00;1\n31.12.2026 10:00;2\n", want: "2026-07-31T08:00:00 v=1\n2026-12-31T09:00:00 v=2"},
		{name: "the hour that comes twice", args: "--zone Europe/Berlin", file: "Zeit;v\n25.10.2026 01:00;1\n25.10.2026 02:00;2\n25.10.2026 02:30;3\n25.10.2026 02:00;4\n25.10.2026 02:30;5\n25.10.2026 03:00;6\n",
			want: "2026-10-24T23:00:00 v=1\n2026-10-25T00:00:00 v=2\n2026-10-25T00:30:00 v=3\n2026-10-25T01:00:00 v=4\n2026-10-25T01:30:00 v=5\n2026-10-25T02:00:00 v=6", says: "4 lines are in the hour that Europe/Berlin has twice"},
		{name: "newest first", args: "--zone America/New‿York", file: "time,v\n2026-11-01 02:00,5\n2026-11-01 01:00,4\n2026-11-01 01:00,3\n2026-11-01 00:00,2\n",
			want: "2026-11-01T04:00:00 v=2\n2026-11-01T05:00:00 v=3\n2026-11-01T06:00:00 v=4\n2026-11-01T07:00:00 v=5"},
		{name: "two devices within that hour", args: "--zone Europe/Berlin --device-column meter", file: "time,meter,v\n2026-10-25 02:00,a,1\n2026-10-25 02:00,b,2\n2026-10-25 02:00,a,3\n2026-10-25 02:00,b,4\n",
			want: "a 2026-10-25T00:00:00 v=1\na 2026-10-25T01:00:00 v=3\nb 2026-10-25T00:00:00 v=2\nb 2026-10-25T01:00:00 v=4"},
		{name: "an offset for all", args: "--zone -05:00", file: "time,v\n2026-01-01 00:00,1\n", want: "2026-01-01T05:00:00 v=1"},
		{name: "date and time apart", file: "Date,Time,v\n2026-01-01,10:00:00,1\n2026-01-01,10:01:00,2\n", want: "2026-01-01T10:00:00 v=1\n2026-01-01T10:01:00 v=2"},
		{name: "date and time apart, as told", args: "--time Date+Time", file: "Date,Time,v\n31/12/2026,23:00,1\n31/12/2026,24:00,2\n", want: "2026-12-31T23:00:00 v=1\n2027-01-01T00:00:00 v=2"},
		{name: "a radiation laboratory's", args: "--zone -07:00", file: "DATE (MM/DD/YYYY),MST,Global CMP22 (vent/cor) [W/m^2]\n01/02/2026,07:01,0.5\n01/02/2026,07:02,0.75\n", want: "2026-01-02T14:01:00 Global CMP22 (vent/cor) [W/m^2]=0.5\n2026-01-02T14:02:00 Global CMP22 (vent/cor) [W/m^2]=0.75"},
		{name: "date and hour ending", args: "--time Date+HE --time-format %m/%d/%Y_%H", file: "Date,HE,MW\n12/31/2026,1,10\n12/31/2026,24,33\n", want: "2026-12-31T01:00:00 MW=10\n2027-01-01T00:00:00 MW=33"},
		{name: "a part of the date in each column", file: "YEAR,MO,DY,HR,T2M\n2026,1,2,3,5.5\n2026,1,2,4,5.25\n", want: "2026-01-02T03:00:00 T2M=5.5\n2026-01-02T04:00:00 T2M=5.25"},
		{name: "date and hour", file: "Date,Hour,v\n2026-01-01,0,1\n2026-01-01,1,2\n2026-01-01,24,3\n", advice: "--time Date+Hour --time-format '%Y-%m-%d %H'", want: "2026-01-01T00:00:00 v=1\n2026-01-01T01:00:00 v=2\n2026-01-02T00:00:00 v=3"},
		{name: "date and time of day as digits", file: "DATE,MST,v\n20260102,0701,1\n20260102,2400,2\n", want: "2026-01-02T07:01:00 v=1\n2026-01-03T00:00:00 v=2"},
		{name: "days alone", file: "Date,v\n2026-01-01,1\n2026-01-02,2\n", want: "2026-01-01T00:00:00 v=1\n2026-01-02T00:00:00 v=2"},
		{name: "a buoy's", file: "#YY  MM DD hh mm WDIR WSPD\n#yr  mo dy hr mn degT m/s\n2026 01 02 03 40 120  5.0\n2026 01 02 03 50 MM  5.5\n", args: "--null MM", want: "2026-01-02T03:40:00 WDIR=120 WSPD=5.0\n2026-01-02T03:50:00 WSPD=5.5"},
		{name: "a zone in the column's name", file: "\"Plot Title: 10162474\"\n\"#\",\"Date Time, GMT-05:00\",\"Temp, °C (LGR S/N: 1)\"\n1,01/31/26 12:00:00 AM,21.5\n2,01/31/26 01:00:00 PM,22.25\n",
			want: "2026-01-31T05:00:00 #=1 Temp, °C (LGR S/N: 1)=21.5\n2026-01-31T18:00:00 #=2 Temp, °C (LGR S/N: 1)=22.25", says: "-05:00"},
	})
}
