package engine

import (
	"sync"
	"testing"

	"hotreader/dev/emulators"
)

// CosmosKey is the account key.
const CosmosKey = emulators.CosmosKey

var cosmos = sync.OnceValues(func() (string, error) { return startEmulator(emulators.CosmosDB(), "HOTREADER_COSMOS") })

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
