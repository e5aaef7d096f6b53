package deploy

import "context"

// Outputs says what stands on each of the project's clouds, whatever Only says,
// as the last runs have left it: nothing is compared with the clouds. It takes no
// lock, so that Check may call it.
func (e *Engine) Outputs(ctx context.Context) ([]SideStatus, error) {
	quiet := *e
	quiet.Report = nil
	w, err := quiet.open("status")
	if err != nil {
		return nil, err
	}
	if err := w.places(); err != nil {
		return nil, err
	}
	var all []SideStatus
	for _, s := range w.top.Sides {
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
