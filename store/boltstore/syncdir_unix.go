//go:build unix

package boltstore

import "os"

// syncDir makes a file that was just made in dir outlast a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
