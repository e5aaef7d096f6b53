//go:build engines

package awsdynamodb_test

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"hotreader"
	"hotreader/layout"
	"hotreader/store/awsdynamodb"
	"hotreader/store/storetest"
	"hotreader/store/storetest/cloud"
	"hotreader/test/engine"
)

// harness brings up a table of DynamoDB Local for each check. Histories begin at from, or
// later.
func harness(l layout.Layout, from time.Time) storetest.Harness {
	var tables atomic.Int64
	var client *dynamodb.Client
	var table string
	h := storetest.Harness{
		RewritesNumbers: true,
		New: func(t testing.TB) (hotreader.Source, hotreader.Writer) {
			client = engine.DynamoDBClient(t)
			table = "conformance-" + strconv.Itoa(os.Getpid()) + "-" + strconv.FormatInt(tables.Add(1), 10) + "-" + strings.NewReplacer("/", "-", " ", "-", ",", "").Replace(t.Name())
			table = table[:min(len(table), 200)]
			o := awsdynamodb.Options{Table: table, Layout: l}
			create(t, client, o)
			s := awsdynamodb.New(client, o)
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
			return storetest.Dated(s, l.Partition, from), s
		},
	}
	if len(l.TimeFormat) > 0 {
		return h
	}
	h.PutRaw = func(t testing.TB, device, timeText string, fields ...hotreader.Field) {
		item := map[string]types.AttributeValue{
			"device_id": &types.AttributeValueMemberS{Value: device},
			"timestamp": &types.AttributeValueMemberS{Value: timeText},
		}
		for _, f := range fields {
			switch f.Value.Kind() {
			case hotreader.Null:
				item[f.Name] = &types.AttributeValueMemberNULL{Value: true}
			case hotreader.Bool:
				item[f.Name] = &types.AttributeValueMemberBOOL{Value: f.Value.Bool()}
			case hotreader.Number:
				item[f.Name] = &types.AttributeValueMemberN{Value: string(f.Value.Text())}
			case hotreader.String:
				item[f.Name] = &types.AttributeValueMemberS{Value: string(f.Value.Text())}
			}
		}
		if _, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &table, Item: item}); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// create creates the table of o. One that is read by an index has another key.
func create(t testing.TB, client *dynamodb.Client, o awsdynamodb.Options) {
	t.Helper()
	index := o.Layout.Index
	if index == "" {
		if err := awsdynamodb.CreateTable(t.Context(), client, o); err != nil {
			t.Fatal(err)
		}
		return
	}
	text := types.ScalarAttributeTypeS
	if _, err := client.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: &o.Table, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: text},
			{AttributeName: aws.String("device_id"), AttributeType: text}, {AttributeName: aws.String("timestamp"), AttributeType: text}},
		KeySchema: []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}},
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{{IndexName: &index, Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll},
			KeySchema: []types.KeySchemaElement{{AttributeName: aws.String("device_id"), KeyType: types.KeyTypeHash}, {AttributeName: aws.String("timestamp"), KeyType: types.KeyTypeRange}}}},
	}); err != nil {
		t.Fatal(err)
	}
}

func TestConformance(t *testing.T) { storetest.Run(t, harness(layout.Layout{}, time.Time{})) }

// layouts are tables that others have laid out, each with several ways of the layout
// at once, so that each meets others.
var layouts = map[string]layout.Layout{
	"numbers, nested properties": {TimeFormat: layout.Formats{layout.EpochMillis}, Properties: layout.Properties{Base: "payload"}},
	"constant partition, minutes, nested deeper": {DeviceKey: "pk", TimeKey: "sk", Partition: "site-4#{device}", TimeFormat: layout.Formats{layout.ISO8601Minute},
		Properties: layout.Properties{Base: "event.payload"}},
	"offset, prefix, constant suffix":             {TimeFormat: layout.Formats{"iso8601+09:00"}, TimePrefix: "READING#", TimeSuffix: "#v1"},
	"index, blank":                                {TimeFormat: layout.Formats{layout.ISO8601Blank}, Index: "by-device"},
	"index, narrow by name":                       {NameKey: "metric.name", ValueKey: "metric.value", Index: "by-device", TimeFormat: layout.Formats{"iso8601-03:30"}},
	"narrow by key, epoch text":                   {TimeSuffix: "#{property}", ValueKey: "reading.value", TimeFormat: layout.Formats{"epoch_ms:text"}},
	"partitions by month, nanoseconds":            {Partition: "{device}#{yyyy-MM}", TimeFormat: layout.Formats{layout.EpochNanos}},
	"partitions by day in an offset, two formats": {Partition: "{yyyy/MM}/{device}", TimeFormat: layout.Formats{"iso8601_blank+05:45", "epoch_s:text"}},
}

func TestLayouts(t *testing.T) { storetest.Layouts(t, layouts, harness) }

// What the real engine says when something is wrong is understood.
func TestEngineRefusals(t *testing.T) {
	client := engine.DynamoDBClient(t)
	o := awsdynamodb.Options{Table: "refusals"}
	q := hotreader.Query{Device: "d", Properties: []string{"n"}, Start: time.Unix(0, 0)}
	read := func(o awsdynamodb.Options) hotreader.Code {
		for _, err := range hotreader.NewReader(awsdynamodb.New(client, o)).Read(t.Context(), q) {
			return hotreader.CodeOf(err)
		}
		return ""
	}
	if code := read(o); code != hotreader.CodeNotFound {
		t.Errorf("a table that is not there: %q", code)
	}
	for range 2 { // the second finds it there
		if err := awsdynamodb.CreateTable(t.Context(), client, o); err != nil {
			t.Fatal(err)
		}
	}
	if code := read(o); code != "" {
		t.Errorf("an empty table: %q", code)
	}
	for _, other := range []awsdynamodb.Options{
		{Table: "refusals", Layout: layout.Layout{TimeFormat: layout.Formats{layout.EpochMillis}}},
		{Table: "refusals", Layout: layout.Layout{TimeKey: "time"}},
		{Table: "refusals", Layout: layout.Layout{DeviceKey: "device"}},
	} {
		if code := read(other); code != hotreader.CodeConfig {
			t.Errorf("reading the table as %+v: %q, want %q", other, code, hotreader.CodeConfig)
		}
		if err := awsdynamodb.CreateTable(t.Context(), client, other); hotreader.CodeOf(err) != hotreader.CodeConfig {
			t.Errorf("creating the table as %+v: %v", other, err)
		}
	}
	foreign := dynamodb.New(client.Options(), func(o *dynamodb.Options) { o.BaseEndpoint = aws.String("http://127.0.0.1:1") })
	for _, err := range hotreader.NewReader(awsdynamodb.New(foreign, o)).Read(t.Context(), q) {
		if hotreader.CodeOf(err) != hotreader.CodeUnavailable {
			t.Errorf("nobody there: %v", err)
		}
	}
}

// Pitfall 1 on the engine's own pages, which it cuts at 1 MB: wide rows, so
// that there are many.
func TestPitfall01RealPagesAreFollowed(t *testing.T) {
	client := engine.DynamoDBClient(t)
	o := awsdynamodb.Options{Table: "pages"}
	if err := awsdynamodb.CreateTable(t.Context(), client, o); err != nil {
		t.Fatal(err)
	}
	s := awsdynamodb.New(client, o)
	const n = 6000
	filler := hotreader.StringValue(bytes.Repeat([]byte("x"), 1000))
	records := make([]hotreader.Record, n)
	for i := range records {
		records[i] = hotreader.Record{Time: time.Unix(int64(i), 0), Fields: []hotreader.Field{
			{Name: "n", Value: hotreader.Int64Value(int64(i))}, {Name: "filler", Value: filler}}}
	}
	whole, last := cloud.RealPages(t, s, records)
	for _, stats := range whole {
		// The engine counts what it reads, not what is projected.
		if reads := stats.Reads.Load(); reads < 6 {
			t.Errorf("%d pages, want 6 or more", reads)
		}
	}
	if looked, reads, size := last.Looked.Load(), last.Reads.Load(), last.Bytes.Load(); looked != 1 || reads != 1 || size > 2000 {
		t.Errorf("a last entry took %d rows, %d reads, %d bytes", looked, reads, size)
	}
}
