package render

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"hotreader/config"
	"hotreader/deploy/names"
	"hotreader/deploy/topology"
	"hotreader/layout"
)

// awsProvider is the version of Terraform's AWS provider: the first with what
// the module needs, and no other major one.
const awsProvider = "~> 5.100"

// TwinTag is the tag that every resource on AWS carries.
const TwinTag = "hotreader:twin"

// awsPart is the AWS part of a root module.
func awsPart(s topology.Side, p *config.Project) (part, error) {
	o := p.Options
	functions := map[string]any{}
	for _, f := range s.Functions {
		functions[string(f.Role)] = map[string]any{
			"name": f.Name, "env": f.Env, "store": f.Store, "remote": f.Remote, "token": s.Token,
		}
	}
	module := map[string]any{
		"twin":        p.Twin,
		"functions":   functions,
		"secret_name": names.Secret(p.Twin),
	}
	if o.MemoryMB > 0 {
		module["memory_mb"] = o.MemoryMB
	}
	if o.LogDays > 0 {
		module["log_days"] = o.LogDays
	}
	if o.Rate > 0 {
		module["rate"] = o.Rate
		module["burst"] = int(math.Ceil(2 * o.Rate)) // as the function does it
	}
	if o.Burst > 0 {
		module["burst"] = o.Burst
	}
	if s.L3 {
		module["table"] = hotTable(p)
	}
	objectsOf(s, module)
	if s.L4 {
		twin, err := twinMaker(p)
		if err != nil {
			return part{}, err
		}
		module["twinmaker"] = twin
	}
	settings := map[string]any{
		"default_tags": []any{map[string]any{"tags": map[string]any{TwinTag: p.Twin}}},
	}
	if o.AWS.Region != "" {
		settings["region"] = o.AWS.Region
	}
	return part{"aws", awsProvider, settings, module}, nil
}

// objectsOf gives a module the places of the lower tiers that its functions read.
func objectsOf(s topology.Side, module map[string]any) {
	var all []any
	for _, t := range s.Tiers {
		place := map[string]any{"prefix": Literal(t.Prefix)}
		if s.Cloud == config.Azure {
			place["account"], place["container"] = t.Account, t.Container
			if t.ResourceGroup != "" {
				place["resource_group"] = t.ResourceGroup
			}
		} else {
			place["bucket"] = t.Bucket
		}
		if !slices.ContainsFunc(all, func(o any) bool { return maps.Equal(o.(map[string]any), place) }) {
			all = append(all, place)
		}
	}
	if len(all) > 0 {
		module["objects"] = all
	}
}

// hotTable is the module's argument table.
func hotTable(p *config.Project) map[string]any {
	o := p.Options
	l := o.Layout.WithDefaults()
	table := map[string]any{
		"name": cmp.Or(o.AWS.Table, names.Table(p.Twin)), "create": o.AWS.Table == "",
		"device_key": l.DeviceKey, "time_key": l.TimeKey, "time_type": "S",
	}
	if f, _ := layout.ParseFormat(l.TimeFormat[0]); f.Kind == layout.NumberTime {
		table["time_type"] = "N"
	}
	if l.Index != "" {
		table["index"] = l.Index[strings.LastIndexByte(l.Index, '/')+1:] // of an ARN
	}
	return table
}

// azureProvider is the version of Terraform's Azure provider whose schema the
// module is checked against.
const azureProvider = "~> 5.2"

// azurePart is Azure's part of a root module.
func azurePart(s topology.Side, p *config.Project) (part, error) {
	o, twin := p.Options.Azure, p.Twin
	host, functions, env := carried(s)
	module := map[string]any{
		"twin":           twin,
		"resource_group": map[string]any{"name": cmp.Or(o.ResourceGroup, names.ResourceGroup(twin)), "create": o.ResourceGroup == ""},
		"names": map[string]any{
			"app":      host,
			"plan":     names.AzurePlan(twin),
			"identity": names.AzureIdentity(twin),
			"storage":  names.AzureStorage(twin, o.Subscription),
			"vault":    names.KeyVault(twin, o.Subscription),
			"secret":   names.AzureSecret(),
			"insights": names.AzureInsights(twin),
			"logs":     names.AzureInsights(twin),
		},
		"functions":   functions,
		"environment": env,
	}
	if mb := p.Options.MemoryMB; mb != 0 {
		sizes := []int{512, 2048, 4096}
		i := slices.IndexFunc(sizes, func(size int) bool { return mb <= size })
		if i < 0 {
			return part{}, configError("azure", "%w", &config.Problem{Where: "config_hot_reader.json: memory_mb", Err: fmt.Errorf("is %d; on Azure an instance has 4096 MB at most", mb)})
		}
		module["memory_mb"] = sizes[i]
	}
	switch days := p.Options.LogDays; {
	case days > 730:
		return part{}, configError("azure", "%w", &config.Problem{Where: "config_hot_reader.json: log_days", Err: fmt.Errorf("is %d; Azure's Log Analytics keeps logs for 730 days at most", days)})
	case days != 0:
		module["log_days"] = max(days, 30) // as long as it keeps them at least
	}
	if s.L3 {
		module["store"] = azureStore(p)
	}
	objectsOf(s, module)
	return part{"azurerm", azureProvider, azureSettings(s.L3, o.Subscription), module}, nil
}

// azureSettings are the provider's.
func azureSettings(store bool, subscription string) map[string]any {
	services := []string{"Microsoft.KeyVault", "Microsoft.ManagedIdentity", "Microsoft.OperationalInsights", "Microsoft.Storage", "Microsoft.Web", "microsoft.insights"}
	if store {
		services = append(services, "Microsoft.DocumentDB")
	}
	settings := map[string]any{
		"features": map[string]any{
			// What a destroy leaves in the bin would keep its name from being
			// used again for days.
			"key_vault": map[string]any{"purge_soft_delete_on_destroy": true, "recover_soft_deleted_key_vaults": true},
			// Azure adds an alert rule of its own, which would outlive the rest.
			"application_insights": map[string]any{"disable_generated_rule": true},
			// A group with what is not ours in it stays.
			"resource_group": map[string]any{"prevent_deletion_if_contains_resources": true},
			"storage":        map[string]any{"data_plane_available": false},
		},
		"storage_use_azuread":            true,
		"resource_providers_to_register": services, // the provider registers the subscription with them
	}
	if subscription != "" {
		settings["subscription_id"] = subscription
	}
	return settings
}

// azureStore returns which container hot storage is, and how much of it is to be
// made.
func azureStore(p *config.Project) map[string]any {
	o := p.Options.Azure
	return map[string]any{
		"account": cmp.Or(o.CosmosAccount, names.CosmosAccount(p.Twin, o.Subscription)), "create_account": o.CosmosAccount == "",
		"database": cmp.Or(o.Database, names.CosmosDatabase(p.Twin)), "create_database": o.Database == "",
		"container": cmp.Or(o.Container, names.Container(p.Twin)), "create_container": o.Container == "",
		"partition_key": cosmosPath(layout.ParsePath(p.Options.Layout.WithDefaults().DeviceKey)),
	}
}

// cosmosPath returns the path of a property as Cosmos DB writes it: names in quotes,
// unless they are made of letters, digits and _ alone.
func cosmosPath(names []string) string {
	var path strings.Builder
	for _, name := range names {
		if !plain(name) {
			name = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
		}
		path.WriteString("/" + name)
	}
	return path.String()
}

// plain reports whether a name is made of letters, digits and _ alone.
func plain(name string) bool {
	return !strings.ContainsFunc(name, func(c rune) bool {
		return c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9')
	})
}

// carried returns the one host that carries all functions of a side, their names
// by role, and the environment that they share.
func carried(s topology.Side) (host string, functions, env map[string]string) {
	functions = map[string]string{}
	for _, f := range s.Functions {
		functions[string(f.Role)] = f.Name
	}
	return s.Functions[0].Host, functions, s.Functions[0].Env
}

// gcpProvider is the version of Terraform's Google provider whose schema the
// module is checked against.
const gcpProvider = "~> 7.45"

// gcpPart is Google Cloud's part of a root module.
func gcpPart(s topology.Side, p *config.Project) (part, error) {
	o := p.Options.GCP
	host, functions, env := carried(s)
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
		return part{}, configError("gcp", "%w", &config.Problem{Where: "config_hot_reader.json: memory_mb", Err: fmt.Errorf("is %d; on Google Cloud an instance with one processor has 4096 MB at most", mb)})
	case mb != 0:
		module["memory_mb"] = max(mb, 128)
	}
	if s.L3 {
		module["store"] = gcpStore(p)
	}
	objectsOf(s, module)
	return part{"google", gcpProvider, settings, module}, nil
}

// gcpStore returns which collection hot storage is, and how much of it is to be
// made. A collection that is named in a database that is named has its indexes
// (the contract's section on stored items demands them); Firestore rejects
// a second creation. A collection for each device needs none: its documents are in the order
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

// fieldPath writes the path of a field as Firestore's indexes require it.
func fieldPath(names []string) string {
	segments := slices.Clone(names)
	for i, name := range segments {
		if !plain(name) || name[0] >= '0' && name[0] <= '9' {
			segments[i] = "`" + strings.NewReplacer("\\", "\\\\", "`", "\\`").Replace(name) + "`"
		}
	}
	return strings.Join(segments, ".")
}
