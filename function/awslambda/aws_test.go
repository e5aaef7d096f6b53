package awslambda

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/codec/twinmaker"
	"hotreader/config"
	"hotreader/identity"
	"hotreader/remote"
)

func newRemote(t testing.TB, url string) *remote.Source {
	t.Helper()
	tok, err := identity.Static(token)
	if err != nil {
		t.Fatal(err)
	}
	r, err := remote.New(remote.Options{URL: url, Credential: tok})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// service plays an AWS service that answers every request alike.
func service(t *testing.T, status int, body string) (getenv func(string) string, last func() (*http.Request, string)) {
	t.Helper()
	var (
		request *http.Request
		sent    string
	)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		request, sent = r, string(b)
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(status)
		io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	return func(name string) string {
		switch name {
		case "AWS_ENDPOINT_URL":
			return server.URL
		case "AWS_REGION":
			return "eu-central-1"
		case "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN":
			return "key"
		}
		return ""
	}, func() (*http.Request, string) { return request, sent }
}

// entity is what GetEntity answers, with the given JSON as the component c.
func entity(component string) string {
	return `{"entityId":"e","entityName":"n","workspaceId":"w","arn":"a","status":{"state":"ACTIVE"},"components":{"c":` + component + `}}`
}

func TestLookup(t *testing.T) {
	for _, c := range []struct{ name, component, id, typeID string }{
		{"external id", `{"componentTypeId":"factory-x","properties":{"other":{"definition":{"dataType":{"type":"STRING"}},"value":{"stringValue":"no"}},
			"id":{"definition":{"dataType":{"type":"STRING"},"isExternalId":true},"value":{"stringValue":"machine/1"}}}}`, "machine/1", "factory-x"},
		{"external id's default", `{"componentTypeId":"factory-x","properties":{
			"id":{"definition":{"dataType":{"type":"STRING"},"isExternalId":true,"defaultValue":{"stringValue":"machine-2"}}}}}`, "machine-2", "factory-x"},
		{"component type", `{"componentTypeId":"factory-machine-3"}`, "", "factory-machine-3"},
		{"nothing", `{}`, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			getenv, last := service(t, 200, entity(c.component))
			got, err := Lookup(getenv)(t.Context(), "w", "e", "c")
			if want := (twinmaker.Component{ExternalID: c.id, TypeID: c.typeID}); err != nil || got != want {
				t.Errorf("%+v, %v; want %+v", got, err, want)
			}
			r, _ := last()
			if r.URL.Path != "/workspaces/w/entities/e" || !strings.Contains(r.Header.Get("Authorization"), "/eu-central-1/iottwinmaker/aws4_request") {
				t.Errorf("%s, %s", r.URL.Path, r.Header.Get("Authorization"))
			}
		})
	}
	getenv, _ := service(t, 200, entity(`{"properties":{"a":{"definition":{"isExternalId":true},"value":{"stringValue":"1"}},"b":{"definition":{"isExternalId":true},"value":{"stringValue":"2"}}}}`))
	if _, err := Lookup(getenv)(t.Context(), "w", "e", "c"); hotreader.CodeOf(err) != hotreader.CodeInvalid {
		t.Errorf("two ids: %v", err)
	}
	getenv, _ = service(t, 200, entity(`{}`))
	if _, err := Lookup(getenv)(t.Context(), "w", "e", "other"); hotreader.CodeOf(err) != hotreader.CodeInvalid {
		t.Errorf("got %v", err)
	}
}

func TestLookupErrors(t *testing.T) {
	for _, c := range []struct {
		status int
		name   string
		want   hotreader.Code
	}{
		{403, "AccessDeniedException", hotreader.CodeForbidden},
		{404, "ResourceNotFoundException", hotreader.CodeNotFound},
		{400, "ValidationException", hotreader.CodeConfig},
	} {
		getenv, _ := service(t, c.status, `{"__type":"`+c.name+`","code":"`+c.name+`","message":"no"}`)
		_, err := Lookup(getenv)(t.Context(), "w", "e", "c")
		if hotreader.CodeOf(err) != c.want {
			t.Errorf("%s: %v is %s", c.name, err, hotreader.CodeOf(err))
		}
		if c.status == 403 && !strings.Contains(err.Error(), "iottwinmaker:GetEntity") {
			t.Errorf("%v does not name the permission", err)
		}
	}
	nobody := func(name string) string {
		return map[string]string{"AWS_REGION": "eu-central-1", "AWS_ENDPOINT_URL_IOTTWINMAKER": "http://127.0.0.1:1",
			"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}[name]
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := Lookup(nobody)(ctx, "w", "e", "c"); hotreader.CodeOf(err) != hotreader.CodeDeadline && hotreader.CodeOf(err) != hotreader.CodeUnavailable {
		t.Errorf("got %v", err)
	}
}

// The local target asks no TwinMaker.
func TestLookupWithoutTwinMaker(t *testing.T) {
	_, err := Lookup(func(string) string { return config.NoTwinMaker })(t.Context(), "w", "e", "c")
	if hotreader.CodeOf(err) != hotreader.CodeInvalid || !strings.Contains(err.Error(), "give the component's external id a value") {
		t.Errorf("got %v", err)
	}
}

// A failure of GetEntity goes to TwinMaker under its own name, not as one of storage,
// with what is to be allowed and where.
func TestLookupFailuresSayGetEntity(t *testing.T) {
	unreached := func(name string) string {
		return map[string]string{"AWS_REGION": "eu-central-1", "AWS_ENDPOINT_URL_IOTTWINMAKER": "http://127.0.0.1:1",
			"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}[name]
	}
	failing := func(status int, name string) func(string) string {
		getenv, _ := service(t, status, `{"__type":"`+name+`","code":"`+name+`","message":"hunter2"}`)
		return getenv
	}
	const what = `TwinMaker's GetEntity of the entity "e" in the workspace "w" `
	for _, c := range []struct {
		name     string
		getenv   func(string) string
		kind, is string
		within   time.Duration
	}{
		{"403", failing(403, "AccessDeniedException"), "HotReader.Forbidden", "was rejected; allow the function's role iottwinmaker:GetEntity on this workspace", time.Minute},
		{"404", failing(404, "ResourceNotFoundException"), "HotReader.NotFound", "found no such entity, or no such workspace", time.Minute},
		{"429", failing(429, "ThrottlingException"), "HotReader.Throttled", "is asked too often; try again later", time.Minute},
		{"400", failing(400, "ValidationException"), "HotReader.Config", "does not take these ids", time.Minute},
		{"500", failing(500, "InternalServerException"), "HotReader.Unavailable", "was not reached; try again", time.Minute},
		{"unreachable", unreached, "HotReader.", "", 500 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tw := twin(filled(t, "d", 1), nil)
			tw.Devices.Lookup = Lookup(c.getenv)
			ctx, cancel := context.WithTimeout(inLambda(t.Context()), c.within)
			defer cancel()
			_, err := History(tw).Invoke(ctx, []byte(strings.Replace(string(event(allTime)), "factory-d", "com.example.machine", 1)))
			e := functionError(t, err)
			if !strings.HasPrefix(e.Type, c.kind) || !strings.HasPrefix(e.Message, what+c.is) || !strings.Contains(e.Message, invocation) {
				t.Errorf("%+v", e)
			}
			if strings.Contains(e.Message, "hunter2") || strings.Contains(strings.ToLower(e.Message), "storage") || strings.Contains(e.Message, "not allowed to read") {
				t.Errorf("%s", e.Message)
			}
		})
	}
}

// A component within components has its type in GetEntity's answer, one level below.
func TestLookupOfAPath(t *testing.T) {
	getenv, _ := service(t, 200, entity(`{"componentTypeId":"factory-line","compositeComponents":{"motor":{"componentName":"motor","componentTypeId":"factory-motor-1","componentPath":"c/motor"}}}`))
	got, err := Lookup(getenv)(t.Context(), "w", "e", "c/motor")
	if want := (twinmaker.Component{TypeID: "factory-motor-1"}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for _, path := range []string{"c/none", "c/motor/rotor", "none/motor"} {
		if _, err := Lookup(getenv)(t.Context(), "w", "e", path); hotreader.CodeOf(err) != hotreader.CodeInvalid {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TwinMaker is asked only where the event itself does not name the device, and
// then once.
func TestPitfall26EntityIsLookedUpOnce(t *testing.T) {
	calls := 0
	d := twinmaker.Devices{Twin: "factory", Lookup: twinmaker.CacheLookup(func(context.Context, string, string, string) (twinmaker.Component, error) {
		calls++
		return twinmaker.Component{ExternalID: "d"}, nil
	})}
	tw := Twin{Devices: d, Responder: twinmaker.Responder{Reader: hotreader.NewReader(filled(t, "d", 1))}}
	named := event(allTime)
	unnamed := []byte(strings.Replace(string(named), "factory-d", "com.example.machine", 1))
	for range 3 {
		if _, err := History(tw).Invoke(inLambda(t.Context()), named); err != nil {
			t.Fatal(err)
		}
	}
	if calls != 0 {
		t.Errorf("%d calls though the component type names the device", calls)
	}
	for range 3 {
		body, err := History(tw).Invoke(inLambda(t.Context()), unnamed)
		if err != nil || !strings.Contains(string(body), "0.125") {
			t.Fatalf("%s, %v", body, err)
		}
	}
	if calls != 1 {
		t.Errorf("%d calls for three queries, want 1", calls)
	}
}

func TestSecret(t *testing.T) {
	const arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:twin/token-AbCdEf"
	text, _ := json.Marshal(map[string]string{"ARN": arn, "Name": "twin/token", "SecretString": token})
	getenv, last := service(t, 200, string(text))
	got, _, err := Secret(getenv, arn)(t.Context())
	if err != nil || got != token {
		t.Errorf("%q, %v", got, err)
	}
	r, sent := last()
	if r.Header.Get("X-Amz-Target") != "secretsmanager.GetSecretValue" || !strings.Contains(sent, arn) ||
		!strings.Contains(r.Header.Get("Authorization"), "/eu-west-1/secretsmanager/") {
		t.Errorf("%v %s: want the region of the ARN", r.Header, sent)
	}

	getenv, _ = service(t, 200, `{"SecretBinary":"AAAA"}`)
	if _, _, err := Secret(getenv, arn)(t.Context()); hotreader.CodeOf(err) != hotreader.CodeConfig {
		t.Errorf("got %v", err)
	}
	getenv, _ = service(t, 400, `{"__type":"AccessDeniedException","message":"no"}`)
	if _, _, err := Secret(getenv, arn)(t.Context()); hotreader.CodeOf(err) != hotreader.CodeForbidden || !strings.Contains(err.Error(), "secretsmanager:GetSecretValue") {
		t.Errorf("got %v", err)
	}
	noKeys := func(name string) string {
		if name == "AWS_REGION" {
			return "eu-central-1"
		}
		return ""
	}
	if _, _, err := Secret(noKeys, arn)(t.Context()); err == nil || !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID") {
		t.Errorf("got %v", err)
	}
}

// The token's age is that of the secret's version.
func TestSecretTellsItsAge(t *testing.T) {
	const arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:twin/token-AbCdEf"
	for answer, want := range map[string]int64{
		`{"SecretString":"` + token + `","CreatedDate":1.7e9}`: 1_700_000_000,
		`{"SecretString":"` + token + `"}`:                     time.Time{}.Unix(),
	} {
		getenv, _ := service(t, 200, answer)
		fetched, err := identity.Fetched(t.Context(), Secret(getenv, arn))
		if err != nil || fetched.Made().Unix() != want {
			t.Errorf("%s: %v, %v", answer, fetched.Made(), err)
		}
	}
}

// An answer that goes on and on is given up, whatever the SDK makes of it.
func TestAnswersEnd(t *testing.T) {
	getenv, _ := service(t, 400, strings.Repeat(" ", 2<<20))
	_, _, secret := Secret(getenv, "twin/token")(t.Context())
	_, _, sign := Sign(getenv, "https://plant.example")(t.Context())
	_, lookup := Lookup(getenv)(t.Context(), "w", "e", "c")
	for name, err := range map[string]error{"Secret": secret, "Sign": sign, "Lookup": errors.Unwrap(errors.Unwrap(lookup))} {
		if err == nil || !strings.Contains(err.Error(), "larger than 1 MB") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
