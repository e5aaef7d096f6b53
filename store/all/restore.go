package all

import (
	"context"
	"errors"

	"hotreader/store/coldstore"
	"hotreader/store/coldstore/azureblob"
	"hotreader/store/coldstore/coldurl"
	"hotreader/store/coldstore/s3"
)

// An Archive is a store of objects, of which some may have to be restored.
type Archive struct {
	coldurl.Store
	coldstore.Restorer // nil = the cloud has no class that must be restored
}

// OpenArchive opens a store of objects to restore them. An error of the URL is of
// CodeConfig.
func OpenArchive(ctx context.Context, storeURL string) (Archive, error) {
	opened, err := open(storeURL, opening{ctx: ctx, readOnly: true})
	if err != nil {
		return Archive{}, err
	}
	a := Archive{}
	var ok bool
	if a.Store, ok = opened.(coldurl.Store); !ok {
		return a, errors.Join(bad("store URL %q: objects alone are archived; expected s3://BUCKET/PREFIX, azblob://ACCOUNT/CONTAINER/PREFIX, gs://BUCKET/PREFIX or file:DIR", shown(storeURL)), opened.Close())
	}
	switch b := a.Bucket().(type) {
	case *s3.Bucket:
		a.Restorer = s3.Restorer{Bucket: b}
	case *azureblob.Bucket:
		a.Restorer = azureblob.Restorer{Bucket: b}
	}
	return a, nil
}
