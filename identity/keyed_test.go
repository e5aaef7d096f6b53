package identity

import (
	"encoding/json"
	"strings"
	"testing"

	"hotreader"
)

// Secrets made in a cloud's console are keys and values as JSON.
func TestTokenOfKeysAndValues(t *testing.T) {
	for text, want := range map[string]string{
		`{"token":"` + current + `"}`: current,
		` {"INTER_CLOUD_TOKEN" : "` + current + `", "comment":"of the factory"}` + "\n": current,
		`{"inter-cloud-token":"` + current + `,` + previous + `"}`:                      current,
		`{"value":"` + current + `","createdBy":{"name":"x"}}`:                          current,
		`{"current":"` + current + `","previous":"` + previous + `"}`:                   current,
		`{"token":"` + current + `","previous":""}`:                                     current,
		`{"password":"` + current + `","user":"u"}`:                                     "the secret is JSON with keys password, user; text is expected",
		`{"token":"` + current + `","value":"` + previous + `"}`:                        "the secret is JSON with keys token, value; text is expected",
		`{"token":12345678901234567890123456789012}`:                                    "the secret is JSON with keys token; text is expected",
		`{}`:                  "the secret is JSON with keys ; text is expected",
		`["` + current + `"]`: "is JSON, but no object",
		`"` + current + `"`:   "is JSON, but no object",
		`{"token":"short"}`:   "it has 5 bytes, at least 32",
		`{"token":"` + current + `","previous":"short"}`: "token 2 has 5 bytes",
		`{` + current + `}`: "", // no JSON: a token as it is
	} {
		token, err := Static(text)
		switch {
		case want == "":
			want = strings.TrimSpace(text)
			fallthrough
		case want == current:
			if err != nil || token.Current() != want {
				t.Errorf("%s: %v", text, err)
			}
		case token != nil || hotreader.CodeOf(err) != hotreader.CodeConfig || !strings.Contains(err.Error(), want):
			t.Errorf("%s: %v; want %s", text, err, want)
		case strings.Contains(err.Error(), current[:8]) || strings.Contains(err.Error(), previous[:8]):
			t.Errorf("%s: the error shows a value: %v", text, err)
		}
	}
	if token := static(t, `{"current":"`+current+`","previous":"`+previous+`"}`); len(token.all()) != 2 {
		t.Errorf("%d tokens stand", len(token.all()))
	}
}

func FuzzPlainText(f *testing.F) {
	f.Add(`{"token":"` + current + `"}`)
	f.Add(current)
	f.Add(`[`)
	f.Fuzz(func(t *testing.T, text string) {
		plain, err := plainText(text)
		if err == nil && plain != text && !json.Valid([]byte(text)) {
			t.Errorf("%q became %q", text, plain)
		}
	})
}
