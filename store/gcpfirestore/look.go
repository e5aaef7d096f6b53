package gcpfirestore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"hotreader"
	"hotreader/layout"
	"hotreader/store/internal/failure"
)

// look returns up to n documents of a device: the newest whose time is of a type that
// the layout says or, where there are none, any. Where nothing is the device's,
// it is an error that the collection is not there, or that no document names a device.
func (s *Store) look(ctx context.Context, device string, n int) (items []layout.Item, number bool, err error) {
	for _, c := range slices.Backward(s.codecs) {
		low, _, _ := bounds(&c, time.Time{}, time.Time{})
		if items, err = s.items(ctx, s.search(device, low), n); len(items) > 0 {
			break
		}
	}
	if len(items) == 0 { // the index that it takes may be missing, too
		items, err = s.items(ctx, s.search(device, nil), n)
	}
	switch key := layout.ParsePath(s.Layout.DeviceKey); {
	case err != nil:
		return nil, false, err
	case len(items) > 0:
		v, _ := items[0].At(key)
		_, number = v.(json.Number)
	case !strings.Contains(s.collection, inPath):
		err = s.explainNothing(ctx, device, key)
	}
	return items, number, err
}

// search is the query for a device's newest documents from low on; nil = for any.
func (s *Store) search(device string, low []byte) query {
	q := s.query(device, low, deviceValues(device)...)
	q.descending = true
	return q
}

// explainNothing returns the error of a collection that is not there, and of one of
// whose documents none names a device: of them, Firestore itself says nothing at all.
func (s *Store) explainNothing(ctx context.Context, device string, key []string) error {
	some, err := s.items(ctx, s.query(device, nil), 5)
	switch {
	case err != nil:
		return err
	case len(some) == 0:
		return &hotreader.Error{Code: hotreader.CodeNotFound,
			Err: fmt.Errorf("there is no such collection in database %s of project %s, or it holds no document yet; check FIRESTORE_COLLECTION, FIRESTORE_DATABASE and GOOGLE_CLOUD_PROJECT, or the store URL", s.database, s.project)}
	case slices.ContainsFunc(some, func(it layout.Item) bool { _, ok := it.At(key); return ok }):
		return nil
	}
	return &hotreader.Error{Code: hotreader.CodeConfig,
		Err: fmt.Errorf("its documents are not laid out as configured: document %q has no field %q, but %s; set device_key (in the layout, or after the ? of a store URL); "+hotreader.InspectHelp, some[0].Key, s.Layout.DeviceKey,
			strings.Join(slices.Sorted(maps.Keys(some[0].Fields)), ", "))}
}

// end returns the document of a device with the least or the greatest time, in
// Firestore's order of all types.
func (s *Store) end(ctx context.Context, device string, least bool) (*layout.Item, error) {
	q := s.search(device, nil)
	q.ordered, q.descending = true, !least
	items, err := s.items(ctx, q, 1)
	if len(items) == 0 {
		return nil, err
	}
	return &items[0], nil
}

const (
	maxLook  = 8 << 20 // of what items takes: bytes of documents, and mapBytes for each map in them
	mapBytes = 300     // of memory
)

// items asks for at most n whole documents. From maxLook on it does without the others.
func (s *Store) items(ctx context.Context, q query, n int) (items []layout.Item, err error) {
	answer, err := s.client.call(ctx, s.runQuery(q.parent, appendQuery(make([]byte, headerBytes), &q, n, nil)), nil)
	if err != nil {
		return nil, err
	}
	defer answer.close()
	stats := hotreader.StatsOf(ctx)
	stats.Reads.Add(1)
	left := maxLook
	err = answer.each(ctx, func() {}, func(m []byte) error {
		w := walk{m: m}
		for w.next() {
			if w.tag == tagDocument {
				it, nested, err := itemOf(w.bytes)
				if err == nil && len(items) == n {
					err = fmt.Errorf("more documents came than the %d asked for", n)
				}
				switch {
				case err == nil:
					items = append(items, it)
				case errors.Is(err, errMaps):
					nested = 0 // it is passed over, and none of them kept
				default:
					return &failure.Damaged{Err: err}
				}
				if left -= len(w.bytes) + nested*mapBytes; left < 0 {
					return io.EOF
				}
			}
		}
		return nil
	})
	stats.Bytes.Add(answer.read)
	return items, err
}

// itemOf decodes a Document; nested is how many maps there are in it.
func itemOf(m []byte) (it layout.Item, nested int, err error) {
	var v values
	if it.Fields, err = v.object(m, tagField, 0); err != nil {
		return it, v.maps, err
	}
	w := walk{m: m}
	for w.next() {
		if w.tag == tagName {
			it.Key = string(idOf(w.bytes))
			_, it.Path, _ = strings.Cut(string(w.bytes), "/documents/")
		}
	}
	return it, v.maps, nil
}

const (
	maxDepth = 100     // of Values that lie within each other; Firestore allows 20
	maxMaps  = 1 << 17 // of a document, or of a value, that is decoded; in 1 MiB there are fewer that are not empty
)

var errMaps = errors.New("it has too many maps to be decoded")

// values decodes the Values of a document. Its maps count, for some bytes make one that takes
// hundreds.
type values struct{ maps int }

// object decodes a map, whose entries have the given tag.
func (v *values) object(m []byte, tag uint64, depth int) (map[string]any, error) {
	if v.maps++; v.maps > maxMaps {
		return nil, errMaps
	}
	fields := map[string]any{}
	w := walk{m: m}
	for w.next() {
		if w.tag != tag {
			continue
		}
		key, value, err := entry(w.bytes)
		if err == nil {
			fields[string(key)], err = v.anything(value, depth+1)
		}
		if err != nil {
			return nil, err
		}
	}
	if w.bad {
		return nil, errMalformed
	}
	return fields, nil
}

// anything decodes a Value of any kind.
func (v *values) anything(m []byte, depth int) (any, error) {
	w, err := valueOf(m)
	if err != nil || depth > maxDepth {
		return nil, errMalformed
	}
	switch w.tag {
	case 0:
		if len(m) > 0 {
			return layout.Kind("a value of an unknown kind"), nil
		}
	case tagBool:
		return w.number != 0, nil
	case tagInteger:
		return json.Number(strconv.FormatInt(int64(w.number), 10)), nil
	case tagDouble:
		f := math.Float64frombits(w.number)
		if f != f || f-f != 0 {
			return layout.Kind(strconv.FormatFloat(f, 'g', -1, 64)), nil
		}
		return json.Number(hotreader.AppendFloat(nil, f)), nil
	case tagString:
		return string(w.bytes), nil
	case tagTimestamp:
		t, ok, err := timestamp(w.bytes)
		if !ok && err == nil {
			return layout.Kind("a timestamp beyond all times"), nil
		}
		return t, err
	case tagReference:
		return layout.Kind("a reference"), nil
	case tagPlace:
		return layout.Kind("a geo point"), nil
	case tagBytes:
		return layout.Kind("bytes"), nil
	case tagMap:
		return v.object(w.bytes, tagMember, depth)
	case tagArray:
		return v.list(w.bytes, depth)
	}
	return nil, nil
}

// list decodes an ArrayValue.
func (v *values) list(m []byte, depth int) (any, error) {
	all := []any{}
	w := walk{m: m}
	for w.next() {
		if w.tag == tagElement {
			one, err := v.anything(w.bytes, depth+1)
			if err != nil {
				return nil, err
			}
			all = append(all, one)
		}
	}
	if w.bad {
		return nil, errMalformed
	}
	return all, nil
}

// jsonOf returns a list or a map as JSON, nil if it holds what JSON cannot, or too many
// maps.
func jsonOf(m []byte) ([]byte, error) {
	v, err := new(values).anything(m, 0)
	if errors.Is(err, errMaps) {
		return nil, nil
	}
	if err != nil || !plain(v) {
		return nil, err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err = e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// plain reports whether JSON can hold v.
func plain(v any) bool {
	switch v := v.(type) {
	case layout.Kind:
		return false
	case []any:
		return !slices.ContainsFunc(v, func(v any) bool { return !plain(v) })
	case map[string]any:
		return plain(slices.Collect(maps.Values(v)))
	}
	return true
}

// Sample returns about n documents of the collection, if it can those of a device. Where
// the collection is a mere id and nothing lies in it, those of all collections of that id
// are looked at. It is for layout.Guess and takes no notice of the store's layout but of
// its collection.
func (s *Store) Sample(ctx context.Context, device string, n int) (items []layout.Item, schema layout.Schema, err error) {
	if err := s.check(); err != nil {
		return nil, schema, err
	}
	schema = layout.Schema{Cloud: layout.Firestore, Collection: s.collection, Device: device}
	if items, err = s.sample(ctx, &schema, n); err != nil {
		return nil, schema, s.fail(ctx, failure.Querying, err)
	}
	return items, schema, nil
}

func (s *Store) sample(ctx context.Context, schema *layout.Schema, n int) ([]layout.Item, error) {
	q := query{}
	q.parent, q.collection = s.place(schema.Device)
	if strings.Contains(s.collection, inPath) && schema.Device == "" {
		q = query{parent: s.databasePath + "/documents", collection: s.collection[strings.LastIndexByte(s.collection, '/')+1:], group: true}
	}
	items, err := s.items(ctx, q, n)
	if len(items) == 0 && err == nil && !q.group {
		q.parent, q.group = s.databasePath+"/documents", true
		items, err = s.items(ctx, q, n)
	}
	if err != nil || len(items) == 0 {
		return items, err
	}
	// What these look like says by what to ask for the device's, and for the newest.
	l, _ := layout.Guess(items, *schema)
	l = l.WithDefaults()
	more, err := s.more(ctx, q, l, schema.Device, n/2)
	if err != nil {
		return nil, err
	}
	return layout.AppendNew(items, more...), nil
}

// more returns documents of a device, the newest ones and the oldest ones, by the indexes
// that Firestore makes of itself.
func (s *Store) more(ctx context.Context, q query, l layout.Layout, device string, n int) (items []layout.Item, err error) {
	add := func(q query) error {
		some, err := s.items(ctx, q, n)
		if st, refused := errors.AsType[*status](err); refused && st.code == "FAILED_PRECONDITION" { // an index was switched off
			return nil
		}
		items = append(items, some...)
		return err
	}
	if device != "" && strings.Contains(l.Collection, inPath) {
		above := strings.Replace(l.Collection[:strings.LastIndexByte(l.Collection, '/')], inPath, device, 1)
		q.parent, q.group = s.databasePath+"/documents/"+above, false
	} else if device != "" {
		of := q
		of.deviceKey = fieldPath(layout.ParsePath(l.DeviceKey))
		of.devices = deviceValues(device)
		if err := add(of); err != nil {
			return nil, err
		}
	}
	if q.group { // whose order needs an index that does not exist by default
		return items, nil
	}
	for _, descending := range []bool{true, false} {
		of := q
		of.timeKey, of.ordered, of.descending = fieldPath(layout.ParsePath(l.TimeKey)), true, descending
		if err := add(of); err != nil {
			return nil, err
		}
	}
	return items, nil
}
