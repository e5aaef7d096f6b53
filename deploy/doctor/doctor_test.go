package doctor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/messages"

	"hotreader"
	"hotreader/catalog"
	"hotreader/codec/twinmaker"
	"hotreader/config"
	"hotreader/deploy/doctor"
	"hotreader/deploy/topology"
	"hotreader/function"
	"hotreader/function/awslambda"
	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/layout"
	"hotreader/remote"
	"hotreader/route"
	"hotreader/store/memstore"
)

const (
	right = "right-0123456789abcdef0123456789abcdef"
	other = "other-0123456789abcdef0123456789abcdef"
)

var today = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// link is a deployed link, of the programs' own handlers, to be broken.
type link struct {
	l3, l4 config.Cloud

	store    hotreader.Source // hot storage
	apiToken string           // of the API's secret
	api      http.Handler     // instead of the API; nil = it
	apiURL   string           // where the API is; "" = its server

	readerToken string
	readerURL   string                    // REMOTE_READER_URL; "" = the API's
	reader      http.Handler              // instead of the reader's server; nil = it
	functions   map[string]lambda.Handler // more functions on AWS; nil = not there
	catalog     *catalog.Catalog          // in the packages; nil = none

	identity string // of the project
}

// failing is a store that fails.
type failing struct{ code hotreader.Code }

func (f failing) Scan(context.Context, hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		yield(hotreader.Row{}, &hotreader.Error{Op: "store", Code: f.code})
	}
}

// strange is a store whose items have other properties than those asked for.
type strange struct{}

func (strange) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(func(hotreader.Row, error) bool) {
		for _, p := range q.Properties {
			hotreader.StatsOf(ctx).Warn(hotreader.Warning{Reason: hotreader.UnknownProperty, Property: p, Detail: "the newest has payload"})
		}
	}
}

// nested is a store of whose items the layout finds one property.
type nested struct{ hotreader.Source }

func (n nested) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	if slices.Contains(q.Properties, "running") {
		hotreader.StatsOf(ctx).Warn(hotreader.Warning{Reason: hotreader.UnknownProperty, Property: "running", Detail: "the newest has payload"})
	}
	return n.Source.Scan(ctx, q)
}

// emptied is a store whose partitions of late are empty.
type emptied struct{}

func (emptied) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(func(hotreader.Row, error) bool) {
		hotreader.StatsOf(ctx).Warn(hotreader.Warning{Reason: hotreader.LookBackEnded, Detail: "400 were looked into"})
	}
}

// frozen is a store that does not answer before its caller gives up.
type frozen struct{}

func (frozen) Scan(ctx context.Context, _ hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(func(hotreader.Row, error) bool) { <-ctx.Done() }
}

func filled(t *testing.T) *memstore.Store {
	s := memstore.New()
	err := s.Write(t.Context(), "pump-7", []hotreader.Record{{Time: today, Fields: []hotreader.Field{
		{Name: "temperature", Value: hotreader.NumberValue([]byte("61.5"))}, {Name: "running", Value: hotreader.BoolValue(true)}}}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func token(t *testing.T, text string) *identity.Token {
	s, err := identity.Static(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func server(t *testing.T, h http.Handler) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// closed is the URL of a server that is gone.
func closed() string {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	return s.URL
}

func must(t *testing.T, h http.Handler, err error) http.Handler {
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// run builds the link and examines it.
func (l *link) run(t *testing.T, change func(*doctor.Input)) doctor.Report {
	p := &config.Project{Twin: "factory", L3: l.l3, L4: l.l4, Options: config.Options{Identity: l.identity}}
	top, err := topology.New(p)
	if err != nil {
		t.Fatal(err)
	}
	deployed := map[config.Cloud]doctor.Deployed{}
	apiURL := l.apiURL
	if l.l3 != l.l4 && apiURL == "" {
		if l.api == nil {
			h, err := httpapi.New(httpapi.Options{Source: l.store, Catalog: l.catalog, Token: token(t, l.apiToken)})
			l.api = must(t, h, err)
		}
		apiURL = server(t, l.api)
	}
	if l.l3 != l.l4 {
		deployed[l.l3] = doctor.Deployed{URL: apiURL, Store: "table factory-hot-iot-data"}
	}
	d := doctor.Deployed{Region: "eu-central-1"}
	if l.l3 == l.l4 {
		d.Store = "table factory-hot-iot-data"
	}
	readerURL := l.readerURL
	if readerURL == "" {
		readerURL = apiURL
	}
	if l.l4 == config.AWS {
		d.LambdaURL = server(t, l.lambda(t, readerURL))
	} else {
		if l.reader == nil {
			f := &config.Function{Role: config.API, L3: l.l3, L4: l.l4, Remote: l.l3 != l.l4, RemoteURL: readerURL}
			h, err := function.Parts{Local: func() (hotreader.Source, error) { return l.store, nil }, Identity: function.Identity{Token: token(t, l.readerToken)}, Program: "test", Catalog: l.catalog}.API(f, httpapi.Options{})
			l.reader = must(t, h, err)
		}
		d.URL = server(t, l.reader)
	}
	deployed[l.l4] = d
	in := doctor.Input{Topology: top, Project: "factory", Deployed: deployed, Timeout: 10 * time.Second,
		Now:    time.Now,
		Device: doctor.DeviceOf(p, config.Device{ID: "pump-7", Properties: []config.Property{{Name: "temperature", Type: "DOUBLE"}, {Name: "running", Type: "BOOLEAN"}}})}
	if top.Connection != "" {
		in.Link = &doctor.Link{Provider: l.l3, URL: deployed[l.l3].URL, Token: token(t, right), RotatedAt: time.Now().Add(-time.Hour)}
	}
	if change != nil {
		change(&in)
	}
	return doctor.Run(t.Context(), in)
}

// lambda is AWS Lambda with the two readers.
func (l *link) lambda(t *testing.T, url string) http.Handler {
	reader := l.store
	if l.l3 != l.l4 {
		far, err := remote.New(remote.Options{URL: url, Credential: token(t, l.readerToken), SourceCloud: "aws"})
		if err != nil {
			t.Fatal(err)
		}
		reader = far
	}
	twin := awslambda.Twin{Devices: twinmaker.Devices{Twin: "factory", Catalog: l.catalog}, Responder: twinmaker.Responder{Reader: hotreader.NewReader(reader)}}
	functions := map[string]lambda.Handler{
		"factory-hot-reader": awslambda.History(twin), "factory-hot-reader-last-entry": awslambda.LastEntry(twin)}
	maps.Copy(functions, l.functions)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.Split(r.URL.Path, "/")[3]
		h := functions[name]
		if h == nil {
			w.Header().Set("X-Amzn-Errortype", "ResourceNotFoundException")
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprintf(w, `{"Type":"User","Message":"Function not found: %s"}`, name)
			return
		}
		event, _ := io.ReadAll(r.Body)
		answer, err := h.Invoke(r.Context(), event)
		if err != nil {
			w.Header().Set("X-Amz-Function-Error", "Unhandled")
			failure, ok := err.(messages.InvokeResponse_Error)
			if !ok {
				t.Errorf("%s fails with a %T", name, err)
			}
			answer, _ = json.Marshal(map[string]string{"errorType": failure.Type, "errorMessage": failure.Message})
		}
		_, _ = w.Write(answer)
	})
}

// crashed is a function that does not start.
type crashed struct{ kind, message string }

func (c crashed) Invoke(context.Context, []byte) ([]byte, error) {
	return nil, messages.InvokeResponse_Error{Type: c.kind, Message: c.message}
}

func page(status int, kind, text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		fmt.Fprint(w, text)
	})
}

var nginx = page(200, "text/html", "<!DOCTYPE html><html><head><title>Welcome to nginx!</title></head></html>")

// Each component is broken in each known manner, and the doctor must name it.
func TestDoctorNamesTheBrokenComponent(t *testing.T) {
	const aws, azure, gcp = config.AWS, config.Azure, config.GCP
	open := func(l *link, t *testing.T) { // the token is not looked at
		h, err := httpapi.New(httpapi.Options{Source: l.store, Token: token(t, right)})
		inner := must(t, h, err)
		l.api = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set(identity.TokenHeader, right)
			inner.ServeHTTP(w, r)
		})
	}
	anotherAPI := func(l *link, t *testing.T) { // with the same token, and other hot storage
		h, err := httpapi.New(httpapi.Options{Source: memstore.New(), Token: token(t, right)})
		l.readerURL = server(t, must(t, h, err))
	}
	half := func(l *link, t *testing.T) {
		s := memstore.New()
		if err := s.Write(t.Context(), "pump-7", []hotreader.Record{{Time: today, Fields: []hotreader.Field{{Name: "temperature", Value: hotreader.NumberValue([]byte("61.5"))}}}}); err != nil {
			t.Fatal(err)
		}
		l.store = nested{s}
		l.catalog, _ = catalog.Of([]catalog.Device{{ID: "pump-7", Properties: []catalog.Property{{Name: "temperature"}, {Name: "running"}}}})
	}
	typed := func(l *link, _ *testing.T) {
		l.catalog, _ = catalog.Of([]catalog.Device{{ID: "pump-7", Properties: []catalog.Property{{Name: "temperature", Type: hotreader.Integer}}}})
	}
	older := func(l *link, t *testing.T) { // than the newest, which is a fraction
		typed(l, t)
		if err := l.store.(*memstore.Store).Write(t.Context(), "pump-7", []hotreader.Record{{Time: today.Add(-time.Hour), Fields: []hotreader.Field{{Name: "temperature", Value: hotreader.Int64Value(60)}}}}); err != nil {
			t.Fatal(err)
		}
	}
	whole := func(in *doctor.Input) {
		in.Device.Properties, in.Device.Types = []string{"temperature"}, []hotreader.Type{hotreader.Integer}
	}
	down := func(l *link, _ *testing.T) { l.apiURL = closed() }
	hasty := func(in *doctor.Input) { in.Timeout = 500 * time.Millisecond }
	for _, c := range []struct {
		name     string
		l4, l3   config.Cloud
		breaking func(*link, *testing.T)
		told     func(*doctor.Input)
		broken   []string
		says     string // in what is wrong, or what to do
	}{
		{name: "nothing", l4: aws, l3: azure},
		{name: "nothing, without the other way", l4: azure, l3: aws},
		{name: "nothing, behind a web ACL", l4: aws, l3: azure, breaking: func(l *link, t *testing.T) {
			h, err := httpapi.New(httpapi.Options{Source: l.store, Token: token(t, right)})
			inner := must(t, h, err)
			l.api = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost && r.Header.Get(identity.TokenHeader) == "" {
					page(403, "application/problem+json", `{"code":"forbidden","status":403}`).ServeHTTP(w, r)
					return
				}
				inner.ServeHTTP(w, r)
			})
		}, says: "403 without a token, from the web ACL"},
		{name: "nothing, on one cloud", l4: aws, l3: aws},
		{name: "nothing, by HTTP on one cloud", l4: gcp, l3: gcp},
		{name: "nothing but data", l4: aws, l3: azure, breaking: func(l *link, _ *testing.T) { l.store = memstore.New() }, says: "holds nothing of pump-7"},
		{name: "nothing in dated partitions", l4: aws, l3: aws, breaking: func(l *link, _ *testing.T) { l.store = emptied{} }, says: "warning reader on aws: latest values of pump-7: it answers, but table factory-hot-iot-data holds nothing of pump-7, as far as it looked: no property"},
		{name: "nothing in dated partitions elsewhere", l4: aws, l3: azure, breaking: func(l *link, _ *testing.T) { l.store = emptied{} }, says: "holds nothing of pump-7"},
		{name: "nothing but data, by HTTP", l4: gcp, l3: azure, breaking: func(l *link, _ *testing.T) { l.store = memstore.New() }, says: "holds nothing of pump-7"},

		{name: "a property", l4: aws, l3: azure, breaking: half, says: "warning hot storage on azure: latest values of pump-7: 1 of 2 properties; none of: running; running: no item that was looked at has this property; the newest has payload () right if"},
		{name: "a property, by HTTP", l4: gcp, l3: azure, breaking: half, says: "ok reader on gcp: latest values of pump-7: 1 of 2 properties; none of: running ()"},
		{name: "a property, on one cloud", l4: aws, l3: aws, breaking: half, says: "warning reader on aws: latest values of pump-7: 1 of 2 properties; none of: running; running: no item that was looked at has this property; the newest has payload () right if the device does not send them"},
		{name: "a property, by HTTP on one cloud", l4: gcp, l3: gcp, breaking: half, says: "warning hot storage on gcp: latest values of pump-7: 1 of 2 properties; none of: running; running: no item that was looked at has this property; the newest has payload"},

		{name: "an older latest value, on one cloud", l4: aws, l3: aws, breaking: older, told: whole, says: "warning reader on aws: latest values of pump-7: 1 of 1 properties; wrong_type: temperature: 1 value left out, not of the property's type; the type is INTEGER, what is stored is DOUBLE; declared as DOUBLE, no number would be left out () declare in config_iot_devices.json"},
		{name: "an older latest value", l4: aws, l3: azure, breaking: older, told: whole, says: "warning hot storage on azure: latest values of pump-7: 1 of 1 properties; wrong_type: temperature: 1 value"},
		{name: "an older latest value, by HTTP on one cloud", l4: gcp, l3: gcp, breaking: older, told: whole, says: "the type is INTEGER, what is stored is DOUBLE"},
		{name: "an older latest value, in the history", l4: aws, l3: aws, breaking: older, told: whole, says: "warning reader on aws: history of pump-7: wrong_type: temperature: 1 value left out, not of the property's type; the type is INTEGER, what is stored is DOUBLE; declared as DOUBLE, no number would be left out ()"},
		{name: "a wrong type, on one cloud", l4: aws, l3: aws, told: whole, broken: []string{"config_iot_devices.json"}, says: "the type is INTEGER, what is stored is DOUBLE; declared as DOUBLE, no number would be left out () declare in config_iot_devices.json the types that are stored, and no texts that are too long; then hotreader deploy --project factory"},
		{name: "a wrong type", l4: aws, l3: azure, told: whole, broken: []string{"config_iot_devices.json"}, says: "what is stored is DOUBLE"},
		{name: "a wrong type, by HTTP", l4: gcp, l3: azure, breaking: typed, told: whole, broken: []string{"config_iot_devices.json"}, says: "what is stored is DOUBLE"},

		{name: "layout", l4: aws, l3: azure, breaking: func(l *link, _ *testing.T) { l.store = strange{} }, broken: []string{"hot storage on azure"}, says: "the newest has payload"},
		{name: "layout, by HTTP", l4: gcp, l3: azure, breaking: func(l *link, _ *testing.T) { l.store = strange{} }, broken: []string{"hot storage on azure"}, says: "the newest has payload"},
		{name: "layout, by HTTP on one cloud", l4: gcp, l3: gcp, breaking: func(l *link, _ *testing.T) { l.store = strange{} }, broken: []string{"hot storage on gcp"}, says: "set the layout"},

		{name: "nothing but the first document", l4: aws, l3: gcp, breaking: func(l *link, _ *testing.T) { l.store = failing{hotreader.CodeNotFound} }, says: "holds no document yet"},
		{name: "nothing but the first document, by HTTP", l4: azure, l3: gcp, breaking: func(l *link, _ *testing.T) { l.store = failing{hotreader.CodeNotFound} }, says: "holds no document yet"},
		{name: "nothing but the first document, on one cloud", l4: gcp, l3: gcp, breaking: func(l *link, _ *testing.T) { l.store = failing{hotreader.CodeNotFound} }, says: "holds no document yet"},

		{name: "no connection", l4: aws, l3: azure, told: func(in *doctor.Input) { in.Link = nil }, broken: []string{"credentials file"}, says: "deploy --only azure"},
		{name: "connection to another cloud", l4: aws, l3: azure, told: func(in *doctor.Input) { in.Link.Provider = gcp }, broken: []string{"credentials file"}, says: "config_providers.json says azure"},
		{name: "connection of an older deployment", l4: aws, l3: azure, told: func(in *doctor.Input) { in.Link.URL = "https://gone.example" }, broken: []string{"credentials file"}, says: "what was deployed is at"},
		{name: "no token in the file", l4: aws, l3: azure, told: func(in *doctor.Input) { in.Link.Token = nil }, broken: []string{"credentials file"}, says: "no token"},
		{name: "another token in the file", l4: aws, l3: azure, breaking: func(l *link, _ *testing.T) { l.apiToken, l.readerToken = other, other }, broken: []string{"credentials file"}, says: "not the one that the deployed functions have"},
		{name: "another token in the file, by HTTP", l4: gcp, l3: azure, breaking: func(l *link, _ *testing.T) { l.apiToken, l.readerToken = other, other }, broken: []string{"credentials file"}, says: "not the one that the deployed functions have"},
		{name: "old token", l4: aws, l3: azure, told: func(in *doctor.Input) { in.Link.RotatedAt = time.Now().AddDate(-1, 0, 0) }, says: "token rotate"},
		{name: "rotation under way", l4: aws, l3: azure, breaking: func(l *link, _ *testing.T) { l.apiToken = right + "," + other }, told: func(in *doctor.Input) {
			in.Link.Previous, _ = identity.Static(other)
		}, says: "a rotation has not ended"},
		{name: "rotation under way, by the team of hot storage", l4: gcp, l3: azure, breaking: func(l *link, _ *testing.T) { l.apiToken = right + "," + other }, told: func(in *doctor.Input) {
			in.Link.Previous, _ = identity.Static(other)
			delete(in.Deployed, gcp)
		}, broken: []string{"reader on gcp"}, says: "--finish --only azure"},

		{name: "API stopped", l4: aws, l3: azure, breaking: down, broken: []string{"API on azure"}, says: "refused"},
		{name: "API stopped, by HTTP", l4: azure, l3: aws, breaking: down, broken: []string{"API on aws"}, says: "refused"},
		{name: "garbage instead of the API", l4: aws, l3: azure, breaking: func(l *link, _ *testing.T) { l.api = nginx }, broken: []string{"API on azure"}, says: `a web page (HTML) titled "Welcome to nginx!"`},
		{name: "noise instead of the API", l4: aws, l3: azure, breaking: func(l *link, _ *testing.T) { l.api = page(200, "", "\x00\xff\x1b[2J") }, broken: []string{"API on azure"}, says: `begins with "\x00`},
		{name: "nothing instead of the API", l4: aws, l3: azure, breaking: func(l *link, _ *testing.T) { l.api = page(200, "", "") }, broken: []string{"API on azure"}, says: "status 200 and nothing else"},
		{name: "a login page before the API", l4: aws, l3: azure, breaking: func(l *link, _ *testing.T) { l.api = http.RedirectHandler("https://login.example/", http.StatusFound) }, broken: []string{"API on azure"}, says: `redirect to "https://login.example/"`},
		{name: "API's function down", l4: azure, l3: aws, breaking: func(l *link, _ *testing.T) {
			l.api = page(502, "application/json", `{"message": "Internal server error"}`)
		}, broken: []string{"API on aws"}, says: "its function fails"},
		{name: "another speaker behind a good description", l4: aws, l3: azure, breaking: func(l *link, _ *testing.T) {
			l.api = page(200, "application/json", `{"openapi":"3.1.0","info":{"title":"Hot Reader API"}}`)
		}, broken: []string{"API on azure"}, says: "must answer 401"},
		{name: "API open to everybody", l4: aws, l3: azure, breaking: open, broken: []string{"API on azure"}, says: "everybody can read"},
		{name: "another token in the API's secret", l4: aws, l3: azure, breaking: func(l *link, _ *testing.T) { l.apiToken = other }, broken: []string{"API on azure"}, says: "rejects the credentials file's token"},
		{name: "another token in the API's secret, by HTTP", l4: gcp, l3: azure, breaking: func(l *link, _ *testing.T) { l.apiToken = other }, broken: []string{"API on azure"}, says: "rejects the credentials file's token"},
		{name: "API set up wrongly", l4: aws, l3: azure, breaking: func(l *link, _ *testing.T) { l.store = failing{hotreader.CodeConfig} }, broken: []string{"API on azure"}, says: "set up wrongly"},

		{name: "table dropped", l4: aws, l3: azure, breaking: func(l *link, _ *testing.T) { l.store = failing{hotreader.CodeNotFound} }, broken: []string{"hot storage on azure"}, says: "table factory-hot-iot-data is not there"},
		{name: "table dropped, by HTTP", l4: gcp, l3: azure, breaking: func(l *link, _ *testing.T) { l.store = failing{hotreader.CodeNotFound} }, broken: []string{"hot storage on azure"}, says: "is not there"},
		{name: "table dropped, on one cloud", l4: aws, l3: aws, breaking: func(l *link, _ *testing.T) { l.store = failing{hotreader.CodeNotFound} }, broken: []string{"hot storage on aws"}, says: "is not there"},
		{name: "table dropped, by HTTP on one cloud", l4: azure, l3: azure, breaking: func(l *link, _ *testing.T) { l.store = failing{hotreader.CodeNotFound} }, broken: []string{"hot storage on azure"}, says: "is not there"},
		{name: "no permission on the table", l4: aws, l3: azure, breaking: func(l *link, _ *testing.T) { l.store = route.TranslateRefusals(failing{hotreader.CodeForbidden}) }, broken: []string{"hot storage on azure"}, says: "if it names a permission"},
		{name: "no permission, on one cloud", l4: aws, l3: aws, breaking: func(l *link, _ *testing.T) { l.store = failing{hotreader.CodeForbidden} }, broken: []string{"hot storage on aws"}, says: "not allowed to query"},
		{name: "store down", l4: aws, l3: azure, breaking: func(l *link, _ *testing.T) { l.store = failing{hotreader.CodeUnavailable} }, broken: []string{"hot storage on azure"}, says: "look at the function's log for"},

		{name: "store frozen", l4: aws, l3: azure, breaking: func(l *link, _ *testing.T) { l.store = frozen{} }, told: hasty, broken: []string{"hot storage on azure"}, says: "table factory-hot-iot-data: that hangs, or needs longer"},
		{name: "store frozen, by HTTP", l4: gcp, l3: azure, breaking: func(l *link, _ *testing.T) { l.store = frozen{} }, told: hasty, broken: []string{"hot storage on azure"}, says: "a longer --timeout"},
		{name: "store frozen, by HTTP on one cloud", l4: gcp, l3: gcp, breaking: func(l *link, _ *testing.T) { l.store = frozen{} }, told: hasty, broken: []string{"hot storage on gcp"}, says: "that hangs"},
		{name: "store frozen, on one cloud", l4: aws, l3: aws, breaking: func(l *link, _ *testing.T) { l.store = frozen{} }, told: hasty, broken: []string{"reader on aws"}, says: "it is unknown whether the reader hangs or waits for table factory-hot-iot-data"},
		{name: "the way to the API frozen", l4: gcp, l3: azure, breaking: func(l *link, t *testing.T) {
			l.readerURL = server(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // else the server does not see that the caller has gone
				<-r.Context().Done()
			}))
		}, told: hasty, broken: []string{"reader on gcp"}, says: "waits for the API on azure"},

		{name: "another token in the reader's secret", l4: aws, l3: azure, breaking: func(l *link, _ *testing.T) { l.readerToken = other }, broken: []string{"reader on aws"}, says: "the reader's secret holds another one"},
		{name: "another token in the reader's secret, by HTTP", l4: gcp, l3: azure, breaking: func(l *link, _ *testing.T) { l.readerToken = other }, broken: []string{"reader on gcp"}, says: "its secret holds another one than the API's"},
		{name: "another token in the reader's secret, on one cloud", l4: gcp, l3: gcp, breaking: func(l *link, _ *testing.T) { l.readerToken = other }, broken: []string{"reader on gcp"}, says: "rejects the credentials file's token"},
		{name: "wrong URL in the reader", l4: aws, l3: azure, breaking: func(l *link, _ *testing.T) { l.readerURL = closed() }, broken: []string{"reader on aws"}, says: "does not get through to the API"},
		{name: "wrong URL in the reader, by HTTP", l4: gcp, l3: azure, breaking: func(l *link, _ *testing.T) { l.readerURL = closed() }, broken: []string{"reader on gcp"}, says: "does not get through to the API"},
		{name: "a web page at the reader's URL", l4: aws, l3: azure, breaking: func(l *link, t *testing.T) { l.readerURL = server(t, nginx) }, broken: []string{"reader on aws"}, says: "REMOTE_READER_URL must be"},
		{name: "no such path at the reader's URL", l4: aws, l3: azure, breaking: func(l *link, t *testing.T) { l.readerURL = server(t, http.NotFoundHandler()) }, broken: []string{"reader on aws"}, says: "REMOTE_READER_URL must be"},
		{name: "another API at the reader's URL", l4: aws, l3: azure, breaking: anotherAPI, broken: []string{"reader on aws"}, says: "it asks another one"},
		{name: "another API at the reader's URL, by HTTP", l4: gcp, l3: azure, breaking: anotherAPI, broken: []string{"reader on gcp"}, says: "it asks another one"},
		{name: "no functions", l4: aws, l3: azure, breaking: func(l *link, _ *testing.T) {
			l.functions = map[string]lambda.Handler{"factory-hot-reader": nil, "factory-hot-reader-last-entry": nil}
		}, broken: []string{"reader on aws"}, says: "there is no function factory-hot-reader"},
		{name: "no last-entry function", l4: aws, l3: aws, breaking: func(l *link, _ *testing.T) {
			l.functions = map[string]lambda.Handler{"factory-hot-reader-last-entry": nil}
		}, broken: []string{"reader on aws"}, says: "there is no function factory-hot-reader-last-entry"},
		{name: "function crashes", l4: aws, l3: azure, breaking: func(l *link, _ *testing.T) {
			l.functions = map[string]lambda.Handler{"factory-hot-reader": crashed{"Runtime.ExitError", "RequestId: 1 Error: Runtime exited with error: exit status 1"}}
		}, broken: []string{"reader on aws"}, says: "does not start or was ended"},
		{name: "function's environment is wrong", l4: aws, l3: azure, breaking: func(l *link, _ *testing.T) {
			l.functions = map[string]lambda.Handler{"factory-hot-reader": crashed{"HotReader.Config", "environment of the Lambda function: 1 to be changed\nREMOTE_READER_URL: is not set"}}
		}, broken: []string{"reader on aws"}, says: "does not start: HotReader.Config"},
		{name: "another function under the name", l4: aws, l3: azure, breaking: func(l *link, _ *testing.T) {
			l.functions = map[string]lambda.Handler{"factory-hot-reader": hello{}}
		}, broken: []string{"reader on aws"}, says: "something else than TwinMaker's JSON"},
		{name: "Lambda not reached", l4: aws, l3: azure, told: func(in *doctor.Input) {
			d := in.Deployed[aws]
			d.LambdaURL = closed()
			in.Deployed[aws] = d
		}, broken: []string{"reader on aws"}, says: "AWS Lambda is not reached"},
		{name: "reader stopped", l4: gcp, l3: azure, told: func(in *doctor.Input) { in.Deployed[gcp] = doctor.Deployed{URL: closed()} }, broken: []string{"reader on gcp"}, says: "refused"},
		{name: "reader not deployed", l4: gcp, l3: azure, told: func(in *doctor.Input) { delete(in.Deployed, gcp) }, broken: []string{"reader on gcp"}, says: "deploy --only gcp"},
		{name: "garbage instead of the reader", l4: gcp, l3: azure, breaking: func(l *link, _ *testing.T) { l.reader = nginx }, broken: []string{"reader on gcp"}, says: "Welcome to nginx!"},

		{name: "two components", l4: gcp, l3: azure, breaking: func(l *link, _ *testing.T) { l.apiURL = closed() }, told: func(in *doctor.Input) {
			in.Deployed[gcp] = doctor.Deployed{URL: closed()}
		}, broken: []string{"API on azure", "reader on gcp"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := &link{l3: c.l3, l4: c.l4, store: filled(t), apiToken: right, readerToken: right}
			if c.breaking != nil {
				c.breaking(l, t)
			}
			r := l.run(t, c.told)
			text, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			if r.OK != (c.broken == nil) || !slices.Equal(r.Broken, append([]string{}, c.broken...)) {
				t.Errorf("ok %v, broken %q; want %q\n%s", r.OK, r.Broken, c.broken, lines(r))
			}
			if says := lines(r); !strings.Contains(says, c.says) {
				t.Errorf("%q is not said:\n%s", c.says, says)
			}
			for _, secret := range []string{right, other} {
				if bytes.Contains(text, []byte(secret)) {
					t.Errorf("a token is shown: %s", text)
				}
			}
			for _, check := range r.Checks {
				if check.Verdict == doctor.Failed && check.Remedy == "" && check.Behind == "" {
					t.Errorf("%s, %s: no remedy", check.Component(), check.Name)
				}
				if check.Verdict == doctor.Warning && c.says == "" {
					t.Errorf("%s, %s: %s", check.Component(), check.Name, check.Says)
				}
			}
		})
	}
}

// hello is some other function.
type hello struct{}

func (hello) Invoke(context.Context, []byte) ([]byte, error) {
	return []byte(`{"statusCode":200}`), nil
}

func lines(r doctor.Report) string {
	var b strings.Builder
	for _, c := range r.Checks {
		fmt.Fprintf(&b, "%s %s: %s: %s (%s) %s\n", c.Verdict, c.Component(), c.Name, c.Says, c.Behind, c.Remedy)
	}
	return b.String()
}

// A component's name and an entity's ID are such that TwinMaker takes, whatever the device's.
func TestEventNamesTheComponent(t *testing.T) {
	p := &config.Project{Days: 7, Options: config.Options{Settings: config.Settings{Layout: layout.Layout{Partition: "{device}#{yyyy-MM-dd}"}}}}
	dated := doctor.DeviceOf(p, config.Device{ID: "d", Properties: []config.Property{{Name: "a"}}})
	for _, event := range [][]byte{doctor.Event("hall", dated, config.History, 1, today), doctor.FleetEvent("hall", dated, today)} {
		if !strings.Contains(string(event), `"startTime": "2026-02-23T12:00:00Z"`) { // each date is a read
			t.Errorf("%s", event)
		}
	}
	for id, names := range map[string][2]string{"line5:filler-1": {"line5_filler-1", "line5:filler-1"}, "acme/boiler-1": {"acme_boiler-1", "acme_boiler-1"}} {
		event := string(doctor.Event("hall", doctor.Device{ID: id, Properties: []string{"level"}}, config.LastEntry, 1, time.Now()))
		if !strings.Contains(event, `"componentName": "`+names[0]+`"`) || !strings.Contains(event, `"entityId": "`+names[1]+`"`) {
			t.Error(event)
		}
	}
}

// Every component is asked in a link that is well, with data in every answer.
func TestDoctorAsksEveryComponent(t *testing.T) {
	for _, c := range []struct {
		l4, l3 config.Cloud
		want   string
	}{
		{config.AWS, config.AWS, "reader on aws: latest values of pump-7, reader on aws: history of pump-7"},
		{config.AWS, config.GCP, "credentials file: written, credentials file: URL, credentials file: token's age, API on gcp: reached, API on gcp: closed to strangers, API on gcp: takes the token, " +
			"hot storage on gcp: latest values of pump-7, reader on aws: latest values of pump-7, reader on aws: history of pump-7"},
		{config.GCP, config.AWS, "credentials file: written, credentials file: URL, credentials file: token's age, API on aws: reached, API on aws: closed to strangers, API on aws: takes the token, " +
			"hot storage on aws: latest values of pump-7, reader on gcp: reached, reader on gcp: closed to strangers, reader on gcp: latest values of pump-7, reader on gcp: history of pump-7"},
		{config.Azure, config.Azure, "credentials file: written, credentials file: URL, credentials file: token's age, reader on azure: reached, reader on azure: closed to strangers, reader on azure: takes the token, " +
			"hot storage on azure: latest values of pump-7, reader on azure: history of pump-7"},
	} {
		r := (&link{l3: c.l3, l4: c.l4, store: filled(t), apiToken: right, readerToken: right}).run(t, nil)
		var got []string
		for _, check := range r.Checks {
			got = append(got, check.Component()+": "+check.Name)
			if check.Verdict != doctor.OK {
				t.Errorf("%s of %s: %s: %s", c.l4, c.l3, check.Name, check.Says)
			}
		}
		if text := strings.Join(got, ", "); text != c.want {
			t.Errorf("%s of %s:\n%s\nwant\n%s", c.l4, c.l3, text, c.want)
		}
	}
}

// A component type that devices share is asked about as TwinMaker asks: for its alarms,
// if it has one.
func TestDoctorAsksASharedType(t *testing.T) {
	of := func(id, kind string, p ...config.Property) config.Device {
		return config.Device{ID: id, Type: kind, Properties: append(p, config.Property{Name: "temperature", Type: "DOUBLE"})}
	}
	alarm := config.Property{Name: "status", Type: "STRING", Alarm: true}
	p := &config.Project{Devices: []config.Device{of("pump-7", ""), of("valve-1", "valve"), of("mixer-1", "mixer", alarm), of("mixer-2", "mixer", alarm)}}
	knows := func(n int) *catalog.Catalog {
		c, err := catalog.Of(p.Catalog()[:n])
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for _, c := range []struct {
		name    string
		devices int // of p
		catalog *catalog.Catalog
		last    string
	}{
		{"an alarm", 4, knows(4), "ok reader on aws: alarms of the type mixer:  () "},
		{"no alarm", 2, knows(4), "ok reader on aws: history of the type valve: no value () "},
		{"no type", 1, knows(4), "ok reader on aws: history of pump-7:  () "},
		{"a type that the function does not know", 4, knows(2), `componentTypeId "factory-mixer" is of no device of the catalogue`},
	} {
		store := filled(t)
		if err := store.Write(t.Context(), "mixer-2", []hotreader.Record{{Time: today, Fields: []hotreader.Field{{Name: "status", Value: hotreader.StringValue([]byte("ACTIVE"))}}}}); err != nil {
			t.Fatal(err)
		}
		r := (&link{l3: config.AWS, l4: config.AWS, store: store, catalog: c.catalog}).run(t, func(in *doctor.Input) {
			in.Shared = doctor.Shared(&config.Project{Devices: p.Devices[:c.devices]})
		})
		all := strings.Split(strings.TrimSuffix(lines(r), "\n"), "\n")
		if last := all[len(all)-1]; last != c.last && !strings.Contains(last, c.last) {
			t.Errorf("%s: %q; want %q", c.name, last, c.last)
		}
	}
}

// A certificate of an unknown server.
func TestDoctorNamesACertificate(t *testing.T) {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	l := &link{l3: config.Azure, l4: config.AWS, store: filled(t), apiToken: right, readerToken: right, apiURL: s.URL}
	r := l.run(t, nil)
	if !slices.Equal(r.Broken, []string{"API on azure"}) || !strings.Contains(lines(r), "certificate does not hold") {
		t.Errorf("%q\n%s", r.Broken, lines(r))
	}
	l = &link{l3: config.Azure, l4: config.AWS, store: filled(t), apiToken: right, readerToken: right, apiURL: strings.Replace(server(t, nginx), "http:", "https:", 1)}
	if r := l.run(t, nil); !strings.Contains(lines(r), "does not speak TLS") {
		t.Errorf("%q\n%s", r.Broken, lines(r))
	}
}

// What the functions call their failures is what the doctor knows.
func TestDoctorKnowsEveryFailure(t *testing.T) {
	for _, code := range hotreader.Codes() {
		l := &link{l3: config.AWS, l4: config.AWS, store: failing{code}}
		r := l.run(t, nil)
		if r.OK || strings.Contains(lines(r), "does not start or was ended") {
			t.Errorf("%s (%s):\n%s", code, awslambda.ErrorType(code), lines(r))
		}
	}
}

// An examination that is broken off is not a link that is well.
// Without credentials it is this machine that lacks something, not the network.
func TestDoctorWithoutCredentials(t *testing.T) {
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_PROFILE": "", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"} {
		t.Setenv(name, value)
	}
	l := link{l3: config.AWS, l4: config.AWS, store: memstore.New()}
	report := l.run(t, func(in *doctor.Input) {
		in.Deployed = map[config.Cloud]doctor.Deployed{config.AWS: {Region: "eu-central-1"}}
	})
	last := report.Checks[len(report.Checks)-1]
	if !strings.Contains(last.Says, "no AWS credentials") || !strings.Contains(last.Remedy, "give this machine AWS credentials") {
		t.Errorf("%+v", last)
	}
}

func TestDoctorBrokenOff(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	top, err := topology.New(&config.Project{Twin: "factory", L3: config.GCP, L4: config.AWS})
	if err != nil {
		t.Fatal(err)
	}
	if r := doctor.Run(ctx, doctor.Input{Topology: top, Device: doctor.Device{ID: "d", Properties: []string{"p"}}}); r.OK {
		t.Error("it is well")
	}
}
