package importer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/text/transform"

	"hotreader"
	"hotreader/cmd/hotreader/internal/importer/sniff"
	"hotreader/cmd/hotreader/internal/terminal"
)

// How many bytes are looked at before anything is read. Of a pipe less, for its next
// lines may take their time.
const (
	headBytes = 512 << 10
	pipeBytes = 32 << 10
)

// input is a file as UTF-8 text, whatever it was.
type input struct {
	*bufio.Reader
	name     string // for messages
	encoding string
	file     *os.File
	size     int64 // 0 = not known
	closers  []func()
}

// opened opens a file, unpacks it and decodes it.
func (o *Options) opened(ctx context.Context, name string) (*input, error) {
	in := &input{name: "standard input"}
	var raw io.Reader = &terminal.Input{Context: ctx, R: o.In}
	if name != "-" {
		in.name = name
		if err := in.open(name); err != nil {
			return nil, err
		}
		raw = in.file
	}
	err := in.decode(raw, name, o.Encoding)
	if err != nil {
		in.close()
		return nil, err
	}
	return in, nil
}

func (i *input) open(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return &hotreader.Error{Op: "import", Code: hotreader.CodeNotFound, Err: err}
	}
	i.file = file
	i.closers = append(i.closers, func() { _ = file.Close() }) // it was only read
	info, err := file.Stat()
	if err == nil && info.IsDir() {
		i.close()
		return &hotreader.Error{Op: "import", Code: hotreader.CodeNotFound, Err: fmt.Errorf("%s is a directory; give a file", name)}
	}
	if err == nil && info.Mode().IsRegular() {
		i.size = info.Size()
	}
	return nil
}

// decode unpacks what is compressed, by its name or its first bytes, and makes UTF-8 of
// it.
func (i *input) decode(raw io.Reader, name, given string) error {
	most := pipeBytes
	if i.size > 0 {
		most = headBytes
	}
	r := bufio.NewReaderSize(raw, most)
	magic, _ := r.Peek(4) // an error comes again when the file is read
	switch ext := strings.ToLower(filepath.Ext(name)); {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}) || ext == ".gz" || ext == ".gzip": // RFC 1952
		z, err := gzip.NewReader(r)
		if err != nil {
			return invalid("%s: it is not gzip: %w", i.name, err)
		}
		r = bufio.NewReaderSize(z, most)
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}) || ext == ".zst" || ext == ".zstd": // RFC 8878
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return invalid("%s: it is not zstd: %w", i.name, err)
		}
		i.closers = append(i.closers, z.Close)
		r = bufio.NewReaderSize(z, most)
	case bytes.HasPrefix(magic, []byte("PK\x03\x04")):
		return invalid("%s: it is a spreadsheet or a zip file; save the sheet as CSV, or unpack it", i.name)
	}
	head, _ := r.Peek(1000)
	encoding, decoder, skip, err := sniff.Encoding(head, given)
	if err != nil {
		return invalid("%s: --encoding: %w", i.name, err)
	}
	i.encoding = encoding
	if _, err := r.Discard(skip); err != nil {
		return err
	}
	if decoder != nil {
		r = bufio.NewReaderSize(transform.NewReader(r, decoder.NewDecoder()), most)
	}
	if head, _ := r.Peek(64); given == "" && (bytes.IndexByte(head, 0) >= 0 || bytes.HasPrefix(head, []byte("PAR1"))) {
		return invalid("%s: it is not text but a database, a picture, Parquet or a spreadsheet of Excel; export it as CSV", i.name)
	}
	if head, _ := r.Peek(most); bytes.IndexByte(head, '\r') >= 0 && bytes.IndexByte(head, '\n') < 0 {
		r = bufio.NewReaderSize(returns{r}, most)
	}
	i.Reader = r
	return nil
}

// returns reads lines that end with a carriage return alone.
type returns struct{ r io.Reader }

func (c returns) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	for i := range p[:n] {
		if p[i] == '\r' {
			p[i] = '\n'
		}
	}
	return n, err
}

// head returns the text's first bytes, and whether they are all of it.
func (i *input) head() ([]byte, bool, error) {
	head, err := i.Peek(i.Size())
	if errors.Is(err, io.EOF) {
		return head, true, nil
	}
	if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
		return nil, false, readError(err)
	}
	return head, false, nil
}

// readError is the error of a file that cannot be read on.
func readError(err error) error {
	if _, ok := errors.AsType[*hotreader.Error](err); ok {
		return err
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	if errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, zstd.ErrMagicMismatch) || errors.Is(err, zstd.ErrCRCMismatch) {
		return &hotreader.Error{Op: "import: unpack the file", Code: hotreader.CodeInvalid, Err: fmt.Errorf("%w; it is damaged or cut short", err)}
	}
	return &hotreader.Error{Op: "import: read the file", Code: hotreader.CodeUnavailable, Err: err}
}

func (i *input) close() {
	for _, c := range i.closers {
		c()
	}
	i.closers = nil
}

func (i *input) percent() int64 {
	if i.size == 0 {
		return -1
	}
	at, err := i.file.Seek(0, io.SeekCurrent)
	if err != nil { // a pipe has a name, too
		return -1
	}
	return 100 * at / i.size
}
