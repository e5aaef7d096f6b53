//go:build engines

package tiers

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"hotreader"
	"hotreader/store/coldstore"
	"hotreader/store/coldstore/s3"
	"hotreader/store/memstore"
	"hotreader/test/engine"
)

// overS3 returns the Reader of a twin whose lower tiers are objects of a mover in a bucket
// of an implementation of S3: the records from one index up to another are in each tier.
func overS3(t *testing.T, endpoint string, mover int, records []hotreader.Record, hot, cold, archive [2]int) hotreader.Reader {
	t.Helper()
	bucket := fmt.Sprintf("%s-%d-rows", movers[mover].cloud, len(records))
	engine.S3Bucket(t, endpoint, bucket)
	put := func(tier string, from, to int) {
		key, body := object(mover, records[from:to])
		engine.S3Send(t, endpoint, http.MethodPut, "/"+bucket+"/"+tier+"/"+(&url.URL{Path: key}).EscapedPath(), nil, string(body))
	}
	for tier, r := range map[string][2]int{"cold": cold, "archive": archive} { // two objects that overlap
		half := (r[0] + r[1]) / 2
		put(tier, r[0], half+1)
		put(tier, half-1, r[1])
	}
	store := memstore.New()
	if err := store.Write(t.Context(), device, records[hot[0]:hot[1]]); err != nil {
		t.Fatal(err)
	}
	stores := map[string]hotreader.Source{"hot": store}
	for _, tier := range []string{"cold", "archive"} {
		b, err := s3.NewFunction(s3.Options{Bucket: bucket, Region: engine.Region, Endpoint: endpoint})
		if err != nil {
			t.Fatal(err)
		}
		if stores[tier], err = coldstore.New(b, coldstore.Options{Prefix: tier, Format: coldstore.Mover}); err != nil {
			t.Fatal(err)
		}
	}
	return twin(t, allOnAWS(), stores)
}

// The objects of each mover, on two implementations of S3.
func TestTiersOverS3(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", engine.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", engine.SecretAccessKey)
	for implementation, endpoint := range engine.S3(t) {
		for mover, m := range movers {
			t.Run(implementation+" "+string(m.cloud), func(t *testing.T) {
				records := sample()
				answers(t, overS3(t, endpoint, mover, records, [2]int{40, 60}, [2]int{15, 44}, [2]int{0, 19}), records)
			})
		}
	}
}
