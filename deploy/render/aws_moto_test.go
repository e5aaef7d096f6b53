//go:build engines

package render

import (
	"archive/zip"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/terraform-exec/tfexec"

	"hotreader/config"
	"hotreader/deploy/topology"
	"hotreader/identity"
	"hotreader/layout"
	"hotreader/test/engine"
	"hotreader/test/packages"
	"hotreader/test/transcript"
)

// motoSide is one AWS side, rendered and applied to moto.
type motoSide struct {
	project *config.Project
	side    topology.Side
	token   string // "" = none
	pkg     []byte // the functions' zip
	dir     string
	tf      *tfexec.Terraform
	log     *transcript.Buffer // of Terraform, all it says
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
	if options.Cold.Bucket != "" {
		p.Cold = l3
	}
	top, err := topology.New(p)
	if err != nil {
		t.Fatal(err)
	}
	a := &motoSide{project: p, dir: t.TempDir(), log: new(transcript.Buffer)}
	for _, s := range top.Sides {
		if s.Cloud == config.AWS {
			a.side = s
		}
	}
	in := Inputs{Project: p, Trust: trustOf(t, p, config.AWS)}
	if a.side.Token {
		a.token, in.TokenVersion = config.NewToken().Reveal(), 1
	}
	if !a.side.L3 {
		in.RemoteURL = "https://hall-hot-reader-api.example.com"
	}
	a.pkg = packages.Zip(t, "bootstrap", "bootstrap of "+twin)
	artifacts := t.TempDir()
	if err := os.WriteFile(filepath.Join(artifacts, Packages[config.AWS]), a.pkg, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Folder(a.dir, a.side, in, artifacts); err != nil {
		t.Fatal(err)
	}
	if a.pkg, err = os.ReadFile(filepath.Join(a.dir, "package", Packages[config.AWS])); err != nil { // with the catalogue in it
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

// TestPitfall15AWSOnMoto applies the AWS sides that there are: the twin and its
// hot storage, also in an index; hot storage for a twin elsewhere; the twin of hot
// storage elsewhere. It holds what is made against what was meant, with IAM enforced
// what each role may do, and destroys it all.
func TestPitfall15AWSOnMoto(t *testing.T) {
	t.Parallel() // most of it is waiting
	const table, indexed = "press-rows", "forge-rows"
	makeTable(t, table, "")
	makeTable(t, indexed, `"GlobalSecondaryIndexes":[{"IndexName":"by-time","Projection":{"ProjectionType":"ALL"},
		"KeySchema":[{"AttributeName":"timestamp","KeyType":"HASH"},{"AttributeName":"device_id","KeyType":"RANGE"}]}],`)
	engine.S3Bucket(t, engine.Moto(t), "pump-cold")
	for _, key := range []string{"rows/a", "other/a"} {
		engine.S3Send(t, engine.Moto(t), http.MethodPut, "/pump-cold/"+key, nil, "[]")
	}
	engine.MotoPost("secretsmanager", "secretsmanager.CreateSecret", `{"Name":"grafana","ClientRequestToken":"0123456789abcdef0123456789abcdef","SecretString":"of a caller"}`).Text(t)
	before := engine.MotoNames(t)
	both := newMotoSide(t, "pump", config.AWS, config.AWS, config.Options{AWS: config.AWSOptions{KMSKey: ownKey}, Cold: config.Objects{Bucket: "pump-cold", Prefix: "rows/"}})
	store := newMotoSide(t, "press", config.AWS, config.Azure, config.Options{
		AWS: config.AWSOptions{Table: table, APIKey: true, AccountLogRole: true, ReservedConcurrency: 3, WAF: true, AllowedIPs: []string{"192.0.2.0/24"}, KMSKey: ownKey}, Settings: config.Settings{Rate: 7}, LogDays: 7, MemoryMB: 256,
		Callers: []identity.Trusted{{Name: "grafana", TokenSecret: secretARN(t, "grafana")}},
	})
	twin := newMotoSide(t, "mill", config.GCP, config.AWS, config.Options{Cold: config.Objects{Bucket: "mill-cold"}})
	byIndex := func(index string) config.Options {
		return config.Options{AWS: config.AWSOptions{Table: "arn:aws:dynamodb:" + engine.Region + ":" + engine.MotoAccount + ":table/" + indexed}, Settings: config.Settings{Layout: layout.Layout{DeviceKey: "timestamp", TimeKey: "device_id", Index: index}}}
	}
	index := newMotoSide(t, "forge", config.AWS, config.AWS, byIndex("by-time"))
	all := []*motoSide{both, store, twin, index}

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
		if got, want := actions(t, "pump-hot-reader"), []string{"dynamodb:Query", "kms:Decrypt", "logs:CreateLogStream", "logs:PutLogEvents", "s3:GetObject", "s3:ListBucket", "xray:PutTelemetryRecords", "xray:PutTraceSegments"}; !slices.Equal(got, want) {
			t.Errorf("the reader of a local store may %q, want %q", got, want)
		}
		for _, s := range rolePolicies(t, "pump-hot-reader") {
			want := map[string]string{"s3:ListBucket": "arn:aws:s3:::pump-cold if map[StringLike:map[s3:prefix:rows/*]]", "s3:GetObject": "arn:aws:s3:::pump-cold/rows/* if <nil>"}[list(s.Action)[0]]
			if got := fmt.Sprintf("%v if %v", s.Resource, s.Condition); want != "" && got != want {
				t.Errorf("the reader may %v on %s, want %s", s.Action, got, want)
			}
		}
		if got, want := actions(t, "mill-hot-reader-last-entry"), []string{"logs:CreateLogStream", "logs:PutLogEvents", "secretsmanager:GetSecretValue", "xray:PutTelemetryRecords", "xray:PutTraceSegments"}; !slices.Equal(got, want) {
			t.Errorf("the reader of a remote store may %q, want %q", got, want)
		}
		for _, s := range rolePolicies(t, "forge-hot-reader") {
			arn := "arn:aws:dynamodb:" + engine.Region + ":" + engine.MotoAccount + ":table/" + indexed + "/index/by-time"
			if slices.Contains(list(s.Action), "dynamodb:Query") && !slices.Equal(list(s.Resource), []string{arn}) {
				t.Errorf("the reader of an index may query %q, want %s alone", s.Resource, arn)
			}
		}
	})
	t.Run("an index that is not there", func(t *testing.T) {
		a := newMotoSide(t, "forge", config.AWS, config.AWS, byIndex("by-tmie"))
		if err := a.tf.Init(t.Context()); err != nil {
			t.Fatalf("init: %v\n%s", err, a.log)
		}
		_, err := a.tf.Plan(t.Context(), a.varFile(t))
		if says := strings.Join(strings.Fields(a.log.String()+err.Error()), " "); !strings.Contains(says, "no secondary index by-tmie with the keys timestamp and device_id") {
			t.Errorf("the plan says %s", says)
		}
	})
	t.Run("api", func(t *testing.T) { checkAPI(t, store) })
	t.Run("strangers", checkStrangers)
	t.Run("own keys", checkOwnKeys)
	t.Run("bucket", checkBucket)
	t.Run("public", func(t *testing.T) {
		// Of the three only the store for a twin elsewhere is reachable.
		if got := engine.MotoNames(t)["REST APIs"]; !slices.Equal(got, []string{"press-hot-reader-api"}) {
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
	if after := engine.MotoNames(t); !maps.EqualFunc(before, after, slices.Equal) {
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
		engine.MotoGet("lambda", "/2015-03-31/functions/"+f.Name).JSON(t, &got)
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
		engine.MotoPost("logs", "Logs_20140328.DescribeLogGroups", `{"logGroupNamePrefix":"/aws/lambda/`+f.Name+`"}`).JSON(t, &groups)
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

// checkStacks looks at what the component types' stacks were given.
func checkStacks(t *testing.T, a *motoSide) {
	text := engine.MotoPost("cloudformation", "", "Action=DescribeStacks&Version=2010-05-15").Text(t)
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

// makeTable makes a table, with the indexes that a piece of its JSON says.
func makeTable(t *testing.T, name, indexes string) {
	t.Helper()
	engine.MotoPost("dynamodb", "DynamoDB_20120810.CreateTable", `{"TableName":"`+name+`","BillingMode":"PAY_PER_REQUEST",`+indexes+`
		"KeySchema":[{"AttributeName":"device_id","KeyType":"HASH"},{"AttributeName":"timestamp","KeyType":"RANGE"}],
		"AttributeDefinitions":[{"AttributeName":"device_id","AttributeType":"S"},{"AttributeName":"timestamp","AttributeType":"S"}]}`).Text(t)
}

func secretARN(t *testing.T, name string) string {
	t.Helper()
	var found struct{ ARN string }
	engine.MotoPost("secretsmanager", "secretsmanager.DescribeSecret", `{"SecretId":"`+name+`"}`).JSON(t, &found)
	return found.ARN
}

func secretValue(t *testing.T, id string) string {
	t.Helper()
	var got struct{ SecretString string }
	engine.MotoPost("secretsmanager", "secretsmanager.GetSecretValue", `{"SecretId":"`+id+`"}`).JSON(t, &got)
	return got.SecretString
}
