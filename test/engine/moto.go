package engine

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"hotreader/dev/emulators"
)

// MotoAccount is the account that moto gives everybody.
const MotoAccount = "123456789012"

// Python runs a module of this name when it starts.
//
//go:embed moto/sitecustomize.py
var motoCustom []byte

var moto = sync.OnceValues(startMoto)

// Moto returns the endpoint URL of moto, which stands in for AWS's control
// plane: IAM, Lambda, API Gateway, DynamoDB, Secrets Manager, CloudFormation and
// more. It has no TwinMaker: what is in a stack of it counts as made. The tests
// of a binary share what is in it.
func Moto(t testing.TB) string {
	t.Helper()
	endpoint, err := moto()
	if err != nil {
		t.Fatalf("moto: %v", err)
	}
	return endpoint
}

// MotoEnv returns the environment variables, as "NAME=value", with which a
// program under test reaches moto.
func MotoEnv(t testing.TB) []string {
	t.Helper()
	return []string{
		"AWS_ENDPOINT_URL=" + Moto(t),
		"AWS_REGION=" + Region,
		"AWS_ACCESS_KEY_ID=" + AccessKeyID,
		"AWS_SECRET_ACCESS_KEY=" + SecretAccessKey,
		"AWS_EC2_METADATA_DISABLED=true",
		"AWS_CA_BUNDLE=", // there is no TLS
	}
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
