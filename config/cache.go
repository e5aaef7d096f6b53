package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"hotreader/internal/jsontext"
)

// CacheSize is a number of bytes. The zero value is the default of the program.
type CacheSize int64

// noCache is a CacheSize of nothing.
const noCache CacheSize = -1

// Bytes returns the size, or what it is where it was not given.
func (s CacheSize) Bytes(byDefault int64) int64 {
	switch s {
	case 0:
		return byDefault
	case noCache:
		return 0
	}
	return int64(s)
}

// String returns s as the variable has it.
func (s CacheSize) String() string { return strconv.FormatInt(s.Bytes(0), 10) }

// ReadCache reads what serve's flags of the same names say; "" = the default.
func (s *Settings) ReadCache(size, settle, age string) error {
	o := &Options{Settings: *s}
	var wrong []error
	for n, text := range []string{size, settle, age} {
		if text == "" {
			continue
		}
		name := []string{"cache", "settle", "cache_age"}[n]
		i := slices.IndexFunc(Keys, func(k Key) bool { return k.Name == name })
		if err := Keys[i].rule.(variableRule).parse(text, Keys[i].at(o)); err != nil {
			wrong = append(wrong, fmt.Errorf("--%s: %w", strings.ReplaceAll(name, "_", "-"), err))
		}
	}
	*s = o.Settings
	return errors.Join(wrong...)
}

// cacheSize is how many bytes a cache may take.
type cacheSize struct{}

func (c cacheSize) read(l *loader, where string, raw json.RawMessage, to any) {
	if err := c.parse(string(raw), to); err != nil {
		l.add(where, "is %s; expected a number of bytes, as 67108864, or 0 for no cache", short(raw))
	}
}

func (cacheSize) parse(text string, to any) error {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/4 {
		return fmt.Errorf("%.40q is not a number of bytes; expected one as 67108864, or 0 for no cache", text)
	}
	size := CacheSize(n)
	if n == 0 {
		size = noCache
	}
	*to.(*CacheSize) = size
	return nil
}

// Span is a time. The zero value means a default.
type Span time.Duration

// Duration returns s as Go has it.
func (s Span) Duration() time.Duration { return time.Duration(s) }

// String returns s as the variable has it.
func (s Span) String() string { return time.Duration(s).String() }

// span is a time as Go writes it.
type span struct{ least, most time.Duration }

func (s span) read(l *loader, where string, raw json.RawMessage, to any) {
	var text string
	if jsontext.KindOf(raw) != jsontext.String || json.Unmarshal(raw, &text) != nil {
		l.add(where, "is %s; expected a time, as \"30s\"", short(raw))
	} else if err := s.parse(text, to); err != nil {
		l.add(where, "%w", err)
	}
}

func (s span) parse(text string, to any) error {
	d, err := time.ParseDuration(strings.TrimSpace(text))
	if err != nil || d < s.least || d > s.most {
		return fmt.Errorf("%.40q is not a time from %v to %v; expected one as 30s, 5m or 24h", text, s.least, s.most)
	}
	*to.(*Span) = Span(d)
	return nil
}
