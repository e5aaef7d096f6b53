package azurecosmos

import (
	"net/http"
	"strconv"

	"hotreader"
	"hotreader/internal/jsontext"
	"hotreader/store/internal/timekey"
)

// partitionHeader returns the value of the header that names a partition: JSON,
// and ASCII, as a header must be.
func partitionHeader(device string) string {
	return "[" + string(jsontext.AppendASCII(nil, device)) + "]"
}

// queryBody returns the body of a query: its text and its parameters. Names of
// properties are quoted within brackets; whatever they hold, they end where they
// should, for a string of Cosmos DB's query language has JSON's escapes.
//
// The device is also a condition, beside the partition in the header: Cosmos DB
// does not need it, but so the query asks for one device's rows even where that
// header is not looked at.
func (s *Store) queryBody(q *hotreader.Query, columns []string, low, high string) []byte {
	text := make([]byte, 0, 256)
	property := func(name string) { text = append(jsontext.AppendString(append(text, "c["...), name), ']') }
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
	if q.Backward() {
		text = append(text, " DESC"...)
	} else {
		text = append(text, " ASC"...)
	}

	body := make([]byte, 0, len(text)+len(text)/4+len(q.Device)+160)
	body = jsontext.AppendString(append(body, `{"query":`...), text)
	body = jsontext.AppendString(append(body, `,"parameters":[{"name":"@d","value":`...), q.Device)
	bound := func(name, value string) {
		body = append(append(append(body, `},{"name":"`...), name...), `","value":`...)
		if s.format == timekey.ISO8601 {
			body = jsontext.AppendString(body, value)
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
