package route

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"hotreader"
)

// BehindAPI returns the Reader of a store that an API's callers are served from.
// That the store refuses the API's own identity is not their doing, and must not
// look so: to them it is a failure of the store. The cause, which names the
// permission, stays in the error for the log.
func BehindAPI(store hotreader.Reader) hotreader.Reader { return behindAPI{store} }

type behindAPI struct{ hotreader.Reader }

func (b behindAPI) Read(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		for row, err := range b.Reader.Read(ctx, q) {
			if err != nil && hotreader.CodeOf(err) == hotreader.CodeForbidden {
				err = ownRefusal(err)
			}
			if !yield(row, err) {
				return
			}
		}
	}
}

// ownRefusal returns err, of CodeForbidden, as one of CodeStore. No Error is in
// its chain, so that errors.Is finds no other code.
func ownRefusal(err error) error {
	const text = "the store refuses the identity of this API itself"
	if e, ok := errors.AsType[*hotreader.Error](err); ok && e.Err != nil {
		return &hotreader.Error{Op: e.Op, Code: hotreader.CodeStore, Err: fmt.Errorf("%s: %w", text, e.Err)}
	}
	return &hotreader.Error{Op: "store", Code: hotreader.CodeStore, Err: errors.New(text)}
}
