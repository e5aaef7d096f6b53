package faults

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"hotreader"
	"hotreader/httpapi"
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

// newServer starts a real server, for tests that need no control over its bytes, and
// returns its address. It ends with the test.
func newServer(t testing.TB, api http.Handler, config *tls.Config) (addr string) {
	t.Helper()
	s := httptest.NewUnstartedServer(api)
	s.Config.ErrorLog = quiet
	if config == nil {
		s.Start()
	} else {
		s.TLS = config
		s.EnableHTTP2 = len(config.NextProtos) > 0 && config.NextProtos[0] == "h2"
		s.StartTLS()
	}
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// pages is a store that reads page by page. It calls before for each page of each read,
// both counted from 1; before may wait, or fail the read.
type pages struct {
	hotreader.Source
	size   int
	before func(ctx context.Context, read, page int) error
	reads  atomic.Int64
}

func (p *pages) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		read, n := int(p.reads.Add(1)), 0
		for row, err := range p.Source.Scan(ctx, q) {
			if err == nil && n%p.size == 0 {
				err = p.before(ctx, read, n/p.size+1)
			}
			n++
			if !yield(row, err) || err != nil {
				return
			}
		}
	}
}

// takes waits for d; it fails if ctx ends before.
func takes(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return &hotreader.Error{Op: "store", Code: hotreader.CodeOf(ctx.Err()), Err: ctx.Err()}
	}
}

// An API's store throttles or fails, before the first row or on its seventh page, which
// begins in the third frame of the answer.
func TestStoreFaults(t *testing.T) {
	t.Parallel()
	store := filledFile(t)
	const size = 55
	fails := func(code hotreader.Code) error {
		return &hotreader.Error{Op: "dynamodb: arn:aws:secret", Code: code, Err: errors.New("inside")}
	}
	for _, code := range []hotreader.Code{hotreader.CodeThrottled, hotreader.CodeStore, hotreader.CodeUnavailable, hotreader.CodeInternal,
		hotreader.CodeNotFound, hotreader.CodeCorrupt, hotreader.CodeDeadline} {
		for _, page := range []int{1, 7} {
			for peer, api := range map[string]func(*httpapi.Options){"rows": func(*httpapi.Options) {}, "JSON": jsonOnly} {
				t.Run(fmt.Sprintf("%s on page %d/%s", code, page, peer), func(t *testing.T) {
					t.Parallel()
					want := stored(t, store, history())
					// The other errors are failures inside the peer, which may pass.
					final := code == hotreader.CodeNotFound
					for _, times := range []int{1, 1 << 30} {
						failing := 0
						p := &pages{Source: store, size: size, before: func(_ context.Context, read, n int) error {
							if n == page && failing < times {
								failing++
								return fails(code)
							}
							return nil
						}}
						addr := newServer(t, apiOf(t, p, api), nil)
						stats := new(hotreader.Stats)
						got, err := collect(hotreader.WithStats(limited(t), stats), t, remoteAt(t, "http://"+addr), history())
						attempts := stats.Attempts.Load()
						switch wrong := difference(got, want, err == nil); {
						case wrong != "":
							t.Errorf("%d times: %s (%v)", times, wrong, err)
						case final && (!errors.Is(err, code) || attempts != 1):
							t.Errorf("%d times: %v after %d attempts", times, err, attempts)
						case !final && times == 1 && (err != nil || attempts != 2):
							t.Errorf("once: %v after %d attempts", err, attempts)
						case !final && times > 1 && page == 1 && (!errors.Is(err, code) || !hotreader.CodeOf(err).Temporary() || attempts != 4):
							t.Errorf("each time: %v after %d attempts", err, attempts)
						case !final && times > 1 && page == 7 && peer == "rows" && (err != nil || attempts != 2):
							// The rest of the range has no seventh page.
							t.Errorf("each time: %v after %d attempts", err, attempts)
						}
						if err != nil && strings.Contains(err.Error(), "arn:") {
							t.Errorf("%v tells the inside of the store", err)
						}
					}
				})
			}
		}
	}
}

// The same for a last entry, which is one page: the store fails before its row, once or
// each time, or is too slow for the API's time budget.
func TestStoreFaultsOfLastEntry(t *testing.T) {
	t.Parallel()
	store := filledFile(t)
	want := localAnswers(t, store)["last entry"]
	for _, code := range []hotreader.Code{hotreader.CodeThrottled, hotreader.CodeStore, hotreader.CodeUnavailable, hotreader.CodeInternal,
		hotreader.CodeNotFound, hotreader.CodeCorrupt, hotreader.CodeDeadline, "slow"} {
		for peer, api := range map[string]func(*httpapi.Options){"rows": func(*httpapi.Options) {}, "JSON": jsonOnly} {
			t.Run(string(code)+"/"+peer, func(t *testing.T) {
				t.Parallel()
				for _, times := range []int64{1, 1 << 30} {
					p := &pages{Source: store, size: 1 << 30, before: func(ctx context.Context, read, _ int) error {
						switch {
						case int64(read) > times:
							return nil
						case code == "slow":
							return takes(ctx, time.Hour)
						}
						return &hotreader.Error{Op: "dynamodb: arn:aws:secret", Code: code, Err: errors.New("inside")}
					}}
					limit := func(o *httpapi.Options) {
						if code == "slow" {
							o.MaxTime = 300 * time.Millisecond
						}
					}
					addr := newServer(t, apiOf(t, p, api, limit), nil)
					got, err := functions(remoteAt(t, "http://"+addr))["last entry"].Invoke(limited(t), event())
					final := code == hotreader.CodeNotFound
					switch n := p.reads.Load(); {
					case times == 1 && !final:
						if err != nil || !bytes.Equal(got, want) || n < 2 || code != "slow" && n != 2 {
							t.Errorf("once: %.200s, %v, %d reads", got, err, n)
						}
					case final:
						checkFailure(t, got, err, code)
						if n != 1 {
							t.Errorf("%d reads, want 1", n)
						}
					default: // a deadline or a defect inside the peer may pass
						named := code
						if code == "slow" || code == hotreader.CodeDeadline || code == hotreader.CodeInternal {
							named = hotreader.CodeUnavailable
						}
						checkFailure(t, got, err, named)
						if n != 4 {
							t.Errorf("stays: %d reads, want 4", n)
						}
					}
				}
			})
		}
	}
}

// The seventh page is slow. Within its time budget the API waits for the page. If the
// budget is used up, the API sends the rows before it and says that there are more, and
// the caller asks for the rest.
func TestStoreSlowOnPageSeven(t *testing.T) {
	t.Parallel()
	store := filledFile(t)
	want := stored(t, store, history())
	const size = 55
	slow := func(d time.Duration, reads int) *pages {
		return &pages{Source: store, size: size, before: func(ctx context.Context, read, page int) error {
			if page == 7 && read <= reads {
				return takes(ctx, d)
			}
			return nil
		}}
	}
	for _, c := range []struct {
		name     string
		store    *pages
		time     time.Duration
		attempts int64
	}{
		{"within its time", slow(300*time.Millisecond, 1<<30), 0, 1},
		{"beyond its time, once", slow(time.Hour, 1), time.Second, 2},
		{"beyond its time, each time", slow(time.Hour, 1<<30), time.Second, 2}, // the rest of the range has no seventh page
	} {
		for peer, api := range map[string]func(*httpapi.Options){"rows": func(*httpapi.Options) {}, "JSON": jsonOnly} {
			t.Run(c.name+"/"+peer, func(t *testing.T) {
				t.Parallel()
				p := &pages{Source: c.store.Source, size: size, before: c.store.before}
				addr := newServer(t, apiOf(t, p, api, func(o *httpapi.Options) { o.MaxTime = c.time }), nil)
				stats := new(hotreader.Stats)
				got, err := collect(hotreader.WithStats(limited(t), stats), t, remoteAt(t, "http://"+addr), history())
				if wrong := difference(got, want, true); err != nil || wrong != "" {
					t.Errorf("%v; %s", err, wrong)
				}
				// On a busy machine the time may be up more often.
				if n := stats.Attempts.Load(); n < c.attempts || n > c.attempts+3 {
					t.Errorf("%d attempts, want %d", n, c.attempts)
				}
			})
		}
	}
}

// points returns the number of points in a history, and its nextToken.
func points(t testing.TB, body []byte) (n int, next string) {
	t.Helper()
	var a struct {
		PropertyValues []struct {
			Values []struct{ Time string }
		}
		NextToken string
	}
	if err := json.Unmarshal(body, &a); err != nil {
		t.Fatal(err)
	}
	for _, p := range a.PropertyValues {
		n += len(p.Values)
	}
	return n, a.NextToken
}

// inTwoPages asks f, whose source stands still until it is healthy, for all points:
// some come within the time, the rest behind them.
func inTwoPages(t *testing.T, f lambda.Handler, event []byte, within time.Duration, healthy *atomic.Bool, all int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	body, err := f.Invoke(ctx, event)
	if err != nil {
		t.Fatal(err)
	}
	healthy.Store(true)
	first, next := points(t, body)
	if next == "" || first == 0 || first >= all {
		t.Fatalf("%d of %d points, token %q", first, all, next)
	}
	body, err = f.Invoke(limited(t), bytes.Replace(event, []byte(`"entityId"`), []byte(`"nextToken":"`+next+`","entityId"`), 1))
	if err != nil {
		t.Fatal(err)
	}
	if rest, next := points(t, body); first+rest != all || next != "" {
		t.Errorf("%d and %d of %d points, token %q", first, rest, all, next)
	}
}

// The caller's time is up in the middle of a read: the function answers with the page so
// far and the token of the next one, or says that its time is up. Both pages together
// hold all points.
func TestFunctionsTimeIsUp(t *testing.T) {
	store := filled(t)
	all, _ := points(t, localAnswers(t, store)["history"])
	t.Run("in the middle", func(t *testing.T) {
		t.Parallel()
		var healthy atomic.Bool
		g := newFaultServer(t, apiOf(t, store), nil, func(int) fault {
			if healthy.Load() {
				return nil
			}
			return stalls(middle)
		})
		inTwoPages(t, functions(remoteAt(t, g.url))["history"], event(), 6*time.Second, &healthy, all)
	})
	for name, f := range map[string]fault{"before the head": stalls(start), "bytes one by one, too slowly": drips(100, 50*time.Millisecond)} {
		for function := range functions(nil) {
			t.Run(name+"/"+function, func(t *testing.T) {
				t.Parallel()
				g := newFaultServer(t, apiOf(t, store), nil, always(f))
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				body, err := functions(remoteAt(t, g.url))[function].Invoke(ctx, event())
				checkFailure(t, body, err, hotreader.CodeDeadline)
			})
		}
	}
}
