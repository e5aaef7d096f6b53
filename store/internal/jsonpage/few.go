package jsonpage

import (
	"bytes"
	"encoding/json"
	"fmt"
)

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
