//go:build !race

package boltstore_test

// memoryLimitKB is half of the 64 MB that a whole process may take to read and
// serve a million rows; the file alone has more than that.
const (
	memoryRows    = 1_000_000
	memoryLimitKB = 32 << 10
)
