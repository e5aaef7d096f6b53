// Package faults shows what happens when something fails between the twin and
// the rows: over real sockets, each fault of the table in docs/reliability.md
// befalls the readers as the functions wire them. Either exactly the rows that
// are stored come, or an error that names what was wrong. Where minutes or days
// pass, time is virtual and the connections are in memory.
package faults
