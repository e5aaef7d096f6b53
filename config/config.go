// Package config reads a function's environment (environment.go) and a project
// folder (project.go, connections.go) into checked values, once, at start.
// Whatever is wrong is reported together: one error of CodeConfig with one line for
// each problem, which begins with the variable's name, or with the file and the
// key, and says what is wrong and what is wanted. A secret's value is never in it.
//
// Keys (keys.go) is the table of what can be configured; the rules that values
// keep stand once, in rules.go.
package config

import (
	"errors"
	"fmt"
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

const wantTwinName = "want a letter, then up to 20 letters, digits, _ or -"

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
	return fmt.Errorf("%.40q is no %s; %swant one of %s", text, what, hint, strings.Join(words, ", "))
}
