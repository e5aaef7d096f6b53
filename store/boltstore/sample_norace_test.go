//go:build unix && !race

package boltstore_test

// cases says how many changes of a file are tried, in percent: of a small one
// all of what bbolt needs to find its way.
const cases = 100
