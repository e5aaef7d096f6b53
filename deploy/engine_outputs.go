package deploy

import (
	"context"
	"os"
	"path/filepath"

	"hotreader/config"
)

// Outputs says what stands on each of the project's clouds, whatever Only says,
// as the last runs have left it: nothing is compared with the clouds. It takes no
// lock, so that Check may call it.
func (e *Engine) Outputs(ctx context.Context) ([]SideStatus, error) {
	top, err := NewTopology(e.Project)
	if err != nil {
		return nil, err
	}
	quiet := *e
	quiet.Report = nil
	w := &work{Engine: &quiet, top: top, dir: filepath.Join(e.Project.Dir, ".hotreader"), environ: e.Environ}
	if w.environ == nil {
		w.environ = os.Environ()
	}
	if w.conns, err = config.OpenConnections(e.Project.Dir); err != nil {
		return nil, err
	}
	if top.Connection != "" {
		w.conn, _ = w.conns.Get(top.Connection)
	}
	var all []SideStatus
	for _, s := range top.Sides {
		f, err := w.folder(s)
		if err != nil {
			return nil, err
		}
		one, err := w.sideStatus(ctx, s, f, false)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}
