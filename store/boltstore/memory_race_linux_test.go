//go:build race

package boltstore_test

// The race detector multiplies time and all memory.
const (
	memoryRows    = 100_000
	memoryLimitKB = 400 << 10
)
