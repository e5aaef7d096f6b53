package all

import (
	"net/url"

	"hotreader"
	"hotreader/store/coldstore"
	"hotreader/store/coldstore/azureblob"
	"hotreader/store/coldstore/coldurl"
	"hotreader/store/coldstore/gcs"
	"hotreader/store/coldstore/s3"
)

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
		b, err = gcs.New(o.ctx, gcs.Options{Bucket: u.Host, Endpoint: o.get("endpoint")})
	default:
		prefix = below
		b, err = azureblob.New(azureblob.Options{Account: u.Host, Container: container, Endpoint: o.get("endpoint")})
	}
	return b, prefix, err
}
