package importer

import (
	"errors"
	"fmt"
	"strings"

	"hotreader"
	"hotreader/codec/plain"
)

// TimeFormats are the words of package plain's formats of times, by number.
var TimeFormats = []string{plain.ISO8601: "iso8601", plain.EpochSecs: "epoch_s", plain.EpochMillis: "epoch_ms"}

// remedy says which flag would avoid err, or "".
func remedy(err error) string {
	o, ok := errors.AsType[*plain.OptionsError](err)
	switch {
	case !ok:
		return ""
	case o.Comma == '\t':
		return `; give --delimiter '\t'`
	case o.Comma != 0:
		return "; give --delimiter '" + string(o.Comma) + "'"
	case o.TimeFormat != plain.ISO8601:
		return "; if it counts since 1970, give --time-format " + TimeFormats[o.TimeFormat]
	case len(o.Time) == 0:
		return "; name the one that does with --time"
	}
	flags := make([]string, len(o.Time))
	for i, name := range o.Time {
		flags[i] = "--time " + shellWord(name)
	}
	return "; give " + strings.Join(flags, " or ")
}

// shellWord quotes text for a shell if need be.
func shellWord(text string) string {
	plainly := func(r rune) bool {
		return r > '~' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-./:@+", r)
	}
	if text != "" && strings.IndexFunc(text, func(r rune) bool { return !plainly(r) }) < 0 {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// inFile makes file:line of a decoder's "line n", and adds the remedy.
func inFile(err error, name string) error {
	e, ok := errors.AsType[*hotreader.Error](err)
	if !ok || e.Op != "import" || e.Err == nil {
		return err
	}
	copied := *e
	text := e.Err.Error() + remedy(e.Err)
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		copied.Err = fmt.Errorf("%s:%s", name, rest)
	} else {
		copied.Err = fmt.Errorf("%s: %s", name, text)
	}
	return &copied
}
