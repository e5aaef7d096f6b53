package awsdynamodb

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
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
		var keys []string
		for _, name := range []string{s.layout.DeviceKey, s.layout.TimeKey} {
			keys = append(keys, strings.TrimPrefix(strings.TrimPrefix(layout.Describe(it.Fields[name]), "the text "), "the number "))
		}
		it.Key = strings.Join(keys, ", ")
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

// segments are how many places of a table a sample is from: a scan from one place alone
// could bring a single device's items.
const segments = 4

// mostSearched bounds how many items a segment's search for a device goes through.
const mostSearched = 1000

// Sample returns about n items of the table, if it can those of a device, and what the
// table says of its keys. It is for layout.Guess and takes no notice of the store's
// layout. It needs permissions that reading does not.
func (s *Store) Sample(ctx context.Context, device string, n int) (items []layout.Item, schema layout.Schema, err error) {
	if err := s.check(); err != nil {
		return nil, schema, err
	}
	schema, err = s.schema(ctx)
	if err == nil {
		items, err = s.sample(ctx, &schema, device, n)
	}
	if err != nil {
		return nil, schema, s.fail(ctx, failure.Sampling, err)
	}
	schema.Device = device
	return items, schema, nil
}

// schema returns the table's keys: its own, and those of its indexes in the order of
// their names.
func (s *Store) schema(ctx context.Context) (schema layout.Schema, err error) {
	out, err := s.client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &s.table})
	if err != nil {
		return schema, err
	}
	key := func(index *string, elements []types.KeySchemaElement, p *types.Projection) layout.Key {
		k := layout.Key{Index: aws.ToString(index), Partial: p != nil && p.ProjectionType != types.ProjectionTypeAll}
		for _, e := range elements {
			if e.KeyType == types.KeyTypeHash {
				k.Partition = aws.ToString(e.AttributeName)
			} else {
				k.Sort = aws.ToString(e.AttributeName)
			}
		}
		return k
	}
	schema.Cloud = layout.DynamoDB
	schema.Keys = []layout.Key{key(nil, out.Table.KeySchema, nil)}
	for _, i := range out.Table.GlobalSecondaryIndexes {
		schema.Keys = append(schema.Keys, key(i.IndexName, i.KeySchema, i.Projection))
	}
	for _, i := range out.Table.LocalSecondaryIndexes {
		schema.Keys = append(schema.Keys, key(i.IndexName, i.KeySchema, i.Projection))
	}
	slices.SortFunc(schema.Keys[1:], func(a, b layout.Key) int { return cmp.Compare(a.Index, b.Index) })
	return schema, nil
}

func (s *Store) sample(ctx context.Context, schema *layout.Schema, device string, n int) (items []layout.Item, err error) {
	if device != "" {
		for _, k := range schema.Keys {
			if items, err = s.ends(ctx, k, device, n); err != nil || len(items) > 0 {
				return items, err
			}
		}
	}
	own := schema.Keys[0]
	if items, err = s.scan(ctx, own, device, n); err == nil && len(items) == 0 && device != "" {
		items, err = s.scan(ctx, own, "", n)
	}
	if err != nil || len(items) == 0 {
		return items, err
	}
	// The scan began at the oldest of a partition: what was written last may look
	// otherwise.
	value, ok := layout.Text(items[0].Fields[own.Partition])
	if !ok || own.Sort == "" {
		return items, nil
	}
	newest, err := s.ends(ctx, own, value, n/2)
	return layout.AppendNew(items, newest...), err
}

// ends returns up to n of the newest and of the oldest items with a value of a key's
// partition.
func (s *Store) ends(ctx context.Context, k layout.Key, value string, n int) (items []layout.Item, err error) {
	of := s.by(k)
	for _, forward := range []bool{false, true} {
		some, _, err := of.partition(ctx, value, n, forward)
		if _, refused := errors.AsType[*paging.Mismatch](err); refused {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		items = layout.AppendNew(items, some...)
		if len(some) < n {
			break // these are all
		}
	}
	return items, nil
}

// by returns a store that asks for items by a key.
func (s *Store) by(k layout.Key) *Store {
	of := &Store{client: s.client, table: s.table, layout: layout.Layout{DeviceKey: k.Partition, TimeKey: k.Sort}}
	if k.Index != "" {
		of.index = &k.Index
	}
	return of
}

// scan returns items from several places of the table: any, or those whose partition's
// value has a device's ID.
func (s *Store) scan(ctx context.Context, own layout.Key, device string, n int) (items []layout.Item, err error) {
	of := s.by(own)
	for i := range int32(segments) {
		in := dynamodb.ScanInput{TableName: &s.table, TotalSegments: aws.Int32(segments), Segment: &i, Limit: aws.Int32(int32(max(1, n/segments)))}
		if device != "" {
			in.FilterExpression = aws.String("contains(#d, :d)")
			in.ExpressionAttributeNames = map[string]string{"#d": own.Partition}
			in.ExpressionAttributeValues = map[string]types.AttributeValue{":d": attribute(device, false)}
			in.Limit = aws.Int32(mostSearched)
		}
		some, err := of.peek(ctx, n, func(p *page) error {
			_, err := s.client.Scan(ctx, &in, p.undecoded)
			return err
		})
		if err != nil {
			return nil, err
		}
		items = append(items, some...)
	}
	return items, nil
}
