package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	tfjson "github.com/hashicorp/terraform-json"

	"hotreader"
	"hotreader/config"
	"hotreader/deploy/render"
)

// adopt has the next plan take in what a run that was stopped, or killed, has made
// on the cloud and could not write down, for a second creation would fail, or make
// a second one. Only what that run has begun, as its journal says, is looked for,
// and only what carries this twin's tag is taken; what is not found is left to be
// created. It reports the addresses that are taken in, and that plan, which is
// saved; nil if no run has left anything to look for.
//
// Import blocks do it, not the command import, which cannot evaluate a module of
// which a part stands.
func (w *work) adopt(ctx context.Context, f *folder) (taken []string, plan *tfjson.Plan, err error) {
	begun, err := f.begun()
	if err != nil || len(begun) == 0 {
		return nil, nil, err
	}
	if err := f.sift(ctx, begun); err != nil {
		return nil, nil, err
	}
	s := search{work: w, folder: f, begun: begun, find: finder{cloud: f.cloud, region: w.Project.Options.AWS.Region},
		imports: map[string]string{}, gone: map[string]bool{}}
	// What lies within another resource can be named only when that one is known,
	// so there are rounds.
	for more := len(begun) > 0; more; {
		var absent []string
		if plan, absent, err = f.planImports(ctx, s.imports); err != nil {
			return nil, nil, err
		}
		for _, address := range absent {
			s.gone[address] = true
			delete(s.imports, address)
		}
		if len(absent) > 0 {
			continue
		}
		if more, err = s.round(ctx, plan); err != nil {
			return nil, nil, err
		}
	}
	return slices.Sorted(maps.Keys(s.imports)), plan, nil
}

// sift takes from begun what stands in the state. What is broken off there is
// kept, or forgotten if it must not be read again.
func (f *folder) sift(ctx context.Context, begun map[string]bool) error {
	st, err := f.state(ctx)
	if err != nil {
		return err
	}
	for _, r := range st.resources {
		_, ours := begun[r.address]
		delete(begun, r.address)
		if !ours || !r.tainted {
			continue
		}
		tf, err := f.terraform()
		if err != nil {
			return err
		}
		if r.rereads() {
			err = f.explain(ctx, "forget "+r.address, tf.StateRm(ctx, r.address), nil)
		} else {
			// Its creation was broken off, and perhaps carried out. To make it anew,
			// as Terraform means to, its name would have to be free.
			err = f.explain(ctx, "keep "+r.address, tf.Untaint(ctx, r.address), nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// search looks on a cloud for what a stopped run has begun.
type search struct {
	work    *work
	folder  *folder
	begun   map[string]bool
	find    finder
	imports map[string]string // address -> id
	gone    map[string]bool   // what was looked for and is not there
}

// round looks for what plan would create, and reports whether it has found more.
func (s *search) round(ctx context.Context, plan *tfjson.Plan) (more bool, err error) {
	for _, r := range plan.ResourceChanges {
		refused, ours := s.begun[r.Address]
		if !ours || r.Change == nil {
			continue
		}
		if r.Change.Importing != nil {
			if err := s.work.own(s.folder, r, refused); err != nil {
				return false, err
			}
			continue
		}
		if s.gone[r.Address] || s.imports[r.Address] != "" || !r.Change.Actions.Create() {
			continue
		}
		values, _ := r.Change.After.(map[string]any)
		id, err := s.find.named(ctx, r.Type, func(name string) string { text, _ := values[name].(string); return text })
		if err != nil {
			return false, &hotreader.Error{Op: string(s.folder.cloud) + ": look for what a stopped run has left", Code: hotreader.CodeUnavailable,
				Err: fmt.Errorf("%s %s: %w", noun(r.Type), resourceName(r), err)}
		}
		if id != "" {
			s.imports[r.Address], more = id, true
		}
	}
	return more, nil
}

// planImports writes the import blocks beside the root module and plans with
// them. absent are those of which there is nothing on the cloud; plan is nil then.
func (f *folder) planImports(ctx context.Context, imports map[string]string) (plan *tfjson.Plan, absent []string, err error) {
	blocks := []any{}
	for _, address := range slices.Sorted(maps.Keys(imports)) {
		blocks = append(blocks, map[string]any{"to": address, "id": render.Literal(imports[address])})
	}
	text, err := json.MarshalIndent(map[string]any{"import": blocks}, "", "  ")
	if err != nil {
		return nil, nil, err
	}
	if err := render.ReplaceFile(filepath.Join(f.dir, importFile), bytes.NewReader(text)); err != nil {
		return nil, nil, err
	}
	plan, err = f.plan(ctx, func(d *diagnostics) {
		for _, m := range d.errors {
			all := m.Diagnostic.Address + "\n" + m.Diagnostic.Summary + "\n" + m.Diagnostic.Detail
			if !missing.MatchString(all) {
				continue
			}
			for address := range imports {
				if m.Diagnostic.Address == address || strings.Contains(all, address) || strings.Contains(all, imports[address]) {
					absent = append(absent, address)
				}
			}
		}
	})
	if len(absent) > 0 && ctx.Err() == nil {
		return nil, absent, nil
	}
	return plan, nil, err
}

// importFile holds the import blocks of what is taken in.
const importFile = "import.tf.json"

// own refuses to take in what is not ours: somebody else had made it before,
// which was why its creation failed, if refused says so.
func (w *work) own(f *folder, r *tfjson.ResourceChange, refused bool) error {
	values, _ := r.Change.Before.(map[string]any)
	tags, tagged := values["tags_all"]
	all, _ := tags.(map[string]any)
	if !tagged || f.cloud != config.AWS || all[render.TwinTag] == w.top.Twin {
		return nil // or it lies within what carries the tag
	}
	// A bucket gets its tags by another request than the one that makes it, and the
	// run may have been killed in between.
	if r.Type == "aws_s3_bucket" && len(all) == 0 && !refused {
		return nil
	}
	return configError(string(f.cloud), "%s %s exists already, and this twin's deployment has not made it (it lacks the tag %s=%s); remove it, or name what exists in config_hot_reader.json",
		noun(r.Type), nameOf(r.Type, r.Address, values), render.TwinTag, w.top.Twin)
}

// missing is what Terraform or a provider says of what is not there.
var missing = regexp.MustCompile(`(?i)non-existent remote object|not ?found|does not exist|NoSuchEntity|couldn't find resource|empty result`)

// finder names resources as Terraform's import wants them.
type finder struct {
	cloud  config.Cloud
	region string
	aws    *awsLookup
}

// named returns the import id of a resource with these arguments; "" if it does
// not exist, may be created a second time without harm, or lies within another
// one that is not known yet.
func (f *finder) named(ctx context.Context, kind string, text func(string) string) (string, error) {
	// join is "" if a part is not known.
	join := func(sep string, parts ...string) string {
		if slices.Contains(parts, "") {
			return ""
		}
		return strings.Join(parts, sep)
	}
	switch kind {
	case "aws_iam_role", "aws_cloudwatch_log_group", "aws_dynamodb_table", "aws_cloudformation_stack":
		return text("name"), nil
	case "aws_lambda_function":
		return text("function_name"), nil
	case "aws_lambda_permission":
		return join("/", text("function_name"), text("statement_id")), nil
	case "aws_s3_bucket":
		return text("bucket"), nil
	case "aws_api_gateway_stage":
		return join("/", text("rest_api_id"), text("stage_name")), nil
	case "aws_api_gateway_method":
		return join("/", text("rest_api_id"), text("resource_id"), text("http_method")), nil
	case "aws_secretsmanager_secret", "aws_api_gateway_rest_api", "aws_api_gateway_resource", "aws_api_gateway_usage_plan", "aws_api_gateway_api_key":
		if f.aws == nil {
			look, err := newAWSLookup(ctx, f.region)
			if err != nil {
				return "", err
			}
			f.aws = look
		}
		return f.aws.id(ctx, kind, text)
	case "google_service_account":
		return join("", "projects/", text("project"), "/serviceAccounts/", text("account_id"), "@", text("project"), ".iam.gserviceaccount.com"), nil
	case "google_cloud_run_v2_service":
		return join("", "projects/", text("project"), "/locations/", text("location"), "/services/", text("name")), nil
	case "google_secret_manager_secret":
		return join("", "projects/", text("project"), "/secrets/", text("secret_id")), nil
	case "google_artifact_registry_repository":
		return join("", "projects/", text("project"), "/locations/", text("location"), "/repositories/", text("repository_id")), nil
	case "google_firestore_database":
		return join("", "projects/", text("project"), "/databases/", text("name")), nil
	}
	return "", nil
}
