package paging

import (
	"context"
	"fmt"

	"hotreader"
	"hotreader/layout"
)

// lookAside looks, once a device and hour, at the ends of a partition in which items
// are, for times that no range of the layout's finds: of another type or unit, written
// otherwise, or of another date than the partition. It reports one. Its failure is no
// failure of the query.
func (s *Scanner) lookAside(ctx context.Context, q *hotreader.Query, value string) {
	if s.Look.End == nil || ctx.Err() != nil {
		return
	}
	s.seen.mu.Lock()
	l, fresh := recall(s.seen.asides, value, asideEach)
	if !fresh { // concurrent reads need not look as well
		s.seen.asides = remember(s.seen.asides, value, nil)
	}
	s.seen.mu.Unlock()
	if !fresh {
		items, err := s.lookAtEnds(ctx, value)
		s.seen.mu.Lock()
		if l.items = items; err != nil {
			delete(s.seen.asides, value)
		} else {
			s.seen.asides = remember(s.seen.asides, value, items)
		}
		s.seen.mu.Unlock()
	}
	for _, it := range l.items {
		if w, found := s.astray(q.Device, value, it); found {
			hotreader.StatsOf(ctx).Warn(w)
			return
		}
	}
}

// lookAtEnds returns the items at the ends of a partition.
func (s *Scanner) lookAtEnds(ctx context.Context, value string) (items []layout.Item, err error) {
	for _, least := range s.ends() {
		it, err := s.Look.End(ctx, value, least)
		if err != nil {
			return nil, err
		}
		if it != nil {
			items = append(items, *it)
		}
	}
	return items, nil
}

// ends are those that are looked at: of texts in DynamoDB, where a key has one type, only
// that at which counts since 1970 and dates lie beside each other.
func (s *Scanner) ends() (least []bool) {
	if s.Cloud == layout.DynamoDB && s.codecs[0].Kind == layout.TextTime && !s.template.Dated() {
		return []bool{!s.codecs[0].Epoch()}
	}
	return []bool{true, false}
}

// astray returns the warning of an item that no range finds.
func (s *Scanner) astray(device, value string, it layout.Item) (w hotreader.Warning, found bool) {
	v, ok := it.At(s.time)
	if !ok {
		return w, false
	}
	at, readable := s.Layout.ReadTime(v)
	if readable {
		for _, c := range s.codecs {
			if s.template.Value(device, at.In(c.Zone())) == value {
				return w, false
			}
		}
		return hotreader.Warning{Reason: hotreader.Unreadable,
			Detail: fmt.Sprintf("item %s has the %s %q, which is not of its %s, %s; the partition's date must be that of time_key, in the zone of time_format", it.Key, s.Layout.DeviceKey, value, s.Layout.TimeKey, layout.Describe(v))}, true
	}
	if _, text := v.(string); text {
		for _, c := range s.codecs {
			if g, ok := layout.GuessTime(v); c.Kind == layout.TextTime && (!ok || g.TimePrefix != s.Layout.TimePrefix) {
				return w, false // an item of something else
			}
		}
	}
	return hotreader.Warning{Reason: hotreader.MixedTimes, Detail: fmt.Sprintf("item %s: %s is %s%s", it.Key, s.Layout.TimeKey, layout.Describe(v), s.beside(v))}, true
}
