// Package hotreader is the vocabulary of a digital twin's read path: the
// question ([Query]), the answer ([Row], [Value]), where rows come from ([Source]),
// what answers ([Reader]), and how it fails ([Error]).
//
// A store and a remote cloud are Sources of raw rows; a router, a retry and a
// breaker are Sources around Sources. [Meaning] is applied once, on top: it turns raw
// rows into the answer to a query. One conformance suite (package
// store/storetest) checks all of them. The package imports the standard library
// only; every other package of the module may import it.
package hotreader
