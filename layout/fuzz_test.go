package layout_test

import (
	"bytes"
	"encoding/json"
	"net/url"
	"reflect"
	"testing"
	"time"
	"unicode/utf8"

	"hotreader/layout"
)

// FuzzParse: a layout that is taken comes back from its own text and its own URL, and
// reads only times that it can compare.
func FuzzParse(f *testing.F) {
	f.Add(`{}`, "time_key=ts&time_format=epoch_ms", "1700000000000")
	f.Add(`{"time_key":"at","time_format":["%d.%m.%Y %H:%M","iso8601"],"properties":{"base":"payload","paths":{"v":"a.b"}}}`, "properties=payload", "01.02.2024 10:00")
	f.Add(`{"partition":"{device}#{yyyy-mm}","time_suffix":"#{property}","value_key":"v","name_key":"n"}`, "partition=%7Bdevice%7D", "2024-03-01T00:00:00+02:00")
	f.Fuzz(func(t *testing.T, text, query, at string) {
		l, err := layout.Parse([]byte(text))
		if err == nil {
			again, err := json.Marshal(l)
			if err != nil {
				t.Fatal(err)
			}
			if same, err := layout.Parse(again); err != nil || !reflect.DeepEqual(same, l) {
				t.Fatalf("%s: %+v, %v", again, same, err)
			}
		}
		values, err := url.ParseQuery(query)
		if unescaped, _ := url.QueryUnescape(query); err != nil || !utf8.ValidString(unescaped) { // no database has such a name
			return
		}
		if l, err = layout.FromURL(values); err != nil {
			return
		}
		if same, err := layout.FromURL(l.URL()); err != nil || !reflect.DeepEqual(same, l) {
			t.Fatalf("%v: %+v, not %+v, %v", l.URL(), same, l, err)
		}
		if l.Check("") != nil {
			return
		}
		if when, ok := l.ReadTime(at); ok && (when.Year() < -1 || when.Year() > 10_000) {
			t.Fatalf("%q is %v", at, when)
		}
	})
}

// FuzzGuess: whatever items are, a guess is a layout that stands its own check, or says
// what is wrong.
func FuzzGuess(f *testing.F) {
	f.Add([]byte(`{"device_id":"d","timestamp":"2024-03-01T00:00:00Z","v":1.5,"nested":{"w":true}}`+"\n"+`{"device_id":"e","timestamp":"2024-03-01T00:00:01Z"}`), "device_id", "timestamp")
	f.Add([]byte(`{"pk":"pump#1","sk":"1700000000#v","value":"x"}{"pk":"pump#1","sk":"1700000001#w","value":null}`), "pk", "sk")
	f.Fuzz(func(t *testing.T, items []byte, partition, sort string) {
		d := json.NewDecoder(bytes.NewReader(items))
		d.UseNumber()
		var all []layout.Item
		for len(all) < 50 {
			var fields map[string]any
			if d.Decode(&fields) != nil {
				break
			}
			all = append(all, layout.Item{Path: "telemetry/1", Fields: fields})
		}
		for _, s := range []layout.Schema{{Cloud: layout.DynamoDB, Keys: []layout.Key{{Partition: partition, Sort: sort}}}, {Cloud: layout.CosmosDB, Keys: []layout.Key{{Partition: partition}}}, {Cloud: layout.Firestore, Collection: "telemetry"}} {
			began := time.Now()
			l, r := layout.Guess(all, s)
			if err := l.Check(s.Cloud); err != nil && len(r.Problems) == 0 {
				t.Errorf("%+v: %v", l, err)
			}
			if time.Since(began) > time.Minute { // a busy machine may take its share
				t.Errorf("it took %s", time.Since(began))
			}
		}
	})
}
