package remote

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strings"
	"time"

	"hotreader"
)

// Device is one of another cloud's list.
type Device struct {
	ID         string
	Type       string // the component type that it shares with others; "" = none, or not known
	Properties int    // how many it has
	Names      names  // of its properties, for a Lister
}

// names is a list of names that takes no more memory than a Lister allows.
type names []string

// UnmarshalJSON implements json.Unmarshaler.
func (n *names) UnmarshalJSON(text []byte) error {
	most := bytes.Count(text, []byte{','}) + 1
	if most > maxRoom/textRoom {
		return errTooLong
	}
	all := make([]string, 0, most) // grown bit by bit it would take several times as much
	err := json.Unmarshal(text, &all)
	*n = slices.Clone(all) // for a comma may stand in a name
	return err
}

// Devices returns a page of the devices whose id begins with prefix, of a component
// type unless that is "". token is "" for the first page, then the next of the page
// before, which is "" on the last one. Errors are those of Scan.
func (r *Source) Devices(ctx context.Context, prefix, kind, token string) (page []Device, next string, err error) {
	next, err = r.devices(ctx, map[string]string{"prefix": prefix, "type": kind, "next_token": token}, func(d Device) error {
		if page = append(page, d); len(page) > maxList {
			return errTooMany
		}
		return nil
	})
	return page, next, err
}

// devices gives each device of a page to add.
func (r *Source) devices(ctx context.Context, parameters map[string]string, add func(Device) error) (next string, err error) {
	const most = 9 << 20 // an API sends 8 MB at most
	x := &exchange{r: r, ctx: ctx, stats: hotreader.StatsOf(ctx), traceID: r.traceID(ctx)}
	query := url.Values{}
	for name, value := range parameters {
		if value != "" {
			query.Set(name, value)
		}
	}
	at := strings.TrimSuffix(r.url, "/read") + "/v1/devices?" + query.Encode()
	a, err := x.ask(func(ctx context.Context) (*http.Request, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
		if err == nil {
			req.Header.Set("Accept", "application/json")
		}
		return req, err
	})
	if err != nil {
		return "", err
	}
	defer a.close()
	next, err = decodeList(json.NewDecoder(io.LimitReader(a, most)), add)
	if a.err != nil {
		return "", x.transport(a.err, a)
	}
	if err != nil {
		return "", x.fail(hotreader.CodeProtocol, x.hide(fmt.Errorf("the list of devices cannot be read: %w", err)))
	}
	return next, nil
}

// decodeList gives each item of a list to add as it is decoded, for a list of nothings is
// short, but large in memory.
func decodeList(d *json.Decoder, add func(Device) error) (next string, err error) {
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return "", cmp.Or(err, errNoList)
	}
	items := -1
	for d.More() {
		key, err := d.Token()
		switch {
		case err != nil:
		case key == "items":
			items, err = decodeItems(d, add)
		case key == "next_token":
			err = d.Decode(&next)
		default:
			err = d.Decode(new(json.RawMessage))
		}
		if err != nil {
			return "", err
		}
	}
	if _, err := d.Token(); err != nil { // the closing brace
		return "", err
	}
	if _, err := d.Token(); err != io.EOF || items < 0 || next != "" && items == 0 {
		return "", errNoList
	}
	return next, nil
}

func decodeItems(d *json.Decoder, add func(Device) error) (n int, err error) {
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return 0, cmp.Or(err, errNoList)
	}
	for ; d.More(); n++ {
		var one Device
		if err := d.Decode(&one); err != nil {
			return n, err
		}
		if err := add(one); err != nil {
			return n, err
		}
	}
	_, err = d.Token() // the closing bracket
	return n, err
}

var (
	errNoList  = errors.New("there is no list, or an empty page before others")
	errTooMany = fmt.Errorf("it has more than %d devices", maxList)
	errTooLong = fmt.Errorf("it has more than %d MB of devices and their properties", maxRoom>>20)
)

const (
	listAge = time.Minute // after which the list is asked for again
	maxList = 100_000     // devices of a Lister, or a page
	maxRoom = 32 << 20    // bytes of their ids and names

	textRoom = 16 // of which each takes these beside its text
)

// Lister is the hotreader.Lister of another cloud's API. It asks for the whole list, and
// again when that is a minute old.
type Lister struct {
	source *Source
	lock   chan struct{} // one in it = locked; guards the rest
	all    []hotreader.Listed
	asked  time.Time
}

var _ hotreader.Lister = (*Lister)(nil)

// Lister returns the Lister of r's API.
func (r *Source) Lister() *Lister { return &Lister{source: r, lock: make(chan struct{}, 1)} }

// Devices implements hotreader.Lister. Errors are those of Scan.
func (l *Lister) Devices(ctx context.Context, prefix, after string, n int) (page []hotreader.Listed, err error) {
	select {
	case l.lock <- struct{}{}:
		defer func() { <-l.lock }()
	case <-ctx.Done():
		return nil, &hotreader.Error{Op: l.source.op, Code: hotreader.CodeOf(ctx.Err()), Err: ctx.Err()}
	}
	if now := time.Now(); l.asked.IsZero() || now.Sub(l.asked) > listAge {
		if l.all, err = l.ask(ctx); err != nil {
			l.asked = time.Time{}
			return nil, err
		}
		l.asked = now
	}
	from := sort.Search(len(l.all), func(i int) bool { return l.all[i].ID >= prefix && l.all[i].ID > after })
	for _, d := range l.all[from:] {
		if len(page) == n || !strings.HasPrefix(d.ID, prefix) {
			break
		}
		page = append(page, d)
	}
	return page, nil
}

// ask asks for all pages.
func (l *Lister) ask(ctx context.Context) (all []hotreader.Listed, err error) {
	last, room := "", maxRoom
	add := func(d Device) error {
		room -= len(d.ID) + textRoom
		for _, name := range d.Names {
			room -= len(name) + textRoom
		}
		switch {
		case room < 0:
			return errTooLong
		case d.ID <= last:
			return errors.New("it is not in the order of ids")
		case len(d.Names) != d.Properties:
			return errors.New("it lacks names of properties")
		case len(all) == maxList:
			return errTooMany
		}
		all, last = append(all, hotreader.Listed{ID: d.ID, Type: d.Type, Properties: d.Names}), d.ID
		return nil
	}
	for next, more := "", true; more; more = next != "" {
		if next, err = l.source.devices(ctx, map[string]string{"names": "true", "next_token": next}, add); err != nil {
			return nil, err
		}
	}
	return all, nil
}
