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
	const most = 9 << 20 // an API sends 8 MB at most
	x := &exchange{r: r, ctx: ctx, stats: hotreader.StatsOf(ctx), traceID: r.traceID(ctx)}
	query := url.Values{}
	for name, value := range map[string]string{"prefix": prefix, "type": kind, "next_token": token} {
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
