// Package engine starts real storage engines, made by others, for tests. An
// engine runs once a test binary, on a port of its own, in memory, and ends
// with the test binary, however that ends. A missing engine fails the test and
// says how to get it; nothing is skipped.
package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"hotreader/dev/emulators"
)

// Region, AccessKeyID and SecretAccessKey are what tests sign with.
const (
	Region          = "eu-central-1"
	AccessKeyID     = "hotreadertest"
	SecretAccessKey = "hotreadertest"
)

// startTime is how long an engine may take to answer its first request. Java
// on a busy machine is slow.
const startTime = 90 * time.Second

// The engines run once a process, and a test binary has no other place to keep
// them: several tests, in any order, share one.
var (
	dynamoDB  = emulator(emulators.DynamoDB(), "HOTREADER_DYNAMODB")
	cosmos    = emulator(emulators.CosmosDB(), "HOTREADER_COSMOS")
	firestore = emulator(emulators.Firestore(), "HOTREADER_FIRESTORE")
	moto      = shared("moto", startMoto)
	azurite   = emulator(azuriteEmulator, "HOTREADER_AZURITE")
	gcs       = shared("fake-gcs-server", startGCS)
	gofakes3  = shared("gofakes3", startGoFakeS3)
)

// shared returns what gives a test the URL of an engine that start starts, once.
func shared(name string, start func() (string, error)) func(t testing.TB) string {
	start = sync.OnceValues(start)
	return func(t testing.TB) string {
		t.Helper()
		url, err := start()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return url
	}
}

func emulator(e emulators.Emulator, variable string) func(t testing.TB) string {
	return shared(e.Name, func() (string, error) { return startEmulator(e, variable) })
}

// DynamoDB returns the endpoint URL of AWS's DynamoDB Local.
func DynamoDB(t testing.TB) string { return dynamoDB(t) }

// DynamoDBClient returns a client of DynamoDB's engine.
func DynamoDBClient(t testing.TB) *dynamodb.Client {
	t.Helper()
	return dynamodb.New(dynamodb.Options{
		Region:       Region,
		BaseEndpoint: aws.String(DynamoDB(t)),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: AccessKeyID, SecretAccessKey: SecretAccessKey}, nil
		}),
	})
}

// DynamoDBEnv returns the environment variables, as "NAME=value", with which a
// program under test reaches DynamoDB's engine.
func DynamoDBEnv(t testing.TB) []string {
	t.Helper()
	return awsEnv("AWS_ENDPOINT_URL_DYNAMODB=" + DynamoDB(t))
}

func awsEnv(more ...string) []string {
	return append(more, "AWS_REGION="+Region, "AWS_ACCESS_KEY_ID="+AccessKeyID, "AWS_SECRET_ACCESS_KEY="+SecretAccessKey, "AWS_EC2_METADATA_DISABLED=true")
}

// CosmosKey is the account key.
const CosmosKey = emulators.CosmosKey

// Cosmos returns the endpoint URL of the Cosmos DB emulator. It keeps everything
// in memory and checks neither keys nor partition keys.
func Cosmos(t testing.TB) string { return cosmos(t) }

// CosmosEnv returns the environment variables, as "NAME=value", with which a
// program under test reaches the emulator.
func CosmosEnv(t testing.TB) []string {
	t.Helper()
	return []string{"COSMOS_DB_ENDPOINT=" + Cosmos(t), "COSMOS_DB_KEY=" + CosmosKey}
}

// FirestoreProject is a project that tests may use. The emulator has every
// project and every database, and what is in them is its own.
const FirestoreProject = "hotreader-test"

// Firestore returns the endpoint URL of Google's Firestore emulator. It keeps
// everything in memory, needs no indexes and checks no permissions.
func Firestore(t testing.TB) string { return firestore(t) }

// FirestoreEnv returns the environment variables, as "NAME=value", with which a
// program under test reaches the emulator.
func FirestoreEnv(t testing.TB) []string {
	t.Helper()
	return []string{
		"FIRESTORE_EMULATOR_HOST=" + strings.TrimPrefix(Firestore(t), "http://"),
		"GOOGLE_CLOUD_PROJECT=" + FirestoreProject,
	}
}

// startEmulator starts an emulator and returns its URL.
func startEmulator(e emulators.Emulator, variable string) (string, error) {
	dir, err := find(variable, e.Folder, e.File)
	if err != nil {
		return "", err
	}
	program, err := e.Find(dir, "run `make engines`")
	if err != nil {
		return "", err
	}
	return serve(dir, func(port string) []string { return append([]string{program}, e.Args(port)...) }, e.Answers)
}

// serve starts a program on a free port and returns its URL once it answers.
func serve(dir string, command func(port string) []string, answers func(ctx context.Context, address string) error) (string, error) {
	var failures []error
	for range 3 { // the port that was free may be taken by the time the program binds it
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		address := l.Addr().String()
		l.Close()
		_, port, _ := net.SplitHostPort(address)
		p, err := start(dir, command(port)...)
		if err != nil {
			return "", err
		}
		if err = p.await(func(ctx context.Context) error { return answers(ctx, address) }); err == nil {
			return "http://" + address, nil
		}
		p.stop()
		failures = append(failures, err)
	}
	return "", errors.Join(failures...)
}

// find returns the folder that holds an engine: the one that the environment
// names, else .engines/NAME beside the go.mod above the working folder.
func find(env, name, file string) (string, error) {
	if dir := os.Getenv(env); dir != "" {
		if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
			return "", fmt.Errorf("%s names %s, where there is no %s; run `make engines` and unset it, or correct it", env, dir, file)
		}
		return dir, nil
	}
	root, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			break
		}
		up := filepath.Dir(root)
		if up == root {
			return "", fmt.Errorf("the working folder is not within the module, so .engines was not found; set %s", env)
		}
		root = up
	}
	dir := filepath.Join(root, ".engines", name)
	if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
		return "", fmt.Errorf("%s is missing; run `make engines`, or set %s to a folder that holds %s", dir, env, file)
	}
	return dir, nil
}

// watch runs the engine and kills it when standard input ends. The other end of
// that pipe is held by this process alone, so the system closes it even where
// nothing of ours can run any more: a panic, a test time-out, kill -9. An
// interrupt from the terminal goes to the whole group; it is ignored here, for
// it ends the test binary and with that the pipe. If the engine ends first, so
// does the shell, and start's caller learns of it.
const watch = `trap "" INT TERM HUP
exec 3<&0
"$@" </dev/null 3<&- & engine=$!
{ cat; kill -9 $engine; } <&3 >/dev/null 2>&1 & watcher=$!
wait $engine
kill -9 $watcher`

type process struct {
	life   io.Closer // closing it ends the engine
	exited chan struct{}
	output emulators.Tail
}

func start(dir string, command ...string) (*process, error) {
	p := &process{exited: make(chan struct{})}
	cmd := exec.Command("/bin/sh", append([]string{"-c", watch, "engine"}, command...)...)
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
	life, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p.life = life
	go func() {
		cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

func (p *process) stop() {
	p.life.Close()
	<-p.exited
}

// await waits until answers returns nil.
func (p *process) await(answers func(context.Context) error) error {
	var last error
	for end := time.Now().Add(startTime); time.Now().Before(end); {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		last = answers(ctx)
		cancel()
		if last == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("it ended at once:\n%s", p.output.Last(100))
		case <-time.After(100 * time.Millisecond):
		}
	}
	return fmt.Errorf("no answer within %v: %w; it wrote:\n%s", startTime, last, p.output.Last(100))
}
