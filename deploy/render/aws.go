package render

import (
	"math"
	"strings"

	"hotreader/config"
	"hotreader/deploy/names"
	"hotreader/deploy/topology"
)

// awsProvider is the version of Terraform's AWS provider: the first with what
// the module needs, and no other major one.
const awsProvider = "~> 5.100"

// TwinTag is the tag that every resource on AWS carries.
const TwinTag = "hotreader:twin"

// awsRoot is the AWS part of a root module.
func awsRoot(s topology.Side, in Inputs) (Root, error) {
	p := in.Project
	o := p.Options
	functions := map[string]any{}
	local := false
	for _, f := range s.Functions {
		local = local || f.Store
		functions[string(f.Role)] = map[string]any{
			"name": f.Name, "env": literals(f.Env), "store": f.Store, "remote": f.Remote, "token": s.Token,
		}
	}
	module := map[string]any{
		"twin":             p.Twin,
		"package":          "${path.root}/" + Literal(in.Package),
		"functions":        functions,
		"secret_name":      names.Secret(p.Twin),
		"api_key":          o.AWS.APIKey,
		"account_log_role": o.AWS.AccountLogRole,
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
	if in.RemoteURL != "" {
		module["remote_url"] = in.RemoteURL
		if in.RemoteURL != "${var."+RemoteVariable+"}" {
			module["remote_url"] = Literal(in.RemoteURL)
		}
	}
	if local {
		module["table"] = hotTable(p)
	}
	if s.L4 {
		twin, err := twinMaker(p)
		if err != nil {
			return Root{}, err
		}
		module["twinmaker"] = twin
	}
	provider := map[string]any{
		"default_tags": []any{map[string]any{"tags": map[string]any{TwinTag: p.Twin}}},
	}
	if o.AWS.Region != "" {
		provider["region"] = Literal(o.AWS.Region)
	}
	return Root{
		Providers: map[string]any{"aws": map[string]any{"source": "hashicorp/aws", "version": awsProvider}},
		Provider:  map[string]any{"aws": provider},
		Module:    module,
	}, nil
}

// hotTable is the module's argument table.
func hotTable(p *config.Project) map[string]any {
	o := p.Options
	table := map[string]any{
		"name": names.Table(p.Twin), "create": true,
		"device_key": "device_id", "time_key": "timestamp", "time_type": "S",
	}
	if o.AWS.Table != "" {
		table["name"], table["create"] = Literal(o.AWS.Table), false
	}
	if o.DeviceKey != "" {
		table["device_key"] = Literal(o.DeviceKey)
	}
	if o.TimeKey != "" {
		table["time_key"] = Literal(o.TimeKey)
	}
	if strings.HasPrefix(o.TimeFormat, "epoch") {
		table["time_type"] = "N"
	}
	return table
}

// Literal returns text as Terraform's JSON takes it for itself: in there, ${ and
// %{ begin a template.
func Literal(text string) string {
	return strings.NewReplacer("${", "$${", "%{", "%%{").Replace(text)
}

// literals is Literal for a map's values.
func literals(m map[string]string) map[string]string {
	l := make(map[string]string, len(m))
	for k, v := range m {
		l[k] = Literal(v)
	}
	return l
}
