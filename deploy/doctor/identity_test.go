package doctor_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/config"
	"hotreader/deploy/doctor"
	"hotreader/function"
	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/test/serving"
)

// signing is a fetch of what the cloud of s signs for an audience.
func signing(s *serving.Signer, audience string) identity.Fetch {
	return func(ctx context.Context) (string, time.Time, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/computeMetadata/v1/instance/service-accounts/default/identity?audience="+url.QueryEscape(audience), nil)
		if err != nil {
			return "", time.Time{}, err
		}
		r.Header.Set("Metadata-Flavor", "Google")
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			return "", time.Time{}, err
		}
		defer a.Body.Close()
		text, err := io.ReadAll(a.Body)
		return string(text), time.Time{}, err
	}
}

// A link with federated identity is proven by the readers' own query, and each part of it
// that is broken is named.
func TestDoctorNamesTheBrokenIdentity(t *testing.T) {
	const audience = "hotreader-factory"
	s := serving.NewSigner(t, "gcp")
	good := identity.Trusted{Name: "factory-hot-reader", Issuer: s.URL, Audience: audience, Subject: s.Subject()}
	late := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", time.Now().Add(5*time.Minute).UTC().Format(http.TimeFormat))
		fmt.Fprintf(w, `{"issuer":"http://%s","jwks_uri":"x"}`, r.Host)
	}))
	defer late.Close()
	trust := func(o identity.Trusted) string {
		return fmt.Sprintf(`[{"name":%q,"issuer":%q,"audience":%q,"subject":%q}]`, o.Name, o.Issuer, o.Audience, o.Subject)
	}
	for _, c := range []struct {
		name   string
		asked  string                          // the audience that the reader asks for; "" = the right one
		change func(trusted *identity.Trusted) // of the API
		fetch  identity.Fetch
		told   func(*doctor.Input)
		broken []string
		says   string
	}{
		{name: "nothing", says: "issuer " + s.URL + ", audience hotreader-factory, subject hot-reader-on-gcp"},
		{name: "never written down", told: func(in *doctor.Input) { in.Link.Issuer, in.Link.Subject, in.Link.Audience = "", "", "" }, broken: []string{"identity on gcp"}, says: "has no issuer, audience and subject"},
		{name: "another audience written down", told: func(in *doctor.Input) { in.Link.Audience = "hotreader-hall" }, broken: []string{"identity on gcp", "API on azure"}, says: "the audience is wrong: the functions ask for tokens for hotreader-factory, and the API takes those for hotreader-hall"},
		{name: "the API has another audience", change: func(o *identity.Trusted) { o.Audience = "hotreader-hall" }, broken: []string{"API on azure"}, says: "it does not take the audience hotreader-factory"},
		{name: "the API has another subject", change: func(o *identity.Trusted) { o.Subject = "1138" }, broken: []string{"API on azure"}, says: "it does not take the subject hot-reader-on-gcp"},
		{name: "the API has another issuer", change: func(o *identity.Trusted) { o.Issuer = "https://other.example.com" }, broken: []string{"API on azure"}, says: "it does not take the issuer " + s.URL},
		{name: "the identity was made anew", told: func(in *doctor.Input) {
			d := in.Deployed[config.GCP]
			d.Subject = "1139"
			in.Deployed[config.GCP] = d
		}, broken: []string{"identity on gcp"}, says: "the functions are 1139, and written down is hot-reader-on-gcp"},
		{name: "the reader asks for another audience", asked: "hotreader-hall", broken: []string{"reader on gcp"}, says: "the API does not take what gcp signs for the reader"},
		{name: "the cloud signs nothing", fetch: func(context.Context) (string, time.Time, error) {
			return "", time.Time{}, &hotreader.Error{Op: "sign", Code: hotreader.CodeForbidden, Err: errors.New("no")}
		}, broken: []string{"reader on gcp"}, says: "or gcp signs nothing for the reader"},
		{name: "the issuer is away", told: func(in *doctor.Input) { in.Link.Issuer = closed() }, broken: []string{"identity on gcp", "API on azure"}, says: "the connection is refused"},
		{name: "clocks", told: func(in *doctor.Input) { in.Link.Issuer = late.URL }, broken: []string{"identity on gcp", "API on azure"}, says: "its clock and the API's are 5m0s apart"},
	} {
		t.Run(c.name, func(t *testing.T) {
			known := good
			if c.change != nil {
				c.change(&known)
			}
			l := &link{l3: config.Azure, l4: config.GCP, store: filled(t), identity: "federated"}
			api, err := httpapi.New(httpapi.Options{Source: l.store, PageKey: token(t, other), Federation: identity.NewFederation([]identity.Trusted{known}, identity.FederationOptions{})})
			l.apiURL = server(t, must(t, api, err))
			if c.fetch == nil {
				c.fetch = signing(s, audience)
				if c.asked != "" {
					c.fetch = signing(s, c.asked)
				}
			}
			f := &config.Function{Role: config.API, L3: l.l3, L4: l.l4, Remote: true, RemoteURL: l.apiURL}
			reader, err := function.Parts{Identity: function.Identity{Token: token(t, right), Credential: identity.NewSigned(c.fetch)}, Program: "test"}.API(f, httpapi.Options{})
			l.reader = must(t, reader, err)
			report := l.run(t, func(in *doctor.Input) {
				in.Link.Issuer, in.Link.Audience, in.Link.Subject = good.Issuer, good.Audience, good.Subject
				d := in.Deployed[config.Azure]
				d.Trust = trust(known)
				in.Deployed[config.Azure] = d
				if c.told != nil {
					c.told(in)
				}
			})
			var said strings.Builder
			proven := false
			for _, check := range report.Checks {
				fmt.Fprintln(&said, check.Verdict, check.Component(), check.Name, check.Says, check.Remedy, check.Behind)
				proven = proven || check.Verdict == doctor.OK && check.Part == doctor.Reader && strings.HasPrefix(check.Name, "history")
			}
			if !slices.Equal(report.Broken, append([]string{}, c.broken...)) || !strings.Contains(said.String(), c.says) || proven != report.OK && len(c.broken) == 0 {
				t.Errorf("broken is %q, want %q, and it says\n%s", report.Broken, c.broken, said.String())
			}
		})
	}
}

// What AWS says of federation decides, not what the reader fails with.
func TestDoctorAsksWhetherAWSSigns(t *testing.T) {
	for says, issuer := range map[string]func(context.Context) (string, error){
		"is not enabled for this": func(context.Context) (string, error) {
			return "", errors.New("federation is not enabled for this account")
		},
		"written down is https://other": func(context.Context) (string, error) { return "https://mine.example.com", nil },
	} {
		l := &link{l3: config.Azure, l4: config.AWS, store: filled(t), apiToken: right, readerToken: other, identity: "federated"}
		report := l.run(t, func(in *doctor.Input) {
			in.Issuer = issuer
			in.Link.Issuer, in.Link.Audience, in.Link.Subject = "https://other.invalid", "hotreader-factory", "arn:aws:iam::123456789012:role/factory-hot-reader"
		})
		i := slices.IndexFunc(report.Checks, func(c doctor.Check) bool { return c.Name == "federation enabled" })
		if i < 0 || report.Checks[i].Verdict != doctor.Failed || !strings.Contains(report.Checks[i].Says, says) || !slices.Equal(report.Broken, []string{"identity on aws"}) {
			t.Errorf("%s: %+v", says, report)
		}
	}
}
