package main

import (
	"hotreader/httpapi"
	"hotreader/promapi"
)

// mounts are the parts that serve has beside the Hot Reader API.
var mounts = []httpapi.Mount{{Path: promapi.Prefix, Make: func(in httpapi.Inside) (httpapi.Mounted, error) {
	return promapi.New(promapi.Options{Reader: in.Reader, May: in.May, Problem: in.Problem, Catalog: in.Catalog, Lister: in.Lister})
}}}
