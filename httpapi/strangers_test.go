package httpapi_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"hotreader/httpapi"
	"hotreader/identity"
)

// However many connections say nothing, or begin a request and go no further, a caller
// with a token gets in and keeps its connection; and they end.
func TestStrangersAreFew(t *testing.T) {
	// So long that only strangers' number ends a connection.
	s := served(t, httpapi.Options{}, func(s *http.Server) { s.ReadHeaderTimeout = time.Minute })
	kept := &http.Client{Transport: &http.Transport{MaxIdleConns: 1}}
	defer kept.CloseIdleConnections()
	ask := func() {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/v1/devices/pump/latest?property=temperature", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(identity.TokenHeader, current)
		resp, err := kept.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("%d, %v", resp.StatusCode, err)
		}
	}
	var all []net.Conn
	for i := range 700 {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i%2 == 1 {
			if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nX-Slow: "); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, c)
		if i%50 == 0 {
			ask()
		}
	}
	ask()
	time.Sleep(3100 * time.Millisecond) // a server's patience
	last, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer last.Close()
	ended, deadline := 0, time.Now().Add(20*time.Second) // for a busy machine
	for _, c := range all[:150] {                        // 700 less the 512 that there may be, and a few that the server has not seen
		if err := c.SetReadDeadline(deadline); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				ended++
			}
		}
	}
	if ended != 150 {
		t.Errorf("%d of the oldest 150 have ended", ended)
	}
}
