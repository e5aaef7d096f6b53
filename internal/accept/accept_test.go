package accept

import "testing"

func TestQuality(t *testing.T) {
	for _, c := range []struct {
		header string
		names  []string
		want   float64
	}{
		{"", []string{"text/csv"}, 0},
		{"text/csv", []string{"text/csv"}, 1},
		{"TEXT/CSV; charset=utf-8", []string{"text/csv"}, 1},
		{"a/b, text/csv;q=0.3", []string{"text/csv"}, 0.3},
		{"text/csv;q=2", []string{"text/csv"}, 0},
		{"text/csv;q=x", []string{"text/csv"}, 0},
		{"text/*", []string{"text/csv"}, 0},
		{"gzip;q=0, *", []string{"gzip", "*"}, 0},
		{"*;q=0.1", []string{"gzip", "*"}, 0.1},
		{"br, GZIP ; Q=0.000", []string{"gzip", "*"}, 0},
		{"identity, *;q=0", []string{"gzip", "*"}, 0},
		{"identity", []string{"gzip", "*"}, 0},
		{"gzipped, x-gzip", []string{"gzip", "*"}, 0},
		{" Gzip;q=0.5 , *;q=0", []string{"gzip", "*"}, 0.5},
		{",,;=", []string{"gzip"}, 0},
	} {
		if got := Quality([]string{c.header}, c.names...); got != c.want {
			t.Errorf("%q for %v: %v, want %v", c.header, c.names, got, c.want)
		}
	}
}
