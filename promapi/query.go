package promapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"hotreader"
	"hotreader/internal/turns"
)

// query answers an instant query.
func (c *call) query() error {
	at, err := instant(c.r, "time", time.Now())
	if err != nil {
		return err
	}
	return c.evaluate(at, at, 0)
}

// queryRange answers a range query.
func (c *call) queryRange() error {
	start, err := instant(c.r, "start", time.Time{})
	if err != nil {
		return err
	}
	end, err := instant(c.r, "end", time.Time{})
	if err != nil {
		return err
	}
	step, err := duration(c.r, "step")
	switch {
	case err != nil:
		return err
	case end.Before(start):
		return invalid("end", "the end is before the start")
	case step < time.Millisecond:
		return invalid("step", "a step is at least a millisecond")
	case end.Sub(start)/step > maxPoints: // also of a span that a Duration cannot hold
		return refuse(http.StatusBadRequest, "bad_data", "more than %d points of a series are asked for; give a longer step", maxPoints)
	}
	return c.evaluate(start, end, step)
}

// evaluate evaluates the expression at the steps from start to end; at start alone if
// step is 0.
func (c *call) evaluate(start, end time.Time, step time.Duration) error {
	text := c.r.Form.Get("query")
	if err := bounded("query", text); err != nil {
		return err
	}
	limit, err := limit(c.r)
	if err != nil {
		return err
	}
	if c.r.Form.Get("timeout") != "" {
		most, err := duration(c.r, "timeout")
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(c.ctx, most)
		defer cancel()
		c.ctx = ctx
	}
	r := &run{call: c, lookback: lookback, sets: map[string]*loaded{}}
	if c.r.Form.Get("lookback_delta") != "" {
		if r.lookback, err = duration(c.r, "lookback_delta"); err != nil {
			return err
		}
		if r.lookback < time.Millisecond {
			return invalid("lookback_delta", "it is at least a millisecond")
		}
	}
	if err := c.within(c.api.parsing, func() (err error) {
		r.reduce, err = c.inspect(text, start, end, step)
		return err
	}); err != nil {
		return err
	}
	return c.within(c.api.running, func() error {
		options := promql.NewPrometheusQueryOpts(false, r.lookback, nil)
		var q promql.Query
		if step == 0 {
			q, err = c.api.engine.NewInstantQuery(c.ctx, r, options, text, start)
		} else {
			q, err = c.api.engine.NewRangeQuery(c.ctx, r, options, text, start, end, step)
		}
		switch {
		case c.ctx.Err() != nil:
			return c.ctx.Err()
		case err != nil:
			return invalid("query", err.Error())
		}
		defer q.Close()
		result := q.Exec(c.ctx)
		if result.Err != nil {
			return result.Err
		}
		c.warnings, c.infos = result.Warnings.AsStrings(text, 0, 0)
		r.explain(result.Value)
		slices.Sort(c.warnings)
		slices.Sort(c.infos)
		c.encode(result.Value, limit)
		return nil
	})
}

// within calls f in one of places.
func (c *call) within(places *turns.Limit, f func() error) error {
	token, from := c.api.o.Caller(c.ctx)
	place, err := places.Enter(c.ctx, token, from)
	switch {
	case hotreader.CodeOf(err) == hotreader.CodeCanceled:
		return err
	case err != nil:
		return errBusy
	}
	defer place.Leave()
	return f()
}

// count matches the counts of regular expressions, and what may stand for most of
// Unicode, as [^a], \W, \pL and [é-🚀].
var count = regexp.MustCompile(`\{(\d+)(?:,(\d*))?\}|\[:?\^|\\[DSWpP]|-(?:\\|[^\x00-\x7f])`)

// bounded rejects expressions, those of a parameter together, that would take much memory or
// time to parse and to match: Go writes out what a regular expression repeats, and goes
// through the characters of a class.
func bounded(parameter string, texts ...string) error {
	all, counts := 0, 0
	for _, text := range texts {
		all += len(text)
		for _, m := range count.FindAllStringSubmatch(text, -1) {
			if m[1] == "" {
				counts++
			}
			for _, digits := range m[1:] {
				n, err := strconv.Atoi(cmp.Or(digits, "0"))
				if err != nil {
					n = math.MaxInt32
				}
				counts = min(counts+n, math.MaxInt32)
			}
		}
	}
	if all > maxExpression {
		return invalid(parameter, fmt.Sprintf("the expression has more than %d bytes", maxExpression))
	}
	if all*counts > maxRepeated {
		return invalid(parameter, fmt.Sprintf("its counts, as {8}, and its classes, as [^a] or \\W, add up to %d in an expression of %d bytes; shorten it, or repeat with * or +", counts, all))
	}
	return nil
}

// inspect rejects expressions that explode, and reports whether they are reducible.
func (c *call) inspect(text string, start, end time.Time, step time.Duration) (bool, error) {
	expr, err := c.api.parser.ParseExpr(text)
	if err == nil {
		expr, err = promql.PreprocessExpr(expr, start, end, step)
	}
	if err != nil {
		return false, invalid("query", err.Error()+cmp.Or(c.named(text), hint(text, err)))
	}
	most, longest := 0.0, 1
	parser.Inspect(expr, func(node parser.Node, path []parser.Node) error {
		switch n := node.(type) {
		case *parser.SubqueryExpr:
			most = max(most, times(n, path, end.Sub(start)))
		case *parser.Call:
			longer := copies(n)
			for _, around := range path {
				if call, ok := around.(*parser.Call); ok {
					longer = min(longer*copies(call), math.MaxInt32)
				}
			}
			longest = max(longest, longer)
		}
		return nil
	})
	if longest > maxCopies {
		return false, refuse(http.StatusBadRequest, "bad_data", "label_replace and label_join put a label's value together of %d others, 64 bytes of text counted as one; at most %d are allowed", longest, maxCopies)
	}
	if most > maxSubqueryTimes {
		return false, refuse(http.StatusBadRequest, "bad_data", "a subquery is evaluated at %.0f times; at most %d are allowed; give it a longer step", most, maxSubqueryTimes)
	}
	return reducible(expr), nil
}

// copies returns of how many labels' values a function may make one; 64 bytes of its own
// texts count as one.
func copies(call *parser.Call) int {
	text := func(i int) string {
		if s, ok := call.Args[i].(*parser.StringLiteral); ok {
			return s.Val
		}
		return ""
	}
	switch call.Func.Name {
	case "label_replace":
		return max(1, strings.Count(text(2), "$")+len(text(2))/64)
	case "label_join":
		n := len(call.Args) - 3
		return max(1, n+n*len(text(2))/64)
	}
	return 1
}

// hint says how to select a metric whose name is a word of PromQL, or not one of a metric,
// if that is what a parse error of text names, as unexpected <on>.
func hint(text string, err error) string {
	part := func(r rune) bool { return r == '_' || r == '.' || unicode.IsLetter(r) || unicode.IsDigit(r) }
	if all, ok := errors.AsType[parser.ParseErrors](err); ok && len(all) > 0 && strings.Contains(err.Error(), "unexpected character: ") {
		at := min(int(all[0].PositionRange.Start), len(text))
		before := strings.TrimRightFunc(text[:at], part)
		after := strings.TrimLeftFunc(text[at:], part)
		if name := text[len(before) : len(text)-len(after)]; name != "" && metricName(name) != name {
			return fmt.Sprintf("; if a property has this name, select it with {property=%q}", name)
		}
	}
	_, word, _ := strings.Cut(err.Error(), "unexpected <")
	if word, _, _ = strings.Cut(word, ">"); word == "" || metricName(word) != word || strings.Contains(word, ":") {
		return ""
	}
	return fmt.Sprintf("; if a property has this name, select it with {__name__=%q}", word)
}

// times returns at how many times a subquery within path is evaluated at most.
func times(sub *parser.SubqueryExpr, path []parser.Node, span time.Duration) float64 {
	all := float64(span) + float64(sub.Range)
	for _, around := range path {
		if s, ok := around.(*parser.SubqueryExpr); ok {
			all += float64(s.Range)
		}
	}
	return all / float64(cmp.Or(sub.Step, subqueryStep))
}

func invalid(parameter, text string) *refusal {
	return refuse(http.StatusBadRequest, "bad_data", "invalid parameter %q: %s", parameter, text)
}

// instant reads a time parameter: Unix seconds or RFC 3339.
func instant(r *http.Request, name string, otherwise time.Time) (time.Time, error) {
	text := r.Form.Get(name)
	if text == "" && !otherwise.IsZero() {
		return otherwise, nil
	}
	var t time.Time
	if f, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(f) < 1e12 {
		whole, fraction := math.Modf(f)
		t = time.Unix(int64(whole), int64(math.Round(fraction*1000)/1000*float64(time.Second))).UTC()
	} else if t, err = time.Parse(time.RFC3339Nano, text); err != nil {
		return t, invalid(name, "invalid time "+strconv.QuoteToASCII(text)+": expected Unix seconds or 2006-01-02T15:04:05Z")
	}
	if t.Before(firstInstant) || t.After(lastInstant) {
		return t, invalid(name, "expected a time of the years 0 to 9999")
	}
	return t, nil
}

// duration reads a parameter: seconds, or as 1h30m.
func duration(r *http.Request, name string) (time.Duration, error) {
	text := r.Form.Get(name)
	if f, err := strconv.ParseFloat(text, 64); err == nil {
		if f *= float64(time.Second); f > 0 && f < math.MaxInt64 {
			return time.Duration(f), nil
		}
	} else if d, err := model.ParseDuration(text); err == nil && d > 0 {
		return time.Duration(d), nil
	}
	return 0, invalid(name, "invalid duration "+strconv.QuoteToASCII(text)+": expected seconds above zero, or as 1m30s")
}

// limit reads the parameter limit; 0 = none.
func limit(r *http.Request) (int, error) {
	text := r.Form.Get("limit")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, invalid("limit", "expected a whole number, not negative")
	}
	return n, nil
}
