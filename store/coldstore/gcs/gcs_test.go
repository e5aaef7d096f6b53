package gcs_test

import (
	"fmt"
	"strings"
	"testing"

	"hotreader"
	"hotreader/store/coldstore/buckettest"
	"hotreader/store/coldstore/gcs"
)

// A page of a list has what was asked for: one of nothings is short, but large in memory.
func TestPagesAreBounded(t *testing.T) {
	nothings := func(n int) string { return "[" + strings.TrimSuffix(strings.Repeat("{},", n), ",") + "]" }
	for _, c := range []struct {
		items string
		code  hotreader.Code // "" = it is a list
		says  string
	}{
		{"null", "", ""},
		{"[]", "", ""},
		{nothings(1000), "", ""},
		{nothings(1001), hotreader.CodeCorrupt, "more than the 1000 objects"},
		{nothings(1000) + `,"items":` + nothings(1), hotreader.CodeCorrupt, "more than the 1000 objects"},
		{strings.Replace(nothings(4_000_000), "{}", "null", 1), hotreader.CodeCorrupt, "more than the 1000 objects"},
	} {
		b, err := gcs.New(t.Context(), gcs.Options{Bucket: "cold", Endpoint: buckettest.Refusing(t, 200, `{"kind":"storage#objects","items":`+c.items+`}`)})
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range b.List(t.Context(), "", "") {
			if hotreader.CodeOf(err) != c.code && (err != nil || c.code != "") || !strings.Contains(fmt.Sprint(err), c.says) {
				t.Errorf("%.20s of %d bytes: %v", c.items, len(c.items), err)
			}
		}
	}
}
