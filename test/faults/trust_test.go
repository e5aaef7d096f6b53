package faults

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hotreader"
	"hotreader/test/authority"
	"hotreader/test/serving"
)

// trusting makes a reader trust a and count its connections in dials.
func trusting(a *authority.Authority, dials *atomic.Int64) func(*setup) {
	return func(s *setup) {
		transport := s.remote.Client.Transport.(*http.Transport)
		transport.Proxy = nil
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		transport.TLSClientConfig.RootCAs.AddCert(a.Cert)
		dial := transport.DialContext
		transport.DialContext = func(ctx context.Context, network, to string) (net.Conn, error) {
			dials.Add(1)
			return dial(ctx, network, to)
		}
	}
}

// Without trust there is no request: the token is not sent, and there is no retry.
func TestTLS(t *testing.T) {
	t.Parallel()
	store := filled(t)
	want := localAnswers(t, store)
	ours, other := authority.New(t), authority.New(t)
	old := ours.Issue(t, nil)
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	mutual := ours.Issue(t, nil)
	mutual.ClientAuth = tls.RequireAnyClientCert
	for _, c := range []struct {
		name   string
		config *tls.Config
		code   hotreader.Code // "" = all comes
		dials  int64
		change func(*http.Transport)
	}{
		{"all well", ours.Issue(t, nil), "", 1, nil},
		{"expired", ours.Issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), hotreader.CodeConfig, 1, nil},
		{"not yet valid", ours.Issue(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }), hotreader.CodeConfig, 1, nil},
		{"wrong host", ours.Issue(t, func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"other.invalid"} }), hotreader.CodeConfig, 1, nil},
		{"unknown authority", other.Issue(t, nil), hotreader.CodeConfig, 1, nil},
		{"not for servers", ours.Issue(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), hotreader.CodeConfig, 1, nil},
		{"TLS 1.1", old, hotreader.CodeConfig, 1, nil},
		{"no TLS at all", nil, hotreader.CodeConfig, 1, nil},
		{"wants a certificate of ours", mutual, hotreader.CodeConfig, 1, nil},
		{"our clock a year ahead", ours.Issue(t, nil), hotreader.CodeConfig, 1, func(h *http.Transport) {
			h.TLSClientConfig.Time = func() time.Time { return time.Now().AddDate(1, 0, 0) }
		}},
		{"our clock a year behind", ours.Issue(t, nil), hotreader.CodeConfig, 1, func(h *http.Transport) {
			h.TLSClientConfig.Time = func() time.Time { return time.Now().AddDate(-1, 0, 0) }
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var dials atomic.Int64
			g := newFaultServer(t, apiOf(t, store), c.config, never())
			url := "https" + strings.TrimPrefix(strings.TrimPrefix(g.url, "https"), "http")
			for name := range want {
				dials.Store(0)
				r := remoteAt(t, url, trusting(ours, &dials), func(s *setup) {
					if c.change != nil {
						c.change(s.remote.Client.Transport.(*http.Transport))
					}
				})
				got, err := functions(r)[name].Invoke(limited(t), event())
				if c.code != "" {
					checkFailure(t, got, err, c.code)
				} else if err != nil || !bytes.Equal(got, want[name]) {
					t.Errorf("%.200s, %v", got, err)
				}
				if n := dials.Load(); n != c.dials {
					t.Errorf("%s: %d connections, want %d", name, n, c.dials)
				}
			}
			if n := g.requests.Load(); c.code != "" && n > 0 {
				t.Errorf("%d requests came through, with the token", n)
			}
		})
	}
}

// TLS is cut or damaged on the network, over HTTP/1.1 and HTTP/2, with a peer of row
// streams and with one that knows only JSON, which has no checksum of its own.
func TestTLSOnABadLine(t *testing.T) {
	t.Parallel()
	store := filled(t)
	want := stored(t, store, history())
	ours := authority.New(t)
	for peer, api := range peers(t, store) {
		for _, protocol := range []string{"http/1.1", "h2"} {
			t.Run(peer+" over "+protocol, func(t *testing.T) {
				t.Parallel()
				config := ours.Issue(t, nil)
				config.NextProtos = []string{protocol}
				server := newServer(t, api, config)
				recovered := 0
				for i := range 12 {
					at := i * 263 // within the handshake first, then the answer
					url := "https://" + serving.Proxy(t, server, func(connection, sent int, p []byte) bool {
						if connection > 1 || at < sent || at >= sent+len(p) {
							return false
						}
						p[at-sent] ^= 1 << (i % 8)
						return i%3 == 0
					})
					var dials atomic.Int64
					got, err := collect(limited(t), t, remoteAt(t, url, trusting(ours, &dials)), history())
					if wrong := difference(got, want, err == nil); wrong != "" {
						t.Errorf("byte %d: %s (%v)", at, wrong, err)
					}
					// A broken handshake may look as if the peer refused it.
					if code := hotreader.CodeOf(err); err != nil && code != hotreader.CodeConfig {
						t.Errorf("byte %d: %v", at, err)
					}
					if err == nil && dials.Load() > 1 {
						recovered++
					}
				}
				if recovered < 3 {
					t.Errorf("%d reads recovered: the line was hardly ever bad", recovered)
				}
			})
		}
	}
}

// A handshake that breaks or never ends is a failure of the network, which may pass.
func TestTLSHandshakeBreaks(t *testing.T) {
	t.Parallel()
	for name, hang := range map[string]bool{"hung up": false, "never ends": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := serving.Accept(t, func(_ int, c net.Conn) {
				if hang {
					_, _ = c.Read(make([]byte, 1<<16)) // the hello
					_, _ = c.Read(make([]byte, 1))     // until the caller leaves
				}
			})
			var dials atomic.Int64
			r := remoteAt(t, "https://"+addr, trusting(authority.New(t), &dials), func(s *setup) {
				s.remote.Client.Transport.(*http.Transport).TLSHandshakeTimeout = 100 * time.Millisecond
			})
			rows, err := collect(limited(t), t, r, history())
			if len(rows) > 0 || hotreader.CodeOf(err) != hotreader.CodeUnavailable || dials.Load() != 4 {
				t.Errorf("%d rows, %v, %d connections", len(rows), err, dials.Load())
			}
		})
	}
}

// nameServer starts a DNS server that answers each question with a code; with 127.0.0.1
// if the code is 0 and the question asks for an IPv4 address; not at all if the code is
// negative. asked counts the questions.
func nameServer(t testing.TB, code func(question int) int) (addr string, asked *atomic.Int64) {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	asked = new(atomic.Int64)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			rcode := code(int(asked.Add(1)))
			end := bytes.IndexByte(buf[12:n], 0) + 12 + 5 // the name, type and class
			if rcode < 0 || end > n {
				continue
			}
			answer := append([]byte(nil), buf[:end]...)
			answer[2], answer[3] = 0x81, 0x80|byte(rcode)
			clear(answer[6:12])
			if rcode == 0 && binary.BigEndian.Uint16(answer[end-4:]) == 1 { // A
				answer[7] = 1
				answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1)
			}
			_, _ = c.WriteTo(answer, from)
		}
	}()
	return c.LocalAddr().String(), asked
}

// withNameServer makes a reader use the name server at addr, with a timeout for each
// connection.
func withNameServer(addr string, timeout time.Duration) func(*setup) {
	return func(s *setup) {
		dialer := net.Dialer{Timeout: timeout, Resolver: &net.Resolver{PreferGo: true,
			Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "udp", addr)
			}}}
		transport := s.remote.Client.Transport.(*http.Transport)
		transport.Proxy = nil
		transport.DialContext = dialer.DialContext
	}
}

// If a host has no address, the URL is wrong. A name server that fails or does not
// answer is a failure that may pass.
func TestNames(t *testing.T) {
	t.Parallel()
	store := filled(t)
	want := stored(t, store, history())
	ours := authority.New(t)
	config := ours.Issue(t, func(c *x509.Certificate) { c.DNSNames = []string{"peer.invalid"} })
	g := newFaultServer(t, apiOf(t, store), config, never())
	url := strings.Replace(g.url, "127.0.0.1", "peer.invalid", 1)
	const fails, unknown, silent = 2, 3, -1
	for _, c := range []struct {
		name     string
		answer   int
		code     hotreader.Code
		attempts int64
	}{
		{"all well", 0, "", 1},
		{"no such name", unknown, hotreader.CodeConfig, 1},
		{"the name server fails", fails, hotreader.CodeUnavailable, 4},
		{"the name server is silent", silent, hotreader.CodeUnavailable, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			addr, asked := nameServer(t, func(int) int { return c.answer })
			var dials atomic.Int64
			stats := new(hotreader.Stats)
			timeout := within
			if c.answer == silent {
				timeout = 200 * time.Millisecond
			}
			got, err := collect(hotreader.WithStats(limited(t), stats), t, remoteAt(t, url, trusting(ours, &dials), withNameServer(addr, timeout)), history())
			if hotreader.CodeOf(err) != c.code || stats.Attempts.Load() != c.attempts {
				t.Errorf("%v after %d attempts", err, stats.Attempts.Load())
			}
			if wrong := difference(got, want, true); (c.code == "") != (wrong == "") || c.code != "" && len(got) > 0 {
				t.Errorf("%d rows; %s", len(got), wrong)
			}
			if asked.Load() == 0 {
				t.Error("the name server was not asked: this shows nothing")
			}
		})
	}
	t.Run("fails at first", func(t *testing.T) {
		t.Parallel()
		var healthy atomic.Bool
		addr, asked := nameServer(t, func(int) int {
			if healthy.Load() {
				return 0
			}
			return fails
		})
		var dials atomic.Int64
		r := remoteAt(t, url, trusting(ours, &dials), withNameServer(addr, within), func(s *setup) {
			transport := s.remote.Client.Transport.(*http.Transport)
			dial := transport.DialContext
			transport.DialContext = func(ctx context.Context, network, to string) (net.Conn, error) {
				c, err := dial(ctx, network, to)
				healthy.Store(true) // for the next attempt
				return c, err
			}
		})
		got, err := collect(limited(t), t, r, history())
		if dials := asked.Load(); dials < 2 {
			t.Errorf("the name server was asked %d times", dials)
		}
		if wrong := difference(got, want, true); err != nil || wrong != "" {
			t.Errorf("%v; %s", err, wrong)
		}
	})
}
