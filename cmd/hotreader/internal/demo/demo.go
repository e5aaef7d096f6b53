// Package demo runs three clouds on one machine and checks that each can read
// each. A simulated cloud has an embedded store, a Hot Reader API on a loopback
// port and a token of its own; what reads is what a function in the cloud is
// made of, from its environment to the answer that AWS IoT TwinMaker gets.
package demo

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"hotreader"
	"hotreader/catalog"
	"hotreader/cmd/hotreader/internal/machine"
	"hotreader/httpapi"
	"hotreader/identity"
	"hotreader/route"
	"hotreader/store/boltstore"
	"hotreader/store/coldstore"
	"hotreader/store/coldstore/folder"
)

// What is simulated.
const (
	Device = "pump-7"
	Step   = 5 * time.Second
	Rows   = 2880 // of each cloud: four hours
)

// Names are the three clouds, in the order in which they are shown.
var Names = [...]string{"aws", "azure", "gcp"}

// Options say how the clouds are set up.
type Options struct {
	Seed    uint64    // of the machines' signals
	Now     time.Time // when the telemetry ends, to the second
	Corrupt bool      // change one stored value after writing

	// Listeners are those of the three APIs, in the order of Names. They are
	// closed with the clouds.
	Listeners [3]net.Listener

	// Wrote is called now and then while rows are written. It may be nil.
	Wrote func(done, total int)
}

// Cloud is one simulated cloud, and one of demo --json.
type Cloud struct {
	Name  string `json:"name"`
	URL   string `json:"url"` // of its Hot Reader API
	Token string `json:"token"`

	store   *boltstore.Store
	cold    *coldstore.Store
	bucket  *folder.Bucket
	machine *machine.Machine
	server  *http.Server
	truth   []hotreader.Record // what was written, in order; guarded by Clouds.mu once the pumps report
}

// Truth returns what was written. Not to be changed, nor to be used once Tick is called.
func (c *Cloud) Truth() []hotreader.Record { return c.truth }

// Clouds are the three clouds.
type Clouds struct {
	All [3]*Cloud
	dir string

	mu      sync.Mutex // held by a check, so that nothing is written meanwhile
	checked [len(Names)][len(Names)]checked
}

// Start makes the stores in a temporary directory, fills them and serves them.
// Close ends and removes everything.
func Start(ctx context.Context, o Options) (_ *Clouds, err error) {
	dir, err := os.MkdirTemp("", "hotreader-demo-")
	if err != nil {
		closeAll(o.Listeners[:])
		return nil, &hotreader.Error{Op: "demo", Code: hotreader.CodeConfig, Err: err}
	}
	clouds := &Clouds{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, clouds.Close())
			closeAll(o.Listeners[:])
		}
	}()
	for i, name := range Names {
		c := &Cloud{Name: name, Token: newToken(), URL: "http://" + o.Listeners[i].Addr().String()}
		clouds.All[i] = c
		// Each machine is another, so that an answer of the wrong cloud is seen.
		c.machine = machine.New(3*o.Seed+uint64(i), o.Now.Truncate(time.Second).Add(-Rows*Step), Step)
		if c.store, err = boltstore.Open(filepath.Join(dir, name+".db"), boltstore.Options{}); err != nil {
			return nil, err
		}
		err = c.fill(ctx, func(n int) {
			if o.Wrote != nil {
				o.Wrote(i*Rows+n, len(Names)*Rows)
			}
		})
		if err != nil {
			return nil, err
		}
		if err = c.cool(filepath.Join(dir, name+"-cold")); err != nil {
			return nil, err
		}
		if err = c.serve(o.Listeners[i], clouds.page); err != nil {
			return nil, err
		}
	}
	if o.Corrupt {
		if err = clouds.All[1].corrupt(ctx); err != nil {
			return nil, err
		}
	}
	return clouds, nil
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		_ = l.Close() // it may be closed with its server already
	}
}

func newToken() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails, see crypto/rand
	return hex.EncodeToString(b)
}

// fill makes the machine's past, and writes into hot storage what is not only in cold
// storage.
func (c *Cloud) fill(ctx context.Context, wrote func(int)) error {
	c.truth = make([]hotreader.Record, Rows)
	for i := range c.truth {
		c.truth[i] = c.machine.Next()
	}
	for i := 0; i < Rows; i += chunk {
		if err := c.store.Write(ctx, Device, c.truth[max(i, min(hotFrom, i+chunk)):i+chunk]); err != nil {
			return err
		}
		wrote(i + chunk)
	}
	return nil
}

func (c *Cloud) serve(l net.Listener, page func(http.ResponseWriter, *http.Request) bool) error {
	token, err := identity.Static(c.Token)
	if err != nil {
		return err
	}
	devices, err := devices()
	if err != nil {
		return err
	}
	handler, err := httpapi.New(httpapi.Options{Source: c.history(), Catalog: devices, Token: token, Rate: -1, Version: Version, Page: page})
	if err != nil {
		return err
	}
	c.server = httpapi.Server(handler)
	go c.server.Serve(l) //nolint:errcheck // it ends when the clouds are closed; a failure before shows in every check
	return nil
}

// history is what the cloud's API serves.
func (c *Cloud) history() hotreader.Source {
	return route.Tiers(route.Tier{Name: "hot storage", Source: c.store}, route.Tier{Name: "cold storage", Source: c.cold})
}

// devices is each cloud's catalogue.
func devices() (*catalog.Catalog, error) {
	pump := catalog.Device{ID: Device, Type: "pump"}
	for _, p := range machine.Properties() {
		pump.Properties = append(pump.Properties, catalog.Property{Name: p.Name, Type: p.Type, Unit: p.Unit})
	}
	return catalog.Of([]catalog.Device{pump})
}

// corrupt raises one stored temperature by a hundredth.
func (c *Cloud) corrupt(ctx context.Context) error {
	for _, r := range c.truth[Rows/3:] {
		for i, f := range r.Fields {
			if f.Name != "temperature" {
				continue
			}
			was, _ := f.Value.Float64()
			r.Fields = append([]hotreader.Field(nil), r.Fields...)
			r.Fields[i].Value = hotreader.NumberValue(fmt.Appendf(nil, "%.2f", was+0.01))
			return c.store.Write(ctx, Device, []hotreader.Record{r})
		}
	}
	return nil
}

// Live makes the machines report every second, first at start, which must come
// after all that was written.
func (c *Clouds) Live(start time.Time) {
	for _, cloud := range c.All {
		cloud.machine.Resume(start, time.Second)
	}
}

// Tick lets each machine report once more, and returns the first one's record.
func (c *Clouds) Tick(ctx context.Context) (first hotreader.Record, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, cloud := range c.All {
		r := cloud.machine.Next()
		cloud.truth = append(cloud.truth, r)
		if i == 0 {
			first = r
		}
		if err := cloud.store.Write(ctx, Device, []hotreader.Record{r}); err != nil {
			return first, err
		}
	}
	return first, nil
}

// Close ends the servers, closes the stores and removes their directory.
func (c *Clouds) Close() error {
	var all []error
	for _, cloud := range c.All {
		if cloud == nil {
			continue
		}
		if cloud.server != nil {
			all = append(all, cloud.server.Close())
		}
		if cloud.store != nil {
			all = append(all, cloud.store.Close())
		}
		if cloud.bucket != nil {
			all = append(all, cloud.bucket.Close())
		}
	}
	return errors.Join(append(all, os.RemoveAll(c.dir))...)
}
