package importer

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"hotreader"
)

// cancelled is a store that ^C hits while it writes.
type cancelled struct {
	hotreader.Store
	cancel context.CancelFunc
}

func (c *cancelled) Write(ctx context.Context, _ string, _ []hotreader.Record) error {
	c.cancel()
	return ctx.Err()
}

func TestWriteUnderWayIsAcknowledged(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	into := &target{store: &cancelled{cancel: cancel}}
	if err := into.write(ctx, "d", nil); err != nil {
		t.Errorf("the write that ^C hit: %v", err)
	}
	if err := into.write(ctx, "d", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("the next one: %v", err)
	}
}

func TestCommaNumber(t *testing.T) {
	for text, want := range map[string]bool{
		"20,5": true, "-20,5": true, "+0,75": true, "1.234,50": true, "1,234.5": true, "7,0": true,
		"": false, ",": false, ",5": false, "5,": false, "20.5": false, "1,2,3": false, "a,b": false, "4,5 °C": false, "12:00,5": false,
		"1," + strings.Repeat("0", 40): false,
	} {
		if got := commaNumber([]byte(text)); got != want {
			t.Errorf("commaNumber(%q) = %v", text, got)
		}
	}
	if !commaNumber([]byte(" 20,5 ")) {
		t.Error("blanks around a number make no difference")
	}
}

// The memory does not grow with the file. A file in order of time, or a short one,
// is counted exactly; of any other the unsure lines are counted apart.
func TestInstants(t *testing.T) {
	const remembered = 1000
	const many = 4 * remembered
	up := make([]int64, many)
	for i := range up {
		up[i] = int64(i) * 1000
	}
	down := slices.Clone(up)
	slices.Reverse(down)
	pairs := slices.Clone(up)
	for i := 1; i < many; i += 2 {
		pairs[i-1], pairs[i] = pairs[i], pairs[i-1]
	}
	short := up[:remembered]
	for _, c := range []struct {
		name              string
		lines             []int64
		different, unsure int64
	}{
		{"none", nil, 0, 0},
		{"in order", up, many, 0},
		{"newest first", down, many, 0},
		{"each twice", slices.Sorted(slices.Values(slices.Concat(up, up))), many, 0},
		{"neighbours swapped", pairs, many, 0},
		{"short, twice", slices.Concat(short, short), remembered, 0},
		{"short, in any order", slices.Concat(short[100:], short[:200]), remembered, 0},
		{"long, twice", slices.Concat(up, up), 2 * many, many},
		{"long, then again its end", slices.Concat(up, up[many-remembered:]), many, 0},
		{"long, then between", slices.Concat(up, []int64{500, 1500}), many + 2, 2},
		{"long, then between the newest", slices.Concat(up, []int64{up[many-1] - 500}), many + 1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newInstants(remembered)
			for _, at := range c.lines {
				s.add(at)
				if len(s.recent)+len(s.older) > 2*remembered {
					t.Fatalf("%d are held", len(s.recent)+len(s.older))
				}
			}
			if s.different != c.different || s.unsure != c.unsure {
				t.Errorf("%d different, %d unsure, want %d and %d", s.different, s.unsure, c.different, c.unsure)
			}
		})
	}
}
