package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sort"
	"strings"
	"time"

	"hotreader"
)

// Device is one of another cloud's list.
type Device struct {
	ID         string
	Type       string   // the component type that it shares with others; "" = none, or not known
	Properties int      // how many it has
	Names      []string // of its properties, for a Lister
}

// Devices returns a page of the devices whose id begins with prefix, of a component
// type unless that is "". token is "" for the first page, then the next of the page
// before, which is "" on the last one. Errors are those of Scan.
func (r *Source) Devices(ctx context.Context, prefix, kind, token string) (page []Device, next string, err error) {
	return r.devices(ctx, map[string]string{"prefix": prefix, "type": kind, "next_token": token})
}

func (r *Source) devices(ctx context.Context, parameters map[string]string) (page []Device, next string, err error) {
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
		return nil, "", err
	}
	defer a.close()
	body, err := io.ReadAll(io.LimitReader(a, most))
	if a.err != nil {
		return nil, "", x.transport(a.err, a)
	}
	var list struct {
		Items *[]Device
		Next  string `json:"next_token"`
	}
	if err == nil {
		err = json.Unmarshal(body, &list)
	}
	if err == nil && (list.Items == nil || list.Next != "" && len(*list.Items) == 0) {
		err = errors.New("there is no list, or an empty page before others")
	}
	if err != nil {
		return nil, "", x.fail(hotreader.CodeProtocol, fmt.Errorf("the list of devices cannot be read: %w", err))
	}
	return *list.Items, list.Next, nil
}

const (
	listAge = time.Minute // after which the list is asked for again
	maxList = 100_000     // devices of a Lister
	maxRoom = 32 << 20    // bytes of their ids and names, each with that of its header
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
	fail := func(text string) error {
		return &hotreader.Error{Op: l.source.op, Code: hotreader.CodeProtocol, Err: errors.New(text)}
	}
	for token, last, room := "", "", maxRoom; ; {
		page, next, err := l.source.devices(ctx, map[string]string{"names": "true", "next_token": token})
		if err != nil {
			return nil, err
		}
		for _, d := range page {
			room -= len(d.ID) + 16
			for _, name := range d.Names {
				room -= len(name) + 16
			}
			switch {
			case room < 0:
				return nil, fail(fmt.Sprintf("the list of devices and their properties has more than %d MB", maxRoom>>20))
			case d.ID <= last:
				return nil, fail("the list of devices is not in the order of ids")
			case len(d.Names) != d.Properties:
				return nil, fail("the list of devices lacks names of properties")
			case len(all) == maxList:
				return nil, fail(fmt.Sprintf("the list has more than %d devices", maxList))
			}
			all, last = append(all, hotreader.Listed{ID: d.ID, Type: d.Type, Properties: d.Names}), d.ID
		}
		if token = next; next == "" {
			return all, nil
		}
	}
}
