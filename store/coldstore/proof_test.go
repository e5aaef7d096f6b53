//go:build proof

package coldstore_test

import (
	"testing"

	"hotreader/store/storetest"
)

func TestProofConformanceParquet(t *testing.T) { storetest.Run(t, parquetHarness(t)) }
