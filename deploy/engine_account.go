package deploy

import (
	"context"
	"slices"

	"hotreader/config"
	"hotreader/deploy/topology"
)

// accountNote says, before AWS does, that an account lacks what a stage's access
// log needs: the role with which API Gateway writes logs, of which an account has
// one in a region. "" = nothing to say, also where it cannot be found out.
func (w *work) accountNote(ctx context.Context, s topology.Side, p SidePlan) string {
	stage := slices.ContainsFunc(p.Changes, func(c ResourceChange) bool {
		return c.Action == Create && noun("aws_api_gateway_stage") == c.What
	})
	if s.Cloud != config.AWS || !stage || w.Project.Options.AWS.AccountLogRole {
		return ""
	}
	lookup, err := newAWSLookup(ctx, w.Project.Options.AWS.Region)
	if err != nil {
		return ""
	}
	var account struct {
		Role string `json:"cloudwatchRoleArn"`
	}
	if err := lookup.get(ctx, "/account", &account); err != nil || account.Role != "" {
		return ""
	}
	return `API Gateway has no role yet with which to write logs in this account and region, so AWS will refuse the stage; ` +
		`have one made with "aws": {"account_log_role": true} in config_hot_reader.json, or set one yourself`
}
