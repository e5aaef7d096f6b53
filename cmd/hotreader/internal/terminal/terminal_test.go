package terminal

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	var b bytes.Buffer
	tab := NewTable(&b, false, "NAME", "N", "R\x1b")
	tab.Right(1)
	tab.Row(Cell{Text: "é"}, Cell{Text: "12"}, Cell{Text: "x"})
	tab.Row(Cell{Text: "longer"}, Cell{Text: "3"}, Cell{})
	tab.Texts("\x1b[2J", "5", "\r")
	for range 2 * tableSample {
		tab.Row(Cell{Text: "more than the head knew"}, Cell{Text: "4"}, Cell{Text: "y"})
	}
	if err := tab.End(); err != nil {
		t.Fatal(err)
	}
	want := "NAME                      N  R<1b>\né                        12  x\nlonger                    3\n<1b>[2J                   5  <0d>\nmore than the head knew   4  y\n"
	if got := b.String(); !strings.HasPrefix(got, want) || strings.Count(got, "\n") != 4+2*tableSample {
		t.Errorf("got:\n%.300s\nwant:\n%s", got, want)
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -999: "-999"} {
		if got := Count(n); got != want {
			t.Errorf("Count(%d) = %s, want %s", n, got, want)
		}
	}
}

// Whatever is written at once, characters stay whole.
func TestVisible(t *testing.T) {
	const in, want = "a\x1b[2J\té€😀\xff\u202e\r\n", "a<1b>[2J\té€😀<ff><202e><0d>\n"
	for size := 1; size <= len(in); size++ {
		var b bytes.Buffer
		v := &Visible{W: &b}
		for part := range slices.Chunk([]byte(in), size) {
			if n, err := v.Write(part); n != len(part) || err != nil {
				t.Fatal(n, err)
			}
		}
		if b.String() != want {
			t.Errorf("by %d: %q, want %q", size, b.String(), want)
		}
	}
}
