package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"sort"
	"time"

	bolt "go.etcd.io/bbolt"
)

// bbolt keeps what it is given under a key, but has no checksum: a flipped bit
// in one of its pages may make records vanish, or bring back old ones. So the
// records themselves form a tree in which each knows number and CRC-32C of those
// below it. The root knows the transaction that wrote it, which bbolt's
// checksummed head must name too:
//
//	root       transaction, and of each shard its check
//	shard      of each of its devices id, number and the head's check
//	head       the device: check of its names, and a list of its indexes
//	names      of its properties
//	index      a list of up to indexRefs blocks
//	block      rows, see block.go
//
// So whatever an answer says, or that there is nothing to say, is proved by the
// records on the way to it, and cannot be older than the root. Nothing else has
// to be read for that. A write replaces the records on the way, and takes the
// checks of all others over as they are.
//
// All are in one bucket. A key is kind (1 byte), number of the device, or of the
// shard, and the record's own, 4 bytes each, big endian. All integers in values
// are big endian too. A check covers the device's id, the key and the value.
const (
	rootKind  = 'a'
	shardKind = 'd'
	headKind  = 'h'
	nameKind  = 'n'
	indexKind = 'i'
	blockKind = 'r'

	keyBytes = 9
)

var (
	bucketName  = []byte("hotreader")
	formatKey   = []byte("format")
	formatValue = []byte("2")
	castagnoli  = crc32.MakeTable(crc32.Castagnoli)
)

// What is wrong with a file.
var (
	errPage  = errors.New("a page of the file is damaged")
	errLost  = errors.New("it is not where it should be")
	errCheck = errors.New("its checksum does not match")
)

type key [keyBytes]byte

func keyOf(kind byte, owner, record uint32) (k key) {
	k[0] = kind
	binary.BigEndian.PutUint32(k[1:], owner)
	binary.BigEndian.PutUint32(k[5:], record)
	return k
}

// checksum is never 0, which stands for a record that does not exist.
func checksum(device string, k key, value []byte) uint32 {
	sum := ^uint32(0)
	for i := range len(device) {
		sum = castagnoli[byte(sum)^device[i]] ^ sum>>8
	}
	for _, b := range k {
		sum = castagnoli[byte(sum)^b] ^ sum>>8
	}
	return max(crc32.Update(^sum, castagnoli, value), 1)
}

// record returns the record under k, whose check must be sum.
func (t *tree) record(device string, k key, sum uint32) ([]byte, error) {
	value, flags, err := t.find(t.home, k[:])
	switch {
	case err != nil:
		return nil, err
	case value == nil || flags != 0:
		return nil, errLost
	case checksum(device, k, value) != sum:
		return nil, errCheck
	}
	return value, nil
}

// The root: its own check, the transaction (8 bytes), how many devices there
// are, and the check of each shard, 0 = it has no device.
const (
	shards    = 256
	rootHead  = 4 + 8 + 4
	rootBytes = rootHead + shards*4
)

// root returns the file's root, which the transaction id must have written.
func (t *tree) root(id int) ([]byte, error) {
	k := keyOf(rootKind, 0, 0)
	if t.home == nil {
		return nil, errPage
	}
	r, flags, err := t.find(t.home, k[:])
	if err != nil {
		return nil, err
	}
	if len(r) != rootBytes || flags != 0 ||
		binary.BigEndian.Uint32(r) != checksum("", k, r[4:]) || binary.BigEndian.Uint64(r[4:]) != uint64(id) {
		return nil, errPage
	}
	return r, nil
}

// putRoot stores a root in tx, which must happen in each transaction.
func putRoot(tx *bolt.Tx, b *bolt.Bucket, r []byte) error {
	k := keyOf(rootKind, 0, 0)
	binary.BigEndian.PutUint64(r[4:], uint64(tx.ID()))
	binary.BigEndian.PutUint32(r, checksum("", k, r[4:]))
	return b.Put(k[:], r)
}

func shardOf(device string) uint32 { return checksum(device, key{}, nil) % shards }

// shard returns the record in which the device is or would be, nil if there is
// none of that shard.
func (t *tree) shard(root []byte, number uint32) ([]byte, error) {
	sum := binary.BigEndian.Uint32(root[rootHead+4*number:])
	if sum == 0 {
		return nil, nil
	}
	k := keyOf(shardKind, number, 0)
	s, err := t.record("", k, sum)
	if err != nil {
		return nil, errPage
	}
	return s, nil
}

// A device in its shard: number, check of its head, length of its id (2 bytes),
// the id.
const deviceHead = 4 + 4 + 2

// deviceAt returns where in the shard the device is, -1 if it is not.
func deviceAt(shard []byte, device string) (int, error) {
	for at := 0; at < len(shard); {
		if at+deviceHead > len(shard) {
			return 0, errPage
		}
		n := int(binary.BigEndian.Uint16(shard[at+8:]))
		id := at + deviceHead
		if id+n > len(shard) {
			return 0, errPage
		}
		if string(shard[id:id+n]) == device {
			return at, nil
		}
		at = id + n
	}
	return -1, nil
}

// A device's head: check of its names, number of the next index and of the next
// block that will be made, then its indexes.
const headBytes = 4 + 4 + 4

// indexRefs is how many blocks an index lists at the most. A write costs one
// index and the head.
const indexRefs = 256

// ref is an entry of a list: where rows begin, and the record that has them.
type ref struct {
	time   time.Time
	number uint32
	sum    uint32
}

const refBytes = timeBytes + 4 + 4

func appendRef(dst []byte, r ref) []byte {
	dst = appendTime(dst, r.time)
	dst = binary.BigEndian.AppendUint32(dst, r.number)
	return binary.BigEndian.AppendUint32(dst, r.sum)
}

// refs is a list of them as it is stored, by time.
type refs []byte

func refsOf(b []byte) (refs, error) {
	if len(b) == 0 || len(b)%refBytes != 0 {
		return nil, errPage
	}
	return refs(b), nil
}

func (l refs) len() int { return len(l) / refBytes }

func (l refs) at(i int) ref {
	b := l[i*refBytes:]
	return ref{timeOf(b), binary.BigEndian.Uint32(b[timeBytes:]), binary.BigEndian.Uint32(b[timeBytes+4:])}
}

// floor returns the number of the last entry not behind t, -1 if all are.
func (l refs) floor(t time.Time) int {
	var buf [timeBytes]byte
	want := appendTime(buf[:0], t)
	return sort.Search(l.len(), func(i int) bool { return bytes.Compare(l[i*refBytes:i*refBytes+timeBytes], want) > 0 }) - 1
}

// device is the head of a device, and what belongs to it.
type device struct {
	id      string
	number  uint32
	names   uint32 // check of
	next    uint32 // number of the next index
	block   uint32 // number of the next block
	indexes refs   // nil = the device does not exist
}

// device returns what is known of a device. shard is where it would be.
func (t *tree) device(shard []byte, id string) (d device, err error) {
	at, err := deviceAt(shard, id)
	if err != nil || at < 0 {
		return d, err
	}
	d.id = id
	d.number = binary.BigEndian.Uint32(shard[at:])
	k := keyOf(headKind, d.number, 0)
	head, err := t.record(id, k, binary.BigEndian.Uint32(shard[at+4:]))
	if err != nil {
		return d, err
	}
	if len(head) < headBytes {
		return d, errPage
	}
	d.names, d.next, d.block = binary.BigEndian.Uint32(head), binary.BigEndian.Uint32(head[4:]), binary.BigEndian.Uint32(head[8:])
	d.indexes, err = refsOf(head[headBytes:])
	return d, err
}

// index returns the list of blocks that r refers to.
func (t *tree) index(d *device, r ref) (refs, error) {
	k := keyOf(indexKind, d.number, r.number)
	value, err := t.record(d.id, k, r.sum)
	if err != nil {
		return nil, err
	}
	return refsOf(value)
}

// block returns the block that r refers to.
func (t *tree) block(d *device, r ref) ([]byte, error) {
	k := keyOf(blockKind, d.number, r.number)
	return t.record(d.id, k, r.sum)
}

// properties returns the names of the device's properties: of each its length,
// as uvarint, then the name. Their ids are 0, 1, 2 and so on.
func (t *tree) properties(d *device) ([]byte, error) {
	k := keyOf(nameKind, d.number, 0)
	return t.record(d.id, k, d.names)
}

// nextName splits the first name off.
func nextName(names []byte) (name, rest []byte, ok bool) {
	n, used := binary.Uvarint(names)
	if used <= 0 || n > uint64(len(names)-used) {
		return nil, nil, false
	}
	return names[used : used+int(n)], names[used+int(n):], true
}
