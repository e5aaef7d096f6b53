package awsdynamodb

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"strconv"
	"time"

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

// Scan brings the table's rows, page by page.
//
// A query for few rows, such as the last entry, asks for few items, so that it
// costs a small read however long the device's history is. Rows of one second
// are held until the second is over, and no others.
func (s *Store) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return s.ScanPages(ctx, q, nil)
}

// ScanPages implements route.Paged.
func (s *Store) ScanPages(ctx context.Context, q hotreader.Query, next func(rest hotreader.Query, items int, span time.Duration) bool) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		if err := s.check(); err != nil {
			yield(hotreader.Row{}, err)
			return
		}
		r, ok := s.readings.Get().(*reading)
		if !ok {
			r = new(reading)
		}
		defer s.readings.Put(r)
		defer r.release()
		if !r.begin(ctx, s, &q, yield) {
			return
		}
		r.next = next
		if err := r.read(ctx); err != nil {
			yield(hotreader.Row{}, err)
		}
	}
}

// A reading is one read of a table: the request, the decoder, and the rows of
// the second that is being put together.
type reading struct {
	store   *Store
	request dynamodb.QueryInput
	size    paging.Size
	decoder decoder
	order   timekey.Order

	next func(rest hotreader.Query, items int, span time.Duration) bool // may be nil
}

// begin prepares the request. It returns false if no row can be in range.
func (r *reading) begin(ctx context.Context, s *Store, q *hotreader.Query, yield func(hotreader.Row, error) bool) bool {
	low, high, ok := timekey.Bounds(s.format, q.Start, q.End)
	if !ok {
		return false
	}
	columns := q.Columns()
	r.store = s
	r.size = paging.Size{Query: q, Slack: slack, Most: 1 << 15}
	r.decoder.layout(columns, s.timeKey, s.keyKind()[0])
	r.order.Begin(ctx, s.format, q, len(columns), yield)

	key := func(text string) types.AttributeValue {
		if s.format == ISO8601 {
			return &types.AttributeValueMemberS{Value: text}
		}
		return &types.AttributeValueMemberN{Value: text}
	}
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
		values[":lo"] = key(low)
	}
	if high != "" {
		values[":hi"] = key(high)
	}
	// Placeholders for all names: they may be reserved words or hold dots.
	// Without a condition on the time, #t is used in the projection.
	names := map[string]string{"#d": s.deviceKey, "#t": s.timeKey}
	projection := []byte("#t")
	for i, name := range columns {
		if name == s.timeKey {
			continue // overlapping paths are refused
		}
		placeholder := "#d"
		if name != s.deviceKey {
			placeholder = "#" + strconv.Itoa(i)
			names[placeholder] = name
		}
		projection = append(append(projection, ','), placeholder...)
	}
	projected, forward := string(projection), !q.Backward()
	r.request = dynamodb.QueryInput{
		TableName:                 &s.table,
		KeyConditionExpression:    &condition,
		ProjectionExpression:      &projected,
		ExpressionAttributeNames:  names,
		ExpressionAttributeValues: values,
		ScanIndexForward:          &forward,
	}
	if s.consistent {
		r.request.ConsistentRead = &s.consistent
	}
	return true
}

// release drops what the reading refers to, so that the pool does not keep it.
func (r *reading) release() {
	r.store, r.size, r.request, r.next = nil, paging.Size{}, dynamodb.QueryInput{}, nil
	r.decoder.release()
	r.order.Release(maxPooled)
}

// read follows the pages to the end of the answer.
func (r *reading) read(ctx context.Context) error {
	stats := hotreader.StatsOf(ctx)
	for number := 1; ; number++ {
		r.request.Limit = nil
		if n := int32(r.size.Next(r.order.Passed())); n > 0 {
			r.request.Limit = &n
		}
		p := newPage()
		err := p.fetch(ctx, r.store.client, &r.request)
		stats.Reads.Add(1)
		stats.Bytes.Add(int64(len(p.body)))
		if err != nil {
			err = r.store.fail(ctx, querying, err, p.sent)
			p.release()
			return err
		}
		more, err := r.page(ctx, p, number)
		p.release()
		if err != nil || !more {
			return err
		}
		next := r.decoder.lastKey
		if next == nil {
			if ctx.Err() != nil {
				return r.store.fail(ctx, querying, ctx.Err(), true)
			}
			r.order.Pass()
			return nil
		}
		if maps.EqualFunc(next, r.request.ExclusiveStartKey, func(a, b types.AttributeValue) bool { return reflect.DeepEqual(a, b) }) {
			return r.corrupt(number, errors.New("it ends where it began, so reading on would never end"))
		}
		r.request.ExclusiveStartKey = next
		if r.next != nil {
			if rest, span, ok := r.order.Rest(); ok && !r.next(rest, r.decoder.Seen(), span) {
				return nil
			}
		}
	}
}

// page passes the rows of one page on, but for those of its last second. It
// returns false if no more are wanted.
func (r *reading) page(ctx context.Context, p *page, number int) (bool, error) {
	d, o := &r.decoder, &r.order
	if err := d.open(p.body); err != nil {
		return false, r.corrupt(number, err)
	}
	for {
		at, more, err := d.item(o.Slot())
		if err != nil {
			return false, r.corrupt(number, err)
		}
		if !more {
			break
		}
		o.Unreadable(d.skipped)
		d.skipped = 0
		if ctx.Err() != nil {
			return false, r.store.fail(ctx, querying, ctx.Err(), true)
		}
		if !o.Add(at) {
			return false, nil
		}
	}
	o.Keep()
	return true, nil
}

func (r *reading) corrupt(number int, err error) error {
	return &hotreader.Error{Op: "dynamodb: query table " + r.store.table, Code: hotreader.CodeCorrupt,
		Err: fmt.Errorf("page %d of the answer is malformed: %w", number, err)}
}
