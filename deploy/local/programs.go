package local

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"hotreader/catalog"
	"hotreader/config"
	"hotreader/deploy/names"
	"hotreader/deploy/publish"
	"hotreader/deploy/render"
	"hotreader/dev/emulators"
	"hotreader/internal/bounded"
	"hotreader/store/awsdynamodb"
	"hotreader/store/azurecosmos"
)

// maxProgram bounds what is unpacked of one file; the programs have some 10 MB.
const maxProgram = 256 << 20

// artifact is the file of `make dist` that a cloud's programs come from.
func artifact(c config.Cloud) (string, error) {
	if runtime.GOOS != "linux" {
		return "", fmt.Errorf("the functions' programs are for Linux, and this is %s; use a Linux machine or container", runtime.GOOS)
	}
	switch {
	case c == config.AWS:
		return "hotreader-lambda-" + runtime.GOARCH + ".zip", nil
	case c == config.Azure:
		return "hotreader-azure-" + runtime.GOARCH + ".zip", nil
	case runtime.GOARCH != "amd64":
		return "", fmt.Errorf("the image for Cloud Run is for amd64, as that is, and this machine is %s", runtime.GOARCH)
	}
	return "hotreader-cloudrun.tar", nil
}

// unpack takes a cloud's program out of its artifact into dir, and returns where
// it is.
func unpack(c config.Cloud, artifacts, dir string) (program string, err error) {
	name, err := artifact(c)
	if err != nil {
		return "", err
	}
	name = filepath.Join(artifacts, name)
	if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s is missing; run `make functions`, or name the folder with --artifacts", name)
	}
	var text []byte
	switch c {
	case config.AWS:
		program = "bootstrap"
		text, err = fromZip(name, program)
	case config.Azure:
		program, text, err = fromApp(name)
	default:
		program, text, err = fromImage(name)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w; run `make functions` again", name, err)
	}
	to := filepath.Join(dir, string(c))
	if err := os.MkdirAll(to, 0o700); err != nil {
		return "", err
	}
	to = filepath.Join(to, path.Base(program))
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) { // it may still be running
		return "", err
	}
	return to, os.WriteFile(to, text, 0o700) //nolint:gosec // G306: a program must be one that its owner can run
}

// placeCatalog puts the catalogue of the project's devices where a program looks for
// it, as it lies in the package that is deployed.
func placeCatalog(p *config.Project, dir string) error {
	name := filepath.Join(dir, catalog.File)
	packed, err := render.Catalog(p)
	if err != nil {
		return err
	}
	if packed != nil {
		return render.ReplaceFile(name, bytes.NewReader(packed))
	}
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a run before
		return err
	}
	return nil
}

func fromZip(name, file string) ([]byte, error) {
	z, err := zip.OpenReader(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = z.Close() }() // it was read
	f, err := z.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was read
	return bounded.ReadAll(f, maxProgram)
}

// fromApp returns the program that a function app's host.json names.
func fromApp(name string) (string, []byte, error) {
	text, err := fromZip(name, "host.json")
	if err != nil {
		return "", nil, err
	}
	var host struct {
		CustomHandler struct {
			Description struct{ DefaultExecutablePath string }
			Forwarding  bool `json:"enableForwardingHttpRequest"`
		}
		Extensions struct {
			HTTP struct {
				RoutePrefix *string `json:"routePrefix"`
			} `json:"http"`
		}
	}
	if err := json.Unmarshal(text, &host); err != nil {
		return "", nil, fmt.Errorf("host.json: %w", err)
	}
	prefix := host.Extensions.HTTP.RoutePrefix
	if !host.CustomHandler.Forwarding || prefix == nil || *prefix != "" {
		return "", nil, errors.New("host.json: expected enableForwardingHttpRequest, and an empty routePrefix")
	}
	program := host.CustomHandler.Description.DefaultExecutablePath
	if !fs.ValidPath(program) || program == "." {
		return "", nil, fmt.Errorf("host.json: defaultExecutablePath %q is no file of the app", program)
	}
	text, err = fromZip(name, program)
	return program, text, err
}

// fromImage returns the program that an OCI image, packed as a tar, starts.
func fromImage(name string) (string, []byte, error) {
	img, err := publish.ReadLayout(name)
	if err != nil {
		return "", nil, err
	}
	var starts struct{ Config struct{ Entrypoint []string } }
	if err := json.Unmarshal(img.Text(img.Config), &starts); err != nil || len(starts.Config.Entrypoint) != 1 {
		return "", nil, errors.New("the image starts no one program")
	}
	program := strings.TrimPrefix(path.Clean(starts.Config.Entrypoint[0]), "/")
	for _, l := range img.Layers {
		if text, err := fromLayer(img.Text(l), program); text != nil || err != nil {
			return program, text, err
		}
	}
	return "", nil, fmt.Errorf("the image has no %s", program)
}

// fromLayer returns a file of a layer, nil if it is not in it.
func fromLayer(layer []byte, file string) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(layer))
	if err != nil {
		return nil, err
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if h.Typeflag == tar.TypeReg && strings.TrimPrefix(path.Clean(h.Name), "/") == file {
			return bounded.ReadAll(r, maxProgram)
		}
	}
}

// startTime is how long a program may take to answer. Java on a busy machine is
// slow.
const startTime = 90 * time.Second

// emulatorOf is the emulator of a cloud's hot storage.
func emulatorOf(c config.Cloud) emulators.Emulator {
	switch c {
	case config.AWS:
		return emulators.DynamoDB()
	case config.Azure:
		return emulators.CosmosDB()
	}
	return emulators.Firestore()
}

// findEmulator returns the folder of a cloud's emulator and what runs it.
func (t *Target) findEmulator(e emulators.Emulator) (dir, program string, err error) {
	if dir, err = filepath.Abs(filepath.Join(t.o.Engines, e.Folder)); err != nil {
		return "", "", err
	}
	program, err = e.Find(dir, "run `make emulators`, or name the folder that it fills with --engines")
	return dir, program, err
}

// startEngine starts the emulator of hot storage's cloud, and returns its
// address, host:port.
func (t *Target) startEngine(ctx context.Context, c config.Cloud) (address string, err error) {
	e := emulatorOf(c)
	dir, program, err := t.findEmulator(e)
	if err != nil {
		return "", err
	}
	child, address, err := onFreePort(ctx, func(port string) (*child, error) { return run(e.Name, dir, nil, program, e.Args(port)...) }, e.Answers)
	if err == nil {
		t.adopt(child, Run{Name: e.Name, Cloud: c, PID: child.pid(), Address: address})
	}
	return address, err
}

// await waits until ready returns nil, the child ends, or the time is up.
func await(ctx context.Context, c *child, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	var last error
	for {
		once, done := context.WithTimeout(ctx, 5*time.Second)
		err := ready(once)
		done()
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-c.exited:
			return c.ended()
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return ctx.Err()
			}
			return fmt.Errorf("%s gave no answer within %s: %w; it wrote last:\n%s", c.name, startTime, last, c.output.Last(12))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// onFreePort starts a program on a port of this machine and returns it, and its
// address, once it is ready. A port that was free may be taken by the time the
// program binds it.
func onFreePort(ctx context.Context, start func(port string) (*child, error), ready func(ctx context.Context, address string) error) (c *child, address string, err error) {
	for range 3 {
		var l net.Listener
		if l, err = new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
			return nil, "", err
		}
		address = l.Addr().String()
		_ = l.Close() // it was free
		_, port, _ := net.SplitHostPort(address)
		if c, err = start(port); err != nil {
			return nil, "", err
		}
		if err = await(ctx, c, func(ctx context.Context) error { return ready(ctx, address) }); err == nil {
			return c, address, nil
		}
		c.stop()
		if ctx.Err() != nil {
			return nil, "", ctx.Err()
		}
	}
	return nil, "", err
}

// hot is hot storage on the emulator: the names that the functions need to find
// it, and those for people.
type hot struct {
	env   map[string]string // of the functions that query it
	words string            // "table factory-hot-iot-data"
	url   string            // a store URL for the command
	shell []string          // the variables that the command needs, "NAME=value"; no secret: an emulator has none
}

// createStore makes the table or the container, and returns what there is. A
// database and a collection of Firestore are there with their first document.
func (t *Target) createStore(ctx context.Context, address string) (hot, error) {
	p, o := t.o.Project, t.o.Project.Options
	keys := "&" + o.Layout.URL().Encode()
	if keys == "&" {
		keys = ""
	}
	switch p.L3 {
	case config.AWS:
		h := hot{shell: []string{"AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local"}}
		table, region := cmp.Or(o.AWS.Table, names.Table(p.Twin)), t.region()
		table = table[strings.LastIndexByte(table, '/')+1:] // of an ARN
		client := dynamodb.New(dynamodb.Options{
			Region: region, BaseEndpoint: aws.String("http://" + address),
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: "local", SecretAccessKey: "local"}, nil
			}),
		})
		h.words = "table " + table
		h.url = "dynamodb://" + table + "?region=" + region + "&endpoint=http://" + address + keys
		h.env = map[string]string{"DYNAMODB_TABLE_NAME": table, "AWS_ENDPOINT_URL_DYNAMODB": "http://" + address}
		return h, awsdynamodb.CreateTable(ctx, client, awsdynamodb.Options{Table: table, Layout: o.Layout})
	case config.Azure:
		h := hot{shell: []string{"COSMOS_DB_KEY=" + emulators.CosmosKey}}
		database, container := cmp.Or(o.Azure.Database, names.CosmosDatabase(p.Twin)), cmp.Or(o.Azure.Container, names.Container(p.Twin))
		client, err := azurecosmos.NewClient(azurecosmos.ClientOptions{Endpoint: "http://" + address, Key: emulators.CosmosKey})
		if err != nil {
			return h, err
		}
		h.words = "container " + database + "/" + container
		h.url = "cosmos://" + address + "/" + database + "/" + container + "?single=true" + keys // it has no transactional batches
		h.env = map[string]string{"COSMOS_DB_ENDPOINT": "http://" + address, "COSMOS_DB_KEY": emulators.CosmosKey,
			"COSMOS_DB_DATABASE": database, "COSMOS_DB_CONTAINER": container}
		return h, azurecosmos.CreateContainer(ctx, client, azurecosmos.Options{Database: database, Container: container, Layout: o.Layout})
	}
	project, database, collection := t.project(), cmp.Or(o.GCP.Database, names.FirestoreDatabase(p.Twin)), cmp.Or(o.GCP.Collection, names.Collection(p.Twin))
	return hot{
		words: "collection " + database + "/" + collection,
		url:   "firestore://" + project + "/" + database + "/" + collection + "?endpoint=http://" + address + keys,
		env: map[string]string{"FIRESTORE_EMULATOR_HOST": address, "GOOGLE_CLOUD_PROJECT": project,
			"FIRESTORE_DATABASE": database, "FIRESTORE_COLLECTION": collection},
	}, nil
}

// region is where AWS is here.
func (t *Target) region() string { return cmp.Or(t.o.Project.Options.AWS.Region, "eu-central-1") }

// project is the Google Cloud project here.
func (t *Target) project() string {
	return cmp.Or(t.o.Project.Options.GCP.Project, "hotreader-local")
}
