//go:build engines

package deploy

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/hashicorp/terraform-exec/tfexec"

	"hotreader/config"
	"hotreader/test/engine"
	"hotreader/wire"
)

// motoSide is one AWS side, rendered and applied to moto.
type motoSide struct {
	project *config.Project
	side    Side
	token   string // "" = none
	pkg     []byte // the functions' zip
	dir     string
	tf      *tfexec.Terraform
	log     *bytes.Buffer // of Terraform, all it says
	out     map[string]tfexec.OutputMeta
}

// newMotoSide renders the AWS side of a project.
func newMotoSide(t *testing.T, twin string, l3, l4 config.Cloud, options config.Options) *motoSide {
	t.Helper()
	p := &config.Project{Twin: twin, L3: l3, L4: l4, Options: options, Devices: []config.Device{
		{
			ID: "machine-1",
			Properties: []config.Property{
				{Name: "temperature", Type: "DOUBLE"}, {Name: "state", Type: "STRING"},
			},
			Constants: []config.Constant{{Name: "serial", Type: "STRING", Value: json.RawMessage(`"${a} %{b}"`)}},
		},
		{ID: "machine 2 (ü)", Properties: []config.Property{{Name: "count", Type: "LONG"}}},
	}}
	top, err := NewTopology(p)
	if err != nil {
		t.Fatal(err)
	}
	a := &motoSide{project: p, dir: t.TempDir(), log: new(bytes.Buffer)}
	for _, s := range top.Sides {
		if s.Cloud == config.AWS {
			a.side = s
		}
	}
	in := Inputs{Project: p}
	if a.side.Token {
		a.token, in.TokenVersion = config.NewToken().Reveal(), 1
	}
	if !a.side.L3 {
		in.RemoteURL = "https://hall-hot-reader-api.example.com"
	}
	a.pkg = zipOf(t, "bootstrap of "+twin)
	artifacts := t.TempDir()
	if err := os.WriteFile(filepath.Join(artifacts, packages[config.AWS]), a.pkg, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := renderTo(a.dir, a.side, in, artifacts); err != nil {
		t.Fatal(err)
	}
	program, env := engine.Terraform(t)
	if a.tf, err = tfexec.NewTerraform(a.dir, program); err != nil {
		t.Fatal(err)
	}
	vars := map[string]string{"PATH": os.Getenv("PATH"), "HOME": t.TempDir()}
	for _, v := range append(env, engine.MotoEnv(t)...) {
		name, value, _ := strings.Cut(v, "=")
		vars[name] = value
	}
	if err := a.tf.SetEnv(vars); err != nil {
		t.Fatal(err)
	}
	a.tf.SetStdout(a.log)
	a.tf.SetStderr(a.log)
	return a
}

func zipOf(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	f, err := z.Create("bootstrap")
	if err == nil {
		_, err = io.WriteString(f, text)
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// varFile returns a file with the token, which is removed with the test and not
// in the rendered folder.
func (a *motoSide) varFile(t *testing.T) *tfexec.VarFileOption {
	t.Helper()
	name := filepath.Join(t.TempDir(), "token.tfvars.json")
	vars := map[string]string{}
	if a.token != "" {
		vars["token"] = a.token
	}
	text, err := json.Marshal(vars)
	if err == nil {
		err = os.WriteFile(name, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return tfexec.VarFile(name)
}

// apply plans, applies exactly that plan, and plans again: nothing is left to
// do.
func (a *motoSide) apply(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	check := func(step string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v\n%s", step, err, a.log)
		}
	}
	check("init", a.tf.Init(ctx))
	vars := a.varFile(t)
	changes, err := a.tf.Plan(ctx, vars, tfexec.Out("plan"))
	check("plan", err)
	if !changes {
		t.Fatal("the first plan has no changes")
	}
	check("apply", a.tf.Apply(ctx, vars, tfexec.DirOrPlan("plan")))
	changes, err = a.tf.Plan(ctx, vars, tfexec.Out("again"))
	check("plan again", err)
	if changes {
		text, _ := a.tf.ShowPlanFileRaw(ctx, "again")
		t.Fatalf("the second plan has changes:\n%s", text)
	}
	a.out, err = a.tf.Output(ctx)
	check("output", err)
}

func (a *motoSide) destroy(t *testing.T) {
	t.Helper()
	vars := a.varFile(t)
	if a.side.L3 && a.project.Options.AWS.Table == "" {
		// The table is protected while keep_store is true.
		module := a.rendered(t)
		module["module"].(map[string]any)["hotreader"].(map[string]any)["keep_store"] = false
		a.write(t, module)
		if err := a.tf.Apply(t.Context(), vars, tfexec.Target("module.hotreader.aws_dynamodb_table.hot")); err != nil {
			t.Fatalf("let go of the table: %v\n%s", err, a.log)
		}
	}
	if err := a.tf.Destroy(t.Context(), vars, tfexec.Refresh(false)); err != nil {
		t.Fatalf("destroy: %v\n%s", err, a.log)
	}
}

func (a *motoSide) rendered(t *testing.T) (module map[string]any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(a.dir, "main.tf.json"))
	if err == nil {
		err = json.Unmarshal(text, &module)
	}
	if err != nil {
		t.Fatal(err)
	}
	return module
}

func (a *motoSide) write(t *testing.T, module map[string]any) {
	t.Helper()
	text, err := json.Marshal(module)
	if err == nil {
		err = os.WriteFile(filepath.Join(a.dir, "main.tf.json"), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestPitfall15AWSOnMoto applies the three AWS sides that there are: the twin and
// its hot storage; hot storage for a twin elsewhere; the twin of hot storage
// elsewhere. It holds what is made against what was meant, with IAM enforced
// what each role may do, and destroys it all.
func TestPitfall15AWSOnMoto(t *testing.T) {
	t.Parallel() // most of it is waiting
	const table = "press-rows"
	makeTable(t, table)
	before := listing(t)
	both := newMotoSide(t, "pump", config.AWS, config.AWS, config.Options{})
	store := newMotoSide(t, "press", config.AWS, config.Azure, config.Options{
		AWS: config.AWSOptions{Table: table, APIKey: true, AccountLogRole: true}, Settings: config.Settings{Rate: 7}, LogDays: 7, MemoryMB: 256,
	})
	twin := newMotoSide(t, "mill", config.GCP, config.AWS, config.Options{})
	all := []*motoSide{both, store, twin}

	each := func(step string, do func(*testing.T, *motoSide)) {
		t.Helper()
		ok := t.Run(step, func(t *testing.T) {
			// All at once, however many tests may run: they wait for AWS's provider,
			// which waits between its requests.
			var running sync.WaitGroup
			for _, a := range all {
				running.Go(func() { t.Run(a.project.Twin, func(t *testing.T) { do(t, a) }) })
			}
			running.Wait()
		})
		if !ok {
			t.FailNow()
		}
	}
	each("apply", func(t *testing.T, a *motoSide) { a.apply(t) })

	for _, a := range all {
		t.Run("functions of "+a.project.Twin, func(t *testing.T) { checkFunctions(t, a) })
		t.Run("no token of "+a.project.Twin, func(t *testing.T) { checkNoToken(t, a) })
	}
	t.Run("roles", func(t *testing.T) {
		if got, want := actions(t, "pump-hot-reader"), []string{"dynamodb:Query", "logs:CreateLogStream", "logs:PutLogEvents", "xray:PutTelemetryRecords", "xray:PutTraceSegments"}; !slices.Equal(got, want) {
			t.Errorf("the reader of a local store may %q, want %q", got, want)
		}
		if got, want := actions(t, "mill-hot-reader-last-entry"), []string{"logs:CreateLogStream", "logs:PutLogEvents", "secretsmanager:GetSecretValue", "xray:PutTelemetryRecords", "xray:PutTraceSegments"}; !slices.Equal(got, want) {
			t.Errorf("the reader of a remote store may %q, want %q", got, want)
		}
	})
	t.Run("api", func(t *testing.T) { checkAPI(t, store) })
	t.Run("public", func(t *testing.T) {
		// Of the three only the store for a twin elsewhere is reachable.
		if got := listing(t)["REST APIs"]; !slices.Equal(got, []string{"press-hot-reader-api"}) {
			t.Errorf("REST APIs %q", got)
		}
		for _, a := range all {
			var url string
			if err := json.Unmarshal(a.out["url"].Value, &url); err != nil || (url != "") != (a == store) {
				t.Errorf("%s: url %q, %v", a.project.Twin, url, err)
			}
		}
	})
	t.Run("twinmaker", func(t *testing.T) { checkStacks(t, twin) })
	t.Run("permissions", checkPermissions)

	each("destroy", func(t *testing.T, a *motoSide) { a.destroy(t) })
	if after := listing(t); !maps.EqualFunc(before, after, slices.Equal) {
		t.Errorf("before:\n%v\nafter:\n%v", before, after)
	}
	for _, a := range all {
		checkNoToken(t, a) // nor in what destroying wrote
	}
}

// checkFunctions holds what moto was given against what the program accepts.
func checkFunctions(t *testing.T, a *motoSide) {
	if len(a.side.Functions) == 0 {
		t.Fatal("no functions")
	}
	for _, f := range a.side.Functions {
		var got struct {
			Configuration struct {
				Handler, Runtime, Role, CodeSha256 string
				Architectures                      []string
				Timeout                            int
				MemorySize                         int
				Environment                        struct{ Variables map[string]string }
				TracingConfig                      struct{ Mode string }
			}
			Code struct{ Location string }
		}
		ask(t, "lambda", http.MethodGet, "/2015-03-31/functions/"+f.Name, nil, "", &got)
		c := got.Configuration
		if c.Handler != string(f.Role) || c.Runtime != "provided.al2023" || !slices.Equal(c.Architectures, []string{"arm64"}) ||
			c.Timeout != 30 || c.TracingConfig.Mode != "Active" || !strings.HasSuffix(c.Role, ":role/"+f.Name) {
			t.Errorf("%s: %+v", f.Name, c)
		}
		sum := sha256.Sum256(a.pkg)
		if want := base64.StdEncoding.EncodeToString(sum[:]); c.CodeSha256 != want {
			t.Errorf("%s: its code has the sum %s, want %s", f.Name, c.CodeSha256, want)
		}
		env := c.Environment.Variables
		size := 0
		for k, v := range env {
			size += len(k) + len(v)
		}
		if size > 4096 {
			t.Errorf("%s: %d bytes of variables; Lambda takes 4096", f.Name, size)
		}
		read, err := config.Lambda(func(name string) string {
			switch name {
			case "_HANDLER":
				return c.Handler
			case "AWS_REGION":
				return engine.Region
			}
			return env[name]
		})
		if err != nil {
			t.Errorf("%s does not start: %v", f.Name, err)
			continue
		}
		if read.Remote != f.Remote || (read.Table != "") != f.Store || (read.TokenSecret != "") != a.side.Token {
			t.Errorf("%s reads its environment as %+v", f.Name, read)
		}
		if a.side.Token {
			if got := secretValue(t, read.TokenSecret); got != a.token {
				t.Errorf("%s: its secret does not hold the token", f.Name)
			}
		}
		var groups struct {
			LogGroups []struct{ RetentionInDays int }
		}
		ask(t, "logs", http.MethodPost, "/", map[string]string{"logGroupNamePrefix": "/aws/lambda/" + f.Name}, "Logs_20140328.DescribeLogGroups", &groups)
		if len(groups.LogGroups) == 0 || groups.LogGroups[0].RetentionInDays != cmp.Or(a.project.Options.LogDays, 14) {
			t.Errorf("%s: log groups %+v", f.Name, groups)
		}
	}
}

// checkNoToken looks for the token wherever Terraform writes.
func checkNoToken(t *testing.T, a *motoSide) {
	t.Helper()
	if a.token == "" {
		return
	}
	if strings.Contains(a.log.String(), a.token) {
		t.Error("what Terraform says shows the token")
	}
	root, err := os.OpenRoot(a.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	var files []string
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.Contains(name, "/providers/") {
			return err
		}
		text, err := fs.ReadFile(root.FS(), name)
		if err != nil {
			return err
		}
		files = append(files, name)
		if tokenIn(text, a.token) {
			t.Errorf("%s holds the token", name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"terraform.tfstate", "plan", "again", "main.tf.json"} {
		if !slices.Contains(files, name) {
			t.Errorf("%s was not looked at", name)
		}
	}
}

// tokenIn looks into a zip, as a plan is one, too.
func tokenIn(text []byte, token string) bool {
	if bytes.Contains(text, []byte(token)) {
		return true
	}
	z, err := zip.NewReader(bytes.NewReader(text), int64(len(text)))
	if err != nil {
		return false
	}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			continue
		}
		inner, err := io.ReadAll(r)
		r.Close()
		if err == nil && bytes.Contains(inner, []byte(token)) {
			return true
		}
	}
	return false
}

func checkAPI(t *testing.T, a *motoSide) {
	id := apiID(t)
	var api struct{ BinaryMediaTypes []string }
	ask(t, "apigateway", http.MethodGet, "/restapis/"+id, nil, "", &api)
	if !slices.Equal(api.BinaryMediaTypes, []string{"*/*"}) {
		t.Errorf("binary media types %q", api.BinaryMediaTypes)
	}
	var resources struct {
		Item []struct {
			Path            string
			ResourceMethods map[string]struct {
				APIKeyRequired    bool `json:"apiKeyRequired"`
				MethodIntegration struct{ Type, URI string }
			}
		}
	}
	ask(t, "apigateway", http.MethodGet, "/restapis/"+id+"/resources", nil, "", &resources)
	var routes []string
	for _, r := range resources.Item {
		for method, m := range r.ResourceMethods {
			routes = append(routes, method+" "+r.Path)
			if want := strings.HasPrefix(r.Path, "/v1/"); m.APIKeyRequired != want {
				t.Errorf("%s %s: an API key is required: %v", method, r.Path, m.APIKeyRequired)
			}
			if i := m.MethodIntegration; i.Type != "AWS_PROXY" || !strings.Contains(i.URI, ":function:press-hot-reader-api/invocations") {
				t.Errorf("%s %s goes to %+v", method, r.Path, i)
			}
		}
	}
	slices.Sort(routes)
	want := []string{"GET /healthz", "GET /openapi.json", "GET /v1/devices/{id}/history", "GET /v1/devices/{id}/latest", "POST /read"}
	if !slices.Equal(routes, want) {
		t.Errorf("routes %q", routes)
	}
	var stage struct {
		AccessLogSettings struct{ Format string }
		TracingEnabled    bool
		MethodSettings    map[string]struct {
			ThrottlingRateLimit  float64
			ThrottlingBurstLimit int
			DataTraceEnabled     bool
		}
	}
	ask(t, "apigateway", http.MethodGet, "/restapis/"+id+"/stages/prod", nil, "", &stage)
	m := stage.MethodSettings["*/*"]
	if !stage.TracingEnabled || m.ThrottlingRateLimit != 7 || m.ThrottlingBurstLimit != 14 || m.DataTraceEnabled {
		t.Errorf("stage %+v", stage)
	}
	if f := stage.AccessLogSettings.Format; !strings.Contains(f, "$context.status") || strings.Contains(f, "header") {
		t.Errorf("access log %q", f)
	}
	// What the gateway answers by itself reads as the API's own problems do.
	var answers struct {
		Item []struct {
			ResponseType, StatusCode              string
			ResponseTemplates, ResponseParameters map[string]string
		}
	}
	ask(t, "apigateway", http.MethodGet, "/restapis/"+id+"/gatewayresponses", nil, "", &answers)
	if len(answers.Item) != 10 {
		t.Errorf("%d gateway answers", len(answers.Item))
	}
	for _, a := range answers.Item {
		if a.ResponseParameters["gatewayresponse.header.Content-Type"] != "'application/problem+json'" {
			t.Errorf("%s has the parameters %v", a.ResponseType, a.ResponseParameters)
		}
		status, _ := strconv.Atoi(a.StatusCode) // of the default ones there is none
		got := wire.ParseProblem(status, http.Header{"Content-Type": {"application/problem+json"}}, []byte(a.ResponseTemplates["application/json"]))
		if want := wire.StatusOf(got.Code); got.TraceID != "$context.requestId" || got.Detail == "" || status != 0 && status != want {
			t.Errorf("%s: %+v, for which the API's status is %d", a.ResponseType, got, want)
		}
	}
	var policy struct{ Policy string }
	ask(t, "lambda", http.MethodGet, "/2015-03-31/functions/press-hot-reader-api/policy", nil, "", &policy)
	if !strings.Contains(policy.Policy, id+"/prod/*") || strings.Count(policy.Policy, `"Sid"`) != 1 {
		t.Errorf("who may invoke the API's function: %s", policy.Policy)
	}
}

func apiID(t *testing.T) string {
	t.Helper()
	var apis struct{ Item []struct{ ID string } }
	ask(t, "apigateway", http.MethodGet, "/restapis", nil, "", &apis)
	if len(apis.Item) != 1 {
		t.Fatalf("%d REST APIs", len(apis.Item))
	}
	return apis.Item[0].ID
}

// checkStacks looks at what the component types' stacks were given.
func checkStacks(t *testing.T, a *motoSide) {
	text := query(t, "cloudformation", "Action=DescribeStacks&Version=2010-05-15")
	for _, name := range []string{"hot-reader", "hot-reader-last-entry"} {
		arn := "<ParameterValue>arn:aws:lambda:" + engine.Region + ":" + engine.MotoAccount + ":function:mill-" + name + "</ParameterValue>"
		if n := strings.Count(text, arn); n != len(a.project.Devices) {
			t.Errorf("%d stacks have the parameter %s; want %d", n, arn, len(a.project.Devices))
		}
	}
	policy := rolePolicies(t, "mill-twinmaker")
	want := []string{
		"arn:aws:lambda:" + engine.Region + ":" + engine.MotoAccount + ":function:mill-hot-reader",
		"arn:aws:lambda:" + engine.Region + ":" + engine.MotoAccount + ":function:mill-hot-reader-last-entry",
	}
	var got []string
	for _, s := range policy {
		if slices.Contains(list(s.Action), "lambda:InvokeFunction") {
			got = append(got, list(s.Resource)...)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the workspace's role may invoke %q, want %q", got, want)
	}
}

// checkPermissions tries, with IAM enforced, what the functions' roles may and
// may not do.
func checkPermissions(t *testing.T) {
	const own, other = "pump-hot-iot-data", "press-rows"
	tokenOfMill, tokenOfPress := secretARN(t, "mill-inter-cloud-token"), secretARN(t, "press-inter-cloud-token")
	reader, api, remote := assume(t, "pump-hot-reader"), assume(t, "press-hot-reader-api"), assume(t, "mill-hot-reader")
	enforce(t, "0")
	defer enforce(t, "inf")
	item := map[string]types.AttributeValue{
		"device_id": &types.AttributeValueMemberS{Value: "d"}, "timestamp": &types.AttributeValueMemberS{Value: "2026-01-01T00:00:00Z"},
	}
	queryOn := func(table string) func(context.Context, actor) error {
		return func(ctx context.Context, a actor) error {
			_, err := a.dynamodb.Query(ctx, &dynamodb.QueryInput{
				TableName: &table, KeyConditionExpression: aws.String("device_id = :d"),
				ExpressionAttributeValues: map[string]types.AttributeValue{":d": item["device_id"]},
			})
			return err
		}
	}
	get := func(arn string) func(context.Context, actor) error {
		return func(ctx context.Context, a actor) error {
			_, err := a.secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &arn})
			return err
		}
	}
	put := func(ctx context.Context, a actor) error {
		_, err := a.dynamodb.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String(own), Item: item})
		return err
	}
	scan := func(ctx context.Context, a actor) error {
		_, err := a.dynamodb.Scan(ctx, &dynamodb.ScanInput{TableName: aws.String(own)})
		return err
	}
	remove := func(ctx context.Context, a actor) error {
		_, err := a.dynamodb.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: aws.String(own), Key: item})
		return err
	}
	drop := func(ctx context.Context, a actor) error {
		_, err := a.dynamodb.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: aws.String(own)})
		return err
	}
	for _, c := range []struct {
		name  string
		actor actor
		do    func(context.Context, actor) error
		may   bool
	}{
		{"reader queries its table", reader, queryOn(own), true},
		{"reader queries another table", reader, queryOn(other), false},
		{"reader puts", reader, put, false},
		{"reader scans", reader, scan, false},
		{"reader deletes", reader, remove, false},
		{"reader drops its table", reader, drop, false},
		{"reader gets a secret", reader, get(tokenOfMill), false},
		{"API queries its table", api, queryOn(other), true},
		{"API queries another table", api, queryOn(own), false},
		{"API puts", api, put, false},
		{"API gets its token", api, get(tokenOfPress), true},
		{"API gets another secret", api, get(tokenOfMill), false},
		{"remote reader gets its token", remote, get(tokenOfMill), true},
		{"remote reader gets another secret", remote, get(tokenOfPress), false},
		{"remote reader queries a table", remote, queryOn(own), false},
		{"remote reader puts", remote, put, false},
	} {
		err := c.do(t.Context(), c.actor)
		// The SDK cannot decode what moto says, but each actor has something that it
		// may, so that 403 is no fault of its signature.
		answer, ok := errors.AsType[*smithyhttp.ResponseError](err)
		denied := ok && answer.HTTPStatusCode() == http.StatusForbidden
		if c.may && err != nil || !c.may && !denied {
			t.Errorf("%s: allowed should be %v, got %v", c.name, c.may, err)
		}
	}
}

// actor calls AWS with one role's credentials.
type actor struct {
	dynamodb *dynamodb.Client
	secrets  *secretsmanager.Client
}

func assume(t *testing.T, role string) actor {
	t.Helper()
	text := query(t, "sts", "Action=AssumeRole&Version=2011-06-15&RoleSessionName=test&RoleArn=arn:aws:iam::"+engine.MotoAccount+":role/"+role)
	field := func(name string) string {
		m := regexp.MustCompile("<" + name + ">([^<]+)<").FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("assume %s: %s", role, text)
		}
		return m[1]
	}
	credentials := aws.Credentials{AccessKeyID: field("AccessKeyId"), SecretAccessKey: field("SecretAccessKey"), SessionToken: field("SessionToken")}
	provider := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return credentials, nil })
	endpoint := aws.String(engine.Moto(t))
	return actor{
		dynamodb.New(dynamodb.Options{Region: engine.Region, BaseEndpoint: endpoint, Credentials: provider, RetryMaxAttempts: 1}),
		secretsmanager.New(secretsmanager.Options{Region: engine.Region, BaseEndpoint: endpoint, Credentials: provider, RetryMaxAttempts: 1}),
	}
}

// enforce tells moto after how many requests it is to judge them by IAM.
func enforce(t *testing.T, after string) {
	t.Helper()
	resp, err := http.Post(engine.Moto(t)+"/moto-api/reset-auth", "text/plain", strings.NewReader(after))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("reset-auth %s: %s", after, resp.Status)
	}
}

// send makes one request to a service of moto, which needs no signature but its
// credential scope, and returns the answer.
func send(t *testing.T, service, method, path, contentType, target, body string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, engine.Moto(t)+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+engine.AccessKeyID+"/20260101/"+engine.Region+"/"+service+"/aws4_request, SignedHeaders=host, Signature=0")
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	if target != "" {
		r.Header.Set("X-Amz-Target", target)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode/100 != 2 {
		t.Fatalf("%s %s %s %s: %s %v\n%s", service, method, path, body, resp.Status, err, text)
	}
	return string(text)
}

// query makes a request of the query protocol; the answer is XML.
func query(t *testing.T, service, body string) string {
	t.Helper()
	return send(t, service, http.MethodPost, "/", "application/x-www-form-urlencoded", "", body)
}

// ask makes a request whose answer is JSON.
func ask(t *testing.T, service, method, path string, body any, target string, answer any) {
	t.Helper()
	text := ""
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		text = string(b)
	}
	got := send(t, service, method, path, "application/x-amz-json-1.1", target, text)
	if answer == nil {
		return
	}
	if err := json.Unmarshal([]byte(got), answer); err != nil {
		t.Fatalf("%s %s: %v\n%s", service, path, err, got)
	}
}

func makeTable(t *testing.T, name string) {
	t.Helper()
	ask(t, "dynamodb", http.MethodPost, "/", map[string]any{
		"TableName": name, "BillingMode": "PAY_PER_REQUEST",
		"KeySchema":            []any{map[string]string{"AttributeName": "device_id", "KeyType": "HASH"}, map[string]string{"AttributeName": "timestamp", "KeyType": "RANGE"}},
		"AttributeDefinitions": []any{map[string]string{"AttributeName": "device_id", "AttributeType": "S"}, map[string]string{"AttributeName": "timestamp", "AttributeType": "S"}},
	}, "DynamoDB_20120810.CreateTable", nil)
}

func secretARN(t *testing.T, name string) string {
	t.Helper()
	var found struct{ ARN string }
	ask(t, "secretsmanager", http.MethodPost, "/", map[string]string{"SecretId": name}, "secretsmanager.DescribeSecret", &found)
	return found.ARN
}

func secretValue(t *testing.T, id string) string {
	t.Helper()
	var got struct{ SecretString string }
	ask(t, "secretsmanager", http.MethodPost, "/", map[string]string{"SecretId": id}, "secretsmanager.GetSecretValue", &got)
	return got.SecretString
}

type statement struct{ Effect, Action, Resource any }

// list is one string or several.
func list(v any) (l []string) {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		for _, s := range v {
			l = append(l, fmt.Sprint(s))
		}
	}
	return l
}

// rolePolicies returns the statements of all policies of a role.
func rolePolicies(t *testing.T, role string) (all []statement) {
	t.Helper()
	for _, name := range tags(query(t, "iam", "Action=ListRolePolicies&Version=2010-05-08&RoleName="+role), "member") {
		text := query(t, "iam", "Action=GetRolePolicy&Version=2010-05-08&RoleName="+role+"&PolicyName="+name)
		document := tags(text, "PolicyDocument")
		if len(document) != 1 {
			t.Fatalf("policy %s: %s", name, text)
		}
		var p struct{ Statement []statement }
		if err := json.Unmarshal([]byte(unescape(t, document[0])), &p); err != nil {
			t.Fatalf("policy %s: %v\n%s", name, err, document[0])
		}
		all = append(all, p.Statement...)
	}
	if attached := tags(query(t, "iam", "Action=ListAttachedRolePolicies&Version=2010-05-08&RoleName="+role), "PolicyArn"); len(attached) > 0 {
		t.Errorf("role %s has policies %q besides its own", role, attached)
	}
	return all
}

// actions returns what a role may do, sorted.
func actions(t *testing.T, role string) (all []string) {
	t.Helper()
	for _, s := range rolePolicies(t, role) {
		if s.Effect != "Allow" {
			t.Errorf("role %s: %v", role, s)
		}
		all = append(all, list(s.Action)...)
	}
	slices.Sort(all)
	return all
}

// listing returns the names of what stands in moto, service by service.
func listing(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{
		"roles":      tags(query(t, "iam", "Action=ListRoles&Version=2010-05-08"), "RoleName"),
		"policies":   tags(query(t, "iam", "Action=ListPolicies&Scope=Local&Version=2010-05-08"), "PolicyName"),
		"stacks":     tags(query(t, "cloudformation", "Action=DescribeStacks&Version=2010-05-15"), "StackName"),
		"buckets":    tags(send(t, "s3", http.MethodGet, "/", "", "", ""), "Name"),
		"functions":  fields(t, "lambda", http.MethodGet, "/2015-03-31/functions/", "", "FunctionName"),
		"REST APIs":  fields(t, "apigateway", http.MethodGet, "/restapis", "", "name"),
		"API keys":   fields(t, "apigateway", http.MethodGet, "/apikeys", "", "name"),
		"plans":      fields(t, "apigateway", http.MethodGet, "/usageplans", "", "name"),
		"log groups": fields(t, "logs", http.MethodPost, "/", "Logs_20140328.DescribeLogGroups", "logGroupName"),
		"secrets":    fields(t, "secretsmanager", http.MethodPost, "/", "secretsmanager.ListSecrets", "Name"),
		"tables":     fields(t, "dynamodb", http.MethodPost, "/", "DynamoDB_20120810.ListTables", ""),
	}
	for _, l := range all {
		slices.Sort(l)
	}
	return all
}

// fields returns the fields of that name in a JSON answer; with "", the strings
// in its arrays.
func fields(t *testing.T, service, method, path, target, field string) (all []string) {
	t.Helper()
	var answer any
	body := any(map[string]any{})
	if method == http.MethodGet {
		body = nil
	}
	ask(t, service, method, path, body, target, &answer)
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if s, ok := v[field].(string); ok {
				all = append(all, s)
				return
			}
			for _, v := range v {
				walk(v)
			}
		case []any:
			for _, v := range v {
				if s, ok := v.(string); ok && field == "" {
					all = append(all, s)
				}
				walk(v)
			}
		}
	}
	walk(answer)
	return all
}

// unescape undoes the escaping of a policy, which IAM gives as in a URL.
func unescape(t *testing.T, text string) string {
	t.Helper()
	plain, err := url.PathUnescape(html.UnescapeString(text))
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// tags returns the texts of an XML answer's elements of that name.
func tags(xml, name string) (all []string) {
	for _, m := range regexp.MustCompile("<"+name+">([^<]*)</"+name+">").FindAllStringSubmatch(xml, -1) {
		all = append(all, m[1])
	}
	return all
}
