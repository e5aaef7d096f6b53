package main

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
)

func TestFilesWithLinesAroundTheTable(t *testing.T) {
	tryAll(t, []kind{
		{name: "sep=", file: "sep=;\ntimestamp;a\n2026-01-01;1\n", want: "2026-01-01T00:00:00 a=1"},
		{name: "a title, then names", file: "Boiler house\nExported 2026-02-01\n\ntimestamp,a,b\n2026-01-01,1,2\n2026-01-02,3,4\n", want: "2026-01-01T00:00:00 a=1 b=2\n2026-01-02T00:00:00 a=3 b=4"},
		{name: "facts before the table", file: "Station,Berlin\nSerial,ABC-1\nCreated,2026-02-01\ntimestamp,a,b\n2026-01-01,1,2\n2026-01-02,3,4\n2026-01-03,5,6\n2026-01-04,7,8\n", want: "2026-01-01T00:00:00 a=1 b=2\n2026-01-02T00:00:00 a=3 b=4\n2026-01-03T00:00:00 a=5 b=6\n2026-01-04T00:00:00 a=7 b=8"},
		{name: "comments", file: "# made by a logger\n# firmware 3, 2026-01-01\ntimestamp,a\n2026-01-01,1\n# paused\n2026-01-02,2\n", want: "2026-01-01T00:00:00 a=1\n2026-01-02T00:00:00 a=2"},
		{name: "names in a comment", file: "# logger 7\n# timestamp,a,b\n2026-01-01,1,2\n2026-01-02,2,3\n", want: "2026-01-01T00:00:00 a=1 b=2\n2026-01-02T00:00:00 a=2 b=3"},
		{name: "comments as told", args: "--comment //", file: "// a\ntime,a\n2026-01-01,1\n// b,c\n2026-01-02,2\n", want: "2026-01-01T00:00:00 a=1\n2026-01-02T00:00:00 a=2"},
		{name: "a line of units", file: "timestamp,temp,hum\ns,°C,%\n2026-01-01 00:00,21.5,45\n", want: "2026-01-01T00:00:00 temp=21.5 hum=45"},
		{name: "a line of units in brackets, semicolons", file: "Zeit;Leistung;Status\n[-];[kW];[-]\n01.02.2026 00:00;1,5;ok\n13.02.2026 00:00;2,5;ok\n", want: "2026-02-01T00:00:00 Leistung=1.5 Status=\"ok\"\n2026-02-13T00:00:00 Leistung=2.5 Status=\"ok\""},
		{name: "a data logger's four lines", file: "\"TOA5\",\"CR1000\",\"CR1000\",\"1234\",\"CR1000.Std.32\",\"CPU:x.CR1\",\"999\",\"Min10\"\n\"TIMESTAMP\",\"RECORD\",\"batt_volt_Min\",\"AirTC\"\n\"TS\",\"RN\",\"Volts\",\"Deg C\"\n\"\",\"\",\"Min\",\"Avg\"\n\"2026-01-01 00:10:00\",0,12.5,3.25\n\"2026-01-01 00:20:00\",1,12.5,\"NAN\"\n",
			want: "2026-01-01T00:10:00 RECORD=0 batt_volt_Min=12.5 AirTC=3.25\n2026-01-01T00:20:00 RECORD=1 batt_volt_Min=12.5", says: "AirTC: 1 missing"},
		{name: "the same with as many cells in the first line", file: "\"TOA5\",\"CR1000\",\"x\",\"1234\"\n\"TIMESTAMP\",\"RECORD\",\"batt\",\"AirTC\"\n\"TS\",\"RN\",\"Volts\",\"Deg C\"\n\"\",\"\",\"Min\",\"Avg\"\n\"2026-01-01 00:10:00\",0,12.5,3.25\n\"2026-01-01 00:20:00\",1,12.5,3.5\n",
			want: "2026-01-01T00:10:00 RECORD=0 batt=12.5 AirTC=3.25\n2026-01-01T00:20:00 RECORD=1 batt=12.5 AirTC=3.5"},
		{name: "solar data with a tail", args: "--bad-lines skip", file: "Latitude (decimal degrees):\t45.000\nElevation (m):\t122\nRadiation database:\tPVGIS-SARAH2\n\n\ntime,G(i),T2m\n20260101:0010,0.0,1.2\n20260101:0110,10.0,1.25\n\nG(i): Global irradiance (W/m2)\nPVGIS (c) European Union, 2001-2022\n",
			want: "2026-01-01T00:10:00 G(i)=0.0 T2m=1.2\n2026-01-01T01:10:00 G(i)=10.0 T2m=1.25"},
		{name: "a line of units with a number", file: "time,a,b\n-,1,m3/h\n2026-01-01,1,2\n2026-01-02,1,2\n", want: "2026-01-01T00:00:00 a=1 b=2\n2026-01-02T00:00:00 a=1 b=2"},
		{name: "a first line of data that is bad", file: "time,a\nyesterday,1\n2026-01-02,2\n", advice: "--bad-lines skip", want: "2026-01-02T00:00:00 a=2"},
		{name: "names and data as told", args: "--header-line 2 --skip-after-header 1", file: "a,b,c\ntime,x,y\n2020-01-01,0,0\n2026-01-01,1,2\n", want: "2026-01-01T00:00:00 x=1 y=2"},
		{name: "no names", file: "2026-01-01,1.5,ok\n2026-01-02,2.5,ok\n", advice: "--header-line 0", want: "2026-01-01T00:00:00 column2=1.5 column3=\"ok\"\n2026-01-02T00:00:00 column2=2.5 column3=\"ok\""},
		{name: "bars", file: "timestamp|a\n2026-01-01|1\n", want: "2026-01-01T00:00:00 a=1"},
		{name: "tabs", file: "Time of day\ta\n2026-01-01\t1\n", want: "2026-01-01T00:00:00 a=1"},
		{name: "blanks", file: "date       time      temp\n2026-01-01 00:00:00  1.5\n2026-01-01 00:10:00 -2.5\n", want: "2026-01-01T00:00:00 temp=1.5\n2026-01-01T00:10:00 temp=-2.5"},
		{name: "another delimiter", args: "--delimiter ^", file: "timestamp^a\n2026-01-01^1\n", want: "2026-01-01T00:00:00 a=1"},
		{name: "quoted names, semicolons", file: "\"Zeit\";\"Temperatur\"\n\"2026-01-01 00:00\";\"1,5\"\n", want: "2026-01-01T00:00:00 Temperatur=1.5"},
		{name: "carriage returns alone", file: "timestamp,a\r2026-01-01,1\r2026-01-02,2\r", want: "2026-01-01T00:00:00 a=1\n2026-01-02T00:00:00 a=2"},
		{name: "the time in another column, with epoch beside it", file: "v,epoch,ts\n1,1767225600,2026-01-01T00:00:00Z\n", want: "2026-01-01T00:00:00 v=1 epoch=1767225600"},
		{name: "two times", file: "timestamp,time,v\n2026-01-01,2026-02-01,1\n", advice: "--time timestamp", want: "2026-01-01T00:00:00 time=\"2026-02-01\" v=1"},
		{name: "a name with comma and blank", args: "--only \"Water_Temp,_°C\"", file: "time,\"Water Temp, °C\",b\n2026-01-01,1.5,2\n", want: "2026-01-01T00:00:00 Water Temp, °C=1.5"},
		{name: "renamed and left out", args: "--rename Water_Temp,_°C=water --rename b=", file: "time,\"Water Temp, °C\",b\n2026-01-01,1.5,2\n", want: "2026-01-01T00:00:00 water=1.5"},
	})
}

func TestFilesWithOddLines(t *testing.T) {
	tryAll(t, []kind{
		{name: "a delimiter behind each line", file: "timestamp,a,b,\n2026-01-01,1,2,\n2026-01-02,3,,\n", want: "2026-01-01T00:00:00 a=1 b=2\n2026-01-02T00:00:00 a=3"},
		{name: "behind the lines of data alone", file: "timestamp,a,b\n2026-01-01,1,2,,\n", want: "2026-01-01T00:00:00 a=1 b=2"},
		{name: "behind the names alone", file: "timestamp;a;b;\n2026-01-01;1;2\n", want: "2026-01-01T00:00:00 a=1 b=2"},
		{name: "a first column without a name", file: ",timestamp,a\n0,2026-01-01,1\n1,2026-01-02,2\n", want: "2026-01-01T00:00:00 a=1\n2026-01-02T00:00:00 a=2", says: "column 1 has no name"},
		{name: "which holds the time", file: ",a\n2026-01-01 00:00:00,1\n2026-01-02 00:00:00,2\n", want: "2026-01-01T00:00:00 a=1\n2026-01-02T00:00:00 a=2"},
		{name: "which is wanted", args: "--rename column1=index", file: ",timestamp,a\n7,2026-01-01,1\n", want: "2026-01-01T00:00:00 index=7 a=1"},
		{name: "a last line that is cut", file: "timestamp,a,b\n2026-01-01,1,2\n2026-01-02,3", advice: "--bad-lines skip", want: "2026-01-01T00:00:00 a=1 b=2"},
		{name: "a last line that is cut within its time", file: "timestamp,a\n2026-01-01,1\n2026-0", advice: "--bad-lines skip", want: "2026-01-01T00:00:00 a=1"},
		{name: "a line too long", file: "timestamp,a\n2026-01-01,1\n2026-01-02,2,3\n2026-01-03,4\n", advice: "--bad-lines skip", want: "2026-01-01T00:00:00 a=1\n2026-01-03T00:00:00 a=4"},
		{name: "a quote that is not closed", file: "timestamp,a,b\n2026-01-01,\"x,1\n2026-01-02,y,2\n2026-01-03,z,3\n", advice: "--bad-lines skip", want: "2026-01-02T00:00:00 a=\"y\" b=2\n2026-01-03T00:00:00 a=\"z\" b=3"},
		{name: "a quote that another closes", file: "timestamp,a,b\n2026-01-01,\"x,1\n2026-01-02,y,2\n2026-01-03,\"z\",3\n", advice: "--bad-lines skip", want: "2026-01-02T00:00:00 a=\"y\" b=2\n2026-01-03T00:00:00 a=\"z\" b=3"},
		{name: "quotes within", file: "timestamp,a\n2026-01-01,5\" pipe\n2026-01-02,\"say \"\"hi\"\"\"\n2026-01-03,\"two\nlines\"\n", want: "2026-01-01T00:00:00 a=\"5\\\" pipe\"\n2026-01-02T00:00:00 a=\"say \\\"hi\\\"\"\n2026-01-03T00:00:00 a=\"two\\nlines\""},
		{name: "the header again", file: "timestamp,a\n2026-01-01,1\ntimestamp,a\n2026-01-02,2\n", want: "2026-01-01T00:00:00 a=1\n2026-01-02T00:00:00 a=2", says: "1 line is the header once more"},
		{name: "two columns of one name", file: "timestamp,temp,temp,temp\n2026-01-01,1,2,3\n", want: "2026-01-01T00:00:00 temp=1 temp_2=2 temp_3=3"},
		{name: "two columns of one name, and the header again", file: "timestamp,temp,temp\n2026-01-01,1,2\ntimestamp,temp,temp\n2026-01-02,3,4\n", want: "2026-01-01T00:00:00 temp=1 temp_2=2\n2026-01-02T00:00:00 temp=3 temp_2=4"},
		{name: "blanks around", file: "timestamp, a , b\n2026-01-01, 1 , x y \n", want: "2026-01-01T00:00:00 a=1 b=\"x y\""},
		{name: "blank lines", file: "\n\ntimestamp,a\n\n2026-01-01,1\n,\n  \n2026-01-02,2\n", want: "2026-01-01T00:00:00 a=1\n2026-01-02T00:00:00 a=2"},
		{name: "a formula that was guarded", file: "time,a\n2026-01-01,'=1+1\n", want: "2026-01-01T00:00:00 a=\"=1+1\""},
	})
}

func TestFilesInLongFormat(t *testing.T) {
	tryAll(t, []kind{
		{name: "a line for each value", file: "time,sensor,value\n2026-01-01 00:00,temp,21.5\n2026-01-01 00:00,hum,45\n2026-01-01 00:01,temp,21.25\n", advice: "--pivot sensor=value", want: "2026-01-01T00:00:00 temp=21.5 hum=45\n2026-01-01T00:01:00 temp=21.25"},
		{name: "with units beside", args: "--pivot Channel=Reading", file: "Date;Time;Channel;Reading;Unit\n01.02.2026;00:00:00;1;21,5;°C\n13.02.2026;00:00:00;2;45,0;%\n", want: "2026-02-01T00:00:00 1=21.5\n2026-02-13T00:00:00 2=45.0", says: "left out beside --pivot: \"Unit\""},
		{name: "a database's", args: "--pivot ‿field=‿value --device-column host", file: "#group,false,false,true,true\n#datatype,string,long,dateTime:RFC3339,double,string,string\n#default,_result,,,,,\n,result,table,_time,_value,_field,host\n,,0,2026-01-01T00:00:00Z,1.5,cpu,a\n,,1,2026-01-01T00:00:00Z,2.5,mem,a\n,,2,2026-01-01T00:00:00Z,3.5,cpu,b\n",
			want: "a 2026-01-01T00:00:00 cpu=1.5 mem=2.5\nb 2026-01-01T00:00:00 cpu=3.5"},
		{name: "texts and numbers", file: "entity_id,state,last_changed\nsensor.temp,21.5,2026-01-01T00:00:00.5Z\nbinary.door,off,2026-01-01T00:00:01Z\nsensor.temp,unavailable,2026-01-01T00:00:02Z\n", advice: "--pivot entity_id=state",
			want: "2026-01-01T00:00:00.5 sensor.temp=21.5\n2026-01-01T00:00:01 binary.door=\"off\"\n2026-01-01T00:00:02 sensor.temp=\"unavailable\""},
		{name: "some of the properties", args: "--pivot sensor=value --only temp --rename temp=temperature", file: "time,sensor,value\n2026-01-01 00:00,temp,21.5\n2026-01-01 00:00,hum,45\n", want: "2026-01-01T00:00:00 temperature=21.5"},
		{name: "as it is", args: "--pivot none", file: "time,sensor,value\n2026-01-01 00:00,temp,21.5\n2026-01-01 00:01,hum,45\n", want: "2026-01-01T00:00:00 sensor=\"temp\" value=21.5\n2026-01-01T00:01:00 sensor=\"hum\" value=45"},
		{name: "in JSON", file: `{"ts":"2026-01-01T00:00:00Z","metric":"temp","value":21.5}` + "\n" + `{"ts":"2026-01-01T00:00:00Z","metric":"on","value":true}` + "\n", advice: "--pivot metric=value", want: "2026-01-01T00:00:00 temp=21.5 on=true"},
		{name: "several values in a line", file: "time,probe,low,high\n2026-01-01 00:00,in,1,2\n2026-01-01 00:00,out,3,4\n2026-01-01 00:01,in,5,6\n2026-01-01 00:01,out,7,8\n", advice: "--device-column probe",
			want: "in 2026-01-01T00:00:00 low=1 high=2\nin 2026-01-01T00:01:00 low=5 high=6\nout 2026-01-01T00:00:00 low=3 high=4\nout 2026-01-01T00:01:00 low=7 high=8"},
		{name: "within the hour that comes twice", args: "--zone Europe/Berlin --pivot sensor=value", file: "time,sensor,value\n2026-10-25 02:00,a,1\n2026-10-25 02:00,b,2\n2026-10-25 02:00,a,3\n2026-10-25 02:00,b,4\n", want: "2026-10-25T00:00:00 a=1 b=2\n2026-10-25T01:00:00 a=3 b=4"},
	})
}

func TestFilesOfJSON(t *testing.T) {
	tryAll(t, []kind{
		{name: "lines", file: `{"timestamp":"2026-01-01T00:00:00Z","a":73.90,"b":true,"c":"5","d":null}` + "\n", want: "2026-01-01T00:00:00 a=73.90 b=true c=\"5\""},
		{name: "nested", file: `{"time":"2026-01-01T00:00:00Z","telemetry":{"temp":21.5,"gps":{"lat":1.5}},"tags":["a","b"]}` + "\n", want: "2026-01-01T00:00:00 telemetry.temp=21.5 telemetry.gps.lat=1.5 tags=\"[\\\"a\\\",\\\"b\\\"]\""},
		{name: "a time within", file: `{"meta":{"ts":1767225600250},"v":1}` + "\n", want: "2026-01-01T00:00:00.25 v=1"},
		{name: "a switch's", file: `{"Time":"2026-01-01T00:00:00","AM2301":{"Temperature":21.5,"Humidity":40},"TempUnit":"C"}` + "\n", want: "2026-01-01T00:00:00 AM2301.Temperature=21.5 AM2301.Humidity=40 TempUnit=\"C\""},
		{name: "an array", file: `[{"time":"2026-01-01","a":1},` + "\n" + `{"time":"2026-01-02","a":2}]`, want: "2026-01-01T00:00:00 a=1\n2026-01-02T00:00:00 a=2"},
		{name: "an array over many lines", file: "[\n  {\n    \"time\": \"2026-01-01\",\n    \"a\": 1\n  }\n]\n", want: "2026-01-01T00:00:00 a=1"},
		{name: "one after the other", file: `{"time":"2026-01-01","a":1}{"time":"2026-01-02","a":2} {"time":"2026-01-03","a":3}`, want: "2026-01-01T00:00:00 a=1\n2026-01-02T00:00:00 a=2\n2026-01-03T00:00:00 a=3"},
		{name: "over many lines, one after the other", file: "{\n\"time\":\"2026-01-01\",\n\"a\":1\n}\n{\n\"time\":\"2026-01-02\",\n\"a\":2\n}\n", want: "2026-01-01T00:00:00 a=1\n2026-01-02T00:00:00 a=2"},
		{name: "a document with results", file: `{"count":2,"results":[{"$ts":"2026-01-01T00:00:00Z","temp":1},{"$ts":"2026-01-02T00:00:00Z","temp":2}],"next":null}`, want: "2026-01-01T00:00:00 temp=1\n2026-01-02T00:00:00 temp=2"},
		{name: "pages of our own answers", file: `{"items":[{"time":"2026-01-01T00:00:00.000Z","a":1}],"next_token":"x"}` + "\n" + `{"items":[{"time":"2026-01-02T00:00:00.000Z","a":2}],"next_token":null}` + "\n", want: "2026-01-01T00:00:00 a=1\n2026-01-02T00:00:00 a=2"},
		{name: "results deeper within", file: `{"data":{"sensor":"x","readings":[{"timestamp":1767225600,"v":1}]}}`, want: "2026-01-01T00:00:00 v=1"},
		{name: "a channel and its feeds", file: `{"channel":{"id":9,"created_at":"2014-01-01T00:00:00Z"},"feeds":[{"created_at":"2026-01-01T00:00:00Z","entry_id":1,"field1":"21.5"}]}`, args: "--type field1=DOUBLE", want: "2026-01-01T00:00:00 entry_id=1 field1=21.5"},
		{name: "DynamoDB's export", file: `{"Item":{"timestamp":{"S":"2026-01-01T00:00:00Z"},"t":{"N":"1.50"},"on":{"BOOL":true},"m":{"M":{"x":{"N":"2"}}},"l":{"L":[{"N":"1"},{"S":"a"}]},"z":{"NULL":true}}}` + "\n" + `{"Item":{"timestamp":{"S":"2026-01-01T00:00:01Z"},"t":{"N":"2"}}}` + "\n",
			want: "2026-01-01T00:00:00 t=1.50 on=true m.x=2 l=\"[1,\\\"a\\\"]\"\n2026-01-01T00:00:01 t=2"},
		{name: "DynamoDB's scan", file: `{"Items":[{"ts":{"N":"1767225600"},"t":{"N":"1"}},{"ts":{"N":"1767225601"},"t":{"N":"2"}}],"Count":2,"ScannedCount":2}`, want: "2026-01-01T00:00:00 t=1\n2026-01-01T00:00:01 t=2"},
		{name: "DynamoDB's items alone", file: `{"timestamp":{"S":"2026-01-01"},"t":{"N":"1"}}` + "\n", want: "2026-01-01T00:00:00 t=1"},
		{name: "a stream's new images", file: `{"eventName":"INSERT","dynamodb":{"NewImage":{"timestamp":{"S":"2026-01-01"},"t":{"N":"1"}}}}` + "\n", want: "2026-01-01T00:00:00 t=1"},
		{name: "what Python writes", file: `{"time":"2026-01-01","a":NaN,"b":-Infinity,"c":1}` + "\n", want: "2026-01-01T00:00:00 c=1"},
		{name: "a line that is cut", file: `{"time":"2026-01-01","a":1}` + "\n" + `{"time":"2026-01-02","a":` + "\n" + `{"time":"2026-01-03","a":3}` + "\n", advice: "--bad-lines skip", want: "2026-01-01T00:00:00 a=1\n2026-01-03T00:00:00 a=3"},
		{name: "a line without a time", file: `{"time":"2026-01-01","a":1}` + "\n" + `{"a":2}` + "\n", advice: "--bad-lines skip", want: "2026-01-01T00:00:00 a=1"},
		{name: "columns chosen", args: "--only a.b --rename a.b=x", file: `{"time":"2026-01-01","a":{"b":1,"c":2}}` + "\n", want: "2026-01-01T00:00:00 x=1"},
		{name: "log lines of Go", file: `{"level":"info","ts":1767225600.5,"msg":"started","took":0.25}` + "\n", want: "2026-01-01T00:00:00.5 level=\"info\" msg=\"started\" took=0.25"},
	})
}

func TestFilesInOtherEncodings(t *testing.T) {
	encoded := func(e interface{ String(string) (string, error) }, text string) string {
		out, err := e.String(text)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	const text = "timestamp;Größe €;b\n2026-01-01;1,5;Straße\n2026-01-02;2,5;x\n"
	const want = "2026-01-01T00:00:00 Größe €=1.5 b=\"Straße\"\n2026-01-02T00:00:00 Größe €=2.5 b=\"x\""
	const czech = "čas;stav\n2026-01-01;Žluťoučký\n"
	tryAll(t, []kind{
		{name: "UTF-8 with a mark", file: "\ufeff" + text, want: want},
		{name: "UTF-16 with a mark", file: encoded(unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder(), text), want: want, says: "utf-16le"},
		{name: "UTF-16, big end first", file: encoded(unicode.UTF16(unicode.BigEndian, unicode.UseBOM).NewEncoder(), text), want: want},
		{name: "UTF-16 without a mark", file: encoded(unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM).NewEncoder(), text), want: want},
		{name: "UTF-16 as told", args: "--encoding utf-16", file: encoded(unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder(), text), want: want},
		{name: "Western Europe's, found out", file: encoded(charmap.Windows1252.NewEncoder(), text), advice: "--encoding windows-1252", want: want},
		{name: "latin1", args: "--encoding latin1", file: encoded(charmap.ISO8859_1.NewEncoder(), "time,Größe\n2026-01-01,1\n"), want: "2026-01-01T00:00:00 Größe=1"},
		{name: "Central Europe's", args: "--encoding cp1250 --time čas", file: encoded(charmap.Windows1250.NewEncoder(), czech), want: "2026-01-01T00:00:00 stav=\"Žluťoučký\""},
		{name: "DOS", args: "--encoding cp437", file: encoded(charmap.CodePage437.NewEncoder(), "time,Größe\n2026-01-01,1\n"), want: "2026-01-01T00:00:00 Größe=1"},
		{name: "JSON in Western Europe's", file: encoded(charmap.Windows1252.NewEncoder(), `{"time":"2026-01-01","b":"ß"}`+"\n"), advice: "--encoding windows-1252", want: "2026-01-01T00:00:00 b=\"ß\""},
	})
}

// Bad lines are in a file with their reasons; once mended, it can be imported.
func TestRejectedLines(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.WriteFile("f.csv", []byte("timestamp,a\n2026-01-01,1\n2026-01-02\nyesterday,2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	result, _, code := runImport(t, "bolt:s.db", []string{"--device", "d", "--bad-lines", "skip", "f.csv"})
	if code != 0 || result.BadLines != 2 || len(result.Rejected) != 1 || result.Rejected[0] != "f.csv.rejected" {
		t.Fatalf("exit code %d: %+v", code, result)
	}
	rejected, err := os.ReadFile("f.csv.rejected")
	want := "timestamp,a\n# f.csv:3: it has 1 cells, the header has 2\n2026-01-02\n# f.csv:4: \"yesterday\" is not a time as the others are (iso8601)\nyesterday,2\n"
	if err != nil || string(rejected) != want {
		t.Errorf("%v: %s, want %s", err, rejected, want)
	}
	mended := strings.Replace(strings.Replace(string(rejected), "2026-01-02\n", "2026-01-02,5\n", 1), "\nyesterday", "\n2026-01-03", 1)
	if err := os.WriteFile("mended.csv", []byte(mended), 0o600); err != nil {
		t.Fatal(err)
	}
	if result, talk, code := runImport(t, "bolt:s.db", []string{"--device", "d", "mended.csv"}); code != 0 || result.Stored != 2 {
		t.Errorf("exit code %d, %+v: %s", code, result, talk)
	}
	// A file that is there is never overwritten.
	if result, _, _ := runImport(t, "bolt:t.db", []string{"--device", "d", "--bad-lines", "skip", "f.csv"}); result.Rejected[0] != "f.csv.rejected.2" {
		t.Errorf("the lines are in %s", result.Rejected)
	}
}
