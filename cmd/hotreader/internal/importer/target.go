package importer

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"hotreader"
)

// target is the store of an import. It is opened with the first batch, so that
// a file which cannot be read leaves no empty store behind.
type target struct {
	url     string
	opener  func(ctx context.Context, url string) (hotreader.Store, error)
	store   hotreader.Store
	created string // a file that was not there before; "" once it holds something
}

func (t *target) open(ctx context.Context) (err error) {
	if t.store != nil {
		return nil
	}
	if file, ok := strings.CutPrefix(t.url, "bolt:"); ok {
		if _, err := os.Lstat(file); errors.Is(err, fs.ErrNotExist) {
			t.created = file
		}
	}
	if t.store, err = t.opener(ctx, t.url); err != nil {
		t.created = ""
	}
	return err
}

// grace is how long a write may go on when the import is to end: what has begun
// is then acknowledged, and what is reported as stored is exact.
const grace = 5 * time.Second

func (t *target) write(ctx context.Context, device string, batch []hotreader.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := t.open(ctx); err != nil {
		return err
	}
	writing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })()
	err := t.store.Write(writing, device, batch)
	if err == nil {
		t.created = ""
	}
	return err
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
