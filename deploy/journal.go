package deploy

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"hotreader/deploy/render"
)

// journal is the list of the resources that an apply has begun with, in a file,
// so that it outlives a kill.
type journal struct {
	name  string
	file  *os.File
	begun map[string]bool // and not done, by this run or an earlier one; true = it failed
}

func openJournal(name string) (*journal, error) {
	open, err := readJournal(name)
	if err != nil {
		return nil, err
	}
	// Appended to: what an earlier run has left open is still open.
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return &journal{name, file, open}, nil
}

func (j *journal) add(address string) {
	if !j.begun[address] {
		j.begun[address] = false
	}
	_, _ = io.WriteString(j.file, address+"\n")
}

// failed begins the line of a resource whose creation the cloud has refused: it
// may be there all the same, but then somebody else has made it.
const failed = "failed "

func (j *journal) fail(address string) {
	j.begun[address] = true
	_, _ = io.WriteString(j.file, failed+address+"\n")
}

func (j *journal) done(address string) { delete(j.begun, address) }

// end closes the journal. If all went well there is nothing to remember; if
// Terraform has ended by itself, the state holds whatever was done; else all that
// was begun is in doubt.
func (j *journal) end(well, ended bool) error {
	err := j.file.Close()
	switch {
	case well || ended && len(j.begun) == 0:
		return errors.Join(err, os.Remove(j.name))
	case ended:
		var text strings.Builder
		for _, address := range slices.Sorted(maps.Keys(j.begun)) {
			if j.begun[address] {
				text.WriteString(failed)
			}
			text.WriteString(address + "\n")
		}
		return errors.Join(err, render.ReplaceFile(j.name, strings.NewReader(text.String())))
	}
	return err
}

// settled ends what an earlier run's journal has left open: all of it is in the
// state, or not on the cloud.
func (f *folder) settled() error {
	err := os.Remove(filepath.Join(f.home, journalFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// begun returns the resources that a killed run has begun with; true = the cloud
// has refused to make it, in this run or in an earlier one.
func (f *folder) begun() (map[string]bool, error) {
	return readJournal(filepath.Join(f.home, journalFile))
}

// readJournal returns what a journal holds, nothing if there is none.
func readJournal(name string) (map[string]bool, error) {
	all := map[string]bool{}
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		if address, refused := strings.CutPrefix(strings.TrimSpace(line), failed); address != "" {
			all[address] = all[address] || refused
		}
	}
	return all, nil
}
