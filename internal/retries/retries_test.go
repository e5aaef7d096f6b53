package retries

import (
	"testing"
	"testing/synctest"
	"time"
)

// The budget comes back with time, with reads that need no retry, and with
// retries that worked.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Budget
		drain := func() (n int) {
			for b.Withdraw() {
				n++
			}
			return n
		}
		if n := drain(); n != most {
			t.Errorf("%d retries at first, want %v", n, most)
		}
		time.Sleep(3 * time.Second)
		if n := drain(); n != 3 {
			t.Errorf("%d retries after 3 s, want 3", n)
		}
		for range 26 { // of which five retries and a fifth
			b.Deposit()
		}
		if n := drain(); n != 5 {
			t.Errorf("%d retries for 26 reads, want 5", n)
		}
		b.Return(4)
		if n := drain(); n != 4 {
			t.Errorf("%d retries for 4 that worked, want 4", n)
		}
		b.Return(100)
		if n := drain(); n != most {
			t.Errorf("%d retries for 100 that worked, want %v", n, most)
		}
		time.Sleep(time.Hour)
		if n := drain(); n != most {
			t.Errorf("%d retries after an hour, want %v", n, most)
		}
	})
}
