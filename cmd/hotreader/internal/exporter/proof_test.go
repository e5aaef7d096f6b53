//go:build proof

package exporter

import "testing"

func TestProofKilled(t *testing.T) { kill(t, 50) }
