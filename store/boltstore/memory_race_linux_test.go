//go:build race

package boltstore_test

// memoryLimitKB leaves room for the race detector, which multiplies all memory.
const memoryLimitKB = 400 << 10
