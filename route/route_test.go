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

// rows is a Reader over rows held in memory, ascending, that can be made to
// fail. It stands in for a peer.
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

// series returns n rows of one number each, second after second.
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

func TestRoute(t *testing.T) {
	const u = "https://api.example.com/prod"
	for _, c := range []struct {
		name   string
		route  Route
		remote bool
		wrong  []string // each must be in the error; none = no error
	}{
		{"nothing said", Route{}, false, nil},
		{"one cloud", Route{"", "aws", "aws"}, false, nil},
		{"one cloud, even with a URL", Route{u, "aws", "aws"}, false, nil},
		{"two clouds", Route{u, "azure", "aws"}, true, nil},
		{"google is gcp", Route{u, "google", "gcp"}, false, nil},
		{"case and blanks", Route{u, " GOOGLE ", "AWS"}, true, nil},
		{"one provider, no URL", Route{"", "", "aws"}, false, nil},
		{"two clouds without a URL", Route{"", "gcp", "aws"}, false, []string{"REMOTE_READER_URL: is not set", "on gcp"}},
		{"a URL without providers", Route{u, "", ""}, false, []string{"layer_3_hot_provider is missing", "layer_4_provider is missing"}},
		{"a URL without L3", Route{u, "", "aws"}, false, []string{"layer_3_hot_provider is missing"}},
		{"a URL without L4", Route{u, "aws", " "}, false, []string{"layer_4_provider is missing"}},
		{"no cloud", Route{u, "asw", "aws"}, false, []string{`layer_3_hot_provider "asw" is no cloud`}},
		{"http", Route{"http://api.example.com", "azure", "aws"}, false, []string{"REMOTE_READER_URL", "in the clear", "want https"}},
		{"http to loopback", Route{"http://127.0.0.1:8080", "azure", "aws"}, true, nil},
		{"http to loopback by name", Route{"http://localhost:8080/x", "azure", "aws"}, true, nil},
		{"http to loopback, v6", Route{"http://[::1]:8080", "azure", "aws"}, true, nil},
		{"http to a host that begins like loopback", Route{"http://127.0.0.1.example.com", "azure", "aws"}, false, []string{"want https"}},
		{"user info", Route{"https://me:hunter2@api.example.com", "azure", "aws"}, false, []string{"user info"}},
		{"user info, one cloud", Route{"https://me:hunter2@api.example.com", "aws", "aws"}, false, []string{"user info"}},
		{"other scheme", Route{"ftp://api.example.com", "azure", "aws"}, false, []string{`scheme "ftp"`}},
		{"no scheme", Route{"api.example.com/read", "azure", "aws"}, false, []string{"is not a URL"}},
		{"host and port alone", Route{"api.example.com:443", "azure", "aws"}, false, []string{"REMOTE_READER_URL"}},
		{"no host", Route{"https:///read", "azure", "aws"}, false, []string{"has no host"}},
		{"query", Route{u + "?code=hunter2", "azure", "aws"}, false, []string{"has a query"}},
		{"fragment", Route{u + "#x", "azure", "aws"}, false, []string{"fragment"}},
		{"broken", Route{"https://a b:hunter2@%zz", "azure", "aws"}, false, []string{"is not a URL"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			remote, err := c.route.Remote()
			if len(c.wrong) == 0 {
				if err != nil || remote != c.remote {
					t.Fatalf("got %v, %v; want %v", remote, err, c.remote)
				}
				return
			}
			if hotreader.CodeOf(err) != hotreader.CodeConfig || remote {
				t.Fatalf("got %v, %v; want an error of CodeConfig", remote, err)
			}
			for _, w := range c.wrong {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%q gives the password away", err)
			}
		})
	}
}

func TestRouterDecidesOnce(t *testing.T) {
	near, far := &rows{rows: series(1)}, &rows{rows: series(2)}
	for _, c := range []struct {
		route Route
		want  int
	}{
		{Route{"", "aws", "aws"}, 1},
		{Route{"https://a", "aws", "aws"}, 1},
		{Route{"https://a", "gcp", "aws"}, 2},
	} {
		r, err := NewRouter(c.route, near, far)
		if err != nil {
			t.Fatal(err)
		}
		got, err := collect(t.Context(), r, query())
		if err != nil || len(got) != c.want || r.Remote() != (c.want == 2) {
			t.Errorf("%v: %d rows, %v; want %d", c.route, len(got), err, c.want)
		}
	}
	if _, err := NewRouter(Route{"https://a", "gcp", "aws"}, near, nil); err == nil {
		t.Error("a router without the reader it needs was made")
	}
	if _, err := NewRouter(Route{"https://a", "", "aws"}, near, far); hotreader.CodeOf(err) != hotreader.CodeConfig {
		t.Errorf("got %v", err)
	}
}
