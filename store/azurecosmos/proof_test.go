//go:build engines && proof

package azurecosmos_test

import (
	"testing"
	"time"

	"hotreader/layout"
	"hotreader/store/storetest"
)

// TestProof reads the real series under every layout.
func TestProof(t *testing.T) {
	layouts["the default"] = layout.Layout{}
	for name, l := range layouts {
		t.Run(name, func(t *testing.T) {
			storetest.Proof(t, harness(l, time.Date(2013, 6, 1, 0, 0, 0, 0, time.UTC)), "../../../shared/data/machine_temperature.csv")
		})
	}
}
