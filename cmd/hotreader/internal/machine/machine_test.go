package machine

import (
	"bytes"
	"math"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/test/golden"
)

var start = time.Date(2026, 3, 2, 6, 0, 0, 0, time.UTC)

func TestSameSeedSameSignal(t *testing.T) {
	a, b, c := New(1, start, time.Second), New(1, start, time.Second), New(2, start, time.Second)
	same := 0
	for range 1000 {
		x, y, z := a.Next(), b.Next(), c.Next()
		if !reflect.DeepEqual(x, y) {
			t.Fatalf("two machines of seed 1 differ: %v, %v", x, y)
		}
		if reflect.DeepEqual(x, z) {
			same++
		}
	}
	if same > 10 {
		t.Errorf("seeds 1 and 2 share %d of 1000 records", same)
	}
}

// Whatever the seed, four hours hold the whole life that the demo promises.
func TestFourHours(t *testing.T) {
	for seed := range uint64(20) {
		m := New(seed, start, 5*time.Second)
		states := map[string]int{}
		missing, decimals := 0, map[string]bool{}
		highest := 0.0
		var last time.Time
		for range 2880 {
			r := m.Next()
			if !r.Time.After(last) {
				t.Fatalf("seed %d: %v does not come after %v", seed, r.Time, last)
			}
			last = r.Time
			missing += len(Properties()) - len(r.Fields)
			decimals[r.Time.Format(".999999999")] = true
			for _, f := range r.Fields {
				if f.Name == "state" {
					states[string(f.Value.Text())]++
				}
				if f.Name == "temperature" {
					v, ok := f.Value.Float64()
					if !ok || v < 10 || v > 120 {
						t.Fatalf("seed %d: temperature %v at %v", seed, f.Value, r.Time)
					}
					highest = max(highest, v)
				}
				for _, p := range Properties() {
					if p.Name != f.Name {
						continue
					}
					if _, _, ok := p.Type.Convert(f.Value, nil); !ok {
						t.Fatalf("seed %d: %s = %v is no %v", seed, f.Name, f.Value, p.Type)
					}
				}
			}
		}
		for _, want := range []string{"off", "warm-up", "running", "alarm", "tripped", "repaired"} {
			if states[want] == 0 {
				t.Errorf("seed %d: never %q in four hours: %v", seed, want, states)
			}
		}
		if missing < 20 || missing > 600 {
			t.Errorf("seed %d: %d values are missing", seed, missing)
		}
		if highest < 93 {
			t.Errorf("seed %d: tripped at %v °C", seed, highest)
		}
		if len(decimals) < 40 {
			t.Errorf("seed %d: times have only %d fractions", seed, len(decimals))
		}
	}
}

func TestPropertiesAreTyped(t *testing.T) {
	for _, p := range Properties() {
		if p.Type == hotreader.Untyped {
			t.Errorf("%s has no type", p.Name)
		}
	}
}

// The repository's example is four hours of this machine's temperature. Other
// processors may round the last digit otherwise.
func TestExample(t *testing.T) {
	const file = "../../../../examples/pump.csv"
	want := []byte("timestamp,value\n")
	m := New(7, start, 10*time.Second)
	for range 4 * 360 {
		r := m.Next()
		if r.Fields[0].Name == "temperature" {
			want = append(hotreader.AppendTime(want, r.Time), ',')
			want = append(append(want, r.Fields[0].Value.Text()...), '\n')
		}
	}
	if *golden.Update {
		if err := os.WriteFile(file, want, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) > 60_000 {
		t.Errorf("the example has %d bytes", len(got))
	}
	has, wants := bytes.Split(got, []byte("\n")), strings.Split(string(want), "\n")
	if len(has) != len(wants) {
		t.Fatalf("%s has %d lines, want %d", file, len(has), len(wants))
	}
	for i := range wants {
		hasTime, hasValue, _ := strings.Cut(string(has[i]), ",")
		wantTime, wantValue, _ := strings.Cut(wants[i], ",")
		a, aErr := strconv.ParseFloat(hasValue, 64)
		b, bErr := strconv.ParseFloat(wantValue, 64)
		if hasTime != wantTime || hasValue != wantValue && (aErr != nil || bErr != nil || math.Abs(a-b) > 0.0101) {
			t.Errorf("line %d is %s, want %s", i+1, has[i], wants[i])
		}
	}
}
