package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// MotoAccount is the account that moto gives everybody.
const MotoAccount = "123456789012"

var moto = sync.OnceValues(func() (string, error) { return startMoto(nil) })

// Moto returns the endpoint URL of moto, which stands in for AWS's control
// plane: IAM, Lambda, API Gateway, DynamoDB, Secrets Manager, CloudFormation and
// more. Whoever starts it shares it; what is in it is in memory.
func Moto(t testing.TB) string {
	t.Helper()
	endpoint, err := moto()
	if err != nil {
		t.Fatalf("moto: %v", err)
	}
	return endpoint
}

// MotoEnv returns the environment variables, as "NAME=value", with which a
// program under test reaches moto at endpoint.
func MotoEnv(endpoint string) []string {
	return []string{
		"AWS_ENDPOINT_URL=" + endpoint,
		"AWS_REGION=" + Region,
		"AWS_ACCESS_KEY_ID=" + AccessKeyID,
		"AWS_SECRET_ACCESS_KEY=" + SecretAccessKey,
		"AWS_EC2_METADATA_DISABLED=true",
		"AWS_CA_BUNDLE=", // the endpoint is no TLS
	}
}

func startMoto(env []string) (string, error) {
	program, err := motoProgram()
	if err != nil {
		return "", err
	}
	var failures []error
	for range 3 { // the port that was free may be taken by the time moto binds it
		port, err := freePort()
		if err != nil {
			return "", err
		}
		args := append(append([]string{}, env...), program, "-H", "127.0.0.1", "-p", strconv.Itoa(port))
		p, err := start("/", "env", args...)
		if err != nil {
			return "", err
		}
		endpoint := "http://127.0.0.1:" + strconv.Itoa(port)
		if err = p.await(endpoint+"/moto-api/", "Server"); err == nil {
			return mended(endpoint)
		}
		p.stop()
		failures = append(failures, err)
	}
	return "", errors.Join(failures...)
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

// mended serves moto with what it forgets: the binary media types of a REST API,
// whose absence Terraform would take for drift.
func mended(endpoint string) (string, error) {
	target, err := url.Parse(endpoint)
	if err != nil {
		return "", err
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // it is signed
	}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/restapis" {
			proxy.ServeHTTP(w, r)
			return
		}
		if err := createAPI(w, r, proxy); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
		}
	})
	go http.Serve(l, handler) // until the test binary ends
	return "http://" + l.Addr().String(), nil
}

// createAPI creates a REST API and then adds its binary media types.
func createAPI(w http.ResponseWriter, r *http.Request, moto http.Handler) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	var asked struct {
		BinaryMediaTypes []string `json:"binaryMediaTypes"`
	}
	if err := json.Unmarshal(body, &asked); err != nil {
		return err
	}
	created := &answer{header: http.Header{}}
	again := r.Clone(r.Context())
	again.Body, again.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	moto.ServeHTTP(created, again)
	var api map[string]any
	if created.status/100 == 2 && len(asked.BinaryMediaTypes) > 0 {
		if err := json.Unmarshal(created.body.Bytes(), &api); err != nil {
			return err
		}
		var operations []map[string]string
		for _, name := range asked.BinaryMediaTypes {
			operations = append(operations, map[string]string{"op": "add", "path": "/binaryMediaTypes", "value": name})
		}
		patch, err := json.Marshal(map[string]any{"patchOperations": operations})
		if err != nil {
			return err
		}
		r = r.Clone(r.Context())
		r.Method, r.URL.Path, r.RequestURI = http.MethodPatch, "/restapis/"+fmt.Sprint(api["id"]), ""
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(patch)), int64(len(patch))
		patched := &answer{header: http.Header{}}
		moto.ServeHTTP(patched, r)
		if patched.status/100 != 2 {
			return fmt.Errorf("binary media types: %s", strings.TrimSpace(patched.body.String()))
		}
		created.body = patched.body
	}
	for name, values := range created.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(created.body.Len()))
	w.WriteHeader(created.status)
	_, err = w.Write(created.body.Bytes())
	return err
}

// answer is an http.ResponseWriter that keeps what it is given.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }
