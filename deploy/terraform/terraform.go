// Package terraform holds the Terraform modules, one for each cloud. Each makes
// what one side of a project needs; package deploy writes the root module that
// calls it.
package terraform

import (
	"embed"
	"io/fs"
	"path"
)

//go:embed */*.tf
var modules embed.FS

// Module returns the files of a cloud's module, aws, azure or gcp, by name. Some are
// the same for all clouds.
func Module(cloud string) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, folder := range []string{"common", cloud} {
		names, err := fs.Glob(modules, folder+"/*.tf")
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if files[path.Base(name)], err = modules.ReadFile(name); err != nil {
				return nil, err
			}
		}
	}
	return files, nil
}
