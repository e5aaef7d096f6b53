package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"hotreader"
	"hotreader/catalog"
	"hotreader/config"
	"hotreader/deploy/names"
	"hotreader/identity"
	"hotreader/internal/shell"
	"hotreader/layout"
)

// twin is a project folder that serve answers for.
type twin struct {
	*config.Project
	devices *catalog.Catalog
	peer    *identity.Token // of the connection that rows come over; nil = none
}

func openTwin(dir string) (t *twin, err error) {
	t = new(twin)
	if t.Project, err = config.LoadProject(dir); err != nil {
		return nil, err
	}
	t.devices, err = catalog.Of(t.Catalog())
	return t, err
}

// setting returns what the project says of a variable of the functions.
func (t *twin) setting(name string) (string, bool) {
	text, ok := t.Options.Variables(config.Stores | config.Served)[name]
	return text, ok
}

// place says where the rows of t are, unless s does: at the API of its connection or, if
// there is none since all of it is on AWS, in its table.
func (t *twin) place(ctx context.Context, s *serving) (err error) {
	if s.store != "" || s.remote != "" {
		s.store = t.laidOut(s.store)
		return nil
	}
	if t.L3 == config.AWS && t.L4 == config.AWS {
		query := t.Options.Layout.URL()
		if t.Options.AWS.Region != "" {
			query.Set("region", t.Options.AWS.Region)
		}
		s.store = "dynamodb://" + cmp.Or(t.Options.AWS.Table, names.Table(t.Twin)) + "?" + query.Encode()
	} else if s.remote, err = t.ask(ctx, t.Tiers()[0]); err != nil {
		return err
	}
	s.tiers.hotDays = t.Days
	above, far := t.L3, s.remote != ""
	for _, tier := range t.Tiers()[1:] {
		to := map[string]*config.Place{"cold": &s.tiers.cold, "archive": &s.tiers.archive}[tier.Name]
		switch {
		case tier.Cloud == above && far: // the API that is asked for the tier above answers both
		case tier.Cloud == config.AWS && t.L4 == config.AWS: // which no API serves
			to.Store, far = tier.URL(tier.Cloud), false
		default:
			if to.Remote, err = t.ask(ctx, tier); err != nil {
				return err
			}
			far = true
		}
		above = tier.Cloud
	}
	return nil
}

// laidOut gives a store URL the project's layout if it has none.
func (t *twin) laidOut(store string) string {
	base, query, _ := strings.Cut(store, "?")
	parameters, err := url.ParseQuery(query)
	own := t.Options.Layout.URL()
	if err != nil || len(own) == 0 || storeCloud(store) != t.L3 || slices.ContainsFunc(layout.Keys, parameters.Has) {
		return store
	}
	maps.Copy(parameters, own)
	return base + "?" + parameters.Encode()
}

// ask returns the URL of the API on a tier's cloud. All of a twin's APIs take one token.
func (t *twin) ask(ctx context.Context, tier config.Tier) (string, error) {
	id := tier.ConnectionID(t.L4)
	link, err := t.connection(id)
	if err != nil || t.peer != nil {
		return link.URL, err
	}
	t.peer, err = identity.Fetched(ctx, func(context.Context) (string, time.Time, error) {
		link, err := t.connection(id)
		return link.Token.Reveal(), link.RotatedAt, err
	})
	return link.URL, err
}

// connection returns what the folder says of the path to t's rows.
func (t *twin) connection(id string) (link config.Connection, err error) {
	all, err := config.OpenConnections(t.Dir)
	if err != nil {
		return link, err
	}
	if link, _ = all.Get(id); link.URL == "" {
		err = &hotreader.Error{Op: "serve", Code: hotreader.CodeConfig,
			Err: fmt.Errorf("config_inter_cloud.json has no URL of %s yet; deploy first: hotreader deploy --project %s; or say where the rows are, with --store or --remote", id, shell.Word(t.Dir))}
	}
	return link, err
}
