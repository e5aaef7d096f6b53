package wire

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"

	"hotreader"
)

// docs/protocol.md, from which others implement the format, must not drift from it.
func TestProtocolPage(t *testing.T) {
	page, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(page), "wire/testdata/small.rows -->\n```\n")
	dump, _, ok2 := strings.Cut(rest, "```")
	if !ok || !ok2 {
		t.Fatal("the example is missing")
	}
	var stream []byte
	for line := range strings.Lines(dump) {
		for field := range strings.FieldsSeq(line) {
			b, err := hex.DecodeString(field)
			if len(field) != 2 || err != nil {
				break // the rest of the line explains
			}
			stream = append(stream, b...)
		}
	}
	golden, err := os.ReadFile("testdata/small.rows")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(stream, golden) {
		t.Errorf("the example is\n%s\nthe golden file\n%s", hex.Dump(stream), hex.Dump(golden))
	}
	for _, c := range hotreader.Codes() {
		row := ""
		for line := range strings.Lines(string(page)) {
			if cells := strings.Split(line, "|"); len(cells) > 3 && strings.Contains(cells[1], fmt.Sprintf("`%s`", c)) {
				row = cells[2]
				break
			}
		}
		if !strings.Contains(row, fmt.Sprint(StatusOf(c))) {
			t.Errorf("the table does not give %s the status %d: %q", c, StatusOf(c), row)
		}
	}
	if _, rest, ok = strings.Cut(string(page), "The body is the **envelope**"); !ok {
		t.Fatal("the envelope is missing")
	}
	_, rest, _ = strings.Cut(rest, "```json\n")
	body, _, _ := strings.Cut(rest, "```")
	if _, err := ParseEnvelope([]byte(body)); err != nil {
		t.Errorf("the envelope of the page: %v", err)
	}
}
