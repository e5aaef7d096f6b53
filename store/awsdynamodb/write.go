package awsdynamodb

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"hotreader"
	"hotreader/internal/retries"
	"hotreader/layout"
	"hotreader/store/internal/batch"
	"hotreader/store/internal/failure"
)

// DynamoDB's bounds, from "Quotas and limits in Amazon DynamoDB" and
// "Supported data types" in its developer guide.
const (
	maxBatch     = 25 // items of a request
	maxItemBytes = 400 << 10
	maxDigits    = 38
	minMagnitude = "1e-130"
	maxMagnitude = "9.9999999999999999999999999999999999999e125"
)

// parallelBatches is how many requests of one Write run at a time.
const parallelBatches = 4

// Between two tries of what a table did not take, the pause grows from
// firstPause to lastPause, of which a random part is waited.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 5 * time.Second
)

// Write stores records, 25 items a request, a few requests at a time. What the
// table does not take for lack of capacity is sent again until ctx ends.
//
// Each item also gets the attribute id, "{device}_{time}", as the other clouds'
// stores have it, unless the record has a property of that name. DynamoDB keeps
// a number's value but not its spelling, and up to 38 digits of it.
func (s *Store) Write(ctx context.Context, device string, records []hotreader.Record) error {
	return s.write(ctx, device, records, nil, func(puts []types.WriteRequest) error {
		return batch.Send(ctx, slices.Collect(slices.Chunk(puts, maxBatch)), parallelBatches, s.writeBatch)
	})
}

// write checks records, unless that was done and says what is wrong, and has their items sent.
func (s *Store) write(ctx context.Context, device string, records []hotreader.Record, wrong error, send func([]types.WriteRequest) error) error {
	if err := s.check(); err != nil {
		return err
	}
	puts, err := batch.Make(device, records, func(r *hotreader.Record, add func(string, types.WriteRequest)) error { return s.items(device, r, add) })
	if err = cmp.Or(wrong, err); err != nil {
		return &hotreader.Error{Op: s.op(failure.Writing), Code: hotreader.CodeInvalid, Err: err}
	}
	if err := send(puts); err != nil {
		return s.fail(ctx, failure.Writing, err)
	}
	return nil
}

func (s *Store) writeBatch(ctx context.Context, puts []types.WriteRequest) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		out, err := s.client.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{
			RequestItems: map[string][]types.WriteRequest{s.table: puts},
		})
		if err != nil {
			return err
		}
		if puts = nil; len(out.UnprocessedItems) > 0 {
			for _, left := range out.UnprocessedItems { // of the one table, by name or ARN
				puts = left
			}
		}
		if len(puts) == 0 {
			return nil
		}
		if err := retries.Wait(ctx, pause/2+rand.N(pause/2)); err != nil {
			return &hotreader.Error{Code: hotreader.CodeOf(err), Err: fmt.Errorf("%d items were still not taken, for the table lacks capacity: %w", len(puts), err)}
		}
	}
}

// items makes a record an item or, where an item holds one property, an item for each.
func (s *Store) items(device string, r *hotreader.Record, add func(key string, put types.WriteRequest)) error {
	if err := s.codec.Writable(r.Time); err != nil {
		return err
	}
	for name, fields := range batch.Parts(r.Fields, s.layout.Narrow()) {
		key := string(s.codec.Append(nil, r.Time, name))
		item, err := s.item(device, s.PartitionOf(device, r.Time), key, fields)
		if err != nil {
			return err
		}
		if s.layout.NameKey != "" {
			key += "#" + name
		}
		add(key, types.WriteRequest{PutRequest: &types.PutRequest{Item: item}})
	}
	return nil
}

// item makes an item of properties: of a record's, or of a single one.
func (s *Store) item(device, partition, key string, fields []hotreader.Field) (map[string]types.AttributeValue, error) {
	l := &s.layout
	id := device + "_" + key
	if l.NameKey != "" {
		id += "_" + fields[0].Name
	}
	item := make(map[string]types.AttributeValue, len(fields)+3)
	size := len(l.DeviceKey) + len(partition) + len(l.TimeKey) + len(key) + len("id") + len(id)
	for _, f := range fields {
		path := l.WritePath(f.Name)
		if len(path) == 1 && (path[0] == l.DeviceKey || path[0] == l.TimeKey) {
			return nil, fmt.Errorf("the property %q is named like a key of the table", f.Name)
		}
		size += len(f.Name) + len(f.Value.Text()) + 1
		var v types.AttributeValue
		switch f.Value.Kind() {
		case hotreader.Null:
			continue
		case hotreader.Bool:
			v = &types.AttributeValueMemberBOOL{Value: f.Value.Bool()}
		case hotreader.Number:
			if msg := checkNumber(f.Value.Text()); msg != "" {
				return nil, fmt.Errorf("the number %.60s of property %q %s", f.Value.Text(), f.Name, msg)
			}
			v = attribute(string(f.Value.Text()), true)
		case hotreader.String:
			v = attribute(string(f.Value.Text()), false)
		}
		place(item, path, v)
		if l.NameKey != "" {
			place(item, layout.ParsePath(l.NameKey), attribute(f.Name, false))
		}
	}
	if size > maxItemBytes {
		return nil, fmt.Errorf("it has about %d bytes, an item of DynamoDB at most %d", size, maxItemBytes)
	}
	if _, own := item["id"]; !own {
		item["id"] = attribute(id, false)
	}
	item[l.DeviceKey] = attribute(partition, false)
	item[l.TimeKey] = attribute(key, s.codec.Kind == layout.NumberTime)
	return item, nil
}

// place puts v at a path of an item.
func place(item map[string]types.AttributeValue, path []string, v types.AttributeValue) {
	for ; len(path) > 1; path = path[1:] {
		m, ok := item[path[0]].(*types.AttributeValueMemberM)
		if !ok {
			m = &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{}}
			item[path[0]] = m
		}
		item = m.Value
	}
	item[path[0]] = v
}

// checkNumber says why DynamoDB cannot keep a number, "" if it can.
func checkNumber(text []byte) string {
	text = bytes.TrimPrefix(text, []byte("-"))
	digits := make([]byte, 0, len(text))
	for _, c := range text {
		if c|0x20 == 'e' {
			break
		}
		if c != '.' {
			digits = append(digits, c)
		}
	}
	digits = bytes.Trim(digits, "0")
	switch {
	case len(digits) == 0:
		return ""
	case len(digits) > maxDigits:
		return fmt.Sprintf("has %d digits, DynamoDB keeps at most %d", len(digits), maxDigits)
	case hotreader.CompareNumbers(text, []byte(minMagnitude)) < 0 || hotreader.CompareNumbers(text, []byte(maxMagnitude)) > 0:
		return "is outside of what DynamoDB keeps, 1e-130 to 9.99e125"
	}
	return ""
}

var _ hotreader.Merger = (*Store)(nil)

// Merge stores records as Write does, but an item that is there keeps the attributes
// that a record lacks. Each item is an update of its own.
func (s *Store) Merge(ctx context.Context, device string, records []hotreader.Record) error {
	return s.write(ctx, device, records, batch.CheckFlat(records, s.layout.WritePath), func(puts []types.WriteRequest) error {
		return batch.Send(ctx, puts, parallelBatches, s.update)
	})
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
