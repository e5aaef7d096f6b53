//go:build linux

package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"hotreader/store/azurecosmos"
	"hotreader/store/gcpfirestore"
)

// cosmosPage spells the rows as Cosmos DB does, members under the names that the
// query gives them.
func cosmosPage(timeName string, names []string) []byte {
	var b bytes.Buffer
	b.WriteString(`{"_rid":"lHd5ANwF2Fg=","Documents":[`)
	for i := range pageRows {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"%s":"%s"`, timeName, at(i).Format("2006-01-02T15:04:05.000Z"))
		for p, name := range names {
			fmt.Fprintf(&b, `,"%s":%s`, name, value(i, p))
		}
		b.WriteByte('}')
	}
	fmt.Fprintf(&b, `],"_count":%d}`, pageRows)
	return b.Bytes()
}

// cosmosKey is that of Microsoft's documentation.
const cosmosKey = "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw=="

const cosmosAccount = `{"_self":"","id":"a","writableLocations":[],"readableLocations":[],"enableMultipleWriteLocations":false}`

// BenchmarkCosmosDB: the rows from Cosmos DB over loopback to TwinMaker's JSON.
// The usual way is the SDK's pager and a struct for each item.
func BenchmarkCosmosDB(b *testing.B) {
	r := recording{Type: "application/json", Account: []byte(cosmosAccount)}
	r.Body = cosmosPage("t", []string{"p0", "p1", "p2", "p3"}) // as our query asks for them
	client, err := azurecosmos.NewClient(azurecosmos.ClientOptions{Endpoint: r.serve(b), Key: cosmosKey})
	if err != nil {
		b.Fatal(err)
	}
	store := azurecosmos.New(client, azurecosmos.Options{Database: "d", Container: "c"})
	same(b, store)

	r.Body = cosmosPage("timestamp", properties)
	key, err := azcosmos.NewKeyCredential(cosmosKey)
	if err != nil {
		b.Fatal(err)
	}
	account, err := azcosmos.NewClientWithKey(r.serve(b), key, nil)
	if err != nil {
		b.Fatal(err)
	}
	container, err := account.NewContainer("d", "c")
	if err != nil {
		b.Fatal(err)
	}
	const query = `SELECT c["timestamp"],c["temperature"],c["pressure"],c["humidity"],c["vibration"] FROM c ORDER BY c["timestamp"]`
	usual := way{"usual", func() error {
		answer := newUsualAnswer()
		pager := container.NewQueryItemsPager(query, azcosmos.NewPartitionKeyString("d"), &azcosmos.QueryOptions{PageSizeHint: -1})
		for pager.More() {
			page, err := pager.NextPage(b.Context())
			if err != nil {
				return err
			}
			for _, item := range page.Items {
				var row struct {
					Timestamp                                  time.Time
					Temperature, Pressure, Humidity, Vibration float64
				}
				if err := json.Unmarshal(item, &row); err != nil {
					return err
				}
				for column, f := range []float64{row.Temperature, row.Pressure, row.Humidity, row.Vibration} {
					answer.add(column, row.Timestamp, f)
				}
			}
		}
		return answer.encode()
	}}
	compare(b, pageRows, ours(b, store), usual, limitWay(recording{Body: dynamoPage()}.serve(b)))
}

// firestoreAnswer spells the rows as Firestore does: a message for each document.
func firestoreAnswer(b *testing.B) []byte {
	var answer []byte
	written := timestamppb.New(begin)
	for i := range pageRows {
		fields := map[string]*pb.Value{"timestamp": {ValueType: &pb.Value_StringValue{StringValue: at(i).Format("2006-01-02T15:04:05.000Z")}}}
		for p, name := range properties {
			f, err := strconv.ParseFloat(value(i, p), 64)
			if err != nil {
				b.Fatal(err)
			}
			fields[name] = &pb.Value{ValueType: &pb.Value_DoubleValue{DoubleValue: f}}
		}
		m, err := proto.MarshalOptions{Deterministic: true}.Marshal(&pb.RunQueryResponse{ReadTime: written, Document: &pb.Document{
			Name:       fmt.Sprintf("projects/p/databases/(default)/documents/twin-hot-iot-data/d_%d", i),
			CreateTime: written, UpdateTime: written, Fields: fields,
		}})
		if err != nil {
			b.Fatal(err)
		}
		answer = append(answer, 0, byte(len(m)>>24), byte(len(m)>>16), byte(len(m)>>8), byte(len(m)))
		answer = append(answer, m...)
	}
	return answer
}

// BenchmarkFirestore: the rows from Firestore over loopback to TwinMaker's JSON.
// The usual way is Google's client, with DataTo.
func BenchmarkFirestore(b *testing.B) {
	url := recording{Type: "application/grpc", GRPC: true, Body: firestoreAnswer(b)}.serve(b)
	ourClient, err := gcpfirestore.NewClient(b.Context(), gcpfirestore.ClientOptions{Endpoint: url})
	if err != nil {
		b.Fatal(err)
	}
	store := gcpfirestore.New(ourClient, gcpfirestore.Options{Project: "p", Collection: "twin-hot-iot-data"})
	b.Cleanup(func() { _ = store.Close() })

	conn, err := grpc.NewClient("passthrough:///"+strings.TrimPrefix(url, "http://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	client, err := firestore.NewClient(context.Background(), "p", option.WithGRPCConn(conn))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = client.Close() })
	query := client.Collection("twin-hot-iot-data").Where("device_id", "==", "d").OrderBy("timestamp", firestore.Asc).Select(append([]string{"timestamp"}, properties...)...)
	usual := way{"usual", func() error {
		answer := newUsualAnswer()
		for documents := query.Documents(b.Context()); ; {
			d, err := documents.Next()
			if err == iterator.Done {
				return answer.encode()
			}
			if err != nil {
				return err
			}
			var row struct {
				Timestamp   string  `firestore:"timestamp"`
				Temperature float64 `firestore:"temperature"`
				Pressure    float64 `firestore:"pressure"`
				Humidity    float64 `firestore:"humidity"`
				Vibration   float64 `firestore:"vibration"`
			}
			if err := d.DataTo(&row); err != nil {
				return err
			}
			t, err := time.Parse(time.RFC3339, row.Timestamp)
			if err != nil {
				return err
			}
			for column, f := range []float64{row.Temperature, row.Pressure, row.Humidity, row.Vibration} {
				answer.add(column, t, f)
			}
		}
	}}
	bare := &http.Transport{Protocols: new(http.Protocols)}
	bare.Protocols.SetUnencryptedHTTP2(true)
	loopback := way{"loopback", func() error { // the bytes alone, thrown away
		resp, err := (&http.Client{Transport: bare}).Post(url, "application/grpc", strings.NewReader(""))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}}
	compare(b, pageRows, ours(b, store), usual, loopback)
}
