package deploy

import (
	"encoding/json"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"hotreader"
)

// holder says who holds a lock, for the message of the run that is refused.
type holder struct {
	Command string    `json:"command"`
	PID     int       `json:"pid"`
	User    string    `json:"user"`
	Host    string    `json:"host"`
	Since   time.Time `json:"since"`
}

func (h holder) String() string {
	return fmt.Sprintf("hotreader %s, started by %s on %s at %s (process %d)", h.Command, h.User, h.Host, h.Since.Format(time.DateTime), h.PID)
}

// lockFolder takes the lock of a work folder for command. The operating system
// holds it, so it ends with the process, however that ends; the file's text is
// only for the message.
func lockFolder(dir, command string) (release func(), err error) {
	name := filepath.Join(dir, "lock")
	lock := flock.New(name, flock.SetPermissions(0o600))
	ok, err := lock.TryLock()
	if err != nil {
		return nil, &hotreader.Error{Op: command, Code: hotreader.CodeConfig, Err: fmt.Errorf("%s: %w", name, err)}
	}
	if !ok {
		who := "another run, which has not said its name yet,"
		var h holder
		if text, err := os.ReadFile(name); err == nil && json.Unmarshal(text, &h) == nil && h.PID != 0 {
			who = h.String()
		}
		return nil, &hotreader.Error{Op: command, Code: hotreader.CodeOverloaded, Err: fmt.Errorf("%s is at work in this project; wait for it, or stop it with ^C and try again", who)}
	}
	h := holder{Command: command, PID: os.Getpid(), User: "somebody", Host: "this machine", Since: time.Now().Round(time.Second)}
	if u, err := user.Current(); err == nil {
		h.User = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		h.Host = host
	}
	text, err := json.Marshal(h)
	if err == nil {
		err = os.WriteFile(name, append(text, '\n'), 0o600) // the same file: a new one would not be locked
	}
	if err != nil {
		_ = lock.Unlock()
		return nil, &hotreader.Error{Op: command, Code: hotreader.CodeConfig, Err: err}
	}
	return func() {
		_ = os.Truncate(name, 0)
		_ = lock.Unlock()
	}, nil
}
