package endpoint

import "testing"

func TestLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1": true, "127.9.8.7": true, "::1": true, "::ffff:127.0.0.1": true, "localhost": true, "LocalHost": true,
		"": false, "0.0.0.0": false, "::": false, "192.0.2.7": false, "169.254.169.254": false, "::ffff:192.0.2.7": false,
		"127.0.0.1.example.com": false, "localhost.example.com": false, "host.docker.internal": false, "dynamodb": false, "127.1": false,
	} {
		if got := Loopback(host); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
}
