package route

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"hotreader"
)

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
