package twinmaker

import (
	"bytes"
	"math"
	"math/big"
	"strconv"
	"time"

	"hotreader"
)

// line computes the values between a property's settled point and its pending one.
type line struct {
	s *stepper
	i int // of the property

	ready       bool   // what follows is set
	early, late *point // by time
	same        bool   // they are equal
	from, to    float64
}

// append appends the value at an instant between the points, or on the pending one.
func (l *line) append(b []byte, at time.Time) []byte {
	t := &l.s.tracks[l.i]
	if at.Equal(t.pending.t) {
		return append(b, t.pending.digits...)
	}
	whole := l.s.page.columns[l.i].typ != hotreader.Double
	if !l.ready {
		l.ready = true
		l.early, l.late = &t.settled, &t.pending
		if l.s.grid.sign < 0 {
			l.early, l.late = l.late, l.early
		}
		if l.same = bytes.Equal(l.early.digits, l.late.digits); !l.same && !whole {
			l.from, _ = hotreader.NumberValue(l.early.digits).Float64()
			l.to, _ = hotreader.NumberValue(l.late.digits).Float64()
			l.same = l.from == l.to
		}
	}
	switch {
	case l.same:
		return append(b, l.early.digits...)
	case whole:
		return l.appendWhole(b, at)
	}
	f := nanoseconds(l.early.t, at) / nanoseconds(l.early.t, l.late.t)
	v := l.from + float64((l.to-l.from)*f) // converted, so that no CPU fuses the two operations
	if math.IsInf(l.to-l.from, 0) {
		v = float64(l.from*(1-f)) + float64(l.to*f)
	}
	return appendFloat(b, min(max(v, min(l.from, l.to)), max(l.from, l.to)))
}

// nanoseconds returns the time from a to b, as a float since it may be of any length.
func nanoseconds(a, b time.Time) float64 {
	return float64(b.Unix()-a.Unix())*1e9 + float64(b.Nanosecond()-a.Nanosecond())
}

// appendWhole rounds (early·den + (late-early)·n) ÷ den, where n and den are the
// nanoseconds from early to at and to late.
func (l *line) appendWhole(b []byte, at time.Time) []byte {
	s := l.s
	s.early.SetString(string(l.early.digits), 10)
	s.late.SetString(string(l.late.digits), 10)
	s.setNanoseconds(&s.n, l.early.t, at)
	s.setNanoseconds(&s.den, l.early.t, l.late.t)
	s.late.Sub(&s.late, &s.early)
	s.late.Mul(&s.late, &s.n)
	s.early.Mul(&s.early, &s.den)
	s.early.Add(&s.early, &s.late)
	negative := s.early.Sign() < 0
	s.early.Abs(&s.early)
	s.early.Lsh(&s.early, 1)
	s.early.Add(&s.early, &s.den)
	s.den.Lsh(&s.den, 1)
	s.early.Quo(&s.early, &s.den)
	if negative {
		s.early.Neg(&s.early)
	}
	return s.early.Append(b, 10)
}

func (s *stepper) setNanoseconds(n *big.Int, a, b time.Time) {
	n.SetInt64(b.Unix() - a.Unix())
	n.Mul(n, s.tmp.SetInt64(1e9))
	n.Add(n, s.tmp.SetInt64(int64(b.Nanosecond()-a.Nanosecond())))
}

// appendFloat appends the shortest number that reads back as f.
func appendFloat(b []byte, f float64) []byte {
	if f == 0 {
		return append(b, '0')
	}
	if abs := math.Abs(f); abs < 1e-6 || abs >= 1e21 {
		return strconv.AppendFloat(b, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(b, f, 'f', -1, 64)
}
