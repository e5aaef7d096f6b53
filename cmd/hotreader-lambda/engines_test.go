//go:build engines

package main

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/dev/played"
	"hotreader/store/awsdynamodb"
	"hotreader/test/engine"
	"hotreader/test/serving"
)

// table returns a new table of DynamoDB Local, and the environment in which a
// function reads it.
func table(t *testing.T, name string) (*awsdynamodb.Store, map[string]string) {
	t.Helper()
	client := engine.DynamoDBClient(t)
	o := awsdynamodb.Options{Table: name}
	if err := awsdynamodb.CreateTable(t.Context(), client, o); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"DYNAMODB_TABLE_NAME": name}
	for _, pair := range engine.DynamoDBEnv(t) {
		key, value, _ := strings.Cut(pair, "=")
		env[key] = value
	}
	return awsdynamodb.New(client, o), env
}

func write(t *testing.T, w hotreader.Writer, n int) {
	t.Helper()
	records := make([]hotreader.Record, n)
	for i := range records {
		records[i] = hotreader.Record{Time: serving.At(i), Fields: []hotreader.Field{
			{Name: "temperature", Value: hotreader.NumberValue([]byte(serving.Digits(i)))},
			{Name: "note", Value: hotreader.StringValue([]byte(strings.Repeat("x", 900)))},
		}}
	}
	if err := w.Write(t.Context(), "machine/1", records); err != nil {
		t.Fatal(err)
	}
}

// rowsWritten make more than one page of DynamoDB's megabyte.
const rowsWritten = 2500

func TestTwinReadsItsOwnTable(t *testing.T) {
	store, env := table(t, "factory-own")
	write(t, store, rowsWritten)
	env["DIGITAL_TWIN_INFO"] = serving.Twin("aws", "aws")
	history, last := start(t, "hot-reader", env), start(t, "hot-reader-last-entry", env)
	a, err := invoke(t, history, event("machine/1", allTime))
	if err != nil {
		t.Fatal(err)
	}
	checkStored(t, a, rowsWritten)
	body, err := last.Invoke(t.Context(), event("machine/1", ""), 20*time.Second)
	if err != nil || !strings.Contains(string(body), `{"doubleValue":`+stored(rowsWritten-1)+`}`) {
		t.Errorf("%s, %v", body, err)
	}
}

func TestTableThatIsNotThere(t *testing.T) {
	_, env := table(t, "factory-there")
	env["DIGITAL_TWIN_INFO"], env["DYNAMODB_TABLE_NAME"] = serving.Twin("aws", "aws"), "factory-elsewhere"
	_, err := invoke(t, start(t, "hot-reader", env), event("machine/1", allTime))
	if got := failureType(t, err); got != "HotReader.NotFound" {
		t.Error(got)
	}
}

// Two clouds, each with its real program: a twin's reader asks the API function
// behind a gateway, which reads DynamoDB.
func TestTwinReadsTheAPIFunction(t *testing.T) {
	store, env := table(t, "factory-far")
	write(t, store, rowsWritten)
	api := start(t, "hot-reader-api", serving.With(env, "INTER_CLOUD_TOKEN", rotated+","+token))
	gateway := httptest.NewServer(played.APIGateway(api.Function))
	defer gateway.Close()
	f := start(t, "hot-reader", remoteEnv(gateway.URL+"/prod"))
	a, err := invoke(t, f, event("machine/1", allTime))
	if err != nil {
		t.Fatal(err)
	}
	checkStored(t, a, rowsWritten)
}

// stored is how DynamoDB spells the number of row i: without the zero at its
// end.
func stored(i int) string { return strings.TrimRight(serving.Digits(i), "0") }

func checkStored(t *testing.T, a answer, n int) {
	t.Helper()
	values := a.PropertyValues[0].Values
	if len(values) != n || a.NextToken != nil {
		t.Fatalf("%d values, next token %v; want %d", len(values), a.NextToken, n)
	}
	for i, v := range values {
		when, err := hotreader.ParseTime([]byte(v.Time))
		if err != nil || !when.Equal(serving.At(i)) || v.Value.DoubleValue.String() != stored(i) {
			t.Fatalf("value %d is %+v, %v; want %s", i, v, err, stored(i))
		}
	}
}
