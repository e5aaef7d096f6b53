package awsdynamodb

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"hotreader"
	"hotreader/store/internal/timekey"
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
	if err := s.check(); err != nil {
		return err
	}
	requests, err := s.requests(device, records)
	if err != nil {
		return &hotreader.Error{Op: "dynamodb: write table " + s.table, Code: hotreader.CodeInvalid, Err: err}
	}
	return s.writeAll(ctx, requests)
}

// writeAll sends batches side by side, for a request is mostly waiting. No two
// of them hold the same key, so their order does not matter.
func (s *Store) writeAll(ctx context.Context, requests []types.WriteRequest) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		workers sync.WaitGroup
		once    sync.Once
		failed  error // the first, for what comes after follows from it
	)
	fail := func(err error) {
		once.Do(func() { failed = err })
		cancel()
	}
	batches := make(chan []types.WriteRequest)
	for range min(parallelBatches, (len(requests)+maxBatch-1)/maxBatch) {
		workers.Go(func() {
			for batch := range batches {
				if err := s.writeBatch(ctx, batch); err != nil {
					fail(err)
				}
			}
		})
	}
	for batch := range slices.Chunk(requests, maxBatch) {
		select {
		case batches <- batch:
		case <-ctx.Done():
			fail(s.fail(ctx, writing, ctx.Err(), true))
		}
		if ctx.Err() != nil {
			break
		}
	}
	close(batches)
	workers.Wait()
	return failed
}

func (s *Store) writeBatch(ctx context.Context, batch []types.WriteRequest) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		out, err := s.client.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{
			RequestItems: map[string][]types.WriteRequest{s.table: batch},
		})
		if err != nil {
			return s.fail(ctx, writing, err, true)
		}
		if batch = nil; len(out.UnprocessedItems) > 0 {
			for _, left := range out.UnprocessedItems { // of the one table, by name or ARN
				batch = left
			}
		}
		if len(batch) == 0 {
			return nil
		}
		wait := time.NewTimer(pause/2 + rand.N(pause/2))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return &hotreader.Error{Op: "dynamodb: write table " + s.table, Code: hotreader.CodeOf(ctx.Err()),
				Err: fmt.Errorf("%d items were still not taken, for the table lacks capacity: %w", len(batch), ctx.Err())}
		}
	}
}

// requests checks records and makes them put requests, one an instant.
func (s *Store) requests(device string, records []hotreader.Record) ([]types.WriteRequest, error) {
	if err := hotreader.CheckRecords(device, records); err != nil {
		return nil, err
	}
	requests := make([]types.WriteRequest, 0, len(records))
	places := make(map[string]int, len(records))
	for i := range records {
		key, item, err := s.item(device, &records[i])
		if err != nil {
			return nil, fmt.Errorf("record %d of device %.60q: %w", i+1, device, err)
		}
		request := types.WriteRequest{PutRequest: &types.PutRequest{Item: item}}
		if at, again := places[key]; again {
			requests[at] = request // one request must not name a key twice
			continue
		}
		places[key] = len(requests)
		requests = append(requests, request)
	}
	return requests, nil
}

// item makes a record an item and returns it with its range key.
func (s *Store) item(device string, r *hotreader.Record) (string, map[string]types.AttributeValue, error) {
	key := string(timekey.Append(nil, s.format, r.Time))
	id := device + "_" + key
	item := make(map[string]types.AttributeValue, len(r.Fields)+3)
	size := len(s.deviceKey) + len(device) + len(s.timeKey) + len(key) + len("id") + len(id)
	for _, f := range r.Fields {
		switch {
		case f.Name == s.deviceKey || f.Name == s.timeKey:
			return "", nil, fmt.Errorf("the property %q is named like a key of the table", f.Name)
		}
		size += len(f.Name) + len(f.Value.Text()) + 1
		switch f.Value.Kind() {
		case hotreader.Bool:
			item[f.Name] = &types.AttributeValueMemberBOOL{Value: f.Value.Bool()}
		case hotreader.Number:
			if msg := checkNumber(f.Value.Text()); msg != "" {
				return "", nil, fmt.Errorf("the number %.60s of property %q %s", f.Value.Text(), f.Name, msg)
			}
			item[f.Name] = &types.AttributeValueMemberN{Value: string(f.Value.Text())}
		case hotreader.String:
			item[f.Name] = &types.AttributeValueMemberS{Value: string(f.Value.Text())}
		}
	}
	if size > maxItemBytes {
		return "", nil, fmt.Errorf("it has about %d bytes, an item of DynamoDB at most %d", size, maxItemBytes)
	}
	if _, own := item["id"]; !own {
		item["id"] = &types.AttributeValueMemberS{Value: id}
	}
	item[s.deviceKey] = &types.AttributeValueMemberS{Value: device}
	if s.format == ISO8601 {
		item[s.timeKey] = &types.AttributeValueMemberS{Value: key}
	} else {
		item[s.timeKey] = &types.AttributeValueMemberN{Value: key}
	}
	return key, item, nil
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
