// Package hotreader is the vocabulary of a digital twin's read path: what is
// asked ([Query]), what is answered ([Row], [Value]), who answers ([Reader]),
// and how it fails ([Error]).
//
// A store, a remote cloud, a router, a retry and a limit are all Readers, so
// one conformance suite (package store/storetest) proves each of them and
// behaviour is added by wrapping. The package imports nothing but the standard
// library; every other package of the module may import it.
package hotreader
