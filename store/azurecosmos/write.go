package azurecosmos

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"unicode/utf8"

	"hotreader"
	"hotreader/internal/jsontext"
	"hotreader/store/internal/batch"
	"hotreader/store/internal/paging"
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
	items, err := batch.Make(device, records, func(r *hotreader.Record) (string, []byte, error) { return s.item(device, r) })
	if err != nil {
		return &hotreader.Error{Op: s.op(writing), Code: hotreader.CodeInvalid, Err: err}
	}
	most, parallel := maxBatch, parallelBatches
	if s.single {
		most, parallel = 1, parallelItems
	}
	var requests []*request
	for _, group := range batch.Group(items, most, maxBatchBytes) {
		requests = append(requests, s.writeRequest(device, group))
	}
	err = batch.Send(ctx, requests, parallel, func(ctx context.Context, r *request) error {
		body := paging.NewBody()
		defer body.Release()
		_, err := s.client.do(ctx, r, body)
		return err
	})
	if err != nil {
		return s.fail(ctx, writing, err)
	}
	return nil
}

// writeRequest returns the request that stores a device's items.
func (s *Store) writeRequest(device string, items [][]byte) *request {
	r := &request{verb: http.MethodPost, path: s.docs, kind: "docs", link: s.link, patient: true,
		header: http.Header{"X-Ms-Documentdb-Partitionkey": {partitionHeader(device)}, "Prefer": {"return=minimal"}}}
	if s.single {
		r.body = items[0]
		r.header["X-Ms-Documentdb-Is-Upsert"] = []string{"True"}
		return r
	}
	r.batch = len(items)
	const front, back = `{"operationType":"Upsert","resourceBody":`, "}"
	r.body = slices.Concat([]byte("["+front), bytes.Join(items, []byte(back+","+front)), []byte(back+"]"))
	r.header["X-Ms-Cosmos-Is-Batch-Request"] = []string{"True"}
	r.header["X-Ms-Cosmos-Batch-Atomic"] = []string{"True"}
	r.header["X-Ms-Cosmos-Batch-Ordered"] = []string{"True"}
	return r
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
