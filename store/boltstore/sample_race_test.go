//go:build unix && race

package boltstore_test

// sample says of how many cases one is tried.
func sample(large bool) int {
	if large {
		return 40
	}
	return 20
}
