package engine

import (
	"strings"
	"sync"
	"testing"

	"hotreader/dev/emulators"
)

// FirestoreProject is a project that tests may use. The emulator has every
// project and every database, and what is in them is its own.
const FirestoreProject = "hotreader-test"

var firestore = sync.OnceValues(func() (string, error) { return startEmulator(emulators.Firestore(), "HOTREADER_FIRESTORE") })

// Firestore returns the endpoint URL of Google's Firestore emulator. It keeps
// everything in memory, needs no indexes and checks no permissions.
func Firestore(t testing.TB) string {
	t.Helper()
	endpoint, err := firestore()
	if err != nil {
		t.Fatalf("Firestore's emulator: %v", err)
	}
	return endpoint
}

// FirestoreEnv returns the environment variables, as "NAME=value", with which a
// program under test reaches the emulator.
func FirestoreEnv(t testing.TB) []string {
	t.Helper()
	return []string{
		"FIRESTORE_EMULATOR_HOST=" + strings.TrimPrefix(Firestore(t), "http://"),
		"GOOGLE_CLOUD_PROJECT=" + FirestoreProject,
	}
}
