// Package seeing looks at the real programs from outside, as an operator does: a
// collector gets their traces and metrics, Prometheus their page, CloudWatch their
// log; and it holds the dashboard, the alerts and the documents against them.
package seeing
