package cloud

import (
	"strconv"
	"strings"
	"sync"
	"testing"

	"hotreader"
)

// An Item is what the service stores for a row.
type Item struct {
	Place  int // in the service's ascending order
	Time   any // nil = it has none
	Fields map[string]any
}

// What a service may do instead of answering.
const (
	Throttled = "throttled"
	Forbidden = "forbidden"
	Failing   = "failing" // it failed, and may do better
	Broken    = "broken"  // the answer ends in the middle, and that is noticed
	Damaged   = "damaged" // the answer is none
)

// A Service is what a store asks. It has items and keeps what it was asked.
type Service struct {
	Items []Item
	Ends  []int                    // where pages end, beside where the asker's limit ends them; at the same place twice: an empty page
	Fails func(request int) string // what it does instead of answering, "" = it answers; nil = it always answers
	Round int                      // > 0: each answer begins anew, and names so many tokens in turn to go on at
	Cut   int                      // > 0: answers end after so many bytes, unnoticed

	mu     sync.Mutex
	ended  int   // pages that ended at one of Ends
	Froms  []int // where requests begin
	Limits []int // what they ask for; 0 = as much as there is
	Writes [][]Written
}

// Written is an item that a store writes: its time's text and its property n.
type Written struct{ Key, N string }

// A Page is the service's answer.
type Page struct {
	Items []Item
	Next  string // where it goes on; "" = it does not
	Fail  string
}

// Answer answers a request that goes on at a token, "" = at the beginning.
func (s *Service) Answer(token string, limit int, descending bool) (p Page) {
	s.mu.Lock()
	defer s.mu.Unlock()
	place, _, _ := strings.Cut(token, "#")
	from, _ := strconv.Atoi(place)
	if s.Round > 0 {
		from = 0
	}
	if s.Fails != nil {
		p.Fail = s.Fails(len(s.Froms))
	}
	s.Froms, s.Limits = append(s.Froms, from), append(s.Limits, limit)
	end := len(s.Items)
	if limit > 0 {
		end = min(end, from+limit)
	}
	more := end < len(s.Items)
	if s.ended < len(s.Ends) && s.Ends[s.ended] <= end {
		end, more = s.Ends[s.ended], true
		if p.Fail == "" {
			s.ended++
		}
	}
	for i := from; i < end; i++ {
		place := i
		if descending {
			place = len(s.Items) - 1 - i
		}
		it := s.Items[place]
		it.Place = place
		p.Items = append(p.Items, it)
	}
	if s.Round > 0 {
		p.Next = "0#" + strconv.Itoa(len(s.Froms)%s.Round)
	} else if more {
		p.Next = strconv.Itoa(end) + "#" + strconv.Itoa(len(s.Froms))
	}
	return p
}

// Write takes a batch.
func (s *Service) Write(batch []Written) (fail string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Fails != nil {
		fail = s.Fails(len(s.Writes))
	}
	s.Writes = append(s.Writes, batch)
	return fail
}

// A Store is the store under test, over a Service.
type Store struct {
	// Play returns the store over s. It does not pause between tries, or InMemory.
	Play func(t testing.TB, s *Service) hotreader.Store

	InMemory bool // requests do not leave the process, so that time can be played, too
	Resumes  bool // pages end where the answer breaks off: the rows before are kept

	Slack int // how many more items are asked for than needed
	Most  int // what a request without a limit asks for

	// Beside those that no store can read: times in the right field that are none,
	// nil = no time, and values that no hotreader.Value can hold.
	Untimely, Unreadable []any

	Batch    int // items of a request
	Parallel int // requests of one Write at a time
}
