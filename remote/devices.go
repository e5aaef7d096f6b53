package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"hotreader"
)

// Device is one of another cloud's list.
type Device struct {
	ID         string
	Type       string // the component type that it shares with others; "" = none, or not known
	Properties int    // how many it has
}

// Devices returns a page of the devices whose id begins with prefix, of a component
// type unless that is "". token is "" for the first page, then the next of the page
// before, which is "" on the last one. Errors are those of Scan.
func (r *Source) Devices(ctx context.Context, prefix, kind, token string) (page []Device, next string, err error) {
	query := url.Values{}
	for name, value := range map[string]string{"prefix": prefix, "type": kind, "next_token": token} {
		if value != "" {
			query.Set(name, value)
		}
	}
	var list struct {
		Items *[]Device
		Next  string `json:"next_token"`
	}
	err = r.get(ctx, "/v1/devices?"+query.Encode(), &list, func() error {
		if list.Items == nil || list.Next != "" && len(*list.Items) == 0 {
			return errors.New("there is no list, or an empty page before others")
		}
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	return *list.Items, list.Next, nil
}

// Properties returns the names of a device's properties. Errors are those of Scan.
func (r *Source) Properties(ctx context.Context, device string) (names []string, err error) {
	var d struct{ Properties []struct{ Name string } }
	err = r.get(ctx, "/v1/devices/"+url.PathEscape(device), &d, func() error { return nil })
	for _, p := range d.Properties {
		names = append(names, p.Name)
	}
	return names, err
}

// get reads a JSON document into what to points to, and has it checked.
func (r *Source) get(ctx context.Context, path string, to any, check func() error) error {
	const most = 64 << 20
	x := &exchange{r: r, ctx: ctx, stats: hotreader.StatsOf(ctx), traceID: r.traceID(ctx)}
	at := strings.TrimSuffix(r.url, "/read") + path
	a, err := x.ask(func(ctx context.Context) (*http.Request, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
		if err == nil {
			req.Header.Set("Accept", "application/json")
		}
		return req, err
	})
	if err != nil {
		return err
	}
	defer a.close()
	body, err := io.ReadAll(io.LimitReader(a, most))
	if a.err != nil {
		return x.transport(a.err, a)
	}
	if err == nil {
		err = json.Unmarshal(body, to)
	}
	if err == nil {
		err = check()
	}
	if err != nil {
		return x.fail(hotreader.CodeProtocol, fmt.Errorf("the list of devices cannot be read: %w", err))
	}
	return nil
}
