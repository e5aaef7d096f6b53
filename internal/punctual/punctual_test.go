package punctual_test

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"hotreader/internal/punctual"
)

// one accepts one connection.
type one struct{ net.Conn }

func (l one) Accept() (net.Conn, error) { return l.Conn, nil }
func (l one) Addr() net.Addr            { return l.LocalAddr() }

func TestWritesEnd(t *testing.T) {
	for name, wrap := range map[string]func(net.Conn) (net.Conn, error){
		"listener": func(c net.Conn) (net.Conn, error) { return punctual.Listener(one{c}, 5*time.Second).Accept() },
		"dialer": func(c net.Conn) (net.Conn, error) {
			return punctual.Dial(func(context.Context, string, string) (net.Conn, error) { return c, nil }, 5*time.Second)(t.Context(), "", "")
		},
	} {
		for _, c := range []struct {
			name string
			set  func(net.Conn) error
			want time.Duration
		}{
			{"no deadline", func(net.Conn) error { return nil }, 5 * time.Second},
			{"one of the user's", func(c net.Conn) error { return c.SetWriteDeadline(time.Now().Add(time.Minute)) }, time.Minute},
			{"of both ways", func(c net.Conn) error { return c.SetDeadline(time.Now().Add(time.Second)) }, time.Second},
			{"taken back", func(c net.Conn) error {
				return errors.Join(c.SetWriteDeadline(time.Now().Add(time.Minute)), c.SetWriteDeadline(time.Time{}))
			}, 5 * time.Second},
			{"taken back within the write", func(c net.Conn) error {
				time.AfterFunc(time.Second, func() { _ = c.SetDeadline(time.Time{}) })
				return c.SetWriteDeadline(time.Now().Add(time.Minute))
			}, 6 * time.Second},
		} {
			t.Run(name+"/"+c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					near, far := net.Pipe() // far reads nothing
					defer far.Close()
					conn, err := wrap(near)
					if err != nil {
						t.Fatal(err)
					}
					defer conn.Close()
					if err := c.set(conn); err != nil {
						t.Fatal(err)
					}
					began := time.Now()
					if _, err := conn.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != c.want {
						t.Errorf("after %v: %v", time.Since(began), err)
					}
				})
			})
		}
	}
}
