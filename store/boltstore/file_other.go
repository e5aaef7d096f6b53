//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package boltstore

import "os"

// syncDir does nothing: directories cannot be synced here.
func syncDir(string) error { return nil }

// unlock does nothing: closing the file does it.
func unlock(*os.File) {}

// share does nothing: bbolt will lock the file.
func share(*os.File) bool { return true }
