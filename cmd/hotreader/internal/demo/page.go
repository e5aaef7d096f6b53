package demo

import (
	"encoding/json"
	"net/http"
	"time"

	"hotreader/web"
)

// Version is that of the demo's APIs. The page for people knows a demo by it.
const Version = "demo"

// checked is what the last check of a route found.
type checked struct {
	Result
	Checked time.Time `json:"checked"`
}

// page serves the page for people. It also gives the page the clouds with their tokens,
// which open invented data on this machine alone, and what the checks of the routes found.
func (c *Clouds) page(w http.ResponseWriter, r *http.Request) bool {
	if r.URL.Path != web.Prefix+"demo.json" {
		return web.Serve(w, r)
	}
	var told struct {
		Clouds []*Cloud  `json:"clouds"`
		Routes []checked `json:"routes"`
	}
	told.Clouds = c.All[:]
	c.mu.Lock()
	for l4 := range c.checked {
		for l3 := range c.checked[l4] {
			if one := c.checked[l4][l3]; !one.Checked.IsZero() {
				told.Routes = append(told.Routes, one)
			}
		}
	}
	c.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(told) // fails only if the browser is gone
	return true
}
