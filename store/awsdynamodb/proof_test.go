//go:build engines && proof

package awsdynamodb_test

import (
	"testing"

	"hotreader/store/storetest"
)

func TestProof(t *testing.T) { storetest.Proof(t, layouts, harness) }
