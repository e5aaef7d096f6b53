// Package punctual gives each write on a connection a deadline. A program that reads
// writes, too: TLS answers an update of keys from within a read, where net/http has set
// no deadline, and a peer that takes nothing would hold it for good.
package punctual

import (
	"context"
	"net"
	"sync/atomic"
	"time"
)

// conn is a connection on which a write without a deadline has one.
type conn struct {
	net.Conn
	within time.Duration
	set    atomic.Bool // the deadline of writes is the user's
}

func (c *conn) Write(b []byte) (int, error) {
	if !c.set.Load() {
		_ = c.Conn.SetWriteDeadline(time.Now().Add(c.within)) // Write says what is wrong
	}
	return c.Conn.Write(b)
}

func (c *conn) SetDeadline(t time.Time) error {
	if err := c.Conn.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	if c.set.Store(!t.IsZero()); t.IsZero() {
		t = time.Now().Add(c.within) // for a write that is under way
	}
	return c.Conn.SetWriteDeadline(t)
}

// listener accepts such connections.
type listener struct {
	net.Listener
	within time.Duration
}

// Listener returns l, on whose connections a write without a deadline ends within a time.
// It belongs below TLS.
func Listener(l net.Listener, within time.Duration) net.Listener { return &listener{l, within} }

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, within: l.within}, nil
}

// A DialFunc connects, as net.Dialer.DialContext does.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Dial returns dial, on whose connections a write without a deadline ends within a time,
// and which makes few for one [Attempt].
func Dial(dial DialFunc, within time.Duration) DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if err := dialled(ctx); err != nil {
			return nil, err
		}
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &conn{Conn: c, within: within}, nil
	}
}
