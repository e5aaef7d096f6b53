package twinmaker

import (
	"context"
	"errors"

	"hotreader"
)

const maxTrackBytes = 300

type track struct{}

func (t *track) append(b []byte) []byte { return b }
func (t *track) parse(in *tokenReader)  {}

func (r *Responder) readSteps(ctx, caller context.Context, page *page, req *Request, from *position, budget int) (*position, error) {
	return nil, &hotreader.Error{Op: "twinmaker: interpolation", Code: hotreader.CodeInternal, Err: errors.New("being built")}
}
