//go:build !unix

package deploy

import ()

// The folders keep others out.
func ownAlone() {}
