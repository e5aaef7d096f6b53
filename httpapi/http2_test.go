package httpapi_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hotreader/httpapi"
)

// h2frame is one of HTTP/2.
func h2frame(kind, flags byte, stream uint32, payload string) string {
	head := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind)) // 24 bits of length
	return string(binary.BigEndian.AppendUint32(append(head, flags), stream)) + payload
}

// get is a request whose head is whole, of headers in HPACK.
func get(stream uint32, path, headers string) string {
	return h2frame(1, 5, stream, "\x82\x86\x04"+string(byte(len(path)))+path+"\x01\x01x"+headers)
}

// talk has the API serve one connection over HTTP/2, whose client gives no window to
// answers. A caller may send, and each frame that comes goes to see, unless that is nil.
func talk(t *testing.T, see func(kind byte, stream uint32, payload []byte)) (send func(string) error) {
	t.Helper()
	h, err := httpapi.New(httpapi.Options{Source: series{n: 1}, Token: static(t, current), Page: func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Header["Cookie"] != nil {
			t.Error("cookies are held while an answer waits")
		}
		return r.URL.Path == "/page"
	}})
	if err != nil {
		t.Fatal(err)
	}
	s := httpapi.Server(h)
	s.Protocols = new(http.Protocols)
	s.Protocols.SetUnencryptedHTTP2(true)
	near, far := net.Pipe()
	conns := make(chan net.Conn, 1)
	conns <- near
	var served sync.WaitGroup
	served.Go(func() { _ = s.Serve(accepted(conns)) })
	t.Cleanup(func() {
		far.Close()
		close(conns)
		s.Close()
		served.Wait()
	})
	if see != nil {
		served.Go(func() {
			for head := make([]byte, 9); ; {
				if _, err := io.ReadFull(far, head); err != nil {
					return
				}
				payload := make([]byte, binary.BigEndian.Uint32(head)>>8)
				if _, err := io.ReadFull(far, payload); err != nil {
					return
				}
				see(head[3], binary.BigEndian.Uint32(head[5:]), payload)
			}
		})
	}
	send = func(text string) error {
		_, err := io.WriteString(far, text)
		return err
	}
	const noWindow = "\x00\x04\x00\x00\x00\x00"
	if err := send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + h2frame(4, 0, 0, noWindow)); err != nil {
		t.Fatal(err)
	}
	return send
}

// accepted is a listener.
type accepted chan net.Conn

func (a accepted) Accept() (net.Conn, error) {
	if c, ok := <-a; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (accepted) Close() error   { return nil }
func (accepted) Addr() net.Addr { return &net.TCPAddr{} }

// Of one connection over HTTP/2 few requests are under way at once; an answer that is not
// taken ends, soon where no token was right.
func TestHTTP2AnswersEnd(t *testing.T) {
	token := "\x00\x13x-inter-cloud-token" + string(byte(len(current))) + current
	for _, c := range []struct {
		path, headers string
		want          time.Duration
	}{
		{"/openapi.json", "", 5 * time.Second}, {"/healthz", token, 5 * time.Second}, {"/v1/devices", "", 5 * time.Second},
		{"/nowhere", token, 30 * time.Second},
	} {
		t.Run(c.path, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				ended, began := map[time.Duration]int{}, time.Now()
				send := talk(t, func(kind byte, _ uint32, _ []byte) {
					mu.Lock()
					defer mu.Unlock()
					if kind == 3 {
						ended[time.Since(began)]++
					}
				})
				for i := range uint32(60) {
					if err := send(get(2*i+1, c.path, c.headers)); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				mu.Lock()
				defer mu.Unlock()
				if want := map[time.Duration]int{0: 44, c.want: 16}; fmt.Sprint(ended) != fmt.Sprint(want) {
					t.Errorf("streams ended: %v, want %v", ended, want)
				}
			})
		})
	}
}

// What a request's headers take is bounded, however few bytes say it.
func TestHTTP2HeadersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var ok []bool // the status is 200
		send := talk(t, func(kind byte, _ uint32, payload []byte) {
			mu.Lock()
			defer mu.Unlock()
			if kind == 1 {
				ok = append(ok, payload[0] == 0x88)
			}
		})
		cookie := "\x60\x7f\xbd\x1d" + strings.Repeat("x", 3900) // which is added to the table
		for i, headers := range []string{cookie, strings.Repeat("\xbe", 8), strings.Repeat("\xbe", 9)} {
			if err := send(get(uint32(2*i+1), "/page", headers)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(ok, []bool{true, true, false}) {
			t.Error(ok)
		}
	})
}

// A connection over HTTP/2 whose client reads nothing ends when an answer's time is over.
func TestHTTP2ConnectionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		send, began := talk(t, nil), time.Now()
		time.Sleep(time.Second / 2) // so that nothing is sent at the moment of the end
		for time.Since(began) < time.Minute && send(h2frame(6, 0, 0, "12345678")) == nil {
			time.Sleep(time.Second)
		}
		if d := time.Since(began); d != 30*time.Second+time.Second/2 {
			t.Errorf("it ended after %s", d)
		}
	})
}
