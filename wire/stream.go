package wire

import (
	"hash/crc32"
	"mime"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/huff0"
	"github.com/klauspost/compress/zstd"
)

// MediaType is the media type of the row stream. Its parameter "version" defaults to
// Version.
const MediaType = "application/vnd.hotreader.rows"

// Version is the only supported version of the stream. (Version 1 was never
// released.)
const Version = 2

// Accepted is what an Accept header contains to ask for the row stream.
const Accepted = MediaType + ";version=2"

// The stream's bounds. A decoder rejects what exceeds them before it allocates
// memory for it.
const (
	MaxRowBytes   = 2 << 20 // text of one row: the largest item of any store
	MaxFrameRows  = 4096
	maxWarnings   = 1024      // of the end mark
	maxFrameCells = 1 << 16   // rows × columns of one frame
	maxFrameText  = 4 << 20   // decoded text of one frame
	maxFrameBytes = 8 << 20   // one frame on the wire
	firstRows     = 64        // rows of the first frame; each next frame may have four times as many
	softFrameText = 256 << 10 // text at which an encoder begins the next frame
)

const magic = "HROW"

const headerLen = len(magic) + 3 + 4 // magic, version, flags, columns, checksum

// Flags of the header.
const flagDescending = 1

// Types of frames.
const (
	frameRows  = 'R'
	frameEnd   = 'E'
	frameError = 'X'
)

// Flags of the end mark.
const flagMore = 1

// Which cells of a column hold a value.
const (
	presentAll  = 0
	presentNone = 1
	presentMap  = 2 // a bitmap says which
)

// kindsMixed takes the place of a column's kind where there are several.
const kindsMixed = 4

// How numbers are encoded.
const (
	numbersText   = 0
	numbersScaled = 1
)

// How a block of bytes is encoded.
const (
	blockStored  = 0
	blockHuffman = 1
	blockZstd    = 2
	blockRepeat  = 3
)

const maxScale = 18 // decimals of a scaled number

var pow10 = [maxScale + 1]int64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AcceptsRows reports whether an Accept header names the row stream, in the version
// that Encoder writes. Wildcards do not count: */* gets JSON.
func AcceptsRows(accept string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		media, params, err := mime.ParseMediaType(part)
		if err != nil || media != MediaType {
			continue
		}
		if v, ok := params["version"]; ok && v != strconv.Itoa(Version) {
			continue
		}
		if q, ok := params["q"]; ok {
			if f, err := strconv.ParseFloat(q, 64); err != nil || !(f > 0) {
				continue
			}
		}
		return true
	}
	return false
}

// packer compresses and decompresses blocks. It is reused, since the libraries' tables
// cost more to build than a frame.
type packer struct {
	huff   *huff0.Scratch
	zenc   *zstd.Encoder // made at first use: numbers do not need it
	zdec   *zstd.Decoder
	packed []byte
}

// pack appends raw as a block. text selects zstd, which finds repeated words, instead
// of Huffman coding, which shortens frequent bytes only.
func (p *packer) pack(dst, raw []byte, text bool) []byte {
	if len(raw) > 0 && repeats(raw) {
		return append(dst, blockRepeat, raw[0])
	}
	const least = 24 // a shorter block would not get smaller
	if len(raw) >= least {
		if text {
			p.packed = p.encoder().EncodeAll(raw, p.packed[:0])
			if len(p.packed)+4 < len(raw) {
				return appendBytes(append(dst, blockZstd), p.packed)
			}
		} else if len(raw) <= huff0.BlockSizeMax {
			if p.huff == nil {
				p.huff = &huff0.Scratch{Reuse: huff0.ReusePolicyNone}
			}
			if out, _, err := huff0.Compress1X(raw, p.huff); err == nil && len(out)+4 < len(raw) {
				return appendBytes(append(dst, blockHuffman), out)
			}
		}
	}
	return append(append(dst, blockStored), raw...)
}

func (p *packer) encoder() *zstd.Encoder {
	if p.zenc == nil {
		// The options are constants that the library accepts.
		p.zenc, _ = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault),
			zstd.WithWindowSize(1<<20), zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true), zstd.WithLowerEncoderMem(true))
	}
	return p.zenc
}

func (p *packer) decoder() *zstd.Decoder {
	if p.zdec == nil {
		p.zdec, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(maxFrameText), zstd.WithDecoderMaxWindow(8<<20), zstd.WithDecodeAllCapLimit(true))
	}
	return p.zdec
}

func repeats(raw []byte) bool {
	for _, b := range raw {
		if b != raw[0] {
			return false
		}
	}
	return true
}

// packers keeps packers for the next stream, as the pools of Encoder and Decoder keep
// their states.
var packers = sync.Pool{New: func() any { return new(packer) }}
