package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"hotreader/test/serving"
)

// A function's program, as `make dist` delivers it.
type program struct {
	name  string
	archs []string // on Linux
	tags  string
	limit int64    // bytes, unpacked
	port  string   // the variable with the port to serve on; "" = it is a Lambda function
	env   []string // what it needs to start; none of the stores is there
}

const bare = "test/bench/bare"

func twinInfo(cloud string) string {
	return `DIGITAL_TWIN_INFO={"config":{"digital_twin_name":"factory"},"config_providers":{"layer_3_hot_provider":"` + cloud + `","layer_4_provider":"` + cloud + `"}}`
}

const apiToken = "INTER_CLOUD_TOKEN=0123456789abcdef0123456789abcdef"

var programs = []program{
	{name: "cmd/hotreader-lambda", archs: []string{"amd64", "arm64"}, tags: "lambda.norpc", limit: 20e6,
		env: []string{twinInfo("aws"), "DYNAMODB_TABLE_NAME=factory-hot-iot-data", "AWS_REGION=eu-central-1", "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test"}},
	{name: "cmd/hotreader-azure", archs: []string{"amd64", "arm64"}, limit: 24e6, port: "FUNCTIONS_CUSTOMHANDLER_PORT",
		env: []string{twinInfo("azure"), apiToken, "COSMOS_DB_ENDPOINT=http://127.0.0.1:1", "COSMOS_DB_KEY=a2V5", "COSMOS_DB_DATABASE=factory", "COSMOS_DB_CONTAINER=hot"}},
	{name: "cmd/hotreader-cloudrun", archs: []string{"amd64"}, limit: 20e6, port: "PORT",
		env: []string{twinInfo("google"), apiToken, "GOOGLE_CLOUD_PROJECT=plant-1", "FIRESTORE_COLLECTION=hot", "FIRESTORE_EMULATOR_HOST=127.0.0.1:1"}},
}

// built compiles a program as scripts/dist does and returns its path and size.
func built(t testing.TB, name, arch, tags string) (path string, size int64) {
	t.Helper()
	path = filepath.Join(t.TempDir(), filepath.Base(name))
	cmd := exec.CommandContext(t.Context(), "go", "build", "-C", "../..", "-trimpath", "-ldflags=-s -w -buildid=", "-buildvcs=false", "-tags", tags, "-o", path, "./"+name)
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0", "GOEXPERIMENT=", "GOAMD64=v1", "GOARM64=v8.0", "GOOS=linux", "GOARCH="+arch)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, info.Size()
}

// small says whether a program is as small as it must be: sizes are the same on
// every machine.
func (p *program) small(t testing.TB, arch string, size int64) {
	t.Helper()
	if size > p.limit || size < 1e6 {
		t.Errorf("%s for %s has %d bytes, at most %d are allowed; `go version -m` on it lists the modules it links", p.name, arch, size, p.limit)
	}
}

// The benchmark looks at the other processors, too.
func TestProgramsAreSmall(t *testing.T) {
	t.Parallel()
	for _, p := range programs {
		path, size := built(t, p.name, runtime.GOARCH, p.tags)
		p.small(t, runtime.GOARCH, size)
		start(t, path, p.port, p.env)
	}
}

// BenchmarkPrograms: sizes, and the time from exec until the program is ready: a
// Lambda function when it asks for its first event, the others when they answer
// GET /healthz. Each start is followed by one of the bare program, so that what
// slows the machine down slows both.
func BenchmarkPrograms(b *testing.B) {
	for _, p := range programs {
		for _, arch := range p.archs {
			b.Run(filepath.Base(p.name)+"/"+arch, func(b *testing.B) {
				path, size := built(b, p.name, arch, p.tags)
				barePath, bareSize := built(b, bare, arch, "")
				p.small(b, arch, size)
				sizes := func() {
					b.ReportMetric(float64(size)/1e6, "MB")
					b.ReportMetric(float64(size)/float64(bareSize), "×bare-size")
				}
				if arch != runtime.GOARCH {
					sizes()
					return
				}
				barePort := ""
				if p.port != "" {
					barePort = "PORT"
				}
				var ours, theirs []float64
				start(b, path, p.port, p.env) // reads the file from disk
				for b.Loop() {
					ours = append(ours, start(b, path, p.port, p.env).Seconds()*1e3)
					theirs = append(theirs, start(b, barePath, barePort, nil).Seconds()*1e3)
				}
				sizes()
				slices.Sort(ours)
				slices.Sort(theirs)
				b.ReportMetric(ours[len(ours)/2], "ms/start")
				b.ReportMetric(ours[len(ours)/2]/theirs[len(theirs)/2], "×bare-start")
			})
		}
	}
}

// start runs a program until it is ready, kills it and returns how long that took.
func start(t testing.TB, path, port string, env []string) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ready := make(chan struct{}, 1)
	var address string
	if port == "" {
		api := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			select {
			case ready <- struct{}{}:
			default:
			}
			<-r.Context().Done() // there is no event
		}))
		defer api.Close()
		env = append([]string{"AWS_LAMBDA_RUNTIME_API=" + strings.TrimPrefix(api.URL, "http://"), "_HANDLER=hot-reader", "AWS_LAMBDA_FUNCTION_NAME=hot-reader",
			"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=256", "AWS_LAMBDA_FUNCTION_VERSION=$LATEST"}, env...)
	} else {
		free := serving.Port(t) // the platforms, too, choose the port for the program
		address = fmt.Sprintf("127.0.0.1:%d", free)
		env = append([]string{port + "=" + strconv.Itoa(free)}, env...)
	}
	cmd := exec.CommandContext(ctx, path)
	cmd.Env = env
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if address != "" {
		go func() {
			for ctx.Err() == nil {
				if resp, err := http.Get(fmt.Sprintf("http://%s/healthz", address)); err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					ready <- struct{}{}
					return
				}
				time.Sleep(100 * time.Microsecond)
			}
		}()
	}
	select {
	case <-ready:
	case <-ctx.Done():
	}
	took := time.Since(began)
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // it was killed
	if ctx.Err() != nil {
		t.Fatalf("%s is not ready after %s: %s", path, took, said.String())
	}
	return took
}
