package paging_test

import (
	"strconv"
	"strings"
	"testing"

	"hotreader/store/internal/paging"
)

// Empty pages that go on and on end with an error; a page with items among them begins anew.
func TestEmptyPagesEnd(t *testing.T) {
	var c paging.Chain
	for _, with := range []int{0, 5_000} {
		c.Begin()
		page := 0
		var err error
		for ; err == nil && page < 20_000; page++ {
			items := 0
			if page == with {
				items = 1
			}
			err = c.GoOn(strconv.Itoa(page), items)
		}
		if err == nil || page != with+10_002 || !strings.Contains(err.Error(), "would never end") {
			t.Errorf("items on page %d: after %d pages: %v", with, page, err)
		}
	}
}
