package route

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"hotreader"
)

// BehindAPI returns src for an API whose callers are served from it. That a store,
// or the API of another cloud, refuses this API's own identity is not their doing,
// and must not look so: to them it is a failure of what lies behind. The cause,
// which names the permission or the token, stays in the error for the log.
func BehindAPI(src hotreader.Source) hotreader.Source { return behindAPI{src} }

type behindAPI struct{ hotreader.Source }

func (b behindAPI) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		b.Source.Scan(ctx, q)(func(row hotreader.Row, err error) bool {
			switch hotreader.CodeOf(err) {
			case hotreader.CodeForbidden:
				err = refused(err, hotreader.CodeStore, "store", "the store refuses the identity of this API itself")
			case hotreader.CodeUnauthenticated:
				err = refused(err, hotreader.CodeConfig, "remote API", "it refuses the token that is right here; give both sides the same")
			}
			return yield(row, err)
		})
	}
}

// refused returns err under another code. No Error is in its chain, so that
// errors.Is finds no other.
func refused(err error, code hotreader.Code, op, text string) error {
	cause := errors.New(text)
	if e, ok := errors.AsType[*hotreader.Error](err); ok && e.Err != nil {
		op, cause = e.Op, fmt.Errorf("%s: %w", text, e.Err)
	}
	return &hotreader.Error{Op: op, Code: code, Err: cause}
}
