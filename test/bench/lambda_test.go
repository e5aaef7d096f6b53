//go:build linux

package bench

import (
	"os"
	"testing"
	"time"

	"hotreader/test/serving"
)

// BenchmarkBootstrap: the whole function, a process as Lambda starts it, from
// the event to the answer posted, with the page of DynamoDB behind it. The
// processor time is that of its process alone.
func BenchmarkBootstrap(b *testing.B) {
	url := recording{Type: "application/x-amz-json-1.0", Body: dynamoPage()}.serve(b)
	f := serving.Function(b, "hot-reader", map[string]string{
		"AWS_ENDPOINT_URL_DYNAMODB": url,
		"DYNAMODB_TABLE_NAME":       "factory-hot-iot-data",
		"DIGITAL_TWIN_INFO":         `{"config":{"digital_twin_name":"factory"},"config_providers":{"layer_3_hot_provider":"aws","layer_4_provider":"aws"}}`,
	})
	if err := f.WaitReady(b.Context()); err != nil {
		b.Fatal(err)
	}
	const double = `{"definition":{"dataType":{"type":"DOUBLE"}}}`
	event := []byte(`{"workspaceId":"w","entityId":"e","componentName":"c","componentTypeId":"factory-d",
		"selectedProperties":["temperature","pressure","humidity","vibration"],
		"properties":{"temperature":` + double + `,"pressure":` + double + `,"humidity":` + double + `,"vibration":` + double + `},
		"startTime":"2020-01-01T00:00:00Z","endTime":"2030-01-01T00:00:00Z","maxResults":1000000}`)
	invoke := func() {
		answer, err := f.Invoke(b.Context(), event, 20*time.Second)
		if err == nil {
			err = expect(answer)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	limit := limitWay(url)
	for range 5 {
		invoke()
	}
	const times = 20
	var cost [2][]float64
	for b.Loop() {
		before := processorTime(b, f.Pid())
		for range times {
			invoke()
		}
		cost[0] = append(cost[0], (processorTime(b, f.Pid())-before).Seconds()*1e6/(times*pageRows))
		before = processorTime(b, os.Getpid())
		for range times {
			if err := limit.run(); err != nil {
				b.Fatal(err)
			}
		}
		cost[1] = append(cost[1], (processorTime(b, os.Getpid())-before).Seconds()*1e6/(times*pageRows))
	}
	b.ReportMetric(median(cost[0]), "µs/row")
	b.ReportMetric(median(cost[1]), "limit-µs/row")
	b.ReportMetric(ratio(cost[0], cost[1]), "ours/limit")
	b.ReportMetric(0, "ns/op")
}
