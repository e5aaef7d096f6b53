package security

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// collector keeps what programs send to their collector of traces and metrics.
type collector struct {
	url string

	mu  sync.Mutex
	got map[string]string // by the header that the program was told to send: requests, whole
}

func newCollector(t testing.TB) *collector {
	t.Helper()
	c := &collector{got: map[string]string{}}
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var b bytes.Buffer
		_ = r.Header.Write(&b) // a buffer takes all
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("the collector got %v", err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.got[r.Header.Get("X-Of")] += r.RequestURI + "\n" + b.String() + string(body) + "\n"
	}))
	t.Cleanup(s.Close)
	c.url = s.URL
	return c
}

// seen returns env with all that there is to be seen turned on, and told to c at
// once, as that of who.
func (c *collector) seen(env map[string]string, who string) map[string]string {
	env = maps.Clone(env)
	if env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": c.url, "OTEL_EXPORTER_OTLP_HEADERS": "X-Of=" + strings.NewReplacer(" ", "-", ",", "").Replace(who),
		"OTEL_TRACES_SAMPLER": "always_on", "OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_METRIC_EXPORT_INTERVAL": "100"})
	return env
}

// searched waits until what who has sent has all of want, and searches it.
func (c *collector) searched(t testing.TB, who string, want ...string) {
	t.Helper()
	who = strings.NewReplacer(" ", "-", ",", "").Replace(who)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		c.mu.Lock()
		got := c.got[who]
		c.mu.Unlock()
		missing := ""
		for _, w := range want {
			if !strings.Contains(got, w) {
				missing = w
			}
		}
		if missing == "" {
			quiet(t, "what its collector got", got)
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the collector did not get %s of %s, but %.3000s", missing, who, got)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
