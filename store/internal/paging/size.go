package paging

import "hotreader"

// growth is by how much a page whose size was guessed grows to the next.
const growth = 8

// Size says how many items to ask for in each page of one read, by the query's
// hints: few for latest values and for a limit, more with each page that did not
// suffice. Query, Slack and Most must be set.
type Size struct {
	Query *hotreader.Query

	// Slack is how many items are asked for beyond those needed: a row can only be
	// passed on when the next one shows that its second is over.
	Slack int

	// Most is the most items that a page can hold. To ask for more is to ask with
	// no bound.
	Most int

	before int // items of the page before; 0 = none
}

// Next returns how many items the next page is to hold, when so many useful rows
// and so many rows in all have been passed on; 0 = as many as the store puts into
// one.
func (s *Size) Next(useful, passed int) int {
	var n int
	switch q := s.Query; {
	case q.Last: // most likely the newest rows have it all
		n = min(max(s.before*growth, s.Slack+1), max(q.MaxLooked()-passed, 1)+s.Slack)
	case q.Limit == 0:
		return 0
	case len(q.Filters) > 0: // unknown
		n = max(s.before*growth, q.Limit+s.Slack, 64)
	default:
		need := min(max(q.Limit-useful, 1), s.Most)
		n = need + s.Slack
		if s.before > 0 && useful == 0 {
			n = max(n, s.before*growth)
		} else if s.before > 0 { // as many as there were for a row so far, and a quarter more
			n = max(n, min(need*passed/useful*5/4+s.Slack, s.before*growth))
		}
	}
	s.before = min(n, s.Most)
	if n > s.Most {
		return 0
	}
	return n
}
