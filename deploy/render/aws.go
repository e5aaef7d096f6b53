package render

import (
	"cmp"
	"math"
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
		"twin":             p.Twin,
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
	if s.L3 {
		module["table"] = hotTable(p)
	}
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
