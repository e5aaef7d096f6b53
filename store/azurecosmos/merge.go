package azurecosmos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"hotreader"
	"hotreader/internal/jsontext"
	"hotreader/store/internal/batch"
	"hotreader/store/internal/failure"
	"hotreader/store/internal/paging"
)

var _ hotreader.Merger = (*Store)(nil)

// mergeTries is how often an item is merged that others change meanwhile.
const mergeTries = 10

// Merge stores records as Write does, but an item that is there keeps the properties
// that a record lacks: each is read and written again, unless it has changed meanwhile.
func (s *Store) Merge(ctx context.Context, device string, records []hotreader.Record) error {
	if err := s.checkWrite(); err != nil {
		return err
	}
	type update struct {
		id string
		item
	}
	err := batch.CheckFlat(records, s.Layout.WritePath)
	var updates []update
	if err == nil {
		updates, err = batch.Make(device, records, func(r *hotreader.Record, add func(string, update)) error {
			return s.items(device, r, func(id string, it item) { add(id, update{id, it}) })
		})
	}
	if err != nil {
		return &hotreader.Error{Op: s.op(failure.Writing), Code: hotreader.CodeInvalid, Err: err}
	}
	err = batch.Send(ctx, updates, parallelItems, func(ctx context.Context, u update) error { return s.mergeItem(ctx, u.id, u.item) })
	if err != nil {
		return s.fail(ctx, failure.Writing, err)
	}
	return nil
}

// mergeItem reads an item and writes it with what it has become.
func (s *Store) mergeItem(ctx context.Context, id string, it item) error {
	for range mergeTries {
		old, err := s.stored(ctx, id, it.partition)
		if err != nil {
			return err
		}
		write := s.upsert(it.partition, union(old, it.json))
		for name, value := range jsontext.Members(old) {
			if name == "_etag" {
				write.header["If-Match"] = []string{jsontext.Unquote(value)}
			}
		}
		body := paging.NewBody()
		_, err = s.client.do(ctx, write, body)
		body.Release()
		if statusOf(err) != http.StatusPreconditionFailed {
			return err
		}
	}
	return &hotreader.Error{Code: hotreader.CodeUnavailable, Err: errors.New("an item is changed by others again and again")}
}

// stored returns the item of an id, nil if there is none.
func (s *Store) stored(ctx context.Context, id, partition string) ([]byte, error) {
	q := query{value: partition, selected: "*"}
	q.and([]string{"id"}, "=", "@i", quote(id))
	r := s.request(q)
	r.patient = true
	body := paging.NewBody()
	defer body.Release()
	for range maxStill { // a page may be empty and still not the last
		token, err := s.page(ctx, &r, 1, body)
		if err != nil {
			return nil, err
		}
		var page struct{ Documents []json.RawMessage }
		if err := json.Unmarshal(body.Bytes, &page); err != nil {
			return nil, &failure.Damaged{Err: fmt.Errorf("the item is malformed: %w", err)}
		}
		if len(page.Documents) > 0 {
			return bytes.Clone(page.Documents[0]), nil
		}
		if token == "" {
			return nil, nil
		}
	}
	return nil, &failure.Damaged{Err: errors.New("the item is asked for and only empty pages come, and no end of them")}
}

// union returns item with the members of old that it lacks.
func union(old, item []byte) []byte {
	var names []string
	for name := range jsontext.Members(item) {
		names = append(names, name)
	}
	all := slices.Clone(item[:len(item)-1])
	for name, value := range jsontext.Members(old) {
		if !slices.Contains(names, name) && !slices.Contains(system, name) {
			all = append(append(jsontext.AppendString(append(all, ','), name), ':'), value...)
		}
	}
	return append(all, '}')
}
