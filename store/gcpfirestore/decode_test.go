package gcpfirestore

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"hotreader"
	"hotreader/layout"
	"hotreader/store/internal/paging"
	"hotreader/store/internal/timekey"
)

// columns of the decoders under test; the last is also the time's field, or not.
var columns = []string{"n", "a.b", "", "timestamp"}

// asTheirs says what a message means to Google's generated code, in the words of
// asOurs.
func asTheirs(m *pb.RunQueryResponse, columns []string, native bool) string {
	if m.Document == nil {
		return "no document"
	}
	var b strings.Builder
	left := 0
	b.WriteString(m.Document.Name)
	for _, c := range columns {
		text, usable := render(m.Document.Fields[c])
		front, back, nested := strings.Cut(c, ".")
		if within, ok := m.Document.Fields[front].GetMapValue().GetFields()[back]; ok && nested && usable && text == "null" {
			text, usable = render(within)
		}
		if !usable {
			left++
		}
		b.WriteString(" " + text)
	}
	b.WriteString(" left " + strconv.Itoa(left) + " at ")
	when := m.Document.Fields["timestamp"]
	if !native {
		text, _ := render(when)
		b.WriteString(text)
	} else if t := when.GetTimestampValue(); t != nil && t.IsValid() {
		b.WriteString(t.AsTime().Format(time.RFC3339Nano))
	}
	b.WriteString(" written " + m.Document.UpdateTime.AsTime().Format(time.RFC3339Nano))
	if m.GetDone() {
		b.WriteString(" done")
	}
	return b.String()
}

// render writes a value as a hotreader.Value's String does.
func render(v *pb.Value) (text string, usable bool) {
	plain, usable := plainOf(v)
	switch plain := plain.(type) {
	case string:
		return strconv.Quote(plain), usable
	case bool, json.Number:
		return fmt.Sprint(plain), usable
	case time.Time:
		return "null", false
	case []any, map[string]any:
		var b strings.Builder
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if usable && e.Encode(plain) == nil {
			return strconv.Quote(strings.TrimSuffix(b.String(), "\n")), true
		}
		return "null", false
	}
	return "null", usable
}

// plainOf makes a value one of Go; ok is false for what is, or holds, no such.
func plainOf(v *pb.Value) (plain any, ok bool) {
	switch k := v.GetValueType().(type) {
	case *pb.Value_BooleanValue:
		return k.BooleanValue, true
	case *pb.Value_IntegerValue:
		return json.Number(strconv.FormatInt(k.IntegerValue, 10)), true
	case *pb.Value_DoubleValue:
		if f := k.DoubleValue; !math.IsNaN(f) && !math.IsInf(f, 0) {
			return json.Number(hotreader.AppendFloat(nil, f)), true
		}
	case *pb.Value_StringValue:
		return k.StringValue, true
	case *pb.Value_TimestampValue:
		return k.TimestampValue.AsTime(), k.TimestampValue.IsValid()
	case *pb.Value_ArrayValue:
		all, ok := []any{}, true
		for _, v := range k.ArrayValue.GetValues() {
			plain, fits := plainOf(v)
			all, ok = append(all, plain), ok && fits
		}
		return all, ok
	case *pb.Value_MapValue:
		all, ok := map[string]any{}, true
		for name, v := range k.MapValue.GetFields() {
			plain, fits := plainOf(v)
			all[name], ok = plain, ok && fits
		}
		return all, ok
	case *pb.Value_NullValue:
		return nil, true
	case nil: // a kind that is not known yet is no null
		return nil, v == nil || len(v.ProtoReflect().GetUnknown()) == 0
	}
	return nil, false
}

func asOurs(d *decoder, columns []string, values []hotreader.Value) string {
	if !d.document {
		return "no document"
	}
	var b strings.Builder
	b.Write(d.name)
	for i := range columns {
		b.WriteString(" " + values[i].String())
	}
	left := int64(0)
	for _, n := range d.left {
		left += n
	}
	b.WriteString(" left " + strconv.FormatInt(left, 10) + " at ")
	if !d.native {
		b.WriteString(d.key.String())
	} else if d.timely {
		b.WriteString(d.at.Format(time.RFC3339Nano))
	}
	seconds, nanos := int64(binary.BigEndian.Uint64(d.rank)), int32(binary.BigEndian.Uint32(d.rank[8:]))
	b.WriteString(" written " + time.Unix(seconds, int64(nanos)).UTC().Format(time.RFC3339Nano))
	if d.done {
		b.WriteString(" done")
	}
	return b.String()
}

// decoderOf is a decoder of documents with the given columns.
func decoderOf(l layout.Layout, columns ...string) *decoder {
	var d decoder
	l = l.WithDefaults()
	d.prepare(&l, &paging.Ask{Columns: columns, Codec: &timekey.NewCodecs(l)[0], Left: make([]int64, len(columns))})
	return &d
}

// FuzzDecode proves that ours and Google's decoding of the same bytes agree.
// Ours may refuse more (what occurs twice and must not, names that are missing),
// and looks only at what was asked for, so it may pass over damage elsewhere.
func FuzzDecode(f *testing.F) {
	add := func(m *pb.RunQueryResponse) {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	at := second(0)
	add(&pb.RunQueryResponse{})
	add(&pb.RunQueryResponse{Document: doc(at, "n", 1.5, "a.b", 7, "", "é")})
	add(&pb.RunQueryResponse{Document: doc(at, "n", true, "a.b", nil, "x", []any{1, "two", map[string]any{"n": 3}}), ContinuationSelector: &pb.RunQueryResponse_Done{Done: true}})
	add(&pb.RunQueryResponse{Document: doc(parse(at), "n", math.NaN(), "a.b", []byte{1}), SkippedResults: 3, Transaction: []byte("t")})
	add(&pb.RunQueryResponse{Document: doc(1700000000, "n", parse(at), "a.b", -1)})
	add(&pb.RunQueryResponse{Document: doc(1700000000.5, "n", map[string]any{}, "a.b", 5e-324)})
	add(&pb.RunQueryResponse{Document: &pb.Document{Name: "x", Fields: map[string]*pb.Value{"n": {}, "a.b": {ValueType: &pb.Value_GeoPointValue{}}}}})
	add(&pb.RunQueryResponse{Document: doc(at, "a", map[string]any{"b": []any{parse(at), "<", 1e21, map[string]any{"z": nil, "y": false}}}, "n", []any{[]byte{1}})})
	add(&pb.RunQueryResponse{Document: doc(at, "a", map[string]any{"b": 1}, "a.b", nil)})
	// A Value of two kinds, and one with an unknown field.
	field := func(name string, v []byte) []byte {
		return tree{name: v}.append(nil, 2)
	}
	two := appendDouble(text(nil, valueString, "lost"), 2.5)
	unknown := varint(appendDouble(nil, 2.5), 99, 7)
	f.Add(message(nil, 1, func(b []byte) []byte {
		return append(append(text(b, 1, "x"), field("n", two)...), field("a.b", unknown)...)
	}))
	f.Add(protowire.AppendVarint(nil, 1<<63))
	f.Fuzz(func(t *testing.T, b []byte) {
		theirs := new(pb.RunQueryResponse)
		refused := proto.Unmarshal(b, theirs)
		for _, format := range []string{layout.ISO8601, layout.Native} {
			for _, columns := range [][]string{columns, columns[:3]} {
				d := decoderOf(layout.Layout{TimeFormat: layout.Formats{format}}, columns...)
				left := d.left
				values := make([]hotreader.Value, len(columns))
				for range 2 { // the second time it knows the order of the fields
					clear(left)
					err := d.message(slices.Clone(b), values)
					for _, v := range values {
						if v.Kind() == hotreader.Number && !hotreader.IsNumber(v.Text()) {
							t.Fatalf("the number %q is none", v.Text())
						}
					}
					if err != nil || refused != nil {
						continue
					}
					if got, want := asOurs(d, columns, values), asTheirs(theirs, columns, format == layout.Native); got != want {
						t.Fatalf("%s: %x is\n%s, want\n%s", format, b, got, want)
					}
				}
			}
		}
	})
}

// Well formed messages are never refused.
func TestDecodeTakesWhatGoogleSends(t *testing.T) {
	for _, m := range []*pb.Document{
		doc(second(0), "n", 1.5, "a.b", 7, "", "é"),
		doc(second(0), "n", []any{1, []any{}, map[string]any{"n": map[string]any{}}}, "other", parse(second(1))),
		{Name: "x"},
	} {
		b, err := proto.Marshal(&pb.RunQueryResponse{Document: m})
		if err != nil {
			t.Fatal(err)
		}
		d := decoderOf(layout.Layout{}, columns...)
		values := make([]hotreader.Value, len(columns))
		if err := d.message(b, values); err != nil {
			t.Errorf("%v: %v", m, err)
		}
		// Cut anywhere, it is refused, or was cut between two fields.
		for i := range b {
			whole := new(pb.RunQueryResponse)
			if err := d.message(b[:i], values); err == nil && proto.Unmarshal(b[:i], whole) != nil {
				t.Errorf("%v: cut at byte %d it is taken", m, i)
			}
		}
	}
}

// FuzzStatus: whatever a trailer says, it is an error and no panic.
func FuzzStatus(f *testing.F) {
	f.Add("8", "later%20on", "CAgSBWxhdGVyGkUKKHR5cGUuZ29vZ2xlYXBpcy5jb20vZ29vZ2xlLnJwYy5SZXRyeUluZm8SAggB")
	f.Add("-1", "%zz", "!")
	f.Add("0", "", "")
	f.Fuzz(func(t *testing.T, code, message, details string) {
		h := map[string][]string{"Grpc-Status": {code}, "Grpc-Message": {message}, "Grpc-Status-Details-Bin": {details}}
		err := readStatus(h)
		if n, bad := strconv.Atoi(code); (err == nil) != (bad == nil && n == 0) {
			t.Fatalf("status %q gives %v", code, err)
		}
		if err != nil && err.Error() == "" {
			t.Fatal("an error without a word")
		}
	})
}
