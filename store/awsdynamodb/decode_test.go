package awsdynamodb

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"pgregory.net/rapid"

	"hotreader"
	"hotreader/store/storetest/cloud"
	"hotreader/test/jsondraw"
)

// decoded is a page in a form that compares.
type decoded struct {
	items   []decodedItem
	lastKey map[string]types.AttributeValue
	skipped int
}

type decodedItem struct {
	at     string // "" = none
	values [4]string
}

var testColumns = []string{"a", "temperature", `q"\é`, "flag"}

// decode decodes a whole page with our decoder.
func decode(d *decoder, body []byte, timeKey string, kind byte) (decoded, error) {
	var out decoded
	left := make([]int64, len(testColumns))
	d.flat(testColumns, timeKey, left)
	if err := d.Open(body); err != nil {
		return out, err
	}
	values := make([]hotreader.Value, len(testColumns))
	for {
		at, more, err := d.Item(values)
		if err != nil {
			return out, err
		}
		if !more {
			break
		}
		item := decodedItem{}
		for i, v := range values {
			if text := v.Text(); v.Kind() == hotreader.String && len(text) > 0 && (text[0] == '{' || text[0] == '[') {
				d := json.NewDecoder(bytes.NewReader(text))
				d.UseNumber()
				var nested any
				if d.Decode(&nested) == nil {
					values[i] = hotreader.StringValue(canonical(nested))
				}
			}
		}
		if text := at.Text(); len(text) > 0 && (text[0] == '{' || text[0] == '[') && json.Valid(text) { // a nested value is no time
			at = hotreader.Value{}
		}
		if at.Kind() == map[byte]hotreader.Kind{'S': hotreader.String, 'N': hotreader.Number}[kind] {
			item.at = string(at.Text())
		}
		for i, v := range values {
			item.values[i] = v.String()
		}
		out.items = append(out.items, item)
	}
	out.lastKey = d.lastKey
	for _, n := range left {
		out.skipped += int(n)
	}
	return out, nil
}

// sdk returns a function that decodes a page with the SDK's own decoding.
func sdk() func(body []byte) (*dynamodb.QueryOutput, error) {
	var body []byte
	client := dynamodb.New(dynamodb.Options{
		Region:      "r",
		Credentials: aws.AnonymousCredentials{},
		Retryer:     aws.NopRetryer{},
		HTTPClient: doer(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body))}, nil
		}),
	})
	in := &dynamodb.QueryInput{TableName: aws.String("t")}
	return func(b []byte) (*dynamodb.QueryOutput, error) {
		body = b
		return client.Query(context.Background(), in)
	}
}

type doer func(*http.Request) (*http.Response, error)

func (f doer) Do(r *http.Request) (*http.Response, error) { return f(r) }

// plainOf is a nested value without types.
func plainOf(v types.AttributeValue) any {
	number := func(digits string) any {
		if hotreader.IsNumber([]byte(digits)) {
			return json.Number(digits)
		}
		return nil
	}
	list := []any{}
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return v.Value
	case *types.AttributeValueMemberN:
		return number(v.Value)
	case *types.AttributeValueMemberBOOL:
		return v.Value
	case *types.AttributeValueMemberB:
		return v.Value
	case *types.AttributeValueMemberM:
		m := map[string]any{}
		for name, member := range v.Value {
			m[name] = plainOf(member)
		}
		return m
	case *types.AttributeValueMemberL:
		for _, e := range v.Value {
			list = append(list, plainOf(e))
		}
	case *types.AttributeValueMemberSS:
		return slices.Concat(list, anys(v.Value))
	case *types.AttributeValueMemberNS:
		for _, e := range v.Value {
			list = append(list, number(e))
		}
	case *types.AttributeValueMemberBS:
		return slices.Concat(list, anys(v.Value))
	default:
		return nil
	}
	return list
}

func anys[T any](all []T) (list []any) {
	for _, e := range all {
		list = append(list, e)
	}
	return list
}

// canonical spells JSON in one way.
func canonical(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

// translate says what our decoder must make of what the SDK's decoded.
func translate(out *dynamodb.QueryOutput, timeKey string, kind byte) decoded {
	var want decoded
	for _, item := range out.Items {
		var w decodedItem
		for i, name := range testColumns {
			v, usable := hotreader.Value{}, true
			switch a := item[name].(type) {
			case nil:
				_, there := item[name]
				usable = !there
			case *types.AttributeValueMemberS:
				v = hotreader.StringValue([]byte(a.Value))
			case *types.AttributeValueMemberN:
				if usable = hotreader.IsNumber([]byte(a.Value)); usable {
					v = hotreader.NumberValue([]byte(a.Value))
				}
			case *types.AttributeValueMemberBOOL:
				v = hotreader.BoolValue(a.Value)
			case *types.AttributeValueMemberNULL: // no value
			case *types.AttributeValueMemberB: // a point, and left out
				usable = false
			default:
				v = hotreader.StringValue(canonical(plainOf(a)))
			}
			if !usable {
				want.skipped++
			}
			w.values[i] = v.String()
		}
		switch a := item[timeKey].(type) {
		case *types.AttributeValueMemberS:
			if kind == 'S' {
				w.at = a.Value
			}
		case *types.AttributeValueMemberN:
			if kind == 'N' && hotreader.IsNumber([]byte(a.Value)) {
				w.at = a.Value
			}
		}
		want.items = append(want.items, w)
	}
	if len(out.LastEvaluatedKey) > 0 {
		want.lastKey = out.LastEvaluatedKey
	}
	return want
}

// pagesForTest are pages of every spelling that JSON and DynamoDB allow.
var pagesForTest = []string{
	`{"Count":0,"Items":[],"LastEvaluatedKey":{}}`, // some services that speak DynamoDB end pages so
	`{"Count":0,"Items":[],"ScannedCount":0}`,
	`{"Count":1,"Items":[{"a":{"N":"1"},"timestamp":{"S":"2024-01-01T00:00:00Z"}}],"ScannedCount":1}`,
	`{"Count":2,"Items":[{"a":{"N":"-0.5"},"temperature":{"S":"x"}},{"temperature":{"N":"1E+2"},"a":{"N":"0"}}],"LastEvaluatedKey":{"device_id":{"S":"d\u00e9"},"timestamp":{"N":"17.5"},"b":{"B":"AQI="}},"ScannedCount":2}`,
	"{ \"LastEvaluatedKey\" : { \"k\" : { \"S\" : \"\" } } ,\n\"ScannedCount\":3,\t\"Items\" : [ { \"a\" : { \"N\" : \"1\" } , \"flag\" : { \"BOOL\" : true } } , { } ] ,\r\n \"Count\" : 2 } ",
	`{"Items":[{"q\"\\é":{"S":"\"\\\/\b\f\n\r\t\u0041\ud83d\ude00x"},"q\u0022\\\u00e9":{"S":"again"}}],"Count":1}`,
	`{"Items":[{"a":{"B":"AQI="},"temperature":{"M":{"x":{"L":[{"N":"1"},{"NULL":true},{"SS":["a","b"]}]}}},"flag":{"NULL":true}},{"a":{"NS":["1"]},"temperature":{"BS":["AQI="]},"flag":{"BOOL":false}}],"Count":2}`,
	`{"Items":[{"a":{"N":""},"temperature":{"N":"NaN"},"flag":{"N":"01"}},{"a":{"N":"+1"},"temperature":{"N":"1."},"flag":{"N":".5"}},{"a":{"N":"-"},"temperature":{"N":"1e"}}],"Count":3}`,
	`{"Items":[{"a":{"S":"1"},"unknown":{"N":"1"},"a":{"N":"2"}},{"timestamp":{"N":"12"}},{"timestamp":{"S":"x"},"timestamp":{"N":"1"}}],"Count":3,"ConsumedCapacity":{"CapacityUnits":0.5,"Table":{"x":[1,-2.5e3,null,true,false,{}]}}}`,
	`{"Items":[{"a":{"N":"01"},"temperature":{"N":"-01"},"flag":{"N":"00"}},{"a":{"N":"1" },"temperature":{"S":"1"  } }],"Count":2}`,
	`{"Items":[{"a":{"S":""},"temperature":{"S":"é€😀"},"flag":{"S":"\u0000"}}],"Count":1}`,
}

func TestDecodesAsTheSDK(t *testing.T) {
	reference := sdk()
	var d decoder
	for _, body := range pagesForTest {
		for _, key := range []struct {
			name string
			kind byte
		}{{"timestamp", 'S'}, {"timestamp", 'N'}, {"a", 'N'}, {"temperature", 'S'}} {
			out, err := reference([]byte(body))
			if err != nil {
				t.Fatalf("the SDK refuses %s: %v", body, err)
			}
			got, err := decode(&d, []byte(body), key.name, key.kind)
			if err != nil {
				t.Errorf("%s: %v", body, err)
				continue
			}
			if want := translate(out, key.name, key.kind); !reflect.DeepEqual(got, want) {
				t.Errorf("%s with the time key %v:\n got %+v\nwant %+v", body, key, got, want)
			}
		}
	}
}

// Where we and the SDK both take a page, both see the same in it; and we take
// only JSON. What no row needs, such as the inside of a set, we check to be JSON
// and no more, while the SDK wants its types right. (The other way round is
// TestDecodesEveryPage: we refuse some damage that the SDK passes over.)
func FuzzDecode(f *testing.F) {
	for _, body := range pagesForTest {
		f.Add([]byte(body))
	}
	for _, body := range damagedPages {
		f.Add([]byte(body))
	}
	f.Add([]byte(bigPage(20)))
	f.Add([]byte(`{"Count":1,"Items":[{"":{"N":"0"},"a":{"":""}}]}`))
	reference := sdk()
	var d decoder
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := decode(&d, body, "timestamp", 'S')
		if err != nil {
			return
		}
		out, err := reference(body)
		if err != nil {
			if !json.Valid(body) {
				t.Fatalf("we take what is no JSON: %v", err)
			}
			return
		}
		if jsondraw.HalfPair(body) || unknownKind(body) {
			return
		}
		want := translate(out, "timestamp", 'S')
		got.skipped, want.skipped = 0, 0 // we count an attribute that comes twice as often
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("\n got %+v\nwant %+v", got, want)
		}
	})
}

// A text with half a surrogate pair is no text that could be told: it is left
// out and counted. As the time it is none.
func TestHalfAPairIsLeftOut(t *testing.T) {
	var d decoder
	got, err := decode(&d, []byte(`{"Items":[{"a":{"S":"\ud800"},"timestamp":{"S":"\udc00"},"temperature":{"S":"\ud83d\ude00"}}],"Count":1}`), "timestamp", 'S')
	if err != nil || got.skipped != 1 || len(got.items) != 1 || got.items[0].at != "" {
		t.Fatalf("%+v, %v", got, err)
	}
	if text := fmt.Sprint(got.items[0]); strings.Contains(text, "\ufffd") || !strings.Contains(text, "😀") {
		t.Errorf("%s", text)
	}
}

// unknownKind reports whether an attribute of body is of a kind that DynamoDB does
// not have. The reference takes the attribute before it for its value, and we null.
func unknownKind(body []byte) bool {
	var page struct {
		Items            []map[string]knownKind
		LastEvaluatedKey map[string]knownKind
	}
	return errors.Is(json.Unmarshal(body, &page), errKind)
}

// knownKind is an attribute of a known kind.
type knownKind struct{}

var errKind = errors.New("no kind of DynamoDB's")

func (*knownKind) UnmarshalJSON(text []byte) error {
	var kinds map[string]json.RawMessage
	if err := json.Unmarshal(text, &kinds); err != nil {
		return err
	}
	for kind := range kinds {
		if !slices.Contains([]string{"S", "N", "B", "SS", "NS", "BS", "L", "M", "BOOL", "NULL"}, kind) {
			return errKind
		}
	}
	return nil
}

// Every page that DynamoDB can write, in any spelling of JSON, is taken.
func TestDecodesEveryPage(t *testing.T) {
	reference := sdk()
	var d decoder
	rapid.Check(t, func(t *rapid.T) {
		body := []byte(drawPage(t))
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
	})
}

// drawPage spells a page, its members in any order, with blanks and escapes
// where JSON allows them.
func drawPage(t *rapid.T) string {
	spell := jsondraw.New(t)
	text := rapid.OneOf(rapid.StringMatching(`[ -~]{0,12}`), rapid.StringN(0, 6, -1))
	number := rapid.OneOf(rapid.StringMatching(`-?(0|[1-9][0-9]{0,5})(\.[0-9]{1,4})?([eE][+-]?[0-9]{1,3})?`), rapid.StringMatching(`-?[-+.019eE]{0,4}`))
	var attribute func(depth int) string
	attribute = func(depth int) string {
		kind := rapid.SampledFrom([]string{"N", "N", "N", "S", "S", "BOOL", "NULL", "B", "SS", "NS", "BS", "L", "M"}).Draw(t, "kind")
		var value string
		switch kind {
		case "N":
			value = spell.Quote(number.Draw(t, "number"))
		case "S":
			value = spell.Quote(text.Draw(t, "text"))
		case "BOOL":
			value = rapid.SampledFrom([]string{"true", "false"}).Draw(t, "truth")
		case "NULL":
			value = "true"
		case "B":
			value = `"AQI="`
		case "SS":
			value = spell.Join("[", []string{spell.Quote(text.Draw(t, "text")), spell.Quote("b")}, "]")
		case "NS":
			value = spell.Join("[", []string{`"1"`, `"2.5"`}, "]")
		case "BS":
			value = spell.Join("[", []string{`"AQI="`}, "]")
		case "L", "M":
			var parts []string
			if depth < 3 {
				for i := range rapid.IntRange(0, 3).Draw(t, "children") {
					part := attribute(depth + 1)
					if kind == "M" {
						part = spell.Member(fmt.Sprint("m", i), part)
					}
					parts = append(parts, part)
				}
			}
			value = spell.Join("[", parts, "]")
			if kind == "M" {
				value = spell.Join("{", parts, "}")
			}
		}
		return spell.Join("{", []string{spell.Member(kind, value)}, "}")
	}
	names := append(slices.Clone(testColumns), "timestamp", "device_id", "unknown")
	items := spell.Items(names, func(name string) string {
		if name == "timestamp" && rapid.Bool().Draw(t, "text time") {
			return `{"S":"2024-02-03T04:05:06.7Z"}`
		}
		return attribute(0)
	})
	members := []string{
		spell.Member("Count", fmt.Sprint(len(items))),
		spell.Member("ScannedCount", fmt.Sprint(len(items))),
		spell.Member("Items", spell.Join("[", items, "]")),
	}
	if rapid.Bool().Draw(t, "more") {
		members = append(members, spell.Member("LastEvaluatedKey", spell.Join("{", []string{
			spell.Member("device_id", spell.Join("{", []string{spell.Member("S", spell.Quote(text.Draw(t, "text")))}, "}")),
			spell.Member("timestamp", spell.Join("{", []string{spell.Member("N", spell.Quote("17.5"))}, "}")),
			spell.Member("binary", `{"B":"AQI="}`),
		}, "}")))
	}
	return spell.Blank() + spell.Join("{", rapid.Permutation(members).Draw(t, "members"), "}") + spell.Blank()
}

// damagedPages are what no page may be taken for.
var damagedPages = []string{
	`{"Count":0,"Items":[],"LastEvaluatedKey":{"a":{"BOOL":true}}}`,
	`{"Count":0,"Items":[],"LastEvaluatedKey":{"a":{"B":"?"}}}`, `{"Count":0,"Items":[],"LastEvaluatedKey":{"a":{"S":"x"}},"LastEvaluatedKey":{"a":{"S":"x"}}}`,
	`{"Count":1,"Items":[{"a":{"N":"1"}`, `{"Count":1,"Items":[{"a":{"N":"1"}}`, `{"Count":1,"Items":[{"a":{"N":"1"}}]`, `{"Count":1,"Items":[{"a":{"N":"1`,
	`{"Count":1,"Items":[{"a":{"N":1}}]}`, `{"Count":1,"Items":[{"a":{"S":null}}]}`, `{"Count":1,"Items":[{"a":{"BOOL":"true"}}]}`, `{"Count":1,"Items":[{"a":{"BOOL":tru}}]}`,
	`{"Count":1,"Items":[{"a":{}}]}`, `{"Count":1,"Items":[{"a":{"N":"1","S":"1"}}]}`, `{"Count":1,"Items":[{"a":null}]}`, `{"Count":1,"Items":[{"a":"1"}]}`,
	`{"Count":1,"Items":[{"a":{"N":"1"}"b":{"N":"1"}}]}`, `{"Count":1,"Items":[{"a":{"N":"1"},}]}`, `{"Count":1,"Items":[{,"a":{"N":"1"}}]}`,
	`{"Count":1,"Items":[{"a":{"N":"1"]}]}`, `{"Count":1,"Items":[{"a":{"S":"1"]}]}`, `{"Count":1,"Items":[{"a":{"N":"1",}]}`,
	`{"Count":2,"Items":[{}{}]}`, `{"Count":1,"Items":[{},]}`, `{"Count":1,"Items":[,{}]}`, `{"Count":1,"Items":[null]}`,
	"{\"Count\":1,\"Items\":[{\"a\":{\"S\":\"line\nbreak\"}}]}", "{\"Count\":1,\"Items\":[{\"a\":{\"S\":\"\xff\"}}]}", "{\"Count\":1,\"Items\":[{\"a\":{\"S\":\"\\n\xff\"}}]}",
	`{"Count":1,"Items":[{"a":{"S":"\x"}}]}`, `{"Count":1,"Items":[{"a":{"S":"\u12g4"}}]}`, `{"Count":1,"Items":[{"a":{"S":"\ud83d\u00g0"}}]}`, `{"Count":1,"Items":[{"a":{"S":"\u12`,
}

func TestDamagedPagesAreErrors(t *testing.T) {
	var d decoder
	for _, body := range damagedPages {
		if got, err := decode(&d, []byte(body), "timestamp", 'S'); err == nil {
			t.Errorf("%.80q was taken for %+v", body, got)
		}
	}
	// And so is every good page that ends too early.
	for _, body := range append(pagesForTest, bigPage(3)) {
		body = strings.TrimSpace(body)
		for i := range body {
			if got, err := decode(&d, []byte(body[:i]), "timestamp", 'S'); err == nil {
				t.Errorf("%q was taken for %+v", body[:i], got)
			}
		}
	}
}

// Text that only looks like an attribute is none.
func TestHostileNames(t *testing.T) {
	columns := []string{`x":{"N":"1"},"y`, "y", `a\`, "b\x01", "ключ", "a"}
	body := `{"Count":3,"Items":[` +
		`{"x":{"N":"1"},"y":{"N":"2"},"a\\":{"N":"3"},"b\u0001":{"N":"4"},"ключ":{"N":"5"},"a":{"N":"6"}},` +
		`{"x\":{\"N\":\"1\"},\"y":{"N":"7"},"y":{"S":"\"a\":{\"N\":\"9\"}"},"\u043a\u043b\u044e\u0447":{"N":"8"}},` +
		`{"x":{"N":"1"},"y":{"N":"2"},"a\\":{"N":"3"},"b\u0001":{"N":"4"},"ключ":{"N":"5"},"a":{"N":"6"}}]}`
	var d decoder
	d.flat(columns, "timestamp", make([]int64, 9))
	if err := d.Open([]byte(body)); err != nil {
		t.Fatal(err)
	}
	var got []string
	values := make([]hotreader.Value, len(columns))
	for {
		_, more, err := d.Item(values)
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			break
		}
		got = append(got, fmt.Sprint(values))
	}
	want := []string{"[null 2 3 4 5 6]", `[7 "\"a\":{\"N\":\"9\"}" null null 8 null]`, "[null 2 3 4 5 6]"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// bigPage spells a page of n rows with four numbers, as DynamoDB does.
func bigPage(n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"Count":%d,"Items":[`, n)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"temperature":{"N":"%d.%02d"},"pressure":{"N":"%d.%03d"},"timestamp":{"S":"2024-02-%02dT%02d:%02d:%02d.%03dZ"},"humidity":{"N":"%d"},"vibration":{"N":"0.%05d"}}`,
			20+i%9, i%100, 1000+i%30, i%1000, 1+i/86400, i/3600%24, i/60%60, i%60, i%1000, 30+i%50, i%100000)
	}
	b.WriteString(`],"LastEvaluatedKey":{"device_id":{"S":"d"},"timestamp":{"S":"2024-02-28T00:00:00Z"}},"ScannedCount":5000}`)
	return b.String()
}

var bigColumns = []string{"temperature", "pressure", "humidity", "vibration"}

func TestDecodingDoesNotAllocate(t *testing.T) {
	body := []byte(strings.ReplaceAll(bigPage(1000), `"humidity":{"N":"`, `"humidity":{"S":"\u00b0`))
	var d decoder
	values := make([]hotreader.Value, len(bigColumns))
	d.flat(bigColumns, "timestamp", make([]int64, 9))
	allocations := cloud.PageAllocations(t, func() error { return d.Open(body) }, func() (more bool, err error) {
		_, more, err = d.Item(values)
		return more, err
	})
	if allocations > 20 { // the last key's map, once a page
		t.Errorf("%v allocations for a page of 1000 rows", allocations)
	}
}
