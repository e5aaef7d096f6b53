package twinmaker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"hotreader"
)

// Lookup asks TwinMaker (GetEntity) for the device id of an entity's component.
type Lookup = func(ctx context.Context, workspaceID, entityID, componentName string) (string, error)

// Devices finds the device id of an event. It takes the first of these:
//
//  1. the value, else the default value, of the property whose definition says
//     isExternalId;
//  2. componentTypeId without its prefix "Twin-";
//  3. the answer of Lookup.
//
// It never guesses: without any of these, the event is rejected.
type Devices struct {
	Twin   string // digital twin's name; "" = componentTypeId is ignored
	Lookup Lookup // nil = none; wrap it with CacheLookup
}

// find returns the device id and, if a property holds it, that property's name.
func (d Devices) find(ctx context.Context, e *event, ref Reference) (device, name string, err error) {
	fail := func(format string, args ...any) (string, string, error) {
		return "", "", &hotreader.Error{Op: e.op, Code: hotreader.CodeInvalid, Err: fmt.Errorf(format, args...)}
	}
	for i, x := range e.externals {
		if i > 0 && x.id != e.externals[0].id {
			return fail("properties %q and %q both say isExternalId, with different ids; want one external id", e.externals[0].name, x.name)
		}
	}
	if len(e.externals) > 0 {
		return e.externals[0].id, e.externals[0].name, nil
	}
	componentType, workspace := e.text("componentTypeId"), e.text("workspaceId")
	if err := invalid(e.op, e.wrong); err != nil {
		return "", "", err
	}
	if d.Twin != "" {
		if id, ok := strings.CutPrefix(componentType, d.Twin+"-"); ok && id != "" {
			return id, "", nil
		}
	}
	if d.Lookup != nil && ref.EntityID != "" && workspace != "" {
		id, err := d.Lookup(ctx, workspace, ref.EntityID, ref.ComponentName)
		if err != nil {
			if _, ok := errors.AsType[*hotreader.Error](err); !ok {
				err = &hotreader.Error{Op: e.op + ": look up the entity", Code: hotreader.CodeUnavailable, Err: err}
			}
			return "", "", err
		}
		if id != "" {
			return id, "", nil
		}
	}
	return fail("the device id cannot be found: no property with isExternalId has a value, "+
		"componentTypeId %q does not begin with %q, and entity %q, component %q names none",
		short(componentType), d.Twin+"-", short(ref.EntityID), short(ref.ComponentName))
}

const (
	cachedLookups = 1000
	lookupTTL     = 10 * time.Minute
)

// CacheLookup returns a Lookup that caches up to a thousand answers for ten minutes,
// but neither errors nor empty answers. It is safe for concurrent use if lookup is.
func CacheLookup(lookup Lookup) Lookup {
	type key struct{ workspace, entity, component string }
	type answer struct {
		device  string
		expires time.Time
	}
	var mu sync.Mutex
	answers := map[key]answer{}
	return func(ctx context.Context, workspace, entity, component string) (string, error) {
		k := key{workspace, entity, component}
		mu.Lock()
		a := answers[k]
		mu.Unlock()
		if time.Now().Before(a.expires) {
			return a.device, nil
		}
		device, err := lookup(ctx, workspace, entity, component)
		if err != nil || device == "" {
			return "", err
		}
		mu.Lock()
		defer mu.Unlock()
		if len(answers) >= cachedLookups {
			clear(answers) // simple, and rare
		}
		answers[k] = answer{device, time.Now().Add(lookupTTL)}
		return device, nil
	}
}
