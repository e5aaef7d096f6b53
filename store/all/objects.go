package all

import (
	"net/url"

	"hotreader"
	"hotreader/store/coldstore"
	"hotreader/store/coldstore/coldurl"
)

func openObjects(o *opening, rest string) (hotreader.Store, error) {
	s, err := coldurl.Open(o.scheme.name+":"+rest+"?"+o.parameters.Encode(), o.layout, func(*url.URL) (coldstore.Bucket, string, error) {
		return nil, "", bad("store URL %q: this object storage cannot be read", o.url)
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}
