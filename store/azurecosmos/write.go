package azurecosmos

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"hotreader"
	"hotreader/internal/jsontext"
	"hotreader/layout"
	"hotreader/store/internal/batch"
	"hotreader/store/internal/failure"
	"hotreader/store/internal/paging"
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
	parallel := parallelBatches
	if s.single {
		parallel = parallelItems
	}
	return s.write(ctx, device, records, nil, func(items []item) error {
		return batch.Send(ctx, s.writeRequests(items), parallel, s.send)
	})
}

// write checks records, unless that was done and says what is wrong, and has their items stored.
func (s *Store) write(ctx context.Context, device string, records []hotreader.Record, wrong error, store func([]item) error) error {
	if err := s.checkWrite(); err != nil {
		return err
	}
	items, err := batch.Make(device, records, func(r *hotreader.Record, add func(string, item)) error { return s.items(device, r, add) })
	if err = cmp.Or(wrong, err); err != nil {
		return &hotreader.Error{Op: s.op(failure.Writing), Code: hotreader.CodeInvalid, Err: err}
	}
	if err := store(items); err != nil {
		return s.fail(ctx, failure.Writing, err)
	}
	return nil
}

// send sends a request of whose answer the status alone is of interest.
func (s *Store) send(ctx context.Context, r *request) error {
	body := paging.NewBody()
	defer body.Release()
	_, err := s.client.do(ctx, r, body)
	return err
}

// checkWrite says why nothing can be written.
func (s *Store) checkWrite() error {
	if err := s.check(); err != nil {
		return err
	}
	for _, key := range [][]string{s.device, s.time} {
		if slices.Contains(system, key[0]) {
			return &hotreader.Error{Op: s.op(failure.Writing), Code: hotreader.CodeConfig,
				Err: fmt.Errorf("nothing can be written with %s as a key, for Cosmos DB sets it itself", key[0])}
		}
	}
	return nil
}

// writeRequests returns the requests that store items, those of a partition together.
func (s *Store) writeRequests(items []item) (requests []*request) {
	most := maxBatch
	if s.single {
		most = 1
	}
	for len(items) > 0 {
		partition := items[0].partition
		var own [][]byte
		items = slices.DeleteFunc(items, func(it item) bool {
			if it.partition == partition {
				own = append(own, it.json)
			}
			return it.partition == partition
		})
		for _, group := range batch.Group(own, most, maxBatchBytes) {
			requests = append(requests, s.writeRequest(partition, group))
		}
	}
	return requests
}

// writeRequest returns the request that stores items of a partition.
func (s *Store) writeRequest(partition string, items [][]byte) *request {
	r := s.upsert(partition, items[0])
	if s.single {
		return r
	}
	delete(r.header, "X-Ms-Documentdb-Is-Upsert")
	r.batch = len(items)
	const front, back = `{"operationType":"Upsert","resourceBody":`, "}"
	r.body = slices.Concat([]byte("["+front), bytes.Join(items, []byte(back+","+front)), []byte(back+"]"))
	r.header["X-Ms-Cosmos-Is-Batch-Request"] = []string{"True"}
	r.header["X-Ms-Cosmos-Batch-Atomic"] = []string{"True"}
	r.header["X-Ms-Cosmos-Batch-Ordered"] = []string{"True"}
	return r
}

// upsert returns the request that stores one item.
func (s *Store) upsert(partition string, json []byte) *request {
	return &request{verb: http.MethodPost, path: s.docs, kind: "docs", link: s.link, patient: true, body: json,
		header: http.Header{"X-Ms-Documentdb-Partitionkey": {"[" + string(jsontext.AppendASCII(nil, partition)) + "]"}, "Prefer": {"return=minimal"}, "X-Ms-Documentdb-Is-Upsert": {"True"}}}
}

// An item is a record, or one property of it, as it is stored.
type item struct {
	id, partition string
	json          []byte
}

// items makes a record an item or, where an item holds one property, an item for each.
func (s *Store) items(device string, r *hotreader.Record, add func(id string, it item)) error {
	if err := s.codec.Writable(r.Time); err != nil {
		return err
	}
	partition := s.PartitionOf(device, r.Time)
	for name, fields := range batch.Parts(r.Fields, s.Layout.Narrow()) {
		id, json, err := s.item(device, partition, r.Time, name, fields)
		if err != nil {
			return err
		}
		add(id, item{id, partition, json})
	}
	return nil
}

// item makes an item of properties, or of a single one that is named, and returns its
// id and its JSON.
func (s *Store) item(device, partition string, t time.Time, property string, fields []hotreader.Field) (id string, json []byte, err error) {
	key := s.codec.Append(nil, t, property)
	at := jsontext.AppendString(nil, key)
	if s.codec.Kind == layout.NumberTime {
		if at = key; !holds(key) {
			return "", nil, fmt.Errorf("its time %v is finer than a number of Cosmos DB keeps; use the time format %s", t, layout.ISO8601)
		}
	}
	var o object
	if name := s.Layout.NameKey; name != "" {
		key = append(append(slices.Clip(key), '_'), property...)
		err = o.put(layout.ParsePath(name), jsontext.AppendString(nil, property))
	}
	id = itemID(device, string(key))
	err = errors.Join(o.put([]string{"id"}, jsontext.AppendString(nil, id)), o.put(s.device, jsontext.AppendString(nil, partition)), o.put(s.time, at), err)
	for i := range fields {
		if err == nil {
			err = s.putField(&o, &fields[i])
		}
	}
	if err != nil {
		return "", nil, err
	}
	if json = o.append(make([]byte, 0, 128+2*len(device)+24*len(fields))); len(json) > maxItemBytes {
		return "", nil, fmt.Errorf("it has %d bytes of JSON, an item of Cosmos DB at most %d", len(json), maxItemBytes)
	}
	return id, json, nil
}

// system are the properties of an item that Cosmos DB sets itself.
var system = []string{"id", "_rid", "_self", "_etag", "_attachments", "_ts", "_lsn"}

// putField puts a property where the layout has it.
func (s *Store) putField(o *object, f *hotreader.Field) error {
	path := s.Layout.WritePath(f.Name)
	switch {
	case slices.Equal(path, s.device) || slices.Equal(path, s.time):
		return fmt.Errorf("the property %q is named like a key of the container", f.Name)
	case slices.Contains(system, path[0]):
		return fmt.Errorf("the property %q is named like one that Cosmos DB gives to each item itself", f.Name)
	case path[0] == "ttl":
		return errors.New(`by the property "ttl" Cosmos DB would delete the item after so many seconds; give it another name`)
	}
	text := f.Value.Text()
	switch f.Value.Kind() {
	case hotreader.Null:
		return nil
	case hotreader.Bool:
		return o.put(path, strconv.AppendBool(nil, f.Value.Bool()))
	case hotreader.Number:
		if holds(text) {
			return o.put(path, text)
		}
	}
	return o.put(path, jsontext.AppendString(nil, text))
}

// An object is a JSON object that is being put together.
type object struct{ members []member }

type member struct {
	name   string
	value  []byte  // its JSON
	object *object // instead
}

// put adds a value at a path.
func (o *object) put(path []string, value []byte) error {
	i := slices.IndexFunc(o.members, func(m member) bool { return m.name == path[0] })
	switch {
	case i < 0 && len(path) == 1:
		o.members = append(o.members, member{name: path[0], value: value})
		return nil
	case i < 0:
		i = len(o.members)
		o.members = append(o.members, member{name: path[0], object: new(object)})
	case len(path) == 1 || o.members[i].object == nil:
		return fmt.Errorf("two of its properties would be at %q; the layout cannot hold both", path[0])
	}
	return o.members[i].object.put(path[1:], value)
}

func (o *object) append(dst []byte) []byte {
	for i, m := range o.members {
		dst = append(jsontext.AppendString(append(dst, "{,"[min(i, 1)]), m.name), ':')
		if m.object != nil {
			dst = m.object.append(dst)
		} else {
			dst = append(dst, m.value...)
		}
	}
	return append(dst, '}')
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

// itemID returns the id of the item of a device and a key; see the package's comment.
// No two pairs have the same.
func itemID(device, key string) string {
	key = shorten(escape(key), key, maxIDBytes/2)
	return shorten(escape(device), device, maxIDBytes-1-len(key)) + "_" + key
}

// escape escapes what an ID must not hold.
func escape(text string) string {
	const upper = "0123456789ABCDEF"
	out := make([]byte, 0, len(text))
	for i := range len(text) {
		switch c := text[i]; {
		case c == '/' || c == '\\' || c == '?' || c == '#' || c == '~' || c < ' ' || c == 0x7f:
			out = append(out, '~', upper[c>>4], upper[c&15])
		default:
			out = append(out, c)
		}
	}
	return string(out)
}

// shorten cuts a text to most bytes, of which the last are a hash of what it was made
// of.
func shorten(text, of string, most int) string {
	if len(text) <= most {
		return text
	}
	sum := sha256.Sum256([]byte(of))
	hash := "~." + base64.RawURLEncoding.EncodeToString(sum[:])
	cut := most - len(hash)
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + hash
}

var _ hotreader.Merger = (*Store)(nil)

// mergeTries is how often an item is merged that others change meanwhile.
const mergeTries = 10

// Merge stores records as Write does, but an item that is there keeps the properties
// that a record lacks: each is read and written again, unless it has changed meanwhile.
func (s *Store) Merge(ctx context.Context, device string, records []hotreader.Record) error {
	return s.write(ctx, device, records, batch.CheckFlat(records, s.Layout.WritePath), func(items []item) error {
		return batch.Send(ctx, items, parallelItems, s.mergeItem)
	})
}

// mergeItem reads an item and writes it with what it has become.
func (s *Store) mergeItem(ctx context.Context, it item) error {
	for range mergeTries {
		old, err := s.stored(ctx, it)
		if err != nil {
			return err
		}
		write := s.upsert(it.partition, union(old, it.json))
		for name, value := range jsontext.Members(old) {
			if name == "_etag" {
				write.header["If-Match"] = []string{jsontext.Unquote(value)}
			}
		}
		if err = s.send(ctx, write); statusOf(err) != http.StatusPreconditionFailed {
			return err
		}
	}
	return &hotreader.Error{Code: hotreader.CodeUnavailable, Err: errors.New("an item is changed by others again and again")}
}

// stored returns what is stored as an item, nil if there is nothing.
func (s *Store) stored(ctx context.Context, it item) ([]byte, error) {
	q := query{value: it.partition, selected: "*"}
	q.and([]string{"id"}, "=", "@i", quote(it.id))
	r := s.request(q)
	r.patient = true
	found, err := documents[json.RawMessage](ctx, s, &r, 1)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return found[0], nil
}

// union returns item with the members of old that it lacks.
func union(old, item []byte) []byte {
	var names []string
	for name := range jsontext.Members(item) {
		names = append(names, name)
	}
	all := slices.Clone(item[:len(item)-1])
	for name, value := range jsontext.Members(old) {
		if !slices.Contains(names, name) && !slices.Contains(system, name) {
			all = append(append(jsontext.AppendString(append(all, ','), name), ':'), value...)
		}
	}
	return append(all, '}')
}
