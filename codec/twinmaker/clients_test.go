package twinmaker

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iottwinmaker"
	"github.com/aws/aws-sdk-go-v2/service/iottwinmaker/types"

	"hotreader"
	"hotreader/store/memstore"
)

// What clients send and how they read the answers, after Grafana's TwinMaker plugin
// (pkg/plugin/twinmaker) and iot-app-kit (source-iottwinmaker), with AWS's own client in
// between and a stand-in for TwinMaker, which makes events of requests.

// alarmType is a component type that extends TwinMaker's basic alarm.
const alarmType = `{
	"alarm_key":{"definition":{"dataType":{"type":"STRING"},"isExternalId":true,"isRequiredInEntity":true,"isTimeSeries":false,"isStoredExternally":false}},
	"alarm_status":{"definition":{"dataType":{"type":"STRING"},"isTimeSeries":true,"isStoredExternally":true}},
	"temperature":{"definition":{"dataType":{"type":"DOUBLE"},"isTimeSeries":true,"isStoredExternally":true}}}`

// standIn is TwinMaker over twelve mixers. lambda sees each answer.
func standIn(t *testing.T, r *Responder, lambda func(body []byte)) *iottwinmaker.Client {
	d := Devices{Twin: "t", Catalog: devicesOf(t, 12)}
	return sdkClient(t, func(request []byte) []byte {
		var event map[string]json.RawMessage
		if err := json.Unmarshal(request, &event); err != nil {
			t.Error(err)
		}
		event["workspaceId"], event["properties"] = json.RawMessage(`"w"`), json.RawMessage(alarmType)
		if _, ok := event["entityId"]; ok { // whose external id has a value
			event["properties"] = json.RawMessage(strings.Replace(alarmType, `"alarm_key":{`, `"alarm_key":{"value":{"stringValue":"mixer-0003"},`, 1))
		}
		text, err := json.Marshal(event)
		if err != nil {
			t.Error(err)
		}
		req, err := d.DecodeHistory(context.Background(), text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			return nil
		}
		body, err := r.AppendHistory(context.Background(), nil, req)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			return nil
		}
		if lambda != nil {
			lambda(body)
		}
		return body
	})
}

// alarms are the statuses of twelve mixers, oldest first: mixer i has i of them.
func alarms(t *testing.T) (*memstore.Store, [][]string) {
	store, all := memstore.New(), make([][]string, 12)
	for i := range all {
		var records []hotreader.Record
		for k := range i {
			status := []string{"NORMAL", "ACTIVE", "ACKNOWLEDGED", "SNOOZE_DISABLED", "NORMAL"}[(i*k)%5]
			all[i] = append(all[i], status)
			records = append(records, hotreader.Record{Time: alarmsBegin.Add(time.Duration(k) * time.Minute), Fields: []hotreader.Field{
				{Name: "alarm_status", Value: hotreader.StringValue([]byte(status))}, {Name: "temperature", Value: hotreader.Int64Value(int64(100*i + k))}}})
		}
		if err := store.Write(t.Context(), mixer(i), records); err != nil {
			t.Fatal(err)
		}
	}
	return store, all
}

var alarmsBegin = time.Date(2026, 3, 1, 6, 0, 0, 0, time.UTC)

// grafana asks as the plugin does, page by page, and returns the values by the plugin's
// key of a series, in the order in which these came first.
func grafana(t *testing.T, client *iottwinmaker.Client, in iottwinmaker.GetPropertyValueHistoryInput, latest bool) (keys []string, values map[string][]types.PropertyValue) {
	t.Helper()
	in.WorkspaceId, in.ComponentTypeId = aws.String("w"), aws.String("t-mixer")
	in.StartTime, in.EndTime = aws.String(alarmsBegin.Format(time.RFC3339Nano)), aws.String(alarmsBegin.Add(time.Hour).Format(time.RFC3339Nano))
	values = map[string][]types.PropertyValue{}
	for {
		out, err := client.GetPropertyValueHistory(t.Context(), &in)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range out.PropertyValues {
			key := p.EntityPropertyReference.ExternalIdProperty["alarm_key"] + "_" + *p.EntityPropertyReference.PropertyName
			old, seen := values[key]
			switch {
			case !seen:
				keys = append(keys, key)
				values[key] = p.Values
				if latest && len(p.Values) > 1 {
					values[key] = p.Values[:1]
				}
			case !latest:
				values[key] = append(old, p.Values...)
			}
		}
		if out.NextToken == nil {
			return keys, values
		}
		in.NextToken = out.NextToken
	}
}

// An alarm panel shows each machine's own latest status, on one page or on many.
func TestGrafanaAlarms(t *testing.T) {
	store, all := alarms(t)
	for _, most := range []int{0, 6000} {
		answers := 0
		client := standIn(t, &Responder{Reader: hotreader.NewReader(store), MaxBytes: most}, func([]byte) { answers++ })
		in := iottwinmaker.GetPropertyValueHistoryInput{SelectedProperties: []string{"alarm_status"}, OrderByTime: types.OrderByTimeDescending}
		keys, values := grafana(t, client, in, true)
		if len(keys) != 12 || (answers > 1) != (most > 0) {
			t.Errorf("%d alarms in %d answers", len(keys), answers)
		}
		for i, statuses := range all {
			got := values[mixer(i)+"_alarm_status"]
			if i == 0 && len(got) != 0 || i > 0 && (len(got) != 1 || aws.ToString(got[0].Value.StringValue) != statuses[i-1]) {
				t.Errorf("%s has %v; want the last of %v", mixer(i), got, statuses)
			}
		}
		// Only those that are or were active, and no others without a status.
		in.PropertyFilters = []types.PropertyFilter{{PropertyName: aws.String("alarm_status"), Operator: aws.String("="), Value: &types.DataValue{StringValue: aws.String("ACTIVE")}}}
		keys, values = grafana(t, client, in, true)
		var want []string
		for i, statuses := range all {
			if slices.Contains(statuses, "ACTIVE") {
				want = append(want, mixer(i)+"_alarm_status")
			}
		}
		if !slices.Equal(keys, want) {
			t.Errorf("active are %v; want %v", keys, want)
		}
		for key, got := range values {
			if len(got) != 1 || *got[0].Value.StringValue != "ACTIVE" {
				t.Errorf("%s has %v", key, got)
			}
		}
		// Of one machine.
		in.PropertyFilters = []types.PropertyFilter{{PropertyName: aws.String("alarm_key"), Operator: aws.String("="), Value: &types.DataValue{StringValue: aws.String(mixer(3))}}}
		if keys, _ := grafana(t, client, in, true); fmt.Sprint(keys) != "[mixer-0003_alarm_status]" {
			t.Errorf("alarm_key = %s: %v", mixer(3), keys)
		}
	}
}

// A history by component type, put together from pages.
func TestGrafanaComponentHistory(t *testing.T) {
	store, all := alarms(t)
	for _, maxResults := range []int32{0, 1, 7, 200} {
		client := standIn(t, &Responder{Reader: hotreader.NewReader(store)}, nil)
		in := iottwinmaker.GetPropertyValueHistoryInput{SelectedProperties: []string{"alarm_status", "temperature"}, OrderByTime: types.OrderByTimeAscending}
		if maxResults > 0 {
			in.MaxResults = &maxResults
		}
		keys, values := grafana(t, client, in, false)
		if len(keys) != 24 {
			t.Errorf("maxResults %d: %d series", maxResults, len(keys))
		}
		for i, statuses := range all {
			var got []string
			for _, v := range values[mixer(i)+"_alarm_status"] {
				got = append(got, *v.Value.StringValue)
			}
			if !slices.Equal(got, statuses) {
				t.Errorf("maxResults %d: %s has %v; want %v", maxResults, mixer(i), got, statuses)
			}
			for k, v := range values[mixer(i)+"_temperature"] {
				if *v.Value.DoubleValue != float64(100*i+k) {
					t.Errorf("%s has %v", mixer(i), *v.Value.DoubleValue)
				}
			}
		}
	}
}

// iot-app-kit asks for all machines of a type at once, finds each series' machine by the
// external id, and takes of the newest values the first series that comes.
func TestAppKit(t *testing.T) {
	store, all := alarms(t)
	client := standIn(t, &Responder{Reader: hotreader.NewReader(store), MaxBytes: 6000}, nil)
	ask := func(in iottwinmaker.GetPropertyValueHistoryInput) map[string][][]types.PropertyValue {
		t.Helper()
		in.WorkspaceId, in.SelectedProperties = aws.String("w"), []string{"alarm_status"}
		streams := map[string][][]types.PropertyValue{}
		for {
			out, err := client.GetPropertyValueHistory(t.Context(), &in)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range out.PropertyValues {
				ref := p.EntityPropertyReference
				if aws.ToString(ref.ComponentPath) != aws.ToString(in.ComponentPath) {
					t.Errorf("the path %q; want %q", aws.ToString(ref.ComponentPath), aws.ToString(in.ComponentPath))
				}
				id := ref.ExternalIdProperty["alarm_key"] + aws.ToString(ref.EntityId)
				streams[id] = append(streams[id], p.Values)
			}
			if in.NextToken = out.NextToken; in.NextToken == nil {
				return streams
			}
		}
	}
	end := aws.String("2026-03-01T07:00:00.000Z")
	history := ask(iottwinmaker.GetPropertyValueHistoryInput{ComponentTypeId: aws.String("t-mixer"), OrderByTime: types.OrderByTimeAscending,
		StartTime: aws.String("2026-03-01T06:00:00.000Z"), EndTime: end})
	newest := ask(iottwinmaker.GetPropertyValueHistoryInput{ComponentTypeId: aws.String("t-mixer"), OrderByTime: types.OrderByTimeDescending,
		StartTime: aws.String("2026-02-28T07:00:00.000Z"), EndTime: end})
	if len(history) != 12 || len(newest) != 12 { // a stream that never comes is shown as loading
		t.Errorf("streams of %v", slices.Sorted(maps.Keys(history)))
	}
	for i, statuses := range all {
		got := slices.Concat(history[mixer(i)]...)
		if len(got) != len(statuses) || i > 0 && (*got[0].Value.StringValue != statuses[0] || *got[0].Time != "2026-03-01T06:00:00.000Z") {
			t.Errorf("%s has %d values; want %v", mixer(i), len(got), statuses)
		}
		if first := newest[mixer(i)][0]; i > 0 && (len(first) == 0 || *first[0].Value.StringValue != statuses[i-1]) {
			t.Errorf("%s has the newest values %v; want the last of %v", mixer(i), first, statuses)
		}
	}
	// Of one entity's component within a component: the newest value since the year 1899.
	one := ask(iottwinmaker.GetPropertyValueHistoryInput{EntityId: aws.String("entity-3"), ComponentName: aws.String("alarm"), ComponentPath: aws.String("line/alarm"), OrderByTime: types.OrderByTimeDescending,
		MaxResults: aws.Int32(1), StartTime: aws.String("1899-12-31T00:00:00.000Z"), EndTime: end})
	if got := one["entity-3"]; len(got) != 3 || len(got[0]) != 1 || *got[0][0].Value.StringValue != all[3][2] {
		t.Errorf("entity: %v", fmt.Sprint(got))
	}
}
