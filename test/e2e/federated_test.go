//go:build engines

package e2e

import (
	"strings"
	"testing"

	"hotreader/test/serving"
)

// federated starts, beside those of the world, the three APIs and the six readers on
// another cloud once more. Here the readers show what their cloud signs for them: the
// shared token is another one on each side, and is the dashboards'.
func (w *world) federated(t *testing.T) (paths []*path) {
	t.Helper()
	const audience = "hotreader-machine"
	signers := map[string]*serving.Signer{}
	var trust []string
	for _, cloud := range clouds {
		signers[cloud] = serving.NewSigner(t, cloud)
		trust = append(trust, signers[cloud].Trusted(audience))
	}
	for _, l3 := range clouds {
		there := w.serve(t, l3, map[string]string{"HOTREADER_TRUST": "[" + strings.Join(trust, ",") + "]", "INTER_CLOUD_TOKEN": serving.Rotated})
		for _, l4 := range clouds {
			if l4 != l3 {
				p := w.pathTo(t, l4, l3, there, signers[l4].Env(audience))
				paths = append(paths, p)
			}
		}
	}
	t.Cleanup(func() {
		for cloud, s := range signers {
			want := int64(2) // one for each reader, for an hour
			if cloud == "aws" {
				want = 4 // each of these is two functions
			}
			if n := s.Signed.Load(); n != want {
				t.Errorf("%s signed %d tokens, want %d", cloud, n, want)
			}
		}
	})
	return paths
}

// checkFederated asks each of these paths in pages, and for the last entry.
func (w *world) checkFederated(t *testing.T, newest point) {
	for _, p := range w.federated(t) {
		for _, a := range asks() {
			if a.name != "paged" {
				continue
			}
			points, err := all(t.Context(), p.edge, a)
			if wrong := a.difference(points, a.want(w.truth)); err != nil || wrong != "" {
				t.Errorf("%v: %v; %s", p, err, wrong)
			}
		}
		if last, err := p.edge.last(t.Context()); err != nil || last.value != newest.value {
			t.Errorf("%v: %v, %v", p, last, err)
		}
	}
}
