package function

import (
	"cmp"
	"context"
	"slices"

	"hotreader"
)

// Lister lists the devices of which one of the stores has rows. It is nil where one of
// them cannot list its own, or there is none.
func Lister[S hotreader.Source](stores ...S) hotreader.Lister {
	var all listers
	for _, s := range stores {
		l, ok := any(s).(hotreader.Lister)
		if !ok {
			return nil
		}
		all = append(all, l)
	}
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	return all
}

type listers []hotreader.Lister

// Devices implements hotreader.Lister.
func (l listers) Devices(ctx context.Context, prefix, after string, n int) ([]hotreader.Listed, error) {
	var devices []hotreader.Listed
	for _, one := range l {
		page, err := one.Devices(ctx, prefix, after, n)
		if err != nil {
			return nil, err
		}
		devices = append(devices, page...)
	}
	slices.SortStableFunc(devices, func(a, b hotreader.Listed) int { return cmp.Compare(a.ID, b.ID) })
	kept := devices[:0]
	for _, d := range devices {
		last := len(kept) - 1
		if last < 0 || kept[last].ID != d.ID {
			kept = append(kept, d)
			continue
		}
		names := slices.Concat(kept[last].Properties, d.Properties)
		slices.Sort(names)
		kept[last].Properties = slices.Compact(names)
	}
	return kept[:min(len(kept), max(n, 0))], nil
}
