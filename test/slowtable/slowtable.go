// Package slowtable is a DynamoDB table for tests that watch how it is read: it
// answers queries of one device in pages, and counts what it is asked.
package slowtable

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Table holds rows of a number, "temperature", a second apart.
type Table struct {
	keys []string
	page int

	Queries   atomic.Int64
	Continued atomic.Int64 // those that go on behind a page
}

// Begin is the time of the first row.
var Begin = time.Date(2024, 2, 1, 0, 0, 0, 0, time.UTC)

// New returns a Table of so many rows, page of them in a page.
func New(rows, page int) *Table {
	t := &Table{page: page}
	for i := range rows {
		t.keys = append(t.keys, Begin.Add(time.Duration(i)*time.Second).Format(time.RFC3339))
	}
	return t
}

// ServeHTTP answers a Query.
func (t *Table) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	type text struct{ S string }
	var asked struct {
		ExpressionAttributeValues, ExclusiveStartKey map[string]text
		ScanIndexForward                             bool
		Limit                                        int
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	t.Queries.Add(1)
	from, to := 0, len(t.keys)
	if low, ok := asked.ExpressionAttributeValues[":lo"]; ok {
		from = sort.SearchStrings(t.keys, low.S)
	}
	if high, ok := asked.ExpressionAttributeValues[":hi"]; ok {
		to = sort.SearchStrings(t.keys, high.S)
	}
	if key, ok := asked.ExclusiveStartKey["timestamp"]; ok {
		t.Continued.Add(1)
		if at := sort.SearchStrings(t.keys, key.S); asked.ScanIndexForward {
			from = at + 1
		} else {
			to = at
		}
	}
	page := t.page
	if asked.Limit > 0 {
		page = min(page, asked.Limit)
	}
	var items []string
	last := ""
	for ; from < to && last == ""; page-- {
		at := from
		if from++; !asked.ScanIndexForward {
			from, to = from-1, to-1
			at = to
		}
		items = append(items, fmt.Sprintf(`{"timestamp":{"S":%q},"temperature":{"N":%q}}`, t.keys[at], strconv.Itoa(at)))
		if page == 1 && from < to {
			last = fmt.Sprintf(`,"LastEvaluatedKey":{"device_id":{"S":"d"},"timestamp":{"S":%q}}`, t.keys[at])
		}
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	_, _ = fmt.Fprintf(w, `{"Count":%d,"Items":[%s]%s,"ScannedCount":%d}`, len(items), strings.Join(items, ","), last, len(items))
}
