package nearest

import (
	"strings"
	"testing"
)

func TestWord(t *testing.T) {
	words := []string{"aws", "azure", "google", "gcp", "--property", "--format", "dynamodb", "ofen-∞", "x", strings.Repeat("long ", 30)}
	for _, c := range []struct{ typed, want string }{
		{"azur", "azure"},
		{"AZUER", "azure"},
		{"asw", "aws"},
		{"gpc", "gcp"},
		{"gogle", "google"},
		{"--propery", "--property"},
		{"--fromat", "--format"},
		{"dynamo", "dynamodb"},
		{"oracle", ""},
		{"ofen-∅", "ofen-∞"},
		{"y", ""},
		{"", ""},
		{strings.Repeat("x", 1<<20), ""},
		{strings.Repeat("long ", 20), strings.Repeat("long ", 30)},
		{strings.Repeat("long ", 20) + "x", ""},
	} {
		if got := Word(c.typed, words); got != c.want {
			t.Errorf("Word(%.20q) = %q, want %q", c.typed, got, c.want)
		}
	}
	if got := Listed("a.b", "Batch, no?", "", "Zähler", "x y"); got != `a.b, "Batch, no?", "", Zähler, "x y"` {
		t.Errorf("listed: %s", got)
	}
	if got := Listed(First("gpc", words[:4])...); got != "gcp, aws, azure, google" {
		t.Errorf("the nearest first: %s", got)
	}
	if got := Word("aws", nil); got != "" {
		t.Errorf("Word among no words = %q", got)
	}
}
