package importer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"hotreader"
	"hotreader/cmd/hotreader/internal/importer/records"
	"hotreader/internal/jsontext"
)

// rejects is a file of the lines that were left out, each after the reason. Once they
// are mended, it can be imported itself.
type rejects struct {
	file *os.File
	name string
	dry  bool
}

// add writes a line of f and why it was left out.
func (r *rejects) add(f *file, line int, text string, why error) error {
	if r.dry {
		return nil
	}
	if r.file == nil {
		if err := r.create(f); err != nil {
			return err
		}
	}
	reason := strings.Join(strings.Fields(why.Error()), " ")
	if f.guess.JSON { // JSON has no comments
		object := strconv.AppendInt([]byte(`{"line":`), int64(line), 10)
		object = jsontext.AppendString(append(object, `,"reason":`...), reason)
		object = jsontext.AppendString(append(object, `,"text":`...), strings.TrimSpace(text))
		_, err := fmt.Fprintf(r.file, "%s}\n", object)
		return r.failed(err)
	}
	_, err := fmt.Fprintf(r.file, "# %s:%d: %s\n%s\n", filepath.Base(f.in.name), line, reason, strings.TrimRight(text, "\r\n"))
	return r.failed(err)
}

// create makes a file that was not there, beside where the command runs.
func (r *rejects) create(f *file) (err error) {
	base := filepath.Base(f.in.name)
	if f.in.file == nil {
		base = "stdin"
	}
	r.name = base + ".rejected"
	for n := 2; ; n++ {
		r.file, err = os.OpenFile(r.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if !errors.Is(err, fs.ErrExist) || n > 1000 {
			break
		}
		r.name = fmt.Sprintf("%s.rejected.%d", base, n)
	}
	if err != nil || f.guess.JSON {
		return r.failed(err)
	}
	if f.guess.HeaderLine > 0 {
		var names []string
		for _, c := range f.guess.Columns {
			names = append(names, c.Name)
		}
		_, err = fmt.Fprintln(r.file, records.Quote(names, f.guess.Delimiter))
	}
	return r.failed(err)
}

func (r *rejects) failed(err error) error {
	if err == nil {
		return nil
	}
	return &hotreader.Error{Op: "import: write the lines that are left out", Code: hotreader.CodeConfig, Err: err}
}

// close closes the file and returns its name, "" if there is none.
func (r *rejects) close() (string, error) {
	if r.file == nil {
		return "", nil
	}
	return r.name, r.failed(r.file.Close())
}
