package hotreader

import "context"

// Listed is a device of which a store has rows.
type Listed struct {
	ID         string
	Properties []string // names, sorted: of all that any of its rows ever had
}

// A Lister is a store that can say of which devices it has rows. Those of the clouds
// cannot: it would cost a read of all of them.
type Lister interface {
	// Devices returns the first n devices, by id, whose id begins with prefix and
	// comes after the id after. The last id of one page is after for the next. An
	// error is an *Error.
	Devices(ctx context.Context, prefix, after string, n int) ([]Listed, error)
}
