package config

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"hotreader"
	"hotreader/identity"
)

const trustVariable = "HOTREADER_TRUST"

// mostTrusted is how many callers an API knows at most.
const mostTrusted = 100

// ReadTrust reads HOTREADER_TRUST. secret says what is wrong with the name of what
// holds a token, or "".
func ReadTrust(text string, secret func(string) string) ([]identity.Trusted, error) {
	e := &env{}
	all := e.trust(text, secret)
	return all, e.err("callers")
}

// trust reads HOTREADER_TRUST, a list of callers.
func (e *env) trust(text string, secret func(string) string) (all []identity.Trusted) {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	if doc, ok := e.document(trustVariable, []byte(text)); ok {
		all = e.callers(trustVariable, doc, secret)
	}
	return all
}

// callers reads a list of callers.
func (p *problems) callers(where string, doc json.RawMessage, secret func(string) string) (all []identity.Trusted) {
	l := &loader{Project: new(Project)} // whose devices a caller need not read
	defer func() { *p = append(*p, l.problems...) }()
	items, ok := l.items(where, doc)
	if ok && (len(items) == 0 || len(items) > mostTrusted) {
		l.add(where, "has %d callers; expected 1 to %d, or leave it out", len(items), mostTrusted)
	}
	for i, item := range items {
		t := l.trusted(item, secret)
		if t.Name == "" {
			t.Name = fmt.Sprintf("caller-%d", i+1)
		}
		other := slices.IndexFunc(all, func(o identity.Trusted) bool {
			return o.Issuer != "" && o.Issuer == t.Issuer && o.Audience == t.Audience && o.Subject == t.Subject || o.TokenSecret != "" && o.TokenSecret == t.TokenSecret
		})
		switch {
		case slices.ContainsFunc(all, func(o identity.Trusted) bool { return o.Name == t.Name }):
			l.add(item.name+".name", "%q is there twice; rates and shares go by it", t.Name)
		case other >= 0:
			l.add(item.name, "%q proves itself as %q does; leave one of them", t.Name, all[other].Name)
		}
		all = append(all, t)
	}
	return all
}

var (
	callerName = shape{pattern: `^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`, want: "1 to 64 of a-z, A-Z, 0-9, ., _ and -"}
	claim      = shape{pattern: `^[\x21-\x7e]{1,1000}$`, want: "up to 1,000 printable characters without a blank"}

	identities = words{"identity", []string{"token", federated}}
)

const federated = "federated"

// Federated reports whether the twin's functions prove themselves to APIs on other
// clouds with tokens that their own cloud signs.
func (p *Project) Federated() bool { return p.Options.Identity == federated && p.crosses() }

// crosses reports whether the twin's functions ask the API of another cloud.
func (p *Project) crosses() bool {
	return slices.ContainsFunc(p.Tiers(), func(t Tier) bool { return t.Cloud != p.L4 })
}

// Audience is what the tokens of a federated twin are for.
func (p *Project) Audience() string {
	if p.L4 == Azure {
		return p.Options.Azure.Audience
	}
	return "hotreader-" + p.Twin
}

// identity checks what federation needs beside its key.
func (l *loader) identity() {
	if l.Federated() && l.Audience() == "" {
		l.add(fileOptions+": azure.audience", "is missing while identity is federated and the twin is on Azure, which issues tokens for app registrations alone; "+
			"make one for the twin (az ad app create --display-name %[1]s-hot-reader --identifier-uris api://TENANT/%[1]s-hot-reader, then az ad sp create --id of its appId), and name its URI here", l.Twin)
	}
}

// reservedNames are what logs call those with the shared token, and those without any.
var reservedNames = []string{"current", "previous", "none"}

func (l *loader) trusted(item member, secret func(string) string) (t identity.Trusted) {
	l.fields(item.name, item.value, l.trustedFields(&t, secret)...)
	claims := len(slices.DeleteFunc([]string{t.Issuer, t.Audience, t.Subject}, func(c string) bool { return c == "" }))
	switch {
	case slices.Contains(reservedNames, t.Name):
		l.add(item.name+".name", "%q is what logs call others; choose another", t.Name)
	case t.TokenSecret == "" && claims < 3 || t.TokenSecret != "" && claims > 0:
		l.add(item.name, "does not say how the caller proves itself; expected issuer, audience and subject, or token_secret alone")
	case t.Issuer != "" && identity.CheckIssuer(t.Issuer) != "":
		l.add(item.name+".issuer", "%.100q %s", t.Issuer, identity.CheckIssuer(t.Issuer))
	}
	return t
}

func (l *loader) trustedFields(t *identity.Trusted, secret func(string) string) []field {
	all := []field{
		l.by("name", callerName, &t.Name), l.by("issuer", claim, &t.Issuer), l.by("audience", claim, &t.Audience), l.by("subject", claim, &t.Subject),
		{name: "token_secret", read: func(where string, raw json.RawMessage) {
			var ok bool
			if t.TokenSecret, ok = l.text(where, raw); ok && secret(t.TokenSecret) != "" {
				l.add(where, "%s", secret(t.TokenSecret))
			}
		}},
		l.by("devices", readable{}, &t.Devices), l.by("rate", rate{}, &t.Rate), l.by("burst", whole{1, 1_000_000, "the requests that may come at once, as 100"}, &t.Burst),
	}
	for i := range all {
		all[i].strict = true
	}
	return all
}

// callers are the callers of the twin's APIs beside its own functions.
type callers struct{}

func (callers) read(l *loader, where string, raw json.RawMessage, to any) {
	*to.(*[]identity.Trusted) = l.callers(where, raw, func(name string) string {
		if secretCloud(name) == "" {
			return "is not the name of a secret; expected " + callerSecrets[AWS].want + ", " + callerSecrets[Azure].want + " or " + callerSecrets[GCP].want
		}
		return ""
	})
}

// callerSecrets are the names of the secrets that the functions on each cloud are given
// the permission to read: of one secret, whole.
var callerSecrets = map[Cloud]shape{
	AWS:   {pattern: `^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]{1,512}-[A-Za-z0-9]{6}$`, want: "arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-abc123 (whole, with the six characters that AWS adds)"},
	Azure: {pattern: `^https://[A-Za-z0-9-]{3,24}\.(vault\.azure\.net|vault\.azure\.cn|vault\.usgovcloudapi\.net)/secrets/[A-Za-z0-9-]{1,127}$`, want: "https://VAULT.vault.azure.net/secrets/NAME"},
	GCP:   {pattern: `^projects/[a-z0-9.:-]{1,63}/secrets/[A-Za-z0-9_-]{1,255}/versions/[A-Za-z0-9_-]+$`, want: "projects/PROJECT/secrets/NAME/versions/latest"},
}

// secretCloud is the cloud of a caller's secret; "" = the name is none.
func secretCloud(name string) Cloud {
	for cloud, s := range callerSecrets {
		if s.fits(name) {
			return cloud
		}
	}
	return ""
}

// Callers returns the callers of the API on cloud: of all APIs are those whose own cloud
// signs tokens, and of one those whose token is a secret on its cloud.
func (p *Project) Callers(cloud Cloud) []identity.Trusted {
	served := cloud != AWS // where it is the twin's: TwinMaker calls its functions itself
	if cloud != p.L4 {
		served = slices.ContainsFunc(p.Tiers(), func(t Tier) bool { return t.Cloud == cloud })
	}
	if !served {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(p.Options.Callers), func(t identity.Trusted) bool {
		return t.TokenSecret != "" && secretCloud(t.TokenSecret) != cloud
	})
}

// asked checks that each caller has an API to ask, and that Lambda has a place for them.
func (l *loader) asked() {
	if l.L3 == "" || l.L4 == "" {
		return
	}
	const where = fileOptions + ": callers"
	served := slices.Concat(l.Callers(AWS), l.Callers(Azure), l.Callers(GCP))
	for i, c := range l.Options.Callers {
		if !slices.ContainsFunc(served, func(o identity.Trusted) bool { return o.Name == c.Name }) {
			l.add(fmt.Sprintf("%s[%d]", where, i), "has no API to ask; expected a token_secret on a cloud with an API of the twin, and there is none on AWS if the twin is there: TwinMaker calls its functions itself")
		}
	}
	if text, _ := json.Marshal(l.Callers(AWS)); len(text) > mostCallersBytes {
		l.add(where, "has %d bytes for the API on AWS; expected at most %d, for Lambda has 4 KB for all variables of a function", len(text), mostCallersBytes)
	}
}

// proof reads how the function proves itself to the remote API, how callers do, and what
// page tokens are signed with.
func (e *env) proof() {
	const mode, audience, page = "HOTREADER_IDENTITY", "HOTREADER_AUDIENCE", "HOTREADER_PAGE_KEY_SECRET"
	e.Trust = e.trust(e.get(trustVariable), e.checkSecret)
	kind := "token"
	if text := e.trimmed(mode); text != "" {
		if err := identities.parse(text, &kind); err != nil {
			e.add(mode, "%w", err)
		}
	}
	switch text := e.trimmed(audience); {
	case kind == federated && text == "":
		e.add(audience, "is not set while %s is federated; expected the audience that the remote API expects in a token", mode)
	case kind != federated && text != "":
		e.add(audience, "is set, but %s is not federated; set it, or unset %s", mode, audience)
	case text != "" && !claim.fits(text):
		e.add(audience, "does not fit; expected %s", claim.want)
	case text != "":
		e.Audience = text
	}
	if name := e.trimmed(page); name != "" {
		if wrong := e.checkSecret(name); wrong != "" {
			e.add(page, "%s", wrong)
			return
		}
		e.PageKeySecret = name
	}
}

// proven checks that there are credentials, and keys, where they are needed.
func (e *env) proven() {
	const static, named = "INTER_CLOUD_TOKEN", "INTER_CLOUD_TOKEN_SECRET"
	trusts := e.trimmed(trustVariable) != ""
	switch {
	case e.Role == API && !trusts:
		e.add(static, "is not set, and %s neither; the API does not start without a token: set one of them, or HOTREADER_TRUST", named)
	case (e.RemoteURL != "" || e.Cold.Remote != "" || e.Archive.Remote != "") && !strings.EqualFold(e.trimmed("HOTREADER_IDENTITY"), federated):
		e.add(static, "is not set, and %s neither, but the URL of a remote API is; set one of them to the token of the remote API, or HOTREADER_IDENTITY to federated", named)
	case e.Role == API && e.trimmed("HOTREADER_PAGE_KEY_SECRET") == "":
		e.add("HOTREADER_PAGE_KEY_SECRET", "is not set, and neither is %s; expected the name of the secret that page tokens are signed with", static)
	}
}

// FileTrust reads HOTREADER_TRUST where secrets are files, as `hotreader serve` has it.
func FileTrust(text string) ([]identity.Trusted, error) {
	all, err := ReadTrust(text, func(name string) string {
		if name == "" {
			return "is empty; expected a file with the token"
		}
		return ""
	})
	if err != nil {
		return nil, &hotreader.Error{Op: trustVariable, Code: hotreader.CodeConfig, Err: err}
	}
	return all, nil
}
