package httpapi

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"hotreader"
	"hotreader/codec/plain"
	"hotreader/internal/accept"
	"hotreader/internal/nearest"
)

const (
	jsonType  = "application/json"
	jsonlType = "application/x-ndjson"
	csvType   = "text/csv"
)

// parameters are those of a GET request. Its methods read them and note what is
// wrong, so that the caller gets all of it in one answer.
type parameters struct {
	values url.Values
	now    time.Time // that relative times count from
	wrong  []string
}

func (p *parameters) bad(format string, args ...any) {
	const most = 20
	if len(p.wrong) < most {
		p.wrong = append(p.wrong, fmt.Sprintf(format, args...))
	}
}

// err returns all that is wrong as one error; nil if nothing is.
func (p *parameters) err() error {
	if len(p.wrong) == 0 {
		return nil
	}
	return invalid("%s", strings.Join(p.wrong, "; "))
}

// parameters parses the query string. A parameter that the route does not know is
// wrong, for a misspelled one must not silently change the query. An empty next_token
// is none: dashboards send the parameter before they have a token.
func (c *call) parameters() (*parameters, error) {
	values, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return nil, invalid("the query string cannot be read: %.200s", err.Error())
	}
	p := &parameters{values: values, now: time.Now()}
	if given := slices.DeleteFunc(values["next_token"], func(text string) bool { return text == "" }); len(given) > 0 {
		values["next_token"] = given
	} else {
		delete(values, "next_token")
	}
	known := c.route.parameters
	for _, name := range slices.Sorted(maps.Keys(values)) {
		switch n := len(values[name]); {
		case !slices.Contains(known, name):
			meant := ""
			if near := nearest.Word(name, known); near != "" {
				meant = "did you mean " + near + "? "
			}
			p.bad("the parameter %.40q is unknown; %sknown are: %s", name, meant, cmp.Or(strings.Join(known, ", "), "none"))
		case n > 1 && name != "property" && (name != "type" || !slices.Contains(known, "property")):
			p.bad("the parameter %q is given %d times", name, n)
		}
	}
	return p, nil
}

// format is one of a GET answer.
type format struct {
	name        string
	format      plain.Format
	media       []string // in Accept
	contentType string
}

// formats has the preferred one first.
var formats = []format{
	{"json", plain.JSON, []string{jsonType}, jsonType},
	{"jsonl", plain.JSONL, []string{jsonlType, "application/jsonl"}, jsonlType},
	{"csv", plain.CSV, []string{csvType}, csvType + "; charset=utf-8; header=present"},
}

// encoder returns an encoder for the format that is asked for: by the parameter
// format, else by the Accept header. The second result is the Content-Type.
func (p *parameters) encoder(header, properties []string) (*plain.Encoder, string) {
	chosen, best := 0, 0.0
	for i := range formats {
		if q := accept.Quality(header, formats[i].media...); q > best {
			chosen, best = i, q
		}
	}
	if name, ok := p.single("format"); ok {
		if chosen = slices.IndexFunc(formats, func(f format) bool { return strings.EqualFold(f.name, name) }); chosen < 0 {
			p.bad("format is %.40q; expected json, jsonl or csv", name)
			return nil, ""
		}
	}
	e, err := plain.NewEncoder(formats[chosen].format, properties)
	p.note(err)
	return e, formats[chosen].contentType
}

// note notes what an error of this module says.
func (p *parameters) note(err error) {
	if err == nil {
		return
	}
	if e, ok := errors.AsType[*hotreader.Error](err); ok && e.Err != nil {
		err = e.Err
	}
	p.bad("%v", err)
}

func (p *parameters) single(name string) (string, bool) {
	given, ok := p.values[name]
	if !ok {
		return "", false
	}
	return given[0], true
}

// pick reads which rows of which intervals are asked for.
func (p *parameters) pick(q *paged) {
	points, hasPoints := p.single("points")
	word, hasWord := p.single("pick")
	every, hasEvery := p.single("every")
	switch {
	case hasPoints && (hasWord || hasEvery):
		p.bad("points makes its own intervals; give either points, or pick and every")
	case hasPoints:
		p.points(q, points)
	case hasWord != hasEvery:
		p.bad("pick and every go together, as pick=last&every=60s")
	case hasWord:
		kind, known := hotreader.ParsePickKind(word)
		if !known {
			p.bad("pick is %.40q; expected m4 or last", word)
		}
		width, ok := span(every)
		if ok = ok && width > 0 && width <= mostFar; !ok {
			p.bad("every is %.40q; expected a length of time from 1ms to %d years, in ms, s, m, h, d or w, as 60s", every, mostFar/(365*24*time.Hour))
		}
		if known && ok {
			q.Pick = hotreader.Pick{Kind: kind, Origin: time.Unix(0, 0).UTC(), Every: width}
		}
	}
}

// points reads about how many rows of a range the caller asks for. Its end is now where the
// request has none, as if it said so.
func (p *parameters) points(q *paged, text string) {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || n < hotreader.MinPoints || n > hotreader.MaxPoints {
		p.bad("points is %.40q; expected a whole number from %d to %d", text, hotreader.MinPoints, hotreader.MaxPoints)
		return
	}
	if _, ok := p.values["start"]; !ok {
		p.bad("points needs a start, as start=-24h")
		return
	}
	if _, ok := p.values["end"]; !ok {
		q.End, q.end = p.now, "now"
	}
	q.points = int(n)
}

// limit reads how many rows or devices a page has at most; 0 = it does not say.
func (p *parameters) limit() int {
	text, ok := p.single("limit")
	if !ok {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || n == 0 {
		p.bad("limit is %.40q; expected a whole number from 1 to %d", text, math.MaxInt32)
		return 0
	}
	return int(n)
}

// names returns the names that a parameter lists, all times that it is given.
func (p *parameters) names(parameter string) (all []string) {
	for _, text := range p.values[parameter] {
		list, err := plain.Names(text)
		if err != nil {
			p.bad("%s is %.40q; %v", parameter, text, err)
		}
		all = append(all, list...)
	}
	return all
}

// subject reads what both routes of a device's rows take: its properties, and their
// types.
func (p *parameters) subject(q *hotreader.Query) {
	before := len(p.wrong)
	if q.Properties = p.names("property"); len(q.Properties) == 0 && len(p.wrong) == before {
		p.bad("the parameter property is missing; give it once for each property, or a list, as a,b")
	}
	if len(p.wrong) > before {
		q.Properties = nil
		return
	}
	types := p.names("type")
	if len(p.wrong) > before {
		return
	}
	var err error
	if q.Types, err = plain.Types(q.Properties, types); err != nil {
		p.bad("type: %v", err)
	}
}

// history reads the query of a history.
func (p *parameters) history(device string) (q paged) {
	q.Device = device
	p.subject(&q.Query)
	q.Start, q.start = p.instant("start")
	q.End, q.end = p.lastInstant("end")
	if text, ok := p.single("order"); ok {
		switch strings.ToLower(text) {
		case "asc", "ascending":
		case "desc", "descending":
			q.Order = hotreader.Descending
		default:
			p.bad("order is %.40q; expected asc or desc", text)
		}
	}
	q.Limit = p.limit()
	p.pick(&q)
	p.check(q.Query)
	return q
}

// check notes what is wrong with the query that the parameters make. That properties
// are missing, or cannot be read, has been noted before.
func (p *parameters) check(q hotreader.Query) {
	if len(q.Properties) == 0 {
		q.Properties, q.Types = []string{"any"}, nil
	}
	p.note(q.Check())
}
