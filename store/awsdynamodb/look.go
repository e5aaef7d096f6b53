package awsdynamodb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"hotreader"
	"hotreader/internal/jsontext"
	"hotreader/layout"
	"hotreader/store/internal/failure"
	"hotreader/store/internal/jsonpage"
	"hotreader/store/internal/paging"
)

// mismatch returns err as a *paging.Mismatch if it says that a key is of another type.
func mismatch(err error) error {
	api, ok := errors.AsType[smithy.APIError](err)
	if ok && api.ErrorCode() == "ValidationException" && strings.Contains(api.ErrorMessage(), "does not match schema type") {
		return &paging.Mismatch{Err: err}
	}
	return err
}

// look returns up to n of a partition's newest items, whole.
func (s *Store) look(ctx context.Context, value string, n int) (items []layout.Item, number bool, err error) {
	return s.partition(ctx, value, n, false)
}

// partition returns up to n items of a partition, whole, from its one end or the other.
func (s *Store) partition(ctx context.Context, value string, n int, forward bool) (items []layout.Item, number bool, err error) {
	return s.within(ctx, value, dynamodb.QueryInput{Limit: aws.Int32(int32(n)), ScanIndexForward: &forward})
}

// within returns the items of a partition that in asks for, whole. Its condition, if it
// has one, is on the time as #t.
func (s *Store) within(ctx context.Context, value string, in dynamodb.QueryInput) (items []layout.Item, number bool, err error) {
	in.TableName, in.IndexName = &s.table, s.index
	in.ExpressionAttributeNames = map[string]string{"#d": s.layout.DeviceKey}
	condition := "#d = :d"
	if in.KeyConditionExpression != nil {
		condition += " AND " + *in.KeyConditionExpression
		in.ExpressionAttributeNames["#t"] = s.layout.TimeKey
	}
	in.KeyConditionExpression = &condition
	in.ExpressionAttributeValues = maps.Clone(in.ExpressionAttributeValues)
	if in.ExpressionAttributeValues == nil {
		in.ExpressionAttributeValues = map[string]types.AttributeValue{}
	}
	in.ExpressionAttributeValues[":d"] = attribute(value, false)
	peek := func() ([]layout.Item, error) {
		return s.peek(ctx, int(*in.Limit), func(p *page) error { return p.fetch(ctx, s.client, &in) })
	}
	items, err = peek()
	if _, refused := errors.AsType[*paging.Mismatch](err); refused && paging.Numeric(value) {
		number = true
		in.ExpressionAttributeValues[":d"] = attribute(value, true)
		items, err = peek()
	}
	return items, number, err
}

// end returns the item of a partition with the least or the greatest key; of texts, of
// those with a digit where the time begins.
func (s *Store) end(ctx context.Context, value string, least bool) (*layout.Item, error) {
	in := dynamodb.QueryInput{Limit: aws.Int32(1), ScanIndexForward: &least}
	if s.codec.Kind == layout.TextTime {
		in.KeyConditionExpression = aws.String("#t BETWEEN :low AND :high")
		in.ExpressionAttributeValues = map[string]types.AttributeValue{":low": attribute(s.layout.TimePrefix+"0", false), ":high": attribute(s.layout.TimePrefix+":", false)}
	}
	items, _, err := s.within(ctx, value, in)
	if len(items) == 0 {
		return nil, err
	}
	return &items[0], nil
}

// peek returns the items of the page that ask asks for, n at the most, whole.
func (s *Store) peek(ctx context.Context, n int, ask func(*page) error) ([]layout.Item, error) {
	p := page{body: paging.NewBody()}
	defer p.body.Release()
	err := ask(&p)
	stats := hotreader.StatsOf(ctx)
	stats.Reads.Add(1)
	stats.Bytes.Add(int64(len(p.body.Bytes)))
	if err != nil {
		return nil, mismatch(err)
	}
	some, err := jsonpage.Few[map[string]json.RawMessage](p.body.Bytes, "Items", "Count", n)
	if err != nil {
		return nil, &failure.Damaged{Err: err}
	}
	var items []layout.Item
	for _, attributes := range some {
		it := layout.Item{Fields: map[string]any{}}
		for name, typed := range attributes {
			it.Fields[name] = untyped(typed)
		}
		it.Key = fmt.Sprintf("%s %s", layout.Describe(it.Fields[s.layout.DeviceKey]), layout.Describe(it.Fields[s.layout.TimeKey]))
		items = append(items, it)
	}
	return items, nil
}

// untyped returns a typed value as package layout has it.
func untyped(typed json.RawMessage) any {
	for kind, v := range jsontext.Members(typed) {
		if kind == "B" {
			return layout.Kind("bytes")
		}
		d := json.NewDecoder(strings.NewReader(string(appendPlain(nil, kind, v))))
		d.UseNumber()
		var value any
		if d.Decode(&value) == nil {
			return value
		}
	}
	return layout.Kind("something unknown")
}
