// Package accept reads what a request's Accept headers ask for.
package accept

import (
	"errors"
	"mime"
	"strconv"
	"strings"
)

// Gzip reports whether a client takes answers in gzip, by its Accept-Encoding.
func Gzip(header []string) bool { return Quality(header, "gzip", "*") > 0 }

// Quality returns the weight that an Accept or Accept-Encoding header gives to
// the first of names that it mentions, 0 if it mentions none.
func Quality(header []string, names ...string) float64 {
	if len(header) == 0 {
		return 0
	}
	for _, name := range names {
		for part := range strings.SplitSeq(strings.Join(header, ","), ",") {
			media, params, err := mime.ParseMediaType(part)
			if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) || media != name {
				continue
			}
			text, ok := params["q"]
			if !ok {
				return 1
			}
			q, err := strconv.ParseFloat(text, 64)
			if err != nil || !(q >= 0 && q <= 1) {
				return 0
			}
			return q
		}
	}
	return 0
}
