package azurecosmos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"hotreader"
	"hotreader/store/internal/paging"
	"hotreader/store/storetest/cloud"
	"hotreader/test/jsondraw"
)

// decoded is a page in a form that compares: an item's time, "" = none, and its
// four columns.
type decoded struct {
	items   [][5]string
	skipped int
}

const testColumns = 4

func testAsk() *paging.Ask {
	return &paging.Ask{Columns: bigColumns, Left: make([]int64, testColumns)}
}

// decode decodes a whole page with our decoder.
func decode(d *decoder, body []byte, kind hotreader.Kind) (decoded, error) {
	var out decoded
	a := testAsk()
	d.prepare(a, false)
	if err := d.Open(body); err != nil {
		return out, err
	}
	values := make([]hotreader.Value, testColumns)
	for {
		at, more, err := d.Item(values)
		if err != nil {
			return out, err
		}
		if !more {
			break
		}
		item := [5]string{}
		if at.Kind() == kind {
			item[4] = string(at.Text())
		}
		for i, v := range values {
			item[i] = v.String()
		}
		out.items = append(out.items, item)
	}
	for _, n := range a.Left {
		out.skipped += int(n)
	}
	return out, nil
}

// reference decodes a page with encoding/json.
func reference(body []byte, kind hotreader.Kind) (decoded, error) {
	var out decoded
	var page struct {
		Documents []map[string]json.RawMessage
		Count     *int `json:"_count"`
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&page); err != nil {
		return out, err
	}
	if d.More() || page.Documents == nil || page.Count == nil || *page.Count != len(page.Documents) {
		return out, fmt.Errorf("it is not whole")
	}
	translate := func(raw json.RawMessage) (hotreader.Value, bool) {
		var v any
		if len(raw) > 0 {
			d := json.NewDecoder(bytes.NewReader(raw))
			d.UseNumber()
			if err := d.Decode(&v); err != nil {
				panic(err)
			}
		}
		switch v := v.(type) {
		case nil:
			return hotreader.Value{}, true
		case bool:
			return hotreader.BoolValue(v), true
		case string:
			return hotreader.StringValue([]byte(v)), true
		case json.Number:
			return hotreader.NumberValue([]byte(v)), true
		}
		return hotreader.StringValue(raw), true
	}
	for _, document := range page.Documents {
		if document == nil {
			return out, fmt.Errorf("an item is null")
		}
		var item [5]string
		for i := range testColumns {
			v, usable := translate(document[fmt.Sprint("p", i)])
			if !usable {
				out.skipped++
			}
			item[i] = v.String()
		}
		if v, _ := translate(document["t"]); v.Kind() == kind {
			item[4] = string(v.Text())
		}
		out.items = append(out.items, item)
	}
	return out, nil
}

// pagesForTest are pages of every spelling that JSON allows.
var pagesForTest = []string{
	`{"_rid":"x","Documents":[],"_count":0}`,
	`{"_rid":"x","Documents":[{"t":"2024-01-01T00:00:00Z","p0":1}],"_count":1}`,
	`{"Documents":[{"t":"2024-01-01T00:00:00Z","p0":-0.5,"p1":"x","p2":true,"p3":null},{"p1":1E+2,"p0":0,"t":"2024-01-01T00:00:01Z"},{"p3":17.5e-3}],"_count":3}`,
	"{ \"_count\" : 2 ,\n\"_rid\":\"\",\t\"Documents\" : [ { \"p0\" : 1 , \"p1\" : true } , { } ] ,\r\n \"more\" : {\"a\":[1,{}]} } ",
	`{"Documents":[{"p0":"\"\\\/\b\f\n\r\t\u0041\ud83d\ude00x","\u00700":"again"}],"_count":1}`,
	`{"Documents":[{"p0":[1,"a",[],{}],"p1":{"x":{"y":[null]}},"t":{"a":1}},{"p0":false,"p1":[],"p2":{},"t":17.25}],"_count":2}`,
	`{"Documents":[{"p0":"1","unknown":1,"p0":2},{"t":12},{"t":"x","t":1},{"t":1,"t":"x"},{"p0":1,"p0":null}],"_count":5}`,
	`{"Documents":[{"p0":1 },{"p0":"1"  },{"p0":-1.50e10,"p1":1e5},{"p0":0.0,"p1":-0}],"_count":4}`,
	`{"Documents":[{"p0":"","p1":"é€😀","p2":"\u0000"}],"_count":1}`,
	`{"Documents":[{"p00":1,"p":2,"p4":3,"P0":4,"T":"x"}],"_count":1}`,
}

func TestDecodesAsEncodingJSON(t *testing.T) {
	var d decoder
	for _, body := range pagesForTest {
		for _, kind := range []hotreader.Kind{hotreader.String, hotreader.Number} {
			want, err := reference([]byte(body), kind)
			if err != nil {
				t.Fatalf("encoding/json refuses %s: %v", body, err)
			}
			got, err := decode(&d, []byte(body), kind)
			if err != nil {
				t.Errorf("%s: %v", body, err)
				continue
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s:\n got %+v\nwant %+v", body, got, want)
			}
		}
	}
}

// FuzzDecode: what we take, encoding/json takes too, and sees the same in it.
func FuzzDecode(f *testing.F) {
	for _, body := range slices.Concat(pagesForTest, damagedPages, []string{bigPage(20)}) {
		f.Add([]byte(body))
	}
	var d decoder
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := decode(&d, body, hotreader.String)
		if err != nil {
			return
		}
		if !json.Valid(body) {
			t.Fatal("we take what is no JSON")
		}
		want, err := reference(body, hotreader.String)
		if err != nil {
			// Names of another case, and names that come twice, are one to it.
			if lower := bytes.ToLower(body); bytes.Count(lower, []byte("documents")) == 1 && bytes.Count(lower, []byte("_count")) == 1 && !bytes.Contains(body, []byte(`\u`)) && utf8.Valid(body) {
				t.Fatalf("encoding/json refuses it: %v", err)
			}
			return
		}
		if jsondraw.HalfPair(body) {
			return
		}
		got.skipped, want.skipped = 0, 0 // we count a member that comes twice as often
		if bytes.Count(bytes.ToLower(body), []byte("documents")) == 1 && !reflect.DeepEqual(got, want) {
			t.Fatalf("\n got %+v\nwant %+v", got, want)
		}
	})
}

// A text with half a surrogate pair, which a writer in JavaScript may leave, is
// no text that could be told: it is left out and counted. As the time it is none.
func TestHalfAPairIsLeftOut(t *testing.T) {
	var d decoder
	got, err := decode(&d, []byte(`{"Documents":[{"t":"\ud800","p0":"x\udc00","p1":"\ud83d\ude00"}],"_count":1}`), hotreader.String)
	null := hotreader.Value{}.String()
	want := [5]string{null, hotreader.StringValue([]byte("😀")).String(), null, null, ""}
	if err != nil || got.skipped != 1 || len(got.items) != 1 || got.items[0] != want {
		t.Fatalf("%+v, %v; want %v", got, err, want)
	}
}

// Every page that Cosmos DB can write, in any spelling of JSON, is taken.
func TestDecodesEveryPage(t *testing.T) {
	var d decoder
	rapid.Check(t, func(t *rapid.T) {
		body := []byte(drawPage(t))
		want, err := reference(body, hotreader.String)
		if err != nil {
			t.Fatalf("encoding/json refuses %s: %v", body, err)
		}
		got, err := decode(&d, body, hotreader.String)
		if err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%s:\n got %+v\nwant %+v", body, got, want)
		}
	})
}

// drawPage spells a page, its members in any order, with blanks and escapes
// where JSON allows them.
func drawPage(t *rapid.T) string {
	spell := jsondraw.New(t)
	text := rapid.OneOf(rapid.StringMatching(`[ -~]{0,12}`), rapid.StringN(0, 6, -1))
	number := rapid.StringMatching(`-?(0|[1-9][0-9]{0,5})(\.[0-9]{1,4})?([eE][+-]?[0-9]{1,3})?`)
	var value func(depth int) string
	value = func(depth int) string {
		switch rapid.SampledFrom([]byte("nnnnsst0[{")).Draw(t, "kind") {
		case 'n':
			return number.Draw(t, "number")
		case 's':
			return spell.Quote(text.Draw(t, "text"))
		case 't':
			return rapid.SampledFrom([]string{"true", "false"}).Draw(t, "truth")
		case '0':
			return "null"
		case '[':
			var parts []string
			for range rapid.IntRange(0, 3-depth).Draw(t, "elements") {
				parts = append(parts, value(depth+1))
			}
			return spell.Join("[", parts, "]")
		}
		var parts []string
		for i := range rapid.IntRange(0, 3-depth).Draw(t, "members") {
			parts = append(parts, spell.Member(fmt.Sprint("p", i), value(depth+1)))
		}
		return spell.Join("{", parts, "}")
	}
	names := []string{"t", "p0", "p1", "p2", "p3", "unknown"}
	items := spell.Items(names, func(name string) string {
		if name == "t" && rapid.Bool().Draw(t, "text time") {
			return `"2024-02-03T04:05:06.7Z"`
		}
		return value(0)
	})
	members := []string{
		spell.Member("_rid", spell.Quote(text.Draw(t, "text"))),
		spell.Member("_count", fmt.Sprint(len(items))),
		spell.Member("Documents", spell.Join("[", items, "]")),
	}
	return spell.Blank() + spell.Join("{", rapid.Permutation(members).Draw(t, "members"), "}") + spell.Blank()
}

// damagedPages are what no page may be taken for.
var damagedPages = []string{
	`{"_count":1,"Documents":[{"p0":1`, `{"_count":1,"Documents":[{"p0":1}`, `{"_count":1,"Documents":[{"p0":1}]`, `{"_count":1,"Documents":[{"p0":`, `{"_count":1,"Documents":[{"p0`,
	`{"_count":1,"Documents":[{"p0":01}]}`, `{"_count":1,"Documents":[{"p0":1.}]}`, `{"_count":1,"Documents":[{"p0":-}]}`, `{"_count":1,"Documents":[{"p0":1e}]}`, `{"_count":1,"Documents":[{"p0":NaN}]}`, `{"_count":1,"Documents":[{"p0":tru}]}`,
	`{"_count":1,"Documents":[{"p0":1 2}]}`, `{"_count":1,"Documents":[{"p0":1"p1":1}]}`, `{"_count":1,"Documents":[{"p0":1,}]}`, `{"_count":1,"Documents":[{,"p0":1}]}`, `{"_count":1,"Documents":[{"p0":}]}`, `{"_count":1,"Documents":[{"p0"}]}`,
	`{"_count":1,"Documents":[{"p0":1]]}`, `{"_count":1,"Documents":[{"p0":"1"]]}`, `{"_count":1,"Documents":[["p0",1]]}`,
	`{"_count":2,"Documents":[{}{}]}`, `{"_count":1,"Documents":[{},]}`, `{"_count":1,"Documents":[,{}]}`, `{"_count":1,"Documents":[null]}`, `{"_count":1,"Documents":[1]}`,
	"{\"_count\":1,\"Documents\":[{\"p0\":\"line\nbreak\"}]}", "{\"_count\":1,\"Documents\":[{\"p0\":\"\xff\"}]}", "{\"_count\":1,\"Documents\":[{\"p0\":\"\\n\xff\"}]}",
	`{"_count":1,"Documents":[{"p0":"\x"}]}`, `{"_count":1,"Documents":[{"p0":"\u12g4"}]}`, `{"_count":1,"Documents":[{"p0":"\u12`,
}

func TestDamagedPagesAreErrors(t *testing.T) {
	var d decoder
	for _, body := range damagedPages {
		if got, err := decode(&d, []byte(body), hotreader.String); err == nil {
			t.Errorf("%.80q was taken for %+v", body, got)
		}
	}
	// And so is every good page that ends too early.
	for _, body := range append(slices.Clone(pagesForTest), bigPage(3)) {
		body = strings.TrimSpace(body)
		for i := range body {
			if got, err := decode(&d, []byte(body[:i]), hotreader.String); err == nil {
				t.Errorf("%q was taken for %+v", body[:i], got)
			}
		}
	}
}

// bigPage spells a page of n rows with four numbers, as Cosmos DB does.
func bigPage(n int) string {
	var b strings.Builder
	b.WriteString(`{"_rid":"lHd5ANwF2Fg=","Documents":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"t":"2024-02-%02dT%02d:%02d:%02d.%03dZ","p0":%d.%02d,"p1":%d.%03d,"p2":%d,"p3":0.%05d}`,
			1+i/86400, i/3600%24, i/60%60, i%60, i%1000, 20+i%9, i%100, 1000+i%30, i%1000, 30+i%50, i%100000)
	}
	fmt.Fprintf(&b, `],"_count":%d}`, n)
	return b.String()
}

var bigColumns = []string{"temperature", "pressure", "humidity", "vibration"}

func TestDecodingDoesNotAllocate(t *testing.T) {
	for name, body := range map[string]string{
		"plain":   bigPage(1000),
		"escaped": strings.ReplaceAll(strings.ReplaceAll(bigPage(1000), `"p2":`, `"p2":"\u00b0","x":`), `"p3":`, ` "\u00703" : `),
	} {
		var d decoder
		values := make([]hotreader.Value, testColumns)
		d.prepare(testAsk(), false)
		page := []byte(body)
		if allocations := cloud.PageAllocations(t, func() error { return d.Open(page) }, func() (more bool, err error) {
			_, more, err = d.Item(values)
			return more, err
		}); allocations > 0 {
			t.Errorf("%s: %v allocations", name, allocations)
		}
	}
}
