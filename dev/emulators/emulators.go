// Package emulators knows the emulators of the clouds' hot storage, as `make
// engines` brings them: what each needs, how it is started, and how to see that it
// answers. The local target runs them, and so do the tests.
package emulators

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// Emulator is one of them.
type Emulator struct {
	Name   string // as it is reported
	Folder string // in the engines folder
	File   string // that shows that it is there, in its folder

	Program string // that runs it, on the PATH
	Needs   string // what to install for Program

	// Args are those of Program, in the emulator's folder, to serve on a port.
	Args func(port string) []string

	Header    string            // that its answers have, and no other program's
	Transport http.RoundTripper // that reaches it
}

const java = "a Java runtime, version 11 or newer"

// DynamoDB returns AWS's DynamoDB Local. It is one database for every access key and
// region.
func DynamoDB() Emulator {
	return Emulator{
		Name: "DynamoDB Local", Folder: "dynamodb", File: "DynamoDBLocal.jar", Program: "java", Needs: java,
		Args: func(port string) []string {
			return []string{"-Xmx768m", "-Djava.library.path=DynamoDBLocal_lib", "-jar", "DynamoDBLocal.jar",
				"-inMemory", "-sharedDb", "-disableTelemetry", "-port", port}
		},
		Header: "X-Amzn-Requestid", Transport: &http.Transport{},
	}
}

// CosmosKey is the account key that every emulator of Cosmos DB is documented to
// have; it protects nothing.
const CosmosKey = "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw=="

//go:embed cosmosdb.js
var cosmosDB string

// CosmosDB returns the emulator of Cosmos DB that is a package of npm's.
func CosmosDB() Emulator {
	return Emulator{
		Name: "Cosmos DB's emulator", Folder: "cosmosdb", File: "node_modules/@vercel/cosmosdb-server/lib/cli.js",
		Program: "node", Needs: "Node.js, version 18 or newer",
		Args:   func(port string) []string { return []string{"-e", cosmosDB, "--", port} },
		Header: "X-Ms-Activity-Id", Transport: &http.Transport{},
	}
}

// Firestore returns Google's emulator of Firestore.
func Firestore() Emulator {
	plain := new(http.Protocols)
	plain.SetUnencryptedHTTP2(true)
	return Emulator{
		Name: "Firestore's emulator", Folder: "firestore", File: "cloud-firestore-emulator.jar", Program: "java", Needs: java,
		Args: func(port string) []string {
			// As the SDK's script does it, which would be one process more to end.
			return []string{"-Xmx768m", "-Duser.language=en", "-cp", "cloud-firestore-emulator.jar",
				"com.google.cloud.datastore.emulator.firestore.CloudFirestore", "start", "--host=127.0.0.1", "--port=" + port}
		},
		Header: "Grpc-Status", Transport: &http.Transport{Protocols: plain},
	}
}

// Find returns the path of what runs the emulator in dir; remedy says what to do if
// it is not there.
func (e Emulator) Find(dir, remedy string) (program string, err error) {
	if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(e.File))); err != nil {
		return "", fmt.Errorf("%s is not in %s; %s", e.Name, dir, remedy)
	}
	program, err = exec.LookPath(e.Program)
	if err != nil {
		return "", fmt.Errorf("%s needs %s, which is not on the PATH; install %s", e.Name, e.Program, e.Needs)
	}
	return program, nil
}

// Answers asks the program at an address for anything, and returns an error if it
// is not the emulator.
func (e Emulator) Answers(ctx context.Context, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address, nil)
	if err != nil {
		return err
	}
	resp, err := e.Transport.RoundTrip(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close() // it is not read
	if resp.Header.Get(e.Header) == "" {
		return fmt.Errorf("%s answered %s without the header %s: another program listens there", address, resp.Status, e.Header)
	}
	return nil
}

// Tail keeps the last few kilobytes that a program wrote. The zero value is empty.
type Tail struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer. It never fails.
func (t *Tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text.Write(p)
	t.text.Next(max(0, t.text.Len()-16<<10))
	return len(p), nil
}

// Last returns the last n lines.
func (t *Tail) Last(n int) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(t.text.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
