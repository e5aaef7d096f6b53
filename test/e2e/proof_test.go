//go:build engines && linux && proof

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"hotreader/test/engine"
)

// TestProofFederatedTwin: the twin on AWS with federation, from its roles on, with the
// real Terraform and AWS provider. Its functions hold no token. It changes over to the
// token, which another team hands over, and back.
func TestProofFederatedTwin(t *testing.T) {
	p, c := deployIdentity(t, "gate", lambdaPackage(t))
	const id = "aws_l4_to_azure_l3hot_read"
	entry := `{"connections":{%q:{"provider":"azure","function":"gate-hot-reader-api","url":"https://gate.azurewebsites.net/read","issuer":%q,"audience":%q,"subject":%q%s}}}`
	p.write("config_inter_cloud.json", fmt.Sprintf(entry, id, c.Issuer, c.Audience, c.Subject, ""))
	settings := func(identity string) {
		p.write("config_hot_reader.json", `{"identity":"`+identity+`","aws":{"region":"`+engine.Region+`"}}`)
	}
	holds := func(federated, token bool) {
		t.Helper()
		for _, name := range []string{"gate-hot-reader", "gate-hot-reader-last-entry"} {
			text := engine.MotoGet("lambda", "/2015-03-31/functions/"+name).Text(t)
			if strings.Contains(text, `"HOTREADER_IDENTITY": "federated"`) != federated || strings.Contains(text, "INTER_CLOUD_TOKEN_SECRET") != token || !strings.Contains(text, "gate-page-key") {
				t.Errorf("%s: federated should be %v, a token %v: %s", name, federated, token, text)
			}
		}
		p.start("gate-hot-reader", "gate-hot-reader-last-entry")
	}
	unchanged := func() {
		t.Helper()
		if out, _ := p.run(0, "plan", "--only", "aws"); !strings.Contains(out, "no changes") {
			t.Errorf("plan after deploy: %s", out)
		}
	}
	p.run(0, "deploy", "--only", "aws", "--yes")
	holds(true, false)
	unchanged()
	if out, _ := p.run(0, "status", "--only", "aws"); !strings.Contains(out, "identity: federated; issuer "+c.Issuer) || !strings.Contains(out, "subject: arn:aws:iam::") {
		t.Errorf("status: %s", out)
	}
	kept := p.connections()[id]
	p.write("config_inter_cloud.json", fmt.Sprintf(entry, id, c.Issuer, c.Audience, c.Subject, `,"token":"`+token+`","page_key":"`+kept.PageKey+`"`))
	settings("token")
	p.run(0, "deploy", "--only", "aws", "--yes")
	holds(false, true)
	unchanged()
	p.run(0, "deploy", "--only", "aws", "--yes", "--finish")
	holds(false, true)
	unchanged()
	if now := p.connections()[id]; now.Subject != "" || now.Token != token || now.PageKey != kept.PageKey {
		t.Error("the connection still has the identity, or lost the token or the key of page tokens")
	}
	settings("federated")
	if _, said := p.run(3, "deploy", "--only", "aws", "--yes"); !strings.Contains(said, "has to accept it before they use it") {
		t.Errorf("the identity is not made first: %s", said)
	}
	holds(false, true)
	p.run(0, "deploy", "--only", "aws", "--yes")
	holds(true, true)
	unchanged()
	p.run(0, "deploy", "--only", "aws", "--yes", "--finish")
	holds(true, false)
	unchanged()
	p.findNoToken(t)
	p.destroyed("--only", "aws")
}
