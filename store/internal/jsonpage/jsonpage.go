// Package jsonpage steps through a page of a store's answer in JSON: an object
// with a list of items and their count.
package jsonpage

import (
	"bytes"
	"encoding/json"
	"fmt"

	"hotreader"
	"hotreader/internal/jsontext"
)

// Page is a place in such a page. It must name its items and their count, each
// once, and they must agree, for else items could be lost unnoticed.
type Page struct {
	jsontext.Scanner
	Items, Count string // names of the list and of the count

	// Other reads the value of a member of another name, and reports whether it
	// did; if not, the value is passed over. nil = they are all passed over.
	Other func(name string) (read bool, err error)

	begun    bool // the page's first member was read
	inItems  bool
	hadItems bool
	items    int
	count    int // as the page says; -1 = not said
}

// Open begins a page. Next is to be called until it says that there are no more
// items; only then the whole page has been checked.
func (p *Page) Open(page []byte) error {
	p.Reset(page)
	p.begun, p.inItems, p.hadItems, p.items, p.count = false, false, false, 0, -1
	return p.Token('{')
}

// Next reports whether an item comes next, which the caller reads.
func (p *Page) Next() (bool, error) {
	if p.inItems {
		switch {
		case p.Is(','):
			p.items++
			return true, nil
		case !p.Is(']'):
			return false, p.Wrong("',' or ']' after an item")
		}
		p.inItems = false
	}
	for !p.Is('}') {
		if p.begun {
			if err := p.Token(','); err != nil {
				return false, err
			}
		}
		p.begun = true
		if err := p.member(); err != nil {
			return false, err
		}
		if p.inItems {
			p.items++
			return true, nil
		}
	}
	return false, p.close()
}

// Seen returns how many items Next has found.
func (p *Page) Seen() int { return p.items }

// member reads a member of the page, the items down to the first one.
func (p *Page) member() error {
	name, err := p.Name()
	if err != nil {
		return err
	}
	switch string(name) {
	case p.Items:
		if p.hadItems {
			return fmt.Errorf("it has %s twice", p.Items)
		}
		p.hadItems = true
		if err := p.Token('['); err != nil {
			return err
		}
		p.inItems = !p.Is(']')
		return nil
	case p.Count:
		if p.count >= 0 {
			return fmt.Errorf("it has %s twice", p.Count)
		}
		p.count, err = p.Whole()
		return err
	}
	if p.Other != nil {
		if read, err := p.Other(string(name)); read || err != nil {
			return err
		}
	}
	return p.Skip()
}

// close checks what follows the page and whether it is whole.
func (p *Page) close() error {
	if err := p.End(); err != nil {
		return err
	}
	switch {
	case !p.hadItems:
		return fmt.Errorf("it has no %s", p.Items)
	case p.count < 0:
		return fmt.Errorf("it has no %s", p.Count)
	case p.count != p.items:
		return fmt.Errorf("it says %d items and has %d", p.count, p.items)
	}
	return nil
}

// Value decodes a value; an object or an array is the text of its JSON. usable is false
// for one that no Value can hold.
func Value(s *jsontext.Scanner) (v hotreader.Value, usable bool, err error) {
	s.Space()
	switch jsontext.KindOf(s.Data[s.Pos:]) {
	case jsontext.String:
		text, err := s.Text()
		if s.Broken() {
			return v, false, err
		}
		return hotreader.StringValue(text), true, err
	case jsontext.Boolean:
		b, err := s.Boolean()
		return hotreader.BoolValue(b), true, err
	case jsontext.Number:
		digits, err := s.Number()
		return hotreader.NumberValue(digits), true, err
	case jsontext.Null:
		return v, true, s.Skip()
	}
	text, err := s.Raw()
	return hotreader.StringValue(text), true, err
}

// maxFew bounds the bytes of a page with a few items, which take some ten times that when they
// are decoded as a whole. Clouds cut pages at 1 to 4 MB as they count items.
const maxFew = 8 << 20

// Few decodes the first items of a page, n at the most, with numbers as json.Number. It does
// not look at the rest.
func Few[T any](page []byte, items, count string, n int) (all []T, err error) {
	if len(page) > maxFew {
		return nil, fmt.Errorf("a page of %d items at the most has %d MB, which none has; check the endpoint", n, len(page)>>20)
	}
	p := Page{Items: items, Count: count}
	if err := p.Open(page); err != nil {
		return nil, err
	}
	for len(all) < n {
		more, err := p.Next()
		if err != nil || !more {
			return all, err
		}
		text, err := p.Raw()
		if err != nil {
			return nil, err
		}
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		var item T
		if err := d.Decode(&item); err != nil {
			return nil, err
		}
		all = append(all, item)
	}
	return all, nil
}
