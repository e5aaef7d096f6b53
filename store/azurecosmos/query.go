package azurecosmos

import (
	"net/http"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"hotreader"
	"hotreader/store/internal/timekey"
)

const hexDigits = "0123456789abcdef"

// appendQuoted appends text as a string of JSON, which is also one of Cosmos
// DB's query language: both have the same escapes.
func appendQuoted(dst []byte, text string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := range len(text) {
		c := text[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, text[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(append(dst, text[from:]...), '"')
}

// partitionHeader returns the value of the header that names a partition: JSON,
// and ASCII, as a header must be.
func partitionHeader(device string) string {
	quoted := appendQuoted(make([]byte, 0, len(device)+4), device)
	out := append(make([]byte, 0, len(quoted)+2), '[')
	for i := 0; i < len(quoted); {
		r, size := utf8.DecodeRune(quoted[i:])
		i += size
		switch {
		case r < 0x7f:
			out = append(out, byte(r))
		case r <= 0xffff:
			out = appendUnit(out, r)
		default:
			high, low := utf16.EncodeRune(r)
			out = appendUnit(appendUnit(out, high), low)
		}
	}
	return string(append(out, ']'))
}

func appendUnit(dst []byte, u rune) []byte {
	return append(dst, '\\', 'u', hexDigits[u>>12&15], hexDigits[u>>8&15], hexDigits[u>>4&15], hexDigits[u&15])
}

// queryBody returns the body of a query: its text and its parameters. Names of
// properties are quoted within brackets; whatever they hold, they end where they
// should.
//
// The device is also a condition, beside the partition in the header: Cosmos DB
// does not need it, but so the query asks for one device's rows even where that
// header is not looked at.
func (s *Store) queryBody(device string, columns []string, low, high string, descending bool) []byte {
	text := make([]byte, 0, 256)
	property := func(name string) { text = append(appendQuoted(append(text, "c["...), name), ']') }
	text = append(text, "SELECT "...)
	property(s.timeKey)
	text = append(text, " AS t"...)
	for i, name := range columns {
		text = append(text, ',')
		property(name)
		text = strconv.AppendInt(append(text, " AS p"...), int64(i), 10)
	}
	text = append(text, " FROM c WHERE "...)
	property(s.deviceKey)
	text = append(text, "=@d"...)
	if low != "" {
		text = append(text, " AND "...)
		property(s.timeKey)
		text = append(text, ">=@lo"...)
	}
	if high != "" {
		text = append(text, " AND "...)
		property(s.timeKey)
		text = append(text, "<=@hi"...)
	}
	text = append(text, " ORDER BY "...)
	property(s.timeKey)
	if descending {
		text = append(text, " DESC"...)
	} else {
		text = append(text, " ASC"...)
	}

	body := make([]byte, 0, len(text)+len(text)/4+len(device)+160)
	body = appendQuoted(append(body, `{"query":`...), string(text))
	body = appendQuoted(append(body, `,"parameters":[{"name":"@d","value":`...), device)
	bound := func(name, value string) {
		body = append(append(append(body, `},{"name":"`...), name...), `","value":`...)
		if s.format == timekey.ISO8601 {
			body = appendQuoted(body, value)
		} else {
			body = append(body, value...)
		}
	}
	if low != "" {
		bound("@lo", low)
	}
	if high != "" {
		bound("@hi", high)
	}
	return append(body, "}]}"...)
}

// keyKind returns what the time is in JSON.
func (s *Store) keyKind() hotreader.Kind {
	if s.format == timekey.ISO8601 {
		return hotreader.String
	}
	return hotreader.Number
}

// queryHeader returns the header of a query of one device. The page size and
// the continuation are set page by page. There is no header that would let the
// query leave its partition.
func queryHeader(device string) http.Header {
	return http.Header{
		"Content-Type":                 {"application/query+json"},
		"X-Ms-Documentdb-Isquery":      {"True"},
		"X-Ms-Documentdb-Partitionkey": {partitionHeader(device)},
	}
}
