package awsdynamodb

import (
	"context"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"hotreader"
	"hotreader/store/internal/paging"
	"hotreader/store/internal/timekey"
)

// slack is how many items are asked for beyond those wanted. A row can only be
// passed on when the next one shows that its second is over; and items of a
// hundred bytes or so cost nothing up to 4 KB.
const slack = 7

// A reading is one read of a table: the request and the decoder.
type reading struct {
	store   *Store
	request dynamodb.QueryInput
	decoder decoder
	chain   paging.Chain
}

func (s *Store) newReading() paging.Answer {
	r := &reading{store: s}
	r.chain = paging.Chain{Items: &r.decoder, MaxStill: 1}
	return r
}

// Begin implements paging.Answer.
func (r *reading) Begin(q *hotreader.Query, columns []string, left []int64) bool {
	s := r.store
	low, high, ok := timekey.Bounds(s.format, q.Start, q.End)
	if !ok {
		return false
	}
	r.chain.Begin()
	r.decoder.layout(columns, s.timeKey, s.keyKind()[0], left)
	condition := "#d = :d"
	values := map[string]types.AttributeValue{":d": &types.AttributeValueMemberS{Value: q.Device}}
	switch {
	case low != "" && high != "":
		condition += " AND #t BETWEEN :lo AND :hi"
	case low != "":
		condition += " AND #t >= :lo"
	case high != "":
		condition += " AND #t <= :hi"
	}
	if low != "" {
		values[":lo"] = s.key(low)
	}
	if high != "" {
		values[":hi"] = s.key(high)
	}
	projection, names := s.projection(columns)
	forward := !q.Backward()
	r.request = dynamodb.QueryInput{
		TableName:                 &s.table,
		KeyConditionExpression:    &condition,
		ProjectionExpression:      &projection,
		ExpressionAttributeNames:  names,
		ExpressionAttributeValues: values,
		ScanIndexForward:          &forward,
	}
	if s.consistent {
		r.request.ConsistentRead = &s.consistent
	}
	return true
}

// projection returns what to ask of an item, with placeholders for all names:
// they may be reserved words or hold dots. The time is always asked for, so that
// #t is used where there is no condition on it.
func (s *Store) projection(columns []string) (projection string, names map[string]string) {
	names = map[string]string{"#d": s.deviceKey, "#t": s.timeKey}
	text := []byte("#t")
	for i, name := range columns {
		if name == s.timeKey {
			continue // overlapping paths are refused
		}
		placeholder := "#d"
		if name != s.deviceKey {
			placeholder = "#" + strconv.Itoa(i)
			names[placeholder] = name
		}
		text = append(append(text, ','), placeholder...)
	}
	return string(text), names
}

// Release implements paging.Answer.
func (r *reading) Release() {
	r.request = dynamodb.QueryInput{}
	r.decoder.release()
}

// Page implements paging.Answer.
func (r *reading) Page(ctx context.Context, n int, o *timekey.Order) (items int, more bool, err error) {
	r.request.Limit = nil
	if limit := int32(n); n > 0 {
		r.request.Limit = &limit
	}
	p := page{body: paging.NewBody()}
	defer p.body.Release()
	err = p.fetch(ctx, r.store.client, &r.request)
	stats := hotreader.StatsOf(ctx)
	stats.Reads.Add(1)
	stats.Bytes.Add(int64(len(p.body.Bytes)))
	if err != nil && !p.sent {
		return 0, false, &unsent{err}
	}
	if err != nil {
		return 0, false, err
	}
	items, err = r.chain.Rows(ctx, p.body.Bytes, o)
	if err != nil || o.Stopped() || r.decoder.lastKey == nil {
		return items, false, err
	}
	r.request.ExclusiveStartKey = r.decoder.lastKey
	return items, true, r.chain.GoOn(r.decoder.lastText, items)
}
