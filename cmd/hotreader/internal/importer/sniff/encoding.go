package sniff

import (
	"bytes"
	"fmt"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
)

// marks are the byte order marks of encodings.
var marks = []struct {
	name, mark string
	encoding   encoding.Encoding
}{
	{"utf-8", "\xef\xbb\xbf", nil},
	{"utf-32le", "\xff\xfe\x00\x00", utf32.UTF32(utf32.LittleEndian, utf32.UseBOM)},
	{"utf-32be", "\x00\x00\xfe\xff", utf32.UTF32(utf32.BigEndian, utf32.UseBOM)},
	{"utf-16le", "\xff\xfe", unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)},
	{"utf-16be", "\xfe\xff", unicode.UTF16(unicode.BigEndian, unicode.UseBOM)},
}

// Encoding finds the encoding of a file that begins with head: by its mark, by the
// zeros that UTF-16 has, or as given. A nil Encoding is UTF-8. skip is how many bytes
// the mark has that are no text.
func Encoding(head []byte, given string) (name string, found encoding.Encoding, skip int, err error) {
	for _, m := range marks {
		if bytes.HasPrefix(head, []byte(m.mark)) && (given == "" || strings.HasPrefix(strings.ToLower(given), "utf")) {
			if m.encoding == nil {
				skip = len(m.mark)
			}
			return m.name, m.encoding, skip, nil
		}
	}
	if given != "" {
		found, err = named(given)
		return strings.ToLower(given), found, 0, err
	}
	for i, m := range []encoding.Encoding{unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM), unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)} {
		if zeros(head, i) {
			return []string{"utf-16be", "utf-16le"}[i], m, 0, nil
		}
	}
	return "utf-8", nil, 0, nil
}

// zeros reports whether most bytes at even places, or at odd ones, are zero.
func zeros(head []byte, from int) bool {
	n, all := 0, 0
	for i := from; i < min(len(head), 1000); i += 2 {
		all++
		if head[i] == 0 {
			n++
		}
	}
	return all > 3 && 10*n > 8*all
}

func named(name string) (encoding.Encoding, error) {
	lower := strings.ToLower(strings.TrimSpace(name))
	if lower == "utf-8-sig" || lower == "ascii" {
		lower = "utf-8"
	}
	e, err := htmlindex.Get(lower)
	for _, spelled := range []string{lower, strings.Replace(lower, "cp", "ibm", 1), strings.Replace(lower, "cp", "windows-", 1)} {
		if err != nil {
			if e, err = ianaindex.IANA.Encoding(spelled); e == nil && err == nil {
				err = fmt.Errorf("no table")
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("encoding %s is unknown; there are utf-8, utf-16, latin1, windows-1252, windows-1250, iso-8859-2, cp437 and the others that browsers know", name)
	}
	if e == unicode.UTF8 {
		return nil, nil
	}
	return e, nil
}
