// Package topology decides what a project needs, and on which cloud.
package topology

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"hotreader"
	"hotreader/config"
	"hotreader/deploy/names"
	"hotreader/observe"
)

// Topology is what a project needs, and where.
type Topology struct {
	Twin   string
	L3, L4 config.Cloud // of hot storage, of the twin

	// Connection is the id in config_inter_cloud.json under which the token and
	// the URL are kept. "" = the twin and all its history are on AWS: TwinMaker calls
	// the functions itself, and nothing is reachable from outside.
	Connection string

	// API is the cloud that Connection leads to. Links are all connections, that one
	// first: of each tier that is served over HTTP. They share the token.
	API   config.Cloud
	Links []Link

	// Sides are the clouds on which something is made, hot storage's first, the
	// twin's last: the others hand their URLs to it.
	Sides []Side
}

// Link is a connection to the API on a tier's cloud.
type Link struct {
	ID    string
	Cloud config.Cloud
}

// Side returns the side on a cloud.
func (t *Topology) Side(c config.Cloud) Side {
	i := slices.IndexFunc(t.Sides, func(s Side) bool { return s.Cloud == c })
	return t.Sides[i]
}

// Side is what a project needs on one cloud.
type Side struct {
	Cloud     config.Cloud
	L3, L4    bool // what this cloud holds: hot storage, the twin, or both
	Functions []Function

	Tiers []config.Tier `json:",omitempty"` // below hot storage that it holds

	// Token says that the functions need the inter-cloud token, which lies in the
	// cloud's secret store: to be asked over HTTP, or to ask the API of another cloud
	// for a tier.
	Token bool

	// Signs says that this cloud signs tokens for the functions, which the APIs on
	// other clouds take; Trusts that the API here takes those of the twin's cloud.
	Signs  bool `json:",omitempty"`
	Trusts bool `json:",omitempty"`

	// Public says what can be reached from the internet, a sentence for each.
	Public []string
}

// Asked reports whether the functions of another side may ask this one.
func (s *Side) Asked() bool { return s.L3 || !s.L4 }

// Function is one of the three functions on a cloud.
type Function struct {
	Role config.Role
	Name string // {twin}-hot-reader, …

	// Host is what carries it: the function itself on AWS, a function app on Azure
	// or a Cloud Run service, which carry both readers at once.
	Host string

	// Store says that it queries hot storage on its own cloud, and so needs the
	// permission; Remote that it asks the other cloud's API instead.
	Store, Remote bool

	// Lower says which of its variables get the URL of the API on which cloud, to ask
	// it for a tier below hot storage.
	Lower map[string]config.Cloud `json:",omitempty"`

	// Env is its environment, but for what is known only once the cloud's
	// resources are named: the store's variables, REMOTE_READER_URL and
	// INTER_CLOUD_TOKEN_SECRET; and but for what the cloud sets itself. The
	// functions that share a host have the same.
	Env map[string]string
}

// New decides what p needs and where. It is pure: the same project gives
// the same topology. An error is of CodeConfig.
func New(p *config.Project) (Topology, error) { return decide(p, false) }

// Between is what p needs while its twin changes from the shared token to federation, or
// back: the APIs take both, and the twin's functions send what p says.
func Between(p *config.Project) (Topology, error) { return decide(p, true) }

func decide(p *config.Project, both bool) (Topology, error) {
	for _, c := range []config.Cloud{p.L3, p.L4} {
		if c != config.AWS && c != config.Azure && c != config.GCP {
			return Topology{}, &hotreader.Error{Op: "topology", Code: hotreader.CodeConfig,
				Err: fmt.Errorf("the project's clouds are %q for hot storage and %q for the twin; expected aws, azure or gcp for both", p.L3, p.L4)}
		}
	}
	t := Topology{Twin: p.Twin, L3: p.L3, L4: p.L4}
	var clouds []config.Cloud
	for _, tier := range p.Tiers() {
		if tier.Cloud != p.L4 && !slices.Contains(clouds, tier.Cloud) {
			clouds = append(clouds, tier.Cloud)
		}
	}
	for _, cloud := range append(clouds, p.L4) {
		if err := checkOTel(p, cloud); err != nil {
			return Topology{}, err
		}
		s := newSide(p, cloud)
		if len(clouds) > 0 {
			prove(p, &s, both)
		}
		t.Sides = append(t.Sides, s)
	}
	for _, tier := range p.Tiers() {
		if s := t.Side(tier.Cloud); len(s.Public) > 0 {
			t.Links = append(t.Links, Link{tier.ConnectionID(p.L4), tier.Cloud})
		}
	}
	if len(t.Links) > 0 {
		t.Connection, t.API = t.Links[0].ID, t.Links[0].Cloud
	}
	return t, nil
}

// checkOTel returns what the functions on cloud would say of OpenTelemetry's
// variables when they start.
func checkOTel(p *config.Project, cloud config.Cloud) error {
	o := observe.Options{Getenv: func(name string) string { return p.Options.OTel[name] }, Unasked: cloud == config.Azure}
	if cloud == config.AWS {
		o.Function = p.Twin
	}
	err := observe.Check(o)
	if e, ok := errors.AsType[*hotreader.Error](err); ok {
		return &hotreader.Error{Op: "functions on " + string(cloud), Code: e.Code, Err: &config.Problem{Where: "config_hot_reader.json: otel", Err: e.Err}}
	}
	return err
}

// newSide returns what cloud gets, which holds tiers, the twin, or both.
func newSide(p *config.Project, cloud config.Cloud) Side {
	l3, l4 := cloud == p.L3, cloud == p.L4
	s := Side{Cloud: cloud, L3: l3, L4: l4}
	for _, tier := range p.Tiers()[1:] {
		if tier.Cloud == cloud {
			s.Tiers = append(s.Tiers, tier)
		}
	}
	var lower map[string]config.Cloud
	if l4 {
		lower = asksLower(p)
	}
	roles := []config.Role{config.History, config.LastEntry}
	if !l4 {
		roles = []config.Role{config.API}
	}
	// TwinMaker calls its functions itself. Everything else is asked over HTTP.
	served := !l4 || cloud != config.AWS
	s.Token = served || !l3 || len(lower) > 0
	for _, role := range roles {
		f := Function{Role: role, Name: names.Function(p.Twin, role), Store: l3, Remote: l4 && !l3, Lower: lower, Env: variables(p, s, served)}
		switch cloud {
		case config.AWS:
			f.Host = f.Name
		case config.Azure:
			f.Host = names.AzureFunctionApp(p.Twin, roles[0], p.Options.Azure.Subscription)
		case config.GCP:
			f.Host = names.CloudRunService(p.Twin, roles[0])
		}
		s.Functions = append(s.Functions, f)
	}
	if served {
		s.Public = []string{publicSentence(cloud, s.Functions[0].Host, p.Options.AWS.APIKey)}
	}
	return s
}

// prove says how the functions of s, or the callers of its API, prove themselves.
// With federation the token is for people alone, and lies on the one cloud that they
// ask: the twin's, or hot storage's where TwinMaker calls the twin's functions itself.
func prove(p *config.Project, s *Side, both bool) {
	if !p.Federated() && !both {
		return
	}
	s.Signs, s.Trusts = s.L4, !s.L4
	if p.Federated() && s.Signs {
		for _, f := range s.Functions {
			f.Env["HOTREADER_IDENTITY"], f.Env["HOTREADER_AUDIENCE"] = "federated", p.Audience()
		}
	}
	if !both {
		s.Token = s.L4 == (p.L4 != config.AWS)
	}
	if !s.Token {
		for i := range s.Public {
			s.Public[i] = strings.Replace(s.Public[i], "the inter-cloud token", "a token that "+string(p.L4)+" signs for the twin's functions", 1)
		}
	}
}

// asksLower returns which variables of the twin's functions get the URL of which cloud.
// An API that holds the tier above, too, answers both at once.
func asksLower(p *config.Project) map[string]config.Cloud {
	var lower map[string]config.Cloud
	above := p.L3
	for _, tier := range p.Tiers()[1:] {
		if tier.Cloud != p.L4 && tier.Cloud != above {
			if lower == nil {
				lower = map[string]config.Cloud{}
			}
			lower["REMOTE_"+strings.ToUpper(tier.Name)+"_READER_URL"] = tier.Cloud
		}
		above = tier.Cloud
	}
	return lower
}

// publicSentence says what of a host can be reached from the internet.
func publicSentence(cloud config.Cloud, host string, apiKey bool) string {
	const routes = "POST /read, GET /v1/…, /api/v1/… and /mcp require the inter-cloud token, GET /healthz and /openapi.json do not"
	switch cloud {
	case config.Azure:
		return "function app " + host + ": " + routes
	case config.GCP:
		return "Cloud Run service " + host + ": " + routes
	}
	key := ""
	if apiKey {
		key = ", GET /v1/… an API key too"
	}
	return "API gateway " + host + ": POST /read and GET /v1/… require the inter-cloud token" + key
}

// variables returns a function's variables. A variable that the function has
// no use for is not set, nor one whose default is meant.
func variables(p *config.Project, s Side, served bool) map[string]string {
	var reach config.Reach
	if s.L3 || len(s.Tiers) > 0 {
		reach |= config.Stores
	}
	if served {
		reach |= config.Served
	}
	env := p.Options.Variables(reach)
	env["DIGITAL_TWIN_INFO"] = p.TwinInfo()
	for _, tier := range s.Tiers {
		env["HOTREADER_"+strings.ToUpper(tier.Name)] = tier.URL(tier.Cloud)
	}
	maps.Copy(env, p.Options.OTel)
	return env
}
