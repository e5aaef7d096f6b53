package awsdynamodb

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// drawAlike spells a page of items that are alike but for their values, as
// DynamoDB spells them, and now and then one that is not.
func drawAlike(t *rapid.T) string {
	names := []string{"a", "temperature", `q\"\\é`, "flag", "timestamp", "unknown", "ключ"}
	names = rapid.Permutation(names).Draw(t, "names")[:rapid.IntRange(1, len(names)).Draw(t, "attributes")]
	number := rapid.OneOf(rapid.StringMatching(`-?(0|[1-9][0-9]{0,3})\.[0-9]{2}`), rapid.StringMatching(`[1-9][0-9]{0,9}`),
		rapid.StringMatching(`-?[0-9]{1,3}(\.[0-9]{0,9})?([eE][+-]?[0-9]{1,3})?`))
	text := rapid.OneOf(rapid.StringMatching(`[a-z]{4}`), rapid.StringMatching(`[ -~]{0,20}`), rapid.Just("é€"))
	kinds := make([]string, len(names))
	for i, name := range names {
		if kinds[i] = rapid.SampledFrom([]string{"N", "N", "S", "BOOL", "NULL"}).Draw(t, "kind"); name == "timestamp" {
			kinds[i] = "S"
		}
	}
	items := make([]string, rapid.IntRange(1, 12).Draw(t, "items"))
	for i := range items {
		var parts []string
		for k, name := range names {
			if rapid.IntRange(0, 60).Draw(t, "odd") == 23 {
				continue
			}
			var value string
			switch kinds[k] {
			case "N":
				value = `"` + number.Draw(t, "number") + `"`
			case "S":
				quoted, _ := json.Marshal(text.Draw(t, "text"))
				value = string(quoted)
				if name == "timestamp" {
					value = fmt.Sprintf(`"2024-02-03T04:%02d:%02d.%03dZ"`, i/4, i, rapid.IntRange(0, 999).Draw(t, "millis"))
				}
			case "BOOL":
				value = rapid.SampledFrom([]string{"true", "false"}).Draw(t, "truth")
			default:
				value = "true"
			}
			parts = append(parts, fmt.Sprintf(`"%s":{"%s":%s}`, name, kinds[k], value))
		}
		items[i] = "{" + strings.Join(parts, ",") + "}"
	}
	return fmt.Sprintf(`{"Count":%d,"Items":[%s],"ScannedCount":%d}`, len(items), strings.Join(items, ","), len(items))
}

// A page of items that are alike decodes as the SDK decodes it; and what a byte
// put in, taken out or changed makes of it, as it does without a pattern.
func TestAlikeItemsDecodeAsTheSDK(t *testing.T) {
	reference := sdk()
	var d decoder
	hits := 0
	rapid.Check(t, func(t *rapid.T) {
		body := []byte(drawAlike(t))
		out, err := reference(body)
		if err != nil {
			t.Fatalf("the SDK refuses %s: %v", body, err)
		}
		got, err := decode(&d, body, "timestamp", 'S')
		if err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		if want := translate(out, "timestamp", 'S'); !reflect.DeepEqual(got, want) {
			t.Fatalf("%s:\n got %+v\nwant %+v", body, got, want)
		}
		if d.like.wait == 2 {
			hits++
		}
		for range 5 {
			at := rapid.IntRange(0, len(body)-1).Draw(t, "at")
			c := rapid.SampledFrom([]byte("\"{}:,.-019eENSBtrue \\\x00\x80")).Draw(t, "byte")
			damaged := slices.Clone(body)
			switch rapid.IntRange(0, 2).Draw(t, "damage") {
			case 0:
				damaged[at] = c
			case 1:
				damaged = slices.Insert(damaged, at, c)
			default:
				damaged = slices.Delete(damaged, at, at+1)
			}
			sameWithoutPattern(t, &d, damaged)
		}
	})
	if hits == 0 {
		t.Error("no item was read by its pattern")
	}
}

// sameWithoutPattern checks that a page is to a decoder what it is to one that
// never learns a pattern.
func sameWithoutPattern(t interface{ Fatalf(string, ...any) }, d *decoder, body []byte) {
	got, err := decode(d, body, "timestamp", 'S')
	var slow decoder
	slow.layout(testColumns, "timestamp", 'S')
	slow.like.wait = math.MaxInt
	want, wantErr := decodeItems(&slow, body)
	if (err == nil) != (wantErr == nil) || err == nil && !reflect.DeepEqual(got, want) {
		t.Fatalf("%s:\n got %+v, %v\nwant %+v, %v", body, got, err, want, wantErr)
	}
}

// What was learned of one query is not believed of the next.
func TestPatternsAreForgotten(t *testing.T) {
	body := []byte(`{"Count":2,"Items":[{"temperature":{"N":"1"},"a":{"N":"2"}},{"temperature":{"N":"3"},"a":{"N":"4"}}]}`)
	var d decoder
	for _, key := range []string{"timestamp", "a", "temperature"} {
		got, err := decode(&d, body, key, 'N')
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"timestamp": "", "a": "4", "temperature": "3"}[key]
		if last := got.items[1]; last.at != want || last.values != [4]string{"4", "3", "null", "null"} {
			t.Errorf("with the time key %s: %+v", key, last)
		}
	}
}
