package gcpfirestore

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"hotreader"
	"hotreader/store/storetest/cloud"
)

func withDetails(t testing.TB, code codes.Code, message string, details ...protoadapt.MessageV1) error {
	t.Helper()
	s, err := grpcstatus.New(code, message).WithDetails(details...)
	if err != nil {
		t.Fatal(err)
	}
	return s.Err()
}

func retryIn(d time.Duration) protoadapt.MessageV1 {
	return &errdetails.RetryInfo{RetryDelay: durationpb.New(d)}
}

func TestErrors(t *testing.T) {
	const link = "https://console.firebase.google.com/v1/r/project/my-project/firestore/indexes?create_composite=Abc_-"
	disabled := withDetails(t, codes.PermissionDenied, "Cloud Firestore API has not been used in project 1 before or it is disabled.",
		&errdetails.ErrorInfo{Reason: "SERVICE_DISABLED", Domain: "googleapis.com"})
	for _, c := range []struct {
		err    error
		code   hotreader.Code
		saying []string
		again  bool
	}{
		{grpcstatus.Error(codes.NotFound, "The database (default) does not exist for project my-project"), hotreader.CodeNotFound,
			[]string{"(default)", "my-project", "FIRESTORE_DATABASE"}, false},
		{grpcstatus.Error(codes.FailedPrecondition, "The query requires an index. You can create it here: "+link), hotreader.CodeConfig,
			[]string{"twin-hot-iot-data", "device_id ASCENDING with timestamp ASCENDING", "device_id ASCENDING with timestamp DESCENDING", link,
				"gcloud firestore indexes composite create --project=my-project --database='(default)' --collection-group=twin-hot-iot-data --field-config=field-path=device_id,order=ascending --field-config=field-path=timestamp,order=descending"}, false},
		{grpcstatus.Error(codes.FailedPrecondition, "The Cloud Firestore API is not available for Firestore in Datastore Mode database"), hotreader.CodeConfig, []string{"Datastore Mode", "my-project"}, false},
		{grpcstatus.Error(codes.PermissionDenied, "Missing or insufficient permissions."), hotreader.CodeForbidden, []string{"roles/datastore.viewer", "my-project"}, false},
		{disabled, hotreader.CodeConfig, []string{"gcloud services enable firestore.googleapis.com"}, false},
		{grpcstatus.Error(codes.Unauthenticated, "Request had invalid authentication credentials."), hotreader.CodeConfig, []string{"credentials"}, false},
		{grpcstatus.Error(codes.ResourceExhausted, "Quota exceeded."), hotreader.CodeThrottled, []string{"Quota exceeded."}, true},
		{grpcstatus.Error(codes.Unavailable, "The service is temporarily unavailable. ümlaut %"), hotreader.CodeUnavailable, []string{"temporarily", "ümlaut %"}, true},
		{grpcstatus.Error(codes.DeadlineExceeded, "slow"), hotreader.CodeUnavailable, []string{"its own time"}, true},
		{grpcstatus.Error(codes.Canceled, ""), hotreader.CodeUnavailable, []string{"CANCELLED"}, true},
		{grpcstatus.Error(codes.Aborted, "contention"), hotreader.CodeStore, []string{"ABORTED: contention"}, true},
		{grpcstatus.Error(codes.Internal, ""), hotreader.CodeStore, []string{"INTERNAL"}, true},
		{grpcstatus.Error(codes.InvalidArgument, "no"), hotreader.CodeConfig, []string{"refuses the query: no"}, false},
		{grpcstatus.Error(codes.Unimplemented, "what?"), hotreader.CodeProtocol, []string{"what?", "http://"}, false},
		{grpcstatus.Error(codes.DataLoss, "oh"), hotreader.CodeStore, []string{"DATA_LOSS"}, false},
		{grpcstatus.Error(codes.Code(77), "oh"), hotreader.CodeStore, []string{"status 77"}, false},
	} {
		f := newFake(t, answer{fail: c.err})
		if c.again {
			f.answers = append(f.answers, f.answers[0], f.answers[0], f.answers[0])
		}
		got, err := rows(t, f.store(Options{}), qN)
		cloud.WantError(t, c.err.Error(), err, c.code, append(c.saying, "firestore: query collection twin-hot-iot-data: ")...)
		if len(got) > 0 {
			t.Errorf("%v: rows %v", c.err, got)
		}
		f.done()
	}
}

func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	s := storeOf(clientOf(t, "http://"+l.Addr().String()), Options{})
	if _, err := rows(t, s, qN); hotreader.CodeOf(err) != hotreader.CodeUnavailable || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("error %v", err)
	}
	if err := s.Write(t.Context(), "d", []hotreader.Record{{Time: parse(second(0))}}); hotreader.CodeOf(err) != hotreader.CodeUnavailable {
		t.Errorf("writing: %v", err)
	}
}

// A server that does not speak HTTP/2 is an error, not a riddle.
func TestNotHTTP2(t *testing.T) {
	old := httptest.NewServer(http.NotFoundHandler())
	defer old.Close()
	if _, err := rows(t, storeOf(clientOf(t, old.URL), Options{}), qN); hotreader.CodeOf(err) != hotreader.CodeUnavailable {
		t.Errorf("error %v", err)
	}
}

func secure(t *testing.T, tokens oauth2.TokenSource, h http.HandlerFunc) (*httptest.Server, *Client) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes fail on purpose
	s.StartTLS()
	t.Cleanup(s.Close)
	c, err := NewClient(t.Context(), ClientOptions{Endpoint: s.URL, Tokens: tokens, QuotaProject: "payer"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return s, c
}

func TestCertificatesAreChecked(t *testing.T) {
	_, c := secure(t, oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "a"}), func(http.ResponseWriter, *http.Request) {
		t.Error("a request, with the token, was sent to a stranger")
	})
	if _, err := rows(t, storeOf(c, Options{}), qN); hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("error %v", err)
	}
}
