package twinmaker

import (
	"testing"
)

func TestSmoke(t *testing.T) {
	r := &Responder{Reader: seconds(5, "a", "b")}
	req := ask("a", "b")
	req.MaxResults = 4
	b, err := r.AppendHistory(t.Context(), nil, req)
	t.Logf("%s %v", b, err)
	b, err = r.AppendLastEntry(t.Context(), nil, req)
	t.Logf("%s %v", b, err)
}
