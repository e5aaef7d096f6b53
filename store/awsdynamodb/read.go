package awsdynamodb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"hotreader"
	"hotreader/layout"
	"hotreader/store/internal/failure"
	"hotreader/store/internal/paging"
	"hotreader/store/internal/timekey"
)

// slack is how many items are asked for beyond those needed. A row can only be
// passed on when the next one shows that its second is over; and items of a
// hundred bytes or so cost nothing up to 4 KB.
const slack = 7

// A reading is one read of a table: the request and the decoder.
type reading struct {
	store   *Store
	ask     *paging.Ask
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
func (r *reading) Begin(a *paging.Ask) bool {
	s := r.store
	low, high, ok := a.Codec.Bounds(a.Query.Start, a.Query.End)
	if !ok {
		return false
	}
	r.ask = a
	r.chain.Begin()
	condition := "#d = :d"
	values := map[string]types.AttributeValue{":d": attribute(a.Value, a.Number)}
	switch {
	case low != "" && high != "":
		condition += " AND #t BETWEEN :lo AND :hi"
	case low != "":
		condition += " AND #t >= :lo"
	case high != "":
		condition += " AND #t <= :hi"
	}
	if low != "" {
		values[":lo"] = attribute(low, a.Codec.Kind == layout.NumberTime)
	}
	if high != "" {
		values[":hi"] = attribute(high, a.Codec.Kind == layout.NumberTime)
	}
	forward := !a.Query.Backward()
	r.request = dynamodb.QueryInput{
		TableName:                 &s.table,
		IndexName:                 s.index,
		KeyConditionExpression:    &condition,
		ExpressionAttributeValues: values,
		ScanIndexForward:          &forward,
	}
	r.project(nil)
	return true
}

// project says what to ask of an item, and how to decode it. keys are the table's own,
// where they are needed.
func (r *reading) project(keys []string) {
	l, columns := &r.store.layout, r.ask.Columns
	flat := !l.Narrow() && keys == nil
	var paths [][]string
	for _, column := range columns {
		at := l.Paths(column)
		flat = flat && len(at) == 1 && len(at[0]) == 1 && at[0][0] == column
		paths = append(paths, at[0])
	}
	r.decoder.flat(columns, l.TimeKey, r.ask.Left)
	if !flat {
		r.decoder.deep = newDeep(l, columns, r.ask.Codec.Property, keys)
		paths = r.decoder.deep.paths()
	}
	projection, names := r.store.projection(paths)
	r.request.ProjectionExpression, r.request.ExpressionAttributeNames = &projection, names
}

// projection returns what to ask of an item, with placeholders for all names:
// they may be reserved words or hold dots. The time is always asked for, so that
// #t is used where there is no condition on it.
func (s *Store) projection(paths [][]string) (projection string, names map[string]string) {
	names = map[string]string{"#d": s.layout.DeviceKey, "#t": s.layout.TimeKey}
	text := []byte("#t")
	for i, path := range paths {
		if path[0] == s.layout.TimeKey {
			continue // DynamoDB rejects overlapping paths
		}
		placeholder := "#d"
		if path[0] != s.layout.DeviceKey {
			placeholder = "#" + strconv.Itoa(i)
			names[placeholder] = path[0]
		}
		text = append(append(text, ','), placeholder...)
		for k, name := range path[1:] {
			placeholder := "#" + strconv.Itoa(i) + "_" + strconv.Itoa(k)
			names[placeholder] = name
			text = append(append(text, '.'), placeholder...)
		}
	}
	return string(text), names
}

// findKeys asks for the names of the keys of the index's table: a page that
// ends at its limit names them beside the index's.
func (s *Store) findKeys(ctx context.Context, in dynamodb.QueryInput) ([]string, error) {
	if keys := s.keys.Load(); keys != nil {
		return *keys, nil
	}
	in.Limit, in.ExclusiveStartKey = aws.Int32(1), nil
	p := page{body: paging.NewBody()}
	defer p.body.Release()
	hotreader.StatsOf(ctx).Reads.Add(1)
	if err := p.fetch(ctx, s.client, &in); err != nil {
		return nil, err
	}
	var answer struct{ LastEvaluatedKey map[string]any }
	if err := json.Unmarshal(p.body.Bytes, &answer); err != nil {
		return nil, &failure.Damaged{Err: err}
	}
	delete(answer.LastEvaluatedKey, s.layout.DeviceKey)
	delete(answer.LastEvaluatedKey, s.layout.TimeKey)
	keys := slices.Sorted(maps.Keys(answer.LastEvaluatedKey))
	if len(keys) > 0 {
		s.keys.Store(&keys)
	}
	return keys, nil
}

// Release implements paging.Answer.
func (r *reading) Release() {
	r.request, r.ask = dynamodb.QueryInput{}, nil
	r.decoder.release()
}

// Page implements paging.Answer.
func (r *reading) Page(ctx context.Context, n int, o *timekey.Order) (items int, more bool, err error) {
	if r.ask.Ranked && r.decoder.deep.unranked() {
		keys, err := r.store.findKeys(ctx, r.request)
		if err != nil {
			return 0, false, err
		}
		r.project(keys)
	}
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
	if err != nil {
		return 0, false, mismatch(err)
	}
	items, err = r.chain.Rows(ctx, p.body.Bytes, o)
	if err != nil || o.Stopped() || r.decoder.lastKey == nil {
		return items, false, err
	}
	r.request.ExclusiveStartKey = r.decoder.lastKey
	return items, true, r.chain.GoOn(r.decoder.lastText, items)
}

// A page is one Query or Scan answer.
type page struct {
	body *paging.Body
	sum  bool // keep compares the checksum, not the SDK
}

// fetch asks for one page. The SDK signs, sends, retries and decodes errors;
// the body of a good answer is kept in p undecoded.
func (p *page) fetch(ctx context.Context, client *dynamodb.Client, in *dynamodb.QueryInput) error {
	_, err := client.Query(ctx, in, p.undecoded)
	return err
}

// undecoded makes a call keep its answer's body in p.
func (p *page) undecoded(o *dynamodb.Options) {
	// The SDK computes a checksum also where DynamoDB sends none, and only logs
	// what it finds. But it sees the bytes before they are unpacked.
	p.sum = !o.EnableAcceptEncodingGzip
	o.DisableValidateResponseChecksum = p.sum
	o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
		// After the SDK's decoding, and so ahead of it when the answer
		// comes back; in front of the checksum's and gzip's readers.
		return s.Deserialize.Insert(p, "OperationDeserializer", middleware.After)
	})
}

// ID names the middleware.
func (*page) ID() string { return "hotreader.KeepBody" }

// HandleDeserialize keeps the body of a good answer and gives the SDK an empty
// one instead.
func (p *page) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	out, metadata, err := next.HandleDeserialize(ctx, in)
	if err != nil {
		return out, metadata, err
	}
	resp, ok := out.RawResponse.(*smithyhttp.Response)
	if !ok || resp.StatusCode != http.StatusOK {
		return out, metadata, nil
	}
	if err = p.keep(resp.Response); err != nil {
		err = &again{err}
	}
	resp.Body = io.NopCloser(strings.NewReader("{}"))
	return out, metadata, err
}

// keep reads, checks and closes the body.
func (p *page) keep(resp *http.Response) error {
	err := p.body.Read(resp)
	wrong := resp.Body.Close()
	if err != nil {
		return err
	}
	sum := resp.Header.Get("X-Amz-Crc32")
	switch {
	case sum == "":
		return nil // the SDK's reader complains, for it expects 0
	case p.sum && sum != strconv.FormatUint(uint64(crc32.ChecksumIEEE(p.body.Bytes)), 10):
		wrong = fmt.Errorf("its checksum is not %.20q, as DynamoDB says", sum)
	case p.sum:
		return nil
	}
	if wrong != nil {
		return &failure.Damaged{Err: fmt.Errorf("the answer arrived damaged: %w", wrong)}
	}
	return nil
}

// again is a body that broke off or is damaged. The SDK's retry may ask again,
// for a query changes nothing.
type again struct{ error }

func (a *again) Unwrap() error { return a.error }

// RetryableError is for the SDK's retry.
func (a *again) RetryableError() bool { return !errors.Is(a.error, context.Canceled) }

// unsent is an error that came before a request could be sent.
type unsent struct{ error }

func (u *unsent) Unwrap() error { return u.error }

// markUnsent makes such errors of a client unsent: those of credentials may be of requests,
// too, to where credentials are.
func markUnsent(o *dynamodb.Options) {
	o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
		return errors.Join(s.Initialize.Add(sending{}, middleware.Before), s.Deserialize.Add(sending{}, middleware.Before))
	})
}

// sending is the middleware, and the context's key of whether a request was signed and
// handed to the transport.
type sending struct{}

// ID names the middleware.
func (sending) ID() string { return "hotreader.Sending" }

// HandleInitialize sees the error of a whole call.
func (sending) HandleInitialize(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
	sent := false
	out, metadata, err := next.HandleInitialize(context.WithValue(ctx, sending{}, &sent), in)
	if err != nil && !sent {
		err = &unsent{err}
	}
	return out, metadata, err
}

// HandleDeserialize sees each request.
func (sending) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	if sent, ok := ctx.Value(sending{}).(*bool); ok {
		*sent = true
	}
	return next.HandleDeserialize(ctx, in)
}
