// Package buckettest is the conformance suite of coldstore.Bucket.
package buckettest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hotreader"
	"hotreader/store/coldstore"
)

// A Writer fills the bucket below a prefix that is empty.
type Writer struct {
	Prefix string // ends with a slash, or is empty
	Put    func(key string, body []byte)
	Delete func(key string)
}

// Escape writes a key as the path of a URL.
func Escape(key string) string { return (&url.URL{Path: key}).EscapedPath() }

// Refusing returns the URL of a server that answers every request alike, with headers,
// each a name and a value.
func Refusing(t testing.TB, status int, body string, headers ...string) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body) // the client may have gone
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// Run checks a bucket.
func Run(t *testing.T, b coldstore.Bucket, w Writer) {
	t.Helper()
	keys := []string{"a-b/c", "a/b", "a/b c+ü%20", "a/d/2024-01-05T00:00:00.000Z-2024-01-05T01:00:00.000Z/chunk-00000.json", "a0", "b/dt=2024-01-01/x.jsonl"}
	for _, key := range keys {
		w.Put(w.Prefix+key, []byte("body of "+key))
	}
	slices.Sort(keys)
	for _, c := range []struct {
		prefix, after string
		want          []string
	}{{"", "", keys}, {"a/", "", keys[1:4]}, {"a", "", keys[:5]}, {"a/b", "a/b", keys[2:3]}, {"a", "a/c", keys[3:5]}, {"zzz", "", nil}, {"b/dt=2024", "b/dt=2024-01-02", nil}} {
		var got []string
		after := c.after
		if after != "" {
			after = w.Prefix + after
		}
		for _, o := range list(t, b, w.Prefix+c.prefix, after) {
			key := strings.TrimPrefix(o.Key, w.Prefix)
			if got = append(got, key); o.Size != int64(len("body of "+key)) || o.Version == "" || o.Modified.IsZero() || o.Archive != "" {
				t.Errorf("%+v", o)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("list %q after %q: %q, want %q", c.prefix, c.after, got, c.want)
		}
	}
	for _, o := range list(t, b, w.Prefix, "") {
		whole := "body of " + strings.TrimPrefix(o.Key, w.Prefix)
		for _, r := range [][2]int64{{0, o.Size}, {3, 2}, {o.Size - 1, 1}} {
			if got := read(t, b, &o, r[0], r[1]); got != whole[r[0]:r[0]+r[1]] {
				t.Errorf("%s from %d: %q", o.Key, r[0], got)
			}
		}
	}
	first := list(t, b, w.Prefix+keys[0], "")[0]
	w.Put(first.Key, []byte("another body"))
	second := list(t, b, w.Prefix+keys[0], "")[0]
	w.Delete(second.Key)
	for _, o := range []coldstore.Object{first, second} {
		r, err := b.Read(t.Context(), &o, 0, 1)
		if !errors.Is(err, hotreader.CodeUnavailable) {
			t.Errorf("an object that is not as it was listed: %v, %v", r, err)
		}
	}
	mover(t, b, w)
}

func list(t *testing.T, b coldstore.Bucket, prefix, after string) (all []coldstore.Object) {
	t.Helper()
	for page, err := range b.List(t.Context(), prefix, after) {
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Objects {
			if o.Key > after { // some begin with it
				all = append(all, o)
			}
		}
	}
	return all
}

func read(t *testing.T, b coldstore.Bucket, o *coldstore.Object, at, n int64) string {
	t.Helper()
	r, err := b.Read(t.Context(), o, at, n)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// mover reads what a mover left that was stopped: rows lie in two objects, and, where the
// predecessor's own objects are at hand, those and their rest.
func mover(t *testing.T, b coldstore.Bucket, w Writer) {
	t.Helper()
	want := 3000
	for _, run := range [][2]int{{0, 2000}, {1000, 3000}} {
		var items []string
		at := func(n int) string { return fmt.Sprintf("2024-03-01T%02d:%02d:%02d.000Z", n/3600, n/60%60, n%60) }
		for n := run[0]; n < run[1]; n++ {
			items = append(items, fmt.Sprintf(`{"device_id":"machine-1","timestamp":"%s","temperature":"%d.5"}`, at(n), n))
		}
		w.Put(w.Prefix+"moved/machine-1/"+at(run[0])+"-"+at(run[1]-1)+"/chunk-00000.json", []byte("["+strings.Join(items, ", ")+"]"))
	}
	rows(t, b, w.Prefix+"moved/", want)
	shared := "../../../../shared/data/cold-aws"
	names, _ := filepath.Glob(filepath.Join(shared, "machine-1/*/*.json"))
	for _, name := range append(names, filepath.Join(shared, "hot.jsonl")) {
		if text, err := os.ReadFile(name); err == nil {
			rel, _ := filepath.Rel(shared, name)
			w.Put(w.Prefix+"predecessor/"+filepath.ToSlash(rel), text)
			want = 22_683
		}
	}
	if want == 22_683 {
		rows(t, b, w.Prefix+"predecessor/", want)
	}
}

func rows(t *testing.T, b coldstore.Bucket, prefix string, want int) {
	t.Helper()
	s, err := coldstore.New(b, coldstore.Options{Prefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	for _, order := range []hotreader.Order{hotreader.Ascending, hotreader.Descending} {
		n := 0
		for _, err := range s.Scan(t.Context(), hotreader.Query{Device: "machine-1", Properties: []string{"temperature"}, Order: order}) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != want {
			t.Errorf("%s: %d rows, want %d", prefix, n, want)
		}
	}
}
