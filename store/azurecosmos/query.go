package azurecosmos

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"hotreader"
	"hotreader/internal/jsontext"
	"hotreader/layout"
	"hotreader/store/internal/jsonpage"
	"hotreader/store/internal/paging"
	"hotreader/store/internal/timekey"
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

// A decoder reads the JSON of one page of a query, item by item, into values
// that refer to the page's bytes. It never allocates for an item.
//
// It knows the names of an item's members, for the query gave them: p0, p1, … for the
// columns, and those of own.
type decoder struct {
	jsonpage.Page
	ask    *paging.Ask
	narrow bool               // an item has one property
	names  []string           // of members: the columns', then own
	own    [5]hotreader.Value // of the item decoded last
	broken bool               // one of them is a text that no Value can hold
	ranks  []byte
}

// own are the members beside the columns: the time, Cosmos DB's own time, the id, and a
// narrow item's name and value.
var own = [...]string{ownTime: "t", ownSeconds: "s", ownID: "i", ownName: "n", ownValue: "v"}

const (
	ownTime = iota
	ownSeconds
	ownID
	ownName
	ownValue
)

// prepare makes d ready for the items that a asks for.
func (d *decoder) prepare(a *paging.Ask, narrow bool) {
	d.Items, d.Count = "Documents", "_count"
	d.ask, d.narrow = a, narrow
	if len(d.names) != len(a.Columns)+len(own) {
		d.names = d.names[:0]
		for i := range a.Columns {
			d.names = append(d.names, "p"+strconv.Itoa(i))
		}
		d.names = append(d.names, own[:]...)
	}
}

// Open implements paging.Items.
func (d *decoder) Open(page []byte) error {
	d.ranks = d.ranks[:0]
	return d.Page.Open(page)
}

// Item implements paging.Items.
func (d *decoder) Item(values []hotreader.Value) (at hotreader.Value, more bool, err error) {
	if more, err = d.Next(); !more || err != nil {
		return at, false, err
	}
	clear(values)
	d.own[ownTime] = hotreader.Value{}
	if d.narrow || d.ask.Ranked {
		clear(d.own[:])
		d.broken = false
	}
	if err := d.object(values); err != nil {
		return at, false, err
	}
	if d.narrow {
		d.place(values)
	}
	return d.own[ownTime], true, nil
}

// Rank implements paging.Items: the item written later has the greater one.
func (d *decoder) Rank() []byte {
	if !d.ask.Ranked {
		return nil
	}
	const width = "0000000000"
	seconds, from := d.own[ownSeconds].Text(), len(d.ranks)
	d.ranks = append(d.ranks, width[min(len(seconds), len(width)):]...)
	d.ranks = append(append(append(d.ranks, seconds...), ' '), d.own[ownID].Text()...)
	return d.ranks[from:len(d.ranks):len(d.ranks)]
}

// place puts a narrow item's value into the column of its property.
func (d *decoder) place(values []hotreader.Value) {
	property := d.own[ownName].Text()
	if d.ask.Codec.Named() {
		property = d.ask.Codec.Property(d.own[ownTime].Text())
	}
	if i := slices.IndexFunc(d.ask.Columns, func(c string) bool { return c == string(property) }); i >= 0 {
		values[i] = d.own[ownValue]
		if d.broken {
			d.ask.Left[i]++
		}
	}
}

// object decodes one item.
func (d *decoder) object(values []hotreader.Value) error {
	if err := d.Token('{'); err != nil {
		return err
	}
	for first := true; ; first = false {
		name, more, err := d.Member(first)
		if !more {
			return err
		}
		found := slices.IndexFunc(d.names, func(n string) bool { return n == string(name) })
		v, usable, err := jsonpage.Value(&d.Scanner)
		switch {
		case err != nil:
			return err
		case found >= len(values):
			d.own[found-len(values)] = v
			d.broken = d.broken || !usable
		case found >= 0:
			values[found] = v
			if !usable {
				d.ask.Left[found]++
			}
		}
	}
}

// slack is how many items are asked for beyond those needed. A row can only be
// passed on when the next one shows that its second is over.
const slack = 7

// maxStill is how many empty pages in a row may say that the answer goes on
// where it stood.
const maxStill = 16

// A reading is one read of a container: the request and the decoder.
type reading struct {
	store   *Store
	request request
	decoder decoder
	chain   paging.Chain
}

func (s *Store) newReading() paging.Answer {
	r := &reading{store: s}
	r.chain = paging.Chain{Items: &r.decoder, MaxStill: maxStill}
	return r
}

// Begin implements paging.Answer.
func (r *reading) Begin(a *paging.Ask) bool {
	low, high, ok := a.Codec.Bounds(a.Query.Start, a.Query.End)
	if !ok {
		return false
	}
	r.chain.Begin()
	r.decoder.prepare(a, r.store.Layout.Narrow())
	r.request = r.store.request(r.store.rows(a, low, high))
	return true
}

// Release implements paging.Answer.
func (r *reading) Release() {
	r.request, r.decoder.ask, r.decoder.ranks = request{}, nil, nil
	clear(r.decoder.own[:])
	r.decoder.Release(paging.MaxPooled)
}

// Page implements paging.Answer.
func (r *reading) Page(ctx context.Context, n int, o *timekey.Order) (items int, more bool, err error) {
	body := paging.NewBody()
	defer body.Release()
	token, err := r.store.page(ctx, &r.request, n, body)
	if err != nil {
		return 0, false, err
	}
	items, err = r.chain.Rows(ctx, body.Bytes, o)
	if err != nil || o.Stopped() || token == "" {
		return items, false, err
	}
	return items, true, r.chain.GoOn(token, items)
}

// page asks for the next page of a query, of n items at the most, 0 = as many as fit.
// It returns what the page after it is to be asked for with, "" = there is none, and
// has set that in the request.
func (s *Store) page(ctx context.Context, r *request, n int, body *paging.Body) (token string, err error) {
	r.header["X-Ms-Max-Item-Count"] = []string{strconv.Itoa(s.pageSize(n))}
	answer, err := s.client.do(ctx, r, body)
	stats := hotreader.StatsOf(ctx)
	stats.Reads.Add(1)
	stats.Bytes.Add(int64(len(body.Bytes)))
	if err != nil {
		return "", err
	}
	if kind := answer.Get("Content-Type"); !strings.HasPrefix(kind, "application/json") {
		return "", &hotreader.Error{Code: hotreader.CodeProtocol,
			Err: fmt.Errorf("%s answered with %s, which Cosmos DB does not; check COSMOS_DB_ENDPOINT", s.client.host, describe(kind))}
	}
	if token = answer.Get("X-Ms-Continuation"); token != "" {
		r.header["X-Ms-Continuation"] = []string{token}
	}
	return token, nil
}

// pageSize returns how many items a page is to hold at the most if the query needs
// n, 0 = as many as fit; -1 = as many as Cosmos DB puts into one.
func (s *Store) pageSize(n int) int {
	if most := s.pageItems; most > 0 && (n == 0 || n > most) {
		n = most
	}
	if n == 0 {
		return -1
	}
	return n
}
