package config

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hotreader"
)

const (
	connID = "azure_l4_to_aws_l3hot_read"
	tokenA = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	tokenB = "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"
)

// otherFile holds a connection of ours between others' things, in an order and a
// spelling of its own.
const otherFile = `{
  "note": "kept",
  "connections": {
    "aws_l1_to_azure_l2": {
      "url": "https://x/?code=short",
      "token": "short",
      "big": 12345678901234567890.50
    },
    "azure_l4_to_aws_l3hot_read": {
      "owner": {"team": "<hall 4> & \u00e4"},
      "token": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
      "url": "https://api.example.com/prod",
      "provider": "AWS",
      "function": "factory-hot-reader-api"
    }
  },
  "zeta": [1, 2.50]
}
`

func known(c *Connections) []string { return slices.Sorted(maps.Keys(c.state().known)) }

func open(t *testing.T, dir string) *Connections {
	t.Helper()
	c, err := OpenConnections(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func save(t *testing.T, c *Connections) {
	t.Helper()
	if err := c.Save(); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, fileConnections))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestConnections(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir)
	if _, ok := c.Get(connID); ok || len(known(c)) != 0 {
		t.Errorf("connections without a file: %q", known(c))
	}
	c.Remove(connID)
	save(t, c)
	if _, err := os.Stat(filepath.Join(dir, fileConnections)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file was written for nothing: %v", err)
	}

	at := time.Date(2026, 1, 31, 12, 0, 0, 5e8, time.FixedZone("", 3600))
	want := Connection{Provider: AWS, Function: "f", URL: "https://h/prod?", Token: NewSecret(tokenA), PreviousToken: NewSecret(tokenB), RotatedAt: at}
	want.URL = "https://h/prod"
	c.Put(connID, want)
	save(t, c)
	const text = `{
  "connections": {
    "azure_l4_to_aws_l3hot_read": {
      "provider": "aws",
      "function": "f",
      "url": "https://h/prod",
      "token": "` + tokenA + `",
      "previous_token": "` + tokenB + `",
      "rotated_at": "2026-01-31T11:00:00.5Z"
    }
  }
}
`
	if got := content(t, dir); got != text {
		t.Errorf("the file is\n%s\nwant\n%s", got, text)
	}
	got, ok := open(t, dir).Get(connID)
	if !ok || got.Provider != want.Provider || got.Function != want.Function || got.URL != want.URL ||
		!got.Token.Equal(want.Token) || !got.PreviousToken.Equal(want.PreviousToken) || !got.RotatedAt.Equal(at) {
		t.Errorf("got %+v, want %+v", got, want)
	}

	// The end of a rotation, with the same Connections.
	want.PreviousToken = Secret{}
	c.Put(connID, want)
	save(t, c)
	if strings.Contains(content(t, dir), "previous_token") {
		t.Errorf("the previous token is still there")
	}
	c.Remove(connID)
	save(t, c)
	if got := content(t, dir); got != "{\n  \"connections\": {}\n}\n" {
		t.Errorf("after Remove the file is %q", got)
	}
}

// A connection whose URL is not known yet keeps its token over a crash.
func TestConnectionsWithoutURL(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir)
	c.Put(connID, Connection{Provider: AWS, Token: NewSecret(tokenA)})
	save(t, c)
	if got, ok := open(t, dir).Get(connID); !ok || got.URL != "" || got.Token.Reveal() != tokenA {
		t.Errorf("%+v, %v", got, ok)
	}
}

// A connection may go without a token where the twin's cloud says who asks.
func TestConnectionsWithIdentity(t *testing.T) {
	dir := t.TempDir()
	want := Connection{Provider: AWS, URL: "https://h/prod", Issuer: "https://accounts.google.com", Audience: "hotreader-hall", Subject: "a,b", PageKey: NewSecret(tokenB)}
	c := open(t, dir)
	c.Put(connID, want)
	save(t, c)
	got, _ := open(t, dir).Get(connID)
	if !got.PageKey.Equal(want.PageKey) || got.Issuer != want.Issuer || got.Audience != want.Audience || !slices.Equal(got.Subjects(), []string{"a", "b"}) {
		t.Errorf("%+v", got)
	}
	c.Put(connID, Connection{Provider: AWS, URL: want.URL, Token: NewSecret(tokenA)})
	save(t, c)
	if text := content(t, dir); strings.Contains(text, "subject") || strings.Contains(text, "page_key") {
		t.Errorf("what is gone is still there: %s", text)
	}
}

func TestConnectionsKeepWhatIsNotTheirs(t *testing.T) {
	dir := folder(t, map[string]string{fileConnections: otherFile})
	c := open(t, dir)
	if !slices.Equal(known(c), []string{connID}) {
		t.Errorf("ids %q", known(c))
	}
	if err := c.Save(); err != nil || content(t, dir) != otherFile {
		t.Errorf("Save without a change: %v\n%s", err, content(t, dir))
	}
	conn, _ := c.Get(connID)
	conn.PreviousToken, conn.Token = conn.Token, NewSecret(tokenB)
	c.Put(connID, conn)
	c.Put("gcp_l4_to_aws_l3hot_read", Connection{Provider: AWS, Token: NewSecret(tokenA)})
	save(t, c)
	want := strings.NewReplacer(
		`"owner": {"team": "<hall 4> & \u00e4"},`, "\"owner\": {\n        \"team\": \"<hall 4> & \\u00e4\"\n      },",
		tokenA, tokenB,
		`"function": "factory-hot-reader-api"`+"\n    }", `"function": "factory-hot-reader-api",
      "previous_token": "`+tokenA+`"
    },
    "gcp_l4_to_aws_l3hot_read": {
      "provider": "aws",
      "token": "`+tokenA+`"
    }`,
		`[1, 2.50]`, "[\n    1,\n    2.50\n  ]").Replace(otherFile)
	if got := content(t, dir); got != want {
		t.Errorf("the file is\n%s\nwant\n%s", got, want)
	}
	// Away with it again: the rest is as it was.
	c.Remove(connID)
	c.Remove("gcp_l4_to_aws_l3hot_read")
	save(t, c)
	for _, kept := range []string{`"note": "kept"`, "12345678901234567890.50", `"token": "short"`, "2.50"} {
		if !strings.Contains(content(t, dir), kept) {
			t.Errorf("%s is lost", kept)
		}
	}
}

// A file that is not wholly right is refused, and stays as it is, byte for byte.
func TestPitfall16BrokenConnectionsAreLeftAlone(t *testing.T) {
	entry := func(id, text string) string { return fmt.Sprintf(`{"connections":{%q:%s}}`, id, text) }
	const good = `"provider":"aws","function":"f","url":"https://h/prod","token":"` + tokenA + `"`
	for _, tc := range []struct{ name, text, want string }{
		{"empty", "", "config_inter_cloud.json: is empty"},
		{"half written", otherFile[:len(otherFile)/2], "config_inter_cloud.json: is not JSON: it ends in the middle"},
		{"text behind", `{"connections":{}}{"connections":{}}`, "config_inter_cloud.json: has more text behind its end"},
		{"a merge's marks", "<<<<<<< HEAD\n{}", "config_inter_cloud.json: is not JSON at line 1, column 1"},
		{"no object", `[]`, "config_inter_cloud.json: is an array"},
		{"without connections", `{}`, "config_inter_cloud.json: connections: is missing"},
		{"connections mistyped", `{"conections":{}}`, `config_inter_cloud.json: connections: is missing; "conections" is there`},
		{"connections is an array", `{"connections":[]}`, "config_inter_cloud.json: connections: is an array"},
		{"another version", `{"version":2,"connections":[{"token":"x"}]}`, "config_inter_cloud.json: version: is 2; this program knows version 1"},
		{"an id twice", `{"connections":{"` + connID + `":{` + good + `},"` + connID + `":{` + good + `}}}`, "config_inter_cloud.json: connections." + connID + ": stands there twice"},
		{"a key twice", entry(connID, `{`+good+`,"url":"https://other"}`), "config_inter_cloud.json: connections." + connID + ".url: stands there twice"},
		{"no entry", entry(connID, `"https://h"`), "config_inter_cloud.json: connections." + connID + ": is a string"},
		{"another's no entry", entry("x", `null`), "config_inter_cloud.json: connections.x: is null"},
		{"google in an id", entry("aws_l4_to_google_l3hot_read", `{`+good+`}`), "config_inter_cloud.json: connections.aws_l4_to_google_l3hot_read: is no connection's id; want {l4}_l4_to_{l3}_l3hot_read with aws, azure or gcp"},
		{"id mistyped", entry("aws_l4_to_azure_l3hot_reed", `{`+good+`}`), "config_inter_cloud.json: connections.aws_l4_to_azure_l3hot_reed: is no connection's id"},
		{"unknown provider", entry(connID, strings.Replace(`{`+good+`}`, `"aws"`, `"asw"`, 1)), `config_inter_cloud.json: connections.` + connID + `.provider: "asw" is no cloud; did you mean "aws"?`},
		{"another provider", entry(connID, strings.Replace(`{`+good+`}`, `"aws"`, `"gcp"`, 1)), "config_inter_cloud.json: connections." + connID + ".provider: is gcp, but the id says that hot storage is on aws"},
		{"URL in the clear", entry(connID, strings.Replace(`{`+good+`}`, `https`, `http`, 1)), "config_inter_cloud.json: connections." + connID + ".url: is http"},
		{"short token", entry(connID, `{"provider":"aws","token":"tooshort"}`), "config_inter_cloud.json: connections." + connID + ".token: it has 8 bytes, at least 32 are needed"},
		{"two tokens in one", entry(connID, `{"provider":"aws","token":"`+tokenA+","+tokenB+`"}`), "config_inter_cloud.json: connections." + connID + ".token: has a comma"},
		{"token with a blank", entry(connID, `{"provider":"aws","token":"`+tokenA+` "}`), "config_inter_cloud.json: connections." + connID + ".token: has a blank at an end"},
		{"previous token is the current one", entry(connID, `{`+good+`,"previous_token":"`+tokenA+`"}`), "config_inter_cloud.json: connections." + connID + ".previous_token: is the current token"},
		{"rotated_at", entry(connID, `{`+good+`,"rotated_at":"yesterday"}`), "config_inter_cloud.json: connections." + connID + `.rotated_at: "yesterday" is no time`},
		{"half an identity", entry(connID, `{`+good+`,"issuer":"https://i.example.com","subject":"s"}`), "config_inter_cloud.json: connections." + connID + ": is missing one of issuer, audience and subject"},
		{"issuer in the clear", entry(connID, `{`+good+`,"issuer":"http://i.example.com","subject":"s","audience":"a"}`), "config_inter_cloud.json: connections." + connID + `.issuer: "http://i.example.com" `},
		{"subject with a blank", entry(connID, `{`+good+`,"issuer":"https://i.example.com","subject":"s t","audience":"a"}`), "config_inter_cloud.json: connections." + connID + `.subject: "s t" does not fit`},
		{"short page key", entry(connID, `{`+good+`,"page_key":"tooshort"}`), "config_inter_cloud.json: connections." + connID + ".page_key: it has 8 bytes"},
		{"neither token nor identity", entry(connID, `{"provider":"aws","url":"https://h"}`), "config_inter_cloud.json: connections." + connID + ".token: is missing"},
		{"key mistyped", entry(connID, `{`+good+`,"previous_tokn":"x"}`), "config_inter_cloud.json: connections." + connID + ".previous_tokn: is unknown; did you mean previous_token?"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := folder(t, map[string]string{fileConnections: tc.text})
			c, err := OpenConnections(dir)
			if c != nil {
				t.Errorf("connections came with the error")
			}
			if got := lines(t, err); len(got) != 1 || !strings.HasPrefix(got[0], tc.want) {
				t.Errorf("lines %q, want one %q…", got, tc.want)
			}
			if strings.Contains(err.Error(), "tooshort") || strings.Contains(err.Error(), "AAAA") {
				t.Errorf("a token is in the error: %v", err)
			}
			if got := content(t, dir); got != tc.text {
				t.Errorf("the file became %q", got)
			}
		})
	}
}

// A connection without a token would be one without a check.
func TestPitfall20ConnectionWithoutToken(t *testing.T) {
	for _, text := range []string{`{"provider":"aws","url":"https://h"}`, `{"provider":"aws","url":"https://h","token":""}`, `{"provider":"aws","url":"https://h","token":null}`} {
		_, err := OpenConnections(folder(t, map[string]string{fileConnections: `{"connections":{"` + connID + `":` + text + `}}`}))
		if got := lines(t, err); len(got) != 1 || !strings.HasPrefix(got[0], "config_inter_cloud.json: connections."+connID+".token: ") {
			t.Errorf("%s: %q", text, got)
		}
	}
}

// What is written is read again, before it takes the file's place.
func TestPitfall16WhatIsSavedIsValid(t *testing.T) {
	for name, put := range map[string]func(c *Connections){
		"no token":       func(c *Connections) { c.Put(connID, Connection{Provider: AWS, URL: "https://h"}) },
		"short token":    func(c *Connections) { c.Put(connID, Connection{Provider: AWS, Token: NewSecret("short")}) },
		"wrong provider": func(c *Connections) { c.Put(connID, Connection{Provider: GCP, Token: NewSecret(tokenA)}) },
		"http": func(c *Connections) {
			c.Put(connID, Connection{Provider: AWS, Token: NewSecret(tokenA), URL: "http://h"})
		},
		"wrong id":       func(c *Connections) { c.Put("aws", Connection{Provider: AWS, Token: NewSecret(tokenA)}) },
		"wrong cloud id": func(c *Connections) { c.Put("aws_l4_to_x_l3hot_read", Connection{Token: NewSecret(tokenA)}) },
	} {
		dir := folder(t, map[string]string{fileConnections: otherFile})
		c := open(t, dir)
		put(c)
		if err := c.Save(); !errors.Is(err, hotreader.CodeConfig) {
			t.Errorf("%s: %v, want an error of CodeConfig", name, err)
		}
		if content(t, dir) != otherFile {
			t.Errorf("%s: the file changed", name)
		}
	}
}

func TestPitfall16ConnectionsAreTheOwnersAlone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, fileConnections)
	c := open(t, dir)
	c.Put(connID, Connection{Provider: AWS, Token: NewSecret(tokenA)})
	save(t, c)
	if runtime.GOOS == "windows" {
		return // has no modes
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("the mode is %v, %v; want 0600", info.Mode(), err)
	}
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o644, 0o666, 0o620} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := OpenConnections(dir)
		if !errors.Is(err, hotreader.CodeConfig) || !strings.Contains(err.Error(), fmt.Sprintf("has the mode %04o", mode)) || !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("%o: %v", mode, err)
		}
		// Nor is it overwritten by one who opened it before.
		c.Put(connID, Connection{Provider: AWS, Token: NewSecret(tokenB)})
		if err := c.Save(); err == nil || !strings.Contains(content(t, dir), tokenA) {
			t.Errorf("%o: saved (%v)", mode, err)
		}
	}
	if err := os.Chmod(path, 0o400); err != nil { // narrower is no harm
		t.Fatal(err)
	}
	open(t, dir)
}

func TestConnectionsAreNoLink(t *testing.T) {
	target := filepath.Join(folder(t, map[string]string{"elsewhere.json": otherFile}), "elsewhere.json")
	for name, to := range map[string]string{"a link": target, "a dangling link": target + "-none"} {
		dir := t.TempDir()
		if err := os.Symlink(to, filepath.Join(dir, fileConnections)); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenConnections(dir); !errors.Is(err, hotreader.CodeConfig) || !strings.Contains(err.Error(), "is a symbolic link") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A link that takes the file's place between reading and writing.
	dir := t.TempDir()
	c := open(t, dir)
	c.Put(connID, Connection{Provider: AWS, Token: NewSecret(tokenA)})
	if err := os.Symlink(target, filepath.Join(dir, fileConnections)); err != nil {
		t.Fatal(err)
	}
	if err := c.Save(); err == nil {
		t.Error("saved over a link")
	}
	if text, err := os.ReadFile(target); err != nil || string(text) != otherFile {
		t.Errorf("the link's target changed: %v", err)
	}
	// A link to the folder is one like any other name of it.
	link := filepath.Join(t.TempDir(), "project")
	if err := os.Symlink(folder(t, map[string]string{fileConnections: otherFile}), link); err != nil {
		t.Fatal(err)
	}
	open(t, link)

	dir = t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, fileConnections), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenConnections(dir); !errors.Is(err, hotreader.CodeConfig) || !strings.Contains(err.Error(), "is not a file") {
		t.Errorf("a folder: %v", err)
	}
}

// Who saves after another has, is told so, and the other's change stands.
func TestConnectionsChangedMeanwhile(t *testing.T) {
	put := func(c *Connections, token string) error {
		c.Put(connID, Connection{Provider: AWS, Token: NewSecret(token)})
		return c.Save()
	}
	changed := func(t *testing.T, err error) {
		t.Helper()
		if !errors.Is(err, hotreader.CodeConfig) || !strings.Contains(err.Error(), "changed since it was read") {
			t.Errorf("%v, want an error that it changed", err)
		}
	}
	t.Run("made", func(t *testing.T) {
		dir := t.TempDir()
		a, b := open(t, dir), open(t, dir)
		if err := put(a, tokenA); err != nil {
			t.Fatal(err)
		}
		changed(t, put(b, tokenB))
		if !strings.Contains(content(t, dir), tokenA) {
			t.Error("the first one's token is lost")
		}
		if err := put(a, tokenB); err != nil { // who wrote last may write again
			t.Error(err)
		}
	})
	t.Run("edited", func(t *testing.T) {
		dir := folder(t, map[string]string{fileConnections: otherFile})
		c := open(t, dir)
		edited := strings.Replace(otherFile, "kept", "edited", 1)
		if err := os.WriteFile(filepath.Join(dir, fileConnections), []byte(edited), 0o600); err != nil {
			t.Fatal(err)
		}
		changed(t, put(c, tokenB))
		if content(t, dir) != edited {
			t.Error("the edited file was overwritten")
		}
	})
	t.Run("removed", func(t *testing.T) {
		dir := folder(t, map[string]string{fileConnections: otherFile})
		c := open(t, dir)
		if err := os.Remove(filepath.Join(dir, fileConnections)); err != nil {
			t.Fatal(err)
		}
		changed(t, put(c, tokenB))
	})
}

// Many at once, each trying again when it is told that another was faster:
// nobody's connection is lost, and no reader ever sees a half written file.
func TestPitfall16ManyWritersLoseNothing(t *testing.T) {
	dir := t.TempDir()
	var ids []string
	for _, l4 := range []Cloud{AWS, Azure, GCP} {
		for _, l3 := range []Cloud{AWS, Azure, GCP} {
			ids = append(ids, ConnectionID(l4, l3))
		}
	}
	var wg sync.WaitGroup
	for i, id := range ids {
		wg.Go(func() {
			for {
				c, err := OpenConnections(dir)
				if err != nil {
					t.Error(err)
					return
				}
				c.Put(id, Connection{Provider: []Cloud{AWS, Azure, GCP}[i%3], Token: NewToken()})
				if err = c.Save(); err == nil {
					return
				}
				if !strings.Contains(err.Error(), "changed since it was read") {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if got := known(open(t, dir)); len(got) != len(ids) {
		t.Errorf("%d connections, want %d: %q", len(got), len(ids), got)
	}
	names, err := os.ReadDir(dir)
	if err != nil || len(names) != 1 {
		t.Errorf("left in the folder: %v, %v", names, err)
	}
}

// A process that was killed while it wrote leaves no harm: the file is as it was,
// and what lies beside it is gone with the next Save.
func TestPitfall16KilledWhileWriting(t *testing.T) {
	dir := folder(t, map[string]string{fileConnections: otherFile, "." + fileConnections + ".tmp": otherFile[:100]})
	c := open(t, dir)
	c.Put(connID, Connection{Provider: AWS, Token: NewSecret(tokenB)})
	save(t, c)
	names, err := os.ReadDir(dir)
	if err != nil || len(names) != 1 || names[0].Name() != fileConnections {
		t.Errorf("left in the folder: %v, %v", names, err)
	}
	// A write that fails leaves the file as it was.
	before := content(t, dir)
	if err := os.MkdirAll(filepath.Join(dir, "."+fileConnections+".tmp", "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	c.Put(connID, Connection{Provider: AWS, Token: NewSecret(tokenA)})
	if err := c.Save(); !errors.Is(err, hotreader.CodeConfig) || content(t, dir) != before {
		t.Errorf("%v; the file is\n%s", err, content(t, dir))
	}
}

func TestNewToken(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		text := NewToken().Reveal()
		if len(text) != 43 || strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" || seen[text] {
			t.Fatalf("token %q", text)
		}
		seen[text] = true
	}
}

// No verb, log or encoder shows a token, wherever it lies.
func TestSecretIsNeverShown(t *testing.T) {
	type hidden struct {
		token Secret
		conn  Connection
		all   *Connections
		value Connections
	}
	dir := folder(t, map[string]string{fileConnections: otherFile})
	all := open(t, dir)
	conn, _ := all.Get(connID)
	if conn.Token.Reveal() != tokenA {
		t.Fatal("the test holds no token")
	}
	h := hidden{conn.Token, conn, all, *all}
	things := []any{conn.Token, &conn.Token, conn, &conn, all, *all, h, &h, []Secret{conn.Token}, []Connection{conn},
		map[string]Connection{"a": conn}, map[Secret]int{conn.Token: 1}, []any{conn.Token, h}, fmt.Errorf("%v %w", conn, errors.New("x")), struct{ S any }{conn.Token}}
	shown := func(how, text string) {
		t.Helper()
		for _, form := range []string{"AAAA", "41414141", "65 65 65", "65, 65", "0x41, 0x41", "QUFBQ", "QQQQ"} {
			if strings.Contains(text, form) {
				t.Errorf("%s shows the token: %.300s", how, text)
			}
		}
	}
	for i, thing := range things {
		for _, verb := range "vsqxXdboOcUtTpeEfFgG" {
			for _, flags := range []string{"", "+", "#", " ", "-", "0", "60", ".40", "+#", "#60.40", "# "} {
				shown(fmt.Sprintf("thing %d with %%%s%c", i, flags, verb), fmt.Sprintf("%"+flags+string(verb), thing))
			}
		}
		shown("Sprint", fmt.Sprint(thing))
		shown("Sprintln", fmt.Sprintln(thing))
		text, _ := json.Marshal(thing)
		shown("json", string(text))
		text, _ = xml.Marshal(thing)
		shown("xml", string(text))
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("m", "k", thing, slog.Group("g", "k", thing))
		slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "k", thing, slog.Group("g", "k", thing))
		shown("slog", log.String())
	}
	if got := fmt.Sprintf("%v|%s|%+v", conn.Token, Secret{}, conn.PreviousToken); got != "[token]||" {
		t.Errorf("a token prints as %q", got)
	}
}

func FuzzConnections(f *testing.F) {
	f.Add([]byte(otherFile))
	f.Add([]byte(`{"version":1,"connections":{"aws_l4_to_gcp_l3hot_read":{"provider":"google","token":"` + tokenA + `","rotated_at":"2026-01-01T00:00:00Z"}}}`))
	f.Add([]byte("\xef\xbb\xbf{\"connections\":{}}"))
	f.Add([]byte(`{"connections":{"":{}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := folder(t, map[string]string{fileConnections: string(text)})
		c, err := OpenConnections(dir)
		if err != nil {
			if !errors.Is(err, hotreader.CodeConfig) {
				t.Errorf("%v is not of CodeConfig", err)
			}
			return
		}
		var before map[string]json.RawMessage
		if err := json.Unmarshal(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), &before); err != nil {
			t.Fatalf("%q was let through: %v", text, err)
		}
		want := Connection{Provider: GCP, URL: "https://h", Token: NewSecret(tokenB)}
		c.Put("aws_l4_to_gcp_l3hot_read", want)
		if err := c.Save(); err != nil {
			t.Fatal(err)
		}
		again := open(t, dir)
		if !slices.Equal(known(again), known(c)) {
			t.Errorf("ids %q, then %q", known(c), known(again))
		}
		got, _ := again.Get("aws_l4_to_gcp_l3hot_read")
		if got.Provider != want.Provider || got.URL != want.URL || !got.Token.Equal(want.Token) || !got.PreviousToken.IsZero() || !got.RotatedAt.IsZero() {
			t.Errorf("got %+v, want %+v", got, want)
		}
		var after map[string]json.RawMessage
		if err := json.Unmarshal([]byte(content(t, dir)), &after); err != nil || len(after) != len(before) {
			t.Errorf("%d keys became %d: %v", len(before), len(after), err)
		}
	})
}
