package boltstore

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"iter"
	"sort"
	"time"
	"unicode/utf8"

	bolt "go.etcd.io/bbolt"

	"hotreader"
)

// The records form a tree, as in Git, in which each knows number and checksum
// (CRC-32C, called check here) of those below it:
//
//	root       the check of each shard
//	shard      the devices whose ids hash to it: of each id, number and its head's check
//	head       a device: the check of its names, and a list of its indexes
//	names      of its properties
//	index      a list of up to indexRefs blocks
//	block      rows, see block.go
//
// So whatever an answer says, or that there is nothing to say, is proved by the
// records on the path to it, and nothing else has to be read for that. A write
// replaces the records on the path, and takes the checks of all others over as
// they are.
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

type key [keyBytes]byte

func keyOf(kind byte, owner, record uint32) (k key) {
	k[0] = kind
	binary.BigEndian.PutUint32(k[1:], owner)
	binary.BigEndian.PutUint32(k[5:], record)
	return k
}

// checksum is never 0, which means a record that does not exist.
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

// content is what a transaction finds in the file. Its bytes are valid within
// that, and must not be changed.
type content struct {
	bucket *bolt.Bucket
	cursor *bolt.Cursor // of the bucket; one for all records spares allocations
	root   []byte
}

// The root: its own check, the transaction that wrote it (8 bytes, which earlier
// programs ask for), how many devices there are, and the check of each shard,
// 0 = it has no device.
const (
	shards      = 256
	rootDevices = 4 + 8 // where the count of devices is
	rootHead    = rootDevices + 4
	rootBytes   = rootHead + shards*4
)

func contentOf(tx *bolt.Tx) (content, error) {
	k := keyOf(rootKind, 0, 0)
	b := tx.Bucket(bucketName)
	if b == nil {
		return content{}, errLost
	}
	c := content{b, b.Cursor(), b.Get(k[:])}
	if len(c.root) != rootBytes || binary.BigEndian.Uint32(c.root) != checksum("", k, c.root[4:]) {
		return content{}, errCheck
	}
	return c, nil
}

// putRoot stores a root.
func putRoot(tx *bolt.Tx, root []byte) error {
	k := keyOf(rootKind, 0, 0)
	binary.BigEndian.PutUint64(root[4:], uint64(tx.ID()))
	binary.BigEndian.PutUint32(root, checksum("", k, root[4:]))
	return tx.Bucket(bucketName).Put(k[:], root)
}

// record returns the record under k, whose check must be sum.
func (c content) record(device string, k key, sum uint32) ([]byte, error) {
	found, value := c.cursor.Seek(k[:])
	switch {
	case string(found) != string(k[:]):
		return nil, errLost
	case checksum(device, k, value) != sum:
		return nil, errCheck
	}
	return value, nil
}

func shardOf(device string) uint32 { return checksum(device, key{}, nil) % shards }

// shard returns the record in which the device is or would be, nil if there is
// none of that shard.
func (c content) shard(number uint32) ([]byte, error) {
	sum := binary.BigEndian.Uint32(c.root[rootHead+4*number:])
	if sum == 0 {
		return nil, nil
	}
	return c.record("", keyOf(shardKind, number, 0), sum)
}

// A device in its shard: number, check of its head, length of its id (2 bytes),
// the id.
const deviceHead = 4 + 4 + 2

// deviceAt returns where in the shard the device is, -1 if it is not.
func deviceAt(shard []byte, device string) (int, error) {
	for at := 0; at < len(shard); {
		if at+deviceHead > len(shard) {
			return 0, errForm
		}
		n := int(binary.BigEndian.Uint16(shard[at+8:]))
		id := at + deviceHead
		if id+n > len(shard) {
			return 0, errForm
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

func appendRef(dst refs, r ref) refs {
	dst = appendTime(dst, r.time)
	dst = binary.BigEndian.AppendUint32(dst, r.number)
	return binary.BigEndian.AppendUint32(dst, r.sum)
}

// refs is a list of them as it is stored, by time.
type refs []byte

func refsOf(b []byte) (refs, error) {
	if len(b) == 0 || len(b)%refBytes != 0 {
		return nil, errForm
	}
	return refs(b), nil
}

func (l refs) len() int { return len(l) / refBytes }

func (l refs) at(i int) ref {
	b := l[i*refBytes:]
	return ref{timeOf(b), binary.BigEndian.Uint32(b[timeBytes:]), binary.BigEndian.Uint32(b[timeBytes+4:])}
}

// floor returns the place of the last entry that is not after t, -1 if all are.
func (l refs) floor(t time.Time) int {
	var buf [timeBytes]byte
	want := appendTime(buf[:0], t)
	return sort.Search(l.len(), func(i int) bool { return bytes.Compare(l[i*refBytes:i*refBytes+timeBytes], want) > 0 }) - 1
}

// device is the head of a device, and what belongs to it.
type device struct {
	id        string
	number    uint32
	names     uint32 // their check
	nextIndex uint32 // the number that it gets
	nextBlock uint32 // the number that it gets
	indexes   refs   // nil = the device does not exist
}

// device returns what is known of a device.
func (c content) device(id string) (d device, err error) {
	shard, err := c.shard(shardOf(id))
	if err != nil {
		return d, err
	}
	at, err := deviceAt(shard, id)
	if err != nil || at < 0 {
		return d, err
	}
	d.id = id
	d.number = binary.BigEndian.Uint32(shard[at:])
	head, err := c.record(id, keyOf(headKind, d.number, 0), binary.BigEndian.Uint32(shard[at+4:]))
	if err != nil {
		return d, err
	}
	if len(head) < headBytes {
		return d, errForm
	}
	d.names, d.nextIndex, d.nextBlock = binary.BigEndian.Uint32(head), binary.BigEndian.Uint32(head[4:]), binary.BigEndian.Uint32(head[8:])
	d.indexes, err = refsOf(head[headBytes:])
	return d, err
}

// index returns the list of blocks that r refers to.
func (c content) index(d *device, r ref) (refs, error) {
	value, err := c.record(d.id, keyOf(indexKind, d.number, r.number), r.sum)
	if err != nil {
		return nil, err
	}
	return refsOf(value)
}

// block returns the block that r refers to.
func (c content) block(d *device, r ref) ([]byte, error) {
	return c.record(d.id, keyOf(blockKind, d.number, r.number), r.sum)
}

// blocksOf yields the blocks that may have rows in w, in its order.
func (c content) blocksOf(d *device, w *window) iter.Seq2[ref, error] {
	return func(yield func(ref, error) bool) {
		for i := range w.overlapping(d.indexes) {
			list, err := c.index(d, i)
			if err != nil {
				yield(ref{}, err)
				return
			}
			for r := range w.overlapping(list) {
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}

// properties yields the names of the device's properties, whose ids are 0, 1, 2
// and so on.
func (c content) properties(d *device) iter.Seq2[[]byte, error] {
	return namesIn(c.record(d.id, keyOf(nameKind, d.number, 0), d.names))
}

// namesIn yields the names in a record: of each its length, as uvarint, then the
// name.
func namesIn(record []byte, err error) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for n := 0; err == nil && len(record) > 0; n++ {
			length, used := binary.Uvarint(record)
			if n == maxNames || used <= 0 || length == 0 || length > min(hotreader.MaxNameBytes, uint64(len(record)-used)) {
				err = errForm
				break
			}
			name := record[used : used+int(length)]
			if record = record[used+int(length):]; !utf8.Valid(name) {
				err = errForm
			} else if !yield(name, nil) {
				return
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}
}
