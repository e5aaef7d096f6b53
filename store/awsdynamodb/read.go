package awsdynamodb

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"hotreader"
)

// slack is how many items are asked for beyond those wanted. A row can only be
// passed on when the next one shows that its second is over; and items of a
// hundred bytes or so cost nothing up to 4 KB.
const slack = 7

// growth is by how much a page whose size was guessed grows to the next.
const growth = 8

// Read answers q from the table, page by page.
//
// A query for few rows, such as the last entry, asks for few items, so that it
// costs a small read however long the device's history is. Rows of one second
// are held until the second is over, and no others.
func (s *Store) Read(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		sieve, err := hotreader.NewSieve(ctx, q)
		if err != nil {
			yield(hotreader.Row{}, err)
			return
		}
		defer sieve.Close()
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
		if !r.begin(s, sieve, &q) {
			return
		}
		if err := r.read(ctx, yield); err != nil {
			yield(hotreader.Row{}, err)
		}
	}
}

// A reading is one read of a table: the request, the decoder, and the rows of
// the second that is being put together.
type reading struct {
	store      *Store
	sieve      *hotreader.Sieve
	descending bool
	properties int
	request    dynamodb.QueryInput
	limit      int // of the page before; 0 = none
	limitRows  int // Query.Limit
	last       bool
	decoder    decoder
	group      group
}

// begin prepares the request. It returns false if no row can be in range.
func (r *reading) begin(s *Store, sieve *hotreader.Sieve, q *hotreader.Query) bool {
	low, high, ok := bounds(s.format, q.Start, q.End)
	if !ok {
		return false
	}
	columns := sieve.Columns()
	r.store, r.sieve = s, sieve
	r.descending = q.Last || q.Order == hotreader.Descending
	r.properties, r.limit, r.limitRows, r.last = len(q.Properties), 0, q.Limit, q.Last
	r.decoder.layout(columns, s.timeKey, s.keyKind()[0])
	r.group.begin(s.format, len(columns))

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
	projected, forward := string(projection), !r.descending
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
	r.store, r.sieve, r.request = nil, nil, dynamodb.QueryInput{}
	r.decoder.release()
	r.group.release()
}

// read follows the pages to the end of the answer.
func (r *reading) read(ctx context.Context, yield func(hotreader.Row, error) bool) error {
	stats := hotreader.StatsOf(ctx)
	for number := 1; ; number++ {
		r.request.Limit = r.pageLimit()
		p := newPage()
		err := p.fetch(ctx, r.store.client, &r.request)
		stats.Reads.Add(1)
		stats.Bytes.Add(int64(len(p.body)))
		if err != nil {
			err = r.store.fail(ctx, querying, err, p.sent)
			p.release()
			return err
		}
		more, err := r.page(ctx, p, number, yield)
		p.release()
		if err != nil || !more {
			return err
		}
		next := r.decoder.lastKey
		if next == nil {
			if ctx.Err() != nil {
				return r.store.fail(ctx, querying, ctx.Err(), true)
			}
			r.group.pass(r, yield)
			return nil
		}
		if maps.EqualFunc(next, r.request.ExclusiveStartKey, func(a, b types.AttributeValue) bool { return reflect.DeepEqual(a, b) }) {
			return r.corrupt(number, errors.New("it ends where it began, so reading on would never end"))
		}
		r.request.ExclusiveStartKey = next
	}
}

// page passes the rows of one page on, but for those of its last second. It
// returns false if no more are wanted.
func (r *reading) page(ctx context.Context, p *page, number int, yield func(hotreader.Row, error) bool) (bool, error) {
	d, g := &r.decoder, &r.group
	if err := d.open(p.body); err != nil {
		return false, r.corrupt(number, err)
	}
	for {
		at, more, err := d.item(g.slot())
		if err != nil {
			return false, r.corrupt(number, err)
		}
		if !more {
			break
		}
		if d.skipped > 0 {
			r.sieve.Skip(d.skipped)
			d.skipped = 0
		}
		t, ok := time.Time{}, false
		if at != nil {
			t, ok = parseKey(g.format, at)
		}
		if !ok {
			r.sieve.Skip(1)
			continue
		}
		if g.n > 0 && t.Unix() != g.second {
			if ctx.Err() != nil {
				return false, r.store.fail(ctx, querying, ctx.Err(), true)
			}
			if !g.pass(r, yield) {
				return false, nil
			}
		}
		g.add(t, at)
	}
	g.keep()
	return true, nil
}

func (r *reading) corrupt(number int, err error) error {
	return &hotreader.Error{Op: "dynamodb: query table " + r.store.table, Code: hotreader.CodeCorrupt,
		Err: fmt.Errorf("page %d of the answer is malformed: %w", number, err)}
}

// pageLimit returns how many items the next page is to hold; nil = as many as
// DynamoDB puts into one.
func (r *reading) pageLimit() *int32 {
	want := r.sieve.Want()
	n := 0
	switch {
	case r.last: // most likely the newest rows have it all
		n = min(max(r.limit*growth, slack+1), want+slack)
	case want > 0:
		n = max(want+slack, r.limit*2)
	case r.limitRows > 0: // filters: nobody knows
		n = max(r.limit*growth, r.limitRows+slack, 64)
	}
	r.limit = n
	if n == 0 || n > 1<<15 { // a page never holds that many
		r.limit = min(n, 1<<15)
		return nil
	}
	limit := int32(n)
	return &limit
}

// A group is the rows of one second, in the table's order. The texts of times
// within a second have mixed widths, so that order is not that of time.
type group struct {
	format string
	width  int // values of a row
	n      int // rows
	kept   int // of those, how many own their bytes, in arena
	second int64
	times  []time.Time
	keys   [][]byte
	values []hotreader.Value // the n rows', and one more: of the row being decoded
	order  []int32
	arena  []byte
}

func (g *group) begin(format string, width int) {
	g.format, g.width, g.n, g.kept = format, width, 0, 0
}

// maxGroup bounds the values for which a group keeps memory between reads.
const maxGroup = 1 << 15

func (g *group) release() {
	if cap(g.values) > maxGroup || cap(g.arena) > maxPooled {
		*g = group{}
		return
	}
	clear(g.keys[:cap(g.keys)])
	clear(g.values[:cap(g.values)])
}

// slot returns the values of the row after the last.
func (g *group) slot() []hotreader.Value {
	from, to := g.n*g.width, (g.n+1)*g.width
	if to > len(g.values) {
		g.values = slices.Grow(g.values, to-len(g.values))
		g.values = g.values[:cap(g.values)]
	}
	return g.values[from:to]
}

// add makes the row in slot one of the group. If the group is empty, the slot
// may still be behind the rows that were passed on just before.
func (g *group) add(t time.Time, key []byte) {
	if g.n == 0 {
		g.second = t.Unix()
		g.times, g.keys = g.times[:0], g.keys[:0]
	}
	g.times = append(g.times, t)
	g.keys = append(g.keys, key)
	g.n++
}

// keep copies what refers to the page's bytes, for the page is going.
func (g *group) keep() {
	if g.kept == 0 {
		g.arena = g.arena[:0]
	}
	own := func(text []byte) []byte {
		from := len(g.arena)
		g.arena = append(g.arena, text...)
		return g.arena[from:len(g.arena):len(g.arena)]
	}
	for i := g.kept; i < g.n; i++ {
		g.keys[i] = own(g.keys[i])
		row := g.values[i*g.width : (i+1)*g.width]
		for k, v := range row {
			switch v.Kind() {
			case hotreader.Number:
				row[k] = hotreader.NumberValue(own(v.Text()))
			case hotreader.String:
				row[k] = hotreader.StringValue(own(v.Text()))
			}
		}
	}
	g.kept = g.n
}

// pass sends the group's rows through the sieve in the order of time, of those
// of one instant the one with the greatest key. It empties the group and moves
// the row in slot to its front. It returns false if no more rows are wanted.
func (g *group) pass(r *reading, yield func(hotreader.Row, error) bool) bool {
	n := g.n
	if n == 0 {
		return true
	}
	g.n, g.kept = 0, 0
	if n == 1 {
		if !g.emit(r, 0, yield) {
			return false
		}
	} else {
		g.sort(n, r.descending)
		for _, i := range g.order {
			if !g.emit(r, int(i), yield) {
				return false
			}
		}
	}
	copy(g.values[:g.width], g.values[n*g.width:min((n+1)*g.width, len(g.values))])
	return true
}

func (g *group) emit(r *reading, i int, yield func(hotreader.Row, error) bool) bool {
	row := g.values[i*g.width : (i+1)*g.width]
	if r.sieve.Keep(g.times[i], row) && !yield(hotreader.Row{Time: g.times[i], Values: row[:r.properties:r.properties]}, nil) {
		return false
	}
	return !r.sieve.Done()
}

// sort sets order to the indices of the rows to pass on.
func (g *group) sort(n int, descending bool) {
	g.order = g.order[:0]
	sorted := true
	for i := range n {
		g.order = append(g.order, int32(i))
		if i > 0 {
			c := g.times[i].Compare(g.times[i-1])
			sorted = sorted && c != 0 && (c < 0) == descending
		}
	}
	if sorted {
		return
	}
	slices.SortFunc(g.order, func(a, b int32) int {
		c := g.times[a].Compare(g.times[b])
		if descending {
			c = -c
		}
		if c == 0 {
			c = compareKeys(g.format, g.keys[b], g.keys[a]) // the greatest first
		}
		return c
	})
	g.order = slices.CompactFunc(g.order, func(a, b int32) bool { return g.times[a].Equal(g.times[b]) })
}
