// Package laidout has items as others lay them out, and how each is to be read: what
// inspect must find, on every store that can hold such items.
package laidout

import (
	"context"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/layout"
)

// A Shape is a table that nobody told us about.
type Shape struct {
	Name      string
	Partition string   // the path of the field that partitions items
	Sort      string   // the path of the field that holds the time
	Items     []string // as JSON
	Device    string   // that is asked for; "" = any

	Layout layout.Layout // to be found
	Of     string        // the device that it is tried with
	Latest string        // its latest properties: a=1 b=2
	Says   string        // in a reason, in what is not placed, or in a problem
	Broken bool          // no layout reads it; the problem is said
	Keyed  bool          // it takes a database that says what its key is
}

// Nested reports whether a key lies within an object, which DynamoDB has not.
func (s *Shape) Nested() bool { return strings.Contains(s.Partition+s.Sort, ".") }

// Renamed returns s with another name for a field.
func (s *Shape) Renamed(from, to string) Shape {
	other := *s
	other.Items = nil
	for _, text := range s.Items {
		other.Items = append(other.Items, strings.ReplaceAll(text, from, to))
	}
	for _, key := range []*string{&other.Partition, &other.Sort, &other.Layout.DeviceKey, &other.Layout.TimeKey} {
		*key = strings.ReplaceAll(*key, from, to)
	}
	return other
}

// Fields are the items' fields.
func (s *Shape) Fields() []map[string]any {
	var all []map[string]any
	for _, text := range s.Items {
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		var fields map[string]any
		if err := d.Decode(&fields); err != nil {
			panic(text + ": " + err.Error()) // the list below is wrong: every test would find it
		}
		all = append(all, fields)
	}
	return all
}

func formats(names ...string) layout.Formats { return names }

// Shapes are tables of all kinds.
var Shapes = []Shape{
	{Name: "flat, as the deployer's", Partition: "device_id", Sort: "timestamp",
		Items: []string{
			`{"device_id":"pump-7","timestamp":"2026-03-02T06:00:00Z","id":"pump-7_1","temperature":20.5,"state":"on"}`,
			`{"device_id":"pump-7","timestamp":"2026-03-02T06:00:01.5Z","id":"pump-7_2","temperature":21.5,"state":"off"}`,
			`{"device_id":"pump-8","timestamp":"2026-03-02T06:00:00.25Z","id":"pump-8_1","temperature":1,"state":"on"}`},
		Of: "pump-7", Latest: "state=off temperature=21.5"},
	{Name: "an IoT rule's columns, milliseconds", Partition: "deviceId", Sort: "ts",
		Items: []string{
			`{"deviceId":"pump-7","ts":1767225600123,"temperature":20.5,"running":true}`,
			`{"deviceId":"pump-7","ts":1767225601123,"temperature":21.5,"running":false}`},
		Layout: layout.Layout{DeviceKey: "deviceId", TimeKey: "ts", TimeFormat: formats(layout.EpochMillis)},
		Of:     "pump-7", Latest: "running=false temperature=21.5"},
	{Name: "an IoT rule's columns, numbers as text, a place that never changes", Partition: "deviceId", Sort: "ts",
		Items: []string{
			`{"deviceId":"pump-7","ts":1767225600123,"temperature":20.5,"pressure":"1.013","site":{"hall":"A","x":3,"y":4.25,"z":1}}`,
			`{"deviceId":"pump-7","ts":1767225601123,"temperature":21.5,"pressure":"1.014","site":{"hall":"A","x":3,"y":4.25,"z":1}}`},
		Layout: layout.Layout{DeviceKey: "deviceId", TimeKey: "ts", TimeFormat: formats(layout.EpochMillis)},
		Of:     "pump-7", Latest: "pressure=1.014 site.hall=A site.x=3 site.y=4.25 site.z=1 temperature=21.5", Says: "site.NAME"},
	{Name: "an IoT rule's topics", Partition: "topic", Sort: "received", Keyed: true,
		Items: []string{
			`{"topic":"plant/p/data","received":1767225600123,"payload":{"temperature":20.5}}`,
			`{"topic":"plant/q/data","received":1767225601123,"payload":{"temperature":21.5}}`},
		Layout: layout.Layout{DeviceKey: "topic", TimeKey: "received", Partition: "plant/{device}/data", TimeFormat: formats(layout.EpochMillis), Properties: layout.Properties{Base: "payload"}},
		Of:     "q", Latest: "temperature=21.5", Says: "plant/{device}/data"},
	{Name: "an IoT rule's payload in one column", Partition: "thing", Sort: "sample_time",
		Items: []string{
			`{"thing":"pump-7","sample_time":1767225600,"payload":{"temperature":20.5,"motor":{"speed":900},"firmware":"1.2"},"topic":"dt/pump-7"}`,
			`{"thing":"pump-7","sample_time":1767225601,"payload":{"temperature":21.5,"motor":{"speed":901},"firmware":"1.2"},"topic":"dt/pump-7"}`},
		Layout: layout.Layout{DeviceKey: "thing", TimeKey: "sample_time", TimeFormat: formats(layout.EpochSecs), Properties: layout.Properties{Base: "payload"}},
		Of:     "pump-7", Latest: "firmware=1.2 motor.speed=901 temperature=21.5", Says: "topic"},
	{Name: "IoT Hub's messages", Partition: "SystemProperties.iothub-connection-device-id", Sort: "SystemProperties.iothub-enqueuedtime",
		Items: []string{
			`{"id":"a1","SystemProperties":{"iothub-connection-device-id":"pump-7","iothub-enqueuedtime":"2026-03-02T06:00:00.123Z","contentType":"application/json"},"Properties":{"alert":"false"},"iothub-name":"hub","Body":{"temperature":20.5,"humidity":55}}`,
			`{"id":"a2","SystemProperties":{"iothub-connection-device-id":"pump-7","iothub-enqueuedtime":"2026-03-02T06:00:01.123Z","contentType":"application/json"},"Properties":{"alert":"false"},"iothub-name":"hub","Body":{"temperature":21.5,"humidity":56}}`,
			`{"id":"a3","SystemProperties":{"iothub-connection-device-id":"pump-8","iothub-enqueuedtime":"2026-03-02T06:00:00.123Z","contentType":"application/json"},"Properties":{"alert":"false"},"iothub-name":"hub","Body":{"temperature":1,"humidity":2}}`},
		Layout: layout.Layout{DeviceKey: "SystemProperties.iothub-connection-device-id", TimeKey: "SystemProperties.iothub-enqueuedtime", Properties: layout.Properties{Base: "Body"}},
		Of:     "pump-7", Latest: "humidity=56 temperature=21.5"},
	{Name: "IoT Hub's messages by its own partition key", Partition: "partitionKey", Sort: "SystemProperties.iothub-enqueuedtime",
		Items: []string{
			`{"id":"a1","partitionKey":"pump-7-2026-02","SystemProperties":{"iothub-connection-device-id":"pump-7","iothub-enqueuedtime":"2026-02-02T06:00:00.123Z"},"iothub-name":"hub","Body":{"temperature":20.5,"humidity":55}}`,
			`{"id":"a2","partitionKey":"pump-7-2026-03","SystemProperties":{"iothub-connection-device-id":"pump-7","iothub-enqueuedtime":"2026-03-02T06:00:01.123Z"},"iothub-name":"hub","Body":{"temperature":21.5,"humidity":56}}`},
		Layout: layout.Layout{DeviceKey: "partitionKey", TimeKey: "SystemProperties.iothub-enqueuedtime", Partition: "{device}-{yyyy-MM}", Properties: layout.Properties{Base: "Body"}},
		Of:     "pump-7", Latest: "humidity=56 temperature=21.5", Keyed: true},
	{Name: "IoT Hub's messages, the device's own clock", Partition: "SystemProperties.iothub-connection-device-id", Sort: "Body.ts",
		Items: []string{
			`{"id":"a1","SystemProperties":{"iothub-connection-device-id":"pump-7","iothub-enqueuedtime":"2026-03-02T06:00:00.123Z"},"Body":{"ts":1772431200000,"telemetry":{"temperature":20.5,"humidity":55}}}`,
			`{"id":"a2","SystemProperties":{"iothub-connection-device-id":"pump-7","iothub-enqueuedtime":"2026-03-02T06:00:01.123Z"},"Body":{"ts":1772431201000,"telemetry":{"temperature":21.5,"humidity":56}}}`},
		Layout: layout.Layout{DeviceKey: "SystemProperties.iothub-connection-device-id", TimeKey: "Body.ts", TimeFormat: formats(layout.EpochMillis), Properties: layout.Properties{Base: "Body.telemetry"}},
		Of:     "pump-7", Latest: "humidity=56 temperature=21.5", Says: "took Body.ts"},
	{Name: "Stream Analytics", Partition: "deviceId", Sort: "time",
		Items: []string{
			`{"deviceId":"pump-7","time":"2026-03-02T06:00:00.0000000Z","temperature":20.5,"EventProcessedUtcTime":"2026-03-02T06:00:09.1234567Z","PartitionId":1,"EventEnqueuedUtcTime":"2026-03-02T06:00:03.1230000Z","IoTHub":{"MessageId":null,"ConnectionDeviceId":"pump-7","EnqueuedTime":"2026-03-02T06:00:03.0000000Z"},"id":"x1"}`,
			`{"deviceId":"pump-7","time":"2026-03-02T06:00:05.0000000Z","temperature":21.5,"EventProcessedUtcTime":"2026-03-02T06:00:19.1234567Z","PartitionId":1,"EventEnqueuedUtcTime":"2026-03-02T06:00:07.1230000Z","IoTHub":{"MessageId":null,"ConnectionDeviceId":"pump-7","EnqueuedTime":"2026-03-02T06:00:07.0000000Z"},"id":"x2"}`},
		Layout: layout.Layout{DeviceKey: "deviceId", TimeKey: "time"},
		Of:     "pump-7", Latest: "temperature=21.5", Says: "EventProcessedUtcTime"},
	{Name: "a constant before the device", Partition: "pk", Sort: "sk", Keyed: true,
		Items: []string{
			`{"pk":"site-4#pump-7","sk":"READING#2026-03-02T06:00:00Z","device":"pump-7","temperature":20.5}`,
			`{"pk":"site-4#pump-7","sk":"READING#2026-03-02T06:00:01Z","device":"pump-7","temperature":21.5}`},
		Layout: layout.Layout{DeviceKey: "pk", TimeKey: "sk", Partition: "site-4#{device}", TimePrefix: "READING#"},
		Of:     "pump-7", Latest: "temperature=21.5", Says: "site-4#pump-7"},
	{Name: "a constant before the device, which is asked for", Partition: "pk", Sort: "sk", Device: "pump-7",
		Items: []string{
			`{"pk":"site-4#pump-7","sk":"2026-03-02T06:00:00Z","temperature":20.5}`,
			`{"pk":"site-4#pump-7","sk":"2026-03-02T06:00:01Z","temperature":21.5}`},
		Layout: layout.Layout{DeviceKey: "pk", TimeKey: "sk", Partition: "site-4#{device}"},
		Of:     "pump-7", Latest: "temperature=21.5"},
	{Name: "a constant before several devices", Partition: "pk", Sort: "sk",
		Items: []string{
			`{"pk":"site-4#pump-7","sk":"2026-03-02T06:00:00Z","temperature":20.5}`,
			`{"pk":"site-4#fan-1","sk":"2026-03-02T06:00:01Z","temperature":21.5}`},
		Layout: layout.Layout{DeviceKey: "pk", TimeKey: "sk", Partition: "site-4#{device}"},
		Of:     "fan-1", Latest: "temperature=21.5"},
	{Name: "a word before the one device", Partition: "PK", Sort: "SK",
		Items: []string{
			`{"PK":"DEVICE#pump-7","SK":"TS#1767225600123","temperature":20.5}`,
			`{"PK":"DEVICE#pump-7","SK":"TS#1767225601123","temperature":21.5}`},
		Layout: layout.Layout{DeviceKey: "PK", TimeKey: "SK", Partition: "DEVICE#{device}", TimeFormat: formats("epoch_ms:text"), TimePrefix: "TS#"},
		Of:     "pump-7", Latest: "temperature=21.5"},
	{Name: "an id with a sign in it", Partition: "device_id", Sort: "timestamp",
		Items: []string{`{"device_id":"site-4#pump-7","timestamp":"2026-03-02T06:00:00Z","temperature":21.5}`},
		Of:    "site-4#pump-7", Latest: "temperature=21.5", Says: "as a whole"},
	{Name: "a numeric id", Partition: "device_id", Sort: "timestamp",
		Items: []string{`{"device_id":7,"timestamp":"2026-03-02T06:00:00Z","temperature":20}`, `{"device_id":7,"timestamp":"2026-03-02T06:00:01Z","temperature":21.5}`},
		Of:    "7", Latest: "temperature=21.5"},
	{Name: "partitions of a day", Partition: "pk", Sort: "sk",
		Items: []string{
			`{"pk":"pump-7#2026-03-01","sk":"2026-03-01T23:59:59Z","temperature":20.5}`,
			`{"pk":"pump-7#2026-03-02","sk":"2026-03-02T06:00:01Z","temperature":21.5}`},
		Layout: layout.Layout{DeviceKey: "pk", TimeKey: "sk", Partition: "{device}#{yyyy-MM-dd}"},
		Of:     "pump-7", Latest: "temperature=21.5"},
	{Name: "partitions of a month, numbers", Partition: "bucket", Sort: "t",
		Items: []string{
			`{"bucket":"pump-7-2026-02","t":1771000000123456,"temperature":20.5}`,
			`{"bucket":"pump-7-2026-03","t":1772431201123456,"temperature":21.5}`},
		Layout: layout.Layout{DeviceKey: "bucket", TimeKey: "t", Partition: "{device}-{yyyy-MM}", TimeFormat: formats(layout.EpochMicros)},
		Of:     "pump-7", Latest: "temperature=21.5"},
	{Name: "the date first, without signs", Partition: "pk", Sort: "sk",
		Items: []string{
			`{"pk":"20260301/pump-7","sk":"2026-03-01 23:59:59","temperature":20.5}`,
			`{"pk":"20260302/pump-7","sk":"2026-03-02 06:00:01","temperature":21.5}`},
		Layout: layout.Layout{DeviceKey: "pk", TimeKey: "sk", Partition: "{yyyyMMdd}/{device}", TimeFormat: formats(layout.ISO8601Blank)},
		Of:     "pump-7", Latest: "temperature=21.5", Says: "taken for UTC"},
	{Name: "the date of an offset", Partition: "pk", Sort: "sk",
		Items: []string{
			`{"pk":"pump-7#2026-03-02","sk":"2026-03-02T01:00:00+09:00","temperature":20.5}`,
			`{"pk":"pump-7#2026-03-02","sk":"2026-03-02T02:00:00+09:00","temperature":21.5}`},
		Layout: layout.Layout{DeviceKey: "pk", TimeKey: "sk", Partition: "{device}#{yyyy-MM-dd}", TimeFormat: formats("iso8601+09:00")},
		Of:     "pump-7", Latest: "temperature=21.5"},
	{Name: "an offset", Partition: "device_id", Sort: "timestamp",
		Items: []string{
			`{"device_id":"pump-7","timestamp":"2025-01-09T18:07:00+09:00","temperature":20.5}`,
			`{"device_id":"pump-7","timestamp":"2025-01-09T18:07:01.5+09:00","temperature":21.5}`},
		Layout: layout.Layout{TimeFormat: formats("iso8601+09:00")},
		Of:     "pump-7", Latest: "temperature=21.5"},
	{Name: "an offset west, minutes", Partition: "device_id", Sort: "timestamp",
		Items: []string{
			`{"device_id":"pump-7","timestamp":"2025-01-09T18:07-03:30","temperature":20.5}`,
			`{"device_id":"pump-7","timestamp":"2025-01-09T18:07:30-03:30","temperature":21.5}`},
		Layout: layout.Layout{TimeFormat: formats("iso8601_minute-03:30")},
		Of:     "pump-7", Latest: "temperature=21.5"},
	{Name: "daylight saving", Partition: "device_id", Sort: "timestamp",
		Items: []string{
			`{"device_id":"pump-7","timestamp":"2025-10-26T02:30:00+02:00","temperature":20.5}`,
			`{"device_id":"pump-7","timestamp":"2025-10-26T02:30:00+01:00","temperature":21.5}`,
			`{"device_id":"pump-7","timestamp":"2025-10-26T02:10:00+01:00","temperature":21}`},
		Layout: layout.Layout{TimeFormat: formats("iso8601+02:00", "iso8601+01:00")},
		Of:     "pump-7", Latest: "temperature=21.5", Says: "daylight saving"},
	{Name: "three offsets", Partition: "device_id", Sort: "timestamp", Broken: true,
		Items: []string{
			`{"device_id":"pump-7","timestamp":"2025-10-26T02:30:00+02:00","temperature":20.5}`,
			`{"device_id":"pump-7","timestamp":"2025-10-26T02:30:00+01:00","temperature":21.5}`,
			`{"device_id":"pump-7","timestamp":"2025-10-26T02:10:00-05:00","temperature":21}`},
		Says: "3 offsets"},
	{Name: "Java's minutes", Partition: "device_id", Sort: "timestamp",
		Items: []string{
			`{"device_id":"pump-7","timestamp":"2026-03-02T06:00:59Z","temperature":20.5}`,
			`{"device_id":"pump-7","timestamp":"2026-03-02T06:01Z","temperature":21.5}`},
		Layout: layout.Layout{TimeFormat: formats(layout.ISO8601Minute)},
		Of:     "pump-7", Latest: "temperature=21.5"},
	{Name: "a blank", Partition: "device_id", Sort: "timestamp",
		Items: []string{
			`{"device_id":"pump-7","timestamp":"2026-03-02 06:00:59","temperature":20.5}`,
			`{"device_id":"pump-7","timestamp":"2026-03-02 06:01:00.25","temperature":21.5}`},
		Layout: layout.Layout{TimeFormat: formats(layout.ISO8601Blank)},
		Of:     "pump-7", Latest: "temperature=21.5"},
	{Name: "seconds with fractions", Partition: "device_id", Sort: "timestamp",
		Items: []string{
			`{"device_id":"pump-7","timestamp":1767225600.25,"temperature":20.5}`,
			`{"device_id":"pump-7","timestamp":1767225601,"temperature":21.5}`},
		Layout: layout.Layout{TimeFormat: formats(layout.EpochSecs)},
		Of:     "pump-7", Latest: "temperature=21.5"},
	{Name: "seconds as text", Partition: "device_id", Sort: "timestamp",
		Items: []string{
			`{"device_id":"pump-7","timestamp":"1767225600","temperature":20.5}`,
			`{"device_id":"pump-7","timestamp":"1767225601","temperature":21.5}`},
		Layout: layout.Layout{TimeFormat: formats("epoch_s:text")},
		Of:     "pump-7", Latest: "temperature=21.5"},
	{Name: "nanoseconds as text", Partition: "device_id", Sort: "timestamp",
		Items: []string{
			`{"device_id":"pump-7","timestamp":"1767225600000000001","temperature":20.5}`,
			`{"device_id":"pump-7","timestamp":"1767225600000000002","temperature":21.5}`},
		Layout: layout.Layout{TimeFormat: formats("epoch_ns:text")},
		Of:     "pump-7", Latest: "temperature=21.5"},
	{Name: "two formats", Partition: "device_id", Sort: "timestamp",
		Items: []string{
			`{"device_id":"pump-7","timestamp":"1767225600","temperature":20.5}`,
			`{"device_id":"pump-7","timestamp":"2026-03-02T06:00:00Z","temperature":21.5}`},
		Layout: layout.Layout{TimeFormat: formats("epoch_s:text", layout.ISO8601)},
		Of:     "pump-7", Latest: "temperature=21.5"},
	{Name: "the dates of two offsets", Partition: "pk", Sort: "sk",
		Items: []string{
			`{"pk":"pump-7#2026-03-29","sk":"2026-03-29T00:30:00+01:00","temperature":19}`,
			`{"pk":"pump-7#2026-03-29","sk":"2026-03-29T01:30:00+01:00","temperature":20.5}`,
			`{"pk":"pump-7#2026-03-30","sk":"2026-03-30T01:30:00+02:00","temperature":21.5}`},
		Layout: layout.Layout{DeviceKey: "pk", TimeKey: "sk", Partition: "{device}#{yyyy-MM-dd}", TimeFormat: formats("iso8601+01:00", "iso8601+02:00")},
		Of:     "pump-7", Latest: "temperature=21.5", Says: "daylight saving"},
	{Name: "the month of IoT Hub's clock, beside the device's", Partition: "partitionKey", Sort: "SystemProperties.iothub-enqueuedtime", Keyed: true,
		Items: []string{
			`{"id":"a1","partitionKey":"pump-7-2026-03","SystemProperties":{"iothub-connection-device-id":"pump-7","iothub-enqueuedtime":"2026-03-01T00:00:30Z"},"Body":{"ts":"2026-02-28T23:59:58Z","temperature":20.5}}`,
			`{"id":"a2","partitionKey":"pump-7-2026-03","SystemProperties":{"iothub-connection-device-id":"pump-7","iothub-enqueuedtime":"2026-03-02T06:00:30Z"},"Body":{"ts":"2026-03-02T06:00:01Z","temperature":21.5}}`},
		Layout: layout.Layout{DeviceKey: "partitionKey", TimeKey: "SystemProperties.iothub-enqueuedtime", Partition: "{device}-{yyyy-MM}", Properties: layout.Properties{Base: "Body"}},
		Of:     "pump-7", Latest: "temperature=21.5 ts=2026-03-02T06:00:01Z", Says: "its dates"},
	{Name: "one property an item, named in a field", Partition: "gateway", Sort: "ts",
		Items: []string{
			`{"gateway":"gw-1","ts":1767225600000,"name":"temperature","value":20.5,"unit":"C"}`,
			`{"gateway":"gw-1","ts":1767225600001,"name":"humidity","value":55,"unit":"%"}`,
			`{"gateway":"gw-1","ts":1767225600002,"name":"temperature","value":21.5,"unit":"C"}`},
		Layout: layout.Layout{DeviceKey: "gateway", TimeKey: "ts", TimeFormat: formats(layout.EpochMillis), NameKey: "name", ValueKey: "value"},
		Of:     "gw-1", Latest: "humidity=55 temperature=21.5", Says: "one property"},
	{Name: "one message a sensor", Partition: "gateway", Sort: "ts",
		Items: []string{
			`{"gateway":"gw-1","ts":"2026-03-02T06:00:00Z","data":{"sensor":"temp","reading":20.5}}`,
			`{"gateway":"gw-1","ts":"2026-03-02T06:00:01Z","data":{"sensor":"hum","reading":55}}`,
			`{"gateway":"gw-1","ts":"2026-03-02T06:00:02Z","data":{"sensor":"temp","reading":21.5}}`},
		Layout: layout.Layout{DeviceKey: "gateway", TimeKey: "ts", NameKey: "data.sensor", ValueKey: "data.reading"},
		Of:     "gw-1", Latest: "hum=55 temp=21.5"},
	{Name: "one property an item, named in the key", Partition: "pk", Sort: "sk",
		Items: []string{
			`{"pk":"pump-7","sk":"2026-03-02T06:00:00Z#temperature","val":20.5}`,
			`{"pk":"pump-7","sk":"2026-03-02T06:00:00Z#humidity","val":55}`,
			`{"pk":"pump-7","sk":"2026-03-02T06:00:01Z#temperature","val":21.5}`},
		Layout: layout.Layout{DeviceKey: "pk", TimeKey: "sk", TimeSuffix: "#{property}", ValueKey: "val"},
		Of:     "pump-7", Latest: "humidity=55 temperature=21.5"},
	{Name: "a constant behind the time", Partition: "pk", Sort: "sk",
		Items: []string{
			`{"pk":"pump-7","sk":"2026-03-02T06:00:00Z#v1","temperature":20.5,"humidity":55}`,
			`{"pk":"pump-7","sk":"2026-03-02T06:00:01Z#v1","temperature":21.5,"humidity":56}`},
		Layout: layout.Layout{DeviceKey: "pk", TimeKey: "sk", TimeSuffix: "#v1"},
		Of:     "pump-7", Latest: "humidity=56 temperature=21.5"},
	{Name: "something else behind each time", Partition: "pk", Sort: "sk", Broken: true,
		Items: []string{
			`{"pk":"pump-7","sk":"2026-03-02T06:00:00Z#f3a9","temperature":20.5,"humidity":55}`,
			`{"pk":"pump-7","sk":"2026-03-02T06:00:01Z#0b77","temperature":21.5,"humidity":56}`},
		Says: "differs"},
	{Name: "top level and nested", Partition: "device_id", Sort: "timestamp",
		Items: []string{
			`{"device_id":"pump-7","timestamp":"2026-03-02T06:00:00Z","temperature":20.5,"speed":5,"battery":{"volts":3.3}}`,
			`{"device_id":"pump-7","timestamp":"2026-03-02T06:00:01Z","temperature":21.5,"speed":6,"battery":{"volts":3.2}}`},
		Of: "pump-7", Latest: "battery.volts=3.2 speed=6 temperature=21.5", Says: "battery.NAME"},
	{Name: "a payload that is text", Partition: "device_id", Sort: "timestamp",
		Items: []string{`{"device_id":"pump-7","timestamp":"2026-03-02T06:00:00Z","payload":"{\"t\":21.5}"}`},
		Of:    "pump-7", Latest: `payload={"t":21.5}`, Says: "text that holds JSON; let what writes it store an object"},
}

// Names are the properties of a text as Latest, in the order of names.
func Names(latest string) (names []string) {
	for pair := range strings.FieldsSeq(latest) {
		name, _, _ := strings.Cut(pair, "=")
		names = append(names, name)
	}
	return names
}

// end is after the times of all shapes, so that a walk back over dated partitions finds
// them in any year.
var end = time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)

// Latest asks a source for the latest values of properties, and writes them as
// Shape.Latest has them.
func Latest(ctx context.Context, source hotreader.Source, device string, properties []string) (string, error) {
	newest := map[string]string{}
	q := hotreader.Query{Device: device, Properties: properties, Last: true, End: end}
	for row, err := range hotreader.NewReader(source).Read(ctx, q) {
		if err != nil {
			return "", err
		}
		for i, v := range row.Values {
			if _, ok := newest[properties[i]]; !ok && !v.IsNull() {
				newest[properties[i]] = properties[i] + "=" + text(v)
			}
		}
	}
	return strings.Join(slices.Sorted(maps.Values(newest)), " "), nil
}

func text(v hotreader.Value) string {
	if v.Kind() == hotreader.Bool {
		return strconv.FormatBool(v.Bool())
	}
	return string(v.Text())
}

// Check tries the loop of a person who knows nothing of a table: a sample, the guess, and
// the latest values of a store that is opened with what was guessed.
func (s *Shape) Check(t testing.TB, sample Sampler, open func(layout.Layout) hotreader.Source) {
	t.Helper()
	items, schema, err := sample.Sample(t.Context(), s.Device, 24)
	if err != nil {
		t.Errorf("%s: %v", s.Name, err)
		return
	}
	l, r := layout.Guess(items, schema)
	said := strings.Join(slices.Concat(r.Reasons, r.NotPlaced, r.Problems), "\n")
	if (len(r.Problems) > 0) != s.Broken || !strings.Contains(said, s.Says) {
		t.Errorf("%s: problems %q, in all %q; want %q", s.Name, r.Problems, said, s.Says)
	}
	if s.Broken {
		return
	}
	u, err := url.ParseQuery(l.URL().Encode())
	if err != nil {
		t.Fatal(err)
	}
	if l, err = layout.FromURL(u); err != nil {
		t.Errorf("%s: %v", s.Name, err)
	}
	var names []string
	for _, p := range r.Properties {
		names = append(names, p.Name)
	}
	if got, err := Latest(t.Context(), open(l), r.Device, names); err != nil || r.Device != s.Of || got != s.Latest {
		t.Errorf("%s: the latest of %q is %q, %v; want of %q %q\n%+v\n%s", s.Name, r.Device, got, err, s.Of, s.Latest, l, said)
	}
	if got, err := Latest(t.Context(), open(l), r.Device, []string{r.Property}); err != nil || !strings.Contains(s.Latest, got) || got == "" {
		t.Errorf("%s: the latest of %q is %q, %v", s.Name, r.Property, got, err)
	}
}

// A Sampler is a store that can be inspected.
type Sampler interface {
	Sample(ctx context.Context, device string, n int) ([]layout.Item, layout.Schema, error)
}
