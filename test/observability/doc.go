// Package observability looks at the real programs from outside, as an operator does: a
// collector gets their traces and metrics, Prometheus scrapes their metrics endpoint.
package observability
