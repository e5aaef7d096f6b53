// Package soak holds the real program under load: more requests than it can
// answer, from fair clients, a greedy one and hostile ones, and a process that
// is killed again and again while it imports.
//
// `go test ./test/soak` does so for some seconds, `make soak` for minutes:
//
//	make soak SOAK=10m      # how long the load lasts; 100 kills come on top
//	make soak SEED=12345    # the same requests and the same kills once more
//
// The machine says how much load that is: what it can answer is measured at
// first, and all that is asserted later is relative to that, or comes from the
// configuration of `hotreader serve`.
package soak
