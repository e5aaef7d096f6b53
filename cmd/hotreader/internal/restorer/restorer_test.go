package restorer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hotreader"
	"hotreader/internal/cost"
	"hotreader/store/coldstore"
)

// bucket is an Archive of objects that all devices share.
type bucket struct {
	mu      sync.Mutex
	objects map[string]coldstore.Object
	asked   []string
	refuse  map[string]error
}

func (b *bucket) Objects(context.Context, hotreader.Query) ([]coldstore.Object, error) {
	return slices.Collect(maps.Values(b.objects)), nil
}

func (b *bucket) Restore(_ context.Context, o *coldstore.Object, tier string, days int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = append(b.asked, fmt.Sprintf("%s %s %d", o.Key, tier, days))
	return b.refuse[o.Key]
}

var until = time.Date(2026, 12, 7, 0, 0, 0, 0, time.UTC)

func newBucket() *bucket {
	b := &bucket{objects: map[string]coldstore.Object{}}
	for _, o := range []coldstore.Object{
		{Key: "archived", Archive: "DEEP_ARCHIVE"}, {Key: "also archived", Archive: "DEEP_ARCHIVE"}, {Key: "flexible", Archive: "GLACIER"},
		{Key: "expired", Archive: "GLACIER", Until: until}, {Key: "ongoing", Archive: "GLACIER", Asked: true},
		{Key: "restored", Until: until.AddDate(0, 0, 1)}, {Key: "restored first", Until: until}, {Key: "online"},
	} {
		o.Size = 1e9
		b.objects[o.Key] = o
	}
	return b
}

// Sizes of a list that lies add up to all that there is, and not to less than nothing.
func TestSizesThatLie(t *testing.T) {
	p := new(Plan)
	for _, size := range []int64{1, math.MaxInt64, math.MaxInt64, -5, math.MinInt64} {
		p.add(nil, &coldstore.Object{Archive: "GLACIER", Size: size})
	}
	if p.Bytes != math.MaxInt64 || p.Groups[0].Bytes != math.MaxInt64 || p.Objects != 5 {
		t.Errorf("%+v", p)
	}
}

func TestPlanAndAsk(t *testing.T) {
	b := newBucket()
	j := Job{Archives: []Archive{b}, Devices: []string{"pump-7", "pump-8"}, Tier: cost.Bulk, Days: 30, Prices: cost.Listed()}
	p, err := j.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, g := range p.Groups {
		line := fmt.Sprintf("%s %s %d of %d", g.State, g.Class, g.Objects, g.Bytes)
		if g.Restore != nil {
			line += fmt.Sprintf(" %.4f USD %v h", g.Restore.USD, g.Restore.Hours)
		}
		if !g.Until.IsZero() {
			line += " until " + g.Until.Format(time.DateOnly)
		}
		got = append(got, line)
	}
	want := `archived DEEP_ARCHIVE 2 of 2000000000 0.0510 USD 48 h
archived GLACIER 1 of 1000000000 0.0230 USD 12 h
expired GLACIER 1 of 1000000000 0.0230 USD 12 h
ongoing GLACIER 1 of 1000000000 0.0000 USD 5 h
restored  2 of 2000000000 until 2026-12-07
online  1 of 1000000000`
	if strings.Join(got, "\n") != want {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
	if p.Objects != 4 || p.Bytes != 4e9 || fmt.Sprintf("%.4f", p.USD) != "0.0970" || p.Hours != 48 || !p.Ongoing() {
		t.Errorf("%+v", p)
	}
	if n, err := j.Ask(t.Context(), p, func(int64) {}); n != 4 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	slices.Sort(b.asked)
	if want := "also archived bulk 30, archived bulk 30, expired bulk 30, flexible bulk 30"; strings.Join(b.asked, ", ") != want {
		t.Errorf("%q, want %q", b.asked, want)
	}
}

// What cannot be asked for is said before anything is.
func TestTierOfAnotherClass(t *testing.T) {
	j := Job{Archives: []Archive{newBucket()}, Devices: []string{"d"}, Tier: cost.Expedited, Days: 1, Prices: cost.Listed()}
	if _, err := j.Plan(t.Context()); !errors.Is(err, hotreader.CodeInvalid) || !strings.Contains(err.Error(), "DEEP_ARCHIVE has no tier expedited; choose standard or bulk") {
		t.Error(err)
	}
}

// What is gone does not keep the others from being asked for; a missing permission does.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		err  error
		code hotreader.Code
		n    int64
	}{
		{coldstore.Changed(&coldstore.Object{}), hotreader.CodeUnavailable, 3},
		{&hotreader.Error{Code: hotreader.CodeForbidden, Err: errors.New("no")}, hotreader.CodeForbidden, -1},
	} {
		b := newBucket()
		b.refuse = map[string]error{"expired": c.err}
		j := Job{Archives: []Archive{b}, Devices: []string{"d"}, Tier: cost.Standard, Days: 1, Prices: cost.Listed()}
		p, err := j.Plan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n, err := j.Ask(t.Context(), p, func(int64) {}); !errors.Is(err, c.code) || c.n >= 0 && n != c.n {
			t.Errorf("%v: %d, %v", c.code, n, err)
		}
	}
}
