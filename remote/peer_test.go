package remote_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"

	"hotreader"
	"hotreader/identity"
	"hotreader/remote"
	"hotreader/wire"
)

const token = "0123456789abcdef0123456789abcdef"

// rows serves a reader's rows as the other cloud does, without its checks. cut > 0 is a
// budget of rows for each answer. With cut < 0 the budget changes: 1, 2, 4, … 1024 rows,
// and again.
func rows(t testing.TB, r hotreader.Source, cut int) http.HandlerFunc {
	var served atomic.Int32
	return func(w http.ResponseWriter, req *http.Request) {
		cut := cut
		if cut < 0 {
			cut = 1 << (served.Add(1) % 11)
		}
		if req.Method != http.MethodPost || req.URL.Path != "/api/read" || req.Header.Get(identity.TokenHeader) != token {
			t.Errorf("%s %s came, token %v", req.Method, req.URL, req.Header.Get(identity.TokenHeader) == token)
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return // the caller went away
		}
		e, err := wire.ParseEnvelope(body)
		if err != nil {
			wire.NewProblem(err, "").Write(w)
			return
		}
		q, err := e.Query()
		if err != nil {
			wire.NewProblem(err, "").Write(w)
			return
		}
		if !q.Last {
			q.Types = slices.Repeat([]hotreader.Type{hotreader.AsStored}, len(q.Properties))
		}
		w.Header().Set("Content-Type", wire.MediaType)
		enc := wire.NewEncoder(w, q)
		defer enc.Close()
		n := 0
		for row, err := range hotreader.Meaning(r).Scan(req.Context(), q) {
			if err == nil && cut > 0 && n == cut && !q.Last { // a last entry is small and not cut
				_ = enc.End(true)
				return
			}
			if err == nil {
				err = enc.Row(row)
			}
			if err != nil {
				_ = enc.Fail(err)
				return
			}
			n++
		}
		_ = enc.End(false)
	}
}

// reader starts a server with a handler and returns a Source that reads from it.
func reader(t testing.TB, h http.Handler, change ...func(*remote.Options)) *remote.Source {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	tok, err := identity.Static(token)
	if err != nil {
		t.Fatal(err)
	}
	client := remote.NewClient()
	t.Cleanup(client.CloseIdleConnections)
	o := remote.Options{URL: server.URL + "/api", Credential: tok, Client: client, SourceCloud: "aws"}
	for _, c := range change {
		c(&o)
	}
	r, err := remote.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
