package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"hotreader/config"
	"hotreader/deploy/doctor"
	"hotreader/deploy/render"
	"hotreader/internal/bounded"
)

// Dir is where the local target of a project folder keeps what it needs: the
// unpacked programs, its state and a credentials file of its own.
func Dir(project string) string { return filepath.Join(project, config.WorkFolder, "local") }

const (
	stateFile = "state.json"
	lockFile  = "lock" // held by the process that serves
)

// State is what runs, as the state file has it. It holds no secret.
type State struct {
	Twin    string            `json:"twin"`
	PID     int               `json:"pid"` // of the process that serves
	Started time.Time         `json:"started"`
	Store   StoreState        `json:"store"`
	Sides   map[string]Served `json:"sides"` // by cloud
	Runs    []Run             `json:"runs"`
}

// StoreState is hot storage.
type StoreState struct {
	Cloud config.Cloud `json:"cloud"`
	Is    string       `json:"is"`  // "table factory-hot-iot-data"
	URL   string       `json:"url"` // a store URL for the command
}

// Served is what one cloud offers.
type Served struct {
	URL       string                 `json:"url,omitempty"`        // the API, or the readers
	LambdaURL string                 `json:"lambda_url,omitempty"` // where functions are invoked
	Region    string                 `json:"region,omitempty"`
	Functions map[config.Role]string `json:"functions,omitempty"` // on AWS
}

// Run is a program that runs.
type Run struct {
	Name    string       `json:"name"`
	Cloud   config.Cloud `json:"cloud"`
	PID     int          `json:"pid"`
	Address string       `json:"address"` // where it is asked
}

// Alive reports whether it still runs.
func (p Run) Alive() bool { return alive(p.PID) }

// Read returns the state of a project's local target, and whether the process
// that serves it is there. Without one there is an error that is fs.ErrNotExist.
func Read(project string) (s *State, serving bool, err error) {
	if err := config.CheckFolder(filepath.Dir(Dir(project))); err != nil {
		return nil, false, err
	}
	name := filepath.Join(Dir(project), stateFile)
	text, err := bounded.ReadFile(name, bounded.Text)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, err
	}
	if err != nil {
		return nil, false, configError("%w; remove it, and end what runs with ^C", err)
	}
	s = new(State)
	if err := json.Unmarshal(text, s); err != nil {
		return nil, false, configError("%s cannot be read: %w; end what runs and deploy again", name, err)
	}
	if s.PID < 1 { // a signal to it would end a whole group of processes, or all
		return nil, false, configError("%s names process %d as the one that serves; remove it, and end what runs with ^C", name, s.PID)
	}
	release, err := takeLock(Dir(project))
	if err == nil {
		release()
		return s, false, nil
	}
	if errors.Is(err, errServing) {
		return s, true, nil
	}
	return nil, false, err
}

// Deployed is what the doctor is to know.
func (s *State) Deployed() map[config.Cloud]doctor.Deployed {
	all := map[config.Cloud]doctor.Deployed{}
	for name, side := range s.Sides {
		c := config.Cloud(name)
		d := doctor.Deployed{URL: side.URL, LambdaURL: side.LambdaURL, Region: side.Region, Functions: side.Functions}
		if c == s.Store.Cloud {
			d.Store = s.Store.Is
		}
		all[c] = d
	}
	return all
}

// Destroy ends what Start has started for a project, and removes what is left of
// it. It reports whether there was anything.
func Destroy(ctx context.Context, project string) (bool, error) {
	dir := Dir(project)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	s, serving, err := Read(project)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if serving {
		if err := terminate(s.PID); err != nil {
			return true, configError("process %d, which serves it, cannot be ended: %w", s.PID, err)
		}
	}
	for {
		release, err := takeLock(dir)
		if err == nil {
			defer release()
			return true, os.RemoveAll(dir)
		}
		if !errors.Is(err, errServing) {
			return true, err
		}
		select {
		case <-ctx.Done():
			return true, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

var errServing = errors.New("another process serves it")

// takeLock takes the right to serve, which ends with this process.
func takeLock(dir string) (release func(), err error) {
	lock := flock.New(filepath.Join(dir, lockFile), flock.SetPermissions(0o600))
	ok, err := lock.TryLock()
	if err == nil && !ok {
		err = errServing
	}
	if err != nil {
		return nil, err
	}
	return func() { _ = lock.Unlock() }, nil
}

// writeState puts the state file in place.
func (t *Target) writeState() error {
	text, err := json.MarshalIndent(t.state, "", "  ")
	if err != nil {
		return err
	}
	return render.ReplaceFile(filepath.Join(t.dir, stateFile), bytes.NewReader(append(text, '\n')))
}
