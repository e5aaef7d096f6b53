package httpapi

import (
	"net/http"
	"time"
)

// Server returns an http.Server for h in which no client, however slow or
// large, holds a connection for ever. The handler of New sets the deadlines of
// bodies and answers itself; the timeouts here are for what it does not see.
func Server(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       20 * time.Second,
		WriteTimeout:      sendTime,
		IdleTimeout:       2 * time.Minute, // longer than clients keep a connection, so that they close first
		MaxHeaderBytes:    64 << 10,
	}
}
