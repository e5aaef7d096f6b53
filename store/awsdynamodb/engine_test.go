//go:build engines

package awsdynamodb_test

import (
	"bytes"
	"strconv"
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

// harness brings up a table of DynamoDB Local for each check.
func harness(format string) storetest.Harness {
	var tables atomic.Int64
	var client *dynamodb.Client
	var table string
	h := storetest.Harness{
		RewritesNumbers: true,
		New: func(t testing.TB) (hotreader.Source, hotreader.Writer) {
			client = engine.DynamoDBClient(t)
			table = "conformance-" + format + "-" + strconv.FormatInt(tables.Add(1), 10)
			o := awsdynamodb.Options{Table: table, Layout: layout.Layout{TimeFormat: layout.Formats{format}}}
			if err := awsdynamodb.CreateTable(t.Context(), client, o); err != nil {
				t.Fatal(err)
			}
			s := awsdynamodb.New(client, o)
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
			return s, s
		},
	}
	if format != layout.ISO8601 {
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

func TestConformance(t *testing.T) {
	for _, format := range []string{layout.ISO8601, layout.EpochMillis} {
		t.Run(format, func(t *testing.T) { storetest.Run(t, harness(format)) })
	}
}

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
