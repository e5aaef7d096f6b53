package deploy

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hotreader"
	"hotreader/config"
	"hotreader/deploy/render"
	"hotreader/deploy/topology"
	"hotreader/identity"
)

// What each cloud's module says of its identities becomes what the APIs on the other two
// trust, and what the functions ask their cloud for.
func TestTrustIsMadeOfOutputs(t *testing.T) {
	const role = "arn:aws:iam::123456789012:role/hall-hot-reader"
	for l4, c := range map[config.Cloud]struct {
		output, issuer string // of the module; of AWS, which its module does not know
		audience       string // of the project
		want           []identity.Trusted
	}{
		config.AWS: {`{"issuer":"","subjects":{"hot-reader-last-entry":"` + role + `-last-entry","hot-reader":"` + role + `"}}`, "https://d1e2.tokens.sts.global.api.aws", "", []identity.Trusted{
			{Name: "hall-hot-reader", Issuer: "https://d1e2.tokens.sts.global.api.aws", Audience: "hotreader-hall", Subject: role},
			{Name: "hall-hot-reader-last-entry", Issuer: "https://d1e2.tokens.sts.global.api.aws", Audience: "hotreader-hall", Subject: role + "-last-entry"}}},
		config.Azure: {`{"issuer":"https://sts.windows.net/72f9/","subjects":{"hot-reader":"b6f2"}}`, "", "api://72f9/hall", []identity.Trusted{
			{Name: "hall-hot-reader", Issuer: "https://sts.windows.net/72f9/", Audience: "api://72f9/hall", Subject: "b6f2"}}},
		config.GCP: {`{"issuer":"https://accounts.google.com","subjects":{"hot-reader":"1137"}}`, "", "", []identity.Trusted{
			{Name: "hall-hot-reader", Issuer: "https://accounts.google.com", Audience: "hotreader-hall", Subject: "1137"}}},
	} {
		for _, l3 := range []config.Cloud{config.AWS, config.Azure, config.GCP} {
			if l3 == l4 {
				continue
			}
			p := &config.Project{Twin: "hall", L3: l3, L4: l4, Options: config.Options{Identity: "federated", Azure: config.AzureOptions{Audience: c.audience}}}
			top, err := topology.New(p)
			if err != nil {
				t.Fatal(err)
			}
			var s signed
			if err := json.Unmarshal([]byte(c.output), &s); err != nil {
				t.Fatal(err)
			}
			w := &work{Engine: &Engine{Project: p}, top: top}
			w.conn = config.Connection{Issuer: c.issuer + s.Issuer, Audience: p.Audience(), Subject: s.subject()}
			got, err := config.ReadTrust(w.trust(top.Side(l3), ""), func(string) string { return "?" })
			if err != nil || fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("%s trusts of %s: %+v, %v", l3, l4, got, err)
			}
			if w.trust(top.Side(l4), "") != "" || !w.isKnown(s, c.issuer) {
				t.Errorf("%s: the twin's own side trusts somebody, or does not know itself", l4)
			}
			other := identity.Trusted{Name: "hall2", Issuer: "https://issuer.example.com", Audience: "a", Subject: "s", Devices: identity.Devices{"pump-*"}, Rate: 5, Burst: 10}
			p.Options.Callers = []identity.Trusted{other}
			got, err = config.ReadTrust(w.trust(top.Side(l3), ""), nil)
			if err != nil || fmt.Sprint(got) != fmt.Sprint(append(c.want, other)) || w.distinct(top.Side(l3)) != nil {
				t.Errorf("%s trusts of %s, and another caller: %+v, %v", l3, l4, got, err)
			}
			p.Options.Callers[0].Name = c.want[0].Name
			if err := w.distinct(top.Side(l3)); err == nil || !strings.Contains(err.Error(), "is there twice") {
				t.Errorf("a caller with the name of the twin's function: %v", err)
			}
			for _, f := range top.Side(l4).Functions {
				if f.Env["HOTREADER_IDENTITY"] != "federated" || f.Env["HOTREADER_AUDIENCE"] != c.want[0].Audience {
					t.Errorf("%s asks its cloud for %q", f.Name, f.Env)
				}
			}
		}
	}
}

// Callers of a project reach the APIs with the shared token alone, too, and a folder that
// asks for the identities of the twin keeps them.
func TestCallersWithoutFederation(t *testing.T) {
	grafana := identity.Trusted{Name: "grafana", TokenSecret: "projects/p/secrets/grafana/versions/latest", Rate: 0.5}
	const text = `[{"name":"grafana","token_secret":"projects/p/secrets/grafana/versions/latest","rate":0.5}]`
	for _, c := range []struct {
		l3, l4   config.Cloud
		identity string
		want     map[config.Cloud]string
	}{
		{config.GCP, config.GCP, "", map[config.Cloud]string{config.GCP: text}},
		{config.AWS, config.GCP, "", map[config.Cloud]string{config.AWS: "", config.GCP: text}},
		{config.GCP, config.AWS, "", map[config.Cloud]string{config.GCP: text, config.AWS: ""}},
		{config.GCP, config.AWS, "federated", map[config.Cloud]string{config.GCP: "${jsonencode(concat(jsondecode(var.trust), " + text + "))}"}},
		{config.AWS, config.GCP, "federated", map[config.Cloud]string{config.AWS: "${var.trust}", config.GCP: text}},
	} {
		p := &config.Project{Twin: "hall", L3: c.l3, L4: c.l4, Options: config.Options{Identity: c.identity, Callers: []identity.Trusted{grafana}}}
		top, err := topology.New(p)
		if err != nil {
			t.Fatal(err)
		}
		w := &work{Engine: &Engine{Project: p}, top: top}
		for cloud, want := range c.want {
			s := top.Side(cloud)
			if got := w.trust(s, render.AskURL); got != want {
				t.Errorf("%s to %s, %q: the API on %s trusts %s, want %s", c.l4, c.l3, c.identity, cloud, got, want)
			}
			notes := strings.Join(w.identityNotes(s), "\n")
			if strings.Contains(notes, "the API takes grafana") != strings.Contains(want, "grafana") || strings.Contains(notes, "secrets/") {
				t.Errorf("%s to %s, %q: the plan of %s says %s", c.l4, c.l3, c.identity, cloud, notes)
			}
		}
	}
}

// What AWS says of the account's issuer.
func TestIssuerOfTheAccount(t *testing.T) {
	const answer = `<GetOutboundWebIdentityFederationInfoResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><GetOutboundWebIdentityFederationInfoResult>` +
		`<IssuerIdentifier>%s</IssuerIdentifier><JwtVendingEnabled>%v</JwtVendingEnabled></GetOutboundWebIdentityFederationInfoResult></GetOutboundWebIdentityFederationInfoResponse>`
	const issuer = "https://d1e2.tokens.sts.global.api.aws"
	for _, c := range []struct {
		name   string
		status int
		body   string
		issuer string
		says   string
	}{
		{"enabled", 200, fmt.Sprintf(answer, issuer, true), issuer, ""},
		{"without a scheme", 200, fmt.Sprintf(answer, strings.TrimPrefix(issuer, "https://"), true), issuer, ""},
		{"switched off", 200, fmt.Sprintf(answer, issuer, false), "", "enable-outbound-web-identity-federation"},
		{"never enabled", 404, `<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type><Code>FeatureDisabled</Code><Message>no</Message></Error></ErrorResponse>`, "", "enable-outbound-web-identity-federation"},
		{"nobody may ask", 403, `<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>`, "", "iam:GetOutboundWebIdentityFederationInfo"},
		{"something else", 200, `{}`, "", "answered 200"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.FormValue("Action") != "GetOutboundWebIdentityFederationInfo" || !strings.Contains(r.Header.Get("Authorization"), "/us-east-1/iam/aws4_request") {
					t.Errorf("asked %s, signed %.80q", r.URL, r.Header.Get("Authorization"))
				}
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.body)
			}))
			defer s.Close()
			for name, value := range map[string]string{"AWS_ENDPOINT_URL_IAM": s.URL, "AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"} {
				t.Setenv(name, value)
			}
			got, err := Issuer(t.Context(), "")
			if got != c.issuer || (err == nil) != (c.says == "") || err != nil && (!errors.Is(err, hotreader.CodeConfig) || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

const fakeIdentities = `#!/bin/sh
# Stands in for Terraform: keeps what is applied, makes identities by themselves or with
# all else, and fails when the file dies counts down to zero.
cmd=$1
for a in "$@"; do case $a in -var-file=*) vars=${a#-var-file=};; esac; done
case $cmd in
version) echo '{"terraform_version":"1.11.4"}';;
init) mkdir -p .terraform;;
plan)
	case "$*" in *-target=*) if [ -e identity ]; then exit 0; fi; echo alone >plan; exit 2;; esac
	cat "$vars" main.tf.json >wanted
	if cmp -s wanted applied; then exit 0; fi; echo whole >plan; exit 2;;
show) echo '{"format_version":"1.2","resource_changes":[{"address":"module.hotreader.x_secret.token","mode":"managed","type":"x_secret","change":{"actions":["update"],"before":{"v":1},"after":{"v":2}}}]}';;
apply)
	n=$(cat ../../dies); n=$((n - 1)); echo $n >../../dies
	if [ $n -eq 0 ]; then kill -9 $$; fi
	touch identity STATE/$(basename "$PWD")/terraform.tfstate
	if [ "$(cat plan)" = whole ]; then cp main.tf.json applied.tf.json; cp "$vars" applied.json; mv wanted applied; fi;;
state)
	identity='{}'; if [ -e identity ]; then identity='{"issuer":"https://accounts.google.com","subjects":{"hot-reader":"1137"}}'; fi
	token='"builtin"'
	if grep -q token_version applied.tf.json 2>/dev/null; then name=token; else name=page_key; fi
	resources=; if [ -e identity ]; then resources='{"module":"module.hotreader","mode":"managed","type":"aws_secretsmanager_secret_version","name":"'$name'","provider":"provider[\"terraform.io/builtin/terraform\"]","instances":[{"attributes":{}}]}'; fi
	echo '{"version":4,"outputs":{"url":{"value":"https://api.example.com"},"identity":{"value":'"$identity"'}},"resources":['"$resources"']}';;
*) echo "unexpected: $*" >&2; exit 1;;
esac
`

// applied is what was applied to a cloud: the secrets, and the functions' environment.
type applied struct {
	tokens []string
	trust  string
	env    map[string]string
	key    string
}

func (e *Engine) applied(t *testing.T, c config.Cloud) *applied {
	t.Helper()
	var secrets struct {
		Token string
		Key   string `json:"page_key"`
	}
	var root struct {
		Module struct {
			Hotreader struct {
				Trust       string
				Environment map[string]string
			}
		}
	}
	for name, to := range map[string]any{"applied.json": &secrets, "applied.tf.json": &root} {
		text, err := os.ReadFile(filepath.Join(e.Work, string(c), name))
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err == nil {
			err = json.Unmarshal(text, to)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	a := &applied{trust: root.Module.Hotreader.Trust, env: root.Module.Hotreader.Environment, key: secrets.Key}
	if secrets.Token != "" {
		a.tokens = strings.Split(secrets.Token, ",")
	}
	return a
}

// federating is a project in whose folder Terraform is played, with identities. dieAt says
// at which apply it is killed; 0 = at none, as at first.
func federating(t *testing.T) (e *Engine, dieAt func(int)) {
	t.Helper()
	e, state := stood(t, "")
	write := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(e.Terraform, strings.ReplaceAll(fakeIdentities, "STATE", state))
	dieAt = func(n int) { write(filepath.Join(filepath.Dir(e.Work), "dies"), fmt.Sprint(n)) }
	dieAt(0)
	return e, dieAt
}

// With federation the token is people's: both are accepted until --finish says that all callers have
// the new one. While a twin changes over, none is replaced.
func TestRotationWithFederation(t *testing.T) {
	e, _ := federating(t)
	const id = "gcp_l4_to_aws_l3hot_read"
	rotate := func(finish bool, want int, says string) {
		t.Helper()
		err := e.Rotate(t.Context(), id, finish)
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Fatalf("%v", err)
		}
		if got := e.applied(t, config.GCP).tokens; len(got) != want || len(e.applied(t, config.AWS).tokens) != 0 && says == "" {
			t.Errorf("people may use %d tokens, want %d, on the twin's cloud alone", len(got), want)
		}
	}
	if err := e.Deploy(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.Project.Options.Identity = "federated"
	rotate(false, 1, "the twin changes over")
	if err := e.Deploy(t.Context()); err != nil {
		t.Fatal(err)
	}
	rotate(false, 2, "")
	rotate(true, 1, "")
}

// TestChangeOverWithoutAFailedRequest: at each moment what the reader sends is what the
// API takes, from the token to federation and back, and a run that is killed at any step
// is ended by the next one.
func TestChangeOverWithoutAFailedRequest(t *testing.T) {
	for dies := range 5 {
		t.Run(fmt.Sprintf("killed before step %d", dies), func(t *testing.T) {
			e, dieAt := federating(t)
			fits := func() {
				t.Helper()
				server, reader := e.applied(t, config.AWS), e.applied(t, config.GCP)
				switch {
				case reader == nil:
				case reader.env["HOTREADER_IDENTITY"] == "federated":
					if !strings.Contains(server.trust, `"subject":"1137"`) {
						t.Error("the API does not take what the reader's cloud signs")
					}
				case !slices.Contains(server.tokens, reader.tokens[0]):
					t.Error("the API does not take the reader's token")
				}
			}
			e.Operator = &watching{check: fits, report: fits}
			const id = "gcp_l4_to_aws_l3hot_read"
			connection := func() config.Connection {
				conns, err := config.OpenConnections(e.Project.Dir)
				if err != nil {
					t.Fatal(err)
				}
				c, _ := conns.Get(id)
				return c
			}
			deploy := func(kind string, dies int) {
				t.Helper()
				e.Project.Options.Identity = kind
				for _, n := range []int{dies, 0} {
					dieAt(n)
					err := e.Deploy(t.Context())
					fits()
					if err != nil && n == 0 {
						t.Fatalf("%s: %v", kind, err)
					}
				}
			}
			deploy("", 0)
			first := connection().Token.Reveal()
			deploy("federated", dies)
			server, reader, c := e.applied(t, config.AWS), e.applied(t, config.GCP), connection()
			if len(server.tokens) > 0 || reader.tokens[0] != first || server.key == "" || server.key != reader.key || reader.env["HOTREADER_AUDIENCE"] != "hotreader-hall" {
				t.Errorf("the API has %d tokens, the reader asks for %q", len(server.tokens), reader.env)
			}
			if c.Issuer != "https://accounts.google.com" || c.Subject != "1137" || c.Audience != "hotreader-hall" || c.PageKey.Reveal() != server.key {
				t.Errorf("the connection: %s %s %s", c.Issuer, c.Subject, c.Audience)
			}
			st, err := e.Status(t.Context())
			if err != nil || st.Identity == nil || st.Identity.Mode != "federated" || !slices.Equal(st.Identity.Subjects, []string{"1137"}) {
				t.Errorf("status: %+v, %v", st.Identity, err)
			}
			deploy("token", dies)
			server, reader, c = e.applied(t, config.AWS), e.applied(t, config.GCP), connection()
			if server.trust != "" || len(server.tokens) != 1 || server.tokens[0] != first || reader.env["HOTREADER_IDENTITY"] != "" || reader.key == "" {
				t.Errorf("back: the API trusts %s", server.trust)
			}
			if c.Subject != "" || c.Issuer != "" || c.Token.Reveal() != first {
				t.Errorf("back, the connection: %s %s", c.Issuer, c.Subject)
			}
		})
	}
}

// Teams that own a side each: the identity goes in one direction, the API's URL in the other.
func TestTeamsHandTheIdentityOver(t *testing.T) {
	e, _ := federating(t)
	e.Project.Options.Identity = "federated"
	for _, step := range []struct {
		only config.Cloud
		says string // the error; "" = none
	}{
		{config.AWS, "the API on aws has to know its caller"},
		{config.GCP, "has to accept it before they use it"},
		{config.AWS, ""},
		{config.GCP, ""},
	} {
		e.Only = step.only
		err := e.Deploy(t.Context())
		if (err == nil) != (step.says == "") || err != nil && !strings.Contains(err.Error(), step.says) {
			t.Fatalf("%s: %v", step.only, err)
		}
	}
	if a := e.applied(t, config.AWS); !strings.Contains(a.trust, "1137") || len(a.tokens) > 0 {
		t.Errorf("the API trusts %s", a.trust)
	}
}
