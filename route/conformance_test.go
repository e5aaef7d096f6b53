package route

import (
	"context"
	"testing"

	"hotreader"
	"hotreader/store/memstore"
	"hotreader/store/storetest"
)

// Each wrapper keeps every promise of the Source that it wraps.
func TestConformance(t *testing.T) {
	for name, wrap := range map[string]func(hotreader.Source) hotreader.Source{
		"retry":   func(r hotreader.Source) hotreader.Source { return NewRetry(r, RetryOptions{}) },
		"breaker": func(r hotreader.Source) hotreader.Source { return NewBreaker(r, BreakerOptions{}) },
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, storetest.Harness{New: func(testing.TB) (hotreader.Source, hotreader.Writer) {
				store := memstore.New()
				return wrap(store), store
			}})
		})
	}
	// So does a retry around a Source that fails after one more row each time.
	t.Run("retry of breaks", func(t *testing.T) {
		storetest.Run(t, storetest.Harness{NoStats: true, New: func(testing.TB) (hotreader.Source, hotreader.Writer) {
			store := memstore.New()
			breaks := make(chan int, 15) // fewer than the budget has
			for i := range cap(breaks) {
				breaks <- i % 5
			}
			return NewRetry(readerFunc(func(ctx context.Context, q hotreader.Query, yield func(hotreader.Row, error) bool) {
				left := -1
				select {
				case left = <-breaks:
				default:
				}
				for row, err := range store.Scan(ctx, q) {
					if left == 0 && err == nil {
						yield(hotreader.Row{}, failure(hotreader.CodeUnavailable))
						return
					}
					left--
					if !yield(row, err) {
						return
					}
				}
			}), RetryOptions{Base: 1, Retries: 15}), store
		}})
	})
}
