package awsdynamodb

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"hotreader"
)

// Both clients find region, credentials and endpoint in the environment, and
// what is said outright goes before it.
func TestClientsFollowTheEnvironment(t *testing.T) {
	var authorization string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authorization = r.Header.Get("Authorization")
		w.Write([]byte(pageOf("", n("2024-01-01T00:00:00Z", "1")).body))
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
			wantRows(t, New(client, Options{Table: "t"}), qN, "00:00:00 1")
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
		if _, err := rows(t, New(client, Options{Table: "t"}), qN); hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID") {
			t.Errorf("%s: without credentials: %v", name, err)
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
	s := New(client, Options{Table: "t"})
	for range 200 {
		got, err := rows(t, s, hotreader.Query{Device: "d", Properties: bigColumns})
		if err != nil || len(got) != 500 {
			t.Fatalf("%d rows, %v", len(got), err)
		}
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections were opened for one request after the other", n)
	}
}

func TestRetriesPauseShortly(t *testing.T) {
	r := newRetryer(5)
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
