package route

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"hotreader"
)

// TranslateRefusals wraps src for an API. When a store, or another cloud's API,
// rejects this API's own identity, the API's callers must not take that for a rejection
// of theirs: they get a failure of the store or of the set-up. The error still holds
// the cause, which names the permission or the token, for the log.
func TranslateRefusals(src hotreader.Source) hotreader.Source { return translated{src} }

type translated struct{ hotreader.Source }

func (t translated) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		t.Source.Scan(ctx, q)(func(row hotreader.Row, err error) bool {
			switch hotreader.CodeOf(err) {
			case hotreader.CodeForbidden:
				err = refused(err, hotreader.CodeStore, "store", "the store rejects the identity of this API itself")
			case hotreader.CodeUnauthenticated:
				err = refused(err, hotreader.CodeConfig, "remote API", "it rejects the token that is right here; give both clouds the same")
			}
			return yield(row, err)
		})
	}
}

// refused returns err under another code. It wraps the cause but not the Error
// itself, so that errors.Is does not find the old code.
func refused(err error, code hotreader.Code, op, text string) error {
	cause := errors.New(text)
	if e, ok := errors.AsType[*hotreader.Error](err); ok && e.Err != nil {
		op, cause = e.Op, fmt.Errorf("%s: %w", text, e.Err)
	}
	return &hotreader.Error{Op: op, Code: code, Err: cause}
}
