package engine

import (
	"errors"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// FirestoreProject is a project that tests may use. The emulator has every
// project and every database, and what is in them is its own.
const FirestoreProject = "hotreader-test"

var firestore = sync.OnceValues(startFirestore)

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

func startFirestore() (string, error) {
	const jar = "cloud-firestore-emulator.jar"
	dir, err := find("HOTREADER_FIRESTORE", "firestore", jar)
	if err != nil {
		return "", err
	}
	java, err := exec.LookPath("java")
	if err != nil {
		return "", errors.New("java is not on the PATH; install a Java runtime, version 11 or newer")
	}
	plainHTTP2 := new(http.Protocols)
	plainHTTP2.SetUnencryptedHTTP2(true)
	var failures []error
	for range 3 { // the port that was free may be taken by the time Java binds it
		port, err := freePort()
		if err != nil {
			return "", err
		}
		// As the SDK's script does it, which would be one process more to end.
		p, err := start(dir, java, "-Xmx768m", "-Duser.language=en", "-cp", jar,
			"com.google.cloud.datastore.emulator.firestore.CloudFirestore", "start", "--host=127.0.0.1", "--port="+strconv.Itoa(port))
		if err != nil {
			return "", err
		}
		endpoint := "http://127.0.0.1:" + strconv.Itoa(port)
		if err = p.awaitBy(&http.Transport{Protocols: plainHTTP2}, endpoint, "Grpc-Status"); err == nil {
			return endpoint, nil
		}
		p.stop()
		failures = append(failures, err)
	}
	return "", errors.Join(failures...)
}
