package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	tfjson "github.com/hashicorp/terraform-json"

	"hotreader"
	"hotreader/config"
	"hotreader/deploy/render"
	"hotreader/internal/bounded"
	"hotreader/internal/bounded/awsbound"
)

// adopt has the next plan import what a run that was stopped, or killed, has made
// on the cloud and could not write down, for a second creation would fail, or make
// a second one. Only what that run has begun, as its journal says, is looked for,
// and only what carries this twin's tag is taken; what is not found is left to be
// created. It returns the addresses that it imports, and that plan, which is
// saved; nil if no run has left anything to look for.
//
// Import blocks do it, not the command import, which cannot evaluate a module of
// which a part is deployed.
func (w *work) adopt(ctx context.Context, f *folder) (taken []string, plan *tfjson.Plan, err error) {
	begun, err := f.begun()
	if err != nil || len(begun) == 0 {
		return nil, nil, err
	}
	if err := f.sift(ctx, begun); err != nil {
		return nil, nil, err
	}
	s := search{work: w, folder: f, begun: begun, find: finder{region: w.Project.Options.AWS.Region},
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

// sift removes from begun what is in the state. What is broken off there is
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

// importFile holds the import blocks.
const importFile = "import.tf.json"

// own rejects what is not ours: it was there before,
// which was why its creation failed, if refused says so.
func (w *work) own(f *folder, r *tfjson.ResourceChange, refused bool) error {
	values, _ := r.Change.Before.(map[string]any)
	if refused && f.cloud != config.AWS { // where nothing says whose it is
		return configError(string(f.cloud), "%s %s is there, and the cloud has rejected its creation, so it may be another's; if %s has made it, remove it and deploy again, else name what exists in config_hot_reader.json, or another name for the twin",
			noun(r.Type), nameOf(r.Type, r.Address, values), w.top.Twin)
	}
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

// finder names resources as Terraform's import expects them.
type finder struct {
	region string
	aws    *awsLookup
}

// importIDs are the import ids of resources, made of their arguments.
var importIDs = map[string]string{
	"aws_iam_role": "${name}", "aws_cloudwatch_log_group": "${name}", "aws_dynamodb_table": "${name}", "aws_cloudformation_stack": "${name}",
	"aws_lambda_function":                 "${function_name}",
	"aws_lambda_permission":               "${function_name}/${statement_id}",
	"aws_s3_bucket":                       "${bucket}",
	"aws_api_gateway_stage":               "${rest_api_id}/${stage_name}",
	"aws_api_gateway_method":              "${rest_api_id}/${resource_id}/${http_method}",
	"google_service_account":              "projects/${project}/serviceAccounts/${account_id}@${project}.iam.gserviceaccount.com",
	"google_cloud_run_v2_service":         "projects/${project}/locations/${location}/services/${name}",
	"google_secret_manager_secret":        "projects/${project}/secrets/${secret_id}",
	"google_artifact_registry_repository": "projects/${project}/locations/${location}/repositories/${repository_id}",
	"google_firestore_database":           "projects/${project}/databases/${name}",
}

// named returns the import id of a resource with these arguments; "" if it does
// not exist, may be created a second time without harm, or lies within another
// one that is not known yet.
func (f *finder) named(ctx context.Context, kind string, text func(string) string) (string, error) {
	if form, ok := importIDs[kind]; ok {
		known := true
		id := os.Expand(form, func(name string) string {
			known = known && text(name) != ""
			return text(name)
		})
		if !known {
			return "", nil
		}
		return id, nil
	}
	if _, looked := awsLists[kind]; !looked {
		return "", nil
	}
	if f.aws == nil {
		look, err := newAWSLookup(ctx, f.region)
		if err != nil {
			return "", err
		}
		f.aws = look
	}
	return f.aws.id(ctx, kind, text)
}

// awsLists are what AWS gives ids to, with the collections of API Gateway whose items have names.
var awsLists = map[string]string{
	"aws_api_gateway_rest_api": "/restapis", "aws_api_gateway_usage_plan": "/usageplans", "aws_api_gateway_api_key": "/apikeys",
	"aws_api_gateway_resource": "", "aws_secretsmanager_secret": "",
}

// awsLookup finds the ids that AWS gives to what has a name only for people.
type awsLookup struct {
	cfg      aws.Config
	service  string
	endpoint string
}

func newAWSLookup(ctx context.Context, region string) (*awsLookup, error) {
	load := []func(*awsconfig.LoadOptions) error{awsconfig.WithAPIOptions(awsbound.Options())}
	if region != "" {
		load = append(load, awsconfig.WithRegion(region))
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, err
	}
	l := &awsLookup{cfg: cfg, service: "apigateway", endpoint: "https://apigateway." + cfg.Region + ".amazonaws.com"}
	if strings.HasPrefix(cfg.Region, "cn-") {
		l.endpoint += ".cn"
	}
	if cfg.BaseEndpoint != nil {
		l.endpoint = *cfg.BaseEndpoint
	}
	if e := os.Getenv("AWS_ENDPOINT_URL_API_GATEWAY"); e != "" {
		l.endpoint = e
	}
	return l, nil
}

// id returns the import id of a resource with the arguments text, "" if there is
// none.
func (l *awsLookup) id(ctx context.Context, kind string, text func(string) string) (string, error) {
	switch kind {
	case "aws_secretsmanager_secret":
		return l.secret(ctx, text("name"))
	case "aws_api_gateway_resource":
		api, parent := text("rest_api_id"), text("parent_id")
		if api == "" || parent == "" {
			return "", nil
		}
		id, err := l.item(ctx, "/restapis/"+api+"/resources", func(i gatewayItem) bool { return i.ParentID == parent && i.PathPart == text("path_part") })
		if id != "" {
			id = api + "/" + id
		}
		return id, err
	}
	return l.item(ctx, awsLists[kind], func(i gatewayItem) bool { return i.Name == text("name") })
}

func (l *awsLookup) secret(ctx context.Context, name string) (string, error) {
	out, err := secretsmanager.NewFromConfig(l.cfg).DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: aws.String(name)})
	if _, ok := errors.AsType[*types.ResourceNotFoundException](err); ok {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return aws.ToString(out.ARN), nil
}

type gatewayItem struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	ParentID string `json:"parentId"`
	PathPart string `json:"pathPart"`
}

// item returns the id of the one item of a collection of API Gateway that fits;
// several are an error, for which of them is ours is unknown. Four signed
// requests are not worth another client library.
func (l *awsLookup) item(ctx context.Context, path string, fits func(gatewayItem) bool) (string, error) {
	const pages = 1000 // of 500 each; an account has fewer
	id, position := "", ""
	for range pages {
		query := "?limit=500"
		if position != "" {
			query += "&position=" + url.QueryEscape(position)
		}
		var page struct {
			Items    []gatewayItem `json:"item"`
			Position string        `json:"position"`
		}
		if err := l.get(ctx, path+query, &page); err != nil {
			return "", err
		}
		for _, i := range page.Items {
			if !fits(i) {
				continue
			}
			if id != "" {
				return "", fmt.Errorf("there are several of that name in API Gateway (%s and %s); remove the one that is not in use", id, i.ID)
			}
			id = i.ID
		}
		if position = page.Position; position == "" {
			return id, nil
		}
	}
	return "", fmt.Errorf("after %d pages the list of API Gateway goes on; check AWS_ENDPOINT_URL", pages)
}

func (l *awsLookup) get(ctx context.Context, path string, to any) error {
	status, body, err := l.ask(ctx, path)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("API Gateway answered %d: %.200s", status, body)
	}
	return json.Unmarshal(body, to)
}

// ask sends a signed request.
func (l *awsLookup) ask(ctx context.Context, path string) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, l.endpoint+path, nil)
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Accept", "application/json")
	credentials, err := l.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return 0, nil, err
	}
	const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" // SHA-256 of no body
	if err := v4.NewSigner().SignHTTP(ctx, credentials, r, empty, l.service, l.cfg.Region, time.Now()); err != nil {
		return 0, nil, err
	}
	client := l.cfg.HTTPClient
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(io.LimitReader(res.Body, 8<<20))
	return res.StatusCode, body, err
}

// journal is the list of the resources that an apply has begun with, in a file,
// so that it outlives a kill.
type journal struct {
	name  string
	file  *os.File
	begun map[string]bool // and not done, by this run or an earlier one; true = it failed
}

func openJournal(name string) (*journal, error) {
	open, err := readJournal(name)
	if err != nil {
		return nil, err
	}
	// Appended to: what an earlier run has left open is still open.
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return &journal{name, file, open}, nil
}

func (j *journal) add(address string) {
	if !j.begun[address] {
		j.begun[address] = false
	}
	_, _ = io.WriteString(j.file, address+"\n")
}

// failed begins the line of a resource whose creation the cloud has rejected: it
// may be there all the same, but then we have not made it.
const failed = "failed "

func (j *journal) fail(address string) {
	j.begun[address] = true
	_, _ = io.WriteString(j.file, failed+address+"\n")
}

func (j *journal) done(address string) { delete(j.begun, address) }

// end closes the journal. If all went well there is nothing to remember; if
// Terraform has ended by itself, the state holds whatever was done; else all that
// was begun is in doubt.
func (j *journal) end(well, ended bool) error {
	err := j.file.Close()
	switch {
	case well || ended && len(j.begun) == 0:
		return errors.Join(err, os.Remove(j.name))
	case ended:
		var text strings.Builder
		for _, address := range slices.Sorted(maps.Keys(j.begun)) {
			if j.begun[address] {
				text.WriteString(failed)
			}
			text.WriteString(address + "\n")
		}
		return errors.Join(err, render.ReplaceFile(j.name, strings.NewReader(text.String())))
	}
	return err
}

// settled ends what an earlier run's journal has left open: all of it is in the
// state, or not on the cloud.
func (f *folder) settled() error {
	err := os.Remove(filepath.Join(f.home, journalFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// begun returns the resources that a killed run has begun with; true = the cloud
// has rejected its creation, in this run or in an earlier one.
func (f *folder) begun() (map[string]bool, error) {
	return readJournal(filepath.Join(f.home, journalFile))
}

// readJournal returns what a journal holds, nothing if there is none.
func readJournal(name string) (map[string]bool, error) {
	all := map[string]bool{}
	text, err := readOwn(name, bounded.Text)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		if address, refused := strings.CutPrefix(strings.TrimSpace(line), failed); address != "" {
			all[address] = all[address] || refused
		}
	}
	return all, nil
}
