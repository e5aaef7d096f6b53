package route

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"hotreader"
)

func same(a, b []hotreader.Row) error {
	if len(a) != len(b) {
		return fmt.Errorf("%d rows, want %d", len(a), len(b))
	}
	for i := range a {
		if !a[i].Time.Equal(b[i].Time) || !slices.EqualFunc(a[i].Values, b[i].Values, hotreader.Same) {
			return fmt.Errorf("row %d is %v, want %v", i, a[i], b[i])
		}
	}
	return nil
}

// With any pattern of up to three failures, the series is exact.
func TestRetryAnyPatternOfBreaks(t *testing.T) {
	outer := t
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 30).Draw(t, "rows")
		stored := make([]hotreader.Row, n)
		second := 0
		for i := range stored {
			second += rapid.IntRange(1, 3).Draw(t, "gap")
			value := rapid.SampledFrom([]hotreader.Value{{}, hotreader.Int64Value(int64(i)),
				hotreader.StringValue([]byte("7")), hotreader.StringValue([]byte("x")), hotreader.BoolValue(true)})
			stored[i] = hotreader.Row{Time: at(second), Values: []hotreader.Value{value.Draw(t, "a"), value.Draw(t, "b")}}
		}
		q := hotreader.Query{Device: "d", Properties: []string{"a", "b"},
			Order: rapid.SampledFrom([]hotreader.Order{hotreader.Ascending, hotreader.Descending}).Draw(t, "order"),
			Limit: rapid.IntRange(0, 12).Draw(t, "limit"),
			Last:  rapid.Bool().Draw(t, "last")}
		if rapid.Bool().Draw(t, "filtered") {
			q.Filters = []hotreader.Filter{{Property: "b", Op: hotreader.NotEqual, Value: hotreader.BoolValue(true)}}
		}
		if rapid.Bool().Draw(t, "typed") {
			q.Types = []hotreader.Type{hotreader.Untyped, hotreader.Double}
		}
		breaks := rapid.SliceOfN(rapid.IntRange(0, n), 0, 3).Draw(t, "breaks")
		codes := rapid.SliceOfN(rapid.SampledFrom([]hotreader.Code{hotreader.CodeUnavailable, hotreader.CodeCorrupt,
			hotreader.CodeThrottled, hotreader.CodeOverloaded, hotreader.CodeStore, hotreader.CodeDeadline}), 3, 3).Draw(t, "codes")
		want, err := collect(t.Context(), &rows{rows: stored}, q)
		if err != nil {
			t.Fatal(err)
		}
		peer := &rows{rows: stored, fail: func(attempt, row int) error {
			if attempt < len(breaks) && row == breaks[attempt] {
				return failure(codes[attempt])
			}
			return nil
		}}
		var got []hotreader.Row
		synctest.Test(outer, func(t *testing.T) { // for the waits
			got, err = collect(t.Context(), NewRetry(peer, RetryOptions{}), q)
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := same(got, want); err != nil {
			t.Fatal(err)
		}
	})
}

func TestRetryNeverShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer := &rows{rows: series(5), fail: func(attempt, row int) error {
			if row == 3 {
				return failure(hotreader.CodeUnavailable)
			}
			return nil
		}}
		got, err := collect(t.Context(), NewRetry(peer, RetryOptions{}), query())
		if hotreader.CodeOf(err) != hotreader.CodeUnavailable || !strings.Contains(err.Error(), "given up after 4 attempts") {
			t.Errorf("got %v", err)
		}
		if len(got) != 3 || len(peer.queries) != 4 {
			t.Errorf("%d rows after %d attempts, want 3 after 4", len(got), len(peer.queries))
		}
	})
}

func TestRetryOnlyWhatMayHeal(t *testing.T) {
	for _, code := range hotreader.Codes() {
		t.Run(string(code), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				peer := &rows{rows: series(1), fail: func(attempt, row int) error {
					if attempt == 0 {
						return failure(code)
					}
					return nil
				}}
				_, err := collect(t.Context(), NewRetry(peer, RetryOptions{}), query())
				// The peer's own deadline passed, not the caller's.
				if code.Temporary() || code == hotreader.CodeDeadline {
					if err != nil || len(peer.queries) != 2 {
						t.Errorf("%v after %d attempts, want success after 2", err, len(peer.queries))
					}
				} else if hotreader.CodeOf(err) != code || len(peer.queries) != 1 {
					t.Errorf("%v after %d attempts, want %s after 1", err, len(peer.queries), code)
				}
			})
		})
	}
	t.Run("invalid query", func(t *testing.T) {
		peer := &rows{}
		_, err := collect(t.Context(), NewRetry(peer, RetryOptions{}), hotreader.Query{})
		if hotreader.CodeOf(err) != hotreader.CodeInvalid || len(peer.queries) != 0 {
			t.Errorf("got %v after %d attempts", err, len(peer.queries))
		}
	})
}

// Waits double, have full jitter, and are added to what the peer asks for.
func TestPitfall24RetryWaits(t *testing.T) {
	var longest [3]time.Duration
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			var times []time.Time
			peer := &rows{fail: func(int, int) error {
				times = append(times, time.Now())
				return failure(hotreader.CodeUnavailable)
			}}
			collect(t.Context(), NewRetry(peer, RetryOptions{}), query())
			if len(times) != 4 {
				t.Fatalf("%d attempts, want 4", len(times))
			}
			for i := range 3 {
				wait, most := times[i+1].Sub(times[i]), 500*time.Millisecond<<i
				if wait >= most {
					t.Errorf("wait %d is %s, want less than %s", i, wait, most)
				}
				longest[i] = max(longest[i], wait)
			}
		})
	}
	for i, l := range longest {
		if most := 500 * time.Millisecond << i; l < most/2 {
			t.Errorf("of 200 waits the longest before retry %d is %s: that is not the jitter of %s", i+1, l, most)
		}
	}
}

func TestPitfall24RetryAfter(t *testing.T) {
	throttled := func(after time.Duration) error {
		return &hotreader.Error{Op: "peer", Code: hotreader.CodeThrottled, RetryAfter: after}
	}
	for _, c := range []struct {
		name            string
		after, deadline time.Duration
		attempts        int
		says            string
	}{
		{"honoured", 7 * time.Second, time.Minute, 2, ""},
		{"honoured without a deadline", 7 * time.Second, 0, 2, ""},
		{"behind the deadline", 7 * time.Second, 5 * time.Second, 1, "after the deadline"},
		{"an hour", time.Hour, 0, 1, "at most 30s are waited"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				var second time.Time
				peer := &rows{rows: series(1), fail: func(attempt, row int) error {
					if attempt == 0 {
						return throttled(c.after)
					}
					if second.IsZero() {
						second = time.Now()
					}
					return nil
				}}
				ctx := t.Context()
				if c.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.deadline)
					defer cancel()
				}
				_, err := collect(ctx, NewRetry(peer, RetryOptions{}), query())
				if len(peer.queries) != c.attempts {
					t.Errorf("%d attempts, want %d", len(peer.queries), c.attempts)
				}
				if c.says == "" {
					if err != nil {
						t.Fatal(err)
					}
					if wait := second.Sub(begin); wait < c.after || wait > c.after+500*time.Millisecond {
						t.Errorf("waited %s for a RetryAfter of %s", wait, c.after)
					}
					return
				}
				if hotreader.CodeOf(err) != hotreader.CodeThrottled || !strings.Contains(err.Error(), c.says) {
					t.Errorf("got %v", err)
				}
				if e, _ := errors.AsType[*hotreader.Error](err); e.RetryAfter != c.after {
					t.Errorf("RetryAfter %s was lost", c.after)
				}
				if waited := time.Since(begin); waited != 0 {
					t.Errorf("gave up after %s, want at once", waited)
				}
			})
		})
	}
}

// If the deadline passes between or within attempts, the error says how many there were
// and what failed.
func TestRetryDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		peer := &rows{rows: series(3), fail: func(attempt, row int) error {
			if attempt == 0 && row == 1 {
				return failure(hotreader.CodeCorrupt)
			}
			if attempt == 1 && row == 2 {
				<-ctx.Done()
				return &hotreader.Error{Op: "peer", Code: hotreader.CodeDeadline, Err: ctx.Err()}
			}
			return nil
		}}
		got, err := collect(ctx, NewRetry(peer, RetryOptions{}), query())
		if hotreader.CodeOf(err) != hotreader.CodeDeadline || errors.Is(err, hotreader.CodeCorrupt) {
			t.Errorf("got %v", err)
		}
		for _, want := range []string{"after 2 attempts", "peer: broke"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
		}
		if len(got) != 2 {
			t.Errorf("%d rows, want 2", len(got))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		peer := &rows{fail: func(int, int) error {
			time.AfterFunc(time.Second, cancel)
			return &hotreader.Error{Op: "peer", Code: hotreader.CodeThrottled, RetryAfter: 10 * time.Second}
		}}
		begin := time.Now()
		_, err := collect(ctx, NewRetry(peer, RetryOptions{}), query())
		if hotreader.CodeOf(err) != hotreader.CodeCanceled || time.Since(begin) != time.Second {
			t.Errorf("got %v after %s", err, time.Since(begin))
		}
	})
}

// A peer that resumes in the wrong place is an error.
func TestRetryRefusesRowsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		deaf := readerFunc(func(ctx context.Context, q hotreader.Query, yield func(hotreader.Row, error) bool) {
			attempts++
			for i, row := range series(3) {
				if attempts == 1 && i == 2 {
					yield(hotreader.Row{}, failure(hotreader.CodeUnavailable))
					return
				}
				if !yield(row, nil) {
					return
				}
			}
		})
		got, err := collect(t.Context(), NewRetry(deaf, RetryOptions{}), query())
		if len(got) != 2 || hotreader.CodeOf(err) != hotreader.CodeProtocol {
			t.Errorf("%d rows, %v", len(got), err)
		}
	})
}

// readerFunc is a Reader of one function.
type readerFunc func(context.Context, hotreader.Query, func(hotreader.Row, error) bool)

func (f readerFunc) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) { f(ctx, q, yield) }
}

// A thousand callers of a dead peer send hardly more than a thousand requests: a fifth
// more, plus the reserve, plus one for each second.
func TestPitfall24RetryStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const callers = 1000
		var attempts, refused atomic.Int64
		dead := readerFunc(func(ctx context.Context, q hotreader.Query, yield func(hotreader.Row, error) bool) {
			attempts.Add(1)
			yield(hotreader.Row{}, failure(hotreader.CodeUnavailable))
		})
		retry := NewRetry(dead, RetryOptions{})
		begin := time.Now()
		var group sync.WaitGroup
		for range callers {
			group.Go(func() {
				_, err := collect(t.Context(), retry, query())
				if hotreader.CodeOf(err) != hotreader.CodeUnavailable {
					t.Errorf("got %v", err)
				}
				if strings.Contains(err.Error(), "budget") {
					refused.Add(1)
				}
			})
		}
		group.Wait()
		most := int64(callers + callers/5 + 20 + time.Since(begin).Seconds())
		if n := attempts.Load(); n <= callers || n > most {
			t.Errorf("%d attempts, want more than %d and at most %d", n, callers, most)
		}
		if refused.Load() == 0 {
			t.Error("nobody was told of the budget")
		}
	})
}

func TestRetryDoesNotAllocateByRow(t *testing.T) {
	few, many := &rows{rows: series(10)}, &rows{rows: series(1010)}
	count := func(peer *rows) float64 {
		retry := NewRetry(peer, RetryOptions{})
		return testing.AllocsPerRun(10, func() {
			peer.queries = peer.queries[:0]
			for _, err := range hotreader.NewReader(retry).Read(t.Context(), query()) {
				if err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	if a, b := count(few), count(many); b > a {
		t.Errorf("%v allocations for 10 rows, %v for 1010", a, b)
	}
}
