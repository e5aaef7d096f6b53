//go:build engines && proof

package azurecosmos_test

import (
	"testing"

	"hotreader/store/storetest"
)

func TestProof(t *testing.T) { storetest.Proof(t, layouts, harness) }
