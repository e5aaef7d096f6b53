//go:build engines && linux && proof

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

// deployIdentity: the twin on AWS, and hot storage on Azure, without a shared secret. The
// roles come first, so that Azure's team knows whom to trust.
func deployIdentity(t *testing.T, twin, artifacts string) (p *trial, c connection) {
	p = newTrial(t, twin, "azure", "aws", artifacts)
	const id, issuer = "aws_l4_to_azure_l3hot_read", "https://d1e2.tokens.sts.global.api.aws"
	p.write("config_hot_reader.json", `{"identity":"federated","aws":{"region":"`+engine.Region+`"}}`)
	enabled := federating(t, p, issuer)
	if _, said := p.run(3, "deploy", "--only", "aws", "--yes"); !strings.Contains(said, "aws iam enable-outbound-web-identity-federation") {
		t.Errorf("deploy without federation: %s", said)
	}
	enabled.Store(true)
	if _, said := p.run(3, "deploy", "--only", "aws", "--yes"); !strings.Contains(said, "has to accept it before they use it") {
		t.Errorf("deploy of the identity: %s", said)
	}
	role := "arn:aws:iam::" + engine.MotoAccount + ":role/" + twin + "-hot-reader"
	c = p.connection(id)
	if c.Issuer != issuer || c.Audience != "hotreader-"+twin || c.Subject != role+","+role+"-last-entry" {
		t.Errorf("connection: %+v", c)
	}
	if text := engine.MotoPost("iam", "", "Action=GetRolePolicy&Version=2010-05-08&RoleName="+twin+"-hot-reader&PolicyName="+twin+"-hot-reader-identity").Text(t); !strings.Contains(text, "sts%3AGetWebIdentityToken") && !strings.Contains(text, "sts:GetWebIdentityToken") {
		t.Errorf("the role's permission: %s", text)
	}
	return p, c
}
