package gcpfirestore

import (
	"context"

	"hotreader"
	"hotreader/store/internal/batch"
	"hotreader/store/internal/failure"
)

var _ hotreader.Merger = (*Store)(nil)

// Merge stores records as Write does, but a document that is there keeps the fields
// that a record lacks.
func (s *Store) Merge(ctx context.Context, device string, records []hotreader.Record) error {
	if err := s.check(); err != nil {
		return err
	}
	commits, err := s.commits(device, records, merging)
	if err != nil {
		return s.invalid(failure.Writing, err)
	}
	if err := batch.Send(ctx, commits, parallelCommits, s.commit); err != nil {
		return s.fail(ctx, failure.Writing, err)
	}
	return nil
}

// merging writes the fields that t has, and leaves others as they are.
func merging(name []byte, t tree) []byte {
	return appendWrite(nil, name, t.append(nil, 2), t.paths(nil, ""))
}

// paths appends a DocumentMask of all fields.
func (t tree) paths(mask []byte, prefix string) []byte {
	for name, v := range t {
		path := prefix + quoted(name)
		if below, ok := v.(tree); ok {
			mask = below.paths(mask, path+".")
		} else {
			mask = text(mask, 1, path)
		}
	}
	return mask
}
