package doctor

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"hotreader/deploy/topology"
	"hotreader/wire"
)

// lowerTiers are the tiers below hot storage, by what their connections' ids end in.
var lowerTiers = map[string]struct{ name, layer string }{
	"_l3cold_read":    {"cold storage", wire.ColdLayer},
	"_l3archive_read": {"archive", wire.ArchiveLayer},
}

// examineTiers asks the APIs on the lower tiers' clouds for each of them. A function on
// AWS that reads a bucket of its own cloud cannot be asked for that alone.
func (e *examination) examineTiers(ctx context.Context, linked bool) {
	for _, l := range e.in.Topology.Links {
		for end, tier := range lowerTiers {
			if linked && e.takesToken(l.Cloud) && strings.HasSuffix(l.ID, end) {
				e.add(e.tier(ctx, l, tier.name, tier.layer))
			}
		}
	}
}

func (e *examination) tier(ctx context.Context, l topology.Link, name, layer string) Check {
	c := Check{Part: API, Cloud: l.Cloud, Name: "reads " + name, Verdict: OK}
	e.in.Asking(componentOf(API, l.Cloud))
	at := e.url(l.Cloud)
	if at == "" {
		c.Verdict, c.Says = Skipped, "its URL is not known"
		return c
	}
	asked := wire.NewEnvelope(e.query(), string(e.in.Topology.L4), "")
	asked.TargetLayer = layer
	r, err := e.send(ctx, at, ask{http.MethodPost, "/read", wire.MediaType + ", application/json;q=0.5", string(asked.Append(nil))}, e.in.Link.Token.Current())
	if err != nil {
		says, remedy := e.unreached(err, l.Cloud)
		return c.fails(says, remedy)
	}
	c.Took = r.took
	if !r.ok() {
		return c.fails(r.describe(), "the function may list and get there: "+e.deployOnly(l.Cloud)+"; what else is wrong, its log says")
	}
	found, err := e.found(r)
	if err != nil {
		return c.fails(err.Error(), e.otherVersion(l.Cloud))
	}
	c.Says = fmt.Sprintf("%d of %d properties", len(found), len(e.in.Device.Properties))
	return c
}
