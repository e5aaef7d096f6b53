package gcpfirestore

import (
	"context"
	"errors"
	"strings"

	"hotreader/layout"
	"hotreader/store/internal/failure"
)

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
