package twinmaker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"hotreader"
	"hotreader/catalog"
	"hotreader/internal/nearest"
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

// Request is a request of TwinMaker, or of a caller that asks for its format.
type Request struct {
	// Query says which rows. Its Limit is ignored; MaxResults takes its place.
	Query hotreader.Query

	// Fleet are the devices that are asked for; Query.Device is then "". nil = the
	// one of the Query. A last-entry request has none.
	Fleet *Fleet

	// DeviceFilters are those on the property that is the external id. They compare a
	// device's ID, as text; the answer has the devices that pass them all.
	DeviceFilters []hotreader.Filter

	// Unlisted is what the catalogue does not list. If storage knows nothing of it,
	// either, that is an error.
	Unlisted struct {
		Among      []string           // devices, without the query's; nil = that is listed
		Properties []string           // of the query
		Instead    []catalog.Property // all that it lists of the device or the type
	}

	// Constants are properties of the query that the catalogue gives one value for all
	// times: name and value. An answer of nothing else is an error.
	Constants map[string]string

	// Names are the answer's names for the properties. nil = the query's own. In a
	// last-entry request, several names may share one property of the query.
	Names []Name

	Ref           Reference
	Alarm         bool          // the component's type extends TwinMaker's basic alarm
	Warnings      bool          // the caller, who is not TwinMaker, reads the answer's warnings
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

// passes reports whether a device's values may be in the answer.
func (r *Request) passes(device string) bool {
	id := hotreader.StringValue([]byte(device))
	return !slices.ContainsFunc(r.DeviceFilters, func(f hotreader.Filter) bool { return !f.Match(id) })
}

// Fleet is the devices of a component type that they share.
type Fleet struct {
	Type    string // its name, without the twin's
	Catalog *catalog.Catalog
}

// Reference says what the answer's properties belong to: an entity and its component,
// or, in queries by component type, the properties that hold the external id (the id
// itself is the device's). With neither, the answer names only the properties.
type Reference struct {
	EntityID, ComponentName string
	ComponentPath           string // of a component within components; "" = not said
	ExternalNames           []string
}

// check reports what is wrong with a request, all of it in one error.
func (r *Request) check(op string) error {
	var wrong []string
	q := r.Query
	if r.Fleet != nil {
		q.Device = r.Fleet.Type
		if q.Last {
			wrong = append(wrong, "a last-entry request has one device")
		}
	}
	if err := q.Check(); err != nil {
		wrong = append(wrong, cause(err))
	}
	if (r.Ref.EntityID == "") != (r.Ref.ComponentName == "" && r.Ref.ComponentPath == "") {
		wrong = append(wrong, "entityId and componentName belong together, but one of them is missing")
	}
	for _, name := range r.Names {
		if name.Column < 0 || name.Column >= len(r.Query.Properties) {
			wrong = append(wrong, fmt.Sprintf("the name %q is that of property %d, but there are %d", short(name.Property), name.Column, len(r.Query.Properties)))
		}
	}
	if r.MaxResults < 0 || r.MaxResults > MaxResults {
		wrong = append(wrong, fmt.Sprintf("maxResults is %d; expected a whole number from 1 to %d", r.MaxResults, MaxResults))
	}
	if n := len(r.NextToken); n > MaxTokenChars {
		wrong = append(wrong, fmt.Sprintf("nextToken has %d characters; expected at most %d", n, MaxTokenChars))
	}
	if r.Interpolation != 0 {
		wrong = append(wrong, r.checkInterpolation()...)
	}
	return invalid(op, wrong)
}

func (r *Request) checkInterpolation() (wrong []string) {
	if d := r.Interpolation; d < 0 || d > maxInterval || d%time.Second != 0 {
		wrong = append(wrong, fmt.Sprintf("interpolation.intervalInSeconds is %v; expected a whole number of seconds from 1 to %d", d.Seconds(), maxInterval/time.Second))
	}
	if r.Query.Pick.Kind != hotreader.PickAll {
		wrong = append(wrong, "interpolation and picked rows do not go together; expected one of them")
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

// Said is what the caller of a function reads of an error, whatever its code: Text
// speaks of TwinMaker alone, and nothing of storage.
type Said struct {
	Text string // a sentence without a full stop
	Err  error  // the cause, for the log; nil = Text says it all
}

func (s *Said) Error() string {
	if s.Err == nil {
		return s.Text
	}
	return s.Text + ": " + s.Err.Error()
}

// Unwrap returns the cause.
func (s *Said) Unwrap() error { return s.Err }

// Component is what TwinMaker knows of an entity's component.
type Component struct {
	ExternalID string // value, else default value, of the property that is an external id; "" = none
	TypeID     string // of the component type; "" = not known
}

// Lookup asks TwinMaker (GetEntity) for an entity's component, by its name or its path.
type Lookup = func(ctx context.Context, workspaceID, entityID, component string) (Component, error)

// Devices finds the device of an event. It takes the first of these:
//
//  1. the value, else the default value, of the property whose definition says
//     isExternalId;
//  2. componentTypeId without its prefix "Twin-", by the Catalog: the one device of
//     this type; without a Catalog the device of this name;
//  3. the answer of Lookup, by the same two rules.
//
// A component-type query (without an entity) of a type that devices share is for all
// of them. Devices never guesses: without any of these, the event is rejected.
type Devices struct {
	Twin    string           // digital twin's name; "" = componentTypeId is ignored
	Catalog *catalog.Catalog // of the twin's devices; nil = none
	Lookup  Lookup           // nil = none; wrap it with CacheLookup
}

// find puts into req whose values an event asks for: a device or a Fleet.
func (d Devices) find(ctx context.Context, e *event, req *Request) error {
	fail := func(format string, args ...any) error {
		return &hotreader.Error{Op: e.op, Code: hotreader.CodeInvalid, Err: fmt.Errorf(format, args...)}
	}
	id := ""
	for _, x := range e.externals {
		if id != "" && x.id != "" && x.id != id {
			return fail("the properties that say isExternalId have different ids, %q and %q; expected one external id", short(id), short(x.id))
		}
		id = cmp.Or(id, x.id)
	}
	if req.Ref.EntityID == "" {
		if len(e.externals) == 0 {
			return fail("entityId is absent, and no property of the component type says isExternalId, so an answer could not say whose values it has; expected such a property, as deviceId or alarm_key")
		}
		for _, x := range e.externals {
			req.Ref.ExternalNames = append(req.Ref.ExternalNames, x.name)
		}
	}
	if id != "" {
		req.Query.Device = id
		return nil
	}
	componentType, workspace := e.text("componentTypeId"), e.text("workspaceId")
	if err := invalid(e.op, e.wrong); err != nil {
		return err
	}
	if found, err := d.ofType(componentType, e.op, req); found || err != nil {
		return err
	}
	ref := &req.Ref
	if d.Lookup != nil && ref.EntityID != "" && workspace != "" {
		c, err := d.Lookup(ctx, workspace, ref.EntityID, cmp.Or(ref.ComponentPath, ref.ComponentName))
		if err != nil {
			return d.unasked(e.op, componentType, err)
		}
		if req.Query.Device = c.ExternalID; c.ExternalID != "" {
			return nil
		}
		componentType = cmp.Or(c.TypeID, componentType)
		if found, err := d.ofType(componentType, e.op, req); found || err != nil {
			return err
		}
	}
	return fail("the device id cannot be found: no property with isExternalId has a value, %s, and entity %q, component %q names none",
		d.noDevice(componentType), short(ref.EntityID), short(cmp.Or(ref.ComponentPath, ref.ComponentName)))
}

// unasked returns the error of a Lookup that failed, with why it was made where the
// component type could have told.
func (d Devices) unasked(op, componentType string, err error) error {
	failed, ok := errors.AsType[*hotreader.Error](err)
	if !ok {
		failed = &hotreader.Error{Op: op, Code: hotreader.CodeUnavailable, Err: &Said{"TwinMaker's GetEntity failed", err}}
	}
	if said, ok := errors.AsType[*Said](failed); ok && d.Catalog != nil && componentType != "" {
		why := *failed
		why.Err = &Said{d.noDevice(componentType) + ", so TwinMaker was asked. " + said.Text, said.Err}
		return &why
	}
	return failed
}

// filtered returns the error of filters on the external id that no device of the catalogue
// can pass.
func (d Devices) filtered(op string, req *Request) error {
	var wrong []string
	for _, f := range req.DeviceFilters {
		id := string(f.Value.Text())
		if d.Catalog == nil || f.Op != hotreader.Equal {
			continue
		}
		device, ok := d.Catalog.Device(id)
		switch {
		case !ok:
			wrong = append(wrong, fmt.Sprintf("propertyFilters select the device %q, which is not in the catalogue of devices", short(id)))
		case req.Fleet != nil && cmp.Or(device.Type, device.ID) != req.Fleet.Type:
			wrong = append(wrong, fmt.Sprintf("propertyFilters select the device %q, which is not of the type %q", short(id), short(req.Fleet.Type)))
		}
	}
	return invalid(op, wrong)
}

// declare takes from the catalogue the types of the properties whose definition has
// none, and notes what it does not list.
func (d Devices) declare(req *Request) {
	if d.Catalog == nil {
		return
	}
	q := &req.Query
	device, ok := d.Catalog.Device(q.Device)
	if req.Fleet != nil {
		device, ok = d.Catalog.Devices("", req.Fleet.Type, "", 1)[0], true // all have the same properties
	}
	if !ok {
		req.Unlisted.Among = d.Catalog.IDs()
	}
	req.Unlisted.Instead = device.Properties
	for i, name := range q.Properties {
		at := slices.IndexFunc(device.Properties, func(p catalog.Property) bool { return p.Name == name })
		switch {
		case at < 0:
			req.Unlisted.Properties = append(req.Unlisted.Properties, name)
		case device.Properties[at].Constant != "":
			if req.Constants == nil {
				req.Constants = map[string]string{}
			}
			req.Constants[name] = device.Properties[at].Constant
		case q.Types[i] == hotreader.Untyped:
			q.Types[i] = device.Properties[at].Type
		}
	}
}

// noDevice says why a component type names no device.
func (d Devices) noDevice(componentType string) string {
	name, ours := strings.CutPrefix(componentType, d.Twin+"-")
	switch {
	case !ours || d.Twin == "" || d.Catalog == nil:
		return fmt.Sprintf("componentTypeId %q does not begin with %q", short(componentType), d.Twin+"-")
	case d.Catalog.Count(name) == 0:
		return fmt.Sprintf("componentTypeId %q is of no device of the catalogue", short(componentType))
	}
	return fmt.Sprintf("componentTypeId %q is shared by %d devices", short(componentType), d.Catalog.Count(name))
}

// ofType finds whose values an event asks for by its component type.
func (d Devices) ofType(componentType, op string, req *Request) (found bool, err error) {
	fail := func(format string, args ...any) (bool, error) {
		return false, &hotreader.Error{Op: op, Code: hotreader.CodeInvalid, Err: fmt.Errorf(format, args...)}
	}
	name, ours := strings.CutPrefix(componentType, d.Twin+"-")
	if d.Twin == "" || !ours || name == "" {
		if d.Catalog != nil && d.Catalog.Count(componentType) > 0 {
			return fail("componentTypeId is %q, without the twin's name; expected %q", short(componentType), d.Twin+"-"+componentType)
		}
		return false, nil
	}
	if d.Catalog == nil {
		req.Query.Device = name
		return true, nil
	}
	entity, n := req.Ref.EntityID != "", d.Catalog.Count(name)
	own, _ := d.Catalog.Device(name)
	switch {
	case n == 0 && entity, n > 1 && entity:
		return false, nil
	case n == 0:
		var types []string
		for _, t := range d.Catalog.Types() {
			types = append(types, t.Name)
		}
		meant := nearest.Word(name, types)
		if meant != "" {
			meant = fmt.Sprintf(" (did you mean %q?)", d.Twin+"-"+meant)
		}
		return fail("componentTypeId %q is of no device of the catalogue%s; correct it, or give the project's devices this type and deploy again", short(componentType), meant)
	case entity, own.ID != "" && own.Type == "", n == 1 && req.Query.Last:
		req.Query.Device = d.Catalog.DevicesOf(name)[0].ID
		return true, nil
	case req.Query.Last:
		return fail("componentTypeId %q is shared by %d devices, and a last-entry answer has one value of a property; ask by entityId, or for a history in DESCENDING order", short(componentType), n)
	}
	req.Fleet = &Fleet{Type: name, Catalog: d.Catalog}
	return true, nil
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
		component Component
		expires   time.Time
	}
	var mu sync.Mutex
	answers := map[key]answer{}
	return func(ctx context.Context, workspace, entity, component string) (Component, error) {
		k := key{workspace, entity, component}
		mu.Lock()
		a := answers[k]
		mu.Unlock()
		if time.Now().Before(a.expires) {
			return a.component, nil
		}
		c, err := lookup(ctx, workspace, entity, component)
		if err != nil || c == (Component{}) {
			return Component{}, err
		}
		mu.Lock()
		defer mu.Unlock()
		if len(answers) >= cachedLookups {
			clear(answers) // simple, and rare
		}
		answers[k] = answer{c, time.Now().Add(lookupTTL)}
		return c, nil
	}
}
