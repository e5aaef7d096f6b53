package function

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"hotreader"
	"hotreader/catalog"
)

// OpenCatalog opens the catalogue of devices in file, or, if that is "", the one
// that deploy has put beside the program: nil if there is none. One that cannot be
// read is an error of CodeConfig, for without it answers would be others.
func OpenCatalog(file string) (*catalog.Catalog, error) {
	if file != "" {
		return openCatalog(file)
	}
	program, err := os.Executable()
	if err != nil {
		return nil, &hotreader.Error{Op: "catalogue of devices", Code: hotreader.CodeConfig, Err: fmt.Errorf("where this program lies is not known: %w; set HOTREADER_CATALOG", err)}
	}
	c, err := openCatalog(filepath.Join(filepath.Dir(program), catalog.File))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return c, err
}

func openCatalog(file string) (*catalog.Catalog, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, &hotreader.Error{Op: "catalogue of devices", Code: hotreader.CodeConfig, Err: fmt.Errorf("it cannot be read: %w; deploy again, or set HOTREADER_CATALOG to a file of deploy's packages", err)}
	}
	defer f.Close()
	size := 0
	if info, err := f.Stat(); err == nil {
		size = int(info.Size())
	}
	c, err := catalog.Read(f, size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return c, nil
}
