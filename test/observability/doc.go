// Package seeing tests observability: it looks at the real programs from outside, as an operator does: a
// collector gets their traces and metrics, Prometheus their page.
package seeing
