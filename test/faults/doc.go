// Package faults tests what happens when something fails between the twin and the
// rows. It injects each fault of the table in docs/reliability.md, over real sockets,
// into the read path as the functions assemble it. A read must then return exactly the
// stored rows, or an error that names the fault. Tests in which minutes or days pass
// use virtual time and connections in memory.
package faults
