// Package config reads a function's environment (environment.go) and a project
// folder (project.go, connections.go) into checked values, once, at start.
// Whatever is wrong is reported together: one error of CodeConfig with one line for
// each problem, which begins with the variable's name, or with the file and the
// key, and says what is wrong and what is expected. A secret's value is never in it.
//
// Keys (keys.go) is the table of what can be configured; the rules that values
// keep stand once, in rules.go.
package config

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"hotreader/internal/nearest"
)

// Cloud is one of the three clouds.
type Cloud string

// The clouds.
const (
	AWS   Cloud = "aws"
	Azure Cloud = "azure"
	GCP   Cloud = "gcp" // also written google
)

// ParseCloud returns the cloud that text names, whatever its letter case and
// the blanks around it. The error of another word says the nearest right one.
func ParseCloud(text string) (Cloud, error) {
	word := strings.ToLower(strings.TrimSpace(text))
	switch word {
	case "aws", "azure", "gcp":
		return Cloud(word), nil
	case "google":
		return GCP, nil
	}
	return "", notOneOf(text, "cloud", "aws", "azure", "google", "gcp")
}

const wantTwinName = "expected a letter, then up to 20 letters, digits, _ or -"

// CheckTwinName says what is wrong with a twin's name, or nil. A name is a
// letter and up to 20 letters, digits, _ or -, all ASCII.
func CheckTwinName(name string) error {
	const want = wantTwinName
	if name == "" {
		return errors.New("is empty; " + want)
	}
	n := 0
	for _, c := range name {
		n++
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		digit := '0' <= c && c <= '9' || c == '_' || c == '-'
		switch {
		case n == 1 && digit:
			return fmt.Errorf("%.40q begins with %q, which is not a letter; %s", name, c, want)
		case !letter && !digit:
			return fmt.Errorf("%.40q has the character %q at place %d; %s", name, c, n, want)
		}
	}
	if n > 21 {
		return fmt.Errorf("%.40q has %d characters, at most 21 are allowed; %s", name, n, want)
	}
	return nil
}

// notOneOf says that text is none of words and which of them was meant.
func notOneOf(text, what string, words ...string) error {
	hint := ""
	if meant := nearest.Word(strings.TrimSpace(text), words); meant != "" {
		hint = fmt.Sprintf("did you mean %q? ", meant)
	}
	return fmt.Errorf("%.40q is no %s; %sexpected one of %s", text, what, hint, strings.Join(words, ", "))
}

// options reads config_hot_reader.json, of which every key must be known.
func (l *loader) options() {
	doc, ok := l.open(fileOptions, "")
	if !ok {
		return
	}
	l.fields(fileOptions, doc, l.level("")...)
	of := func(name string) string {
		i := slices.IndexFunc(Keys, func(k Key) bool { return k.Name == name })
		return *Keys[i].at(&l.Options).(*string)
	}
	for _, k := range Keys {
		// TwinMaker calls only what its workspace's role is allowed to call.
		if k.needs == "" || of(k.Name) == "" || of(k.needs) != "" || k.Name == "aws.workspace" && l.L4 != AWS {
			continue
		}
		_, name, _ := strings.Cut(k.Name, ".")
		l.add(fileOptions+": "+k.needs, "is missing while %s is there; expected %s", name, k.want)
	}
	l.settle(&l.Options, l.L3, &l.Options.GCP.Collection, func(name string) string {
		if name == "collection" {
			name = "gcp.collection"
		}
		return below(fileOptions, name)
	})
	l.makes()
}

// makes reports what a table that is made here cannot have.
func (l *loader) makes() {
	s := l.Options.Layout
	switch {
	case l.L3 != AWS || l.Options.AWS.Table != "":
	case s.Index != "":
		l.add(fileOptions+": aws.table", "is missing while the layout's index is %.80q; expected the table that has the index, for none is made with one", s.Index)
	case s.NameKey != "":
		l.add(fileOptions+": aws.table", "is missing while the layout's name_key is %.80q; expected the table that has such items, for in one that is made here an instant's properties would replace each other (time_suffix \"#{property}\" keeps them apart)", s.NameKey)
	}
}

// level returns the fields of the object whose keys begin with prefix, as "aws.".
func (l *loader) level(prefix string) (fields []field) {
	for _, k := range Keys {
		rest, ok := strings.CutPrefix(k.Name, prefix)
		name, _, inner := strings.Cut(rest, ".")
		if !ok || rest == "" || slices.ContainsFunc(fields, func(f field) bool { return f.name == name }) {
			continue
		}
		f := l.by(name, k.rule, k.at(&l.Options))
		if inner {
			f.read = func(where string, raw json.RawMessage) { l.fields(where, raw, l.level(prefix+name+".")...) }
		}
		_, f.strict = k.rule.(readable)
		fields = append(fields, f)
	}
	return fields
}

// Secret is a token that no print, log or encoder shows. The zero Secret holds
// none.
type Secret struct {
	// A pointer, for fmt calls no method on what lies in an unexported field of
	// a struct; it then prints an address.
	text *string
}

// NewSecret returns the Secret of text; the zero one for "".
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{&text}
}

// NewToken returns a new token of 256 random bits, as 43 characters of
// base64url.
func NewToken() Secret {
	var b [32]byte
	rand.Read(b[:]) // never fails
	return NewSecret(base64.RawURLEncoding.EncodeToString(b[:]))
}

// Reveal returns the secret itself, "" for the zero Secret.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero reports whether s holds no secret.
func (s Secret) IsZero() bool { return s.text == nil }

// Equal reports whether a and b hold the same.
func (s Secret) Equal(b Secret) bool { return s.Reveal() == b.Reveal() }

// String hides the secret.
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return "[token]"
}

// Format hides the secret whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }

// LogValue hides the secret.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText hides the secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
