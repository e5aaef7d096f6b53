package azurecosmos

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"hotreader"
	"hotreader/store/internal/paging"
	"hotreader/store/storetest/cloud"
)

// fake is Cosmos DB behind the client's transport.
type fake struct{ cloud.Fake }

func newFake(t testing.TB, answers ...cloud.Answer) *fake {
	return &fake{cloud.Fake{T: t, Answers: answers, Head: func(_ cloud.Answer, header http.Header) {
		header.Set("Content-Type", "application/json")
		header.Set("X-Ms-Activity-Id", "00000000-activity")
	}}}
}

// docsKey is the key of the example in Microsoft's documentation.
const docsKey = "dsZQi3KtZmCv1ljt3VNWNm7sQUF1y5rJfC6kv5JiwvW0EndXdDku/dkKBp8/ufDToSxLzR4y+O/0H/t4bQtVNw=="

func (f *fake) client() *Client {
	c, err := NewClient(ClientOptions{Endpoint: "https://account.documents.azure.com:443/", Key: docsKey, Transport: f})
	if err != nil {
		f.T.Fatal(err)
	}
	return c
}

func (f *fake) store(o Options) *Store {
	if o.Database == "" {
		o.Database, o.Container = "twin", "hot"
	}
	s := New(f.client(), o)
	s.Look = paging.Look{} // which has tests of its own
	return s
}

// looking is store, and looks at items where it finds none.
func (f *fake) looking(o Options) *Store {
	s := f.store(o)
	s.Look.Items = s.newest
	return s
}

// play is a container that is p.
func play(t testing.TB, p *cloud.Service) hotreader.Store {
	f := newFake(t)
	f.Serve = func(r cloud.Sent) cloud.Answer {
		if r.Method == http.MethodGet {
			return partitioned("/device_id")
		}
		if r.Header.Get("X-Ms-Cosmos-Is-Batch-Request") != "" {
			var batch []cloud.Written
			for _, op := range operations(t, r.Body) {
				batch = append(batch, cloud.Written{Key: string(op.ResourceBody["id"]), N: string(op.ResourceBody["n"])})
			}
			return instead(p.Write(batch), batchOf(slices.Repeat([]int{200}, len(batch))...))
		}
		if strings.Contains(r.Body, "SELECT *") {
			var items []string
			for _, it := range p.Items {
				whole := maps.Clone(it.Fields)
				whole["id"], whole["timestamp"] = "d_x", it.Time
				text, err := json.Marshal(whole)
				if err != nil {
					t.Fatal(err)
				}
				items = append(items, string(text))
			}
			return pageOf("", items...)
		}
		most, _ := strconv.Atoi(r.Header.Get("X-Ms-Max-Item-Count"))
		page := p.Answer(r.Header.Get("X-Ms-Continuation"), max(most, 0), strings.Contains(r.Body, " DESC"))
		columns := []string{"timestamp"}
		for _, m := range selected.FindAllStringSubmatch(r.Body, -1) {
			columns = append(columns, m[1])
		}
		var items []string
		for _, it := range page.Items {
			items = append(items, spell(it, columns))
		}
		a := pageOf(page.Next, items...)
		if p.Cut > 0 {
			a.Body = a.Body[:min(p.Cut, len(a.Body))]
		}
		return instead(page.Fail, a)
	}
	t.Cleanup(f.Done)
	return f.looking(Options{})
}

// selected finds the properties that a query asks for, in order.
var selected = regexp.MustCompile(`c\[\\"(\w+)\\"\] AS p`)

func instead(fail string, a cloud.Answer) cloud.Answer {
	switch fail {
	case cloud.Throttled:
		return refuse(429, "TooManyRequests", "Request rate is large")
	case cloud.Forbidden:
		return refuse(403, "Forbidden", "no")
	case cloud.Failing:
		return refuse(500, "InternalServerError", "sorry")
	case cloud.Damaged:
		a.Body = `{"Documents":`
	case cloud.Broken:
		a.Cut = len(a.Body) / 2
	}
	return a
}

// spell spells what a query for columns, of which the first is the time, makes of
// an item.
func spell(it cloud.Item, columns []string) string {
	var parts []string
	for i, name := range columns {
		v, there := it.Fields[name]
		if name == "timestamp" {
			v, there = it.Time, it.Time != nil
		}
		alias := "t"
		if i > 0 {
			alias = fmt.Sprint("p", i-1)
		}
		if text, err := json.Marshal(v); err != nil {
			panic(err)
		} else if there {
			parts = append(parts, fmt.Sprintf("%q:%s", alias, text))
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func TestCloud(t *testing.T) {
	cloud.Run(t, cloud.Store{
		Play: play, InMemory: true, Slack: slack, Batch: maxBatch, Parallel: parallelBatches,
		Untimely:   []any{nil, json.RawMessage("null"), json.RawMessage(`"\udc00"`)},
		Unreadable: []any{json.RawMessage(`"\ud800"`)},
	})
}

// pageOf spells a page as Cosmos DB does. token is its continuation, "" = none.
func pageOf(token string, items ...string) cloud.Answer {
	a := cloud.Answer{Body: fmt.Sprintf(`{"_rid":"lHd5ANwF2Fg=","Documents":[%s],"_count":%d}`, strings.Join(items, ","), len(items)),
		Header: map[string]string{"x-ms-item-count": fmt.Sprint(len(items))}}
	if token != "" {
		a.Header["x-ms-continuation"] = token
	}
	return a
}

// n is an item of a query for one property.
func n(time, digits string) string { return fmt.Sprintf(`{"t":%q,"p0":%s}`, time, digits) }

// refusal is an error as Cosmos DB spells it.
func refuse(status int, code, message string) cloud.Answer {
	return cloud.Answer{Status: status, Body: fmt.Sprintf(`{"code":%q,"message":%q}`, code, message)}
}

// partitioned is what Cosmos DB says of a container.
func partitioned(path string) cloud.Answer {
	return cloud.Answer{Body: fmt.Sprintf(`{"id":"hot","partitionKey":{"paths":[%q],"kind":"Hash","version":2},"_rid":"x"}`, path)}
}

func rows(t testing.TB, s hotreader.Source, q hotreader.Query) ([]string, error) {
	return cloud.Rows(t.Context(), s, q)
}
