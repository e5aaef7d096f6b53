package awsdynamodb

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"hotreader"
	"hotreader/store/internal/awsclient"
	"hotreader/store/storetest/cloud"
)

// Both clients find region, credentials and endpoint in the environment, and
// what is said outright goes before it.
func TestClientsFollowTheEnvironment(t *testing.T) {
	var authorization string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authorization = r.Header.Get("Authorization")
		w.Write([]byte(pageOf("", n("2024-01-01T00:00:00Z", "1")).Body))
	}))
	defer server.Close()
	clients := map[string]func(ClientOptions) (*dynamodb.Client, error){
		"default":  func(o ClientOptions) (*dynamodb.Client, error) { return NewClient(t.Context(), o) },
		"function": NewFunctionClient,
	}
	set := func(region, endpoint, general, key string) {
		for name, value := range map[string]string{"AWS_REGION": region, "AWS_DEFAULT_REGION": "", "AWS_ENDPOINT_URL_DYNAMODB": endpoint,
			"AWS_ENDPOINT_URL": general, "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": key, "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
			"AWS_CONFIG_FILE": filepath.Join(t.TempDir(), "none"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(t.TempDir(), "none"), "AWS_EC2_METADATA_DISABLED": "true"} {
			t.Setenv(name, value)
		}
	}
	for name, make := range clients {
		for _, test := range []struct {
			region, endpoint, general string
			o                         ClientOptions
			want                      string
		}{
			{"eu-west-1", server.URL, "http://127.0.0.1:1", ClientOptions{}, "eu-west-1"},
			{"eu-west-1", "", server.URL, ClientOptions{}, "eu-west-1"},
			{"eu-west-1", "http://127.0.0.1:1", "", ClientOptions{Region: "us-east-2", Endpoint: server.URL}, "us-east-2"},
		} {
			set(test.region, test.endpoint, test.general, "AKIDTEST")
			client, err := make(test.o)
			if err != nil {
				t.Fatal(err)
			}
			cloud.WantRows(t, New(client, Options{Table: "telemetry"}), qN, "00:00:00 1")
			if want := "/" + test.want + "/dynamodb/"; !strings.Contains(authorization, want) || !strings.Contains(authorization, "AKIDTEST/") {
				t.Errorf("%s: signed as %q, want %s", name, authorization, want)
			}
		}
		set("", "", "", "AKIDTEST")
		if _, err := make(ClientOptions{}); hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), "AWS_REGION") {
			t.Errorf("%s: without a region: %v", name, err)
		}
		set("eu-west-1", server.URL, "", "")
		client, err := make(ClientOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := rows(t, New(client, Options{Table: "telemetry"}), qN); hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID") {
			t.Errorf("%s: without credentials: %v", name, err)
		}
	}
}

// Rows go in plain text to this machine alone, wherever the endpoint is said.
func TestPlainTextStaysHere(t *testing.T) {
	const profile = "[default]\nendpoint_url = "
	for endpoint, says := range map[string]string{
		"http://127.0.0.1:8000":                  "",
		"http://localhost:8000":                  "",
		"http://[::1]:8000/":                     "",
		"https://192.0.2.7:8000":                 "",
		"https://dynamodb.eu-west-1.example.com": "",
		"http://192.0.2.7:8000":                  "http is for an emulator on this machine; check AWS_ENDPOINT_URL_DYNAMODB",
		"http://[2001:db8::7]:8000":              "http is for an emulator",
		"http://0.0.0.0:8000":                    "http is for an emulator",
		"http://dynamodb:8000":                   "http is for an emulator",
		"http://localhost.example.com":           "http is for an emulator",
		"http://user:secret@192.0.2.7":           "http is for an emulator",
		"ftp://127.0.0.1":                        "is not https",
		"192.0.2.7:8000":                         "is not a URL",
		"localhost:8000":                         "is not a URL",
	} {
		for _, c := range []struct{ given, service, general, file string }{{given: endpoint}, {service: endpoint}, {general: endpoint}, {file: endpoint}} {
			file := filepath.Join(t.TempDir(), "config")
			if err := os.WriteFile(file, []byte(profile+c.file+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			for name, value := range map[string]string{"AWS_REGION": "eu-west-1", "AWS_CONFIG_FILE": file, "AWS_SHARED_CREDENTIALS_FILE": file, "AWS_PROFILE": ""} {
				t.Setenv(name, value)
			}
			for name, value := range map[string]string{"AWS_ENDPOINT_URL_DYNAMODB": c.service, "AWS_ENDPOINT_URL": c.general} {
				t.Setenv(name, value) // so that it is set back behind the test
				if value == "" {
					os.Unsetenv(name)
				}
			}
			check := func(client string, err error) {
				if (err == nil) != (says == "") || err != nil && (hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "secret")) {
					t.Errorf("%s, %+v: %v, want %q", client, c, err, says)
				}
			}
			_, err := NewClient(t.Context(), ClientOptions{Endpoint: c.given})
			check("NewClient", err)
			if c.file == "" { // a function reads no files
				_, err = NewFunctionClient(ClientOptions{Endpoint: c.given})
				check("NewFunctionClient", err)
			}
		}
	}
}

// An answer may come at once, and its connection serves the next request too.
func TestFastAnswersKeepTheirConnection(t *testing.T) {
	var connections atomic.Int64
	page := strings.Replace(bigPage(500), `,"LastEvaluatedKey":{"device_id":{"S":"d"},"timestamp":{"S":"2024-02-28T00:00:00Z"}}`, "", 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, page) }))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDTEST")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "SECRET")
	client, err := NewFunctionClient(ClientOptions{Region: "eu-west-1", Endpoint: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	s := New(client, Options{Table: "telemetry"})
	for range 200 {
		got, err := rows(t, s, hotreader.Query{Device: "d", Properties: bigColumns})
		if err != nil || len(got) != 500 {
			t.Fatalf("%d rows, %v", len(got), err)
		}
	}
	// On a busy machine a connection may come back a moment after the next request began.
	if n := connections.Load(); n > 20 {
		t.Errorf("%d connections were opened for 200 requests, one after the other", n)
	}
}

func TestRetriesPauseShortly(t *testing.T) {
	r := awsclient.Retryer(5)
	if n := r.MaxAttempts(); n != 5 {
		t.Errorf("%d attempts, want 5", n)
	}
	for attempt, longest := range map[int]time.Duration{0: 50 * time.Millisecond, 2: 200 * time.Millisecond, 100: 5 * time.Second} {
		different := make(map[time.Duration]bool)
		for range 100 {
			pause, err := r.RetryDelay(attempt, nil)
			if err != nil || pause < 0 || pause > longest {
				t.Fatalf("attempt %d pauses %v, %v; want up to %v", attempt, pause, err, longest)
			}
			different[pause] = true
		}
		if len(different) < 50 {
			t.Errorf("attempt %d: the pauses are not spread", attempt)
		}
	}
}

// What fails is an error, and nothing else is said of it: an answer whose checksum is
// wrong made the SDK write a line to stderr.
func TestClientIsSilent(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Amz-Crc32", "1")
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"__type":"x#ResourceNotFoundException","message":"none"}`)
	}))
	defer server.Close()
	t.Setenv("AWS_ACCESS_KEY_ID", "local")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "local")
	written, stderr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	before := os.Stderr
	os.Stderr = stderr
	client, err := NewClient(t.Context(), ClientOptions{Region: "eu-central-1", Endpoint: server.URL})
	os.Stderr = before
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = New(client, Options{Table: "telemetry"}).Sample(t.Context(), "", 10)
	stderr.Close()
	if said, _ := io.ReadAll(written); hotreader.CodeOf(err) != hotreader.CodeNotFound || len(said) > 0 {
		t.Errorf("%v, and on stderr: %s", err, said)
	}
}

// An answer that goes on and on is given up, whatever the SDK makes of it.
func TestAnswersEnd(t *testing.T) {
	var status atomic.Int64
	blanks := bytes.Repeat([]byte(" "), 1<<16)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Amz-Crc32", "1")
		w.WriteHeader(int(status.Load()))
		for range 50 << 4 { // 50 MB
			if _, err := w.Write(blanks); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "SECRET", "AWS_MAX_ATTEMPTS": "1"} {
		t.Setenv(name, value)
	}
	o := ClientOptions{Region: "eu-west-1", Endpoint: server.URL}
	all, err := NewClient(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	function, err := NewFunctionClient(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		client *dynamodb.Client
		status int64
		says   string
	}{{all, 200, "larger than 32 MB"}, {all, 500, "larger than 1 MB"}, {function, 400, "larger than 1 MB"}} {
		status.Store(c.status)
		if _, _, err := New(c.client, Options{Table: "telemetry"}).Sample(t.Context(), "d", 1); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%d: %v, want %q", c.status, err, c.says)
		}
	}
}

// An answer that stops after its head ends.
func TestSilence(t *testing.T) {
	cloud.Silent(t, "application/x-amz-json-1.0", func(over http.RoundTripper) hotreader.Source {
		client, err := newClient(aws.Config{Region: "eu-west-1", HTTPClient: &http.Client{Transport: over}, Credentials: aws.AnonymousCredentials{}}, "")
		if err != nil {
			t.Fatal(err)
		}
		return New(client, Options{Table: "telemetry"})
	})
}
