package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"hotreader"
	"hotreader/config"
	"hotreader/deploy/topology"
	"hotreader/identity"
)

// mostSkew is how far the clocks of a token's issuer and of the API may be apart.
const mostSkew = time.Minute

// federated reports whether the twin's functions prove themselves with tokens that their own
// cloud signs.
func (e *examination) federated() bool {
	return slices.ContainsFunc(e.in.Topology.Sides, func(s topology.Side) bool { return s.Signs })
}

// takesToken reports whether what answers on cloud takes the credentials file's token.
func (e *examination) takesToken(cloud config.Cloud) bool {
	return !e.federated() || e.in.Topology.Side(cloud).Token
}

// examineIdentity compares what the twin's cloud signs for its functions with what the
// credentials file says and what the APIs take. The readers' own query, which follows,
// proves it.
func (e *examination) examineIdentity(ctx context.Context) {
	if !e.federated() || e.in.Link == nil {
		return
	}
	e.in.Asking(componentOf(Identity, e.in.Topology.L4))
	all := []Check{e.identityWritten(), e.identityEnabled(ctx), e.issuerAnswers(ctx), e.subjectMade()}
	for _, s := range e.in.Topology.Sides {
		if trust := e.in.Deployed[s.Cloud].Trust; s.Trusts && trust != "" && e.in.Link.Subject != "" {
			all = append(all, e.trusted(s.Cloud, trust))
		}
	}
	for _, c := range all {
		if c.Name == "" {
			continue
		}
		if !e.add(c) && e.misproven == "" {
			e.misproven = c.Component()
		}
	}
}

func (e *examination) identityCheck(name string) Check {
	return Check{Part: Identity, Cloud: e.in.Topology.L4, Name: name, Verdict: OK}
}

func (e *examination) identityWritten() Check {
	c, l := e.identityCheck("written"), e.in.Link
	twin := e.in.Topology.Side(e.in.Topology.L4)
	asked := twin.Functions[0].Env["HOTREADER_AUDIENCE"]
	c.Says = fmt.Sprintf("issuer %s, audience %s, subject %s", l.Issuer, l.Audience, l.Subject)
	switch {
	case l.Issuer == "" || l.Subject == "":
		return c.fails(e.in.Topology.Connection+" has no issuer, audience and subject", e.deployOnly(twin.Cloud)+" makes the identity and writes them down")
	case l.Audience != asked:
		return c.fails(fmt.Sprintf("the audience is wrong: the functions ask for tokens for %s, and the API takes those for %s", asked, l.Audience), e.command("deploy"))
	}
	return c
}

// identityEnabled asks AWS whether it signs tokens for the account.
func (e *examination) identityEnabled(ctx context.Context) Check {
	if e.in.Topology.L4 != config.AWS || e.in.Issuer == nil {
		return Check{}
	}
	c := e.identityCheck("federation enabled")
	issuer, err := e.in.Issuer(ctx)
	switch {
	case err != nil && strings.Contains(err.Error(), "not enabled"):
		return c.fails(err.Error(), "aws iam enable-outbound-web-identity-federation, then "+e.command("deploy"))
	case err != nil:
		return c.warns("it cannot be found out: "+err.Error(), "")
	case e.in.Link.Issuer != "" && issuer != e.in.Link.Issuer:
		return c.fails(fmt.Sprintf("the account's issuer is %s, and written down is %s", issuer, e.in.Link.Issuer), e.command("deploy"))
	}
	return c
}

// issuerAnswers looks at what the API asks the issuer for, and at the issuer's clock.
func (e *examination) issuerAnswers(ctx context.Context) Check {
	c, issuer := e.identityCheck("issuer publishes keys"), e.in.Link.Issuer
	if issuer == "" {
		return Check{}
	}
	r, err := e.send(ctx, strings.TrimSuffix(issuer, "/"), ask{http.MethodGet, "/.well-known/openid-configuration", "application/json", ""}, "")
	c.Took = r.took
	var document struct {
		Issuer string
		Keys   string `json:"jwks_uri"`
	}
	switch {
	case err != nil:
		says, _ := e.unreached(err, e.in.Topology.L4)
		return c.fails(issuer+": "+says, "the API asks it for the keys of tokens; ask its operator")
	case !r.ok() || json.Unmarshal(r.body, &document) != nil || document.Keys == "":
		return c.fails(issuer+" says no keys: "+r.describe(), "the issuer is wrong, or federation is not enabled: "+e.command("deploy"))
	case document.Issuer != issuer:
		return c.fails(fmt.Sprintf("%s calls itself %s", issuer, document.Issuer), "write down what it calls itself: "+e.command("deploy"))
	}
	at, err := http.ParseTime(r.header.Get("Date"))
	skew := at.Sub(e.in.Now().Add(-e.apiBehind))
	if err == nil && e.apiDated && skew.Abs() > mostSkew {
		return c.fails(fmt.Sprintf("its clock and the API's are %s apart; a token is rejected beyond %s", skew.Abs().Round(time.Second), mostSkew), "set the clock of the machine that is wrong")
	}
	return c
}

// subjectMade compares the functions' subject with the one that is written down.
func (e *examination) subjectMade() Check {
	made := e.in.Deployed[e.in.Topology.L4].Subject
	if made == "" || e.in.Link.Subject == "" {
		return Check{}
	}
	c := e.identityCheck("subject")
	if c.Says = made; made != e.in.Link.Subject {
		return c.fails(fmt.Sprintf("the functions are %s, and written down is %s", made, e.in.Link.Subject), e.command("deploy"))
	}
	return c
}

// trusted compares the callers that the API on cloud accepts with the functions' identity.
func (e *examination) trusted(cloud config.Cloud, trust string) Check {
	c, l := Check{Part: API, Cloud: cloud, Name: "takes the twin's identity", Verdict: OK}, e.in.Link
	all, err := config.ReadTrust(trust, func(string) string { return "" })
	if err != nil {
		return c.fails(err.Error(), e.deployOnly(cloud))
	}
	for subject := range strings.SplitSeq(l.Subject, ",") {
		i := slices.IndexFunc(all, func(t identity.Trusted) bool { return t.Subject == subject })
		wrong := ""
		switch {
		case i < 0:
			wrong = "the subject " + subject
		case all[i].Issuer != l.Issuer:
			wrong = "the issuer " + l.Issuer
		case all[i].Audience != l.Audience:
			wrong = "the audience " + l.Audience
		}
		if wrong != "" {
			return c.fails("it was deployed before, or changed by hand: it does not take "+wrong, e.deployOnly(cloud))
		}
	}
	return c
}

// unproven says why an API rejects the readers, or why they have no token.
func (e *examination) unproven(c Check, f failure) Check {
	l4 := e.in.Topology.L4
	what := "the API does not take what " + string(l4) + " signs for the reader, or it signs nothing: "
	if f.code == hotreader.CodeStore {
		what = "the API's hot storage fails, or " + string(l4) + " signs nothing for the reader: "
	}
	c = c.fails(what+f.said,
		"its audience, its subject and its permission are the deployment's: "+e.command("deploy")+"; "+f.log("its"))
	c.Behind = e.misproven
	return c
}
