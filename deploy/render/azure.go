package render

import (
	"maps"
	"strings"

	"hotreader/config"
	"hotreader/deploy/names"
	"hotreader/deploy/topology"
)

// azureProvider is the version of Terraform's Azure provider whose schema the
// module is checked against.
const azureProvider = "~> 5.2"

// azureRoot returns Azure's part of the root module for side s.
func azureRoot(s topology.Side, in Inputs) (Root, error) {
	o, twin := in.Project.Options.Azure, in.Project.Twin
	host, functions, env, err := carried(s)
	if err != nil {
		return Root{}, err
	}
	group := map[string]any{"name": o.ResourceGroup, "create": false}
	if o.ResourceGroup == "" {
		group = map[string]any{"name": names.ResourceGroup(twin), "create": true}
	}
	module := map[string]any{
		"twin":           twin,
		"resource_group": group,
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
	if o.Location != "" {
		module["location"] = o.Location
	}
	if mb := in.Project.Options.MemoryMB; mb != 0 {
		if module["memory_mb"], err = azureMemory(mb); err != nil {
			return Root{}, err
		}
	}
	switch days := in.Project.Options.LogDays; {
	case days > 730:
		return Root{}, configError("azure", "logs are to be kept for %d days; Azure's Log Analytics keeps them for 730 at most", days)
	case days != 0:
		module["log_days"] = max(days, 30) // as long as it keeps them at least
	}
	if s.L3 {
		if module["store"], err = azureStore(in.Project); err != nil {
			return Root{}, err
		}
	}
	provider := map[string]any{
		"features": map[string]any{
			// What a destroy leaves behind in the bin would keep its name from being
			// used again for days.
			"key_vault": map[string]any{"purge_soft_delete_on_destroy": true, "recover_soft_deleted_key_vaults": true},
			// Azure adds an alert rule of its own, which would outlive the rest.
			"application_insights": map[string]any{"disable_generated_rule": true},
			// A group with what is not ours in it stays.
			"resource_group": map[string]any{"prevent_deletion_if_contains_resources": true},
			"storage":        map[string]any{"data_plane_available": false},
		},
		"storage_use_azuread":            true,
		"resource_providers_to_register": azureServices(s.L3),
	}
	if o.Subscription != "" {
		provider["subscription_id"] = Literal(o.Subscription)
	}
	return Root{
		Providers: map[string]any{"azurerm": map[string]any{"source": "hashicorp/azurerm", "version": azureProvider}},
		Provider:  map[string]any{"azurerm": provider},
		Module:    finish(module, in, !s.L3),
	}, nil
}

// azureServices are the services of Azure that a subscription has to be registered
// with; the provider registers it where it is not.
func azureServices(store bool) []string {
	services := []string{
		"Microsoft.KeyVault", "Microsoft.ManagedIdentity", "Microsoft.OperationalInsights", "Microsoft.Storage", "Microsoft.Web", "microsoft.insights",
	}
	if store {
		services = append(services, "Microsoft.DocumentDB")
	}
	return services
}

// azureStore returns which container hot storage is, and how much of it is to be
// made.
func azureStore(p *config.Project) (map[string]any, error) {
	o := p.Options.Azure
	switch {
	case o.CosmosAccount != "" && o.ResourceGroup == "":
		return nil, configError("azure", "the existing Cosmos DB account %s is named without its resource group", o.CosmosAccount)
	case o.Database != "" && o.CosmosAccount == "":
		return nil, configError("azure", "the existing Cosmos DB database %s is named without its account", o.Database)
	case o.Container != "" && o.Database == "":
		return nil, configError("azure", "the existing Cosmos DB container %s is named without its database", o.Container)
	}
	key := p.Options.DeviceKey
	if key == "" {
		key = "device_id"
	}
	store := map[string]any{
		"account": o.CosmosAccount, "create_account": o.CosmosAccount == "",
		"database": o.Database, "create_database": o.Database == "",
		"container": o.Container, "create_container": o.Container == "",
		"partition_key": cosmosPath(key),
	}
	if o.CosmosAccount == "" {
		store["account"] = names.CosmosAccount(p.Twin, o.Subscription)
	}
	if o.Database == "" {
		store["database"] = names.CosmosDatabase(p.Twin)
	}
	if o.Container == "" {
		store["container"] = names.Container(p.Twin)
	}
	return store, nil
}

// cosmosPath returns the path of a top-level property as Cosmos DB writes it:
// in quotes, unless it is made of letters, digits and _ alone.
func cosmosPath(key string) string {
	plain := !strings.ContainsFunc(key, func(c rune) bool {
		return c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9')
	})
	if plain {
		return "/" + key
	}
	return `/"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
}

// azureMemory returns the memory of an instance that has mb megabytes at least.
func azureMemory(mb int) (int, error) {
	for _, size := range []int{512, 2048, 4096} {
		if mb <= size {
			return size, nil
		}
	}
	return 0, configError("azure", "a function is to have %d MB of memory; on Azure an instance has 4096 at most", mb)
}

// carried returns the one host that carries all functions of a side, their names
// by role, and the environment that they share.
func carried(s topology.Side) (host string, functions map[string]string, env map[string]string, err error) {
	functions = map[string]string{}
	for i, f := range s.Functions {
		switch {
		case i == 0:
			host, env = f.Host, f.Env
		case f.Host != host || !maps.Equal(f.Env, env) || f.Store != s.Functions[0].Store || f.Remote != s.Functions[0].Remote:
			return "", nil, nil, configError("azure", "functions %s and %s cannot share a host on %s", s.Functions[0].Name, f.Name, s.Cloud)
		}
		functions[string(f.Role)] = f.Name
	}
	if len(functions) == 0 || !s.Token {
		return "", nil, nil, configError("azure", "the side on %s has no function, or none with a token", s.Cloud)
	}
	return host, functions, env, nil
}

// literalIn returns arguments of which Terraform takes every string literally.
func literalIn(arguments map[string]any) map[string]any {
	out := make(map[string]any, len(arguments))
	for name, v := range arguments {
		switch v := v.(type) {
		case string:
			out[name] = Literal(v)
		case map[string]string:
			out[name] = literals(v)
		case map[string]any:
			out[name] = literalIn(v)
		default:
			out[name] = v
		}
	}
	return out
}

// finish adds to a module's arguments the two that are no literals: the path of
// the package in the rendered folder and, if that is asked for, the URL.
func finish(module map[string]any, in Inputs, remote bool) map[string]any {
	module = literalIn(module)
	module["package"] = "${path.root}/" + Literal(in.Package)
	if remote {
		module["remote_url"] = in.RemoteURL
		if in.RemoteURL != "${var."+RemoteVariable+"}" {
			module["remote_url"] = Literal(in.RemoteURL)
		}
	}
	return module
}
