package importer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"hotreader"
)

// target is the store of an import. It is opened with the first batch, so that
// a file which cannot be read leaves no empty store.
type target struct {
	url     string
	opener  func(ctx context.Context, url string) (hotreader.Store, error)
	writing Writing
	store   hotreader.Store
	made    string // a file that was not there before
	created string // the same; "" once it holds something
}

func (t *target) open(ctx context.Context) (err error) {
	if t.store != nil {
		return nil
	}
	if file, ok := strings.CutPrefix(t.url, "bolt:"); ok {
		if _, err := os.Lstat(file); errors.Is(err, fs.ErrNotExist) {
			t.made, t.created = file, file
		}
	}
	if t.store, err = t.opener(ctx, t.url); err != nil {
		t.created = ""
	}
	return err
}

// counts reports whether the store says what it changes.
func (t *target) counts() bool {
	_, ok := t.store.(hotreader.Updater)
	return ok
}

// grace is how long a write may go on when the import is to end: what has begun
// is then acknowledged, and what is reported as stored is exact.
const grace = 5 * time.Second

// write stores records of a device. Of a store that does not count, Added is how many
// items were written.
func (t *target) write(ctx context.Context, device string, batch []hotreader.Record) (n hotreader.Changes, err error) {
	if err := ctx.Err(); err != nil {
		return n, err
	}
	if err := t.open(ctx); err != nil {
		return n, err
	}
	writing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })()
	if n, err = t.send(writing, device, batch); err == nil {
		t.created = ""
	}
	return n, err
}

func (t *target) send(ctx context.Context, device string, batch []hotreader.Record) (n hotreader.Changes, err error) {
	if u, ok := t.store.(hotreader.Updater); ok {
		mode := hotreader.Merge
		if t.writing == Replacing {
			mode = hotreader.Replace
		}
		return u.Update(ctx, device, batch, mode)
	}
	if t.writing != Replacing {
		batch = folded(batch)
	}
	n.Added = int64(len(batch))
	if t.writing != Merging {
		return n, t.store.Write(ctx, device, batch)
	}
	m, ok := t.store.(hotreader.Merger)
	if !ok {
		return n, invalid("this store cannot merge; leave --merge out, and give all columns of an instant in one file")
	}
	return n, m.Merge(ctx, device, batch)
}

// folded makes one record of those that share an instant: property by property the
// last wins.
func folded(batch []hotreader.Record) (kept []hotreader.Record) {
	places := map[time.Time]int{}
	for _, r := range batch {
		at, again := places[r.Time.UTC()]
		if !again {
			places[r.Time.UTC()] = len(kept)
			kept = append(kept, r)
			continue
		}
		fields := slices.DeleteFunc(slices.Clone(kept[at].Fields), func(old hotreader.Field) bool {
			return slices.ContainsFunc(r.Fields, func(f hotreader.Field) bool { return f.Name == old.Name })
		})
		kept[at].Fields = slices.Concat(fields, r.Fields)
	}
	return kept
}

// nothing is the store of a dry run.
type nothing struct{ hotreader.Store }

func (nothing) Close() error { return nil }

func (nothing) Update(context.Context, string, []hotreader.Record, hotreader.Mode) (hotreader.Changes, error) {
	return hotreader.Changes{}, nil
}

// spellings says which of the devices the store has in another spelling, too.
func (t *target) spellings(ctx context.Context, devices []*Device) (notes []string) {
	l, ok := t.store.(hotreader.Lister)
	if !ok {
		return nil
	}
	all, err := l.Devices(ctx, "", "", remembered)
	if err != nil {
		return nil // it is a hint, and all rows are stored
	}
	plain := func(id string) string {
		return strings.Join(strings.Fields(strings.NewReplacer("_", " ", "-", " ").Replace(strings.ToLower(id))), " ")
	}
	spelled := map[string]string{}
	for _, d := range devices {
		spelled[plain(d.ID)] = d.ID
	}
	for _, other := range all {
		if id, ok := spelled[plain(other.ID)]; ok && id != other.ID && len(notes) < 20 {
			notes = append(notes, fmt.Sprintf("the store has the device %.60q beside %.60q: are they one? It takes them for two", other.ID, id))
		}
	}
	return notes
}

// again says how to begin anew.
func (t *target) again() string {
	if t.made == "" {
		return "import again into a new store"
	}
	return "delete " + t.made + ", which this import made, and begin again"
}

// close closes the store, and removes it if the import made it in vain.
func (t *target) close() {
	if t.store == nil {
		return
	}
	_ = t.store.Close() // what was written is durable already
	if t.created != "" {
		os.Remove(t.created)
	}
}
