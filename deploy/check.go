package deploy

import (
	"errors"
	"path/filepath"

	"hotreader/config"
	"hotreader/deploy/render"
	"hotreader/deploy/topology"
)

// Check reports all that a project folder has in it which Plan would reject. It asks no
// cloud and runs nothing. The project is nil if its files cannot be read as one.
func Check(dir string) (*config.Project, error) {
	p, err := config.LoadProject(dir)
	connections, wrong := config.OpenConnections(dir)
	all := []error{err, wrong, config.CheckFolder(filepath.Join(dir, config.WorkFolder))}
	if err != nil {
		return nil, errors.Join(all...)
	}
	top, topErr := topology.New(p)
	_, catalogErr := render.Catalog(p)
	all = append(all, topErr, catalogErr)
	w := &work{Engine: &Engine{Project: p}, top: top}
	if wrong == nil {
		w.conn, _ = connections.Get(top.Connection)
	}
	for _, side := range top.Sides {
		all = append(all, render.Check(side, p), w.distinct(side))
	}
	return p, errors.Join(all...)
}
