package emulators

import (
	"strings"
	"testing"
)

func TestTailKeepsTheEnd(t *testing.T) {
	var tl Tail
	for range 100 {
		if _, err := tl.Write([]byte(strings.Repeat("a", 1000))); err != nil {
			t.Fatal(err)
		}
	}
	tl.Write([]byte("the end"))
	if got := tl.Last(1); len(got) != 16<<10 || !strings.HasSuffix(got, "the end") {
		t.Errorf("%d bytes that end in %q", len(got), got[len(got)-10:])
	}
}
