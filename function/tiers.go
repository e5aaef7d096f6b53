package function

import (
	"errors"

	"hotreader"
	"hotreader/config"
	"hotreader/remote"
	"hotreader/route"
	"hotreader/wire"
)

// layers returns what f's queries are read from, from each tier down. That of
// wire.TargetLayer is the whole history. Where cold storage lies elsewhere, an archive
// that is here does not follow on hot storage: only a caller that asks for both of them, and for
// cold storage between, gets all that is moved meanwhile.
func (p Parts) layers(f *config.Function) (map[string]hotreader.Source, error) {
	if p.Token != nil {
		p.Observer.Made(p.Token.Made)
	}
	hot, err := p.hot(f)
	if err != nil {
		return nil, err
	}
	cold, err := p.place(f, f.Cold, "cold storage", wire.ColdLayer)
	if err != nil {
		return nil, err
	}
	archive, err := p.place(f, f.Archive, "archive", wire.ArchiveLayer)
	if err != nil {
		return nil, err
	}
	layers := map[string]hotreader.Source{}
	add := func(layer string, tiers []route.Tier) { layers[layer] = RowLimit(f).Within(route.Tiers(tiers...)) }
	var lower []route.Tier
	if archive != nil {
		add(wire.ArchiveLayer, archive)
	}
	if cold != nil {
		if archive != nil && f.Cold.Store != "" {
			// An object that has gone while it was read has been moved on.
			cold[0].Source = route.NewRetry(cold[0].Source, route.RetryOptions{})
		}
		cold = append(cold, archive...)
		lower = cold
		add(wire.ColdLayer, cold)
	} else if !f.ColdElsewhere {
		lower = archive
	}
	if hot != nil {
		add(wire.TargetLayer, append(hot, lower...))
	}
	first := longest(layers)
	layers[first] = p.kept(f, layers[first])
	if hot != nil && lower == nil {
		layers[first] = route.WarnOlder(layers[first], f.HotDays)
	}
	return layers, nil
}

// longest returns the layer that has all of the history that layers have.
func longest(layers map[string]hotreader.Source) string {
	for _, layer := range []string{wire.TargetLayer, wire.ColdLayer} {
		if layers[layer] != nil {
			return layer
		}
	}
	return wire.ArchiveLayer
}

// hot returns hot storage; none if it is not read here.
func (p Parts) hot(f *config.Function) ([]route.Tier, error) {
	var src hotreader.Source
	var err error
	switch {
	case f.HotElsewhere:
		return nil, nil
	case f.Remote:
		src, err = p.Remote(remote.Options{URL: f.RemoteURL, SourceCloud: string(f.L4)})
	default:
		if src, err = p.Local(); err == nil {
			src = p.Store(src)
		}
	}
	if err != nil {
		return nil, err
	}
	return []route.Tier{{Name: "hot storage", Source: src}}, nil
}

// place returns the tier that lies at a place; none if it is not read.
func (p Parts) place(f *config.Function, at config.Place, name, layer string) ([]route.Tier, error) {
	var src hotreader.Source
	var err error
	switch {
	case at.Remote != "":
		src, err = p.Remote(remote.Options{URL: at.Remote, SourceCloud: string(f.L4), Layer: layer})
	case at.Store == "":
		return nil, nil
	case p.Objects == nil:
		err = &hotreader.Error{Op: name, Code: hotreader.CodeConfig, Err: errors.New("this program cannot read object storage")}
	default:
		if src, err = p.Objects(at.Store); err == nil {
			src = p.Observer.Reads("read "+name, route.Ahead(src, route.AheadOptions{Values: p.Values}))
		}
	}
	if err != nil {
		return nil, err
	}
	return []route.Tier{{Name: name, Source: src}}, nil
}
