//go:build unix

package boltstore_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hotreader"
	"hotreader/store/boltstore"
)

const pageBytes = 4096

// essay returns n records a minute apart, of which each has some of three
// properties, and a text of so many bytes.
func essay(from, n, text int) []hotreader.Record {
	records := make([]hotreader.Record, n)
	for i := range records {
		r := hotreader.Record{Time: base.Add(time.Duration(from+i) * time.Minute)}
		r.Fields = append(r.Fields, hotreader.Field{Name: "n", Value: hotreader.Int64Value(int64(from + i))})
		if i%3 != 0 {
			r.Fields = append(r.Fields, hotreader.Field{Name: "text", Value: hotreader.StringValue(bytes.Repeat([]byte{byte('a' + (from+i)%26)}, text))})
		}
		if i%5 == 0 {
			r.Fields = append(r.Fields, hotreader.Field{Name: "on", Value: hotreader.BoolValue(i%2 == 0)})
		}
		records[i] = r
	}
	return records
}

// written is a file with what it takes to damage it in every way: it was
// written in many steps, so that there are old pages in it, with devices in
// branches and leaves, and long and short indexes.
func written(t *testing.T, large bool) (path string, questions []hotreader.Query) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "rows.bolt")
	s, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	devices := []string{"pump", "fan", "a"}
	for i := range 6 { // in turn, and each time the last block grows
		for k, d := range devices {
			write(t, s, d, essay(i*(20+k), 20+k, 100*k))
		}
	}
	write(t, s, "pump", []hotreader.Record{{Time: base.Add(30*time.Minute + 1), Fields: []hotreader.Field{{Name: "other", Value: hotreader.BoolValue(true)}}}})
	write(t, s, "pump", essay(-5, 5, 10))
	// One block a row, more or less.
	rows := 16
	if large {
		rows = 600
	}
	write(t, s, "long", essay(0, rows, 3500))
	write(t, s, "long", essay(rows/2, 3, 3000))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	properties := []string{"n", "text", "on", "none"}
	for _, d := range append(devices, "long", "unknown", "nobody") {
		questions = append(questions,
			hotreader.Query{Device: d, Properties: properties},
			hotreader.Query{Device: d, Properties: properties, Order: hotreader.Descending},
			hotreader.Query{Device: d, Properties: properties[:2], Start: base.Add(40 * time.Minute), End: base.Add(47 * time.Minute)},
			hotreader.Query{Device: d, Properties: properties[:3], Last: true},
		)
	}
	return path, questions
}

var seed = maphash.MakeSeed()

// answer is a number that stands for all rows of an answer.
func answer(t *testing.T, s hotreader.Reader, q hotreader.Query) (uint64, error) {
	var h maphash.Hash
	h.SetSeed(seed)
	var b []byte
	for row, err := range s.Read(t.Context(), q) {
		if err != nil {
			return 0, err
		}
		b = binary.BigEndian.AppendUint64(b[:0], uint64(row.Time.UnixNano()))
		for _, v := range row.Values {
			b = append(b, byte(v.Kind()))
			if v.Kind() == hotreader.Bool && v.Bool() {
				b = append(b, 1)
			}
			b = binary.AppendUvarint(b, uint64(len(v.Text())))
			b = append(b, v.Text()...)
		}
		h.Write(b)
	}
	return h.Sum64(), nil
}

func answers(t *testing.T, path string, questions []hotreader.Query) []uint64 {
	t.Helper()
	s, err := boltstore.Open(path, boltstore.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var all []uint64
	for _, q := range questions {
		a, err := answer(t, s, q)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
	return all
}

// flip is a byte to be changed.
type flip struct {
	at  int
	xor byte
}

func pageOf(content []byte, id int) []byte { return content[id*pageBytes : (id+1)*pageBytes] }

// kindOf returns the kind of a page: 1 branch, 2 leaf, 4 head, 16 free pages.
func kindOf(content []byte, id int) uint16 {
	return binary.NativeEndian.Uint16(pageOf(content, id)[8:])
}

// heads returns flips of what bbolt needs of each page: its head and elements.
func heads(content []byte, r *rand.Rand, least int) (flips []flip) {
	for id := range len(content) / pageBytes {
		n := least
		switch kindOf(content, id) {
		case 4, 16:
			n = max(n, 128)
		case 1:
			n = max(n, 160)
		}
		for i := range n {
			at := id*pageBytes + i
			flips = append(flips, flip{at, byte(1 + r.IntN(255))})
		}
	}
	return flips
}

// pointers returns flips that lead to every other page there is near, old ones
// and the page itself too: of branches, and of the root's only element.
func pointers(content []byte) (flips []flip) {
	for id := 2; id < len(content)/pageBytes; id++ {
		page := pageOf(content, id)
		n := int(binary.NativeEndian.Uint16(page[10:]))
		if i := bytes.Index(page[:80], []byte("hotreader")); i > 0 && kindOf(content, id) == 2 {
			for x := range 255 {
				flips = append(flips, flip{id*pageBytes + i + len("hotreader"), byte(x + 1)})
				flips = append(flips, flip{id*pageBytes + 20, byte(x + 1)}) // offset of the key
				flips = append(flips, flip{id*pageBytes + 21, byte(x + 1)})
				flips = append(flips, flip{id*pageBytes + 22, byte(x + 1)})
			}
		}
		if kindOf(content, id) != 1 {
			continue
		}
		for e := range n {
			for x := range 255 {
				flips = append(flips, flip{id*pageBytes + 16 + 16*e + 8, byte(x + 1)})
			}
		}
	}
	return flips
}

func anywhere(content []byte, r *rand.Rand, n int) (flips []flip) {
	for range n {
		flips = append(flips, flip{r.IntN(len(content)), byte(1 + r.IntN(255))})
	}
	return flips
}

// percent says how many of the changes are tried.
func percent() int {
	if testing.Short() {
		return min(cases, 6)
	}
	return cases
}

// watch ends the process if a case takes too long, as a walk in a circle would.
func watch(f flip) (stop func() bool) {
	return time.AfterFunc(time.Minute, func() {
		panic(fmt.Sprintf("no end with byte %d (page %d) changed by %#x", f.at, f.at/pageBytes, f.xor))
	}).Stop
}

// judge checks an error that damage led to.
func judge(t *testing.T, what string, f flip, err error) {
	t.Helper()
	mark := hotreader.CodeOf(err) == hotreader.CodeConfig && (strings.Contains(err.Error(), "another program") || strings.Contains(err.Error(), "format is"))
	if hotreader.CodeOf(err) != hotreader.CodeCorrupt && !mark {
		t.Errorf("byte %d (page %d, %d) changed by %#x: %s: the error is %v (%s), want one of %s",
			f.at, f.at/pageBytes, f.at%pageBytes, f.xor, what, err, hotreader.CodeOf(err), hotreader.CodeCorrupt)
	}
	for _, word := range []string{"runtime", "slice", "index out", "nil pointer", "invalid memory", "fault", "page ", "panic", "pgid", "goroutine"} {
		if strings.Contains(err.Error(), word) && !(word == "page " && strings.Contains(err.Error(), "a page of the file is damaged")) {
			t.Errorf("byte %d changed by %#x: %s: the error speaks of %q: %v", f.at, f.xor, what, word, err)
		}
	}
	if !strings.Contains(err.Error(), "rows.bolt") {
		t.Errorf("byte %d changed by %#x: %s: the error does not name the file: %v", f.at, f.xor, what, err)
	}
}

// TestEveryFlippedByteIsFound: whatever byte of a file is changed, each answer
// is the right one or an error.
func TestEveryFlippedByteIsFound(t *testing.T) {
	for _, large := range []bool{false, true} {
		path, questions := written(t, large)
		want := answers(t, path, questions)
		whole := read(t, path)
		content := whole[:needs(whole)]
		r := rand.New(rand.NewPCG(5, 6))
		some := func(of []flip, n int) []flip {
			r.Shuffle(len(of), func(i, k int) { of[i], of[k] = of[k], of[i] })
			return of[:min(n*percent()/100, len(of))]
		}
		flips := append(some(pointers(content), 200), some(anywhere(content, r, 400), 400)...)
		if !large {
			flips = append(some(heads(content, r, 64), 10_000), some(pointers(content), 1500)...)
			flips = append(flips, some(anywhere(content, r, 3000), 2500)...)
		}
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		found, unchanged := 0, 0
		for _, f := range flips {
			stop := watch(f)
			if _, err := file.WriteAt([]byte{content[f.at] ^ f.xor}, int64(f.at)); err != nil {
				t.Fatal(err)
			}
			bad := false
			s, err := boltstore.Open(path, boltstore.Options{ReadOnly: true})
			if err != nil {
				judge(t, "open", f, err)
				bad = true
			} else {
				for i, q := range questions {
					a, err := answer(t, s, q)
					if err != nil {
						judge(t, fmt.Sprintf("%+v", q), f, err)
						bad = true
					} else if a != want[i] {
						t.Errorf("byte %d (page %d, %d) changed by %#x: %+v is answered otherwise", f.at, f.at/pageBytes, f.at%pageBytes, f.xor, q)
					}
				}
				if err := s.Close(); err != nil && !bad {
					t.Errorf("byte %d changed by %#x: close: %v", f.at, f.xor, err)
				}
			}
			if bad {
				found++
			} else {
				unchanged++
			}
			if _, err := file.WriteAt(content[f.at:f.at+1], int64(f.at)); err != nil {
				t.Fatal(err)
			}
			stop()
			if t.Failed() {
				t.FailNow()
			}
		}
		t.Logf("large %t, %d pages: of %d changed bytes %d were found, %d change no answer", large, len(content)/pageBytes, len(flips), found, unchanged)
		if found == 0 || unchanged == 0 {
			t.Error("all was found or nothing; the test tests nothing")
		}
	}
}

// TestWritingDoesNotHideDamage: whatever byte of a file is changed, after writes
// that succeed or fail each answer is the right one or an error.
func TestWritingDoesNotHideDamage(t *testing.T) {
	path, questions := written(t, false)
	added := map[string][]hotreader.Record{
		"pump": append(essay(33, 1, 50), essay(9000, 3, 10)...),
		"long": essay(20, 2, 3400),
		"a":    append(essay(-50, 2, 20), hotreader.Record{Time: base.Add(time.Second), Fields: []hotreader.Field{{Name: "none", Value: hotreader.BoolValue(true)}}}),
		"new":  essay(0, 10, 10),
	}
	devices := slices.Sorted(maps.Keys(added))
	questions = append(questions, hotreader.Query{Device: "new", Properties: []string{"n"}})
	before := answers(t, path, questions)
	whole := read(t, path)
	content := whole[:needs(whole)]

	dir := t.TempDir()
	file := put(t, filepath.Join(dir, "rows.bolt"), content)
	s := open(t, file, boltstore.Options{})
	for _, d := range devices {
		write(t, s, d, added[d])
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	after := answers(t, file, questions)

	r := rand.New(rand.NewPCG(7, 8))
	flips := append(heads(content, r, 48), pointers(content)...)
	flips = append(flips, anywhere(content, r, 400)...)
	r.Shuffle(len(flips), func(i, k int) { flips[i], flips[k] = flips[k], flips[i] })
	flips = flips[:2*percent()]
	for id := range len(content) / pageBytes { // and all that is said of free pages
		if binary.NativeEndian.Uint16(pageOf(content, id)[8:]) == 16 {
			for range percent() / 2 {
				flips = append(flips, flip{id*pageBytes + r.IntN(100), byte(1 + r.IntN(255))})
			}
		}
	}
	acknowledged := 0
	for _, f := range flips {
		stop := watch(f)
		damaged := bytes.Clone(content)
		damaged[f.at] ^= f.xor
		put(t, file, damaged)
		done := make(map[string]bool)
		failed := make(map[string]bool)
		s, err := boltstore.Open(file, boltstore.Options{})
		if err != nil {
			judge(t, "open", f, err)
			stop()
			continue
		}
		for _, d := range devices {
			if err := s.Write(t.Context(), d, added[d]); err != nil {
				judge(t, "write "+d, f, err)
				failed[d] = true
			} else {
				done[d] = true
				acknowledged++
			}
		}
		_ = s.Close()
		if s, err = boltstore.Open(file, boltstore.Options{ReadOnly: true}); err != nil {
			judge(t, "open again", f, err)
			stop()
			continue
		}
		for i, q := range questions {
			a, err := answer(t, s, q)
			switch {
			case err != nil:
				judge(t, fmt.Sprintf("%+v", q), f, err)
			case done[q.Device] && a == after[i], failed[q.Device] && (a == before[i] || a == after[i]):
			case !done[q.Device] && !failed[q.Device] && a == before[i]:
			default:
				t.Errorf("byte %d (page %d, %d) changed by %#x: %+v is answered otherwise; written %v, failed %v", f.at, f.at/pageBytes, f.at%pageBytes, f.xor, q, done, failed)
			}
		}
		_ = s.Close()
		stop()
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Logf("with %d changed bytes %d writes were acknowledged", len(flips), acknowledged)
	if acknowledged == 0 {
		t.Error("nothing could be written; the test tests nothing")
	}
}

// TestBothHeads: a store that was closed has two heads that lead to the same
// content, so that what was written is there should one of them turn out to be
// older than it was; and a head that is damaged while the store is open does not
// bring the older one's content back.
func TestBothHeads(t *testing.T) {
	path := fileOf(t, 1000)
	s, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	write(t, s, "d", ramp(1000, 500))
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	content := read(t, path)
	newest := 0
	if transaction(content, 1) > transaction(content, 0) {
		newest = 1
	}
	at := int64(newest*pageBytes + 40)
	if _, err := file.WriteAt([]byte{content[at] ^ 1}, at); err != nil {
		t.Fatal(err)
	}
	if n, err := count(t, s, "d"); hotreader.CodeOf(err) != hotreader.CodeCorrupt {
		t.Errorf("the newest head is damaged: %d rows, %v; want %s", n, err, hotreader.CodeCorrupt)
	}
	if err := s.Write(t.Context(), "d", ramp(1500, 1)); hotreader.CodeOf(err) != hotreader.CodeCorrupt {
		t.Errorf("the newest head is damaged: writing ends with %v, want %s", err, hotreader.CodeCorrupt)
	}
	if _, err := file.WriteAt(content[at:at+1], at); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	closed := read(t, path)
	if a, b := transaction(closed, 0), transaction(closed, 1); max(a, b) <= transaction(content, newest) || a+1 != b && b+1 != a {
		t.Errorf("the heads are of transactions %d and %d, want one more than %d", a, b, transaction(content, newest))
	}
	if n, err := count(t, open(t, path, boltstore.Options{ReadOnly: true}), "d"); n != 1500 || err != nil {
		t.Errorf("%d rows, %v", n, err)
	}
}

func transaction(content []byte, head int) uint64 {
	return binary.NativeEndian.Uint64(pageOf(content, head)[64:])
}
