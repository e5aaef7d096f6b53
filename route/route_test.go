package route

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/store/memstore"
	"hotreader/store/storetest"
)

// rows is a Source over rows in memory, ascending, that can fail. It takes the place of
// a peer.
type rows struct {
	rows []hotreader.Row

	// fail is asked before the row of each index is yielded, and at last with
	// len(rows), what happens there in the attempt of this number (from 0).
	fail func(attempt, row int) error

	queries []hotreader.Query // one for each attempt
}

func (r *rows) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		attempt := len(r.queries)
		r.queries = append(r.queries, q)
		values := make([]hotreader.Value, len(q.Columns()))
		down := q.Backward()
		for i := 0; i <= len(r.rows); i++ {
			if err := ctx.Err(); err != nil {
				yield(hotreader.Row{}, &hotreader.Error{Op: "peer", Code: hotreader.CodeOf(err), Err: err})
				return
			}
			if r.fail != nil {
				if err := r.fail(attempt, i); err != nil {
					yield(hotreader.Row{}, err)
					return
				}
			}
			if i == len(r.rows) {
				return
			}
			row := r.rows[i]
			if down {
				row = r.rows[len(r.rows)-1-i]
			}
			clear(values)
			copy(values, row.Values)
			if q.Contains(row.Time) && !yield(hotreader.Row{Time: row.Time, Values: values}, nil) {
				return
			}
		}
	}
}

func at(second int) time.Time { return time.Unix(1_700_000_000+int64(second), 0).UTC() }

// series returns n rows of one number each, one every second.
func series(n int) []hotreader.Row {
	rows := make([]hotreader.Row, n)
	for i := range rows {
		rows[i] = hotreader.Row{Time: at(i), Values: []hotreader.Value{hotreader.Int64Value(int64(i))}}
	}
	return rows
}

func query() hotreader.Query {
	return hotreader.Query{Device: "d", Properties: []string{"p"}}
}

func collect(ctx context.Context, r hotreader.Source, q hotreader.Query) (rows []hotreader.Row, err error) {
	for row, err := range hotreader.NewReader(r).Read(ctx, q) {
		if err != nil {
			return rows, err
		}
		rows = append(rows, row.Clone())
	}
	return rows, nil
}

func failure(code hotreader.Code) error {
	return &hotreader.Error{Op: "peer", Code: code, Err: errors.New("broke")}
}

func TestCheckURL(t *testing.T) {
	const u = "https://api.example.com/prod"
	for _, c := range []struct{ url, wrong string }{
		{u, ""},
		{"http://127.0.0.1:8080", ""},
		{"http://localhost:8080/x", ""},
		{"http://[::1]:8080", ""},
		{"http://api.example.com", `in the clear to "api.example.com"; expected https`},
		{"http://127.0.0.1.example.com", "expected https"}, // begins like loopback
		{"https://me:hunter2@api.example.com", "user info"},
		{"ftp://api.example.com", `scheme "ftp"`},
		{"api.example.com/read", "is not a URL"},
		{"api.example.com:443", "is not a URL"},
		{"https:///read", "has no host"},
		{"http://127.0.0.1:65535", ""},
		{"http://127.0.0.1:65536", "has the port 65536; expected 1 to 65535"},
		{"https://api.example.com:439290", "has the port 439290"},
		{u + "?code=hunter2", "has a query"},
		{u + "#x", "fragment"},
		{"https://a b:hunter2@%zz", "is not a URL"},
	} {
		wrong := CheckURL(c.url)
		if (wrong == "") != (c.wrong == "") || !strings.Contains(wrong, c.wrong) || strings.Contains(wrong, "hunter2") {
			t.Errorf("%s: %q, want %q", c.url, wrong, c.wrong)
		}
	}
}

// To the API's callers, a store's refusal of the API's own identity is a failure of the
// store. Other errors stay as they are.
func TestTranslateRefusals(t *testing.T) {
	lacks := errors.New("the role lacks dynamodb:Query on this table")
	for _, c := range []struct {
		err  error
		code hotreader.Code
		same bool
	}{
		{nil, "", true},
		{&hotreader.Error{Op: "dynamodb: query", Code: hotreader.CodeForbidden, Err: lacks}, hotreader.CodeStore, false},
		{&hotreader.Error{Code: hotreader.CodeForbidden}, hotreader.CodeStore, false},
		{&hotreader.Error{Op: "dynamodb: query", Code: hotreader.CodeNotFound, Err: lacks}, hotreader.CodeNotFound, true},
		{&hotreader.Error{Op: "dynamodb: query", Code: hotreader.CodeThrottled, RetryAfter: time.Second}, hotreader.CodeThrottled, true},
		{context.Canceled, hotreader.CodeCanceled, true},
	} {
		came, got := 0, error(nil)
		for _, err := range TranslateRefusals(&rows{rows: series(2), fail: func(_, row int) error { return map[int]error{2: c.err}[row] }}).Scan(t.Context(), query()) {
			if got = err; err == nil {
				came++
			}
		}
		if came != 2 || hotreader.CodeOf(got) != c.code && c.err != nil || c.same != (got == c.err) || errors.Is(got, hotreader.CodeForbidden) {
			t.Errorf("%v becomes %v, behind %d rows", c.err, got, came)
		}
		if e, ok := errors.AsType[*hotreader.Error](c.err); ok && e.Err != nil && (!errors.Is(got, lacks) || !strings.Contains(got.Error(), "dynamodb: query: ")) {
			t.Errorf("%v does not tell the log what %v told", got, c.err)
		}
	}
}

// Each wrapper keeps every promise of the Source that it wraps.
func TestConformance(t *testing.T) {
	for name, wrap := range map[string]func(hotreader.Source) hotreader.Source{
		"retry":   func(r hotreader.Source) hotreader.Source { return NewRetry(r, RetryOptions{}) },
		"breaker": func(r hotreader.Source) hotreader.Source { return NewBreaker(r, BreakerOptions{}) },
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, storetest.Harness{New: func(testing.TB) (hotreader.Source, hotreader.Writer) {
				store := memstore.New()
				return wrap(store), store
			}})
		})
	}
	// So does a retry around a Source that fails after one more row each time.
	t.Run("retry of breaks", func(t *testing.T) {
		storetest.Run(t, storetest.Harness{NoStats: true, New: func(testing.TB) (hotreader.Source, hotreader.Writer) {
			store := memstore.New()
			breaks := make(chan int, 15) // fewer than the budget has
			for i := range cap(breaks) {
				breaks <- i % 5
			}
			return NewRetry(readerFunc(func(ctx context.Context, q hotreader.Query, yield func(hotreader.Row, error) bool) {
				left := -1
				select {
				case left = <-breaks:
				default:
				}
				for row, err := range store.Scan(ctx, q) {
					if left == 0 && err == nil {
						yield(hotreader.Row{}, failure(hotreader.CodeUnavailable))
						return
					}
					left--
					if !yield(row, err) {
						return
					}
				}
			}), RetryOptions{Base: 1, Retries: 15}), store
		}})
	})
}
