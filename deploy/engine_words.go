package deploy

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	tfjson "github.com/hashicorp/terraform-json"

	"hotreader/config"
	"hotreader/deploy/topology"
)

// Action is what is done to a resource.
type Action string

// The actions.
const (
	Create  Action = "create"
	Change  Action = "change"
	Replace Action = "replace" // destroyed and made anew
	Destroy Action = "destroy"
)

// ResourceChange is what becomes of one resource.
type ResourceChange struct {
	Action  Action `json:"action"`
	What    string `json:"what"` // in words, as "function" or "hot table"
	Name    string `json:"name"` // the cloud's, or the module's where the cloud's is not known
	Address string `json:"address"`

	// Fields are the arguments that change, sorted; nil if it is created or
	// destroyed. Their values are left out: some are long, and none is needed.
	Fields []string `json:"fields,omitempty"`
}

// SidePlan is what becomes of one cloud.
type SidePlan struct {
	Cloud   config.Cloud     `json:"cloud"`
	Changes []ResourceChange `json:"changes"` // never nil; in the order of addresses
	Drift   []ResourceChange `json:"drift"`   // never nil; what was changed by hand since the last deploy, and would be changed back
	Public  []string         `json:"public"`  // never nil; what can be reached from the internet, a sentence for each
	Notes   []string         `json:"notes"`   // never nil; what else is to be known
}

// Count returns how many resources are created, changed, replaced or destroyed.
func (p SidePlan) Count(a Action) int {
	n := 0
	for _, c := range p.Changes {
		if c.Action == a {
			n++
		}
	}
	return n
}

// Plan is what becomes of a project.
type Plan struct {
	Twin  string     `json:"twin"`
	Sides []SidePlan `json:"clouds"` // in the order in which they are applied
}

// Changes reports whether anything is to be done.
func (p Plan) Changes() bool {
	return slices.ContainsFunc(p.Sides, func(s SidePlan) bool { return len(s.Changes) > 0 })
}

// sidePlan reads Terraform's plan.
func sidePlan(s topology.Side, plan *tfjson.Plan) SidePlan {
	p := emptyPlan(s.Cloud)
	drifted := map[string]bool{}
	for _, r := range plan.ResourceDrift {
		drifted[r.Address] = true
	}
	for _, r := range plan.ResourceChanges {
		if r.Mode != tfjson.ManagedResourceMode || r.Change == nil {
			continue
		}
		c := ResourceChange{What: noun(r.Type), Name: resourceName(r), Address: r.Address}
		switch a := r.Change.Actions; {
		case a.Create():
			c.Action = Create
		case a.Update():
			c.Action = Change
		case a.Replace():
			c.Action = Replace
		case a.Delete():
			c.Action = Destroy
		default:
			continue
		}
		if c.Action == Change || c.Action == Replace {
			c.Fields = changedFields(r.Change)
		}
		p.Changes = append(p.Changes, c)
		if drifted[r.Address] && c.Action != Destroy {
			p.Drift = append(p.Drift, c)
		}
	}
	p.sort()
	p.Public = append(p.Public, s.Public...)
	return p
}

// emptyPlan has lists, for JSON has no null in their places.
func emptyPlan(cloud config.Cloud) SidePlan {
	return SidePlan{Cloud: cloud, Changes: []ResourceChange{}, Drift: []ResourceChange{}, Public: []string{}, Notes: []string{}}
}

func (p SidePlan) sort() {
	for _, list := range [][]ResourceChange{p.Changes, p.Drift} {
		slices.SortStableFunc(list, func(a, b ResourceChange) int { return cmp.Compare(a.Address, b.Address) })
	}
}

// changedFields names the arguments of which a change says something else.
func changedFields(c *tfjson.Change) []string {
	before, _ := c.Before.(map[string]any)
	after, _ := c.After.(map[string]any)
	unknown, _ := c.AfterUnknown.(map[string]any)
	var fields []string
	for name, was := range before {
		if u, ok := unknown[name].(bool); ok && u {
			continue // computed
		}
		a, _ := json.Marshal(was)
		b, _ := json.Marshal(after[name])
		if string(a) != string(b) {
			fields = append(fields, name)
		}
	}
	for name, is := range after {
		if _, ok := before[name]; !ok && is != nil {
			fields = append(fields, name)
		}
	}
	slices.Sort(fields)
	return fields
}

// nouns are what people call the resources, where that is not their type's name.
var nouns = map[string]string{
	"aws_api_gateway_account":                 "API Gateway's account settings",
	"aws_api_gateway_api_key":                 "API key",
	"aws_api_gateway_deployment":              "API deployment",
	"aws_api_gateway_gateway_response":        "API error answer",
	"aws_api_gateway_integration":             "API integration",
	"aws_api_gateway_method":                  "API method",
	"aws_api_gateway_method_settings":         "API throttling",
	"aws_api_gateway_resource":                "API path",
	"aws_api_gateway_rest_api":                "API",
	"aws_api_gateway_rest_api_policy":         "API's list of addresses",
	"aws_api_gateway_stage":                   "API stage",
	"aws_api_gateway_usage_plan":              "API usage plan",
	"aws_api_gateway_usage_plan_key":          "API key's usage plan",
	"aws_cloudformation_stack":                "TwinMaker stack",
	"aws_cloudwatch_log_group":                "log group",
	"aws_dynamodb_table":                      "hot table",
	"aws_iam_role":                            "role",
	"aws_iam_role_policy":                     "role's permissions",
	"aws_iam_role_policy_attachment":          "role's permissions",
	"aws_lambda_function":                     "function",
	"aws_lambda_permission":                   "permission to call the function",
	"aws_s3_bucket":                           "bucket",
	"aws_s3_bucket_policy":                    "bucket's policy",
	"aws_s3_bucket_public_access_block":       "bucket's protection",
	"aws_s3_bucket_versioning":                "bucket's versions",
	"aws_secretsmanager_secret":               "secret",
	"aws_secretsmanager_secret_version":       "secret's content",
	"aws_wafv2_web_acl":                       "web ACL",
	"aws_wafv2_web_acl_association":           "API's web ACL",
	"azurerm_application_insights":            "Application Insights",
	"azurerm_cosmosdb_account":                "Cosmos DB account",
	"azurerm_cosmosdb_sql_container":          "hot container",
	"azurerm_cosmosdb_sql_database":           "Cosmos DB database",
	"azurerm_cosmosdb_sql_role_assignment":    "permission to read hot storage",
	"azurerm_function_app_flex_consumption":   "function app",
	"azurerm_key_vault_secret":                "secret",
	"azurerm_log_analytics_workspace":         "log workspace",
	"azurerm_service_plan":                    "plan",
	"azurerm_user_assigned_identity":          "identity",
	"google_artifact_registry_repository":     "image repository",
	"google_cloud_run_v2_service":             "Cloud Run service",
	"google_cloud_run_v2_service_iam_member":  "permission to call the service",
	"google_firestore_database":               "Firestore database",
	"google_firestore_index":                  "Firestore index",
	"google_project_iam_member":               "permission in the project",
	"google_project_service":                  "API of the project",
	"google_secret_manager_secret":            "secret",
	"google_secret_manager_secret_iam_member": "permission to read the secret",
	"google_secret_manager_secret_version":    "secret's content",
	"terraform_data":                          "step",
}

// noun is what people call a type of resource.
func noun(resourceType string) string {
	if word := nouns[resourceType]; word != "" {
		return word
	}
	_, rest, _ := strings.Cut(resourceType, "_")
	return strings.ReplaceAll(cmp.Or(rest, resourceType), "_", " ")
}

// nameFields are the arguments that hold the cloud's name of a resource.
var nameFields = []string{"function_name", "bucket", "statement_id", "path_part", "response_type", "stage_name", "account_id", "secret_id", "service", "name"}

// resourceName is the cloud's name of a resource, or what the module calls it.
func resourceName(r *tfjson.ResourceChange) string {
	for _, side := range []any{r.Change.After, r.Change.Before} {
		if values, ok := side.(map[string]any); ok {
			return nameOf(r.Type, r.Address, values)
		}
	}
	return shortName(r.Address)
}

func nameOf(kind, address string, values map[string]any) string {
	switch kind {
	case "aws_api_gateway_method", "aws_api_gateway_integration": // the address says the route
	default:
		for _, field := range nameFields {
			if s, ok := values[field].(string); ok && s != "" && !strings.HasPrefix(s, "arn:") {
				return s
			}
		}
	}
	return shortName(address)
}

var index = regexp.MustCompile(`^(.*?)(?:\[(?:"(.*)"|(\d+))\])?$`)

// shortName is the last part of an address, as the module calls it:
// module.hotreader.aws_iam_role.function["hot-reader"] is hot-reader.
func shortName(address string) string {
	m := index.FindStringSubmatch(address)
	if m[2] != "" {
		return strings.ReplaceAll(m[2], `\"`, `"`)
	}
	return m[1][strings.LastIndexByte(m[1], '.')+1:]
}

// resourceType is the type in an address.
func resourceType(address string) string {
	parts := strings.Split(index.FindStringSubmatch(address)[1], ".")
	if len(parts) < 2 {
		return address
	}
	return parts[len(parts)-2]
}

// actionOf is our word for Terraform's.
func actionOf(action string) Action {
	switch action {
	case "update":
		return Change
	case "delete":
		return Destroy
	case "replace":
		return Replace
	}
	return Action(action)
}

// Summary is p in one line: "3 to create, 1 to change".
func (p SidePlan) Summary() string {
	var parts []string
	for _, a := range []Action{Create, Change, Replace, Destroy} {
		if n := p.Count(a); n > 0 {
			parts = append(parts, fmt.Sprintf("%d to %s", n, a))
		}
	}
	if len(parts) == 0 {
		return "no changes"
	}
	return strings.Join(parts, ", ")
}
