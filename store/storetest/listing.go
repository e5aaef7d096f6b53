package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"hotreader"
)

// RunLister checks a driver that is a hotreader.Lister, too.
func RunLister(t *testing.T, h Harness) {
	t.Run("devices", func(t *testing.T) { listing(t, h) })
	t.Run("none", func(t *testing.T) {
		src, _ := h.New(t)
		if got, err := src.(hotreader.Lister).Devices(t.Context(), "", "", 10); err != nil || len(got) != 0 {
			t.Errorf("an empty store has %v, %v", got, err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		src, _ := h.New(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := src.(hotreader.Lister).Devices(ctx, "", "", 10); !errors.Is(err, hotreader.CodeCanceled) {
			t.Errorf("the error is %v", err)
		}
	})
}

func listing(t testing.TB, h Harness) {
	src, w := h.New(t)
	l := src.(hotreader.Lister)
	var many []string
	write := func(device string, second int, names ...string) {
		t.Helper()
		r := hotreader.Record{Time: time.Unix(int64(second), 0)}
		for _, name := range names {
			r.Fields = append(r.Fields, hotreader.Field{Name: name, Value: hotreader.BoolValue(true)})
		}
		if err := w.Write(t.Context(), device, []hotreader.Record{r}); err != nil {
			t.Fatal(err)
		}
	}
	write("valve", 1, "open")
	write("pump-10", 1, "speed", "äpfel")
	write("pump-10", 2, "heat", "speed") // another property, later
	write("pump-10", 1, "heat")          // one that no row has any more
	write("pump-9", 1, "speed")
	write("ü", 1, "a b")
	for i := range 300 {
		id := fmt.Sprintf("z%03d", i)
		many = append(many, id)
		write(id, 1, "p")
	}
	for _, tt := range []struct {
		prefix, after string
		n             int
		want          string
	}{
		{"", "", 3, "pump-10[heat speed äpfel] pump-9[speed] valve[open]"},
		{"pump-", "", 10, "pump-10[heat speed äpfel] pump-9[speed]"},
		{"pump-", "pump-10", 10, "pump-9[speed]"},
		{"pump-", "pump-1", 1, "pump-10[heat speed äpfel]"}, // after an id that is not there
		{"", "z299", 10, "ü[a b]"},
		{"ü", "", 10, "ü[a b]"},
		{"", "ü", 10, ""},
		{"w", "", 10, ""},
		{"", "", 0, ""},
	} {
		got, err := l.Devices(t.Context(), tt.prefix, tt.after, tt.n)
		var text []string
		for _, d := range got {
			text = append(text, d.ID+"["+strings.Join(d.Properties, " ")+"]")
		}
		if all := strings.Join(text, " "); err != nil || all != tt.want {
			t.Errorf("prefix %q, after %q, %d: %s, %v; want %s", tt.prefix, tt.after, tt.n, all, err, tt.want)
		}
	}
	var all []string
	for after := ""; len(all) <= len(many); after = all[len(all)-1] {
		page, err := l.Devices(t.Context(), "z", after, 7)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, d := range page {
			all = append(all, d.ID)
		}
	}
	if !slices.Equal(all, many) {
		t.Errorf("pages of 7 bring %d devices, want %d in order: %q", len(all), len(many), all)
	}
}
