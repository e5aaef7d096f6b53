package gcpfirestore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"hotreader"
	"hotreader/layout"
	"hotreader/store/internal/paging"
	"hotreader/store/storetest/cloud"
)

// answer is what the fake Firestore says to one query.
type answer struct {
	documents []*pb.Document
	fail      error // behind the documents
	progress  bool  // a message without a document comes in front of each
	done      bool  // the last document's message says that it is the last
}

// fake is Firestore made of Google's generated code and gRPC library: it gives
// the answers in turn and keeps the requests. Once they are used up, it fails
// the test.
type fake struct {
	pb.UnimplementedFirestoreServer
	t       testing.TB
	client  *Client
	mu      sync.Mutex
	answers []answer
	queries []*pb.RunQueryRequest
	heads   []metadata.MD
	serve   func(*pb.RunQueryRequest) answer // instead of answers
	ended   chan error                       // how each query's context ended, if not nil
	commits []*pb.CommitRequest
	refuse  []error // of commits, in turn; nil = taken
	played  *cloud.Service
}

func newFake(t testing.TB, answers ...answer) *fake {
	t.Helper()
	f := &fake{t: t, answers: answers}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(16 << 20))
	pb.RegisterFirestoreServer(server, f)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	f.client = clientOf(t, "http://"+l.Addr().String())
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
	})
	return f
}

func clientOf(t testing.TB, endpoint string) *Client {
	t.Helper()
	c, err := NewClient(t.Context(), ClientOptions{Endpoint: endpoint})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// store is a store that makes no requests beside those of its queries.
func (f *fake) store(o Options) *Store {
	s := storeOf(f.client, o)
	s.Look = paging.Look{}
	return s
}

// timed are options of time formats.
func timed(formats ...string) Options { return Options{Layout: layout.Layout{TimeFormat: formats}} }

func storeOf(c *Client, o Options) *Store {
	if o.Project == "" {
		o.Project = "my-project"
	}
	if o.Collection == "" {
		o.Collection = "twin-hot-iot-data"
	}
	s := New(c, o)
	s.firstPause = 2 // nanoseconds
	return s
}

func (f *fake) RunQuery(r *pb.RunQueryRequest, stream pb.Firestore_RunQueryServer) error {
	f.mu.Lock()
	f.queries = append(f.queries, r)
	head, _ := metadata.FromIncomingContext(stream.Context())
	f.heads = append(f.heads, head)
	var a answer
	switch {
	case f.serve != nil:
		a = f.serve(r)
	case len(f.answers) == 0:
		f.t.Errorf("query %d was not expected: %v", len(f.queries), r)
	default:
		a, f.answers = f.answers[0], f.answers[1:]
	}
	f.mu.Unlock()
	if f.ended != nil {
		defer func() {
			<-stream.Context().Done()
			f.ended <- stream.Context().Err()
		}()
	}
	now := timestamppb.Now()
	if len(a.documents) == 0 && a.fail == nil {
		return stream.Send(&pb.RunQueryResponse{ReadTime: now})
	}
	for i, d := range a.documents {
		if a.progress {
			if err := stream.Send(&pb.RunQueryResponse{ReadTime: now, SkippedResults: 3}); err != nil {
				return err
			}
		}
		m := &pb.RunQueryResponse{Document: d, ReadTime: now}
		if a.done && i == len(a.documents)-1 {
			m.ContinuationSelector = &pb.RunQueryResponse_Done{Done: true}
		}
		if err := stream.Send(m); err != nil {
			return err
		}
	}
	return a.fail
}

func (f *fake) Commit(_ context.Context, r *pb.CommitRequest) (*pb.CommitResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.commits = append(f.commits, r)
	if f.played != nil {
		var batch []cloud.Written
		for _, w := range r.Writes {
			fields := w.GetUpdate().Fields
			batch = append(batch, cloud.Written{Key: fields["timestamp"].GetStringValue(), N: strconv.FormatInt(fields["n"].GetIntegerValue(), 10)})
		}
		if err := failures[f.played.Write(batch)]; err != nil {
			return nil, err
		}
	}
	if len(f.refuse) > 0 {
		err := f.refuse[0]
		f.refuse = f.refuse[1:]
		if err != nil {
			return nil, err
		}
	}
	return &pb.CommitResponse{CommitTime: timestamppb.Now()}, nil
}

// done checks that all answers were asked for.
func (f *fake) done() {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.answers) > 0 {
		f.t.Errorf("%d answers were never asked for", len(f.answers))
	}
}

// play is a collection that is p. A page that does not end at a query's limit is an
// answer that breaks off.
func play(t testing.TB, p *cloud.Service) hotreader.Store {
	f := newFake(t)
	f.played = p
	f.serve = func(r *pb.RunQueryRequest) answer {
		q := r.GetStructuredQuery()
		if q.Select == nil { // a look
			var a answer
			if q.Where == nil { // at what there is of other devices
				return docs(docOf("other", map[string]any{"device_id": "e"}))
			}
			for i, it := range p.Items {
				m := map[string]any{"device_id": "d", "timestamp": it.Time}
				maps.Copy(m, it.Fields)
				a.documents = append(a.documents, docOf(strconv.Itoa(i), m))
			}
			return a
		}
		descending := q.OrderBy[0].Direction == pb.StructuredQuery_DESCENDING
		token := ""
		if c := q.StartAt; c != nil {
			place, err := strconv.Atoi(c.Values[1].GetReferenceValue()[len(docOf("", nil).Name):])
			if err != nil || c.Before {
				t.Errorf("the cursor is %v, %v", c, err)
			}
			if descending {
				place = len(p.Items) - 1 - place
			}
			token = strconv.Itoa(place + 1)
		}
		limit := int(q.Limit.Value)
		page := p.Answer(token, limit, descending)
		var a answer
		for _, it := range page.Items {
			m := map[string]any{"timestamp": it.Time}
			maps.Copy(m, it.Fields)
			d := docOf(fmt.Sprintf("%06d", it.Place), m)
			d.UpdateTime = timestamppb.New(parse(second(it.Place)))
			a.documents = append(a.documents, d)
		}
		switch page.Fail {
		case "":
			if page.Next != "" && len(a.documents) < limit {
				a.fail = failures[cloud.Broken]
			}
			return a
		case cloud.Damaged:
			return docs(docOf("x", nil))
		case cloud.Broken:
			return answer{documents: a.documents[:len(a.documents)/2], fail: failures[cloud.Broken]}
		}
		return answer{fail: failures[page.Fail]}
	}
	s := storeOf(f.client, Options{})
	s.Look.End = nil
	return s
}

var failures = map[string]error{
	cloud.Throttled: grpcstatus.Error(codes.ResourceExhausted, "slow down"),
	cloud.Forbidden: grpcstatus.Error(codes.PermissionDenied, "no"),
	cloud.Failing:   grpcstatus.Error(codes.Internal, "sorry"),
	cloud.Broken:    grpcstatus.Error(codes.Unavailable, "moving"),
}

func TestCloud(t *testing.T) {
	unreadable := []any{[]byte("b"), []any{1, []byte("b")}, map[string]any{"a": math.NaN()}, parse(second(1)),
		&pb.Value{ValueType: &pb.Value_ReferenceValue{ReferenceValue: "x"}}, &pb.Value{ValueType: &pb.Value_GeoPointValue{}}}
	for _, f := range noNumbers {
		unreadable = append(unreadable, f)
	}
	cloud.Run(t, cloud.Store{
		Play: play, Resumes: true, Slack: slack, Most: maxPage, Batch: maxBatch, Parallel: parallelCommits,
		Untimely: []any{"", nil}, Unreadable: unreadable,
	})
}

// value makes a Value of a Go value.
func value(v any) *pb.Value {
	switch v := v.(type) {
	case nil:
		return &pb.Value{ValueType: &pb.Value_NullValue{}}
	case bool:
		return &pb.Value{ValueType: &pb.Value_BooleanValue{BooleanValue: v}}
	case int:
		return &pb.Value{ValueType: &pb.Value_IntegerValue{IntegerValue: int64(v)}}
	case float64:
		return &pb.Value{ValueType: &pb.Value_DoubleValue{DoubleValue: v}}
	case string:
		return &pb.Value{ValueType: &pb.Value_StringValue{StringValue: v}}
	case []byte:
		return &pb.Value{ValueType: &pb.Value_BytesValue{BytesValue: v}}
	case time.Time:
		return &pb.Value{ValueType: &pb.Value_TimestampValue{TimestampValue: timestamppb.New(v)}}
	case []any:
		a := new(pb.ArrayValue)
		for _, e := range v {
			a.Values = append(a.Values, value(e))
		}
		return &pb.Value{ValueType: &pb.Value_ArrayValue{ArrayValue: a}}
	case map[string]any:
		return &pb.Value{ValueType: &pb.Value_MapValue{MapValue: &pb.MapValue{Fields: fields(v)}}}
	case *pb.Value:
		return v
	}
	panic(fmt.Sprintf("%T", v))
}

func fields(m map[string]any) map[string]*pb.Value {
	f := make(map[string]*pb.Value)
	for name, v := range m {
		f[name] = value(v)
	}
	return f
}

// doc is a document whose time is when, and the pairs of names and values.
func doc(when any, pairs ...any) *pb.Document {
	m := map[string]any{"timestamp": when}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i].(string)] = pairs[i+1]
	}
	return docOf(fmt.Sprintf("d_%v", when), m)
}

func docOf(id string, m map[string]any) *pb.Document {
	return &pb.Document{
		Name:       "projects/my-project/databases/(default)/documents/twin-hot-iot-data/" + id,
		Fields:     fields(m),
		CreateTime: timestamppb.Now(),
		UpdateTime: timestamppb.Now(),
	}
}

// n is a document with the property n.
func n(when any, v any) *pb.Document { return doc(when, "n", v) }

func docs(d ...*pb.Document) answer { return answer{documents: d} }

// plainServer serves h over HTTP/2 without TLS, for what gRPC's library would
// not do.
func plainServer(t testing.TB, h http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return clientOf(t, s.URL)
}

// frame is a message as gRPC frames it.
func frame(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte{0, byte(len(b) >> 24), byte(len(b) >> 16), byte(len(b) >> 8), byte(len(b))}, b...)
}

var noNumbers = []float64{math.NaN(), math.Inf(1), math.Inf(-1)}

func rows(t testing.TB, s hotreader.Source, q hotreader.Query) ([]string, error) {
	return cloud.Rows(t.Context(), s, q)
}
