package config

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"hotreader"
	"hotreader/identity"
	"hotreader/internal/bounded"
	"hotreader/internal/jsontext"
	"hotreader/internal/shell"
	"hotreader/route"
)

// ConnectionID is the id of the read path from the twin's cloud to that of hot
// storage, as azure_l4_to_aws_l3hot_read.
func ConnectionID(l4, l3 Cloud) string { return Tier{Name: "hot", Cloud: l3}.ConnectionID(l4) }

// Connection is one entry of config_inter_cloud.json: how one cloud reaches
// another.
type Connection struct {
	Provider      Cloud  // where the URL is
	Function      string // what answers there; "" = not known yet
	URL           string // "" = not known yet
	Token         Secret
	PreviousToken Secret    // still accepted; zero = none
	RotatedAt     time.Time // when Token replaced PreviousToken; zero = never

	// The tokens that the twin's cloud signs for its functions, and the API takes:
	// "" = none. Of several functions with identities of their own, Subject has all.
	Issuer, Audience, Subject string

	PageKey Secret // page tokens are signed with it; zero = with Token
}

// Subjects are those of Subject.
func (c *Connection) Subjects() []string { return strings.Split(c.Subject, ",") }

// fileConnections is one of the two homes of a token; the other is the clouds'
// secret stores.
const fileConnections = "config_inter_cloud.json"

// Connections is config_inter_cloud.json: URL and token of each read path.
// Whatever else is in the file stays there as it is. It is not safe for
// concurrent use.
type Connections struct {
	// A pointer to a pointer, for fmt prints what one pointer leads to when a
	// Connections lies in an unexported field and the verb is a wrong one.
	hidden **connections
}

func (c *Connections) state() *connections { return *c.hidden }

type connections struct {
	dir   string
	found []byte // what the file holds; nil = there is none
	file
}

// file is the content of the file.
type file struct {
	doc     object // the whole; entries replace its value of "connections"
	entries object
	known   map[string]Connection // of the read path, by id
}

// String says what c is, and nothing of what is in it.
func (c *Connections) String() string { return fileConnections }

// Format is String whatever the verb.
func (c *Connections) Format(f fmt.State, _ rune) { fmt.Fprint(f, fileConnections) }

// LogValue is String.
func (c *Connections) LogValue() slog.Value { return slog.StringValue(fileConnections) }

// OpenConnections reads the file of the project folder dir. It is no error if
// there is none yet. It rejects a file that is not wholly right, with one error
// of CodeConfig that has a line for each problem: half written, edited by hand,
// of another version, readable by others than its owner, a symbolic link.
func OpenConnections(dir string) (*Connections, error) {
	text, err := readConnections(dir)
	if err != nil {
		return nil, err
	}
	c := &connections{dir: dir, found: text, file: file{known: map[string]Connection{}}}
	if text != nil {
		if c.file, err = parseConnections(dir, text); err != nil {
			return nil, err
		}
	}
	return &Connections{&c}, nil
}

// readConnections returns what the file holds, nil if there is none.
func readConnections(dir string) ([]byte, error) {
	path := filepath.Join(dir, fileConnections)
	text, info, err := readFile(path)
	if err == nil && info != nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		err = fmt.Errorf("has the mode %04o, but it holds a token and is for its owner alone; run: chmod 600 %s, and change the token with: hotreader token rotate, if others may have read it", info.Mode().Perm(), shell.Word(path))
	}
	if err != nil {
		return nil, &hotreader.Error{Op: path, Code: hotreader.CodeConfig, Err: err}
	}
	return text, nil
}

// isPathID reports whether id is that of a read path's connection, and the cloud
// of the tier that it says.
func isPathID(id string) (l3 Cloud, ok bool) {
	clouds := []Cloud{AWS, Azure, GCP}
	for _, l4 := range clouds {
		for _, l3 := range clouds {
			for _, name := range []string{"hot", "cold", "archive"} {
				if id == (Tier{Name: name, Cloud: l3}).ConnectionID(l4) {
					return l3, true
				}
			}
		}
	}
	return "", false
}

// parseConnections takes the file apart.
func parseConnections(dir string, text []byte) (file, error) {
	p := &loader{Project: new(Project)} // of which nothing is read here
	c := file{known: map[string]Connection{}}
	if doc, ok := p.document(fileConnections, text); ok {
		c.doc = p.members(fileConnections, doc, field{name: "connections", need: `expected {"connections":{…}}`, read: func(where string, raw json.RawMessage) {
			c.entries, _ = p.object(where, raw)
			for _, m := range c.entries {
				p.connection(&c, m)
			}
		}})
		if raw := c.doc.get("version"); raw != nil && string(raw) != "1" {
			p.problems = nil // nothing else can be said of what another version means
			p.add(fileConnections+": version", "is %s; this program knows version 1, which has no such key or 1", short(raw))
		}
	}
	if len(p.problems) > 0 {
		return file{}, p.err(fmt.Sprintf("%s is left as it is; repair it, or bring back a copy", filepath.Join(dir, fileConnections)))
	}
	return c, nil
}

// connection reads one entry. Those of other kinds than the read path are none
// of our business.
func (p *loader) connection(c *file, m member) {
	where := below(fileConnections+": connections", m.name)
	l3, ok := isPathID(m.name)
	if !ok {
		if _, is := p.object(where, m.value); is && strings.Contains(strings.ToLower(m.name), "_l3hot_") {
			p.add(where, "invalid connection ID: expected {l4}_l4_to_{l3}_l3hot_read with aws, azure or gcp for {l4} and {l3}, as %s", ConnectionID(Azure, AWS))
		}
		return
	}
	var conn Connection
	entry := p.members(where, m.value, p.connectionFields(l3, &conn)...)
	claims := 0
	for _, name := range []string{"issuer", "audience", "subject"} {
		if given(entry.get(name)) {
			claims++
		}
	}
	switch {
	case claims%3 != 0:
		p.add(where, "is missing one of issuer, audience and subject while others are there; expected all three, or none")
	case claims == 0 && jsontext.KindOf(m.value) == jsontext.Object && !given(entry.get("token")):
		p.add(below(where, "token"), "is missing; a connection without a token, or a subject, is of no use")
	}
	c.known[m.name] = conn
}

func (p *loader) connectionFields(l3 Cloud, conn *Connection) []field {
	return []field{
		{name: "provider", need: "expected " + string(l3), is: cloudWords, read: func(where string, raw json.RawMessage) {
			text, ok := p.text(where, raw)
			provider, err := ParseCloud(text)
			switch {
			case !ok:
			case err != nil:
				p.add(where, "%w", err)
			case provider != l3:
				p.add(where, "is %s, but the id says that hot storage is on %s", provider, l3)
			}
			conn.Provider = provider
		}},
		p.by("function", aText, &conn.Function),
		{name: "url", is: aText, read: func(where string, raw json.RawMessage) {
			conn.URL, _ = p.text(where, raw)
			if wrong := route.CheckURL(conn.URL); conn.URL != "" && wrong != "" {
				p.add(where, "%s", wrong)
			}
		}},
		{name: "token", is: aText, read: func(where string, raw json.RawMessage) { conn.Token = p.token(where, raw) }},
		{name: "previous_token", is: aText, read: func(where string, raw json.RawMessage) {
			conn.PreviousToken = p.token(where, raw)
			if !conn.Token.IsZero() && conn.PreviousToken.Equal(conn.Token) {
				p.add(where, "is the current token; leave it out")
			}
		}},
		{name: "rotated_at", is: aText, read: func(where string, raw json.RawMessage) {
			text, _ := p.text(where, raw)
			at, err := hotreader.ParseTime([]byte(text))
			if text != "" && err != nil {
				p.add(where, "invalid time %.40q: expected one as 2026-01-31T12:00:00Z", text)
			}
			conn.RotatedAt = at
		}},
		{name: "issuer", is: claim, read: func(where string, raw json.RawMessage) {
			claim.read(p, where, raw, &conn.Issuer)
			if wrong := identity.CheckIssuer(conn.Issuer); conn.Issuer != "" && wrong != "" {
				p.add(where, "%.100q %s", conn.Issuer, wrong)
			}
		}},
		p.by("audience", claim, &conn.Audience), p.by("subject", claim, &conn.Subject),
		{name: "page_key", is: aText, read: func(where string, raw json.RawMessage) { conn.PageKey = p.token(where, raw) }},
	}
}

// token reads a token. No problem repeats it.
func (p *problems) token(where string, raw json.RawMessage) Secret {
	text, ok := p.text(where, raw)
	_, err := identity.Static(text)
	wrong, _ := errors.AsType[*hotreader.Error](err)
	switch {
	case !ok:
	case strings.Contains(text, ","):
		p.add(where, "has a comma; expected one token, the one before it goes into previous_token")
	case wrong != nil:
		p.add(where, "%w", wrong.Err)
	case strings.TrimSpace(text) != text:
		p.add(where, "has a blank at an end")
	default:
		return NewSecret(text)
	}
	return Secret{}
}

// Get returns the connection of an id; false if there is none.
func (c *Connections) Get(id string) (Connection, bool) {
	conn, ok := c.state().known[id]
	return conn, ok
}

// Put sets the connection of an id. What else its entry has stays. Whether it is
// right is checked by Save.
func (c *Connections) Put(id string, conn Connection) {
	s := c.state()
	var entry object
	if raw := s.entries.get(id); raw != nil {
		var p problems
		entry, _ = p.object(id, raw)
	}
	old := s.known[id]
	was := old.texts()
	for i, text := range conn.texts() {
		switch name, value := text[0], text[1]; {
		case value == was[i][1] && entry.get(name) != nil: // it stays as it was written
		case value == "":
			entry.drop(name)
		default:
			entry.set(name, quote(value))
		}
	}
	s.entries.set(id, entry.text())
	s.known[id] = conn
}

// texts are the keys and values of an entry, tokens too.
func (c *Connection) texts() [][2]string {
	rotated := ""
	if !c.RotatedAt.IsZero() {
		rotated = c.RotatedAt.UTC().Format(time.RFC3339Nano)
	}
	return [][2]string{{"provider", string(c.Provider)}, {"function", c.Function}, {"url", c.URL},
		{"token", c.Token.Reveal()}, {"previous_token", c.PreviousToken.Reveal()}, {"rotated_at", rotated},
		{"issuer", c.Issuer}, {"audience", c.Audience}, {"subject", c.Subject}, {"page_key", c.PageKey.Reveal()}}
}

// Remove takes the connection of an id out.
func (c *Connections) Remove(id string) {
	s := c.state()
	s.entries.drop(id)
	delete(s.known, id)
}

// Save writes the file, if anything changed. It is whole at any time: what is
// written to a file beside it, synced, and renamed. An error of CodeConfig says
// that a connection is wrong or that the file changed since it was read; then
// the file is as it was.
func (c *Connections) Save() error {
	s := c.state()
	if s.found == nil && len(s.entries) == 0 {
		return nil
	}
	s.doc.set("connections", s.entries.text())
	var text bytes.Buffer
	if err := json.Indent(&text, s.doc.text(), "", "  "); err != nil {
		return &hotreader.Error{Op: fileConnections, Code: hotreader.CodeInternal, Err: err}
	}
	text.WriteByte('\n')
	if compact(text.Bytes()) == compact(s.found) {
		return nil
	}
	// What a later read would reject must not be written.
	if _, err := parseConnections(s.dir, text.Bytes()); err != nil {
		return err
	}
	for id := range s.known {
		if _, ok := isPathID(id); !ok {
			return &hotreader.Error{Op: fileConnections, Code: hotreader.CodeConfig, Err: fmt.Errorf("invalid connection ID %.80q: expected one as %s", id, ConnectionID(Azure, AWS))}
		}
	}
	if err := s.replace(text.Bytes()); err != nil {
		return err
	}
	s.found = text.Bytes()
	return nil
}

// replace puts text where found is.
func (s *connections) replace(text []byte) error {
	path := filepath.Join(s.dir, fileConnections)
	bad := func(err error) error {
		return &hotreader.Error{Op: path, Code: hotreader.CodeConfig, Err: fmt.Errorf("cannot be written: %w", err)}
	}
	folder, err := os.Open(s.dir)
	if err != nil {
		return bad(err)
	}
	defer folder.Close()
	// Between the comparison and the renaming no other process may rename.
	if err := lock(folder); err != nil {
		return bad(err)
	}
	defer unlock(folder)
	now, err := readConnections(s.dir)
	if err != nil {
		return err
	}
	if (now == nil) != (s.found == nil) || !bytes.Equal(now, s.found) {
		return &hotreader.Error{Op: path, Code: hotreader.CodeConfig, Err: errors.New("changed since it was read, and is left as it is; run this again when nothing else writes it")}
	}
	// One name, under the lock: what a killed process left is replaced, and does
	// not pile up with a token in it.
	temp := filepath.Join(s.dir, "."+fileConnections+".tmp")
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return bad(err)
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return bad(err)
	}
	_, err = f.Write(text)
	err = cmp.Or(err, f.Chmod(0o600), f.Sync())
	err = cmp.Or(err, f.Close())
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		os.Remove(temp)
		return bad(err)
	}
	if err := syncFolder(folder); err != nil {
		return bad(err)
	}
	return nil
}

// compact returns JSON without its blanks.
func compact(text []byte) string {
	var b bytes.Buffer
	if json.Compact(&b, bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))) != nil {
		return ""
	}
	return b.String()
}

// WorkFolder is the folder within a project folder that holds what is known of its
// deployments.
const WorkFolder = ".hotreader"

// errReplaced says that another file was put in a file's place while it was read.
var errReplaced = errors.New("was replaced again and again while it was read; try again")

// readFile returns a file of a project folder and what is known of it. Both are
// nil if it is not there. A project folder may come from a stranger: a link would
// lead to another user's file, and a pipe to nowhere.
func readFile(path string) (text []byte, info fs.FileInfo, err error) {
	for range 10 {
		if text, info, err = readOnce(path); !errors.Is(err, errReplaced) {
			break
		}
	}
	return text, info, err
}

func readOnce(path string) ([]byte, fs.FileInfo, error) {
	seen, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("cannot be read: %w", err)
	case seen.Mode()&fs.ModeSymlink != 0:
		return nil, nil, errors.New("is a symbolic link, which is not followed; put the file itself there")
	case !seen.Mode().IsRegular():
		return nil, nil, errors.New("is not a file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot be read: %w", err)
	}
	defer f.Close()
	// Of the file that was opened, which another may have put there meanwhile.
	info, err := f.Stat()
	if err != nil || !os.SameFile(seen, info) {
		return nil, nil, cmp.Or(err, errReplaced)
	}
	text, err := bounded.ReadAll(f, maxFile)
	return text, info, err
}

// CheckFolder rejects a folder that is a link, or in which anything is but folders
// and files of one name: what is read or written there would be read or written
// elsewhere. It need not exist. What Terraform keeps in .terraform is left out: it
// links its providers, and nothing of ours looks there.
func CheckFolder(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		bad := func(what string) error {
			return &hotreader.Error{Op: path, Code: hotreader.CodeConfig, Err: errors.New(what)}
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return bad(err.Error())
		case e.Type()&fs.ModeSymlink != 0:
			return bad("is a symbolic link, which is not followed; remove it, or put there what it leads to")
		case e.IsDir() && e.Name() == ".terraform":
			return fs.SkipDir
		case e.IsDir():
			return nil
		case !e.Type().IsRegular():
			return bad("is neither a file nor a folder; remove it")
		}
		if info, err := e.Info(); err == nil && linked(info) { // else it is gone
			return bad("is a file with a second name elsewhere, which would be written, too; put a copy in its place")
		}
		return nil
	})
}

// Within reports whether path is dir or lies in it, by its name or by what that
// leads to.
func Within(dir, path string) bool {
	resolved := func(name string) string {
		name, _ = filepath.Abs(name) // as given, if that fails
		if to, err := filepath.EvalSymlinks(name); err == nil {
			return to
		}
		return name
	}
	for _, path := range []string{resolved(path), filepath.Join(resolved(filepath.Dir(path)), filepath.Base(path))} {
		rel, err := filepath.Rel(resolved(dir), path)
		if err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
			return true
		}
	}
	return false
}
