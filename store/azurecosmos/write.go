package azurecosmos

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"unicode/utf8"

	"hotreader"
	"hotreader/internal/jsontext"
	"hotreader/store/internal/timekey"
)

// Cosmos DB's bounds, from "Azure Cosmos DB service quotas". A batch's bytes are
// kept well below 2 MB, for it is not said how they are counted.
const (
	maxBatch      = 100
	maxBatchBytes = 1_500_000
	maxItemBytes  = 2 << 20
	maxIDBytes    = 1023
)

// How many requests of one Write run at a time: of batches, and of single items.
const (
	parallelBatches = 4
	parallelItems   = 16
)

// Write stores records, up to a hundred a request, a few requests at a time.
// What the container does not take for lack of throughput is sent again until
// ctx ends. For numbers that Cosmos DB cannot hold see the package's comment.
func (s *Store) Write(ctx context.Context, device string, records []hotreader.Record) error {
	if err := s.check(); err != nil {
		return err
	}
	items, err := s.items(device, records)
	if err != nil {
		return &hotreader.Error{Op: s.op(writing), Code: hotreader.CodeInvalid, Err: err}
	}
	var requests []*request
	partition := partitionHeader(device)
	if s.single {
		for _, item := range items {
			requests = append(requests, s.writeRequest(partition, item, 0))
		}
		return s.writeAll(ctx, requests, parallelItems)
	}
	for len(items) > 0 {
		n, size := 0, 0
		for n < len(items) && n < maxBatch && (n == 0 || size+len(items[n]) <= maxBatchBytes) {
			size += len(items[n])
			n++
		}
		body := append(make([]byte, 0, size+n*48), '[')
		for i, item := range items[:n] {
			if i > 0 {
				body = append(body, ',')
			}
			body = append(append(append(body, `{"operationType":"Upsert","resourceBody":`...), item...), '}')
		}
		requests = append(requests, s.writeRequest(partition, append(body, ']'), n))
		items = items[n:]
	}
	return s.writeAll(ctx, requests, parallelBatches)
}

// writeRequest returns the request that stores body: a batch of n items, or, if
// n is 0, one item.
func (s *Store) writeRequest(partition string, body []byte, n int) *request {
	r := &request{verb: http.MethodPost, path: s.docs, kind: "docs", link: s.link, body: body, batch: n, patient: true,
		header: http.Header{"X-Ms-Documentdb-Partitionkey": {partition}, "Prefer": {"return=minimal"}}}
	if n > 0 {
		r.header["X-Ms-Cosmos-Is-Batch-Request"] = []string{"True"}
		r.header["X-Ms-Cosmos-Batch-Atomic"] = []string{"True"}
		r.header["X-Ms-Cosmos-Batch-Ordered"] = []string{"True"}
	} else {
		r.header["X-Ms-Documentdb-Is-Upsert"] = []string{"True"}
	}
	return r
}

// writeAll sends requests side by side, for a request is mostly waiting. No two
// of them hold the same id, so their order does not matter.
func (s *Store) writeAll(ctx context.Context, requests []*request, parallel int) error {
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
	queue := make(chan *request)
	for range min(parallel, len(requests)) {
		workers.Go(func() {
			p := newPage()
			defer p.release()
			for r := range queue {
				if _, err := s.client.do(ctx, r, p); err != nil {
					fail(s.fail(ctx, writing, err))
				}
			}
		})
	}
	for _, r := range requests {
		select {
		case queue <- r:
		case <-ctx.Done():
			fail(s.fail(ctx, writing, ctx.Err()))
		}
		if ctx.Err() != nil {
			break
		}
	}
	close(queue)
	workers.Wait()
	return failed
}

// items checks records and makes them items, one an instant.
func (s *Store) items(device string, records []hotreader.Record) ([][]byte, error) {
	if err := hotreader.CheckRecords(device, records); err != nil {
		return nil, err
	}
	items := make([][]byte, 0, len(records))
	places := make(map[string]int, len(records))
	for i := range records {
		key, item, err := s.item(device, &records[i])
		if err != nil {
			return nil, fmt.Errorf("record %d of device %.60q: %w", i+1, device, err)
		}
		if at, again := places[key]; again {
			items[at] = item // one batch must not name an id twice
			continue
		}
		places[key] = len(items)
		items = append(items, item)
	}
	return items, nil
}

// system are the properties of an item that Cosmos DB sets itself.
var system = []string{"id", "_rid", "_self", "_etag", "_attachments", "_ts", "_lsn"}

// item makes a record an item, as JSON, and returns it with its time's text.
func (s *Store) item(device string, r *hotreader.Record) (string, []byte, error) {
	key := timekey.Append(nil, s.format, r.Time)
	item := jsontext.AppendString(append(make([]byte, 0, 128+2*len(device)+24*len(r.Fields)), `{"id":`...), itemID(device, string(key)))
	item = jsontext.AppendString(append(jsontext.AppendString(append(item, ','), s.deviceKey), ':'), device)
	item = append(jsontext.AppendString(append(item, ','), s.timeKey), ':')
	if s.format == timekey.ISO8601 {
		item = jsontext.AppendString(item, key)
	} else {
		if !holds(key) {
			return "", nil, fmt.Errorf("its time %v is finer than a number of Cosmos DB keeps; use the time format %s", r.Time, timekey.ISO8601)
		}
		item = append(item, key...)
	}
	for _, f := range r.Fields {
		switch {
		case f.Name == s.deviceKey || f.Name == s.timeKey:
			return "", nil, fmt.Errorf("the property %q is named like a key of the container", f.Name)
		case slices.Contains(system, f.Name):
			return "", nil, fmt.Errorf("the property %q is named like one that Cosmos DB gives to each item itself", f.Name)
		case f.Name == "ttl":
			return "", nil, errors.New(`by the property "ttl" Cosmos DB would delete the item after so many seconds; give it another name`)
		}
		text := f.Value.Text()
		kind := f.Value.Kind()
		if kind == hotreader.Null {
			continue
		}
		item = append(jsontext.AppendString(append(item, ','), f.Name), ':')
		switch kind {
		case hotreader.Bool:
			item = strconv.AppendBool(item, f.Value.Bool())
		case hotreader.Number:
			if holds(text) {
				item = append(item, text...)
			} else {
				item = append(append(append(item, '"'), text...), '"')
			}
		case hotreader.String:
			item = jsontext.AppendString(item, text)
		}
	}
	if item = append(item, '}'); len(item) > maxItemBytes {
		return "", nil, fmt.Errorf("it has %d bytes of JSON, an item of Cosmos DB at most %d", len(item), maxItemBytes)
	}
	return string(key), item, nil
}

// holds reports whether a double brings a number's digits back: whether the
// shortest number that reads as the same double is equal to it.
func holds(digits []byte) bool {
	f, err := strconv.ParseFloat(string(digits), 64)
	if err != nil {
		return false
	}
	var buf [32]byte
	return hotreader.CompareNumbers(strconv.AppendFloat(buf[:0], f, 'g', -1, 64), digits) == 0
}

// itemID returns the id of the item of a device and a time; see the package's
// comment. No two pairs have the same.
func itemID(device, key string) string {
	const upper = "0123456789ABCDEF"
	front := make([]byte, 0, len(device)+1+len(key))
	for i := range len(device) {
		c := device[i]
		switch {
		case c == '/' || c == '\\' || c == '?' || c == '#' || c == '~' || c < ' ' || c == 0x7f:
			front = append(front, '~', upper[c>>4], upper[c&15])
		default:
			front = append(front, c)
		}
	}
	if len(front)+1+len(key) > maxIDBytes {
		sum := sha256.Sum256([]byte(device))
		hash := base64.RawURLEncoding.EncodeToString(sum[:])
		cut := maxIDBytes - len("~.") - len(hash) - 1 - len(key)
		for !utf8.RuneStart(front[cut]) {
			cut--
		}
		front = append(append(front[:cut], "~."...), hash...)
	}
	return string(append(append(front, '_'), key...))
}
