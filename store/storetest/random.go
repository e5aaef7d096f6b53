package storetest

import (
	"bytes"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"hotreader"
)

// answer is the oracle: what q must yield when records were written in order.
// It is naive on purpose and shares nothing with the read path: maps, sorting,
// rationals.
func answer(records []hotreader.Record, q hotreader.Query) []hotreader.Row {
	type instant struct {
		sec  int64
		nsec int
	}
	stored := make(map[instant]map[string]hotreader.Value)
	times := make(map[instant]time.Time)
	for _, r := range records {
		key := instant{r.Time.Unix(), r.Time.Nanosecond()}
		stored[key] = make(map[string]hotreader.Value)
		times[key] = r.Time.UTC()
		for _, f := range r.Fields {
			if !f.Value.IsNull() {
				stored[key][f.Name] = f.Value
			}
		}
	}
	var keys []instant
	for key, t := range times {
		if (q.Start.IsZero() || !t.Before(q.Start)) && (q.End.IsZero() || !t.After(q.End)) {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b instant) int { return times[a].Compare(times[b]) })
	if q.Last || q.Order == hotreader.Descending {
		slices.Reverse(keys)
	}
	if q.Last {
		keys = keys[:min(len(keys), hotreader.LookBack)]
	}
	types := make([]hotreader.Type, len(q.Properties))
	copy(types, q.Types)
	seen := make([]bool, len(q.Properties))
	var rows []hotreader.Row
	for _, key := range keys {
		fields := stored[key]
		if slices.ContainsFunc(q.Filters, func(f hotreader.Filter) bool { return !passes(f, fields[f.Property]) }) {
			continue
		}
		out := hotreader.Row{Time: times[key], Values: make([]hotreader.Value, len(q.Properties))}
		full := false
		for i, p := range q.Properties {
			v := fields[p]
			if v.IsNull() || q.Last && seen[i] {
				continue
			}
			if types[i] == hotreader.FirstKind {
				types[i] = map[hotreader.Kind]hotreader.Type{hotreader.Bool: hotreader.Boolean,
					hotreader.Number: hotreader.AnyNumber, hotreader.String: hotreader.AnyString}[v.Kind()]
			}
			if v, ok := as(types[i], v); ok {
				out.Values[i], seen[i], full = v, true, true
			}
		}
		if full {
			rows = append(rows, out)
		}
		if !q.Last && q.Limit > 0 && len(rows) == q.Limit {
			break
		}
	}
	return rows
}

// rational reads a number or numeric text; nil if v is neither.
func rational(v hotreader.Value) *big.Rat {
	if v.Kind() < hotreader.Number || !hotreader.IsNumber(v.Text()) {
		return nil
	}
	r, _ := new(big.Rat).SetString(string(v.Text()))
	return r
}

func passes(f hotreader.Filter, v hotreader.Value) bool {
	if v.IsNull() {
		return false
	}
	w := f.Value
	if w.Kind() == hotreader.Bool {
		b, ok := as(hotreader.Boolean, v)
		if !ok {
			return false
		}
		v = b
	}
	var c int
	switch x, y := rational(v), rational(w); {
	case v.Kind() == hotreader.String && w.Kind() == hotreader.String:
		c = bytes.Compare(v.Text(), w.Text())
	case v.Kind() == hotreader.Bool && w.Kind() == hotreader.Bool:
		if v.Bool() != w.Bool() {
			c = 1
		}
	case x != nil && y != nil:
		c = x.Cmp(y)
	default:
		return f.Op == hotreader.NotEqual
	}
	return map[hotreader.Op]bool{hotreader.Equal: c == 0, hotreader.NotEqual: c != 0, hotreader.Less: c < 0,
		hotreader.LessEqual: c <= 0, hotreader.Greater: c > 0, hotreader.GreaterEqual: c >= 0}[f.Op]
}

func as(typ hotreader.Type, v hotreader.Value) (hotreader.Value, bool) {
	text := bytes.Clone(v.Text())
	switch typ {
	case hotreader.Untyped, hotreader.AsStored:
		return v, true
	case hotreader.Boolean:
		words := map[string]bool{"true": true, "false": false}
		if b, ok := words[strings.ToLower(string(text))]; ok {
			return hotreader.BoolValue(b), true
		}
		if r := rational(v); r != nil && r.IsInt() && r.Num().IsInt64() && r.Num().Int64()>>1 == 0 {
			return hotreader.BoolValue(r.Num().Int64() == 1), true
		}
		return v, v.Kind() == hotreader.Bool
	case hotreader.AnyString:
		return hotreader.StringValue(text), v.Kind() != hotreader.Bool
	case hotreader.ShortString:
		n := utf8.RuneCount(text)
		return hotreader.StringValue(text), v.Kind() != hotreader.Bool && n >= 1 && n <= 256
	}
	r := rational(v)
	if r == nil {
		return v, false
	}
	switch typ {
	case hotreader.Double:
		f, err := strconv.ParseFloat(string(text), 64)
		return hotreader.NumberValue(text), err == nil && (f != 0 || r.Sign() == 0)
	case hotreader.Integer, hotreader.Long:
		if !r.IsInt() || !r.Num().IsInt64() || typ == hotreader.Integer && int64(int32(r.Num().Int64())) != r.Num().Int64() {
			return v, false
		}
		return num(r.Num().String()), true
	}
	return hotreader.NumberValue(text), true
}

// randomOracle writes random records in random batches and asks random queries.
func randomOracle(t testing.TB, h Harness) {
	r, w := h.open(t)
	names := []string{"p0", "p1", "p2", "p.3"}
	texts := []string{"", "a", "b", "10", "9", "-3", "1.50", "é", "true"}
	numbers := []string{"0", "1", "-3", "10", "9.5", "2147483648", "12345678901234567890"}
	if !h.RewritesNumbers {
		numbers = append(numbers, "1.50", "-0", "1e1", "10.0", "0.95E+1", "1e-400", "1e400")
	}
	numbers = slices.DeleteFunc(numbers, func(digits string) bool { return h.isText(num(digits)) })
	steps := []time.Duration{1, time.Microsecond, time.Millisecond, 300 * time.Millisecond, time.Second, time.Minute}

	value := rapid.Custom(func(t *rapid.T) hotreader.Value {
		switch rapid.IntRange(0, 9).Draw(t, "kind") {
		case 0:
			return null
		case 1:
			return boolean(rapid.Bool().Draw(t, "boolean"))
		case 2, 3:
			return str(rapid.SampledFrom(texts).Draw(t, "text"))
		case 4:
			return num(strconv.Itoa(rapid.IntRange(-20, 20).Draw(t, "integer")))
		}
		return num(rapid.SampledFrom(numbers).Draw(t, "number"))
	})
	instant := rapid.Custom(func(t *rapid.T) time.Time {
		return at(time.Duration(rapid.IntRange(-4, 8).Draw(t, "times")) * rapid.SampledFrom(steps).Draw(t, "step"))
	})
	recordOf := rapid.Custom(func(t *rapid.T) hotreader.Record {
		rec := hotreader.Record{Time: instant.Draw(t, "at")}
		for _, n := range names {
			if rapid.Bool().Draw(t, "has "+n) {
				rec.Fields = append(rec.Fields, field(n, value.Draw(t, n)))
			}
		}
		return rec
	})
	query := rapid.Custom(func(t *rapid.T) hotreader.Query {
		q := hotreader.Query{
			Properties: rapid.Permutation(names).Draw(t, "properties")[:rapid.IntRange(1, len(names)).Draw(t, "selected")],
			Order:      rapid.SampledFrom([]hotreader.Order{hotreader.Ascending, hotreader.Descending}).Draw(t, "order"),
			Last:       rapid.IntRange(0, 4).Draw(t, "last") == 0,
		}
		if rapid.Bool().Draw(t, "limited") {
			q.Limit = rapid.IntRange(1, 12).Draw(t, "limit")
		}
		if rapid.Bool().Draw(t, "typed") {
			most := int(hotreader.ShortString)
			if h.RewritesNumbers { // how it spells a number that becomes text is its own
				most = int(hotreader.Long)
			}
			for range q.Properties {
				typ := hotreader.Type(rapid.IntRange(int(hotreader.AnyNumber), most).Draw(t, "type"))
				if h.RewritesNumbers && typ == hotreader.AnyString {
					typ = hotreader.Untyped
				}
				q.Types = append(q.Types, typ)
			}
		}
		if q.Types == nil && h.OneKind {
			q.Types = slices.Repeat([]hotreader.Type{hotreader.FirstKind}, len(q.Properties))
		}
		if rapid.Bool().Draw(t, "from") {
			q.Start = instant.Draw(t, "start")
		}
		if rapid.Bool().Draw(t, "to") {
			q.End = instant.Draw(t, "end")
		}
		if !q.Start.IsZero() && !q.End.IsZero() && q.Start.After(q.End) {
			q.Start, q.End = q.End, q.Start
		}
		for range rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(t, "filters") {
			f := hotreader.Filter{Property: rapid.SampledFrom(names).Draw(t, "filtered"),
				Op:    rapid.SampledFrom(ops).Draw(t, "op"),
				Value: value.Filter(func(v hotreader.Value) bool { return !v.IsNull() }).Draw(t, "against")}
			if f.Value.Kind() == hotreader.Bool {
				f.Op %= 2
			}
			q.Filters = append(q.Filters, f)
		}
		return q
	})

	// A store in which there is nothing at all may say so, which is none of this
	// check's concern.
	write(t, w, "another", record(base, field("n", num("1"))))
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++ // a device of its own for each run
		device := fmt.Sprintf("random-%d", run)
		var stored []hotreader.Record
		for range rapid.IntRange(1, 4).Draw(rt, "writes") {
			batch := rapid.SliceOfN(recordOf, 0, 25).Draw(rt, "batch")
			if err := w.Write(t.Context(), device, batch); err != nil {
				rt.Fatalf("write: %v", err)
			}
			stored = append(stored, batch...)
		}
		for range 4 {
			q := query.Draw(rt, "query")
			q.Device = device
			rows, err, breach := collect(q, r.Read(t.Context(), q))
			if err != nil || breach != nil {
				rt.Fatalf("%s: %v, %v", describe(q), err, breach)
			}
			if msg := h.differ(rows, answer(stored, q)); msg != "" {
				rt.Fatalf("%s: %s", describe(q), msg)
			}
		}
	})
}
