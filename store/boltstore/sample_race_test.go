//go:build unix && race

package boltstore_test

// cases says how many changes of a file are tried, in percent.
const cases = 6
