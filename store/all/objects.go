package all

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"hotreader"
	"hotreader/store/coldstore"
	"hotreader/store/coldstore/azureblob"
	"hotreader/store/coldstore/coldurl"
	"hotreader/store/coldstore/folder"
	"hotreader/store/coldstore/gcs"
	"hotreader/store/coldstore/s3"
)

// OpenTarget opens the bucket, container or folder that a URL names, to be written by
// export; keys begin with prefix. A folder is made if it is not there. An error of the URL is
// of CodeConfig.
func OpenTarget(ctx context.Context, storeURL string) (t coldstore.Target, prefix string, err error) {
	o := opening{ctx: ctx, url: shown(storeURL), scope: gcs.ReadWrite}
	u, err := url.Parse(storeURL)
	i := -1
	if err == nil {
		i = slices.IndexFunc(schemes, func(s scheme) bool { return s.name == u.Scheme && s.cloud == "" && len(s.parameters) > 0 })
	}
	if i < 0 {
		return nil, "", bad("URL %q: export writes to s3://BUCKET/PREFIX, azblob://ACCOUNT/CONTAINER/PREFIX, gs://BUCKET/PREFIX or file:DIR", o.url)
	}
	if err := coldurl.CheckUser(u); err != nil {
		return nil, "", err
	}
	o.scheme, o.parameters = &schemes[i], u.Query()
	if err := only(o.url, o.parameters, slices.DeleteFunc(slices.Clone(o.scheme.parameters), func(p string) bool { return slices.Contains(coldurl.Parameters, p) })...); err != nil {
		return nil, "", err
	}
	if u.Scheme == "file" {
		dir, _, _ := strings.Cut(strings.TrimPrefix(storeURL, "file:"), "?")
		if dir == "" {
			return nil, "", bad("store URL %q names no folder; write it file:DIR", o.url)
		}
		t, err = folder.Create(dir)
		return t, "", err
	}
	b, prefix, err := o.bucket(u)
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	switch b := b.(type) {
	case *s3.Bucket:
		t = s3.Target{Bucket: b}
	case *gcs.Bucket:
		t = gcs.Target{Bucket: b}
	case *azureblob.Bucket:
		t = azureblob.Target{Bucket: b}
	}
	return t, prefix, err
}

// openObjects opens a bucket, a container or a folder of objects, for reading.
func openObjects(o *opening, rest string) (hotreader.Store, error) {
	s, err := coldurl.Open(o.scheme.name+":"+rest+"?"+o.parameters.Encode(), o.layout, o.bucket)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// bucket opens a cloud's object storage.
func (o *opening) bucket(u *url.URL) (b coldstore.Bucket, prefix string, err error) {
	prefix = coldurl.Key(u)
	container, below := coldurl.Container(u)
	switch {
	case u.Host == "" || u.Scheme == "azblob" && container == "":
		err = bad("store URL %q: write it %s", o.url, o.scheme.form)
	case u.Scheme == "s3":
		b, err = s3.New(o.ctx, s3.Options{Bucket: u.Host, Region: o.get("region"), Endpoint: o.get("endpoint")})
	case u.Scheme == "gs":
		b, err = gcs.New(o.ctx, gcs.Options{Bucket: u.Host, Endpoint: o.get("endpoint"), Scope: o.scope})
	default:
		prefix = below
		b, err = azureblob.New(azureblob.Options{Account: u.Host, Container: container, Endpoint: o.get("endpoint")})
	}
	return b, prefix, err
}
