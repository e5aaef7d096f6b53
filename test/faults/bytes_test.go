package faults

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"hotreader"
	"hotreader/identity"
	"hotreader/route"
	"hotreader/store/memstore"
	"hotreader/wire"
)

// sampled returns offsets at which to cut an answer of n bytes: those that are named,
// and many random ones.
func sampled(n, many int, named ...int) []int {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	places := slices.Clone(named)
	for range many {
		places = append(places, rng.IntN(n))
	}
	slices.Sort(places)
	return slices.Compact(places)
}

// answerTo returns the row stream with which api answers q.
func answerTo(t testing.TB, api http.Handler, q hotreader.Query) []byte {
	t.Helper()
	req := httptest.NewRequest(http.MethodPost, "/read", bytes.NewReader(wire.NewEnvelope(q, "aws", "").Append(nil)))
	req.Header.Set(identity.TokenHeader, token)
	req.Header.Set("Accept", wire.MediaType)
	rec := httptest.NewRecorder()
	api.ServeHTTP(rec, req)
	if rec.Code != http.StatusOK {
		t.Fatalf("%d: %s", rec.Code, rec.Body)
	}
	return rec.Body.Bytes()
}

// withClient lets several readers share a client's connections.
func withClient(c *http.Client) func(*setup) { return func(s *setup) { s.remote.Client = c } }

// A read resumes an answer that is cut, after any frame or anywhere else, with any
// framing and any end of the connection: all rows come, each once. If every answer is
// cut, an error comes after rows that are right.
func TestCutAnswers(t *testing.T) {
	t.Parallel()
	store := filledFile(t)
	for name, q := range map[string]hotreader.Query{"history": history(), "last entry": newest()} {
		want, err := collect(t.Context(), t, store, q)
		if err != nil || len(want) == 0 {
			t.Fatal(len(want), err)
		}
		for peer, api := range peers(t, store) {
			var places []int
			want := want
			if peer == "JSON" && q.Last { // such an answer has no times
				g := newFaultServer(t, api, nil, never())
				if want, err = collect(limited(t), t, remoteAt(t, g.url), q); err != nil || len(want) != 1 {
					t.Fatal(want, err)
				}
			}
			if peer == "rows" {
				ends, err := frameEnds(answerTo(t, api, q))
				if err != nil {
					t.Fatal(err)
				}
				if name == "history" && len(ends) != 5 {
					t.Fatalf("frames end at %v: not the three that are wanted, and the end mark", ends)
				}
				whole := ends[len(ends)-1]
				places = sampled(whole, 10, append(ends[:len(ends)-1], 0, 1, whole-1)...)
			} else {
				places = sampled(300, 4, 0, 1, 250)
			}
			for _, f := range framings {
				for _, e := range []ending{hangUp, reset} {
					t.Run(fmt.Sprintf("%s/%s/%s/%s", name, peer, f, e), func(t *testing.T) {
						t.Parallel()
						client := newClient()
						defer client.CloseIdleConnections()
						for _, at := range places {
							g := newFaultServer(t, api, nil, first(1, cuts(f, at, e)))
							got, err := collect(limited(t), t, remoteAt(t, g.url, withClient(client)), q)
							if peer == "JSON" && at == 0 && f == byClose && e == hangUp {
								// To HTTP, that is an empty answer.
								if hotreader.CodeOf(err) != hotreader.CodeProtocol || len(got) > 0 || g.requests.Load() != 1 {
									t.Errorf("empty: %d rows, %v", len(got), err)
								}
								continue
							}
							if wrong := difference(got, want, true); err != nil || wrong != "" {
								t.Errorf("cut at %d: %v; %s", at, err, wrong)
							}
							if n := g.requests.Load(); n != 2 {
								t.Errorf("cut at %d: %d requests, want 2", at, n)
							}
						}
						for _, at := range []int{1, 40, -1} {
							g := newFaultServer(t, api, nil, always(cuts(f, at, e)))
							got, err := collect(limited(t), t, remoteAt(t, g.url, withClient(client)), q)
							if wrong := difference(got, want, false); hotreader.CodeOf(err).Temporary() == false || wrong != "" {
								t.Errorf("always cut at %d: %d rows, %v; %s", at, len(got), err, wrong)
							}
							if n := g.requests.Load(); n != 4 {
								t.Errorf("always cut at %d: %d requests, want 4", at, n)
							}
						}
					})
				}
			}
		}
	}
}

// A checksum finds a flipped bit anywhere in a row stream, and the read resumes before
// it. A flipped bit in HTTP's head or framing gives an error or the same rows, never
// other rows.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	store := filled(t)
	q := history()
	want := stored(t, store, q)
	api := apiOf(t, store)
	size := len(answerTo(t, api, q))
	client := newClient()
	t.Cleanup(client.CloseIdleConnections)
	read := func(t *testing.T, script func(int) fault) (int, []hotreader.Row, error) {
		g := newFaultServer(t, api, nil, script)
		got, err := collect(limited(t), t, remoteAt(t, g.url, withClient(client), withIdle(5*time.Second)), q)
		if wrong := difference(got, want, err == nil); wrong != "" {
			t.Fatalf("%s (%v)", wrong, err)
		}
		g.close()
		return int(g.requests.Load()), got, err
	}
	const step = 7
	for part := range 4 {
		t.Run(fmt.Sprintf("body %d", part), func(t *testing.T) {
			t.Parallel()
			for at := part * step; at < size; at += 4 * step {
				f := flips(framings[at%len(framings)], at, at%8)
				n, _, err := read(t, first(1, f))
				switch {
				case at < 5: // in "HROW" or in the version
					if hotreader.CodeOf(err) != hotreader.CodeProtocol || n != 1 {
						t.Errorf("byte %d: %v after %d requests", at, err, n)
					}
				case err != nil || n != 2:
					t.Errorf("byte %d: %v after %d requests", at, err, n)
				}
			}
		})
	}
	t.Run("last entry", func(t *testing.T) {
		t.Parallel()
		q := newest()
		want, err := collect(t.Context(), t, store, q)
		if err != nil || len(want) == 0 {
			t.Fatal(want, err)
		}
		for at := 5; at < len(answerTo(t, api, q)); at += 5 {
			g := newFaultServer(t, api, nil, first(1, flips(framings[at%len(framings)], at, at%8)))
			got, err := collect(limited(t), t, remoteAt(t, g.url, withClient(client), withIdle(5*time.Second)), q)
			if wrong := difference(got, want, true); err != nil || wrong != "" || g.requests.Load() != 2 {
				t.Errorf("byte %d: %v; %s; %d requests", at, err, wrong, g.requests.Load())
			}
			g.close()
		}
	})
	t.Run("head", func(t *testing.T) {
		t.Parallel()
		for at := 0; at < 400; at += 3 {
			f := flips(framings[at%len(framings)], -1-at, at%8)
			n, _, err := read(t, first(1, f))
			if n > 2 || err != nil && n != 1 {
				t.Errorf("byte %d: %v after %d requests", at, err, n)
			}
		}
	})
	t.Run("each time", func(t *testing.T) {
		t.Parallel()
		for _, at := range []int{8, 50, last} {
			n, got, err := read(t, always(flips(chunked, at, 3)))
			if hotreader.CodeOf(err) != hotreader.CodeCorrupt || n != 4 || len(got) == len(want) && at != last {
				t.Errorf("byte %d: %d rows, %v after %d requests", at, len(got), err, n)
			}
		}
	})
}

// Frames that are valid but belong to another answer are rejected.
func TestAnswerToAnother(t *testing.T) {
	t.Parallel()
	store := filled(t)
	api := apiOf(t, store)
	other := memstore.New()
	if err := other.Write(t.Context(), device, records()[100:200]); err != nil {
		t.Fatal(err)
	}
	foreign := answerTo(t, apiOf(t, other), history())
	whole := answerTo(t, api, history())
	ends, err := frameEnds(whole)
	if err != nil {
		t.Fatal(err)
	}
	want := stored(t, store, history())
	for name, b := range map[string][]byte{
		"the end of another":    slices.Concat(whole[:ends[1]], foreign[11:]),
		"a frame less":          slices.Concat(whole[:ends[1]], whole[ends[2]:]),
		"a frame twice":         slices.Concat(whole[:ends[1]], whole[ends[0]:]),
		"frames in wrong order": slices.Concat(whole[:ends[0]], whole[ends[1]:ends[2]], whole[ends[0]:ends[1]], whole[ends[2]:]),
		"the end mark alone":    slices.Concat(whole[:ends[0]], whole[ends[3]:]),
		"two answers":           slices.Concat(whole[:ends[3]], whole),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newFaultServer(t, api, nil, first(1, ok(wire.MediaType, string(b))))
			got, err := collect(limited(t), t, remoteAt(t, g.url), history())
			if wrong := difference(got, want, true); err != nil || wrong != "" || g.requests.Load() != 2 {
				t.Errorf("%v; %s; %d requests", err, wrong, g.requests.Load())
			}
		})
	}
	t.Run("retries", func(t *testing.T) { // a single one, so that its error shows
		t.Parallel()
		g := newFaultServer(t, api, nil, always(ok(wire.MediaType, string(whole[:ends[1]])+string(foreign[11:]))))
		_, err := collect(limited(t), t, remoteAt(t, g.url, func(s *setup) { s.retry = route.RetryOptions{Retries: 1, Base: 1} }), history())
		if hotreader.CodeOf(err) != hotreader.CodeProtocol { // the rows are outside of the range that the retry asks for
			t.Error(err)
		}
	})
}
