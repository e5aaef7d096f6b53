//go:build !unix

package boltstore

// syncDir does nothing: directories cannot be synced here.
func syncDir(string) error { return nil }
