package route_test

import (
	"fmt"
	"net/http/httptest"
	"strconv"
	"testing"

	"hotreader"
	"hotreader/route"
	"hotreader/store/all"
	"hotreader/store/awsdynamodb"
	"hotreader/store/azurecosmos"
	"hotreader/store/boltstore"
	"hotreader/store/gcpfirestore"
	"hotreader/test/slowtable"
)

// The clouds' stores answer page by page; the embedded one has no pages.
func TestStoresAreReadAhead(t *testing.T) {
	for _, s := range []hotreader.Source{(*awsdynamodb.Store)(nil), (*azurecosmos.Store)(nil), (*gcpfirestore.Store)(nil)} {
		if _, ok := s.(route.Paged); !ok {
			t.Errorf("%T is not read ahead", s)
		}
	}
	if _, ok := hotreader.Source((*boltstore.Store)(nil)).(route.Paged); ok {
		t.Error("bolt is read ahead")
	}
	t.Setenv("GOOGLE_CLOUD_PROJECT", "p")
	for _, url := range []string{"cosmos://localhost:1/d/c", "firestore://p/(default)/c?endpoint=http://127.0.0.1:1", "dynamodb://rows?region=eu-central-1"} {
		t.Setenv("COSMOS_DB_KEY", "a2V5")
		s, err := all.OpenReader(t.Context(), url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if _, ok := s.(route.Paged); !ok {
			t.Errorf("%s is not read ahead", url)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// DynamoDB's pages, in both orders: the rows are those of a read without Ahead, the pages
// hardly more, and none is continued.
func TestDynamoDBIsReadAhead(t *testing.T) {
	const rows, page = 6000, 300
	for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
		table := slowtable.New(rows, page)
		server := httptest.NewServer(table)
		defer server.Close()
		t.Setenv("AWS_ACCESS_KEY_ID", "AKID")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "SECRET")
		store, err := all.OpenReader(t.Context(), "dynamodb://rows?region=eu-central-1&endpoint="+server.URL)
		if err != nil {
			t.Fatal(err)
		}
		stats := new(hotreader.Stats)
		n := 0
		q := hotreader.Query{Device: "d", Properties: []string{"temperature"}, Order: order, Start: slowtable.Begin, End: slowtable.Begin.Add(rows * 1e9)}
		for row, err := range hotreader.NewReader(route.Ahead(store, route.AheadOptions{})).Read(hotreader.WithStats(t.Context(), stats), q) {
			if err != nil {
				t.Fatal(err)
			}
			want := n
			if order == hotreader.Descending {
				want = rows - 1 - n
			}
			if string(row.Values[0].Text()) != strconv.Itoa(want) {
				t.Fatalf("row %d is %s, want %d", n, row.Values[0], want)
			}
			n++
		}
		if n != rows {
			t.Fatalf("%d rows, want %d", n, rows)
		}
		counted := fmt.Sprintf("%d rows, %d reads, %d looked at", stats.Rows.Load(), stats.Reads.Load(), stats.Looked.Load())
		if want := fmt.Sprintf("%d rows, %d reads, %d looked at", rows, table.Queries.Load(), rows); counted != want {
			t.Errorf("%v: %s are counted, want %s", order, counted, want)
		}
		if table.Queries.Load() > rows/page+4 || table.Continued.Load() > 0 {
			t.Errorf("%v: %d queries, %d of them continued, for %d pages", order, table.Queries.Load(), table.Continued.Load(), rows/page)
		}
	}
}
