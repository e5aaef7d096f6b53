package azurecosmos

import (
	"net/http"
	"strconv"
	"strings"

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
	property := func(name string) string { return "c[" + quote(name) + "]" }
	when, order := property(s.timeKey), " ASC"
	if q.Backward() {
		order = " DESC"
	}
	bound := func(value string) string {
		if s.format == timekey.ISO8601 {
			return quote(value)
		}
		return value
	}
	selected := []string{when + " AS t"}
	for i, name := range columns {
		selected = append(selected, property(name)+" AS p"+strconv.Itoa(i))
	}
	text := "SELECT " + strings.Join(selected, ",") + " FROM c WHERE " + property(s.deviceKey) + "=@d"
	parameters := `{"name":"@d","value":` + quote(q.Device) + "}"
	if low != "" {
		text += " AND " + when + ">=@lo"
		parameters += `,{"name":"@lo","value":` + bound(low) + "}"
	}
	if high != "" {
		text += " AND " + when + "<=@hi"
		parameters += `,{"name":"@hi","value":` + bound(high) + "}"
	}
	text += " ORDER BY " + when + order
	return []byte(`{"query":` + quote(text) + `,"parameters":[` + parameters + "]}")
}

func quote(s string) string { return string(jsontext.AppendString(nil, s)) }

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
