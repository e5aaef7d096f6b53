package all

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hotreader"
)

func TestOpenRefuses(t *testing.T) {
	for _, c := range []struct{ url, want string }{
		{"", "has no scheme"},
		{"pump.db", "for a file write bolt:pump.db"},
		{"export.CSV", "import it first: hotreader import --store bolt:FILE.db"},
		{"mem", "write it mem:"},
		{"bolt", "write it bolt:FILE"},
		{"mem:x", "no name"},
		{"cosmos://user:SECRET@h/d/c?key=SECRET", `store URL "cosmos://…@h/d/c?…": parameter "key" is unknown`},
		{"mem:?size=1", `parameter "size" is unknown; this store takes none`},
		{"bolt:", "names no file"},
		{"bolt:a.db?mode=ro", `parameter "mode" is unknown`},
		{"blot:a.db", "did you mean bolt:FILE?"},
		{"dynamo://t", "did you mean dynamodb://TABLE?region=R?"},
		{"BOLT:a.db", "did you mean bolt:FILE?"},
		{"postgres://h/d", "there are mem:, bolt:FILE, dynamodb://TABLE, cosmos://"},
		{"dynamodb:t", "write it dynamodb://TABLE"},
		{"dynamodb://", "write it dynamodb://TABLE"},
		{"dynamodb://a/b", "write it dynamodb://TABLE"},
		{"dynamodb://t?regoin=eu-central-1", "did you mean region?"},
		{"dynamodb://t?colour=1", "there are region, endpoint"},
		{"dynamodb://t?region=a&region=b", `"region" is given 2 times`},
		{"dynamodb://t?region=eu-central-1&time_format=julian", `time_format "julian" is unknown`},
		{"dynamodb://t?%zz", "cannot be read"},
		{"dynamodb://arn:aws:s3:::bucket", "arn:aws:dynamodb:REGION:ACCOUNT:table/NAME"},
		{"dynamodb://t?region=eu-central-1&collection=c", `collection is "c", but only Firestore`},
		{"dynamodb://t?region=eu-central-1&time_key=device_id&partition=x", "device_key and time_key are both"},
		{"dynamodb://t?region=eu-central-1&partition=x", `partition is "x", which has {device} 0 times`},
		{"dynamodb://t?time_kye=x", "did you mean time_key?"},
		{"cosmos://h/d/c?index=i", `index is "i", but only DynamoDB`},
		{"cosmos://h/d/c?properties=a:b,c", `properties has "c"`},
		{"firestore://p/d/devices/{device}", "is the path of a document"},
		{"firestore://p/d/devices/{device}/t?partition=x{device}", "give one of them"},
		{"firestore://p/d/c?collection=b", `collection is "b", but the path has the collection "c"`},
		{"cosmos:h/d/c", "write it cosmos://HOST/DB/CONTAINER"},
		{"cosmos://h/d", "write it cosmos://HOST/DB/CONTAINER"},
		{"cosmos://h//c", "write it cosmos://HOST/DB/CONTAINER"},
		{"cosmos://h/d/c/x", "write it cosmos://HOST/DB/CONTAINER"},
		{"cosmos://h/d/c?region=x", `"region" is unknown`},
		{"cosmos://h/d/c?single=yes", "single is true or false"},
		{"cosmos://localhost/d/c?tls=", "tls is true or false"},
		{"cosmos://h/d/c?tls=false", "http is for an emulator on this machine"},
		{"cosmos://h/d/c?time_format=native", "time_format is native, which only Firestore has"},
		{"cosmos://key@h/d/c", "COSMOS_DB_KEY"},
		{"s3://key:SECRET@bucket/rows", "the URL carries user info"},
		{"azblob://key:SECRET@account/container", "the URL carries user info"},
		{"gs://SECRET@bucket/rows", "the URL carries user info"},
		{"comsos://h/d/c", "did you mean cosmos://HOST/DB/CONTAINER?"},
		{"firestore:p/d/c", "write it firestore://PROJECT/DATABASE/COLLECTION"},
		{"firestore://p/c", "write it firestore://PROJECT/DATABASE/COLLECTION"},
		{"firestore://p//c", "write it firestore://PROJECT/DATABASE/COLLECTION"},
		{"firestore://p/d/c?single=true", `"single" is unknown`},
		{"firestore://p/d/c?time_format=julian", `time_format "julian" is unknown`},
		{"firestore://p/d/c?endpoint=nowhere", "of Firestore: expected host:port"},
		{"firestore://p/d/c?endpoint=http://192.0.2.7:80", "http is for an emulator on this machine"},
		{"dynamodb://t?region=eu-central-1&endpoint=http://192.0.2.7:8000", "http is for an emulator on this machine"},
	} {
		s, err := Open(t.Context(), c.url)
		if err == nil {
			s.Close()
			t.Errorf("Open(%q) succeeded", c.url)
			continue
		}
		if !errors.Is(err, hotreader.CodeConfig) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Open(%q) = %v (%v), want %q of config", c.url, err, hotreader.CodeOf(err), c.want)
		}
	}
}

func TestOpenWritesAndReads(t *testing.T) {
	file := "bolt:" + filepath.Join(t.TempDir(), "a b#c.db")
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, url := range []string{"mem:", file} {
		s, err := Open(t.Context(), url)
		if err != nil {
			t.Fatalf("Open(%q): %v", url, err)
		}
		err = s.Write(t.Context(), "d", []hotreader.Record{{Time: at, Fields: []hotreader.Field{{Name: "p", Value: hotreader.Int64Value(7)}}}})
		if err != nil {
			t.Fatalf("%s: %v", url, err)
		}
		expectOne(t, s, at)
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	// What was written to the file is there for readers, two at a time.
	for range 2 {
		s, err := OpenReader(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		expectOne(t, s, at)
	}
}

func expectOne(t *testing.T, s hotreader.Source, at time.Time) {
	t.Helper()
	n := 0
	for row, err := range hotreader.NewReader(s).Read(t.Context(), hotreader.Query{Device: "d", Properties: []string{"p"}}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		if !row.Time.Equal(at) || row.Values[0].String() != "7" {
			t.Errorf("read %v", row)
		}
	}
	if n != 1 {
		t.Errorf("read %d rows, want 1", n)
	}
}

func TestOpenReaderWantsTheFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "none.db")
	if s, err := OpenReader(t.Context(), "bolt:"+name); err == nil {
		s.Close()
		t.Fatal("a file that is not there was opened")
	} else if !strings.Contains(err.Error(), name) {
		t.Errorf("the error does not name the file: %v", err)
	}
}

func TestOpenDynamoDB(t *testing.T) {
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_DEFAULT_REGION", "")
	if _, err := Open(t.Context(), "dynamodb://t"); !errors.Is(err, hotreader.CodeConfig) {
		t.Errorf("without a region: %v", err)
	}
	s, err := Open(t.Context(), "dynamodb://my-Table_1?region=eu-central-1&endpoint=http://127.0.0.1:1&device_key=pk&time_key=ts&time_format=epoch_ms")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	// An ARN names the region, too.
	s, err = Open(t.Context(), "dynamodb://arn:aws:dynamodb:eu-central-1:123456789012:table/rows?index=by-time&time_format=epoch_s:text&partition=site-4%23{device}")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestOpenCosmosAndFirestore(t *testing.T) {
	t.Setenv("COSMOS_DB_ENDPOINT", "https://elsewhere.documents.azure.com")
	t.Setenv("COSMOS_DB_KEY", "a2V5")
	for _, url := range []string{
		"cosmos://127.0.0.1:8081/hot/telemetry?single=true&device_key=pk&time_key=ts&time_format=epoch_ms",
		"cosmos://localhost/hot/telemetry?single=false",
		"cosmos://localhost:8081/hot/telemetry?tls=true",
		"cosmos://account.documents.azure.com/hot/telemetry",
		"firestore://plant-1/(default)/telemetry?endpoint=http://127.0.0.1:1&time_format=native",
		"firestore://plant-1/hot/plants/berlin/telemetry?endpoint=http://127.0.0.1:1",
		"firestore://plant-1/hot/devices/{device}/telemetry?endpoint=http://127.0.0.1:1&time_format=native,iso8601",
		"cosmos://localhost/hot/telemetry?device_key=SystemProperties.iothub-connection-device-id&properties=Body&time_key=_ts&time_format=epoch_s",
	} {
		s, err := OpenReader(t.Context(), url)
		if err != nil {
			t.Errorf("OpenReader(%q): %v", url, err)
			continue
		}
		if err := s.Close(); err != nil {
			t.Errorf("%q: close: %v", url, err)
		}
	}
}

// No store's client follows a redirect: it would take its credentials, and the rows, to a
// machine that nobody named, or to plain text.
func TestRedirectsAreNotFollowed(t *testing.T) {
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "session", "AWS_CONFIG_FILE": "none",
		"AZURE_STORAGE_KEY": "a2V5", "COSMOS_DB_KEY": "a2V5"} {
		t.Setenv(name, value)
	}
	var strayed atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { strayed.Add(1) }))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+r.URL.Path, status)
		}))
		for _, url := range []string{"s3://bucket/rows?region=eu-central-1&endpoint=", "azblob://account/container?endpoint=", "gs://bucket/rows?endpoint=", "dynamodb://t?region=eu-central-1&endpoint="} {
			s, err := OpenReader(t.Context(), url+server.URL)
			if err != nil {
				t.Fatal(err)
			}
			for _, err := range s.Scan(t.Context(), hotreader.Query{Device: "d", Properties: []string{"p"}}) {
				if err == nil || strayed.Load() > 0 {
					t.Errorf("%s, status %d: %v, %d requests elsewhere", url, status, err, strayed.Swap(0))
				}
			}
			s.Close()
		}
		server.Close()
	}
}
