package deploy

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/hashicorp/terraform-exec/tfexec"

	"hotreader"
	"hotreader/config"
)

// adopt takes into the state what a run that was stopped, or killed, has made on
// the cloud and could not write down, for a second creation would fail, or make a
// second one. Only what that run has begun, as its journal says, is looked for,
// and only what carries this twin's tag is kept; what is not found is left to be
// created.
func (w *work) adopt(ctx context.Context, f *folder) error {
	begun, err := f.begun()
	if err != nil || len(begun) == 0 {
		return err
	}
	find := finder{cloud: f.cloud, region: w.Project.Options.AWS.Region}
	tried := map[string]bool{}
	// What lies within another resource can be named only when that one is known,
	// so there are rounds.
	for again := true; again; {
		taken, later := false, false
		st, err := f.state(ctx)
		if err != nil {
			return err
		}
		for _, r := range st.resources {
			delete(begun, r.address)
		}
		if len(begun) == 0 {
			break
		}
		plan, err := f.plan(ctx, planOptions{asStored: true})
		if err != nil {
			return err
		}
		for _, r := range plan.ResourceChanges {
			if !begun[r.Address] || tried[r.Address] || r.Change == nil || !r.Change.Actions.Create() {
				continue
			}
			values, _ := r.Change.After.(map[string]any)
			id, known, err := find.id(ctx, r.Type, values)
			if err != nil {
				return &hotreader.Error{Op: "deploy: " + string(f.cloud) + ": look for what a killed run has left", Code: hotreader.CodeUnavailable,
					Err: fmt.Errorf("%s %s: %w", noun(r.Type), resourceName(r), err)}
			}
			if id == "" {
				later = later || !known
				continue
			}
			tried[r.Address] = true
			found, err := f.take(ctx, r.Address, id)
			if err != nil {
				return err
			}
			if found {
				if err := w.own(ctx, f, r.Address); err != nil {
					return err
				}
				f.say(Event{Kind: Note, Text: "taken in what a killed run has left: " + noun(r.Type) + " " + resourceName(r)})
				taken = true
			}
		}
		again = taken && later
	}
	_ = os.Remove(filepath.Join(f.dir, planFile))
	return os.Remove(filepath.Join(f.dir, journalFile))
}

// twinTag is the tag that every resource on AWS carries.
const twinTag = "hotreader:twin"

// own gives a resource back that was taken in and is not ours: somebody else had
// made it before, which was why its creation failed.
func (w *work) own(ctx context.Context, f *folder, address string) error {
	st, err := f.state(ctx)
	if err != nil {
		return err
	}
	for _, r := range st.resources {
		if r.address != address {
			continue
		}
		tags, tagged := r.values["tags_all"]
		if all, _ := tags.(map[string]any); !tagged || all[twinTag] == w.top.Twin {
			return nil // or it lies within what carries the tag
		}
		tf, err := f.terraform()
		if err != nil {
			return err
		}
		if err := tf.StateRm(ctx, address); err != nil {
			return f.explain(ctx, "give back "+address, err, nil)
		}
		return configError("deploy: "+string(f.cloud), "%s %s exists already, and this twin's deployment has not made it (it lacks the tag %s=%s); remove it, or name what exists in config_hot_reader.json",
			noun(r.kind), nameOf(r.kind, address, r.values), twinTag, w.top.Twin)
	}
	return nil
}

// take imports a resource and reports whether it was there.
func (f *folder) take(ctx context.Context, address, id string) (found bool, err error) {
	err = f.withToken(func(varFile string) error {
		tf, err := f.terraform()
		if err != nil {
			return err
		}
		var opts []tfexec.ImportOption
		if varFile != "" {
			opts = append(opts, tfexec.VarFile(varFile))
		}
		return tf.Import(ctx, address, id, opts...)
	})
	if err != nil && ctx.Err() == nil && missing.MatchString(err.Error()) {
		return false, nil
	}
	return err == nil, f.explain(ctx, "take in "+address, err, nil)
}

// missing is what Terraform or a provider says of what is not there.
var missing = regexp.MustCompile(`(?i)non-existent remote object|not ?found|does not exist|NoSuchEntity|couldn't find resource|empty result`)

// finder names resources as Terraform's import wants them.
type finder struct {
	cloud  config.Cloud
	region string
	aws    *awsLookup
}

// id returns the import id of a resource with these arguments; "" if it does not
// exist, may be created a second time without harm, or, then known is false,
// lies within another one that is not known yet.
func (f *finder) id(ctx context.Context, kind string, values map[string]any) (id string, known bool, err error) {
	known = true
	text := func(name string) string {
		s, _ := values[name].(string)
		known = known && s != ""
		return s
	}
	id, err = f.named(ctx, kind, text)
	return id, known, err
}

func (f *finder) named(ctx context.Context, kind string, text func(string) string) (string, error) {
	// join is "" if a part is not known.
	join := func(sep string, parts ...string) string {
		for _, p := range parts {
			if p == "" {
				return ""
			}
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
