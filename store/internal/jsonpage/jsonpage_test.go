package jsonpage

import (
	"fmt"
	"strings"
	"testing"
)

// read reads a page whose items are any JSON.
func read(body string) (items int, err error) {
	p := Page{Items: "Items", Count: "Count"}
	if err := p.Open([]byte(body)); err != nil {
		return 0, err
	}
	for {
		more, err := p.Next()
		if err != nil || !more {
			return p.Seen(), err
		}
		if err := p.Skip(); err != nil {
			return 0, err
		}
	}
}

func TestPages(t *testing.T) {
	for body, want := range map[string]int{
		`{"Count":0,"Items":[],"x":{"a":[1,{}]}}`:                              0,
		"{ \"Items\" : [ {} , {\"a\":1} ] ,\n\"Count\":2,\t\"x\" : [] }" + " ": 2,
	} {
		if n, err := read(body); n != want || err != nil {
			t.Errorf("%s: %d items, %v", body, n, err)
		}
		body = strings.TrimSpace(body)
		for i := range body {
			if n, err := read(body[:i]); err == nil {
				t.Errorf("%s was taken for a page of %d items", body[:i], n)
			}
		}
	}
}

// No page may be taken for what it is not, or items could be lost.
func TestDamagedPages(t *testing.T) {
	for _, body := range []string{
		``, ` `, `{`, `{}`, `null`, `[]`, `<html>`, `{"Count":1}`, `{"Items":[]}`, `{"Count":0,"Items":null}`, `{"code":"x","message":"y"}`,
		`{"Count":1,"Items":[]}`, `{"Count":0,"Items":[{}]}`, `{"Count":2,"Items":[{}]}`,
		`{"Count":0,"Items":[],"Items":[]}`, `{"Count":0,"Count":0,"Items":[]}`,
		`{"Count":00,"Items":[]}`, `{"Count":-1,"Items":[]}`, `{"Count":"0","Items":[]}`, `{"Count":99999999999999999999,"Items":[]}`, `{"Count":0.0,"Items":[]}`,
		`{"Count":0,"Items":[]}x`, `{"Count":0,"Items":[]}{}`, `{"Count":0,"Items":[],}`, `{,"Count":0,"Items":[]}`, `{"Count":0"Items":[]}`,
		`{"Count":2,"Items":[{}{}]}`, `{"Count":1,"Items":[{},]}`, `{"Count":1,"Items":[,{}]}`, `{"Count":1,"Items":[{}}`,
		`{"Count":0,"Items":[],"x":01}`, `{"Count":0,"Items":[],"x":[1,]}`, `{"Count":0,"Items":[],"x":{"a"}}`, `{"Count":0,"Items":[],"x":nul}`, `{"Count":0,"Items":[],"x":+1}`,
		`{"Count":0,"Items":[],"x":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`,
	} {
		if n, err := read(body); err == nil {
			t.Errorf("%.80q was taken for a page of %d items", body, n)
		}
	}
}

// Of a page that was asked for a few items nothing is decoded beyond them.
func TestFew(t *testing.T) {
	for _, c := range []struct {
		page string
		n    int
		want string
	}{
		{`{"Items":[{"a":1.50},{"a":"x"}],"Count":2}`, 3, "[map[a:1.50] map[a:x]] <nil>"},
		{`{"Items":[{"a":1.50},{"a":"x"} and what is no page`, 2, "[map[a:1.50] map[a:x]] <nil>"},
		{`{"Items":[],"Count":0}`, 1, "[] <nil>"},
		{`{"Items":[1],"Count":1}`, 1, "[] json: cannot unmarshal number into Go value of type map[string]interface {}"},
		{`{"Count":0}`, 1, "[] it has no Items"},
		{`{"Items":[{"a":"` + strings.Repeat("x", maxFew) + `"}],"Count":1}`, 1, "[] a page of 1 items at the most has 8 MB, which none has; check the endpoint"},
	} {
		items, err := Few[map[string]any]([]byte(c.page), "Items", "Count", c.n)
		if got := fmt.Sprint(items, err); got != c.want {
			t.Errorf("%.80s: %s, want %s", c.page, got, c.want)
		}
	}
}
