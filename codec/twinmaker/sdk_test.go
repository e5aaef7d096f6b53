package twinmaker

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"hotreader"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iottwinmaker"
	"github.com/aws/aws-sdk-go-v2/service/iottwinmaker/types"
)

// sdkClient returns AWS's own client of TwinMaker, which gets body as the answer to every
// request.
func sdkClient(t *testing.T, body func() []byte) *iottwinmaker.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body())
	}))
	t.Cleanup(server.Close)
	return iottwinmaker.New(iottwinmaker.Options{
		Region:       "eu-central-1",
		BaseEndpoint: aws.String(server.URL),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "b"}, nil
		}),
		// The client puts "data." in front of the host.
		HTTPClient: &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
		}}},
	})
}

// TestHistoryThroughTheSDK reads our answers with AWS's own client, page by page
// with its own paginator, and compares each point.
func TestHistoryThroughTheSDK(t *testing.T) {
	req := machineRequest(t)
	req.MaxResults = 5
	var err error
	client := sdkClient(t, func() []byte {
		var body []byte
		if body, err = (&Responder{Reader: machine(t)}).AppendHistory(context.Background(), nil, req); err != nil {
			t.Error(err)
		}
		return body
	})
	pages := iottwinmaker.NewGetPropertyValueHistoryPaginator(client, &iottwinmaker.GetPropertyValueHistoryInput{
		WorkspaceId: aws.String("w"), SelectedProperties: req.Query.Properties,
	})
	got := make([][]any, len(req.Query.Properties))
	n := 0
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n++
		req.NextToken = aws.ToString(page.NextToken)
		for i, p := range page.PropertyValues {
			ref := p.EntityPropertyReference
			if *ref.EntityId != "press" || *ref.ComponentName != "press-1" || *ref.PropertyName != req.Query.Properties[i] {
				t.Fatalf("reference %+v", ref)
			}
			for _, v := range p.Values {
				if _, err := time.Parse(time.RFC3339Nano, *v.Time); err != nil {
					t.Error(err)
				}
				got[i] = append(got[i], sdkValue(t, v.Value))
			}
		}
	}
	if n != 5 {
		t.Errorf("%d pages; want 5", n)
	}
	want := [][]any{
		{588.168, 592.4224, -0.0005},
		{true, false},
		{int32(7), int32(7), int32(-7)},
		{"run", "idle"},
		{int64(9007199254740993), int64(-9223372036854775808), int64(17), int64(1)},
	}
	want[3][1] = strings.ToValidUTF8(string(machine(t).rows[1].Values[4].Text()), "\ufffd")
	for i := range want {
		if i == 3 { // a run of bad bytes may become one mark or several
			for j, v := range got[i] {
				got[i][j] = strings.ReplaceAll(v.(string), "\ufffd\ufffd", "\ufffd")
			}
		}
		if !slices.Equal(got[i], want[i]) {
			t.Errorf("%s: %#v; want %#v", req.Query.Properties[i], got[i], want[i])
		}
	}
}

func sdkValue(t *testing.T, v *types.DataValue) any {
	t.Helper()
	switch {
	case v == nil:
		t.Fatal("a point without a value")
	case v.DoubleValue != nil:
		return *v.DoubleValue
	case v.IntegerValue != nil:
		return *v.IntegerValue
	case v.LongValue != nil:
		return *v.LongValue
	case v.BooleanValue != nil:
		return *v.BooleanValue
	case v.StringValue != nil:
		return *v.StringValue
	}
	t.Fatalf("value %+v", v)
	return nil
}

func TestLastEntryThroughTheSDK(t *testing.T) {
	req := machineRequest(t)
	req.Query.Properties = append(req.Query.Properties, "nobody-has-it")
	req.Query.Types = append(req.Query.Types, hotreader.Double)
	client := sdkClient(t, func() []byte {
		body, err := (&Responder{Reader: machine(t)}).AppendLastEntry(context.Background(), nil, req)
		if err != nil {
			t.Error(err)
		}
		return body
	})
	out, err := client.GetPropertyValue(t.Context(), &iottwinmaker.GetPropertyValueInput{WorkspaceId: aws.String("w"), SelectedProperties: req.Query.Properties})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"temperature": -0.0005, "running": false, "cycles": int32(-7), "total": int64(1)}
	for name, v := range want {
		p := out.PropertyValues[name]
		if p.PropertyReference == nil || *p.PropertyReference.PropertyName != name || sdkValue(t, p.PropertyValue) != v {
			t.Errorf("%s: %+v", name, p)
		}
	}
	if len(out.PropertyValues) != 5 {
		t.Errorf("%d properties; want 5", len(out.PropertyValues))
	}
}
