package gcpfirestore

import (
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
	"hotreader/store/internal/timekey"
)

// columns of the decoders under test; the last is also the time's field, or not.
var columns = []string{"n", "a.b", "", "timestamp"}

// asTheirs says what a message means to Google's generated code, in the words of
// render.
func asTheirs(m *pb.RunQueryResponse, columns []string, format string) string {
	if m.Document == nil {
		return "no document"
	}
	var b strings.Builder
	skipped := 0
	b.WriteString(m.Document.Name)
	for _, c := range columns {
		v := m.Document.Fields[c]
		b.WriteString(" ")
		switch k := v.GetValueType().(type) {
		case *pb.Value_BooleanValue:
			b.WriteString(strconv.FormatBool(k.BooleanValue))
		case *pb.Value_IntegerValue:
			b.WriteString(strconv.FormatInt(k.IntegerValue, 10))
		case *pb.Value_DoubleValue:
			if f := k.DoubleValue; math.IsNaN(f) || math.IsInf(f, 0) {
				b.WriteString("null")
				skipped++
			} else {
				b.Write(appendDigits(nil, f))
			}
		case *pb.Value_StringValue:
			b.WriteString(strconv.Quote(k.StringValue))
		default:
			b.WriteString("null")
			// A kind that is not known yet is no null.
			if _, null := k.(*pb.Value_NullValue); k != nil && !null || k == nil && v != nil && len(v.ProtoReflect().GetUnknown()) > 0 {
				skipped++
			}
		}
	}
	b.WriteString(" skipped " + strconv.Itoa(skipped) + " at ")
	switch k := m.Document.Fields["timestamp"].GetValueType().(type) {
	case *pb.Value_TimestampValue:
		if t := k.TimestampValue; format == Native && t.IsValid() {
			b.WriteString(t.AsTime().Format(time.RFC3339Nano))
		}
	case *pb.Value_StringValue:
		if t, ok := hotreader.ParseStoredTime([]byte(k.StringValue)); ok && format == ISO8601 {
			b.WriteString(t.Format(time.RFC3339Nano))
		}
	case *pb.Value_IntegerValue:
		if t, ok := timekey.Parse(format, []byte(strconv.FormatInt(k.IntegerValue, 10))); ok && format != ISO8601 && format != Native {
			b.WriteString(t.Format(time.RFC3339Nano))
		}
	case *pb.Value_DoubleValue:
		if f := k.DoubleValue; !math.IsNaN(f) && !math.IsInf(f, 0) && format != ISO8601 && format != Native {
			if t, ok := timekey.Parse(format, appendDigits(nil, f)); ok {
				b.WriteString(t.Format(time.RFC3339Nano))
			}
		}
	}
	if m.GetDone() {
		b.WriteString(" done")
	}
	return b.String()
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
	skipped := int64(0)
	for _, n := range d.left {
		skipped += n
	}
	b.WriteString(" skipped " + strconv.FormatInt(skipped, 10) + " at ")
	if d.timely {
		b.WriteString(d.at.Format(time.RFC3339Nano))
	}
	if d.done {
		b.WriteString(" done")
	}
	return b.String()
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
	// A Value of two kinds, of which the last counts, and one with an unknown field.
	field := func(name string, v []byte) []byte {
		return appendField(nil, name, func(b []byte) []byte { return append(b, v...) })
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
		for _, format := range []string{ISO8601, Native, EpochMillis, EpochSecs} {
			for _, columns := range [][]string{columns, columns[:3]} {
				var d decoder
				left := make([]int64, len(columns))
				d.layout(columns, "timestamp", format, left)
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
					if got, want := asOurs(&d, columns, values), asTheirs(theirs, columns, format); got != want {
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
		var d decoder
		d.layout(columns, "timestamp", ISO8601, make([]int64, len(columns)))
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
