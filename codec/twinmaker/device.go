package twinmaker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"hotreader"
)

// Limits of the TwinMaker edge.
const (
	MaxEvent      = 1 << 20 // bytes of an event
	MaxSelected   = 10      // selectedProperties of an event
	MaxResults    = math.MaxInt32
	MaxTokenChars = 17_880 // TwinMaker's limit on nextToken
	maxDepth      = 64     // nesting of an event's JSON
	maxInterval   = 100 * 366 * 24 * time.Hour
)

// Request is a request of TwinMaker, or of a caller that wants an answer in its format.
type Request struct {
	// Query says which rows. Its Limit is ignored; MaxResults takes its place.
	Query hotreader.Query

	// Names are the answer's names for the properties. nil = the query's own. In a
	// last-entry request, several names may share one property of the query.
	Names []Name

	Ref           Reference
	MaxResults    int           // points over all properties; 0 = as many as the budgets allow
	NextToken     string        // of the page before; "" = the first page
	Interpolation time.Duration // distance of the steps, whole seconds; 0 = none
}

// Name is an answer's name for a property of the query.
type Name struct {
	Property string
	Column   int // index in Query.Properties
}

// names returns the answer's names for the properties.
func (r *Request) names() []Name {
	if r.Names != nil {
		return r.Names
	}
	names := make([]Name, len(r.Query.Properties))
	for i, name := range r.Query.Properties {
		names[i] = Name{name, i}
	}
	return names
}

// Reference says what the answer's properties belong to: an entity and its component,
// or, in queries by component type, the property that holds the external id (the id
// itself is Query.Device). With neither, the answer names only the properties.
type Reference struct {
	EntityID, ComponentName string
	ExternalName            string
}

// check reports what is wrong with a request, all of it in one error.
func (r *Request) check(op string) error {
	var wrong []string
	if err := r.Query.Check(); err != nil {
		wrong = append(wrong, cause(err))
	}
	if (r.Ref.EntityID == "") != (r.Ref.ComponentName == "") {
		wrong = append(wrong, "entityId and componentName belong together, but one of them is missing")
	}
	for _, name := range r.Names {
		if name.Column < 0 || name.Column >= len(r.Query.Properties) {
			wrong = append(wrong, fmt.Sprintf("the name %q is that of property %d, but there are %d", short(name.Property), name.Column, len(r.Query.Properties)))
		}
	}
	if r.MaxResults < 0 || r.MaxResults > MaxResults {
		wrong = append(wrong, fmt.Sprintf("maxResults is %d; want a whole number from 1 to %d", r.MaxResults, MaxResults))
	}
	if n := len(r.NextToken); n > MaxTokenChars {
		wrong = append(wrong, fmt.Sprintf("nextToken has %d characters; want at most %d", n, MaxTokenChars))
	}
	if r.Interpolation != 0 {
		wrong = append(wrong, r.checkInterpolation()...)
	}
	return invalid(op, wrong)
}

func (r *Request) checkInterpolation() (wrong []string) {
	if d := r.Interpolation; d < 0 || d > maxInterval || d%time.Second != 0 {
		wrong = append(wrong, fmt.Sprintf("interpolation.intervalInSeconds is %v; want a whole number of seconds from 1 to %d", d.Seconds(), maxInterval/time.Second))
	}
	if r.Query.Pick.Kind != hotreader.PickAll {
		wrong = append(wrong, "interpolation and picked rows do not go together; want one of them")
	}
	if r.Query.Start.IsZero() {
		wrong = append(wrong, "interpolation needs startTime, for its steps are counted from there")
	}
	for i, t := range r.Query.Types {
		if i < len(r.Query.Properties) && t != hotreader.Untyped && !t.Numeric() {
			wrong = append(wrong, fmt.Sprintf("interpolation is for numbers, but property %q is declared %v", r.Query.Properties[i], t))
		}
	}
	return wrong
}

// invalid returns an error of CodeInvalid that lists what is wrong, or nil.
func invalid(op string, wrong []string) error {
	if len(wrong) == 0 {
		return nil
	}
	return &hotreader.Error{Op: op, Code: hotreader.CodeInvalid, Err: errors.New(strings.Join(wrong, "; "))}
}

// cause is an error's text without the operation in front.
func cause(err error) string {
	if e, ok := errors.AsType[*hotreader.Error](err); ok && e.Err != nil {
		return e.Err.Error()
	}
	return err.Error()
}

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
