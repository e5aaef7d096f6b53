package route

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"
	"time"

	"hotreader"
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
		{"http://api.example.com", `in the clear to "api.example.com"; want https`},
		{"http://127.0.0.1.example.com", "want https"}, // begins like loopback
		{"https://me:hunter2@api.example.com", "user info"},
		{"ftp://api.example.com", `scheme "ftp"`},
		{"api.example.com/read", "is not a URL"},
		{"api.example.com:443", "is not a URL"},
		{"https:///read", "has no host"},
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
