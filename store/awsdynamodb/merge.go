package awsdynamodb

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"hotreader"
	"hotreader/store/internal/batch"
	"hotreader/store/internal/failure"
)

var _ hotreader.Merger = (*Store)(nil)

// Merge stores records as Write does, but an item that is there keeps the attributes
// that a record lacks. Each item is an update of its own.
func (s *Store) Merge(ctx context.Context, device string, records []hotreader.Record) error {
	if err := s.check(); err != nil {
		return err
	}
	err := batch.CheckFlat(records, s.layout.WritePath)
	var requests []types.WriteRequest
	if err == nil {
		requests, err = batch.Make(device, records, func(r *hotreader.Record, add func(string, types.WriteRequest)) error { return s.items(device, r, add) })
	}
	if err != nil {
		return &hotreader.Error{Op: s.op(failure.Writing), Code: hotreader.CodeInvalid, Err: err}
	}
	if err := batch.Send(ctx, requests, parallelBatches, s.update); err != nil {
		return s.fail(ctx, failure.Writing, err)
	}
	return nil
}

// update sets the attributes of an item.
func (s *Store) update(ctx context.Context, put types.WriteRequest) error {
	in := &dynamodb.UpdateItemInput{TableName: &s.table, Key: map[string]types.AttributeValue{},
		ExpressionAttributeNames: map[string]string{}, ExpressionAttributeValues: map[string]types.AttributeValue{}}
	var sets []string
	item := put.PutRequest.Item
	for i, name := range slices.Sorted(maps.Keys(item)) {
		if name == s.layout.DeviceKey || name == s.layout.TimeKey {
			in.Key[name] = item[name]
			continue
		}
		n, v := fmt.Sprintf("#n%d", i), fmt.Sprintf(":v%d", i)
		in.ExpressionAttributeNames[n], in.ExpressionAttributeValues[v] = name, item[name]
		sets = append(sets, n+" = "+v)
	}
	expression := "SET " + strings.Join(sets, ", ")
	in.UpdateExpression = &expression
	_, err := s.client.UpdateItem(ctx, in)
	return err
}
