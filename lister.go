package hotreader

import "context"

// Listed is a device of which a store has rows.
type Listed struct {
	ID         string
	Type       string   // its component type; "" = it shares none, or that is not known
	Properties []string // names, sorted: of all that any of its rows ever had
}

// A Lister can say which devices there are: a store, those of which it has rows, another
// cloud's API, those that it lists. The clouds' stores cannot: it would cost a read of
// all of their rows.
type Lister interface {
	// Devices returns the first n devices, by id, whose id begins with prefix and
	// comes after the id after. The last id of one page is after for the next. An
	// error is an *Error.
	Devices(ctx context.Context, prefix, after string, n int) ([]Listed, error)
}
