//go:build unix

package gcpfirestore

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	firestoreapi "cloud.google.com/go/firestore/apiv1"
	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"hotreader"
)

var (
	benchColumns = []string{"temperature", "pressure", "speed", "current"}
	benchQuery   = hotreader.Query{Device: "machine-17", Properties: benchColumns}
)

// 5,000 rows of 4 numbers, as Firestore answers them.
const benchRows = 5000

func benchAnswer(b *testing.B) []byte {
	var body []byte
	for i := range benchRows {
		at := second(i * 300)
		pairs := []any{}
		for k, name := range benchColumns {
			pairs = append(pairs, name, float64((i*7919+k*104729)%100_000_000)/1e6)
		}
		body = append(body, frame(b, &pb.RunQueryResponse{Document: doc(at, pairs...)})...)
	}
	return body
}

// replay serves body to every query, and costs next to nothing itself.
func replay(b *testing.B, body []byte) (url string) {
	b.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			b.Error(err)
		}
		grpcAnswer(w, body, "0")
	}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	b.Cleanup(s.Close)
	return s.URL
}

// reportCPU adds what the process, the serving side included, spent.
func reportCPU(b *testing.B) {
	spent := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := spent()
	b.Cleanup(func() {
		b.ReportMetric(float64(spent()-before)/float64(b.N)/benchRows, "cpu-ns/row")
	})
}

// BenchmarkPage reads the answer over loopback: ours, the usual ways, which are
// Google's client with Data and with DataTo, its generated layer below, and what
// reading the bytes alone costs.
func BenchmarkPage(b *testing.B) {
	body := benchAnswer(b)
	url := replay(b, body)
	count := func(b *testing.B, read func() int) {
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		reportCPU(b)
		for b.Loop() {
			if n := read(); n != benchRows*len(benchColumns) {
				b.Fatalf("%d values", n)
			}
		}
	}
	b.Run("ours", func(b *testing.B) {
		s := storeOf(clientOf(b, url), Options{})
		count(b, func() (n int) {
			for row, err := range s.Read(b.Context(), benchQuery) {
				if err != nil {
					b.Fatal(err)
				}
				n += len(row.Values)
			}
			return n
		})
	})
	conn, err := grpc.NewClient("passthrough:///"+strings.TrimPrefix(url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	client, err := firestore.NewClient(b.Context(), "my-project", option.WithGRPCConn(conn))
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	usual := func(b *testing.B, take func(*firestore.DocumentSnapshot) int) func() int {
		query := client.Collection("twin-hot-iot-data").Where("device_id", "==", "machine-17").OrderBy("timestamp", firestore.Asc).Select(append([]string{"timestamp"}, benchColumns...)...)
		return func() (n int) {
			for documents := query.Documents(b.Context()); ; {
				d, err := documents.Next()
				if err == iterator.Done {
					return n
				}
				if err != nil {
					b.Fatal(err)
				}
				n += take(d)
			}
		}
	}
	b.Run("usual Data", func(b *testing.B) {
		count(b, usual(b, func(d *firestore.DocumentSnapshot) (n int) {
			m := d.Data()
			if _, err := time.Parse(time.RFC3339Nano, m["timestamp"].(string)); err != nil {
				b.Fatal(err)
			}
			for _, name := range benchColumns {
				if v := m[name].(float64); v != -1 {
					n++
				}
			}
			return n
		}))
	})
	b.Run("usual DataTo", func(b *testing.B) {
		type row struct {
			Timestamp   string  `firestore:"timestamp"`
			Temperature float64 `firestore:"temperature"`
			Pressure    float64 `firestore:"pressure"`
			Speed       float64 `firestore:"speed"`
			Current     float64 `firestore:"current"`
		}
		count(b, usual(b, func(d *firestore.DocumentSnapshot) int {
			var r row
			if err := d.DataTo(&r); err != nil {
				b.Fatal(err)
			}
			if _, err := time.Parse(time.RFC3339Nano, r.Timestamp); err != nil {
				b.Fatal(err)
			}
			return len(benchColumns)
		}))
	})
	b.Run("generated", func(b *testing.B) {
		api, err := firestoreapi.NewClient(b.Context(), option.WithGRPCConn(conn))
		if err != nil {
			b.Fatal(err)
		}
		var digits []byte
		count(b, func() (n int) {
			stream, err := api.RunQuery(b.Context(), &pb.RunQueryRequest{Parent: "projects/my-project/databases/(default)/documents"})
			if err != nil {
				b.Fatal(err)
			}
			for {
				m, err := stream.Recv()
				if err == io.EOF {
					return n
				}
				if err != nil {
					b.Fatal(err)
				}
				for _, name := range benchColumns {
					digits = strconv.AppendFloat(digits[:0], m.Document.Fields[name].GetDoubleValue(), 'g', -1, 64)
					n++
				}
			}
		})
	})
	b.Run("loopback alone", func(b *testing.B) {
		c := clientOf(b, url)
		buf := make([]byte, minBuffer)
		request := make([]byte, headerBytes)
		count(b, func() int {
			s, err := c.call(context.Background(), runQuery, "", "", request, buf)
			if err != nil {
				b.Fatal(err)
			}
			defer s.close()
			for {
				s.from = s.to // all of it is taken, unread
				if err := s.fill(); err == io.EOF {
					return benchRows * len(benchColumns)
				} else if err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}

// BenchmarkDecode is the decoder alone, without grouping and sieve, and beside
// it what writing the digits of its numbers costs.
func BenchmarkDecode(b *testing.B) {
	body := benchAnswer(b)
	b.Run("ours", func(b *testing.B) {
		var d decoder
		d.layout(benchColumns, "timestamp", ISO8601)
		values := make([]hotreader.Value, len(benchColumns))
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		reportCPU(b)
		for b.Loop() {
			s := stream{buf: body, to: len(body)}
			d.arena = d.arena[:0]
			for {
				m, ok, err := s.message()
				if err != nil {
					b.Fatal(err)
				}
				if !ok {
					break
				}
				if err := d.message(m, values); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("digits alone", func(b *testing.B) {
		var digits []byte
		reportCPU(b)
		for b.Loop() {
			for i := range benchRows {
				for k := range benchColumns {
					digits = appendDigits(digits[:0], float64((i*7919+k*104729)%100_000_000)/1e6)
				}
			}
		}
		if len(digits) == 0 {
			b.Fatal("no digits")
		}
	})
}
