//go:build !unix

package deploy

// The folders keep others out.
func ownAlone() {}
