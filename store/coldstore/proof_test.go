//go:build proof

package coldstore_test

import (
	"testing"

	"hotreader/store/storetest"
)

func TestProofConformanceJSONLines(t *testing.T) { storetest.Run(t, linesHarness()) }

func TestProofConformanceParquet(t *testing.T) { storetest.Run(t, parquetHarness(t)) }
