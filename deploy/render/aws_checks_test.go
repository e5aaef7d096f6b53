//go:build engines

package render

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"hotreader/test/engine"
	"hotreader/wire"
)

// checkPermissions tries, with IAM enforced, what the functions' roles may and
// may not do.
func checkPermissions(t *testing.T) {
	const own, other = "pump-hot-iot-data", "press-rows"
	tokenOfMill, tokenOfPress, tokenOfCaller := secretARN(t, "mill-inter-cloud-token"), secretARN(t, "press-inter-cloud-token"), secretARN(t, "grafana")
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
	object := func(key string) func(context.Context, actor) error {
		return func(ctx context.Context, a actor) error {
			_, err := a.objects.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("pump-cold"), Key: &key})
			return err
		}
	}
	write := func(ctx context.Context, a actor) error {
		_, err := a.objects.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("pump-cold"), Key: aws.String("rows/a")})
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
		{"reader gets an object of cold storage", reader, object("rows/a"), true},
		{"reader gets another object", reader, object("other/a"), false},
		{"reader puts an object", reader, write, false},
		{"API gets an object of another's cold storage", api, object("rows/a"), false},
		{"API queries its table", api, queryOn(other), true},
		{"API queries another table", api, queryOn(own), false},
		{"API puts", api, put, false},
		{"API gets its token", api, get(tokenOfPress), true},
		{"API gets the token of a caller", api, get(tokenOfCaller), true},
		{"remote reader gets the token of a caller", remote, get(tokenOfCaller), false},
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
	objects  *s3.Client
}

func assume(t *testing.T, role string) actor {
	t.Helper()
	text := engine.MotoPost("sts", "", "Action=AssumeRole&Version=2011-06-15&RoleSessionName=test&RoleArn=arn:aws:iam::"+engine.MotoAccount+":role/"+role).Text(t)
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
		s3.New(s3.Options{Region: engine.Region, BaseEndpoint: endpoint, Credentials: provider, RetryMaxAttempts: 1, UsePathStyle: true}),
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

type statement struct{ Effect, Action, Resource, Condition any }

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
	for _, name := range engine.MotoPost("iam", "", "Action=ListRolePolicies&Version=2010-05-08&RoleName="+role).Tags(t, "member") {
		text := engine.MotoPost("iam", "", "Action=GetRolePolicy&Version=2010-05-08&RoleName="+role+"&PolicyName="+name).Text(t)
		document := engine.Tags(text, "PolicyDocument")
		if len(document) != 1 {
			t.Fatalf("policy %s: %s", name, text)
		}
		var p struct{ Statement []statement }
		if err := json.Unmarshal([]byte(unescape(t, document[0])), &p); err != nil {
			t.Fatalf("policy %s: %v\n%s", name, err, document[0])
		}
		all = append(all, p.Statement...)
	}
	if attached := engine.MotoPost("iam", "", "Action=ListAttachedRolePolicies&Version=2010-05-08&RoleName="+role).Tags(t, "PolicyArn"); len(attached) > 0 {
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

// unescape undoes the escaping of a policy, which IAM gives as in a URL.
func unescape(t *testing.T, text string) string {
	t.Helper()
	plain, err := url.PathUnescape(html.UnescapeString(text))
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

func checkAPI(t *testing.T, a *motoSide) {
	id := apiID(t)
	var api struct{ BinaryMediaTypes []string }
	engine.MotoGet("apigateway", "/restapis/"+id).JSON(t, &api)
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
	engine.MotoGet("apigateway", "/restapis/"+id+"/resources").JSON(t, &resources)
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
	engine.MotoGet("apigateway", "/restapis/"+id+"/stages/prod").JSON(t, &stage)
	for route, rate := range map[string]float64{"*/*": 7, "healthz/GET": 5, "openapi.json/GET": 5} {
		m := stage.MethodSettings[route]
		if !stage.TracingEnabled || m.ThrottlingRateLimit != rate || m.ThrottlingBurstLimit != int(2*rate) || m.DataTraceEnabled {
			t.Errorf("%s: stage %+v", route, stage)
		}
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
	engine.MotoGet("apigateway", "/restapis/"+id+"/gatewayresponses").JSON(t, &answers)
	if len(answers.Item) != 11 {
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
	engine.MotoGet("lambda", "/2015-03-31/functions/press-hot-reader-api/policy").JSON(t, &policy)
	if !strings.Contains(policy.Policy, id+"/prod/*") || strings.Count(policy.Policy, `"Sid"`) != 1 {
		t.Errorf("who may invoke the API's function: %s", policy.Policy)
	}
}

// checkStrangers looks at what keeps strangers from the API, and its function from
// taking more than its share.
func checkStrangers(t *testing.T) {
	var stage struct{ WebACLARN string }
	engine.MotoGet("apigateway", "/restapis/"+apiID(t)+"/stages/prod").JSON(t, &stage)
	if !strings.Contains(stage.WebACLARN, ":regional/webacl/press-hot-reader-api/") {
		t.Errorf("the stage's web ACL is %q", stage.WebACLARN)
	}
	name, id := path.Split(stage.WebACLARN)
	var acl struct {
		WebACL struct {
			DefaultAction struct{ Allow *struct{} }
			Rules         []struct {
				Name      string
				Action    struct{ Block *struct{} }
				Statement struct {
					NotStatement, RateBasedStatement json.RawMessage
				}
				VisibilityConfig struct{ SampledRequestsEnabled bool }
			}
		}
	}
	engine.MotoPost("wafv2", "AWSWAF_20190729.GetWebACL", `{"Name":"`+path.Base(name)+`","Scope":"REGIONAL","Id":"`+id+`"}`).JSON(t, &acl)
	rules := acl.WebACL.Rules
	if acl.WebACL.DefaultAction.Allow == nil || len(rules) != 2 {
		t.Fatalf("web ACL %+v", acl)
	}
	for i, want := range [][]string{{`"authorization"`, `"x-inter-cloud-token"`, `healthz|openapi`}, {`"Limit": 210`, `"EvaluationWindowSec": 60`, `"IP"`}} {
		says := string(append(rules[i].Statement.NotStatement, rules[i].Statement.RateBasedStatement...))
		for _, part := range want {
			if rules[i].Action.Block == nil || rules[i].VisibilityConfig.SampledRequestsEnabled || !strings.Contains(says, part) {
				t.Errorf("rule %s is %+v, %s; want %s in it", rules[i].Name, rules[i], says, part)
			}
		}
	}
	var api struct{ Policy string }
	engine.MotoGet("apigateway", "/restapis/"+apiID(t)).JSON(t, &api)
	if !strings.Contains(api.Policy, "192.0.2.0/24") {
		t.Errorf("who may call the API: %s", api.Policy)
	}
	var reserved struct{ ReservedConcurrentExecutions int }
	engine.MotoGet("lambda", "/2019-09-30/functions/press-hot-reader-api/concurrency").JSON(t, &reserved)
	if reserved.ReservedConcurrentExecutions != 3 {
		t.Errorf("reserved are %d", reserved.ReservedConcurrentExecutions)
	}
}

// ownKey is a key of the account's own.
const ownKey = "arn:aws:kms:" + engine.Region + ":" + engine.MotoAccount + ":key/1234abcd-12ab-34cd-56ef-1234567890ab"

// checkOwnKeys looks for it wherever something is stored, and in the roles of those
// that read it there.
func checkOwnKeys(t *testing.T) {
	for what, said := range map[string]string{
		"table":         engine.MotoPost("dynamodb", "DynamoDB_20120810.DescribeTable", `{"TableName":"pump-hot-iot-data"}`).Text(t),
		"secret":        engine.MotoPost("secretsmanager", "secretsmanager.DescribeSecret", `{"SecretId":"press-inter-cloud-token"}`).Text(t),
		"function log":  engine.MotoPost("logs", "Logs_20140328.DescribeLogGroups", `{"logGroupNamePrefix":"/aws/lambda/pump-hot-reader"}`).Text(t),
		"access log":    engine.MotoPost("logs", "Logs_20140328.DescribeLogGroups", `{"logGroupNamePrefix":"/aws/apigateway/press"}`).Text(t),
		"table's role":  fmt.Sprint(rolePolicies(t, "pump-hot-reader")),
		"secret's role": fmt.Sprint(rolePolicies(t, "press-hot-reader-api")),
	} {
		if !strings.Contains(said, ownKey) {
			t.Errorf("%s: %s does not name the key", what, said)
		}
	}
}

// checkBucket looks at how the workspace's bucket is kept.
func checkBucket(t *testing.T) {
	bucket := "/mill-twinmaker-" + engine.MotoAccount
	for query, want := range map[string]string{"?versioning": "<Status>Enabled</Status>", "?policy": "aws:SecureTransport", "?publicAccessBlock": "<RestrictPublicBuckets>true</RestrictPublicBuckets>"} {
		if said := engine.MotoGet("s3", bucket+query).Text(t); !strings.Contains(said, want) {
			t.Errorf("%s%s is %s, want %s", bucket, query, said, want)
		}
	}
}

func apiID(t *testing.T) string {
	t.Helper()
	var apis struct{ Item []struct{ ID string } }
	engine.MotoGet("apigateway", "/restapis").JSON(t, &apis)
	if len(apis.Item) != 1 {
		t.Fatalf("%d REST APIs", len(apis.Item))
	}
	return apis.Item[0].ID
}
