package azurecosmos

import (
	"net/http"
	"strconv"
	"strings"

	"hotreader"
	"hotreader/internal/jsontext"
	"hotreader/layout"
	"hotreader/store/internal/paging"
)

func quote(s string) string { return string(jsontext.AppendString(nil, s)) }

// property returns a path as queries name it. Names are quoted within brackets:
// whatever they hold, they end where they should, for a string of Cosmos DB's query
// language has JSON's escapes.
func property(path []string) string {
	var text strings.Builder
	text.WriteByte('c')
	for _, name := range path {
		text.WriteString("[" + quote(name) + "]")
	}
	return text.String()
}

// numeric reports whether a partition's value can be a number in a container: one that
// Cosmos DB spells as it is spelled here.
func numeric(value string) bool {
	f, err := strconv.ParseFloat(value, 64)
	return err == nil && hotreader.IsNumber([]byte(value)) && strconv.FormatFloat(f, 'f', -1, 64) == value
}

// A query asks for items of one partition.
type query struct {
	value      string // of the partition
	number     bool   // it is a number
	selected   string
	conditions string // beside that on the partition, and the order
	parameters string // beside that of the partition
}

// and adds a condition, with a value as JSON.
func (q *query) and(path []string, operator, name, value string) {
	q.conditions += " AND " + property(path) + operator + name
	q.parameters += `,{"name":"` + name + `","value":` + value + "}"
}

// request returns the request of q. The partition's value is also a condition, beside
// that in the header: Cosmos DB does not need it, but so the query asks for one
// device's rows even where that header is not looked at. There is no header that would
// let the query leave its partition. The page size and the continuation are set page
// by page; a continuation of more than a kilobyte might not fit into a request's head.
func (s *Store) request(q query) request {
	value, partition := quote(q.value), string(jsontext.AppendASCII(nil, q.value)) // as a header must be
	if q.number {
		value, partition = q.value, q.value
	}
	text := "SELECT " + q.selected + " FROM c WHERE " + property(s.device) + "=@d" + q.conditions
	return request{
		verb: http.MethodPost,
		path: s.docs,
		kind: "docs",
		link: s.link,
		header: http.Header{
			"Content-Type":                                       {"application/query+json"},
			"X-Ms-Documentdb-Isquery":                            {"True"},
			"X-Ms-Documentdb-Partitionkey":                       {"[" + partition + "]"},
			"X-Ms-Documentdb-Responsecontinuationtokenlimitinkb": {"1"},
		},
		body: []byte(`{"query":` + quote(text) + `,"parameters":[{"name":"@d","value":` + value + "}" + q.parameters + "]}"),
	}
}

// least returns, as JSON, what no time of a kind is less than.
func least(kind layout.TimeKind) string {
	if kind == layout.TextTime {
		return `""`
	}
	return "-1e308"
}

// rows returns the query for what a asks for, between the keys low and high, "" = open.
func (s *Store) rows(a *paging.Ask, low, high string) query {
	q := query{value: a.Value, number: a.Number && numeric(a.Value), selected: property(s.time) + " AS t"}
	if a.Ranked {
		q.selected += `,c["_ts"] AS s,c["id"] AS i`
	}
	if s.Layout.Narrow() {
		s.narrow(&q, a.Columns)
	} else {
		for i, name := range a.Columns {
			places := s.Layout.Paths(name)
			q.selected += "," + property(places[0])
			for _, other := range places[1:] { // which counts where nothing is at the first
				q.selected += "??" + property(other)
			}
			q.selected += " AS p" + strconv.Itoa(i)
		}
	}
	bound := func(key string) string {
		if a.Codec.Kind == layout.TextTime {
			return quote(key)
		}
		return key
	}
	if low != "" {
		q.and(s.time, ">=", "@lo", bound(low))
	} else if len(s.Layout.TimeFormat) > 1 { // times of another kind are another scan's
		q.and(s.time, ">=", "@lo", least(a.Codec.Kind))
	}
	if high != "" {
		q.and(s.time, "<=", "@hi", bound(high))
	}
	order := " ASC"
	if a.Query.Backward() {
		order = " DESC"
	}
	q.conditions += " ORDER BY " + property(s.time) + order
	return q
}

// narrow asks for the value of an item with one property and, where a field names
// that, for the name, which must be one of names.
func (s *Store) narrow(q *query, names []string) {
	q.selected += "," + property(layout.ParsePath(s.Layout.ValueKey)) + " AS v"
	if s.Layout.NameKey == "" {
		return
	}
	name := property(layout.ParsePath(s.Layout.NameKey))
	q.selected += "," + name + " AS n"
	var parameters []string
	for i, n := range names {
		parameter := "@n" + strconv.Itoa(i)
		parameters = append(parameters, parameter)
		q.parameters += `,{"name":"` + parameter + `","value":` + quote(n) + "}"
	}
	q.conditions += " AND " + name + " IN (" + strings.Join(parameters, ",") + ")"
}
