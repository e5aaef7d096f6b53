package render

import (
	"cmp"
	"strings"

	"hotreader/config"
	"hotreader/deploy/names"
	"hotreader/deploy/topology"
)

// gcpProvider is the version of Terraform's Google provider whose schema the
// module is checked against.
const gcpProvider = "~> 7.45"

// gcpRoot returns Google Cloud's part of the root module for side s.
func gcpRoot(s topology.Side, in Inputs) (Root, error) {
	o, twin := in.Project.Options.GCP, in.Project.Twin
	host, functions, env, err := carried(s)
	if err != nil {
		return Root{}, err
	}
	module := map[string]any{
		"twin": twin,
		"names": map[string]any{
			"service":    host,
			"account":    names.ServiceAccount(twin),
			"secret":     names.Secret(twin),
			"repository": names.ArtifactRepository(twin),
		},
		"functions":   functions,
		"environment": env,
	}
	provider := map[string]any{}
	if o.Project != "" {
		module["project"], provider["project"] = o.Project, Literal(o.Project)
	}
	if o.Region != "" {
		module["region"], provider["region"] = o.Region, Literal(o.Region)
	}
	switch mb := in.Project.Options.MemoryMB; {
	case mb > 4096:
		return Root{}, configError("gcp", "a function is to have %d MB of memory; on Google Cloud an instance with one processor has 4096 at most", mb)
	case mb != 0:
		module["memory_mb"] = max(mb, 128)
	}
	if s.L3 {
		module["store"] = gcpStore(in.Project)
	}
	return Root{
		Providers: map[string]any{"google": map[string]any{"source": "hashicorp/google", "version": gcpProvider}},
		Provider:  map[string]any{"google": provider},
		Module:    finish(module, in, !s.L3),
	}, nil
}

// gcpStore returns which collection hot storage is, and how much of it is to be
// made. A collection that is named in a database that is named has its indexes
// (the contract's section on stored items demands them); made twice, they would
// be refused.
func gcpStore(p *config.Project) map[string]any {
	o := p.Options
	collection := cmp.Or(o.GCP.Collection, names.Collection(p.Twin))
	return map[string]any{
		"database":        cmp.Or(o.GCP.Database, names.FirestoreDatabase(p.Twin)),
		"create_database": o.GCP.Database == "",
		"collection":      collection,
		"collection_id":   collection[strings.LastIndexByte(collection, '/')+1:],
		"create_indexes":  o.GCP.Database == "" || o.GCP.Collection == "",
		"device_key":      fieldPath(cmp.Or(o.DeviceKey, "device_id")),
		"time_key":        fieldPath(cmp.Or(o.TimeKey, "timestamp")),
	}
}

// fieldPath writes a field's name as a path of one segment, as Firestore's
// indexes want it.
func fieldPath(name string) string {
	simple := !strings.ContainsFunc(name, func(c rune) bool {
		return c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9')
	}) && (name[0] < '0' || name[0] > '9')
	if simple {
		return name
	}
	return "`" + strings.NewReplacer("\\", "\\\\", "`", "\\`").Replace(name) + "`"
}
