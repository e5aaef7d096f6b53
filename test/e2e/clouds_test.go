//go:build engines

package e2e

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"hotreader/store/awsdynamodb"
	"hotreader/store/azurecosmos"
	"hotreader/test/engine"
	"hotreader/test/serving"
)

// clouds are the names as the matrix shows them.
var clouds = []string{"aws", "azure", "gcp"}

// hot is one cloud's hot storage.
type hot struct {
	url     string   // for the command
	env     []string // of the command, "NAME=value"
	address string   // of the engine, host:port
	// reach is the environment in which a program of the cloud finds the storage
	// at an address.
	reach func(address string) map[string]string
}

// world is three clouds on this machine: the engines, filled with one series,
// and before each the program that serves it to the other clouds.
type world struct {
	truth series
	hot   map[string]hot
	api   map[string]*api
}

// api is one cloud's Hot Reader API, as its callers see it.
type api struct {
	url  string
	kill func() // SIGKILL, and nothing is left of the program
}

func newWorld(t *testing.T) *world {
	t.Helper()
	truth := telemetry(t)
	w := &world{truth: truth, hot: storages(t), api: map[string]*api{}}
	t.Run("import", func(t *testing.T) {
		for _, name := range clouds {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				importKilled(t, w.hot[name], truth)
				began := time.Now()
				importFile(t, w.hot[name].env, w.hot[name].url, truth.file)
				t.Logf("%d rows in %s", len(truth.points), time.Since(began).Round(time.Millisecond))
			})
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	for _, name := range clouds {
		w.api[name] = w.serve(t, name, nil)
	}
	return w
}

// importKilled begins an import and kills the command once some rows are stored.
func importKilled(t *testing.T, to hot, s series) {
	t.Helper()
	c := exec.CommandContext(t.Context(), serving.Program(t, "hotreader"), "import", "--store", to.url, "--device", device, "--rename", "value=temperature", s.file)
	c.Env = append(os.Environ(), to.env...)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	newest := func() string {
		c := exec.CommandContext(t.Context(), serving.Program(t, "hotreader"), "latest", "--store", to.url, "--device", device, "--property", "temperature", "--format", "jsonl")
		c.Env = append(os.Environ(), to.env...)
		out, _ := c.Output() // a collection without a document is an error
		return string(out)
	}
	for end := time.Now().Add(time.Minute); newest() == "" && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err == nil {
		t.Fatal("the import was done before it was killed: the test tests nothing")
	}
	if n := newest(); n == "" || strings.Contains(n, s.points[len(s.points)-1].at.Format("2006-01-02T15:04")) {
		t.Fatalf("killed with the newest row %q: the test tests nothing", n)
	}
}

// serve starts the program that serves a cloud's hot storage to the others: of a
// twin whose L4 is in another cloud.
func (w *world) serve(t *testing.T, name string, more map[string]string) *api {
	t.Helper()
	env := w.hot[name].reach(w.hot[name].address)
	env["DIGITAL_TWIN_INFO"] = layers(name, clouds[(index(name)+1)%len(clouds)])
	env["INTER_CLOUD_TOKEN"], env["HOTREADER_CACHE"] = token, "0"
	maps.Copy(env, more)
	if name != "aws" {
		url, p := startServer(t, name, env)
		return &api{url, func() { p.Kill(t) }}
	}
	f := serving.Function(t, "hot-reader-api", env)
	if err := f.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &api{serving.Gateway(t, f), func() { f.Kill(t) }}
}

// at returns the host of the API's URL, and its path.
func (a *api) at(t *testing.T) (host, path string) {
	t.Helper()
	u, err := url.Parse(a.url)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host, u.Path
}

func index(cloud string) int {
	for i, name := range clouds {
		if name == cloud {
			return i
		}
	}
	return -1
}

// layers is DIGITAL_TWIN_INFO.
func layers(l3, l4 string) string {
	return fmt.Sprintf(`{"config":{"digital_twin_name":"machine"},"config_providers":{"layer_3_hot_provider":%q,"layer_4_provider":%q}}`, l3, l4)
}

// storages returns the hot storage of each cloud: a new table, container and
// collection.
func storages(t *testing.T) map[string]hot {
	t.Helper()
	const name = "machine-hot-iot-data-nine"
	if err := awsdynamodb.CreateTable(t.Context(), engine.DynamoDBClient(t), awsdynamodb.Options{Table: name}); err != nil {
		t.Fatal(err)
	}
	cosmos, err := azurecosmos.NewClient(azurecosmos.ClientOptions{Endpoint: engine.Cosmos(t), Key: engine.CosmosKey})
	if err != nil {
		t.Fatal(err)
	}
	if err := azurecosmos.CreateContainer(t.Context(), cosmos, azurecosmos.Options{Database: "machine", Container: name}); err != nil {
		t.Fatal(err)
	}
	address := func(endpoint string) string { return strings.TrimPrefix(endpoint, "http://") }
	return map[string]hot{
		"aws": {
			url: "dynamodb://" + name, env: engine.DynamoDBEnv(t), address: address(engine.DynamoDB(t)),
			reach: func(address string) map[string]string {
				env := variables(engine.DynamoDBEnv(t))
				env["AWS_ENDPOINT_URL_DYNAMODB"], env["DYNAMODB_TABLE_NAME"] = "http://"+address, name
				return env
			},
		},
		"azure": {
			// The emulator has no transactional batches.
			url: "cosmos://" + address(engine.Cosmos(t)) + "/machine/" + name + "?single=true", env: engine.CosmosEnv(t), address: address(engine.Cosmos(t)),
			reach: func(address string) map[string]string {
				env := variables(engine.CosmosEnv(t))
				env["COSMOS_DB_ENDPOINT"], env["COSMOS_DB_DATABASE"], env["COSMOS_DB_CONTAINER"] = "http://"+address, "machine", name
				return env
			},
		},
		"gcp": {
			url: "firestore://" + engine.FirestoreProject + "/(default)/" + name, env: engine.FirestoreEnv(t), address: address(engine.Firestore(t)),
			reach: func(address string) map[string]string {
				env := variables(engine.FirestoreEnv(t))
				env["FIRESTORE_EMULATOR_HOST"], env["FIRESTORE_COLLECTION"] = address, name
				return env
			},
		},
	}
}

func variables(pairs []string) map[string]string {
	env := map[string]string{}
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	return env
}

// startServer starts the program of Azure or Google Cloud and returns where its
// callers find it: on Azure, that is the Functions host.
func startServer(t *testing.T, cloud string, env map[string]string) (string, *serving.Process) {
	t.Helper()
	name := map[string]string{"azure": "hotreader-azure", "gcp": "hotreader-cloudrun"}[cloud]
	p := serving.Start(t, name, env).WaitReady(t)
	if cloud == "azure" {
		return serving.Listen(t, serving.FunctionsHost(t, p.URL)), p
	}
	return p.URL, p
}

// line is a wire between a twin's program and where its rows are.
type line struct {
	addr string

	mu    sync.Mutex
	to    string
	conns map[net.Conn]bool
	fault fault
	left  int // bytes of answers that still pass before the fault
}

// fault is what a line does once so many bytes of answers have passed.
type fault string

const (
	well      fault = ""
	killed    fault = "killed"    // every connection breaks, and each that is made
	restarted fault = "restarted" // every connection breaks, once
	slow      fault = "slow"      // nothing comes any more, and nothing breaks
	garbage   fault = "garbage"   // what comes is noise
)

func newLine(t *testing.T, to string) *line {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &line{to: to, addr: l.Addr().String(), conns: map[net.Conn]bool{}}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go n.pass(c)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		n.set(well, 0)
	})
	return n
}

// lead makes the line end elsewhere; connections that go the old way break.
func (n *line) lead(to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut()
	n.to = to
}

// set breaks every connection, ends the fault there was and begins another,
// after so many bytes more.
func (n *line) set(f fault, after int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut()
	n.fault, n.left = f, after
}

// cut breaks all connections as the end of a process does; n.mu is held.
func (n *line) cut() {
	for c := range n.conns {
		_ = c.(*net.TCPConn).SetLinger(0) // so that closing resets it
		c.Close()
	}
	clear(n.conns)
}

func (n *line) pass(in net.Conn) {
	n.mu.Lock()
	to := n.to
	n.mu.Unlock()
	out, err := net.Dial("tcp", to)
	if err != nil {
		in.Close()
		return
	}
	n.mu.Lock()
	n.conns[in], n.conns[out] = true, true
	if n.fault == killed && n.left <= 0 {
		// The listener stays, for its port could be another's when the fault is
		// over: a connection is made, and reset, instead of being refused.
		n.cut()
	}
	n.mu.Unlock()
	done := func() {
		in.Close()
		out.Close()
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.conns, in)
		delete(n.conns, out)
	}
	go func() {
		_, _ = io.Copy(out, in) // either end closes the other
		done()
	}()
	defer done()
	buf := make([]byte, 4<<10)
	for {
		k, err := out.Read(buf)
		if k > 0 && !n.deliver(in, buf[:k]) {
			return
		}
		if err != nil {
			return
		}
	}
}

// deliver passes bytes of an answer on, as the line is; false = it is broken.
func (n *line) deliver(in net.Conn, b []byte) bool {
	n.mu.Lock()
	ill := n.fault
	if ill != well {
		if n.left -= len(b); n.left > 0 {
			ill = well
		}
	}
	switch ill {
	case killed:
		n.cut()
	case restarted:
		n.cut()
		n.fault = well
	}
	n.mu.Unlock()
	switch ill {
	case killed, restarted:
		return false
	case slow:
		return true // and not a byte is sent
	case garbage:
		for i := range b {
			b[i] = b[i]*31 ^ byte(i*7) ^ 0x5a
		}
	}
	_, err := in.Write(b)
	return err == nil
}

// struck reports whether the fault has come.
func (n *line) struck() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.left <= 0
}
