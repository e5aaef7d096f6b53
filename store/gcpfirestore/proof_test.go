//go:build engines && proof

package gcpfirestore_test

import (
	"testing"

	"hotreader/store/storetest"
)

func TestProof(t *testing.T) { storetest.Proof(t, layouts, harness) }
