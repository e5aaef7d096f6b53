package engine

import (
	"errors"
	"os/exec"
	"strconv"
	"sync"
	"testing"

	"hotreader/deploy/local/emulator"
)

// CosmosKey is the account key that every Cosmos DB emulator is documented to
// have; it protects nothing.
const CosmosKey = "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw=="

var cosmos = sync.OnceValues(startCosmos)

// Cosmos returns the endpoint URL of the Cosmos DB emulator. It keeps everything
// in memory and checks neither keys nor partition keys.
func Cosmos(t testing.TB) string {
	t.Helper()
	endpoint, err := cosmos()
	if err != nil {
		t.Fatalf("Cosmos DB's emulator: %v", err)
	}
	return endpoint
}

// CosmosEnv returns the environment variables, as "NAME=value", with which a
// program under test reaches the emulator.
func CosmosEnv(t testing.TB) []string {
	t.Helper()
	return []string{"COSMOS_DB_ENDPOINT=" + Cosmos(t), "COSMOS_DB_KEY=" + CosmosKey}
}

func startCosmos() (string, error) {
	dir, err := find("HOTREADER_COSMOS", "cosmosdb", "node_modules/@vercel/cosmosdb-server/lib/cli.js")
	if err != nil {
		return "", err
	}
	node, err := exec.LookPath("node")
	if err != nil {
		return "", errors.New("node is not on the PATH; install Node.js, version 18 or newer")
	}
	var failures []error
	for range 3 { // the port that was free may be taken by the time the emulator binds it
		port, err := freePort()
		if err != nil {
			return "", err
		}
		p, err := start(dir, node, "-e", emulator.CosmosDB, "--", strconv.Itoa(port))
		if err != nil {
			return "", err
		}
		endpoint := "http://127.0.0.1:" + strconv.Itoa(port)
		if err = p.await(endpoint, "X-Ms-Activity-Id"); err == nil {
			return endpoint, nil
		}
		p.stop()
		failures = append(failures, err)
	}
	return "", errors.Join(failures...)
}
