package engine

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"hotreader/dev/emulators"
)

// MotoAccount is the account that moto gives everybody.
const MotoAccount = "123456789012"

// Python runs a module of this name when it starts.
//
//go:embed moto/sitecustomize.py
var motoCustom []byte

// Moto returns the endpoint URL of moto, which stands in for AWS's control
// plane: IAM, Lambda, API Gateway, DynamoDB, Secrets Manager, CloudFormation and
// more. It has no TwinMaker: what is in a stack of it counts as made. The tests
// of a binary share what is in it.
func Moto(t testing.TB) string { return moto(t) }

// MotoEnv returns the environment variables, as "NAME=value", with which a
// program under test reaches moto.
func MotoEnv(t testing.TB) []string {
	t.Helper()
	return awsEnv("AWS_ENDPOINT_URL="+Moto(t), "AWS_CA_BUNDLE=") // there is no TLS
}

func startMoto() (string, error) {
	program, err := motoProgram()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "moto-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir) // it is read when moto starts
	if err := os.WriteFile(filepath.Join(dir, "sitecustomize.py"), motoCustom, 0o600); err != nil {
		return "", err
	}
	answers := emulators.Emulator{Header: "Server", Transport: http.DefaultTransport}.Answers
	return serve(dir, func(port string) []string {
		return []string{"env", "PYTHONPATH=" + dir, "PYTHONDONTWRITEBYTECODE=1", program, "-H", "127.0.0.1", "-p", port}
	}, func(ctx context.Context, address string) error { return answers(ctx, address+"/moto-api/") })
}

// motoProgram is moto_server: that which HOTREADER_MOTO names, or that on the
// PATH.
func motoProgram() (string, error) {
	const remedy = "install it with `pip install 'moto[server]'`, or name it with HOTREADER_MOTO"
	if program := os.Getenv("HOTREADER_MOTO"); program != "" {
		if _, err := os.Stat(program); err != nil {
			return "", fmt.Errorf("HOTREADER_MOTO: %w; %s", err, remedy)
		}
		return program, nil
	}
	program, err := exec.LookPath("moto_server")
	if err != nil {
		return "", errors.New("moto_server is not on the PATH; " + remedy)
	}
	return program, nil
}

// MotoCall is a request to a service of moto, which needs no signature but its
// credential scope. A body that begins with Action= is of the query protocol,
// whose answer is XML.
type MotoCall struct{ Service, Method, Path, Target, Body string }

// MotoGet returns a GET.
func MotoGet(service, path string) MotoCall { return MotoCall{service, http.MethodGet, path, "", ""} }

// MotoPost returns a POST of the query protocol, or of JSON to a target.
func MotoPost(service, target, body string) MotoCall {
	return MotoCall{service, http.MethodPost, "/", target, body}
}

// Text returns the answer. The test ends if it is not one of success.
func (c MotoCall) Text(t testing.TB) string {
	t.Helper()
	r, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), c.Method, Moto(t)+c.Path, strings.NewReader(c.Body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+AccessKeyID+"/20260101/"+Region+"/"+c.Service+"/aws4_request, SignedHeaders=host, Signature=0")
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	if strings.HasPrefix(c.Body, "Action=") {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if c.Target != "" {
		r.Header.Set("X-Amz-Target", c.Target)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode/100 != 2 {
		t.Fatalf("%+v: %s %v\n%s", c, resp.Status, err, text)
	}
	return string(text)
}

// JSON reads the answer into to.
func (c MotoCall) JSON(t testing.TB, to any) {
	t.Helper()
	text := c.Text(t)
	if err := json.Unmarshal([]byte(text), to); err != nil {
		t.Fatalf("%+v: %v\n%s", c, err, text)
	}
}

// Tags returns the texts of the answer's elements of that name.
func (c MotoCall) Tags(t testing.TB, name string) []string {
	t.Helper()
	return Tags(c.Text(t), name)
}

// Tags returns the texts of the elements of that name in XML.
func Tags(xml, name string) (all []string) {
	for _, m := range regexp.MustCompile("<"+name+">([^<]*)</"+name+">").FindAllStringSubmatch(xml, -1) {
		all = append(all, m[1])
	}
	return all
}

// fields returns the values of that name in a JSON answer; with "", the strings
// in its arrays.
func (c MotoCall) fields(t testing.TB, name string) (all []string) {
	t.Helper()
	var answer any
	c.JSON(t, &answer)
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if s, ok := v[name].(string); ok {
				all = append(all, s)
				return
			}
			for _, v := range v {
				walk(v)
			}
		case []any:
			for _, v := range v {
				if s, ok := v.(string); ok && name == "" {
					all = append(all, s)
				}
				walk(v)
			}
		}
	}
	walk(answer)
	return all
}

// MotoNames returns the names of what is deployed on moto, service by service.
func MotoNames(t testing.TB) map[string][]string {
	t.Helper()
	all := map[string][]string{
		"roles":      MotoPost("iam", "", "Action=ListRoles&Version=2010-05-08").Tags(t, "RoleName"),
		"policies":   MotoPost("iam", "", "Action=ListPolicies&Scope=Local&Version=2010-05-08").Tags(t, "PolicyName"),
		"stacks":     MotoPost("cloudformation", "", "Action=DescribeStacks&Version=2010-05-15").Tags(t, "StackName"),
		"buckets":    MotoGet("s3", "/").Tags(t, "Name"),
		"functions":  MotoGet("lambda", "/2015-03-31/functions/").fields(t, "FunctionName"),
		"REST APIs":  MotoGet("apigateway", "/restapis").fields(t, "name"),
		"API keys":   MotoGet("apigateway", "/apikeys").fields(t, "name"),
		"plans":      MotoGet("apigateway", "/usageplans").fields(t, "name"),
		"log groups": MotoPost("logs", "Logs_20140328.DescribeLogGroups", "{}").fields(t, "logGroupName"),
		"secrets":    MotoPost("secretsmanager", "secretsmanager.ListSecrets", "{}").fields(t, "Name"),
		"tables":     MotoPost("dynamodb", "DynamoDB_20120810.ListTables", "{}").fields(t, ""),
	}
	for _, names := range all {
		slices.Sort(names)
	}
	return all
}

// CloudFormationLint returns the path of cfn-lint, which knows CloudFormation's
// schemas: that which HOTREADER_CFN_LINT names, or that on the PATH.
func CloudFormationLint(t testing.TB) string {
	t.Helper()
	name := os.Getenv("HOTREADER_CFN_LINT")
	if name == "" {
		name = "cfn-lint"
	}
	program, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("cfn-lint: %v; install it with `pip install cfn-lint`, or name it with HOTREADER_CFN_LINT", err)
	}
	return program
}
