// Package mounts has what serve, the Azure and the Cloud Run program serve beside the
// Hot Reader API: Prometheus' HTTP API and MCP. The Lambda functions do without, since
// these would double their size.
package mounts

import (
	"hotreader/httpapi"
	"hotreader/mcpserver"
	"hotreader/promapi"
)

// Options configure the parts. All may be zero.
type Options struct {
	Twin    string // its name, a label of Prometheus' series
	Version string // as MCP's clients see it
	Samples int    // as promapi.Options have it
	Answer  int    // the same
}

// All returns the parts.
func All(o Options) []httpapi.Mount {
	return []httpapi.Mount{
		{Path: promapi.Prefix, Make: func(in httpapi.Inside) (httpapi.Mounted, error) {
			return promapi.New(promapi.Options{Reader: in.Reader, May: in.May, Caller: in.Caller, Problem: in.Problem, Catalog: in.Catalog, Lister: in.Lister, Twin: o.Twin, Samples: o.Samples, Answer: o.Answer})
		}},
		{Path: mcpserver.Path, Make: func(in httpapi.Inside) (httpapi.Mounted, error) {
			return mcpserver.New(mcpserver.Options{Reader: in.Reader, May: in.May, Problem: in.Problem, Catalog: in.Catalog, Lister: in.Lister, Version: o.Version})
		}},
	}
}

// What a query on a function may read, and answer. Its memory is smaller than a server's.
const (
	Samples = 1_000_000
	Answer  = 8 << 20
)
