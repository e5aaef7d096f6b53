package coldstore_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"hotreader"
	"hotreader/store/coldstore"
)

// liar is a bucket whose list is what page makes, without end.
type liar struct {
	coldstore.Bucket
	page func(n int) coldstore.Page
}

func (liar) String() string { return "s3://liar" }

func (l liar) List(context.Context, string, string) iter.Seq2[coldstore.Page, error] {
	return func(yield func(coldstore.Page, error) bool) {
		for n, more := 0, true; more; n++ {
			p := l.page(n)
			if more = p.More; !yield(p, nil) {
				return
			}
		}
	}
}

// Lists that lie end with an error: never with an answer, and soon.
func TestListsThatLie(t *testing.T) {
	of := func(size int64, keys ...string) func(int) coldstore.Page {
		return func(n int) coldstore.Page {
			return coldstore.Page{Objects: []coldstore.Object{{Key: keys[n%len(keys)], Size: size}}, More: size == 1}
		}
	}
	for name, c := range map[string]struct {
		page func(int) coldstore.Page
		code hotreader.Code
		says string
	}{
		"the same page":     {of(1, "a.json"), hotreader.CodeProtocol, "in no order"},
		"a circle of three": {of(1, "a.json", "b.json", "c.json"), hotreader.CodeProtocol, "in no order"},
		"one key ever again": {func(n int) coldstore.Page {
			return coldstore.Page{Objects: []coldstore.Object{{Key: "a.json", Size: 1}, {Key: strconv.Itoa(1e9 + n), Size: 1}}, More: true}
		}, hotreader.CodeProtocol, "in no order"},
		"a key twice":       {func(int) coldstore.Page { return coldstore.Page{Objects: make([]coldstore.Object, 2)} }, hotreader.CodeProtocol, "in no order"},
		"empty pages":       {func(int) coldstore.Page { return coldstore.Page{More: true} }, hotreader.CodeProtocol, "have no objects"},
		"less than nothing": {of(-5, "a.json"), hotreader.CodeProtocol, `"a.json" has -5 bytes`},
		"all that there is": {of(1<<63-1, "a.json"), hotreader.CodeProtocol, "which no object has"},
		"ever more keys": {func(n int) coldstore.Page {
			return coldstore.Page{Objects: []coldstore.Object{{Key: strings.Repeat("k", 1000) + strconv.Itoa(1e9+n), Size: 1}}, More: true}
		}, hotreader.CodeTooLarge, "more memory"},
	} {
		s, err := coldstore.New(liar{page: c.page}, coldstore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		s.Room(1 << 20)
		if err := count(t, s, 0); !errors.Is(err, c.code) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: a query: %v", name, err)
		}
		if _, err := s.Objects(t.Context(), hotreader.Query{Device: "d"}); !errors.Is(err, c.code) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: a restore: %v", name, err)
		}
		if s.Held() != 0 {
			t.Errorf("%s: %d bytes are held", name, s.Held())
		}
	}
}

// Lists are in the order of bytes or, by Azure, in that of folders or of UTF-16.
func TestOrdersOfLists(t *testing.T) {
	for keys, says := range map[string]string{
		"Path A|Path A-B|Path A-B/d|Path A.C|Path A/d|Path AB|Path AB.txt|Path AB/d": "",
		"Path A|Path A/d|Path A-B|Path A-B/d|Path A.C|Path AB|Path AB/d|Path AB.txt": "",
		"a/\U0001f600|a/\uff01|b": "",
		"a-b|a/b|a-c":             `"a-c" came after "a/b"`,
		"a|b|b":                   `"b" came after "b"`,
	} {
		var p coldstore.Page
		for key := range strings.SplitSeq(keys, "|") {
			p.Objects = append(p.Objects, coldstore.Object{Key: key})
		}
		for _, err := range coldstore.List(t.Context(), liar{page: func(int) coldstore.Page { return p }}, "", "") {
			if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v", keys, err)
			}
		}
	}
}

// An answer to Read counts only if it begins where it was asked to, and is of that version.
func TestPart(t *testing.T) {
	o := &coldstore.Object{Key: "a.json", Size: 10, Version: "1"}
	for _, c := range []struct {
		at            int64
		span, version string
		code          hotreader.Code
	}{
		{0, "", "", ""}, {0, "bytes 0-9/10", "1", ""}, {0, "", `W/"1"`, ""}, {4, "bytes 4-9/10", "1", ""},
		{4, "", "1", hotreader.CodeProtocol}, {4, "bytes 0-9/10", "1", hotreader.CodeProtocol}, {4, "bytes 41-49/50", "", hotreader.CodeProtocol},
		{0, "bytes 7-9/10", "1", hotreader.CodeProtocol}, {0, "bytes */10", "1", hotreader.CodeProtocol}, {0, "", "2", hotreader.CodeUnavailable},
	} {
		body := &tap{}
		got, err := coldstore.Part(body, o, c.at, c.span, c.version)
		if hotreader.CodeOf(err) != c.code || (got == nil) != body.closed || (err == nil) == body.closed {
			t.Errorf("%+v: %v, closed: %v", c, err, body.closed)
		}
	}
}

// A tap is a body of which a chunk comes after each pause, until the request ends.
type tap struct {
	ctx    context.Context
	chunk  string
	pause  time.Duration
	left   int // chunks
	closed bool
}

func (t *tap) Read(p []byte) (int, error) {
	select {
	case <-time.After(t.pause):
	case <-t.ctx.Done():
		return 0, t.ctx.Err()
	}
	if t.left--; t.left < 0 {
		return 0, io.EOF
	}
	return copy(p, t.chunk), nil
}

func (t *tap) Close() error {
	t.closed = true
	return nil
}

type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

// Answers end, however a server makes them: in time, and in memory. Objects may be long and slow.
func TestAnswersEnd(t *testing.T) {
	const ever = 1 << 40
	for name, c := range map[string]struct {
		object bool
		status int
		wait   time.Duration // for the head
		tap
		within time.Duration
		says   string // "" = it comes as a whole
	}{
		"a list":                 {status: 200, tap: tap{chunk: "x", pause: time.Second, left: 50}, within: time.Minute},
		"no head":                {status: 200, wait: time.Hour, within: 30 * time.Second, says: "nothing came for 30s"},
		"a list by drops":        {status: 200, tap: tap{chunk: "x", pause: time.Second, left: ever}, within: time.Minute, says: "longer than 1m0s"},
		"an error by drops":      {object: true, status: 500, tap: tap{chunk: "x", pause: time.Second, left: ever}, within: time.Minute, says: "longer than 1m0s"},
		"a list without end":     {status: 200, tap: tap{chunk: strings.Repeat("x", 1<<10), left: ever}, says: "longer than 16 MB"},
		"an error without end":   {object: true, status: 403, tap: tap{chunk: strings.Repeat("x", 1<<10), left: ever}, says: "longer than 16 MB"},
		"a list of tags":         {status: 200, tap: tap{chunk: strings.Repeat("<a>", 300), left: ever}, says: "1048576 tags"},
		"a slow object":          {object: true, status: 206, tap: tap{chunk: "x", pause: 20 * time.Second, left: 100}, within: time.Hour},
		"an object that is long": {object: true, status: 206, tap: tap{chunk: strings.Repeat("<", 1<<10), left: 20 << 10}},
		"an object that stops":   {object: true, status: 206, tap: tap{chunk: "x", pause: time.Hour, left: ever}, within: 30 * time.Second, says: "nothing came for 30s"},
	} {
		synctest.Test(t, func(t *testing.T) {
			send := transport(func(r *http.Request) (*http.Response, error) {
				select {
				case <-time.After(c.wait):
				case <-r.Context().Done():
					return nil, r.Context().Err()
				}
				c.ctx = r.Context()
				return &http.Response{StatusCode: c.status, Body: &c.tap}, nil
			})
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1/", nil)
			if c.object {
				r.Header.Set("Range", "bytes=0-9")
			}
			began := time.Now()
			resp, err := coldstore.Client(send).Do(r)
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
				if err := resp.Body.Close(); err != nil || c.ctx.Err() == nil {
					t.Errorf("%s: it is not closed: %v", name, err)
				}
			}
			if took := time.Since(began); took > c.within {
				t.Errorf("%s: it took %s", name, took)
			}
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}
