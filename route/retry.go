package route

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"time"

	"hotreader"
	"hotreader/internal/retries"
)

// RetryOptions set up a Retry. Zero values stand for the defaults, which docs/reliability.md gives.
type RetryOptions struct {
	Retries int             // of one read, at most; 0 = 3
	Base    time.Duration   // maximum wait before the first retry, doubled for each further one; 0 = 500 ms
	MaxWait time.Duration   // the longest RetryAfter that is waited for; 0 = 30 s
	Budget  *retries.Budget // shared by all reads, and by all Retries that are given the same; nil = one of its own
}

// Retry is a Source that resumes a failed read after the last row that came, so that
// no row comes twice and none is lost.
//
// It retries temporary failures (Code.Temporary, and the peer's own deadline while
// the caller's has not passed). It waits with full jitter, honours RetryAfter, gives
// up at once when the wait would pass the deadline, and draws on a retry budget that
// all callers share. When it gives up, the read ends with the last failure and the
// number of attempts, never with a short answer.
//
// failsafe-go's retry policy does not fit: it sleeps even if the wait passes the
// deadline, and its budget counts retries in flight. A peer that fails fast never
// fills that, so it would let a thousand callers through.
type Retry struct {
	source hotreader.Source
	o      RetryOptions
}

// NewRetry returns a Retry around src.
func NewRetry(src hotreader.Source, o RetryOptions) *Retry {
	o.Retries = cmp.Or(o.Retries, 3)
	o.Base = cmp.Or(o.Base, 500*time.Millisecond)
	o.MaxWait = cmp.Or(o.MaxWait, 30*time.Second)
	if o.Budget == nil {
		o.Budget = new(retries.Budget)
	}
	return &Retry{src, o}
}

// Scan implements hotreader.Source.
func (r *Retry) Scan(ctx context.Context, q hotreader.Query) iter.Seq2[hotreader.Row, error] {
	return func(yield func(hotreader.Row, error) bool) {
		r.o.Budget.Deposit()
		run := &run{ctx: ctx, query: q}
		for rest, more := q, true; more; rest, more = run.rest() {
			err := run.attempt(r.source, rest, yield)
			if err == nil {
				return
			}
			if _, more = run.rest(); !more {
				return // it failed after the last possible row
			}
			if err = r.pause(run, err); err != nil {
				yield(hotreader.Row{}, err)
				return
			}
		}
	}
}

// run is the state of one scan over its attempts.
type run struct {
	ctx      context.Context
	query    hotreader.Query
	attempts int
	rows     int
	last     time.Time // of the last row yielded
	failure  error     // of an earlier attempt, for the deadline's message
}

// attempt yields the rows of q. It returns nil when all have come or the caller
// stops.
func (s *run) attempt(src hotreader.Source, q hotreader.Query, yield func(hotreader.Row, error) bool) error {
	s.attempts++
	for row, err := range src.Scan(s.ctx, q) {
		if err != nil {
			return err
		}
		if s.rows > 0 && !s.isNext(row.Time) && !row.Time.IsZero() { // an old peer's latest values have no times and come in one piece
			return &hotreader.Error{Op: "retry", Code: hotreader.CodeProtocol,
				Err: fmt.Errorf("after the row of %s came one of %s, which is not after it", s.last.Format(time.RFC3339Nano), row.Time.Format(time.RFC3339Nano))}
		}
		s.rows++
		s.last = row.Time
		if !yield(row, nil) {
			return nil
		}
	}
	return nil
}

// isNext reports whether t comes after the last row in the order of the read.
func (s *run) isNext(t time.Time) bool {
	if s.query.Backward() {
		return t.Before(s.last)
	}
	return t.After(s.last)
}

// rest returns the query for the rows that have not come yet, and whether there can
// be any.
func (s *run) rest() (hotreader.Query, bool) {
	q := s.query
	if s.rows == 0 {
		return q, true
	}
	if q.Limit > 0 {
		q.Limit = max(q.Limit-s.rows, 1)
	}
	return q.Behind(s.last)
}

// pause waits before the next attempt. An error ends the read instead.
func (r *Retry) pause(s *run, err error) error {
	code := hotreader.CodeOf(err)
	if ctxErr := s.ctx.Err(); ctxErr != nil {
		return s.ended(ctxErr, err)
	}
	if !code.Temporary() && code != hotreader.CodeDeadline {
		return err
	}
	s.failure = err
	var after time.Duration
	if e, ok := errors.AsType[*hotreader.Error](err); ok {
		after = e.RetryAfter
	}
	// Full jitter, on top of what the peer asked for: callers that it rejected at the
	// same moment must not come back at the same moment.
	n := s.attempts - 1
	wait := after + rand.N(r.o.Base<<min(n, 16))
	switch deadline, ok := s.ctx.Deadline(); {
	case n >= r.o.Retries:
		return giveUp(err, "given up after %d attempts", s.attempts)
	case ok && wait >= time.Until(deadline):
		return giveUp(err, "given up after %d attempts: the next could begin in %s, after the deadline", s.attempts, wait.Round(time.Millisecond))
	case after > r.o.MaxWait:
		return giveUp(err, "given up after %d attempts: asked to wait %s, at most %s are waited", s.attempts, after, r.o.MaxWait)
	case !r.o.Budget.Withdraw():
		return giveUp(err, "given up after %d attempts: too many reads are being retried, the budget for retries is used up", s.attempts)
	}
	if ended := retries.Wait(s.ctx, wait); ended != nil {
		return s.ended(ended, err)
	}
	return nil
}

// ended returns the error of a read whose context has ended. It names the last
// failure, which explains why the time was used up.
func (s *run) ended(ctxErr, err error) error {
	last := s.failure
	if code := hotreader.CodeOf(err); code != hotreader.CodeDeadline && code != hotreader.CodeCanceled {
		last = err
	}
	if last == nil {
		return err // nothing failed before; err already says that the context ended
	}
	code := hotreader.CodeCanceled
	if errors.Is(ctxErr, context.DeadlineExceeded) {
		code = hotreader.CodeDeadline
	}
	// The failure is not wrapped, so that errors.Is does not find its code.
	return &hotreader.Error{Op: "retry", Code: code,
		Err: fmt.Errorf("%w after %d attempts; the last failure: %s", ctxErr, s.attempts, last.Error())}
}

// giveUp returns err with a reason added to its message.
func giveUp(err error, format string, args ...any) error {
	why := fmt.Sprintf(format, args...)
	e, ok := errors.AsType[*hotreader.Error](err)
	if !ok {
		return &hotreader.Error{Op: "retry", Code: hotreader.CodeOf(err), Err: fmt.Errorf("%w (%s)", err, why)}
	}
	cause := e.Err
	if cause == nil {
		cause = e.Code
	}
	return &hotreader.Error{Op: e.Op, Code: e.Code, Err: fmt.Errorf("%w (%s)", cause, why), RetryAfter: e.RetryAfter}
}
