package function

import (
	"cmp"

	"hotreader"
	"hotreader/config"
	"hotreader/route"
)

// PriceDate is when the prices of rows were looked up, which docs/cost.md explains.
const PriceDate = "2026-11-23"

// limits are the defaults of HOTREADER_MAX_ROWS, with what a million rows of 4
// properties cost. On Firestore, which bills each row, it is less.
var limits = map[config.Cloud]route.RowLimit{
	config.AWS:   {Rows: 5_000_000, Store: "DynamoDB", Million: 0.0031, Date: PriceDate},
	config.Azure: {Rows: 5_000_000, Store: "Cosmos DB", Million: 0.010, Date: PriceDate},
	config.GCP:   {Rows: 500_000, Store: "Firestore", Million: 0.30, Date: PriceDate},
	"":           {Rows: 5_000_000},
}

// RowLimit returns how many rows one of f's queries may look at.
func RowLimit(f *config.Function) route.RowLimit {
	at := f.L3
	switch {
	case f.Remote || at != "":
	case f.Table != "":
		at = config.AWS
	case f.Cosmos.Container != "":
		at = config.Azure
	case f.Firestore.Collection != "":
		at = config.GCP
	}
	limit := limits[at]
	limit.Rows = cmp.Or(f.MaxRows, limit.Rows)
	return limit
}

// DefaultCache is how many bytes a program keeps that serves HTTP itself. A function on
// Lambda keeps nothing by default, for its memory is small and paid for, and
// no other process can use it.
const DefaultCache = 64 << 20

// kept returns src with what was read kept for a while, as f says.
func (p Parts) kept(f *config.Function, src hotreader.Source) hotreader.Source {
	size := f.Cache.Bytes(p.Cache)
	if size == 0 {
		return src
	}
	return p.Observer.Cache(route.NewCache(src, route.CacheOptions{Bytes: size, Settle: f.Settle.Duration(), MaxAge: f.CacheAge.Duration()}))
}
