package render

import (
	"cmp"
	"slices"
	"strings"

	"hotreader/config"
	"hotreader/deploy/names"
	"hotreader/deploy/topology"
	"hotreader/layout"
)

// gcpProvider is the version of Terraform's Google provider whose schema the
// module is checked against.
const gcpProvider = "~> 7.45"

// gcpPart is Google Cloud's part of a root module.
func gcpPart(s topology.Side, p *config.Project) (part, error) {
	o := p.Options.GCP
	host, functions, env, err := carried(s)
	if err != nil {
		return part{}, err
	}
	module := map[string]any{
		"twin": p.Twin,
		"names": map[string]any{
			"service":    host,
			"account":    names.ServiceAccount(p.Twin),
			"secret":     names.Secret(p.Twin),
			"repository": names.ArtifactRepository(p.Twin),
		},
		"functions":   functions,
		"environment": env,
	}
	settings := map[string]any{}
	if o.Project != "" {
		module["project"], settings["project"] = o.Project, o.Project
	}
	if o.Region != "" {
		module["region"], settings["region"] = o.Region, o.Region
	}
	switch mb := p.Options.MemoryMB; {
	case mb > 4096:
		return part{}, configError("gcp", "a function is to have %d MB of memory; on Google Cloud an instance with one processor has 4096 at most", mb)
	case mb != 0:
		module["memory_mb"] = max(mb, 128)
	}
	if s.L3 {
		module["store"] = gcpStore(p)
	}
	return part{"google", gcpProvider, settings, module}, nil
}

// gcpStore returns which collection hot storage is, and how much of it is to be
// made. A collection that is named in a database that is named has its indexes
// (the contract's section on stored items demands them); made twice, they would
// be refused. A collection for each device needs none: its documents are in the order
// of one field.
func gcpStore(p *config.Project) map[string]any {
	o := p.Options
	l, collection := o.Layout.WithDefaults(), cmp.Or(o.GCP.Collection, names.Collection(p.Twin))
	return map[string]any{
		"database":        cmp.Or(o.GCP.Database, names.FirestoreDatabase(p.Twin)),
		"create_database": o.GCP.Database == "",
		"collection":      collection,
		"collection_id":   collection[strings.LastIndexByte(collection, '/')+1:],
		"create_indexes":  (o.GCP.Database == "" || o.GCP.Collection == "") && !strings.Contains(collection, "{device}"),
		"device_key":      fieldPath(layout.ParsePath(l.DeviceKey)),
		"time_key":        fieldPath(layout.ParsePath(l.TimeKey)),
	}
}

// fieldPath writes the path of a field as Firestore's indexes want it.
func fieldPath(names []string) string {
	segments := slices.Clone(names)
	for i, name := range segments {
		if !plain(name) || name[0] >= '0' && name[0] <= '9' {
			segments[i] = "`" + strings.NewReplacer("\\", "\\\\", "`", "\\`").Replace(name) + "`"
		}
	}
	return strings.Join(segments, ".")
}
