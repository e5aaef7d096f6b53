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

type failsAfter struct {
	rows int
	err  error
}

func (f failsAfter) Scan(context.Context, hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		for i := range f.rows {
			if !yield(hotreader.Row{Time: time.Unix(int64(i), 0)}, nil) {
				return
			}
		}
		if f.err != nil {
			yield(hotreader.Row{}, f.err)
		}
	}
}

// A store's refusal of the API's own identity is the store's failure to whoever
// asks the API; everything else stays what it is.
func TestBehindAPI(t *testing.T) {
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
		rows, got := 0, error(nil)
		for _, err := range BehindAPI(failsAfter{2, c.err}).Scan(t.Context(), hotreader.Query{}) {
			if got = err; err == nil {
				rows++
			}
		}
		if rows != 2 || hotreader.CodeOf(got) != c.code && c.err != nil || c.same != (got == c.err) || errors.Is(got, hotreader.CodeForbidden) {
			t.Errorf("%v becomes %v, behind %d rows", c.err, got, rows)
		}
		if e, ok := errors.AsType[*hotreader.Error](c.err); ok && e.Err != nil && (!errors.Is(got, lacks) || !strings.Contains(got.Error(), "dynamodb: query: ")) {
			t.Errorf("%v does not tell the log what %v told", got, c.err)
		}
	}
	for range BehindAPI(failsAfter{2, lacks}).Scan(t.Context(), hotreader.Query{}) {
		break
	}
}
