package function

import (
	"net/http"
	"testing"
)

// The caller's address is what the platform's front says, and not what a caller
// has written before.
func TestAddress(t *testing.T) {
	for _, c := range []struct {
		header []string
		want   string
	}{
		{nil, "invalid IP"},
		{[]string{"192.0.2.1"}, "192.0.2.1"},
		{[]string{"192.0.2.1:4711"}, "192.0.2.1"},
		{[]string{"192.0.2.9, 192.0.2.1"}, "192.0.2.1"},
		{[]string{"192.0.2.9", "192.0.2.8,192.0.2.1:80"}, "192.0.2.1"},
		{[]string{"2001:db8::1"}, "2001:db8::1"},
		{[]string{"nonsense, [2001:db8::1]:80"}, "2001:db8::1"},
		{[]string{"192.0.2.1, unknown"}, "invalid IP"},
		{[]string{""}, "invalid IP"},
	} {
		if got := forwarded(&http.Request{Header: http.Header{"X-Forwarded-For": c.header}}); got.String() != c.want {
			t.Errorf("%q: %s, want %s", c.header, got, c.want)
		}
	}
}
