package boltstore

import (
	"sync/atomic"
	"syscall"

	bolt "go.etcd.io/bbolt"
)

// residueBytes is about how much of the mapped file reads leave in the process's
// memory. The kernel would let all of it stay, which on a machine with a limit
// on resident memory counts like any other.
const residueBytes = 4 << 20

// residue counts what reads have touched of the mapped file.
type residue struct{ bytes atomic.Int64 }

// release lets go of the mapped pages once enough has been read. They stay in
// the system's cache and come back when they are touched, so this is safe
// whatever others read meanwhile. It must be called within tx, during which the
// file stays mapped where it is.
func (r *residue) release(tx *bolt.Tx, n int) {
	if r.bytes.Add(int64(n)) < residueBytes {
		return
	}
	r.bytes.Store(0)
	// If it fails nothing is lost but memory.
	_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, tx.DB().Info().Data, uintptr(tx.Size()), syscall.MADV_DONTNEED)
}
