package main

import (
	"hotreader"
	"hotreader/catalog"
	"hotreader/httpapi"
	"hotreader/promapi"
)

// mounts are the parts that serve has beside the Hot Reader API. They list the devices of
// the catalogue or, where there is none, those that the store lists.
func mounts(list *catalog.Catalog, store hotreader.Source) []httpapi.Mount {
	lister, _ := store.(hotreader.Lister)
	return []httpapi.Mount{{Path: promapi.Prefix, Make: func(in httpapi.Inside) (httpapi.Mounted, error) {
		return promapi.New(promapi.Options{Reader: in.Reader, May: in.May, Problem: in.Problem, Catalog: list, Lister: lister})
	}}}
}
