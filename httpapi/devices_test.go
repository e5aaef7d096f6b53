package httpapi_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"hotreader"
	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/wire"
)

// TestDevicesOnEveryRoute: with a list of devices, every route serves only those. It
// rejects all others with the same answer, whether they exist or not, without asking the
// store.
func TestDevicesOnEveryRoute(t *testing.T) {
	allowed, err := identity.ParseDevices("pump, halle 3/*")
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, httpapi.Options{Devices: allowed})
	of := func(device string) string {
		return `{"iot_device_id":"` + device + `",` + all + `,"selected_properties":["temperature"]}`
	}
	last := func(device string) string {
		return `{"iot_device_id":"` + device + `","selected_properties":["temperature"]}`
	}
	requests := map[string]func(device string) answer{
		"POST /read": func(d string) answer { return ask(t, s, "POST", "/read", envelope(of(d))) },
		"POST /read, last entry": func(d string) answer {
			return ask(t, s, "POST", "/read", lastEntry(last(d)))
		},
		"POST /read, rows":             func(d string) answer { return ask(t, s, "POST", "/read", envelope(of(d)), "Accept", wire.MediaType) },
		"POST /read, rows, last entry": func(d string) answer { return ask(t, s, "POST", "/read", lastEntry(last(d)), "Accept", wire.MediaType) },
		"history": func(d string) answer {
			return ask(t, s, "GET", "/v1/devices/"+d+"/history?property=temperature", "")
		},
		"history, CSV": func(d string) answer {
			return ask(t, s, "GET", "/v1/devices/"+d+"/history?property=temperature", "", "Accept", "text/csv")
		},
		"latest": func(d string) answer { return ask(t, s, "GET", "/v1/devices/"+d+"/latest?property=temperature", "") },
	}
	for name, request := range requests {
		t.Run(name, func(t *testing.T) {
			if got := request("pump"); got.status != 200 {
				t.Errorf("a device of the list: %d %s", got.status, got.body)
			}
			exists, absent := request("other"), request("nobody")
			problem(t, exists, 403, hotreader.CodeForbidden)
			problem(t, absent, 403, hotreader.CodeForbidden)
			if a, b := untraced(exists.body), untraced(absent.body); a != b {
				t.Errorf("it tells which devices there are:\n%s\n%s", a, b)
			}
			for _, body := range []string{exists.body, absent.body} {
				for _, hidden := range []string{"other", "nobody", "pump", "halle", "98765"} {
					if strings.Contains(body, hidden) {
						t.Errorf("the refusal tells %q: %s", hidden, body)
					}
				}
			}
		})
	}
	for path, status := range map[string]int{
		"/v1/devices/halle%203%2Fpumpe%3F%23%C3%A9%252F/latest?property=temperature": 200, // odd
		"/v1/devices/pump/../other/latest?property=temperature":                      404,
		"/v1/devices/pump%2F..%2Fother/latest?property=temperature":                  403,
		"/v1/devices/..%2Fpump/latest?property=temperature":                          403,
		"/v1/devices/other%00pump/latest?property=temperature":                       403,
		"/v1/devices/PUMP/latest?property=temperature":                               403,
		"/v1/devices/%20pump/latest?property=temperature":                            403,
		"/v1/devices/pump%20/latest?property=temperature":                            403,
		"/v1/devices/pump*/latest?property=temperature":                              403,
		"/v1/devices/other/latest?property=temperature&id=pump":                      400,
		"/v1/devices/pump;other/latest?property=temperature":                         403,
	} {
		if got := ask(t, s, "GET", path, ""); got.status != status || strings.Contains(got.body, "98765") {
			t.Errorf("%s: %d %s; want %d", path, got.status, got.body, status)
		}
	}
}

// untraced removes the trace id from a problem.
func untraced(body string) string {
	before, rest, _ := strings.Cut(body, `"trace_id":"`)
	_, after, _ := strings.Cut(rest, `"`)
	return before + after
}

// TestDeviceOutsideIsNotRead: no request for a device that is not in the list reaches the
// store, and a page token of such a device is not valid after the list was narrowed.
func TestDeviceOutsideIsNotRead(t *testing.T) {
	var asked atomic.Int32
	rows := series{n: 10, during: func(context.Context, int) { asked.Add(1) }}
	wide, narrow := serve(t, httpapi.Options{Source: rows}), serve(t, httpapi.Options{Source: rows, Devices: identity.Devices{"pump"}})
	const path = "/v1/devices/valve/history?property=a&limit=2"
	page := ask(t, wide, "GET", path, "")
	_, rest, ok := strings.Cut(page.body, `"next_token":"`)
	token, _, _ := strings.Cut(rest, `"`)
	if page.status != 200 || !ok {
		t.Fatalf("%d %s", page.status, page.body)
	}
	asked.Store(0)
	problem(t, ask(t, narrow, "GET", path+"&next_token="+token, ""), 403, hotreader.CodeForbidden)
	problem(t, ask(t, narrow, "POST", "/read", envelope(seriesAll)), 403, hotreader.CodeForbidden)
	if asked.Load() != 0 {
		t.Error("the store was asked")
	}
}
