//go:build engines && linux

package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"hotreader/test/engine"
)

// federating stands before moto, and answers what moto does not know: whether AWS signs
// tokens for the account.
func federating(t *testing.T, p *trial, issuer string) (enabled *atomic.Bool) {
	t.Helper()
	enabled = new(atomic.Bool)
	name := "AWS_ENDPOINT_URL="
	var moto *url.URL
	for _, v := range p.env {
		if at, ok := strings.CutPrefix(v, name); ok {
			moto, _ = url.Parse(at)
		}
	}
	if moto == nil {
		t.Fatal("nobody says where moto is")
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(moto); r.Out.Host = r.In.Host }}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		const answer = `<GetOutboundWebIdentityFederationInfoResponse><GetOutboundWebIdentityFederationInfoResult><IssuerIdentifier>%s</IssuerIdentifier><JwtVendingEnabled>%v</JwtVendingEnabled></GetOutboundWebIdentityFederationInfoResult></GetOutboundWebIdentityFederationInfoResponse>`
		if r.URL.Query().Get("Action") != "GetOutboundWebIdentityFederationInfo" {
			proxy.ServeHTTP(w, r)
			return
		}
		fmt.Fprintf(w, answer, issuer, enabled.Load())
	}))
	t.Cleanup(s.Close)
	p.env = append(p.env, "AWS_ENDPOINT_URL_IAM="+s.URL)
	return enabled
}

// deployFederated: the twin on AWS, and hot storage on Azure, without a shared secret.
// The roles come first, so that Azure's team knows whom to trust; then the functions,
// which hold no token.
func deployFederated(t *testing.T, artifacts string) {
	p := newTrial(t, "lock", "azure", "aws", artifacts)
	const id, issuer = "aws_l4_to_azure_l3hot_read", "https://d1e2.tokens.sts.global.api.aws"
	p.write("config_hot_reader.json", `{"identity":"federated","aws":{"region":"`+engine.Region+`"}}`)
	enabled := federating(t, p, issuer)
	if _, said := p.run(3, "deploy", "--only", "aws", "--yes"); !strings.Contains(said, "aws iam enable-outbound-web-identity-federation") {
		t.Errorf("deploy without federation: %s", said)
	}
	enabled.Store(true)
	if _, said := p.run(3, "deploy", "--only", "aws", "--yes"); !strings.Contains(said, "has to take it before they use it") {
		t.Errorf("deploy of the identity: %s", said)
	}
	role := "arn:aws:iam::" + engine.MotoAccount + ":role/lock-hot-reader"
	c := p.connection(id)
	if c.Issuer != issuer || c.Audience != "hotreader-lock" || c.Subject != role+","+role+"-last-entry" {
		t.Errorf("connection: %+v", c)
	}
	if text := engine.MotoPost("iam", "", "Action=GetRolePolicy&Version=2010-05-08&RoleName=lock-hot-reader&PolicyName=lock-hot-reader-identity").Text(t); !strings.Contains(text, "sts%3AGetWebIdentityToken") && !strings.Contains(text, "sts:GetWebIdentityToken") {
		t.Errorf("the role's permission: %s", text)
	}
	p.write("config_inter_cloud.json", fmt.Sprintf(`{"connections":{%q:{"provider":"azure","function":"lock-hot-reader-api","url":"https://lock.azurewebsites.net/read","issuer":%q,"audience":%q,"subject":%q}}}`, id, c.Issuer, c.Audience, c.Subject))
	p.run(0, "deploy", "--only", "aws", "--yes")
	if out, _ := p.run(0, "plan", "--only", "aws", "--exit-code"); !strings.Contains(out, "no changes") || !strings.Contains(out, "audience hotreader-lock") {
		t.Errorf("plan after deploy: %s", out)
	}
	if out, _ := p.run(0, "status", "--only", "aws"); !strings.Contains(out, "identity: federated; issuer "+issuer) || !strings.Contains(out, "subject: "+role) {
		t.Errorf("status: %s", out)
	}
	for _, name := range []string{"lock-hot-reader", "lock-hot-reader-last-entry"} {
		text := engine.MotoGet("lambda", "/2015-03-31/functions/"+name).Text(t)
		if !strings.Contains(text, `"HOTREADER_IDENTITY": "federated"`) || !strings.Contains(text, "lock-page-key") || strings.Contains(text, "INTER_CLOUD_TOKEN_SECRET") {
			t.Errorf("%s: %s", name, text)
		}
	}
	p.start("lock-hot-reader", "lock-hot-reader-last-entry")
	p.destroyed("--only", "aws")
}
