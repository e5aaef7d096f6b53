package storetest

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"hotreader"
)

// scanRecords are rows of all kinds: "n" numbers, "k" another kind each time.
func scanRecords(h Harness) []hotreader.Record {
	records := ramp(700, 400*time.Millisecond)
	for i := range records {
		kind := i % 3
		if h.OneKind {
			kind = 0
		}
		v := []hotreader.Value{num(strconv.Itoa(i)), str("text " + strconv.Itoa(i)), boolean(i%2 == 0)}[kind]
		records[i].Fields = append(records[i].Fields, field("k", v))
	}
	return records
}

// scanRaw looks at what a Source brings before anybody gives it a meaning: all
// rows, in order, none from outside, each value in its stored kind, the filters'
// columns after the selected ones. A limit is a hint and ends nothing.
func scanRaw(t testing.TB, h Harness) {
	src, w := h.New(t)
	records := scanRecords(h)
	write(t, w, "d", records...)
	for _, q := range []hotreader.Query{
		{},
		{Start: records[100].Time, End: records[300].Time},
		{Start: records[100].Time.Add(1), End: records[300].Time.Add(-1)},
		{Limit: 3},
	} {
		for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
			q.Device, q.Properties, q.Order = "d", []string{"n"}, order
			q.Filters = []hotreader.Filter{{Property: "k", Op: hotreader.NotEqual, Value: str("nothing has it")},
				{Property: "n", Op: hotreader.GreaterEqual, Value: num("0")}}
			if h.OneKind {
				q.Filters = nil
			}
			asked := q
			asked.Properties, asked.Types, asked.Limit = q.Columns(), []hotreader.Type{hotreader.AsStored, hotreader.AsStored}, 0
			rows, err, breach := collect(asked, src.Scan(t.Context(), q))
			if err != nil || breach != nil {
				t.Fatalf("%s: %v, %v", describe(q), err, breach)
			}
			if msg := h.differ(rows, answer(records, asked)); msg != "" {
				t.Errorf("%s: %s", describe(q), msg)
			}
		}
	}
}

// scanEnds watches how a scan begins and ends: lazily, again for each range, and
// with one error that comes alone.
func scanEnds(t testing.TB, h Harness) {
	src, w := h.New(t)
	q := hotreader.Query{Device: "d", Properties: []string{"n"}}
	seq := src.Scan(t.Context(), q)
	write(t, w, "d", ramp(3, time.Second)...)
	for range 2 {
		if rows, err, breach := collect(q, seq); len(rows) != 3 || err != nil || breach != nil {
			t.Errorf("a scan made before its rows were written: %d rows, %v, %v", len(rows), err, breach)
		}
	}
	for what, ctx := range map[string]func() (context.Context, context.CancelFunc){
		"cancelled": func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			return ctx, cancel
		},
		"out of time": func() (context.Context, context.CancelFunc) {
			return context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
		},
	} {
		ctx, cancel := ctx()
		rows, err, breach := collect(q, src.Scan(ctx, q))
		cancel()
		if _, ok := errors.AsType[*hotreader.Error](err); !ok || len(rows) > 0 || breach != nil {
			t.Errorf("%s: %d rows, %v, %v", what, len(rows), err, breach)
		}
	}
}
