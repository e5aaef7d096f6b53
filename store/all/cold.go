package all

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"hotreader/layout"
	"hotreader/store/coldstore"
	"hotreader/store/coldstore/azureblob"
	"hotreader/store/coldstore/folder"
	"hotreader/store/coldstore/gcs"
	"hotreader/store/coldstore/s3"
)

// coldForms are the URLs of cold storage.
const coldForms = "s3://BUCKET/PREFIX, azblob://ACCOUNT/CONTAINER/PREFIX, gs://BUCKET/PREFIX or file:DIR"

// OpenCold opens the cold storage that a URL names, to be read:
//
//	s3://BUCKET/PREFIX?region=R&endpoint=URL
//	azblob://ACCOUNT/CONTAINER/PREFIX?endpoint=URL
//	gs://BUCKET/PREFIX?endpoint=URL
//	file:DIR
//
// Each takes format, late and the keys of a layout. An error of the URL is of CodeConfig.
func OpenCold(ctx context.Context, storeURL string) (*coldstore.Store, error) {
	shownURL := shown(storeURL)
	name, rest, ok := strings.Cut(storeURL, ":")
	if !ok || !slices.Contains([]string{"s3", "azblob", "gs", "file"}, name) {
		return nil, bad("URL %q of cold storage: write it as %s", shownURL, coldForms)
	}
	rest, query, _ := strings.Cut(rest, "?")
	parameters, err := url.ParseQuery(query)
	if err != nil {
		return nil, bad("URL %q: what follows the ? cannot be read: %w", shownURL, err)
	}
	known := append([]string{"format", "late"}, layout.Keys...)
	if name != "file" {
		known = append(known, "endpoint")
	}
	if name == "s3" {
		known = append(known, "region")
	}
	if err := only(shownURL, parameters, known...); err != nil {
		return nil, err
	}
	o := coldstore.Options{Format: coldstore.Format(parameters.Get("format"))}
	if late := parameters.Get("late"); late != "" {
		if o.Late, err = time.ParseDuration(late); err != nil || o.Late < 0 {
			return nil, bad("URL %q: late is %q; write it as 24h", shownURL, late)
		}
		if o.Late == 0 {
			o.Late = -1
		}
	}
	if o.Layout, err = layout.FromURL(parameters); err != nil {
		return nil, bad("URL %q: %w", shownURL, err)
	}
	bucket, prefix, err := openBucket(ctx, name, rest, parameters)
	if err != nil {
		return nil, err
	}
	o.Prefix = prefix
	return coldstore.New(bucket, o)
}

// openBucket opens the bucket that a URL names, and returns the prefix after it.
func openBucket(ctx context.Context, scheme, rest string, parameters url.Values) (b coldstore.Bucket, prefix string, err error) {
	if scheme == "file" {
		b, err = folder.Open(strings.TrimPrefix(rest, "//"))
		return b, "", err
	}
	first, prefix, _ := strings.Cut(strings.TrimPrefix(rest, "//"), "/")
	container := ""
	if scheme == "azblob" {
		container, prefix, _ = strings.Cut(prefix, "/")
	}
	if first == "" || scheme == "azblob" && container == "" {
		return nil, "", bad("URL %q of cold storage: write it as %s", scheme+":"+rest, coldForms)
	}
	endpoint := parameters.Get("endpoint")
	switch scheme {
	case "s3":
		b, err = s3.New(ctx, s3.Options{Bucket: first, Region: parameters.Get("region"), Endpoint: endpoint})
	case "azblob":
		b, err = azureblob.New(azureblob.Options{Account: first, Container: container, Endpoint: endpoint})
	default:
		b, err = gcs.New(ctx, gcs.Options{Bucket: first, Endpoint: endpoint})
	}
	return b, prefix, err
}
