package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"golang.org/x/oauth2"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"hotreader"
	"hotreader/route"
	"hotreader/store/awsdynamodb"
	"hotreader/store/azurecosmos"
	"hotreader/store/gcpfirestore"
)

// localSource returns the Source of a function whose hot storage is on its own cloud, as
// the functions assemble it.
func localSource(store hotreader.Source) hotreader.Source {
	return route.Ahead(store, route.AheadOptions{})
}

// With pageItems a page, the rows fill two pages and a part of a third.
const pageItems = 180

// item is a stored row, with its JSON in an answer of DynamoDB and of Cosmos DB.
type item struct {
	time           string
	fields         []hotreader.Field
	dynamo, cosmos []byte
}

// items returns all items by time. Cosmos DB holds numbers that a float64 would change
// as text.
var items = sync.OnceValue(func() []item {
	all := make([]item, 0, count)
	for _, r := range records() {
		i := item{time: r.Time.Format("2006-01-02T15:04:05.000Z"), fields: r.Fields}
		i.dynamo = fmt.Appendf(nil, `{"device_id":{"S":%q},"timestamp":{"S":%q}`, device, i.time)
		i.cosmos = fmt.Appendf(nil, `{"t":%q`, i.time)
		for _, f := range i.fields {
			column := slices.Index(history().Properties, f.Name)
			switch f.Value.Kind() {
			case hotreader.Number:
				i.dynamo = fmt.Appendf(i.dynamo, `,%q:{"N":%q}`, f.Name, f.Value.Text())
				i.cosmos = fmt.Appendf(i.cosmos, `,"p%d":%q`, column, f.Value.Text())
			case hotreader.String:
				i.dynamo = fmt.Appendf(i.dynamo, `,%q:{"S":%q}`, f.Name, f.Value.Text())
				i.cosmos = fmt.Appendf(i.cosmos, `,"p%d":%q`, column, f.Value.Text())
			default:
				i.dynamo = fmt.Appendf(i.dynamo, `,%q:{"BOOL":%v}`, f.Name, f.Value)
				i.cosmos = fmt.Appendf(i.cosmos, `,"p%d":%v`, column, f.Value)
			}
		}
		i.dynamo, i.cosmos = append(i.dynamo, '}'), append(i.cosmos, '}')
		all = append(all, i)
	}
	return all
})

// page returns up to limit items of a range of times, those after behind if that is not
// "", and whether there are more.
func page(low, high, behind string, descending bool, limit int) (some []item, more bool) {
	all := items()
	if descending {
		all = slices.Clone(all)
		slices.Reverse(all)
	}
	for _, i := range all {
		gone := behind != "" && (!descending && i.time <= behind || descending && i.time >= behind)
		if gone || i.time < low || high != "" && i.time > high {
			continue
		}
		if len(some) == limit {
			return some, true
		}
		some = append(some, i)
	}
	return some, false
}

// dynamo answers as DynamoDB does.
func dynamo(w http.ResponseWriter, r *http.Request) {
	type key struct{ S string }
	var q struct {
		Limit                     int
		ScanIndexForward          *bool
		ExclusiveStartKey         map[string]key
		ExpressionAttributeValues map[string]key
	}
	_ = json.NewDecoder(r.Body).Decode(&q)
	if q.Limit == 0 {
		q.Limit = pageItems
	}
	some, more := page(q.ExpressionAttributeValues[":lo"].S, q.ExpressionAttributeValues[":hi"].S,
		q.ExclusiveStartKey["timestamp"].S, q.ScanIndexForward != nil && !*q.ScanIndexForward, min(q.Limit, pageItems))
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"Count":%d,"ScannedCount":%d,"Items":[`, len(some), len(some))
	for n, i := range some {
		if n > 0 {
			b.WriteByte(',')
		}
		b.Write(i.dynamo)
	}
	b.WriteByte(']')
	if more {
		fmt.Fprintf(&b, `,"LastEvaluatedKey":{"device_id":{"S":%q},"timestamp":{"S":%q}}`, device, some[len(some)-1].time)
	}
	b.WriteByte('}')
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.Header().Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(b.Bytes())), 10))
	_, _ = w.Write(b.Bytes())
}

// columns are the columns that a query to Cosmos DB selects.
const columns = `c["temperature"] AS p0,c["state"] AS p1,c["open"] AS p2 `

// cosmos answers as Cosmos DB does.
func cosmos(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Query      string
		Parameters []struct{ Name, Value string }
	}
	_ = json.NewDecoder(r.Body).Decode(&q)
	bounds := map[string]string{}
	for _, p := range q.Parameters {
		bounds[p.Name] = p.Value
	}
	limit, _ := strconv.Atoi(r.Header.Get("X-Ms-Max-Item-Count"))
	if limit <= 0 {
		limit = pageItems
	}
	some, more := page(bounds["@lo"], bounds["@hi"], r.Header.Get("X-Ms-Continuation"), strings.HasSuffix(q.Query, " DESC"), min(limit, pageItems))
	if !strings.Contains(q.Query, columns) {
		http.Error(w, "this is not how the columns are called here: "+q.Query, http.StatusTeapot)
		return
	}
	var b bytes.Buffer
	b.WriteString(`{"_rid":"x","Documents":[`)
	for n, i := range some {
		if n > 0 {
			b.WriteByte(',')
		}
		b.Write(i.cosmos)
	}
	fmt.Fprintf(&b, `],"_count":%d}`, len(some))
	w.Header().Set("Content-Type", "application/json")
	if more {
		w.Header().Set("X-Ms-Continuation", some[len(some)-1].time)
	}
	_, _ = w.Write(b.Bytes())
}

// firestore answers as Firestore does, with Google's generated code and library.
type firestore struct {
	firestorepb.UnimplementedFirestoreServer
	queries, active atomic.Int64 // all so far; those being answered

	// fails, if not nil, is called before each document, counted from 0, of each query,
	// counted from 1. Its error ends the query.
	fails func(ctx context.Context, query, document int) error
}

func (f *firestore) RunQuery(r *firestorepb.RunQueryRequest, stream firestorepb.Firestore_RunQueryServer) error {
	f.active.Add(1)
	defer f.active.Add(-1)
	q, query := r.GetStructuredQuery(), int(f.queries.Add(1))
	low, high, behind := "", "", ""
	for _, f := range q.GetWhere().GetCompositeFilter().GetFilters() {
		switch field := f.GetFieldFilter(); {
		case field.GetField().GetFieldPath() != "timestamp":
		case field.GetOp() == firestorepb.StructuredQuery_FieldFilter_GREATER_THAN_OR_EQUAL:
			low = field.GetValue().GetStringValue()
		default:
			high = field.GetValue().GetStringValue()
		}
	}
	if at := q.GetStartAt(); at != nil {
		behind = at.GetValues()[0].GetStringValue()
	}
	limit := int(q.GetLimit().GetValue())
	some, _ := page(low, high, behind, q.GetOrderBy()[0].GetDirection() == firestorepb.StructuredQuery_DESCENDING, limit)
	now := timestamppb.Now()
	for n, i := range some {
		if f.fails != nil {
			if err := f.fails(stream.Context(), query, n); err != nil {
				return err
			}
		}
		d := &firestorepb.Document{Name: "projects/p/databases/(default)/documents/c/" + i.time, CreateTime: now, UpdateTime: now,
			Fields: map[string]*firestorepb.Value{"timestamp": {ValueType: &firestorepb.Value_StringValue{StringValue: i.time}}}}
		for _, f := range i.fields {
			if f.Value.Kind() == hotreader.Bool {
				d.Fields[f.Name] = &firestorepb.Value{ValueType: &firestorepb.Value_BooleanValue{BooleanValue: f.Value.Bool()}}
			} else {
				d.Fields[f.Name] = &firestorepb.Value{ValueType: &firestorepb.Value_StringValue{StringValue: string(f.Value.Text())}}
			}
		}
		if err := stream.Send(&firestorepb.RunQueryResponse{Document: d, ReadTime: now}); err != nil {
			return err
		}
	}
	if len(some) == 0 {
		return stream.Send(&firestorepb.RunQueryResponse{ReadTime: now})
	}
	return nil
}

// newFirestore starts f and returns its address.
func newFirestore(t testing.TB, f *firestore) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	firestorepb.RegisterFirestoreServer(s, f)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-ended; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// The Sources of hot storage at a URL, with the real clients.
func dynamoAt(t testing.TB, url string) hotreader.Source {
	t.Helper()
	c, err := awsdynamodb.NewFunctionClient(awsdynamodb.ClientOptions{Endpoint: url})
	if err != nil {
		t.Fatal(err)
	}
	return localSource(awsdynamodb.New(c, awsdynamodb.Options{Table: "rows"}))
}

func cosmosAt(t testing.TB, url string) hotreader.Source {
	t.Helper()
	c, err := azurecosmos.NewFunctionClient(azurecosmos.ClientOptions{Endpoint: url, Key: "c2VjcmV0"})
	if err != nil {
		t.Fatal(err)
	}
	return localSource(azurecosmos.New(c, azurecosmos.Options{Database: "d", Container: "c"}))
}

// signedIn provides a token for Google's API.
type signedIn struct{}

func (signedIn) Token() (*oauth2.Token, error) { return &oauth2.Token{AccessToken: "a"}, nil }

func firestoreAt(t testing.TB, url string) hotreader.Source {
	t.Helper()
	c, err := gcpfirestore.NewClient(t.Context(), gcpfirestore.ClientOptions{Endpoint: url, Tokens: signedIn{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return localSource(gcpfirestore.New(c, gcpfirestore.Options{Project: "p", Collection: "c"}))
}
