//go:build unix && !race

package boltstore_test

import "testing"

// sample says of how many cases one is tried.
func sample(large bool) int {
	switch {
	case testing.Short():
		return 20
	case large:
		return 4
	}
	return 1
}
