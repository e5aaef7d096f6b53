package deploy

import "context"

func (w *work) adopt(ctx context.Context, f *folder) error { return nil }
